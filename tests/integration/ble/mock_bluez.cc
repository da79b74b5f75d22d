#include "tests/integration/ble/mock_bluez.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>

namespace keyferry::test {
namespace {

int Listen(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd, 8) != 0) {
    throw std::runtime_error("cannot listen at " + path);
  }
  return fd;
}

struct Child {
  pid_t pid;
  int in;
  int out;
};

Child Spawn(std::vector<std::string> arguments) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  return {pid, in[1], out[0]};
}

void End(pid_t pid) {
  if (pid <= 0) return;
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

}  // namespace

std::string AddressPrefix() {
  char text[16];
  const auto pid = static_cast<unsigned>(getpid());
  std::snprintf(text, sizeof text, "AA:BB:%02X:%02X:%02X", (pid >> 16) & 0xFF, (pid >> 8) & 0xFF,
                pid & 0xFF);
  return text;
}

MockBluez::MockBluez() {
  std::string name = (std::filesystem::temp_directory_path() / "keyferry-ble-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  folder_ = name;
  write_listener_ = Listen(folder_ + "/write");
  notify_listener_ = Listen(folder_ + "/notify");
  const auto bus = Spawn({"dbus-daemon", "--session", "--nofork", "--print-address",
                          "--address=unix:path=" + folder_ + "/bus"});
  bus_ = bus.pid;
  close(bus.in);
  from_mock_ = bus.out;
  address_ = ReadLine();
  close(from_mock_);
  const std::string variable = "DBUS_SYSTEM_BUS_ADDRESS=" + address_;
  const auto mock = Spawn({"env", variable, "/usr/bin/python3", KEYFERRY_BLUEZ_MOCK, folder_,
                           address_, AddressPrefix()});
  mock_ = mock.pid;
  to_mock_ = mock.in;
  from_mock_ = mock.out;
  if (ReadLine() != "ok") throw std::runtime_error("the mock did not start");
}

MockBluez::~MockBluez() {
  End(mock_);
  End(bus_);
  for (const int fd : {to_mock_, from_mock_, write_listener_, notify_listener_}) close(fd);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string MockBluez::ReadLine() {
  std::string line;
  char c = 0;
  while (read(from_mock_, &c, 1) == 1 && c != '\n') line += c;
  return line;
}

void MockBluez::Do(const std::string& statement) {
  const std::string line = statement + "\n";
  if (write(to_mock_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    throw std::runtime_error("the mock is gone");
  }
  const std::string answer = ReadLine();
  if (answer != "ok") throw std::runtime_error(statement + ": " + answer);
}

void MockBluez::ServeInfo(const FakeKey& key, std::size_t max_fragment) {
  std::string hex;
  char pair[8];
  std::snprintf(pair, sizeof pair, "%04x", static_cast<unsigned>(max_fragment));
  hex += pair;
  for (const std::uint8_t byte : key.info.Encode()) {
    std::snprintf(pair, sizeof pair, "%02x", byte);
    hex += pair;
  }
  Do("info_bytes = bytes.fromhex('" + hex + "')");
}

// bluetoothd is asked for notifications first.
std::unique_ptr<BlePump> MockBluez::Accept(FakeKey& key, std::size_t max_fragment) {
  const int notify = accept4(notify_listener_, nullptr, nullptr, SOCK_CLOEXEC);
  const int write = accept4(write_listener_, nullptr, nullptr, SOCK_CLOEXEC);
  return std::make_unique<BlePump>(key, max_fragment, write, notify);
}

HostLog::HostLog(const std::string& address, device::BleKeeping keeping) {
  device::BleOptions options;
  options.bus_address = address;
  options.keeping = keeping;
  options.note = [this](const std::string& line) {
    const std::scoped_lock lock(mutex_);
    notes_.push_back(line);
    changed_.notify_all();
  };
  host_ = device::BleHost::Start(options);
  discovery_ = host_->Watch();
  thread_ = std::thread([this] {
    while (const auto event = discovery_->Next()) {
      const std::scoped_lock lock(mutex_);
      events_.push_back(*event);
      changed_.notify_all();
    }
  });
}

HostLog::~HostLog() {
  discovery_->Stop();
  thread_.join();
  host_.reset();
}

std::string HostLog::Expect(device::DiscoveryEvent::Kind kind) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [this] { return !events_.empty(); })) {
    throw std::runtime_error("no event in time");
  }
  const auto event = events_.front();
  events_.pop_front();
  if (event.kind != kind) throw std::runtime_error("another event: " + event.place.path);
  return event.place.path;
}

std::string HostLog::Note(const std::string& words) {
  std::unique_lock lock(mutex_);
  std::string found;
  const auto look = [&] {
    while (!notes_.empty()) {
      found = std::move(notes_.front());
      notes_.pop_front();
      if (found.find(words) != std::string::npos) return true;
    }
    return false;
  };
  if (!changed_.wait_for(lock, kPatience, look)) {
    throw std::runtime_error("no note with: " + words);
  }
  return found;
}

std::size_t HostLog::Told(const std::string& words) {
  const std::scoped_lock lock(mutex_);
  return static_cast<std::size_t>(std::count_if(
      notes_.begin(), notes_.end(),
      [&](const std::string& note) { return note.find(words) != std::string::npos; }));
}

std::size_t HostLog::Waiting() {
  const std::scoped_lock lock(mutex_);
  return events_.size();
}

}  // namespace keyferry::test
