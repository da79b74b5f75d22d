#include "client-daemon/app/config.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "client-daemon/core/encoding.h"
#include "client-daemon/core/files.h"

namespace keyferry::daemon {
namespace {

constexpr std::size_t kMaxConfig = 64 * 1024;
constexpr std::size_t kMaxList = 32;
constexpr std::size_t kMaxSocketPath = 107;  // sun_path

// Reads the table key by key and remembers the first thing that is wrong.
class Reader {
 public:
  // `prefix` stands before the keys' names in messages.
  Reader(std::string file, const toml::table& table, std::string prefix = {})
      : file_(std::move(file)), prefix_(std::move(prefix)), table_(table) {}

  std::string Text(std::string_view key, bool required, std::string fallback = {}) {
    known_.push_back(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr) {
      if (required) Refuse(nullptr, "`" + std::string(key) + "` is missing; add it.");
      return fallback;
    }
    const auto value = node->value_exact<std::string>();
    if (!value || value->empty() || value->size() > 4096 || Printable(*value, 4096) != *value) {
      Refuse(node, "`" + prefix_ + std::string(key) + "` must be a text in quotes, not empty.");
      return fallback;
    }
    return *value;
  }

  std::string Path(std::string_view key, bool required, std::size_t max = 4095) {
    std::string path = Text(key, required);
    if (!path.empty() && (path[0] != '/' || path.size() > max)) {
      Refuse(table_.get(key), "`" + std::string(key) +
                                  "` must be an absolute path (beginning with /) of at most " +
                                  std::to_string(max) + " characters.");
    }
    return path;
  }

  int Number(std::string_view key, int fallback, int least, int most) {
    known_.push_back(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr) return fallback;
    const auto value = node->value_exact<std::int64_t>();
    if (!value || *value < least || *value > most) {
      Refuse(node, "`" + std::string(key) + "` must be a whole number from " +
                       std::to_string(least) + " to " + std::to_string(most) + ".");
      return fallback;
    }
    return static_cast<int>(*value);
  }

  // The elements of a list, each still to be checked; an absent list is empty.
  std::vector<const toml::node*> List(std::string_view key) {
    known_.push_back(key);
    std::vector<const toml::node*> out;
    const toml::node* node = table_.get(key);
    if (node == nullptr) return out;
    const toml::array* array = node->as_array();
    if (array == nullptr || array->size() > kMaxList) {
      Refuse(node, "`" + prefix_ + std::string(key) + "` must be a list in brackets of at most " +
                       std::to_string(kMaxList) + " entries.");
      return out;
    }
    for (const toml::node& element : *array) out.push_back(&element);
    return out;
  }

  bool Flag(std::string_view key, bool fallback) {
    known_.push_back(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr) return fallback;
    const auto value = node->value_exact<bool>();
    if (!value) Refuse(node, "`" + prefix_ + std::string(key) + "` must be true or false.");
    return value.value_or(fallback);
  }

  // Null when it is absent.
  const toml::table* Table(std::string_view key) {
    known_.push_back(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr) return nullptr;
    const toml::table* table = node->as_table();
    if (table == nullptr) {
      Refuse(node, "`" + std::string(key) + "` must be a section, [" + std::string(key) + "].");
    }
    return table;
  }

  void Refuse(const toml::node* node, const std::string& why) {
    if (error_) return;
    std::string where = file_;
    if (node != nullptr) where += ":" + std::to_string(node->source().begin.line);
    error_ = Error{ErrorCode::kInvalidArgument, where + ": " + why, {}, 0};
  }

  const toml::node* Node(std::string_view key) const { return table_.get(key); }

  std::optional<Error> Finish() {
    for (const auto& [key, node] : table_) {
      if (std::find(known_.begin(), known_.end(), key.str()) == known_.end()) {
        Refuse(&node, "unknown key `" + prefix_ + Printable(key.str(), 60) +
                          "`; see docs/workstation.md for the keys that there are.");
      }
    }
    return error_;
  }

 private:
  const std::string file_;
  const std::string prefix_;
  const toml::table& table_;
  std::vector<std::string_view> known_;
  std::optional<Error> error_;
};

std::optional<uid_t> FindUser(const toml::node& node) {
  if (const auto number = node.value_exact<std::int64_t>()) {
    if (*number < 0 || *number > 0xFFFFFFFE) return std::nullopt;
    return static_cast<uid_t>(*number);
  }
  const auto name = node.value_exact<std::string>();
  if (!name || name->empty() || name->size() > 256) return std::nullopt;
  std::array<char, 16384> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (getpwnam_r(name->c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || !found) {
    return std::nullopt;
  }
  return entry.pw_uid;
}

KeyWays ReadKeys(Reader& reader) {
  KeyWays keys;
  const std::string usb = reader.Text("usb", false, "hidraw");
  if (usb == "libusb") {
    keys.usb = KeyWays::kLibusb;
  } else if (usb == "off") {
    keys.usb = KeyWays::kOff;
  } else if (usb != "hidraw") {
    reader.Refuse(reader.Node("usb"), "`keys.usb` must be \"hidraw\", \"libusb\" or \"off\".");
  }
  if (const auto ids = reader.List("usb_ids"); reader.Node("usb_ids") != nullptr) {
    keys.usb_ids.ids.clear();
    if (ids.empty()) {
      reader.Refuse(reader.Node("usb_ids"),
                    "`keys.usb_ids` must name at least one kind of key, such as \"1209:0001\"; to "
                    "leave USB alone, set usb = \"off\".");
    }
    for (const toml::node* node : ids) {
      const auto text = node->value_exact<std::string>();
      const auto id = device::UsbId::Parse(text.value_or(""));
      if (id && !keys.usb_ids.Has(*id)) {
        keys.usb_ids.ids.push_back(*id);
      } else {
        reader.Refuse(node,
                      id ? "an entry of `keys.usb_ids` is there twice."
                         : "an entry of `keys.usb_ids` is no kind of key. " + id.error().message);
      }
    }
  }
  keys.bluetooth = reader.Flag("bluetooth", keys.bluetooth);
  for (const toml::node* node : reader.List("sockets")) {
    const auto socket = node->value_exact<std::string>();
    if (!socket || socket->empty() || (*socket)[0] != '/' || socket->size() > kMaxSocketPath) {
      reader.Refuse(node,
                    "an entry of `keys.sockets` must be an absolute path of at most 107 "
                    "characters.");
    } else {
      keys.sockets.push_back(*socket);
    }
  }
  return keys;
}

bool IsHttpsOrigin(std::string_view url) {
  constexpr std::string_view kScheme = "https://";
  if (url.substr(0, kScheme.size()) != kScheme) return false;
  url.remove_prefix(kScheme.size());
  return !url.empty() && url.find_first_of("/?#@\\ \"<>") == std::string_view::npos;
}

Result<void> RefuseWideFile(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    return Fail(ErrorCode::kNotFound, path + " does not exist or may not be read.");
  }
  if ((info.st_mode & 022) != 0) {
    return Fail(ErrorCode::kPermissionDenied,
                path + " may be written by other users; close it with: chmod go-w " + path);
  }
  if (info.st_uid != 0 && info.st_uid != geteuid()) {
    return Fail(ErrorCode::kPermissionDenied,
                path +
                    " belongs to another user; it must belong to root or to the user of "
                    "keyferryd (chown).");
  }
  return {};
}

std::string HostName() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0' ? name.data()
                                                                           : "workstation";
}

}  // namespace

Result<Config> LoadConfig(const std::string& path) {
  if (auto closed = RefuseWideFile(path); !closed) return tl::unexpected(closed.error());
  const auto text = ReadBounded(path, kMaxConfig);
  if (!text) return tl::unexpected(text.error());
  const toml::parse_result parsed =
      toml::parse(std::string_view(reinterpret_cast<const char*>(text->data()), text->size()));
  if (!parsed) {
    return Fail(ErrorCode::kInvalidArgument,
                path + ":" + std::to_string(parsed.error().source().begin.line) + ": " +
                    std::string(parsed.error().description()));
  }

  Reader reader(path, parsed.table());
  Config config;
  config.server_url = reader.Text("server_url", true);
  config.server_ca = reader.Path("server_ca", true);
  config.state_dir = reader.Path("state_dir", true);
  config.socket = reader.Path("socket", true, kMaxSocketPath);
  config.name = reader.Text("name", false, HostName());
  config.log_level = reader.Text("log_level", false, config.log_level);
  config.log_file = reader.Path("log_file", false);
  config.domain = reader.Text("domain", false);
  config.computer = reader.Text("computer", false);
  if (config.domain.empty() != config.computer.empty() || config.domain.size() > 255 ||
      config.computer.size() > 63) {
    reader.Refuse(reader.Node(config.domain.empty() ? "computer" : "domain"),
                  "`domain` (at most 255 bytes) and `computer` (at most 63, without the $) go "
                  "together.");
  }
  config.agent_wait = reader.Number("agent_wait", config.agent_wait, 0, 600);
  if (!config.server_url.empty() && !IsHttpsOrigin(config.server_url)) {
    reader.Refuse(
        reader.Node("server_url"),
        "`server_url` must be https://host or https://host:port, with nothing behind it.");
  }
  if (config.name.size() > 64) {
    reader.Refuse(reader.Node("name"), "`name` may have at most 64 bytes.");
  }
  constexpr std::string_view kLevels[] = {"trace", "debug", "info", "warn", "error"};
  if (std::find(std::begin(kLevels), std::end(kLevels), config.log_level) == std::end(kLevels)) {
    reader.Refuse(reader.Node("log_level"),
                  "`log_level` must be one of trace, debug, info, warn, error.");
  }
  for (const toml::node* node : reader.List("allow_users")) {
    if (const auto user = FindUser(*node)) {
      config.allow_users.push_back(*user);
    } else {
      reader.Refuse(node,
                    "an entry of `allow_users` is no user of this system; give a name or a "
                    "numeric user id.");
    }
  }
  config.allow_seat = reader.Flag("allow_seat", config.allow_seat);
  if (const toml::table* keys = reader.Table("keys")) {
    Reader of_keys(path, *keys, "keys.");
    config.keys = ReadKeys(of_keys);
    if (auto error = of_keys.Finish()) return tl::unexpected(*std::move(error));
  }
  if (auto error = reader.Finish()) return tl::unexpected(*std::move(error));
  if (auto closed = RefuseWideFile(config.server_ca); !closed) {
    return Fail(closed.error().code,
                path + ":" + std::to_string(reader.Node("server_ca")->source().begin.line) +
                    ": `server_ca`: " + closed.error().message);
  }
  return config;
}

}  // namespace keyferry::daemon
