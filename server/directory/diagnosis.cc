#include "server/directory/diagnosis.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <utility>

#include "server/directory/access.h"
#include "server/directory/account_reader.h"
#include "server/directory/diagnosis_report.h"
#include "server/directory/metadata.h"
#include "server/directory/openldap_diagnosis.h"
#include "server/directory/person.h"
#include "server/directory/protection.h"
#include "server/directory/text.h"

namespace keyferry::server {
namespace {

using Status = Finding::Status;

constexpr std::size_t kMaxSwept = 200'000;  // people below people_dn
constexpr std::size_t kMaxUnits = 200;      // OUs that are looked at
constexpr std::size_t kMaxJudged = 500;     // accounts that are judged one by one
constexpr std::size_t kMaxNamed = 10;       // … and named
constexpr std::int64_t kPasswordDays = 14;  // before the service account's own password ends
constexpr std::string_view kUserClass = "bf967aba-0de6-11d0-a285-00aa003049e2";

struct Right {
  std::string_view name;
  std::string_view guid;    // of the right or the attribute
  std::string_view sddl;    // access mask
  std::string_view dsacls;  // the same for dsacls
};
constexpr std::array<Right, 4> kRights{{
    {"Reset Password", kResetPasswordRight, "CR", "CA"},
    {"pwdLastSet", "bf967a0a-0de6-11d0-a285-00aa003049e2", "RPWP", "RPWP"},
    {"lockoutTime", "28630ebf-41d5-11d1-a9c1-0000f80367c1", "RPWP", "RPWP"},
    {"tokenGroups", "b7c69e6d-2cc7-11d2-854e-00a0c983f608", "RP", "RP"},
}};

class Doctor : private DiagnosisReport {
 public:
  Doctor(const LdapConfig& config, std::int64_t now)
      : DiagnosisReport(config, now), accounts_(config) {}

  Diagnosis Run() {
    bool domain_done = false;
    bool pdc_seen = false;
    std::size_t answered = 0;
    for (const std::string& uri : config_.uris) {
      const LdapEndpoint endpoint{uri, config_.ca_file, config_.kind, config_.section};
      auto connection = OpenAndBind(endpoint);
      if (connection == nullptr) continue;
      ++answered;
      const Session session{*connection, endpoint, Later()};
      const auto facts = accounts_.Facts(session);
      pdc_seen = pdc_seen || (facts && facts->pdc);
      Controls(session, facts);
      if (!domain_done) Domain(session);
      domain_done = true;
    }
    if (config_.prefer_pdc && answered > 0 && !pdc_seen) {
      Warn("PDC emulator",
           config_.section + ".prefer_pdc is on, but no controller in " + config_.section +
               ".uris that "
               "answered holds the PDC emulator's role.",
           "Add it to " + config_.section + ".uris, or turn " + config_.section +
               ".prefer_pdc off.");
    }
    return std::move(out_);
  }

 private:
  void Controls(const Session& session, const Result<ControllerFacts>& facts) {
    const std::string what = "controller " + session.endpoint.uri;
    LdapSearch search;
    search.scope = LdapSearch::Scope::kBase;
    search.attributes = {"currentTime"};
    const auto root = Entries(session, search);
    const std::int64_t theirs =
        root && !root->empty() ? ReadGeneralizedTime(root->front().Get("currenttime")) : 0;
    Clock(what, theirs, "It does not tell its time (currentTime).", "Compare the clocks by hand.");
    if (!facts) {
      Warn(what + ": what it offers", facts.error().message, "See the server's log.");
    } else if (facts->policy_hints.empty()) {
      Ok(what + ": policy hints are not offered, so the server keeps a history of typed passwords");
    } else {
      Ok(what + ": policy hints, resets are held to the directory's history");
    }
  }

  void Domain(const Session& session) {
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
      Problem(std::string(key) + ": " + Shown(dn),
              found ? "The directory shows no such entry." : found.error().message,
              "Correct the name, or let the service account read the entry.");
      return;
    }
    ServiceAccount(session);
    People(session);
  }

  void ServiceAccount(const Session& session) {
    LdapSearch search;
    search.scope = LdapSearch::Scope::kBase;
    search.attributes = {"tokenGroups"};
    const auto root = Entries(session, search);
    if (root && !root->empty()) {
      for (std::string& sid : ReadSids(root->front(), "tokengroups")) {
        token_.insert(std::move(sid));
      }
    }
    std::string any;
    for (const std::string& sid : token_) any += "(objectSid=" + EscapeFilter(SidBinary(sid)) + ")";
    if (any.empty()) {
      Warn("service account",
           "The directory does not tell which account this is (tokenGroups of "
           "the root DSE).",
           "Rights cannot be judged without it; try them on a test account.");
      return;
    }
    for (const std::string& sid : EverybodysSids()) token_.insert(sid);
    search.base = config_.base_dn;
    search.scope = LdapSearch::Scope::kSubtree;
    search.filter = "(&(objectClass=user)(|" + any + "))";
    search.attributes = {"objectSid", "sAMAccountName", "msDS-UserPasswordExpiryTimeComputed"};
    const auto own = Entries(session, search);
    if (own && own->size() == 1) {
      sid_ = SidText(own->front().Get("objectsid")).value_or("");
      account_ = std::string(own->front().Get("samaccountname"));
      const AccountState state = ReadState(own->front(), FileTimeNow());
      const std::int64_t left = state.password_expires - now_;
      if (state.password_expires != 0 && left < kPasswordDays * 86400) {
        Warn("service account: password", "It ends in " + std::to_string(left / 86400) + " days.",
             "Set a new one in Active Directory and in " + config_.section + ".password_file.");
      } else {
        Ok("service account: password does not end soon");
      }
    }
    account_ = NetBios(session) + "\\" + (account_.empty() ? "ACCOUNT" : account_);
    std::string privileged;
    for (const std::string& sid : token_) {
      if (const auto name = ProtectedName(sid)) privileged = *name;
    }
    if (privileged.empty()) {
      Ok("service account: no privileged group");
    } else {
      Problem("service account: privileges",
              "It is a member of " + privileged + ", far more than Keyferry needs.",
              "Take it out of that group; the rights below are enough.");
    }
  }

  std::string NetBios(const Session& session) {
    const std::size_t slash = config_.bind_name.find('\\');
    if (slash != std::string::npos) return config_.bind_name.substr(0, slash);
    LdapSearch search;
    search.base = "CN=Partitions,CN=Configuration," + config_.base_dn;
    search.filter = "(&(objectClass=crossRef)(nCName=" + EscapeFilter(config_.base_dn) + "))";
    search.attributes = {"nETBIOSName"};
    const auto found = Entries(session, search);
    if (!found || found->empty()) return "DOMAIN";
    return CleanText(found->front().Get("netbiosname"), 32);
  }

  // One walk over everybody: which OUs there are, whom Keyferry may not touch, and one ordinary
  // account of each OU to try the rights on.
  void People(const Session& session) {
    LdapSearch search;
    search.base = config_.people_dn;
    search.filter = kUserFilter;
    search.attributes = {"objectGUID"};
    search.limit = kMaxSwept;
    std::map<std::string, std::vector<AccountId>> units;
    std::size_t count = 0;
    const LdapAnswer answer = session.connection.Search(search, Later(), [&](LdapEntry&& entry) {
      const auto person = ReadPerson(entry);
      if (!person) return;
      ++count;
      units[ParentOf(entry.dn)].push_back(person->id);
    });
    if (count == 0) {
      Problem("people",
              answer.ok() ? "No person is visible below " + config_.section + ".people_dn."
                          : ExplainRead(answer, session.endpoint).message,
              "Check " + config_.section + ".people_dn, and that the service account may list it.");
      return;
    }
    Ok("people: " + std::to_string(count) + " in " + Plural(units.size(), "OU", "OUs"));
    std::size_t judged = 0, guarded = 0, looked = 0;
    std::string names;
    for (const auto& [unit, people] : units) {
      if (++looked > kMaxUnits) break;
      std::optional<AccountId> sample;
      bool unreadable = false;
      for (const AccountId& id : people) {
        if (judged >= kMaxJudged && sample) break;
        ++judged;
        const auto detail = accounts_.Detail({session.connection, session.endpoint, Later()}, id);
        if (!detail) {
          Problem("protected accounts", detail.error().message,
                  "Put that right first; until then nothing is changed.");
          return;
        }
        if (!detail->state.is_protected) {
          if (!sample) sample = id;
          continue;
        }
        unreadable = unreadable ||
                     detail->state.protected_reason.find("cannot be read") != std::string::npos;
        if (++guarded <= kMaxNamed) {
          names += (names.empty() ? "" : "; ") + Shown(detail->person.login) + " (" +
                   detail->state.protected_reason + ")";
        }
      }
      if (unreadable)
        Missing(unit, "tokenGroups",
                "Some accounts' groups cannot be read, so "
                "they count as protected.");
      if (sample) Rights(session, unit, *sample);
    }
    if (guarded == 0) {
      Ok("protected accounts: none in scope");
    } else {
      Warn("protected accounts",
           Plural(guarded, "account", "accounts") + " below " + config_.section +
               ".people_dn cannot be changed: " + names + (guarded > kMaxNamed ? "; …" : "") + ".",
           "Nothing has to be done; who administers the domain should have a separate account for "
           "that, outside " +
               config_.section + ".people_dn.");
    }
    if (judged >= kMaxJudged || looked > kMaxUnits) {
      Ok("protected accounts: " + std::to_string(judged) + " of " + std::to_string(count) +
         " people were looked at");
    }
  }

  void Missing(const std::string& unit, std::string_view right, const std::string& cause) {
    const RightCommands commands = CommandsFor(right, unit, account_, sid_);
    Problem("right " + std::string(right) + " on " + Shown(unit), cause,
            "On a domain controller, as a domain administrator:\n" + commands.dsacls +
                "\nor, on Samba:\n" + commands.samba_tool);
  }

  void Rights(const Session& session, const std::string& unit, const AccountId& sample) {
    const Session fresh{session.connection, session.endpoint, Later()};
    LdapSearch search;
    search.base = GuidDn(sample);
    search.scope = LdapSearch::Scope::kBase;
    search.attributes = {"allowedAttributesEffective", "nTSecurityDescriptor"};
    search.with_dacl = true;
    const auto entries = Entries(fresh, search);
    if (!entries || entries->empty()) {
      Problem("rights on " + Shown(unit),
              entries ? "An account vanished meanwhile." : entries.error().message, "Try again.");
      return;
    }
    const LdapEntry& entry = entries->front();
    const auto access = ReadAccess(entry.Get("ntsecuritydescriptor"), token_);
    const std::string blocked =
        access && access->inheritance_blocked
            ? " The account that was tried takes no permissions from its OU: turn inheritance on "
              "for it."
            : "";
    bool whole = true;
    const auto& writable = entry.All("allowedattributeseffective");
    for (const std::string_view attribute : {"pwdLastSet", "lockoutTime"}) {
      if (std::any_of(writable.begin(), writable.end(),
                      [&](const std::string& name) { return EqualNoCase(name, attribute); })) {
        continue;
      }
      whole = false;
      Missing(unit, attribute,
              "The service account may not write " + std::string(attribute) + " of people there." +
                  blocked);
    }
    if (!access) {
      whole = false;
      Warn("right Reset Password on " + Shown(unit),
           "The permissions cannot be read, so nobody can tell.",
           "Let the service account read permissions, or try a change.");
    } else if (!access->reset_password) {
      whole = false;
      Missing(unit, "Reset Password",
              "The service account may not reset passwords of people there." + blocked);
    }
    if (whole) Ok("rights on " + Shown(unit) + ": reset password, unlock, must change");
  }

  AccountReader accounts_;
  std::set<std::string, std::less<>> token_;
  std::string sid_ = "SID";
  std::string account_;
};

}  // namespace

RightCommands CommandsFor(std::string_view right, const std::string& ou, const std::string& account,
                          const std::string& sid) {
  const auto found = std::find_if(kRights.begin(), kRights.end(),
                                  [&](const Right& each) { return each.name == right; });
  const Right& what = found == kRights.end() ? kRights.front() : *found;
  const std::string name(what.name), mask(what.dsacls);
  RightCommands out;
  out.dsacls = "dsacls \"" + ou + "\" /I:S /G \"" + account + ":" + mask + ";" + name + ";user\"";
  out.samba_tool = "samba-tool dsacl set --objectdn=\"" + ou + "\" --sddl=\"(OA;CIIO;" +
                   std::string(what.sddl) + ";" + std::string(what.guid) + ";" +
                   std::string(kUserClass) + ";" + sid + ")\"";
  return out;
}

Diagnosis Diagnose(const LdapConfig& config, std::int64_t now) {
  LdapConfig whole;
  whole.kind = config.kind;
  whole.uris = config.uris;
  whole.ca_file = config.ca_file;
  whole.base_dn = config.base_dn;
  whole.people_dn = config.people_dn.empty() ? config.base_dn : config.people_dn;
  whole.bind_name = config.bind_name;
  whole.bind_password = config.bind_password.Clone();
  whole.prefer_pdc = config.prefer_pdc;
  whole.default_policy = config.default_policy;
  whole.protected_groups = config.protected_groups;
  whole.timeout = config.timeout;
  whole.connect_timeout = config.connect_timeout;
  if (whole.kind == DirectoryKind::kOpenLdap) return DiagnoseOpenLdap(whole, now);
  return Doctor(whole, now).Run();
}

}  // namespace keyferry::server
