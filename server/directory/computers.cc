#include "server/directory/computers.h"

#include <algorithm>
#include <charconv>

#include "server/directory/text.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kNamesAtOnce = 50;  // in one filter
constexpr std::size_t kMaxName = 63;
// Bits of userAccountControl ([MS-ADTS] section 2.2.16).
constexpr unsigned long kAccountDisabled = 0x2;
constexpr unsigned long kControllers = 0x2000 | 0x4000000;  // domain controllers, read-only ones

// Nothing for an entry that lacks what a computer account has.
std::optional<Computer> ReadComputer(const LdapEntry& entry) {
  Computer out;
  const std::string_view guid = entry.Get("objectguid");
  std::string_view name = entry.Get("samaccountname");
  if (guid.size() != out.id.bytes.size() || name.size() < 2 || name.back() != '$') {
    return std::nullopt;
  }
  std::copy(guid.begin(), guid.end(), out.id.bytes.begin());
  name.remove_suffix(1);
  out.name = CleanText(name, kMaxName);
  out.dns_name = CleanText(entry.Get("dnshostname"), 255);
  out.dn = CleanText(entry.dn, 1024);
  const std::string_view control = entry.Get("useraccountcontrol");
  unsigned long flags = kAccountDisabled;  // unreadable counts as disabled
  std::from_chars(control.data(), control.data() + control.size(), flags);
  out.disabled = (flags & kAccountDisabled) != 0;
  out.controller = (flags & kControllers) != 0;
  return out;
}

}  // namespace

Result<std::vector<Computer>> FindComputers(const Session& session, const std::string& base_dn,
                                            std::span<const std::string> names) {
  std::vector<Computer> found;
  while (!names.empty()) {
    const auto some = names.first(std::min(names.size(), kNamesAtOnce));
    names = names.subspan(some.size());
    std::string any;
    for (const std::string& name : some) {
      if (name.empty() || name.size() > kMaxName) continue;
      any += "(sAMAccountName=" + EscapeFilter(name + "$") + ")";
    }
    if (any.empty()) continue;
    LdapSearch search;
    search.base = base_dn;
    search.filter = "(&(objectCategory=computer)(|" + any + "))";
    search.attributes = {"objectGUID", "sAMAccountName", "dNSHostName", "userAccountControl"};
    const auto entries = Entries(session, search);
    if (!entries) return tl::unexpected(entries.error());
    for (const LdapEntry& entry : *entries) {
      if (auto computer = ReadComputer(entry)) found.push_back(*std::move(computer));
    }
  }
  return found;
}

}  // namespace keyferry::server
