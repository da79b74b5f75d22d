#include "server/directory/person.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <utility>

#include "server/directory/protection.h"
#include "server/directory/text.h"

namespace keyferry::server {
namespace {

// userAccountControl bits ([MS-ADTS] section 2.2.16).
constexpr std::int64_t kDisabled = 0x2;
constexpr std::int64_t kLockedOut = 0x10;
constexpr std::int64_t kNeverExpires = 0x10000;
constexpr std::int64_t kSmartcardRequired = 0x40000;
constexpr std::int64_t kPasswordExpired = 0x800000;

constexpr std::int64_t kNever = 0x7FFFFFFFFFFFFFFF;
constexpr std::int64_t kUnixEpoch = 116444736000000000;  // 1970 as a FILETIME

std::optional<std::uint32_t> ParseUnsigned(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string First(const LdapEntry& entry, std::string_view name) {
  return CleanText(entry.Get(name));
}

}  // namespace

const std::vector<std::string>& PersonAttributes() {
  static const std::vector<std::string> kNames{
      "objectGUID", "objectSid", "sAMAccountName",  "userPrincipalName", "displayName", "cn",
      "mail",       "title",     "telephoneNumber", "department",        "employeeID"};
  return kNames;
}

const std::vector<std::string>& StateAttributes() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names = ChangeAttributes();
    names.emplace_back("msDS-User-Account-Control-Computed");
    names.emplace_back("msDS-UserPasswordExpiryTimeComputed");
    return names;
  }();
  return kNames;
}

const std::vector<std::string>& ChangeAttributes() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names = PersonAttributes();
    for (const char* name : {"msDS-ResultantPSO", "pwdLastSet", "accountExpires"}) {
      names.emplace_back(name);
    }
    for (const std::string& name : ProtectionAttributes()) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
    return names;
  }();
  return kNames;
}

std::optional<Person> ReadPerson(const LdapEntry& entry) {
  const std::string_view guid = entry.Get("objectguid");
  Person person;
  if (guid.size() != person.id.bytes.size()) return std::nullopt;
  std::memcpy(person.id.bytes.data(), guid.data(), guid.size());
  person.dn = entry.dn;
  person.login = First(entry, "samaccountname");
  person.upn = First(entry, "userprincipalname");
  person.display_name = First(entry, "displayname");
  if (person.display_name.empty()) person.display_name = First(entry, "cn");
  if (person.display_name.empty()) person.display_name = person.login;
  person.mail = First(entry, "mail");
  person.phone = First(entry, "telephonenumber");
  person.title = First(entry, "title");
  person.department = First(entry, "department");
  person.employee_id = First(entry, "employeeid");
  person.sid = SidText(entry.Get("objectsid")).value_or("");
  return person;
}

std::int64_t ReadInteger(const LdapEntry& entry, std::string_view name) {
  const std::string_view text = entry.Get(name);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : 0;
}

std::int64_t FileTimeNow() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(since).count() * 10 + kUnixEpoch;
}

AccountState ReadState(const LdapEntry& entry, std::int64_t now) {
  AccountState state;
  const std::int64_t control = ReadInteger(entry, "useraccountcontrol");
  const std::int64_t computed = ReadInteger(entry, "msds-user-account-control-computed");
  const std::int64_t expires = ReadInteger(entry, "accountexpires");
  state.password_last_set = ReadInteger(entry, "pwdlastset");
  state.disabled = (control & kDisabled) != 0;
  state.locked = (computed & kLockedOut) != 0;
  state.must_change = state.password_last_set == 0;
  state.password_expired = (computed & kPasswordExpired) != 0 && !state.must_change;
  state.password_never_expires = (control & kNeverExpires) != 0;
  state.smartcard_required = (control & kSmartcardRequired) != 0;
  state.account_expired = expires != 0 && expires != kNever && expires <= now;
  const std::int64_t ends = ReadInteger(entry, "msds-userpasswordexpirytimecomputed");
  if (ends > kUnixEpoch && ends != kNever)
    state.password_expires = (ends - kUnixEpoch) / 10'000'000;
  state.sid_history = ReadSids(entry, "sidhistory");
  state.token = ReadSids(entry, "tokengroups");
  return state;
}

std::string PrimaryGroupSid(const LdapEntry& entry) {
  const auto sid = SidText(entry.Get("objectsid"));
  const std::int64_t rid = ReadInteger(entry, "primarygroupid");
  if (!sid || rid <= 0) return {};
  return sid->substr(0, sid->rfind('-') + 1) + std::to_string(rid);
}

std::vector<std::string> ReadSids(const LdapEntry& entry, std::string_view name) {
  std::vector<std::string> sids;
  for (const std::string& value : entry.All(name)) {
    if (auto sid = SidText(value)) sids.push_back(std::move(*sid));
  }
  return sids;
}

std::string SidBinary(std::string_view sid) {
  if (sid.substr(0, 4) != "S-1-") return {};
  std::vector<std::uint32_t> parts;
  for (std::string_view rest = sid.substr(4); !rest.empty();) {
    const std::size_t dash = rest.find('-');
    const auto part = ParseUnsigned(rest.substr(0, dash));
    if (!part) return {};
    parts.push_back(*part);
    rest.remove_prefix(dash == std::string_view::npos ? rest.size() : dash + 1);
  }
  if (parts.size() < 2 || parts.size() > 16) return {};
  std::string out{1, static_cast<char>(parts.size() - 1), 0, 0};
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(parts[0] >> shift & 0xFF);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    for (const int shift : {0, 8, 16, 24}) out += static_cast<char>(parts[i] >> shift & 0xFF);
  }
  return out;
}

}  // namespace keyferry::server
