#include "server/directory/openldap_person.h"

#include <ldap.h>

#include <algorithm>
#include <cctype>

#include "server/directory/metadata.h"
#include "server/directory/person.h"
#include "server/directory/text.h"

namespace keyferry::server {
namespace {

constexpr std::int64_t kEpoch = 11'644'473'600;  // 1601 to 1970, seconds
constexpr std::int64_t kTicks = 10'000'000;      // of password_last_set in a second
constexpr std::int64_t kDay = 86400;

bool IsTrue(const LdapEntry& entry, std::string_view name) {
  return EqualNoCase(entry.Get(name), "TRUE");
}

std::int64_t Count(const LdapEntry& entry, std::string_view name) {
  return std::clamp<std::int64_t>(ReadInteger(entry, name), 0, INT32_MAX);
}

std::optional<AccountId> ReadUuid(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash != (text[i] == '-')) return std::nullopt;
    if (!dash) {
      digits += static_cast<char>(std::tolower(static_cast<unsigned char>(text[i])));
    }
  }
  return AccountId::Parse(digits);
}

}  // namespace

const std::vector<std::string>& OpenLdapPersonAttributes() {
  static const std::vector<std::string> kNames{
      "entryUUID",        "uid", "displayName",   "cn", "mail", "title", "telephoneNumber",
      "departmentNumber", "ou",  "employeeNumber"};
  return kNames;
}

const std::vector<std::string>& OpenLdapStateAttributes() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names = OpenLdapPersonAttributes();
    for (const char* name :
         {"pwdChangedTime", "pwdAccountLockedTime", "pwdReset", "pwdPolicySubentry", "pwdStartTime",
          "pwdEndTime", "shadowExpire", "uidNumber", "modifiersName", "modifyTimestamp"}) {
      names.emplace_back(name);
    }
    return names;
  }();
  return kNames;
}

const std::vector<std::string>& OpenLdapPolicyAttributes() {
  static const std::vector<std::string> kNames{"cn",
                                               "pwdMinLength",
                                               "pwdInHistory",
                                               "pwdMinAge",
                                               "pwdMaxAge",
                                               "pwdLockoutDuration",
                                               "pwdMustChange",
                                               "pwdAllowUserChange",
                                               "pwdSafeModify",
                                               "pwdAttribute"};
  return kNames;
}

std::optional<Person> ReadOpenLdapPerson(const LdapEntry& entry) {
  const auto id = ReadUuid(entry.Get("entryuuid"));
  if (!id) return std::nullopt;
  const auto first = [&](std::string_view name) { return CleanText(entry.Get(name)); };
  Person person;
  person.id = *id;
  person.dn = entry.dn;
  person.login = first("uid");
  person.display_name = first("displayname");
  if (person.display_name.empty()) person.display_name = first("cn");
  if (person.display_name.empty()) person.display_name = person.login;
  person.mail = first("mail");
  person.phone = first("telephonenumber");
  person.title = first("title");
  person.department = first("departmentnumber");
  if (person.department.empty()) person.department = first("ou");
  person.employee_id = first("employeenumber");
  return person;
}

std::string UuidFilter(const AccountId& id) {
  std::string text = id.Hex();
  for (const std::size_t at : {20u, 16u, 12u, 8u}) text.insert(at, 1, '-');
  return "(entryUUID=" + text + ")";
}

OpenLdapPolicy ReadOpenLdapPolicy(const LdapEntry& entry) {
  OpenLdapPolicy policy;
  policy.shown.source = "a password policy";
  if (const auto name = entry.Get("cn"); !name.empty()) {
    policy.shown.source = "the password policy " + CleanText(name, 64);
  }
  if (entry.Get("pwdattribute").empty()) return policy;
  policy.shown.known = true;
  policy.shown.min_length = static_cast<std::uint32_t>(Count(entry, "pwdminlength"));
  policy.shown.history = static_cast<std::uint32_t>(Count(entry, "pwdinhistory"));
  policy.shown.min_age = Count(entry, "pwdminage");
  policy.shown.max_age = Count(entry, "pwdmaxage");
  policy.shown.history_checked = true;
  policy.shown.min_age_holds_resets = true;
  policy.lockout_duration = Count(entry, "pwdlockoutduration");
  policy.must_change = IsTrue(entry, "pwdmustchange");
  policy.user_change = !EqualNoCase(entry.Get("pwdallowuserchange"), "FALSE");
  policy.safe_modify = IsTrue(entry, "pwdsafemodify");
  return policy;
}

AccountState ReadOpenLdapState(const LdapEntry& entry, const OpenLdapPolicy& policy,
                               std::int64_t now) {
  AccountState state;
  const std::int64_t changed = ReadGeneralizedTime(entry.Get("pwdchangedtime"));
  if (changed != 0) {
    state.password_last_set = (changed + kEpoch) * kTicks;
    if (policy.shown.known && policy.shown.max_age != 0) {
      state.password_expires = changed + policy.shown.max_age;
      state.password_expired = state.password_expires <= now;
    }
  }
  if (const auto since = entry.Get("pwdaccountlockedtime"); !since.empty()) {
    // "000001010000Z" means for good, and so does a policy without a duration.
    const std::int64_t locked = ReadGeneralizedTime(since);
    state.locked =
        locked == 0 || policy.lockout_duration == 0 || now < locked + policy.lockout_duration;
  }
  state.must_change = IsTrue(entry, "pwdreset");
  const std::int64_t begins = ReadGeneralizedTime(entry.Get("pwdstarttime"));
  const std::int64_t ends = ReadGeneralizedTime(entry.Get("pwdendtime"));
  const std::int64_t shadow = ReadInteger(entry, "shadowexpire");  // days
  state.disabled = begins > now;
  state.account_expired = (ends != 0 && ends <= now) || (shadow > 0 && shadow <= now / kDay);
  return state;
}

PasswordStamp ReadOpenLdapStamp(const LdapEntry& entry, std::string_view own_dn) {
  PasswordStamp stamp;
  stamp.named_writer = true;
  const std::string_view changed = entry.Get("pwdchangedtime");
  const std::int64_t seconds = ReadGeneralizedTime(changed);
  if (seconds == 0) return stamp;
  stamp.last_set = (seconds + kEpoch) * kTicks;
  stamp.written = seconds;
  // slapd takes one time when its overlay looks at a password and another one when it makes the
  // write, so a second may begin in between. Any other write since (a failed bind counts as one)
  // hides who set the password.
  const std::int64_t made = ReadGeneralizedTime(entry.Get("modifytimestamp"));
  if ((made == seconds || made == seconds + 1) &&
      ComparableDn(entry.Get("modifiersname")) == ComparableDn(own_dn)) {
    stamp.writer = PasswordStamp::Writer::kHere;
  }
  return stamp;
}

std::string ComparableDn(std::string_view dn) {
  std::string out(dn);
  LDAPDN parsed = nullptr;
  if (ldap_str2dn(out.c_str(), &parsed, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS) {
    char* text = nullptr;
    if (ldap_dn2str(parsed, &text, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS && text != nullptr) {
      out = text;
    }
    ldap_memfree(text);
  }
  ldap_dnfree(parsed);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace keyferry::server
