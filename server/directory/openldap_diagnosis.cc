#include "server/directory/openldap_diagnosis.h"

#include <ldap.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "server/directory/diagnosis_report.h"
#include "server/directory/metadata.h"
#include "server/directory/openldap_reader.h"
#include "server/directory/text.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMostSwept = 200'000;  // people below people_dn
constexpr std::size_t kMostUnits = 200;      // OUs that are looked at
constexpr std::size_t kSamples = 5;          // accounts of an OU that a right is tried on
constexpr const char* kPpolicyControl = "1.3.6.1.4.1.42.2.27.8.5.1";
constexpr const char* kPasswordModify = "1.3.6.1.4.1.4203.1.11.1";

bool Lists(const LdapEntry& entry, const char* attribute, const char* value) {
  const auto& values = entry.All(attribute);
  return std::find(values.begin(), values.end(), value) != values.end();
}

class OpenLdapDoctor : private DiagnosisReport {
 public:
  OpenLdapDoctor(const LdapConfig& config, std::int64_t now)
      : DiagnosisReport(config, now), accounts_(config) {}

  Diagnosis Run() {
    bool done = false;
    for (const std::string& uri : config_.uris) {
      const LdapEndpoint endpoint{uri, config_.ca_file, config_.kind, config_.section};
      auto connection = OpenAndBind(endpoint);
      if (connection == nullptr) continue;
      const Session session{*connection, endpoint, Later()};
      Server(session);
      if (!done) Tree(session);
      done = true;
    }
    return std::move(out_);
  }

 private:
  void Server(const Session& session) {
    const std::string what = "server " + session.endpoint.uri;
    LdapSearch search;
    search.scope = LdapSearch::Scope::kBase;
    search.base = "cn=Current,cn=Time,cn=Monitor";
    search.attributes = {"monitorTimestamp"};
    const auto clock = Entries(session, search);
    Clock(
        what,
        clock && !clock->empty() ? ReadGeneralizedTime(clock->front().Get("monitortimestamp")) : 0,
        "It does not tell its time (cn=Current,cn=Time,cn=Monitor).",
        "Compare the clocks by hand, or let the service account read the monitor database: the "
        "evidence of a change needs them within 3 seconds.");
    search.base.clear();
    search.attributes = {"supportedControl", "supportedExtension"};
    const auto root = Entries(session, search);
    if (!root || root->empty()) {
      return Warn(what + ": what it offers",
                  root ? "It shows nothing of itself." : root.error().message,
                  "Let the service account read the root DSE.");
    }
    if (!Lists(root->front(), "supportedcontrol", kPpolicyControl)) {
      Problem(what + ": password policies", "The overlay ppolicy is not loaded.",
              "Load it: moduleload ppolicy, and overlay ppolicy in the database.");
    } else {
      Ok(what + ": password policies");
    }
    if (!Lists(root->front(), "supportedextension", kPasswordModify)) {
      Problem(what + ": Password Modify", "It does not offer the extended operation of RFC 3062.",
              "Passwords cannot be set without it; see the server's configuration.");
    } else {
      Ok(what + ": Password Modify");
    }
  }

  void Tree(const Session& session) {
    LdapSearch search;
    search.scope = LdapSearch::Scope::kBase;
    for (const auto& [key, dn] :
         {std::pair<std::string, std::string>{config_.section + ".base_dn", config_.base_dn},
          {config_.section + ".people_dn", config_.people_dn}}) {
      search.base = dn;
      const auto found = Entries(session, search);
      if (found && !found->empty()) {
        Ok(std::string(key) + ": " + Shown(dn));
        continue;
      }
      return Problem(std::string(key) + ": " + Shown(dn),
                     found ? "The directory shows no such entry." : found.error().message,
                     "Correct the name, or let the service account read the entry.");
    }
    DefaultPolicy(session);
    People(session);
  }

  void DefaultPolicy(const Session& session) {
    if (config_.default_policy.empty()) {
      return Warn("default password policy",
                  config_.section +
                      ".default_policy is not set, so the length and age that the policy asks "
                      "for are told only by a refusal.",
                  "Set it to the DN that the overlay's ppolicy_default names.");
    }
    const auto policy = accounts_.Policy(session, config_.default_policy);
    const std::string what = "default password policy: " + Shown(config_.default_policy);
    if (!policy || !policy->shown.known) {
      return Problem(
          what,
          policy ? "It is no policy that the service account can read." : policy.error().message,
          "Correct " + config_.section + ".default_policy, or let the service account read it.");
    }
    if (!policy->user_change || policy->safe_modify) {
      return Problem(what,
                     "It lets nobody but the rootdn set a password (pwdAllowUserChange is off "
                     "or pwdSafeModify on).",
                     "Change the policy, or give people another one.");
    }
    if (!policy->must_change) {
      return Warn(what, "pwdMustChange is off, so nobody can be asked for a new password.",
                  "Turn it on where that is wanted.");
    }
    Ok(what);
  }

  void People(const Session& session) {
    LdapSearch search;
    search.base = config_.people_dn;
    search.filter = kOpenLdapPeople;
    search.attributes = {"entryUUID"};
    search.limit = kMostSwept;
    std::map<std::string, std::vector<AccountId>> units;
    std::size_t count = 0;
    const LdapAnswer answer = session.connection.Search(search, Later(), [&](LdapEntry&& entry) {
      const auto person = ReadOpenLdapPerson(entry);
      if (!person) return;
      ++count;
      units[ParentOf(entry.dn)].push_back(person->id);
    });
    if (count == 0) {
      return Problem("people",
                     answer.ok() ? "No person is visible below " + config_.section + ".people_dn."
                                 : ExplainRead(answer, session.endpoint).message,
                     "Check " + config_.section +
                         ".people_dn, and that the service account may read uid and "
                         "entryUUID there.");
    }
    if (answer.ok()) {
      Ok("people: " + std::to_string(count) + " in " + Plural(units.size(), "OU", "OUs"));
    } else {
      Warn("people: " + std::to_string(count), "The server ends the list there.",
           "Allow the service account the whole: limits dn.exact=\"" + config_.bind_name +
               "\" size=unlimited");
    }
    std::size_t looked = 0;
    for (const auto& [unit, people] : units) {
      if (++looked > kMostUnits) break;
      Unit(session, unit, people);
    }
  }

  void Unit(const Session& session, const std::string& unit, const std::vector<AccountId>& people) {
    std::string last = "Nobody there may be changed.";
    for (std::size_t i = 0; i < std::min(people.size(), kSamples); ++i) {
      const Session fresh{session.connection, session.endpoint, Later()};
      const auto account = accounts_.Account(fresh, people[i]);
      if (!account) {
        return Problem("rights on " + Shown(unit), account.error().message,
                       "Put that right first; until then nothing is changed.");
      }
      if (account->detail.state.is_protected) continue;
      if (Try(fresh, unit, account->detail.person.dn, &last)) return;
    }
    Warn("rights on " + Shown(unit), last, "Try a change on a test account.");
  }

  // False when nothing can be said by this account.
  bool Try(const Session& session, const std::string& unit, const std::string& dn,
           std::string* why) {
    // Any value that a policy takes; it is never set.
    static constexpr const char* kNeverSet = "Never-Set-7h2Kq-9wXz-4mTb-6Rj";
    struct Write {
      const char* attribute;
      const char* value;
      const char* level;
      bool granted = false;
    };
    std::vector<Write> writes{{"userPassword", kNeverSet, "=w"},
                              {"pwdReset", "TRUE", "write"},
                              {"pwdAccountLockedTime", "000001010000Z", "write"}};
    for (Write& write : writes) {
      const LdapAnswer answer =
          session.connection.TryModify(dn, {{write.attribute, write.value}}, session.deadline);
      write.granted = answer.rc == LdapConnection::kNoOperation;
      if (write.granted || answer.rc == LDAP_INSUFFICIENT_ACCESS) continue;
      *why = answer.rc == LDAP_UNAVAILABLE_CRITICAL_EXTENSION
                 ? "The server does not know the No-Op control, so nobody can tell."
                 : "The server answers a trial with " + AnswerDetail(answer, {}) + ".";
      return false;
    }
    bool whole = true;
    for (const Write& write : writes) {
      if (write.granted) continue;
      whole = false;
      Problem(
          "right to write " + std::string(write.attribute) + " on " + Shown(unit),
          "The service account may not write " + std::string(write.attribute) + " of people there.",
          "Before other rules for it:\naccess to dn.subtree=\"" + unit +
              "\" attrs=" + write.attribute + " by dn.exact=\"" + config_.bind_name + "\" " +
              write.level + " by * break");
    }
    if (session.connection.TryModify(dn, {{"sn", "x"}}, session.deadline).rc ==
        LdapConnection::kNoOperation) {
      Warn(
          "service account: privileges",
          "It may write everything of people in " + Shown(unit) + ", far more than Keyferry needs.",
          "Use an account of its own, never the rootdn: no password policy holds that one.");
    }
    if (whole) Ok("rights on " + Shown(unit) + ": set password, unlock, must change");
    return true;
  }

  OpenLdapReader accounts_;
};

}  // namespace

Diagnosis DiagnoseOpenLdap(const LdapConfig& config, std::int64_t now) {
  return OpenLdapDoctor(config, now).Run();
}

}  // namespace keyferry::server
