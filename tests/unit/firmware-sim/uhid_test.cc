// The key as a uhid device: a socket pair stands for /dev/uhid, and the test for the kernel.

#include <linux/uhid.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "firmware-sim/endpoint/hid_descriptor.h"
#include "firmware-sim/endpoint/uhid_endpoint.h"
#include "tests/unit/firmware-sim/plug_client.h"

namespace keyferry::sim::test {
namespace {

constexpr std::size_t kOutputHead = sizeof(std::uint32_t);

struct Kernel {
  Kernel()
      : endpoint(client, [this]() -> Result<int> {
          int pair[2];
          if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
            return Fail(ErrorCode::kIo, "no socket pair");
          if (fd >= 0) close(fd);
          fd = pair[0];
          return pair[1];
        }) {}
  ~Kernel() { close(fd); }
  // The next event from the device, zero where it ended early; type ~0 when there is none.
  uhid_event Next(std::size_t* size = nullptr) {
    uhid_event event{};
    const ssize_t n = read(fd, &event, sizeof event);
    if (n <= 0) event.type = ~0u;
    if (size != nullptr) *size = n > 0 ? static_cast<std::size_t>(n) : 0;
    return event;
  }
  void Give(const uhid_event& event) {
    REQUIRE(write(fd, &event, sizeof event) == sizeof event);
    client.Poll(endpoint);
  }
  void Output(ByteView data) {
    uhid_event event{};
    event.type = UHID_OUTPUT;
    std::copy(data.begin(), data.end(), event.u.output.data);
    event.u.output.size = static_cast<std::uint16_t>(data.size());
    event.u.output.rtype = UHID_OUTPUT_REPORT;
    Give(event);
  }
  PlugClient client;
  int fd = -1;
  UhidEndpoint endpoint;
};

TEST_CASE("uhid: the device is created as what it is, and destroyed when it is pulled") {
  Kernel kernel;
  CHECK_FALSE(kernel.endpoint.Present());
  REQUIRE(kernel.endpoint.Appear(SomeIdentity()).has_value());
  CHECK(kernel.endpoint.Present());
  const uhid_event event = kernel.Next();
  REQUIRE(event.type == UHID_CREATE2);
  const uhid_create2_req& create = event.u.create2;
  CHECK(std::string(reinterpret_cast<const char*>(create.name)) == "Keyferry SIMULATOR");
  CHECK(std::string(reinterpret_cast<const char*>(create.uniq)) == "0011223344556677");
  CHECK(create.vendor == 0x1209);
  CHECK(create.product == 0x0001);
  CHECK(create.bus == 3);
  const Blob descriptor(create.rd_data, create.rd_data + create.rd_size);
  CHECK(ToHex(descriptor) ==
        "0600ff0901a1010920150026ff00750895408102092115002"
        "6ff00750895409102c0");
  kernel.endpoint.Vanish();
  CHECK(kernel.Next().type == UHID_DESTROY);
  CHECK_FALSE(kernel.endpoint.Present());
  REQUIRE(kernel.endpoint.Appear(SomeIdentity()).has_value());
  CHECK(kernel.Next().type == UHID_CREATE2);
}

TEST_CASE("uhid: reports go in and out whole; what is none is ignored") {
  Kernel kernel;
  REQUIRE(kernel.endpoint.Appear(SomeIdentity()).has_value());
  kernel.Next();
  Blob written(65, 7);
  written[0] = 0;
  kernel.Output(written);
  REQUIRE(kernel.client.frames.size() == 1);
  CHECK(kernel.client.frames[0] == Blob(64, 7));
  kernel.Output(Blob(64, 0));  // too short
  kernel.Output(Blob(66, 0));  // too long
  kernel.Output({});
  written[0] = 1;  // another report's number
  kernel.Output(written);
  uhid_event huge{};
  huge.type = UHID_OUTPUT;
  huge.u.output.size = 0xFFFF;
  kernel.Give(huge);
  uhid_event unknown{};
  unknown.type = 0xFFFFFFFF;
  kernel.Give(unknown);
  CHECK(kernel.client.frames.size() == 1);

  kernel.endpoint.Send(Blob(64, 9), 0);
  std::size_t size = 0;
  const uhid_event input = kernel.Next(&size);
  REQUIRE(input.type == UHID_INPUT2);
  CHECK(input.u.input2.size == 64);
  CHECK(input.u.input2.data[63] == 9);
  CHECK(size == kOutputHead + 2 + 64);
}

TEST_CASE("uhid: report requests are refused, so that the host does not wait") {
  Kernel kernel;
  REQUIRE(kernel.endpoint.Appear(SomeIdentity()).has_value());
  kernel.Next();
  uhid_event request{};
  request.type = UHID_GET_REPORT;
  request.u.get_report.id = 77;
  kernel.Give(request);
  uhid_event answer = kernel.Next();
  REQUIRE(answer.type == UHID_GET_REPORT_REPLY);
  CHECK(answer.u.get_report_reply.id == 77);
  CHECK(answer.u.get_report_reply.err == EIO);
  request = {};
  request.type = UHID_SET_REPORT;
  request.u.set_report.id = 78;
  kernel.Give(request);
  answer = kernel.Next();
  REQUIRE(answer.type == UHID_SET_REPORT_REPLY);
  CHECK(answer.u.set_report_reply.id == 78);
}

TEST_CASE("uhid: when the kernel lets go, the key was pulled, once") {
  Kernel kernel;
  REQUIRE(kernel.endpoint.Appear(SomeIdentity()).has_value());
  shutdown(kernel.fd, SHUT_RDWR);
  kernel.client.Poll(kernel.endpoint);
  kernel.client.Poll(kernel.endpoint);
  CHECK(kernel.client.pulled == 1);
}

TEST_CASE("uhid: descriptors that lie") {
  CHECK(ReportDescriptor(DescriptorLie::kUsagePage)[1] == 0x01);
  CHECK(ReportDescriptor(DescriptorLie::kShortReports) != ReportDescriptor(DescriptorLie::kNone));
  CHECK(ReportDescriptor(DescriptorLie::kKeyboard)[1] == 0x01);
  CHECK(ReportDescriptor(DescriptorLie::kTruncated).size() ==
        ReportDescriptor(DescriptorLie::kNone).size() / 2);
  Kernel kernel;
  REQUIRE(kernel.endpoint.Appear(SomeIdentity(DescriptorLie::kReportIds)).has_value());
  kernel.Next();
  kernel.endpoint.Send(Blob(64, 9), 0);
  const uhid_event input = kernel.Next();
  CHECK(input.u.input2.size == 65);
  CHECK(input.u.input2.data[0] == 1);
  CHECK(input.u.input2.data[1] == 9);
}

}  // namespace
}  // namespace keyferry::sim::test
