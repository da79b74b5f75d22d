#include "client-daemon/uplink/domain.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "client-daemon/core/files.h"

namespace keyferry::daemon {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxSmbConf = 256 * 1024;
constexpr std::size_t kMaxFiles = 1000;
constexpr std::size_t kMaxNetbios = 15;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

std::string Folded(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), Lower);
  return out;
}

std::string_view Trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

bool IsDnsName(std::string_view text) {
  return !text.empty() && text.size() <= 255 && text.find('.') != std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
         });
}

// The computer account that joining makes of a host's name.
std::string AccountOf(std::string_view host) {
  std::string out(host.substr(0, std::min(host.find('.'), kMaxNetbios)));
  std::transform(out.begin(), out.end(), out.begin(), Upper);
  return out;
}

std::string HostName() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::optional<JoinedDomain> FromSssd(const std::string& root) {
  constexpr std::string_view kPrefix = "kdcinfo.";
  std::optional<JoinedDomain> out;
  std::error_code error;
  std::size_t files = 0;
  for (fs::directory_iterator it(root + "/var/lib/sss/pubconf", error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (++files > kMaxFiles) return std::nullopt;
    if (name.compare(0, kPrefix.size(), kPrefix) != 0) continue;
    const std::string domain = Folded(name.substr(kPrefix.size()));
    if (!IsDnsName(domain)) continue;
    if (out) return std::nullopt;
    out = JoinedDomain{domain, AccountOf(HostName())};
  }
  return out;
}

std::optional<JoinedDomain> FromSamba(const std::string& root) {
  const auto file = ReadBounded(root + "/etc/samba/smb.conf", kMaxSmbConf);
  if (!file) return std::nullopt;
  std::string_view text(reinterpret_cast<const char*>(file->data()), file->size());
  std::string realm, netbios;
  bool global = false, ads = false;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    line = Trim(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') global = Folded(line) == "[global]";
    const std::size_t equals = line.find('=');
    if (!global || equals == std::string_view::npos) continue;
    const std::string key = Folded(Trim(line.substr(0, equals)));
    const std::string_view value = Trim(line.substr(equals + 1));
    if (key == "realm") realm = Folded(value);
    if (key == "security") ads = Folded(value) == "ads";
    if (key == "netbios name") netbios = AccountOf(value);
  }
  if (!ads || !IsDnsName(realm)) return std::nullopt;
  return JoinedDomain{realm, netbios.empty() ? AccountOf(HostName()) : netbios};
}

}  // namespace

std::optional<JoinedDomain> FindDomain(const std::string& root) {
  auto found = FromSssd(root);
  if (!found) found = FromSamba(root);
  if (found && found->computer.empty()) return std::nullopt;
  return found;
}

}  // namespace keyferry::daemon
