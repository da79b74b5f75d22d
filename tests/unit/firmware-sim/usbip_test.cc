// The key as a USB device: the test plays the kernel at the other end of a USB/IP connection.

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>

#include "firmware-sim/endpoint/hid_descriptor.h"
#include "firmware-sim/endpoint/usbip_endpoint.h"
#include "tests/unit/firmware-sim/plug_client.h"

namespace keyferry::sim::test {
namespace {

constexpr std::size_t kHead = 48;

void Put32(Blob& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<std::uint8_t>(value >> shift));
}

Blob Submit(std::uint32_t sequence, bool in, std::uint32_t endpoint, std::uint32_t length,
            const Blob& setup = Blob(8), const Blob& data = {}, std::uint32_t packets = 0) {
  Blob out;
  for (const std::uint32_t word :
       {1u, sequence, UsbIpSession::kDeviceId, in ? 1u : 0u, endpoint, 0u, length, 0u, packets, 0u})
    Put32(out, word);
  out.insert(out.end(), setup.begin(), setup.end());
  out.insert(out.end(), data.begin(), data.end());
  return out;
}

Blob Unlink(std::uint32_t sequence, std::uint32_t about) {
  Blob out;
  for (const std::uint32_t word : {2u, sequence, UsbIpSession::kDeviceId, 0u, 0u, about})
    Put32(out, word);
  out.resize(kHead);
  return out;
}

Blob Setup(int type, int request, int value, int index, int length) {
  Blob out;
  for (const int byte : {type, request, value & 0xFF, value >> 8, index & 0xFF, index >> 8,
                         length & 0xFF, length >> 8})
    out.push_back(static_cast<std::uint8_t>(byte));
  return out;
}

struct Answer {
  std::uint32_t command = 0;
  std::uint32_t sequence = 0;
  std::int32_t status = 0;
  std::uint32_t actual = 0;
  Blob data;
};

// One session whose output is taken apart.
struct Wire {
  explicit Wire(DescriptorLie lie = DescriptorLie::kNone, bool configure = true)
      : session(UsbIpSession::Phase::kUrbs, SomeIdentity(lie), UsbSpeed::kFull,
                [this](ByteView report) { reports.push_back(Copy(report)); }) {
    if (configure) CHECK(Control(Setup(0x00, 9, 1, 0, 0)).status == 0);
  }
  void Give(const Blob& bytes) { REQUIRE(session.Receive(bytes)); }
  // The next answer; command 0 when there is none. `in`: data follows.
  Answer Take(bool in) {
    auto& out = session.output();
    if (out.size() < kHead) return {};
    protocol::Reader reader(out);
    Answer answer;
    answer.command = reader.U32();
    answer.sequence = reader.U32();
    for (int i = 0; i < 3; ++i) CHECK(reader.U32() == 0);
    answer.status = static_cast<std::int32_t>(reader.U32());
    answer.actual = reader.U32();
    const std::size_t data = in && answer.status == 0 ? answer.actual : 0;
    REQUIRE(out.size() >= kHead + data);
    const auto begin = out.begin() + kHead;
    answer.data.assign(begin, begin + static_cast<std::ptrdiff_t>(data));
    out.erase(out.begin(), begin + static_cast<std::ptrdiff_t>(data));
    return answer;
  }
  Answer Control(const Blob& setup, const Blob& data = {}) {
    const bool in = (setup[0] & 0x80) != 0;
    const auto length = static_cast<std::uint32_t>(setup[6] | setup[7] << 8);
    Give(Submit(++sequence, in, 0, length, setup, data));
    const Answer answer = Take(in);
    CHECK(answer.command == 3);
    CHECK(answer.sequence == sequence);
    return answer;
  }
  std::uint32_t sequence = 100;
  std::vector<Blob> reports;
  UsbIpSession session;
};

TEST_CASE("usb: the descriptors are those of a full speed HID device with a vendor page") {
  Wire wire;
  const Answer device = wire.Control(Setup(0x80, 6, 0x0100, 0, 64));
  CHECK(ToHex(device.data) ==
        "12010002000000400912010000010102030"
        "1");
  const Answer head = wire.Control(Setup(0x80, 6, 0x0200, 0, 9));
  CHECK(ToHex(head.data) == "090229000101008032");
  const Answer configuration = wire.Control(Setup(0x80, 6, 0x0200, 0, 255));
  CHECK(ToHex(configuration.data) ==
        "090229000101008032"
        "090400000203000000"
        "092111010001222200"
        "0705810340000"
        "1"
        "0705010340000"
        "1");
  const Answer report = wire.Control(Setup(0x81, 6, 0x2200, 0, 34));
  CHECK(report.data == ReportDescriptor(DescriptorLie::kNone));
  CHECK(wire.Control(Setup(0x81, 6, 0x2100, 0, 9)).data[7] == 34);
  CHECK(ToHex(wire.Control(Setup(0x80, 6, 0x0300, 0, 255)).data) == "04030904");
  const Blob serial = wire.Control(Setup(0x80, 6, 0x0303, 0x0409, 255)).data;
  REQUIRE(serial.size() == 34);
  CHECK(serial[0] == 34);
  CHECK(serial[2] == '0');
  CHECK(serial[32] == '7');
}

TEST_CASE("usb: endpoint 0 answers what a HID device must, and stalls the rest") {
  Wire wire;
  CHECK(wire.Control(Setup(0x80, 8, 0, 0, 1)).data == Blob{1});
  CHECK(wire.Control(Setup(0x80, 0, 0, 0, 2)).data == Blob{0, 0});
  CHECK(wire.Control(Setup(0x81, 10, 0, 0, 1)).data == Blob{0});
  CHECK(wire.Control(Setup(0x01, 11, 0, 0, 0)).status == 0);
  CHECK(wire.Control(Setup(0x21, 10, 0x0400, 0, 0)).status == 0);  // SET_IDLE
  CHECK(wire.Control(Setup(0xA1, 2, 0, 0, 1)).data == Blob{4});
  CHECK(wire.Control(Setup(0xA1, 1, 0x0100, 0, 64)).data == Blob(64));  // GET_REPORT
  CHECK(wire.Control(Setup(0x21, 9, 0x0200, 0, 64), Blob(64, 5)).status == 0);
  REQUIRE(wire.reports.size() == 1);  // SET_REPORT is an output report
  CHECK(wire.reports[0] == Blob(64, 5));
  const Blob stalls[] = {Setup(0x80, 6, 0x0600, 0, 10),        // device qualifier: full speed only
                         Setup(0x80, 6, 0x0F00, 0, 5),         // BOS
                         Setup(0x80, 6, 0x0101, 0, 18),        // a second device descriptor
                         Setup(0x80, 6, 0x0201, 0, 9),         // a second configuration
                         Setup(0x80, 6, 0x0304, 0x0409, 255),  // a fourth string
                         Setup(0x81, 6, 0x2200, 1, 34),        // of another interface
                         Setup(0x00, 9, 2, 0, 0),              // SET_CONFIGURATION 2
                         Setup(0x01, 11, 1, 0, 0),             // SET_INTERFACE, alternate 1
                         Setup(0x00, 3, 1, 0, 0),              // remote wake-up
                         Setup(0x02, 3, 0, 5, 0),        // halt of an endpoint that is not there
                         Setup(0xA1, 1, 0x0300, 0, 64),  // feature report
                         Setup(0xA1, 3, 0, 0, 1),        // GET_PROTOCOL: no boot device
                         Setup(0x21, 9, 0x0300, 0, 0),   // feature report
                         Setup(0xC0, 1, 0, 0, 64),       // vendor request
                         Setup(0x23, 1, 0, 0, 0)};       // a hub's
  for (const Blob& setup : stalls) {
    INFO(ToHex(setup));
    CHECK(wire.Control(setup).status == -EPIPE);
  }
  CHECK(wire.reports.size() == 1);
}

TEST_CASE("usb: reports wait for transfers, transfers wait for reports") {
  Wire wire;
  wire.session.SendReport(Blob(64, 1));
  wire.session.SendReport(Blob(64, 2));
  CHECK(wire.session.output().empty());
  wire.Give(Submit(1, true, 1, 64));
  CHECK(wire.Take(true).data == Blob(64, 1));
  wire.Give(Submit(2, true, 1, 64));
  wire.Give(Submit(3, true, 1, 64));
  CHECK(wire.Take(true).data == Blob(64, 2));
  CHECK(wire.session.output().empty());
  wire.session.SendReport(Blob(10, 3));  // cut short on its way
  const Answer last = wire.Take(true);
  CHECK(last.sequence == 3);
  CHECK(last.actual == 10);
  CHECK(last.data == Blob(10, 3));
  // A transfer that is too small for a packet is babble.
  wire.session.SendReport(Blob(64, 4));
  wire.Give(Submit(4, true, 1, 32));
  CHECK(wire.Take(true).status == -EOVERFLOW);
  // Nobody reads for long: the oldest go.
  for (std::size_t i = 0; i < UsbIpSession::kMaxReports + 3; ++i)
    wire.session.SendReport(Blob(64, static_cast<std::uint8_t>(i)));
  wire.Give(Submit(5, true, 1, 64));
  CHECK(wire.Take(true).data == Blob(64, 3));
}

TEST_CASE("usb: OUT transfers are reports when they are whole") {
  Wire wire;
  wire.Give(Submit(1, false, 1, 64, Blob(8), Blob(64, 7)));
  const Answer answer = wire.Take(false);
  CHECK(answer.status == 0);
  CHECK(answer.actual == 64);
  CHECK(wire.reports == std::vector<Blob>{Blob(64, 7)});
  wire.Give(Submit(2, false, 1, 63, Blob(8), Blob(63, 7)));
  CHECK(wire.Take(false).status == 0);
  CHECK(wire.reports.size() == 1);
  wire.Give(Submit(3, false, 1, 130, Blob(8), Blob(130, 7)));
  CHECK(wire.reports.size() == 3);
  CHECK(wire.Take(false).actual == 130);
  wire.Give(Submit(4, false, 3, 64, Blob(8), Blob(64, 7)));  // no such endpoint
  CHECK(wire.Take(false).status == -EPIPE);
  wire.Give(Submit(5, true, 2, 64));
  CHECK(wire.Take(true).status == -EPIPE);
}

TEST_CASE(
    "usb: unlinking a transfer that waits takes it back; one that was answered was answered") {
  Wire wire;
  wire.Give(Submit(1, true, 1, 64));
  wire.Give(Submit(2, true, 1, 64));
  wire.Give(Unlink(3, 1));
  Answer answer = wire.Take(false);
  CHECK(answer.command == 4);
  CHECK(answer.sequence == 3);
  CHECK(answer.status == -ECONNRESET);
  wire.session.SendReport(Blob(64, 1));
  CHECK(wire.Take(true).sequence == 2);
  wire.Give(Unlink(4, 2));
  answer = wire.Take(false);
  CHECK(answer.command == 4);
  CHECK(answer.status == 0);
}

TEST_CASE("usb: a halted endpoint stalls until it is cleared; nothing moves before configuration") {
  Wire wire;
  wire.Give(Submit(1, true, 1, 64));
  wire.Give(Submit(2, false, 0, 0, Setup(0x02, 3, 0, 0x81, 0)));
  Answer answer = wire.Take(true);
  CHECK(answer.sequence == 1);
  CHECK(answer.status == -EPIPE);
  CHECK(wire.Take(false).sequence == 2);
  CHECK(wire.Control(Setup(0x82, 0, 0, 0x81, 2)).data == Blob{1, 0});
  wire.Give(Submit(3, true, 1, 64));
  CHECK(wire.Take(true).status == -EPIPE);
  CHECK(wire.Control(Setup(0x02, 1, 0, 0x81, 0)).status == 0);
  wire.Give(Submit(4, true, 1, 64));
  CHECK(wire.session.output().empty());
  CHECK(wire.Control(Setup(0x02, 3, 0, 0x01, 0)).status == 0);
  wire.Give(Submit(5, false, 1, 64, Blob(8), Blob(64)));
  CHECK(wire.Take(false).status == -EPIPE);
  Wire fresh(DescriptorLie::kNone, false);
  fresh.Give(Submit(1, true, 1, 64));
  CHECK(fresh.Take(true).status == -EPIPE);
  fresh.Give(Submit(2, false, 1, 64, Blob(8), Blob(64)));
  CHECK(fresh.Take(false).status == -EPIPE);
  CHECK(fresh.reports.empty());
}

TEST_CASE("usb: a peer that breaks the protocol is thrown out, one that dribbles is served") {
  const auto refused = [](const Blob& bytes) {
    Wire wire;
    return !wire.session.Receive(bytes);
  };
  CHECK(refused(Blob(48, 9)));                                         // no command
  CHECK(refused(Submit(1, true, 0, UsbIpSession::kMaxTransfer + 1)));  // too long
  CHECK(refused(Submit(1, false, 1, 0xFFFFFFFF)));                     // far too long
  CHECK(refused(Submit(1, true, 1, 64, Blob(8), {}, 3)));              // isochronous
  CHECK_FALSE(refused(Submit(1, true, 1, 64, Blob(8), {}, 0xFFFFFFFF)));
  Blob greedy;
  for (std::uint32_t i = 0; i <= UsbIpSession::kMaxPending; ++i) {
    const Blob one = Submit(i, true, 1, 64);
    greedy.insert(greedy.end(), one.begin(), one.end());
  }
  CHECK(refused(greedy));
  // Asks for much and never reads the answers.
  Blob flood;
  for (std::uint32_t i = 0; i < 40; ++i) {
    const Blob one = Submit(i, true, 0, 65535, Setup(0x80, 6, 0x0301, 0x0409, 65535));
    flood.insert(flood.end(), one.begin(), one.end());
  }
  Wire liar(DescriptorLie::kEndlessString);
  CHECK_FALSE(liar.session.Receive(flood));
  Wire wire;
  for (const std::uint8_t byte : Submit(1, false, 1, 64, Blob(8), Blob(64, 7))) wire.Give({byte});
  CHECK(wire.reports.size() == 1);
  Wire large;
  large.Give(Submit(1, false, 1, 65536, Blob(8), Blob(65536, 7)));
  CHECK(large.reports.size() == 1024);
}

TEST_CASE("usb: descriptors that lie") {
  CHECK(Wire(DescriptorLie::kTruncated).Control(Setup(0x81, 6, 0x2200, 0, 34)).actual == 17);
  CHECK(Wire(DescriptorLie::kTruncated).Control(Setup(0x81, 6, 0x2100, 0, 9)).data[7] == 34);
  Wire ids(DescriptorLie::kReportIds);
  ids.session.SendReport(Blob(64, 9));
  ids.Give(Submit(1, true, 1, 65));
  CHECK(ids.Take(true).data[0] == 1);
  Blob numbered(65, 6);
  numbered[0] = 1;
  ids.Give(Submit(2, false, 1, 65, Blob(8), numbered));
  CHECK(ids.reports == std::vector<Blob>{Blob(64, 6)});
  const Answer endless =
      Wire(DescriptorLie::kEndlessString).Control(Setup(0x80, 6, 0x0302, 0x0409, 4000));
  CHECK(endless.actual == 4000);
}

Blob Operation(int code, const std::string& bus_id = "") {
  Blob out{0x01, 0x11, static_cast<std::uint8_t>(code >> 8), static_cast<std::uint8_t>(code), 0, 0,
           0,    0};
  out.insert(out.end(), bus_id.begin(), bus_id.end());
  if (!bus_id.empty()) out.resize(8 + 32);
  return out;
}

TEST_CASE("usbip: the server lists its device and lends it to one host at a time") {
  bool free = true;
  const auto session = [&free] {
    return UsbIpSession(
        UsbIpSession::Phase::kOperations, SomeIdentity(), UsbSpeed::kHigh, [](ByteView) {},
        [&free] { return free; });
  };
  auto list = session();
  REQUIRE(list.Receive(Operation(0x8005)));
  CHECK(list.phase() == UsbIpSession::Phase::kClosing);
  REQUIRE(list.output().size() == 8 + 4 + 312 + 4);
  CHECK(ToHex(ByteView(list.output()).first(12)) == "011100050000000000000001");
  const std::string text(list.output().begin(), list.output().end());
  CHECK(text.find("1-1") != std::string::npos);
  CHECK(ToHex(ByteView(list.output()).last(4)) == "03000000");
  REQUIRE(list.Receive(Operation(0x8005)));  // too late: ignored
  CHECK(list.output().size() == 328);

  auto import = session();
  REQUIRE(import.Receive(Operation(0x8003, "1-1")));
  CHECK(import.phase() == UsbIpSession::Phase::kUrbs);
  REQUIRE(import.output().size() == 8 + 312);
  CHECK(ToHex(ByteView(import.output()).first(8)) == "0111000300000000");
  CHECK(ToHex(ByteView(import.output()).subspan(8 + 256 + 32, 12)) == "000000010000000200000003");

  free = false;
  auto second = session();
  REQUIRE(second.Receive(Operation(0x8003, "1-1")));
  CHECK(ToHex(second.output()) == "0111000300000002");
  CHECK(second.phase() == UsbIpSession::Phase::kClosing);
  free = true;
  auto other = session();
  REQUIRE(other.Receive(Operation(0x8003, "7-7")));
  CHECK(ToHex(other.output()) == "0111000300000004");

  for (const Blob& bad : {Operation(0x8007), Blob(8, 0), Blob{2, 0, 0x80, 5, 0, 0, 0, 0}}) {
    auto refuses = session();
    CHECK_FALSE(refuses.Receive(bad));
  }
}

TEST_CASE("usbip: the plug attaches, is pulled by the kernel, and attaches again") {
  PlugClient client;
  int kernel = -1;
  bool works = true;
  UsbIpEndpoint::Options options;
  options.attach = [&](int socket, UsbSpeed speed) -> Result<void> {
    if (!works) return Fail(ErrorCode::kUnavailable, "no ports");
    CHECK(speed == UsbSpeed::kFull);
    kernel = dup(socket);
    return {};
  };
  UsbIpEndpoint endpoint(client, options);
  REQUIRE(endpoint.Appear(SomeIdentity()).has_value());
  CHECK(endpoint.Present());
  const Blob configure = Submit(1, false, 0, 0, Setup(0x00, 9, 1, 0, 0));
  const Blob out = Submit(2, false, 1, 64, Blob(8), Blob(64, 3));
  const Blob in = Submit(3, true, 1, 64);
  for (const Blob& bytes : {configure, out, in})
    REQUIRE(write(kernel, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  client.Poll(endpoint);
  CHECK(client.frames == std::vector<Blob>{Blob(64, 3)});
  endpoint.Send(Blob(64, 4), 0);
  Blob answers(1000);
  CHECK(read(kernel, answers.data(), answers.size()) == 48 + 48 + 48 + 64);
  CHECK(answers[2 * 48 + 48] == 4);
  // One that the host has asked for is gone; the next one waits until it asks again.
  CHECK_FALSE(endpoint.Holds());
  endpoint.Send(Blob(64, 5), 0);
  CHECK(endpoint.Holds());
  REQUIRE(write(kernel, in.data(), in.size()) == static_cast<ssize_t>(in.size()));
  client.Poll(endpoint);
  CHECK_FALSE(endpoint.Holds());
  CHECK(read(kernel, answers.data(), answers.size()) == 48 + 64);
  CHECK(answers[48] == 5);
  endpoint.Send(Blob(64, 6), 0);
  close(kernel);
  client.Poll(endpoint);
  CHECK(client.pulled == 1);
  CHECK_FALSE(endpoint.Present());
  CHECK_FALSE(endpoint.Holds());
  works = false;
  CHECK_FALSE(endpoint.Appear(SomeIdentity()).has_value());
  CHECK_FALSE(endpoint.Present());
  works = true;
  REQUIRE(endpoint.Appear(SomeIdentity()).has_value());
  endpoint.Vanish();
  CHECK(read(kernel, answers.data(), answers.size()) == 0);
  close(kernel);
  CHECK(client.pulled == 1);
}

TEST_CASE("usbip: ports of the kernel's host controller") {
  const std::string head = "hub port sta spd dev      sockfd local_busid\n";
  CHECK(FreeVhciPort(
            head +
            "hs  0000 006 002 00010002 000003 1-1\nhs  0001 004 000 00000000 000000 0-0\n") == 1u);
  CHECK(
      FreeVhciPort(
          head + "hs  0000 006 002 00010002 000003 1-1\nss  0008 004 000 00000000 000000 0-0\n") ==
      std::nullopt);
  CHECK(FreeVhciPort("") == std::nullopt);
}

TEST_CASE("usbip: it listens for this machine alone, unless told otherwise") {
  PlugClient client;
  for (const char* bad : {"", "3240", "0.0.0.0:3240", "[::]:3240", "192.0.2.1:0", "localhost:3240",
                          "127.0.0.1:", "127.0.0.1:99999x"}) {
    INFO(bad);
    UsbIpEndpoint::Options options;
    options.listen = bad;
    UsbIpEndpoint endpoint(client, options);
    CHECK(endpoint.Appear(SomeIdentity()).error().code == ErrorCode::kInvalidArgument);
  }
  UsbIpEndpoint::Options options;
  options.listen = "127.0.0.1:0";
  UsbIpEndpoint endpoint(client, options);
  REQUIRE(endpoint.Appear(SomeIdentity()).has_value());
  CHECK(endpoint.Place().rfind("127.0.0.1:", 0) == 0);
  CHECK(endpoint.Place().find(":0,") == std::string::npos);
}

}  // namespace
}  // namespace keyferry::sim::test
