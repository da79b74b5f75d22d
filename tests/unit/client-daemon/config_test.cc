#include "client-daemon/app/config.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/unit/client-daemon/temp_dir.h"

using namespace keyferry;
using namespace keyferry::daemon;

namespace {

struct ConfigRig {
  test::TempDir dir;
  std::string good = "server_url = \"https://keys.example:8443\"\nserver_ca = \"" +
                     (dir / "ca.pem") +
                     "\"\nstate_dir = \"/var/lib/k\"\nsocket = \"/run/k/daemon.sock\"\n";
  ConfigRig() {
    std::ofstream(dir / "ca.pem") << "x";
    chmod((dir / "ca.pem").c_str(), 0644);
  }
  Result<Config> Load(const std::string& text, mode_t mode = 0600) {
    std::ofstream(dir / "c.toml") << text;
    chmod((dir / "c.toml").c_str(), mode);
    return LoadConfig(dir / "c.toml");
  }
};

}  // namespace

TEST_CASE("a whole configuration is read") {
  ConfigRig rig;
  const auto config = rig.Load(rig.good +
                               "allow_users = [0, \"root\", 1234]\nallow_seat = true\n"
                               "name = \"Büro 7\"\nlog_level = \"debug\"\nagent_wait = 0\n"
                               "[keys]\nusb = \"libusb\"\nusb_ids = [\"1209:0001\", "
                               "\"f00d:BEEF\"]\nbluetooth = false\nsockets = [\"/a/b.sock\"]\n");
  REQUIRE(config);
  CHECK(config->server_url == "https://keys.example:8443");
  CHECK(config->allow_users == std::vector<uid_t>{0, 0, 1234});
  CHECK(config->allow_seat);
  CHECK(config->keys.usb == KeyWays::kLibusb);
  CHECK(config->keys.usb_ids.ids == std::vector<device::UsbId>{{0x1209, 1}, {0xF00D, 0xBEEF}});
  CHECK_FALSE(config->keys.bluetooth);
  CHECK(config->keys.sockets == std::vector<std::string>{"/a/b.sock"});
  CHECK(config->name == "Büro 7");
  CHECK(config->agent_wait == 0);
  const auto least = rig.Load(rig.good);
  REQUIRE(least);
  CHECK_FALSE(least->name.empty());
  CHECK(least->log_level == "info");
  CHECK_FALSE(least->allow_seat);
  CHECK(least->keys.usb == KeyWays::kHidraw);
  CHECK(least->keys.usb_ids.ids == std::vector<device::UsbId>{{0x1209, 1}});
  CHECK(least->keys.bluetooth);
  CHECK(least->keys.sockets.empty());
}

TEST_CASE("each mistake is refused with its line") {
  ConfigRig rig;
  const auto refused = [&](const std::string& line, const std::string& words) {
    const auto config = rig.Load(rig.good + line + "\n");
    REQUIRE_FALSE(config);
    INFO(config.error().message);
    CHECK(config.error().message.find("c.toml:5: ") != std::string::npos);
    CHECK(config.error().message.find(words) != std::string::npos);
  };
  refused("colour = \"red\"", "unknown key `colour`");
  refused("[section]\nx = 1", "unknown key `section`");
  refused("name = 7", "text in quotes");
  refused("name = \"\"", "not empty");
  refused("name = \"" + std::string(65, 'x') + "\"", "64 bytes");
  refused("log_level = \"loud\"", "one of trace");
  refused("log_file = \"log\"", "absolute path");
  refused("agent_wait = 601", "from 0 to 600");
  refused("agent_wait = 1.5", "whole number");
  refused("allow_seat = 1", "true or false");
  refused("keys = 1", "section");
  const auto refused_key = [&](const std::string& line, const std::string& words) {
    const auto config = rig.Load(rig.good + "[keys]\n" + line + "\n");
    REQUIRE_FALSE(config);
    INFO(config.error().message);
    CHECK(config.error().message.find("c.toml:6: ") != std::string::npos);
    CHECK(config.error().message.find(words) != std::string::npos);
  };
  refused_key("colour = \"red\"", "unknown key `keys.colour`");
  refused_key("usb = true", "text in quotes");
  refused_key("usb = \"serial\"", "\"hidraw\", \"libusb\" or \"off\"");
  refused_key("usb_ids = [\"1209\"]", "four hexadecimal digits");
  refused_key("usb_ids = [7]", "four hexadecimal digits");
  refused_key("usb_ids = []", "at least one");
  refused_key("usb_ids = [\"1209:0001\", \"1209:0001\"]", "twice");
  refused_key("bluetooth = \"yes\"", "true or false");
  refused_key("sockets = \"/a\"", "list");
  refused_key("sockets = [\"a\"]", "absolute path");
  refused_key("sockets = [\"/" + std::string(120, 'x') + "\"]", "107");
  refused("allow_users = [\"nobody-of-this-name\"]", "no user");
  refused("allow_users = [-1]", "no user");
  refused("socket = \"/again\"", "redefine");
  refused("= 3", "");
}

TEST_CASE("missing keys, wrong addresses and open files are refused") {
  ConfigRig rig;
  CHECK(rig.Load("").error().message.find("`server_url` is missing") != std::string::npos);
  for (const char* url : {"http://keys", "https://", "https://a/b", "https://a?b", "https://u@a"}) {
    CHECK(rig.Load("server_url = \"" + std::string(url) + "\"\n" +
                   rig.good.substr(rig.good.find('\n') + 1))
              .error()
              .message.find("https://host") != std::string::npos);
  }
  CHECK(rig.Load(rig.good, 0622).error().message.find("chmod go-w") != std::string::npos);
  chmod((rig.dir / "ca.pem").c_str(), 0666);
  CHECK(rig.Load(rig.good).error().message.find(":2: `server_ca`") != std::string::npos);
  CHECK(LoadConfig(rig.dir / "none.toml").error().code == ErrorCode::kNotFound);
  CHECK_FALSE(rig.Load(std::string(70000, '#')));
}
