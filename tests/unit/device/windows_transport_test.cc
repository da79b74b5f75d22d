// The Windows transport over a named pipe in message mode, which keeps report boundaries as a HID
// device does; and, under Wine, before Wine's own HID devices.
#include "device/hid/windows_transport.h"

#include <windows.h>

#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <utility>

#include "device/hid/windows_devices.h"
#include "device/hid_port.h"
#include "device/key_client.h"
#include "tests/unit/device/fake_key.h"
#include "tests/unit/device/organisation.h"

using namespace keyferry;
using device::Clock;

namespace {

constexpr DWORD kPipeSize = 8 * 65;
using Report = std::array<std::uint8_t, 64>;

// A transport and the key's end of its pipe.
struct Pair {
  Pair() {
    static int number = 0;
    const std::wstring name = L"\\\\.\\pipe\\keyferry-test-" +
                              std::to_wstring(GetCurrentProcessId()) + L"-" +
                              std::to_wstring(++number);
    key = CreateNamedPipeW(name.c_str(), PIPE_ACCESS_DUPLEX | FILE_FLAG_FIRST_PIPE_INSTANCE,
                           PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE | PIPE_WAIT, 1, kPipeSize,
                           kPipeSize, 0, nullptr);
    REQUIRE(key != INVALID_HANDLE_VALUE);
    const HANDLE host = CreateFileW(name.c_str(), GENERIC_READ | GENERIC_WRITE, 0, nullptr,
                                    OPEN_EXISTING, FILE_FLAG_OVERLAPPED, nullptr);
    REQUIRE(host != INVALID_HANDLE_VALUE);
    DWORD mode = PIPE_READMODE_MESSAGE;
    REQUIRE(SetNamedPipeHandleState(host, &mode, nullptr, nullptr));
    transport = device::AdoptWindowsHid(host, R"(\\?\hid#test)");
  }
  ~Pair() { Unplug(); }
  void Unplug() {
    if (key != INVALID_HANDLE_VALUE) CloseHandle(std::exchange(key, INVALID_HANDLE_VALUE));
  }
  bool Send(std::span<const std::uint8_t> bytes) const {
    DWORD done = 0;
    return WriteFile(key, bytes.data(), static_cast<DWORD>(bytes.size()), &done, nullptr) &&
           done == bytes.size();
  }
  // One message; 0 when the other end is gone.
  std::size_t Receive(std::span<std::uint8_t> bytes) const {
    DWORD done = 0;
    return ReadFile(key, bytes.data(), static_cast<DWORD>(bytes.size()), &done, nullptr) ? done : 0;
  }

  std::unique_ptr<device::Transport> transport;
  HANDLE key = INVALID_HANDLE_VALUE;
};

Clock::time_point Soon() { return Clock::now() + std::chrono::seconds(20); }

std::uint32_t Handles() {
  DWORD count = 0;
  REQUIRE(GetProcessHandleCount(GetCurrentProcess(), &count));
  return count;
}

}  // namespace

TEST_CASE("windows: reports go out behind a zero report id and come in without one") {
  Pair pair;
  Report report{};
  report[0] = 9;
  report[63] = 7;
  REQUIRE(pair.transport->Write(report, Soon()));
  std::array<std::uint8_t, 100> seen{};
  REQUIRE(pair.Receive(seen) == 65);
  CHECK(seen[0] == 0);
  CHECK(seen[1] == 9);
  CHECK(seen[64] == 7);
  REQUIRE(pair.Send(std::span(seen).first(65)));
  Report in{};
  REQUIRE(pair.transport->Read(in, Soon()).value() == 64);
  CHECK(in == report);
  CHECK(pair.transport->Describe().kind == device::TransportKind::kHid);
  CHECK(pair.transport->Describe().path == R"(\\?\hid#test)");
}

TEST_CASE("windows: only reports of 64 bytes go out") {
  Pair pair;
  const std::array<std::uint8_t, 65> bytes{};
  for (const std::size_t size : {0U, 1U, 63U, 65U}) {
    CHECK(pair.transport->Write(std::span(bytes).first(size), Soon()).error().code ==
          ErrorCode::kInvalidArgument);
  }
}

TEST_CASE("windows: reports of a wrong size or id are the key's fault, and the next one is read") {
  Pair pair;
  Report in{};
  std::array<std::uint8_t, 65> bytes{};
  REQUIRE(pair.Send(std::span(bytes).first(1)));
  CHECK(pair.transport->Read(in, Soon()).error().code == ErrorCode::kProtocol);
  bytes[0] = 3;
  REQUIRE(pair.Send(bytes));
  CHECK(pair.transport->Read(in, Soon()).error().code == ErrorCode::kProtocol);
  bytes[0] = 0;
  REQUIRE(pair.Send(std::span(bytes).first(6)));
  CHECK(pair.transport->Read(in, Soon()).value() == 5);
  REQUIRE(pair.Send(std::array<std::uint8_t, 66>{}));
  CHECK(pair.transport->Read(in, Soon()).error().code == ErrorCode::kProtocol);
  CHECK(pair.transport->Read(in, Soon()).error().code == ErrorCode::kProtocol);  // its last byte
  REQUIRE(pair.Send(bytes));
  CHECK(pair.transport->Read(in, Soon()).value() == 64);
}

TEST_CASE("windows: nothing to read is late, loses nothing, and the key is still good") {
  Pair pair;
  Report in{};
  for (int i = 0; i < 3; ++i) {
    CHECK(pair.transport->Read(in, Clock::now()).error().code == ErrorCode::kDeadline);
  }
  std::array<std::uint8_t, 65> bytes{};
  for (std::uint8_t i = 1; i <= 5; ++i) {
    bytes[1] = i;
    REQUIRE(pair.Send(bytes));
  }
  for (std::uint8_t i = 1; i <= 5; ++i) {
    REQUIRE(pair.transport->Read(in, Soon()));
    CHECK(in[0] == i);
  }
}

TEST_CASE("windows: Cancel ends a waiting read and all that come later, in both directions") {
  Pair pair;
  auto reader = std::async(std::launch::async, [&] {
    Report in{};
    return pair.transport->Read(in, Clock::now() + std::chrono::hours(30));
  });
  pair.transport->Cancel();
  CHECK(reader.get().error().code == ErrorCode::kUnavailable);
  Report report{};
  CHECK(pair.transport->Read(report, Soon()).error().code == ErrorCode::kUnavailable);
  CHECK(pair.transport->Write(report, Soon()).error().code == ErrorCode::kUnavailable);
}

TEST_CASE("windows: unplugging in mid-read ends it, and writing too") {
  Pair pair;
  auto reader = std::async(std::launch::async, [&] {
    Report in{};
    return pair.transport->Read(in, Clock::now() + std::chrono::hours(1));
  });
  pair.Unplug();
  const auto gone = reader.get();
  CHECK(gone.error().code == ErrorCode::kUnavailable);
  CHECK(gone.error().detail.find("Windows error") != std::string::npos);
  const Report report{};
  CHECK(pair.transport->Write(report, Soon()).error().code == ErrorCode::kUnavailable);
}

TEST_CASE("windows: what a write notices first ends every later read") {
  Pair pair;
  pair.Unplug();
  Report report{};
  CHECK(pair.transport->Write(report, Soon()).error().code == ErrorCode::kUnavailable);
  CHECK(pair.transport->Read(report, Soon()).error().code == ErrorCode::kUnavailable);
}

TEST_CASE("windows: transports that come and go leave no handle behind") {
  { const Pair first; }
  const std::uint32_t before = Handles();
  for (int i = 0; i < 50; ++i) {
    Pair pair;
    if (i % 2 == 0) pair.Unplug();
    Report report{};
    static_cast<void>(pair.transport->Write(report, Soon()));
    static_cast<void>(pair.transport->Read(report, Clock::now()));
  }
  CHECK(Handles() == before);
}

TEST_CASE("windows: handshake, status and a job with its receipt, over reports") {
  test::Organisation organisation;
  test::FakeKey key;
  key.transport = protocol::Transport::kHid;
  Pair pair;
  const auto to_key = key.Connect();
  std::jthread out([&] {
    std::array<std::uint8_t, 65> report{};
    while (pair.Receive(report) == 65) {
      if (!to_key->Write(std::span(report).subspan(1), Soon())) return;
      // The fake key answers inside Write.
      Report answer{};
      while (to_key->Read(answer, Clock::now())) {
        std::copy(answer.begin(), answer.end(), report.begin() + 1);
        report[0] = 0;
        if (!pair.Send(report)) return;
      }
    }
  });
  {
    const auto port = device::HidPort::Start(std::move(pair.transport), {});
    auto link = port->OpenLink({});
    REQUIRE(link);
    device::KeyClient client(*std::move(link));
    const auto status =
        client.Handshake(organisation.Host(protocol::kRoleDeliver), key.noise_public);
    INFO((status ? "" : status.error().message + status.error().detail));
    CHECK(status);
    CHECK(client.GetStatus());
    const auto job =
        organisation.Job(key.info.device_id, key.account_id, key.noise_public, 1, 1, 0, {1});
    const auto receipt = client.PutJob(job);
    REQUIRE(receipt);
    CHECK(receipt->positive());
    CHECK(key.stored.size() == 1);
  }
  // The transport is gone, so its end of the pipe is, and the thread ends.
}

TEST_CASE("windows: only HID devices are opened, and only those that are there") {
  for (const char* path : {"", "C:\\file", "\\\\.\\pipe\\x", "\\\\?\\hid#a\\..\\b", "\\\\?\\usb#x",
                           "\\\\?\\hid#a b", "\\\\?\\hid#\xC3\xA4"}) {
    INFO(path);
    CHECK(device::OpenWindowsHid(path).error().code == ErrorCode::kInvalidArgument);
  }
  CHECK(device::OpenWindowsHid(R"(\\?\hid#vid_1209&pid_0001#7#{4d1e55b2})").error().code ==
        ErrorCode::kUnavailable);
  CHECK(device::WindowsHidPath(R"(\\?\HID#VID_1209&PID_0001#A)") ==
        R"(\\?\hid#vid_1209&pid_0001#a)");
}

TEST_CASE("windows: what the system says of a device decides whether it is a key") {
  device::WindowsHid hid;
  hid.path = R"(\\?\hid#vid_1209&pid_0001#7#{4d1e55b2})";
  hid.reports.applications = {{0xFF00, 1}};
  hid.reports.input_bits = hid.reports.output_bits = 512;
  CHECK(hid.CheckKey());
  hid.path = R"(\\?\hid#vid_1209&pid_0001&col01#7#{4d1e55b2})";
  CHECK(hid.CheckKey().error().message.find("several") != std::string::npos);
}

TEST_CASE("windows: Wine's mouse is found, asked and refused") {
  if (GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") == nullptr) {
    WARN("not under Wine: there is no device whose answers are known beforehand");
    return;
  }
  const device::HidMatch match{{{0x845E, 0x0001}}};
  // Wine's services bring the mouse some time after the first program started, and tell nobody.
  auto found = device::ListWindowsHid(match);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (found.empty() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    found = device::ListWindowsHid(match);
  }
  REQUIRE(found.size() == 1);
  CHECK(found[0].id == device::UsbId{0x845E, 0x0001});
  CHECK_FALSE(found[0].product.empty());
  CHECK(found[0].reports.foreign);
  CHECK(device::ListWindowsHid({}).empty());
  const auto mouse = device::OpenWindowsHid(found[0].path, match);
  REQUIRE_FALSE(mouse);
  CHECK(mouse.error().code == ErrorCode::kProtocol);
  CHECK(mouse.error().message.find("usage is 0x0001/0x0002") != std::string::npos);
  const auto stranger = device::OpenWindowsHid(found[0].path, {});
  REQUIRE_FALSE(stranger);
  CHECK(stranger.error().message.find("ids are 845e:0001") != std::string::npos);
}
