#include "device/discovery/discovery.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <future>

using namespace keyferry;
using device::DiscoveryEvent;
namespace fs = std::filesystem;

namespace {

struct Directory {
  Directory() {
    char name[] = "/tmp/keyferry-test-XXXXXX";
    path = mkdtemp(name);
  }
  ~Directory() { fs::remove_all(path); }
  fs::path path;
};

void MakeSocket(const fs::path& path) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  close(fd);
}

void Expect(device::Discovery& discovery, DiscoveryEvent::Kind kind, const fs::path& path) {
  const auto event = discovery.Next();
  REQUIRE(event);
  CHECK(event->kind == kind);
  CHECK(event->place.path == path.string());
}

}  // namespace

TEST_CASE("keys that are there at the start are told, then each change") {
  const Directory directory;
  const fs::path key = directory.path / "key.sock";
  MakeSocket(key);
  auto discovery = *device::WatchSockets({key.string(), (directory.path / "other").string()});
  Expect(*discovery, DiscoveryEvent::kAppeared, key);
  fs::remove(key);
  MakeSocket(key);
  fs::rename(key, directory.path / "other");
  Expect(*discovery, DiscoveryEvent::kVanished, key);
  Expect(*discovery, DiscoveryEvent::kAppeared, key);
  Expect(*discovery, DiscoveryEvent::kVanished, key);
  Expect(*discovery, DiscoveryEvent::kAppeared, directory.path / "other");
}

TEST_CASE("a directory that does not exist yet is waited for") {
  const Directory directory;
  const fs::path key = directory.path / "a" / "b" / "key.sock";
  auto discovery = *device::WatchSockets({key.string()});
  auto waiting = std::async(std::launch::async, [&] { return discovery->Next(); });
  fs::create_directories(key.parent_path());
  MakeSocket(key);
  const auto event = waiting.get();
  REQUIRE(event);
  CHECK(event->place.path == key.string());
  fs::remove_all(directory.path / "a");
  Expect(*discovery, DiscoveryEvent::kVanished, key);
}

TEST_CASE("other files in the directory are not keys") {
  const Directory directory;
  const fs::path key = directory.path / "key.sock";
  auto discovery = *device::WatchSockets({key.string()});
  MakeSocket(directory.path / "stranger.sock");
  MakeSocket(key);
  Expect(*discovery, DiscoveryEvent::kAppeared, key);
}

TEST_CASE("Stop ends the wait; a relative path is refused") {
  const Directory directory;
  auto discovery = *device::WatchSockets({(directory.path / "key.sock").string()});
  auto waiting = std::async(std::launch::async, [&] { return discovery->Next(); });
  discovery->Stop();
  CHECK(waiting.get().error().code == ErrorCode::kUnavailable);
  CHECK_FALSE(device::WatchSockets({"key.sock"}));
}
