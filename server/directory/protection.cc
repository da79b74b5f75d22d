#include "server/directory/protection.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include "server/directory/person.h"
#include "server/directory/text.h"

namespace keyferry::server {
namespace {

// sAMAccountType ([MS-SAMR] section 2.2.1.9).
constexpr std::int64_t kNormalUser = 0x30000000;
constexpr std::int64_t kTrustAccount = 0x30000002;

// userAccountControl ([MS-ADTS] section 2.2.16): interdomain, workstation and server trust
// accounts, partial secrets (RODC).
constexpr std::int64_t kTrustBit = 0x800;
constexpr std::int64_t kMachineBits = 0x1000 | 0x2000 | 0x04000000;

constexpr std::array<std::pair<std::uint32_t, std::string_view>, 16> kDomainRids{{
    {498, "Enterprise Read-only Domain Controllers"},
    {500, "Administrator"},
    {501, "Guest"},
    {502, "krbtgt"},
    {503, "DefaultAccount"},
    {512, "Domain Admins"},
    {516, "Domain Controllers"},
    {517, "Cert Publishers"},
    {518, "Schema Admins"},
    {519, "Enterprise Admins"},
    {520, "Group Policy Creator Owners"},
    {521, "Read-only Domain Controllers"},
    {522, "Cloneable Domain Controllers"},
    {525, "Protected Users"},
    {526, "Key Admins"},
    {527, "Enterprise Key Admins"},
}};
constexpr std::array<std::pair<std::uint32_t, std::string_view>, 7> kBuiltinRids{{
    {544, "Administrators"},
    {548, "Account Operators"},
    {549, "Server Operators"},
    {550, "Print Operators"},
    {551, "Backup Operators"},
    {552, "Replicator"},
    {557, "Incoming Forest Trust Builders"},
}};

constexpr const char* kOwnTools =
    "A domain administrator changes its password with the directory's own tools.";

template <typename Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// All values as SIDs; nullopt when one of them is not a SID.
std::optional<std::vector<std::string>> Sids(const LdapEntry& entry, std::string_view name) {
  std::vector<std::string> out;
  for (const std::string& value : entry.All(name)) {
    auto sid = SidText(value);
    if (!sid) return std::nullopt;
    out.push_back(std::move(*sid));
  }
  return out;
}

bool HasClass(const LdapEntry& entry, std::string_view name) {
  const auto& classes = entry.All("objectclass");
  return std::any_of(classes.begin(), classes.end(),
                     [&](const std::string& each) { return EqualNoCase(each, name); });
}

std::optional<Protection> JudgeKind(const LdapEntry& entry) {
  if (entry.All("objectclass").empty()) return Unreadable("objectClass");
  if (HasClass(entry, "foreignSecurityPrincipal")) {
    return Protection{"an account of another domain",
                      "Its password is kept in that domain; change it there."};
  }
  if (HasClass(entry, "msDS-GroupManagedServiceAccount") ||
      HasClass(entry, "msDS-ManagedServiceAccount")) {
    return Protection{"a managed service account",
                      "The domain changes its password by itself; there is nothing to do."};
  }
  const auto type = ParseNumber<std::int64_t>(entry.Get("samaccounttype"));
  const auto control = ParseNumber<std::int64_t>(entry.Get("useraccountcontrol"));
  if (!type) return Unreadable("sAMAccountType");
  if (!control) return Unreadable("userAccountControl");
  if (*type == kTrustAccount || (*control & kTrustBit) != 0) {
    return Protection{"the account of a trust between domains",
                      "The two domains change its password by themselves."};
  }
  if (HasClass(entry, "computer") || *type != kNormalUser || (*control & kMachineBits) != 0) {
    return Protection{"a computer account",
                      "The computer changes its password by itself; reset the account with the "
                      "directory's own tools if it lost it."};
  }
  if (!entry.All("msds-secondarykrbtgtnumber").empty()) {
    return Protection{"the krbtgt account of a read-only domain controller", kOwnTools};
  }
  return std::nullopt;
}

}  // namespace

const std::vector<std::string>& ProtectionAttributes() {
  static const std::vector<std::string> kNames{"objectClass",
                                               "objectSid",
                                               "sAMAccountType",
                                               "userAccountControl",
                                               "adminCount",
                                               "primaryGroupID",
                                               "sIDHistory",
                                               "tokenGroups",
                                               "isCriticalSystemObject",
                                               "msDS-SecondaryKrbTgtNumber"};
  return kNames;
}

const std::vector<std::string>& EverybodysSids() {
  // Everyone, Authenticated Users, This Organization ([MS-DTYP] section 2.4.2.4).
  static const std::vector<std::string> kSids{"S-1-1-0", "S-1-5-11", "S-1-5-15"};
  return kSids;
}

Protection Unreadable(std::string_view what) {
  return {"its " + std::string(what) + " cannot be read, so nobody can tell",
          "Let Keyferry's service account read it; \"keyferry-server doctor\" prints the command."};
}

Protection OwnAccount() {
  return {"it is your own", "You cannot change your own password here; ask a colleague."};
}

std::optional<std::string_view> ProtectedName(std::string_view sid) {
  const std::size_t dash = sid.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto rid = ParseNumber<std::uint32_t>(sid.substr(dash + 1));
  if (!rid) return std::nullopt;
  const auto find = [&](const auto& table) -> std::optional<std::string_view> {
    for (const auto& [number, name] : table) {
      if (number == *rid) return name;
    }
    return std::nullopt;
  };
  const std::string_view authority = sid.substr(0, dash);
  if (sid == "S-1-5-9") return "Enterprise Domain Controllers";
  if (authority == "S-1-5-32") return find(kBuiltinRids);
  const bool domain = authority.substr(0, 9) == "S-1-5-21-" &&
                      std::count(authority.begin(), authority.end(), '-') == 6;
  return domain ? find(kDomainRids) : std::nullopt;
}

std::optional<Protection> JudgeProtection(const LdapEntry& entry,
                                          const std::vector<std::string>& foreign_groups,
                                          const ProtectionContext& context) {
  if (auto kind = JudgeKind(entry)) return kind;
  const auto own = SidText(entry.Get("objectsid"));
  if (!own) return Unreadable("objectSid");
  if (context.own_token.contains(*own)) {
    return Protection{"Keyferry's own service account",
                      "Change its password with the directory's own tools, and then in " +
                          context.section + ".password_file."};
  }
  if (const auto name = ProtectedName(*own)) {
    return Protection{"the built-in account " + std::string(*name), kOwnTools};
  }
  // Everybody is in a primary group at least: an empty token was not read.
  auto groups = Sids(entry, "tokengroups");
  if (!groups || groups->empty()) return Unreadable("group membership (tokenGroups)");
  const std::string primary = PrimaryGroupSid(entry);
  if (primary.empty()) return Unreadable("primaryGroupID");
  groups->push_back(primary);
  for (const std::string& sid : *groups) {
    if (const auto name = ProtectedName(sid)) {
      return Protection{"member of " + std::string(*name), kOwnTools};
    }
  }
  const auto history = Sids(entry, "sidhistory");
  if (!history) return Unreadable("sIDHistory");
  for (const std::string& sid : *history) {
    if (const auto name = ProtectedName(sid)) {
      return Protection{"SID history of " + std::string(*name), kOwnTools};
    }
  }
  for (const std::string& sid : foreign_groups) {
    if (const auto name = ProtectedName(sid)) {
      return Protection{"member of " + std::string(*name) + " by its SID history", kOwnTools};
    }
  }
  for (const std::string& sid : context.everyones) {
    if (const auto name = ProtectedName(sid)) {
      return Protection{"everybody is a member of " + std::string(*name),
                        "Take Everyone and Authenticated Users out of that group first."};
    }
  }
  for (const auto& [sid, dn] : context.configured) {
    const auto in = [&](const std::vector<std::string>& sids) {
      return std::find(sids.begin(), sids.end(), sid) != sids.end();
    };
    if (in(*groups) || in(*history) || in(foreign_groups) || in(context.everyones)) {
      return Protection{"member of " + CleanText(dn, 256) + ", which this server protects",
                        "The group is named in " + context.section +
                            ".protected_groups; ask an administrator "
                            "of this server."};
    }
  }
  if (const std::string_view mark = entry.Get("admincount"); !mark.empty()) {
    const auto count = ParseNumber<std::int64_t>(mark);
    if (!count) return Unreadable("adminCount");
    if (*count != 0) {
      return Protection{"marked as an administrative account (adminCount)",
                        "If it is none any more, a domain administrator clears adminCount and lets "
                        "its permissions inherit again."};
    }
  }
  if (EqualNoCase(entry.Get("iscriticalsystemobject"), "TRUE")) {
    return Protection{"part of the directory itself (isCriticalSystemObject)", kOwnTools};
  }
  return std::nullopt;
}

}  // namespace keyferry::server
