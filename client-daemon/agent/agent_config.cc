#include "client-daemon/agent/agent_config.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "client-daemon/core/encoding.h"
#include "client-daemon/core/files.h"

namespace keyferry::daemon::login {
namespace {

constexpr std::size_t kMaxConfig = 64 * 1024;
constexpr std::size_t kMaxUsers = 256;
constexpr std::size_t kMaxSocketPath = 107;  // sun_path

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
                    "keyferry-agent (chown).");
  }
  return {};
}

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

// Takes the keys one by one and remembers the first thing that is wrong.
class Taker {
 public:
  Taker(const std::string& file, const toml::table& table) : file_(file), table_(table) {}

  std::string Path(std::string_view key, bool required, std::size_t max = 4095) {
    const toml::node* node = Take(key);
    if (node == nullptr) {
      if (required) Refuse(nullptr, "`" + std::string(key) + "` is missing; add it.");
      return {};
    }
    const auto path = node->value_exact<std::string>();
    if (!path || path->empty() || (*path)[0] != '/' || path->size() > max ||
        Printable(*path, max) != *path) {
      Refuse(node, "`" + std::string(key) +
                       "` must be an absolute path (beginning with /) of at most " +
                       std::to_string(max) + " characters.");
      return {};
    }
    return *path;
  }

  LogLevel Level(std::string_view key, LogLevel fallback) {
    const toml::node* node = Take(key);
    if (node == nullptr) return fallback;
    const auto name = node->value_exact<std::string>();
    if (name == "trace" || name == "debug") return LogLevel::kDebug;
    if (name == "info") return LogLevel::kInfo;
    if (name == "warn") return LogLevel::kWarning;
    if (name == "error") return LogLevel::kError;
    Refuse(node, "`log_level` must be one of trace, debug, info, warn, error.");
    return fallback;
  }

  std::optional<std::vector<uid_t>> Users(std::string_view key) {
    const toml::node* node = Take(key);
    if (node == nullptr) return std::nullopt;
    const toml::array* array = node->as_array();
    if (array == nullptr || array->size() > kMaxUsers) {
      Refuse(node, "`allow_users` must be a list in brackets of at most 256 entries.");
      return std::nullopt;
    }
    std::vector<uid_t> users;
    for (const toml::node& element : *array) {
      if (const auto user = FindUser(element)) {
        users.push_back(*user);
      } else {
        Refuse(&element,
               "an entry of `allow_users` is no user of this system; give a name or a "
               "numeric user id.");
      }
    }
    return users;
  }

  std::optional<protocol::P256Public> RootKey(std::string_view key) {
    const std::string path = Path(key, false);
    if (path.empty()) return std::nullopt;
    const toml::node* node = table_.get(key);
    if (auto closed = RefuseWideFile(path); !closed) {
      Refuse(node, "`root_pub`: " + closed.error().message);
      return std::nullopt;
    }
    const auto file = ReadBounded(path, 256);
    std::string text = file ? std::string(file->begin(), file->end()) : std::string();
    if (!text.empty() && text.back() == '\n') text.pop_back();
    const auto root = DecodeBase64Exactly<protocol::kP256PublicSize>(text);
    if (!root || !protocol::P256IsOnCurve(*root)) {
      Refuse(node, "`root_pub`: " + path +
                       " must hold one line: the organisation's root key, 65 bytes in base64.");
      return std::nullopt;
    }
    return *root;
  }

  std::optional<Error> Finish() {
    for (const auto& [key, node] : table_) {
      if (std::find(known_.begin(), known_.end(), key.str()) == known_.end()) {
        Refuse(&node, "unknown key `" + Printable(key.str(), 60) +
                          "`; see docs/login.md for the keys that there are.");
      }
    }
    return error_;
  }

 private:
  const toml::node* Take(std::string_view key) {
    known_.push_back(key);
    return table_.get(key);
  }
  void Refuse(const toml::node* node, const std::string& why) {
    if (error_) return;
    std::string where = file_;
    if (node != nullptr) where += ":" + std::to_string(node->source().begin.line);
    error_ = Error{ErrorCode::kInvalidArgument, where + ": " + why, {}, 0};
  }

  const std::string& file_;
  const toml::table& table_;
  std::vector<std::string_view> known_;
  std::optional<Error> error_;
};

}  // namespace

Result<AgentConfig> LoadAgentConfig(const std::string& path) {
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
  Taker take(path, parsed.table());
  AgentConfig config;
  config.state_dir = take.Path("state_dir", true);
  config.socket = take.Path("socket", true, kMaxSocketPath);
  config.daemon_socket = take.Path("daemon_socket", true, kMaxSocketPath);
  config.root_pub = take.RootKey("root_pub");
  config.allow_users = take.Users("allow_users");
  config.log_level = take.Level("log_level", config.log_level);
  config.log_file = take.Path("log_file", false);
  if (auto error = take.Finish()) return tl::unexpected(*std::move(error));
  return config;
}

}  // namespace keyferry::daemon::login
