// Protected accounts against a real controller: each case asks for everything that writes and must
// be refused with rule and next step, without one modify having left. This controller would obey:
// the service account has the rights in OU=People, and Samba guards no administrator of its own
// accord, so every refusal here is Keyferry's.
#include <algorithm>
#include <functional>
#include <map>

#include "server/directory/person.h"
#include "server/directory/text.h"
#include "tests/integration/directory/directories.h"

namespace keyferry::testing {
namespace {

constexpr const char* kForeign = "S-1-5-21-7-7-7-";  // a domain that this one once trusted
constexpr const char* kPassword = "Case-Password-1";

std::string Line(const std::string& name, std::string_view value) {
  return TestDomain::Line(name, value);
}

std::string CasesOu(const TestDomain& domain) { return "OU=Cases," + domain.people_dn; }

std::string User(const TestDomain& domain, const std::string& login, const std::string& more = {}) {
  const auto quoted = QuotedUtf16(Secret(kPassword));
  return Line("dn", "CN=" + login + "," + CasesOu(domain)) +
         "objectClass: user\nsAMAccountName: " + login + "\n" + Line("unicodePwd", quoted->view()) +
         "userAccountControl: 512\n" + more + "\n";
}

std::string Group(const TestDomain& domain, const std::string& name, const std::string& members,
                  int type = -2147483646) {
  return "dn: CN=" + name + "," + CasesOu(domain) +
         "\nobjectClass: group\nsAMAccountName: " + name + "\ngroupType: " + std::to_string(type) +
         "\n" + members + "\n";
}

std::string Member(const TestDomain& domain, const std::string& login) {
  return Line("member", "CN=" + login + "," + CasesOu(domain));
}

std::string AddMember(const std::string& group_dn, const std::string& member_line) {
  return "dn: " + group_dn + "\nchangetype: modify\nadd: member\n" + member_line + "\n";
}

// A directory that looks everywhere, and counts what it writes.
struct Watched {
  explicit Watched(TestDomain& domain, const std::function<void(LdapConfig&)>& change = {}) {
    LdapConfig config = ConfigFor(domain);
    config.people_dn = domain.base_dn;
    config.context_life = std::chrono::milliseconds(0);
    config.on_write = [this](const AccountId&) { ++writes; };
    if (change) change(config);
    directory = Open(std::move(config));
  }
  int writes = 0;
  std::unique_ptr<Directory> directory;
};

AccountId Find(TestDomain& domain, const std::string& filter) {
  const std::string found = domain.Listing(domain.base_dn, filter, {"objectGUID"});
  static const std::string kName = "\nobjectGUID:: ";
  const std::size_t at = found.find(kName);
  INFO(filter << " finds " << found);
  REQUIRE(at != std::string::npos);
  const std::string text = found.substr(at + kName.size(), 24);
  static const std::string kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  AccountId id;
  std::uint32_t bits = 0;
  std::size_t count = 0, out = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<std::uint32_t>(kDigits.find(c));
    count += 6;
    if (count < 8) continue;
    count -= 8;
    if (out < id.bytes.size()) id.bytes[out++] = static_cast<std::uint8_t>(bits >> count);
  }
  return id;
}

AccountId Login(TestDomain& domain, const std::string& login) {
  return Find(domain, "(sAMAccountName=" + login + ")");
}

// Every way to write is refused with these words and a next step, and nothing has left.
void Untouchable(Watched& watched, const TestDomain& domain, const AccountId& id,
                 const std::string& rule, const AccountId& actor = {}) {
  INFO("rule: " << rule);
  Directory& directory = *watched.directory;
  const int before = watched.writes;
  const ChangeTarget target{domain.ldaps_uri, 0};
  Directory::SetOptions options;
  options.must_change = true;
  options.unlock = true;
  options.actor = actor;
  const std::vector<Result<void>> answers{
      directory.Pin(id, actor).map([](const ChangeTarget&) {}),
      directory.SetPassword(target, id, Secret("Must-Never-Be-Set-1"), options),
      directory.Unlock(id, actor), directory.RequireChange(id, actor, true)};
  for (const Result<void>& answer : answers) {
    CHECK_REFUSED(answer, ErrorCode::kPermissionDenied, rule);
    CHECK_THAT(answer.error().message, Catch::Matchers::Contains("Nothing was changed. "));
    CHECK(answer.error().message.back() == '.');
    CHECK(answer.error().message.find("changed. ") + 9 < answer.error().message.size());
  }
  CHECK(watched.writes == before);
}

// What a write would move, of every account there is.
std::string Stamps(TestDomain& domain) {
  return domain.Listing(domain.base_dn,
                        "(|(objectClass=user)(objectClass=foreignSecurityPrincipal))",
                        {"pwdLastSet", "lockoutTime", "msDS-KeyVersionNumber"});
}

// The accounts of the table, made once.
void MakeCases(TestDomain& domain) {
  static bool made = false;
  if (made) return;
  made = true;
  const std::string base = domain.base_dn;
  domain.Apply("dn: " + CasesOu(domain) + "\nobjectClass: organizationalUnit\n");
  std::string ldif;
  for (const char* login :
       {"plain",  "direct-da", "deep-da",        "direct-ea",  "nested-sa", "admins",
        "chain",  "accounts",  "servers",        "printers",   "backups",   "replics",
        "dcs",    "rodcs",     "erodcs",         "gpo",        "certs",     "shielded",
        "trusts", "primary",   "primary-nested", "circle",     "universal", "local",
        "marked", "negative",  "extra",          "extra-deep", "mailing",   "unseen",
        "unsure", "nameless",  "self",           "other-self"}) {
    ldif += User(domain, login);
  }
  ldif += "dn: CN=machine," + CasesOu(domain) +
          "\nobjectClass: computer\nsAMAccountName: machine$\nuserAccountControl: 4096\n\n";
  ldif += "dn: CN=a-dc," + CasesOu(domain) +
          "\nobjectClass: computer\nsAMAccountName: a-dc$\nuserAccountControl: 8192\n\n";
  ldif += "dn: CN=gmsa," + CasesOu(domain) +
          "\nobjectClass: msDS-GroupManagedServiceAccount\nsAMAccountName: gmsa$\n"
          "msDS-ManagedPasswordInterval: 30\n\n";
  ldif += "dn: CN=msa," + CasesOu(domain) +
          "\nobjectClass: msDS-ManagedServiceAccount\nsAMAccountName: msa$\n\n";
  ldif +=
      "dn: CN=person," + CasesOu(domain) +
      "\nobjectClass: inetOrgPerson\nsn: x\nsAMAccountName: person\nuserAccountControl: 546\n\n";
  const auto groups = [&](const std::vector<std::pair<std::string, std::string>>& list) {
    for (const auto& [name, members] : list) ldif += Group(domain, name, members);
  };
  groups({{"In1", Member(domain, "deep-da")},
          {"In2", Member(domain, "In1")},
          {"Sa1", Member(domain, "nested-sa")},
          {"C1", Member(domain, "chain")},
          {"C2", Member(domain, "C1")},
          {"C3", Member(domain, "C2")},
          {"C4", Member(domain, "C3")},
          {"Ring1", Member(domain, "circle")},
          {"Ring2", Member(domain, "Ring1")},
          {"Prim", Member(domain, "primary-nested")},
          {"ExtraGroup", Member(domain, "extra")},
          {"ExtraGroup2", Member(domain, "extra-deep")}});
  ldif += Group(domain, "Uni", Member(domain, "universal"), -2147483640);
  ldif += Group(domain, "Loc", Member(domain, "local"), -2147483644);
  ldif += Group(domain, "MailingGroup", Member(domain, "mailing"), 2);
  const auto put = [&](const std::string& group, const std::string& login) {
    ldif += AddMember(group + "," + base, Member(domain, login));
  };
  put("CN=Domain Admins,CN=Users", "direct-da");
  put("CN=Domain Admins,CN=Users", "In2");
  put("CN=Domain Admins,CN=Users", "person");
  put("CN=Domain Admins,CN=Users", "primary");
  put("CN=Enterprise Admins,CN=Users", "direct-ea");
  put("CN=Schema Admins,CN=Users", "Sa1");
  put("CN=Administrators,CN=Builtin", "admins");
  put("CN=Administrators,CN=Builtin", "C4");
  put("CN=Administrators,CN=Builtin", "Prim");
  put("CN=Account Operators,CN=Builtin", "accounts");
  put("CN=Server Operators,CN=Builtin", "servers");
  put("CN=Print Operators,CN=Builtin", "printers");
  put("CN=Backup Operators,CN=Builtin", "backups");
  put("CN=Backup Operators,CN=Builtin", "Uni");
  put("CN=Replicator,CN=Builtin", "replics");
  put("CN=Domain Controllers,CN=Users", "dcs");
  put("CN=Read-only Domain Controllers,CN=Users", "rodcs");
  put("CN=Enterprise Read-only Domain Controllers,CN=Users", "erodcs");
  put("CN=Group Policy Creator Owners,CN=Users", "gpo");
  put("CN=Cert Publishers,CN=Users", "certs");
  put("CN=Protected Users,CN=Users", "shielded");
  put("CN=Incoming Forest Trust Builders,CN=Builtin", "trusts");
  put("CN=Server Operators,CN=Builtin", "Loc");
  ldif += AddMember("CN=Ring1," + CasesOu(domain), Member(domain, "Ring2"));
  ldif += AddMember("CN=Print Operators,CN=Builtin," + base, Member(domain, "Ring2"));
  ldif += AddMember("CN=ExtraGroup," + CasesOu(domain), Member(domain, "ExtraGroup2"));
  // Foreign SIDs as members: the domain makes principals of them.
  ldif += AddMember("CN=Backup Operators,CN=Builtin," + base,
                    std::string("member: <SID=") + kForeign + "2001>\n");
  ldif += AddMember("CN=ExtraGroup," + CasesOu(domain),
                    std::string("member: <SID=") + kForeign + "2002>\n");
  const auto replace = [&](const std::string& login, const std::string& name,
                           const std::string& value) {
    ldif += "dn: CN=" + login + "," + CasesOu(domain) + "\nchangetype: modify\nreplace: " + name +
            "\n" + name + ": " + value + "\n\n";
  };
  replace("marked", "adminCount", "1");
  replace("negative", "adminCount", "-1");
  // Only a security group of the domain can be primary.
  replace("primary", "primaryGroupID", "512");
  domain.Apply(ldif);
  const std::string prim = domain.Listing(CasesOu(domain), "(cn=Prim)", {"primaryGroupToken"});
  static const std::string kToken = "primaryGroupToken: ";
  const std::size_t at = prim.find(kToken);
  REQUIRE(at != std::string::npos);
  ldif.clear();
  replace("primary-nested", "primaryGroupID",
          prim.substr(at + kToken.size(), prim.find('\n', at) - at - kToken.size()));
  domain.Apply(ldif);

  // What LDAP does not let anybody write.
  std::string offline;
  const auto historic = [&](const std::string& login, const std::string& rid) {
    offline += "dn: CN=" + login + "," + CasesOu(domain) +
               "\nchangetype: add\nobjectClass: user\nsAMAccountName: " + login +
               "\nuserAccountControl: 546\nsIDHistory: " + kForeign + rid + "\n\n";
  };
  historic("was-da", "512");
  historic("was-admin", "500");
  historic("was-keyadmin", "526");
  historic("was-ekeyadmin", "527");
  historic("was-backup", "2001");
  historic("was-extra", "2002");
  historic("was-nobody", "2003");
  domain.Offline(offline);
  const auto raw = [&](const std::string& login, const std::string& lines) {
    return "dn: CN=" + login + "," + CasesOu(domain) + "\nchangetype: modify\n" + lines + "\n";
  };
  domain.Apply(User(domain, "trust-type") + User(domain, "trust-bit") +
               User(domain, "machine-bit") + User(domain, "rodc-krbtgt") +
               User(domain, "critical"));
  domain.Offline(
      raw("trust-type", "replace: sAMAccountType\nsAMAccountType: 805306370\n") +
          raw("trust-bit", "replace: userAccountControl\nuserAccountControl: 2560\n") +
          raw("machine-bit", "replace: userAccountControl\nuserAccountControl: 4608\n") +
          raw("rodc-krbtgt", "add: msDS-SecondaryKrbTgtNumber\nmsDS-SecondaryKrbTgtNumber: 77\n") +
          raw("critical", "add: isCriticalSystemObject\nisCriticalSystemObject: TRUE\n"),
      true);
}

}  // namespace

TEST_CASE("every kind of protected account is refused before anything is written") {
  TestDomain& domain = TestDomain::Shared();
  MakeCases(domain);
  struct Case {
    const char* login;
    const char* rule;
  };
  const std::vector<Case> cases{
      {"direct-da", "member of Domain Admins"},
      {"deep-da", "member of Domain Admins"},
      {"person", "member of Domain Admins"},  // inetOrgPerson
      {"direct-ea", "member of Enterprise Admins"},
      {"nested-sa", "member of Schema Admins"},
      {"admins", "member of Administrators"},
      {"chain", "member of Administrators"},  // five groups deep
      {"accounts", "member of Account Operators"},
      {"servers", "member of Server Operators"},
      {"printers", "member of Print Operators"},
      {"backups", "member of Backup Operators"},
      {"replics", "member of Replicator"},
      {"dcs", "member of Domain Controllers"},
      {"rodcs", "member of Read-only Domain Controllers"},
      {"erodcs", "member of Enterprise Read-only Domain Controllers"},
      {"gpo", "member of Group Policy Creator Owners"},
      {"certs", "member of Cert Publishers"},
      {"shielded", "member of Protected Users"},
      {"trusts", "member of Incoming Forest Trust Builders"},
      {"primary", "member of Domain Admins"},          // as primary group
      {"primary-nested", "member of Administrators"},  // primary group in the group
      {"circle", "member of Print Operators"},         // groups that contain each other
      {"universal", "member of Backup Operators"},
      {"local", "member of Server Operators"},
      {"was-da", "SID history of Domain Admins"},
      {"was-admin", "SID history of Administrator"},
      {"was-keyadmin", "SID history of Key Admins"},
      {"was-ekeyadmin", "SID history of Enterprise Key Admins"},
      {"was-backup", "member of Backup Operators by its SID history"},  // foreign principal
      {"marked", "adminCount"},
      {"negative", "adminCount"},
      {"machine$", "a computer account"},
      {"a-dc$", "a computer account"},
      {"machine-bit", "a computer account"},
      {"gmsa$", "a managed service account"},
      {"msa$", "a managed service account"},
      {"trust-type", "a trust between domains"},
      {"trust-bit", "a trust between domains"},
      {"rodc-krbtgt", "krbtgt account of a read-only"},
      {"critical", "isCriticalSystemObject"},
      {"Administrator", "the built-in account Administrator"},
      {"krbtgt", "the built-in account krbtgt"},
      {"Guest", "the built-in account Guest"},
      {"DC1$", "a computer account"},
      {"svc-keyferry", "Keyferry's own service account"},
      {"extra", "directory.protected_groups"},
      {"extra-deep", "directory.protected_groups"},
      {"was-extra", "directory.protected_groups"},
  };
  REQUIRE(cases.size() >= 45);
  Watched watched(domain, [&](LdapConfig& config) {
    config.protected_groups = {"CN=ExtraGroup," + CasesOu(domain)};
  });
  const std::string before = Stamps(domain);
  for (const Case& each : cases) {
    INFO(each.login);
    Untouchable(watched, domain, Login(domain, each.login), each.rule);
  }
  // An account of another domain is an entry here too.
  Untouchable(watched, domain,
              Find(domain, "(&(objectClass=foreignSecurityPrincipal)(cn=" + std::string(kForeign) +
                               "2001))"),
              "an account of another domain");
  CHECK(Stamps(domain) == before);

  // The same requests do write to ordinary accounts, history or not.
  for (const char* login : {"plain", "was-nobody", "mailing"}) {
    INFO(login);
    const AccountId id = Login(domain, login);
    const int writes = watched.writes;
    const auto target = watched.directory->Pin(id, {});
    REQUIRE_OK(target);
    REQUIRE_OK(watched.directory->SetPassword(*target, id, Secret("Ordinary-Pass-1"), {}));
    REQUIRE_OK(watched.directory->Unlock(id, {}));
    CHECK(watched.writes == writes + 2);
  }
}

TEST_CASE("the service account is known by its SID, whatever it is called now") {
  TestDomain& domain = TestDomain::Shared();
  Watched watched(domain);
  const AccountId id = Login(domain, "svc-keyferry");
  REQUIRE_OK(watched.directory->Ping());  // binds while the name still holds
  domain.Apply("dn: " + domain.service_dn +
               "\nchangetype: modify\nreplace: sAMAccountName\nsAMAccountName: svc-renamed\n-\n"
               "replace: userPrincipalName\nuserPrincipalName: other@corp.example.test\n");
  Untouchable(watched, domain, id, "Keyferry's own service account");
  domain.Apply("dn: " + domain.service_dn +
               "\nchangetype: modify\nreplace: sAMAccountName\nsAMAccountName: svc-keyferry\n-\n"
               "replace: userPrincipalName\n" +
               Line("userPrincipalName", domain.service_upn));
}

TEST_CASE("nobody changes their own account, by whatever name they signed in") {
  TestDomain& domain = TestDomain::Shared();
  MakeCases(domain);
  Watched watched(domain);
  const AccountId self = Login(domain, "self");
  domain.Apply("dn: CN=self," + CasesOu(domain) +
               "\nchangetype: modify\nreplace: userPrincipalName\n"
               "userPrincipalName: Alias.Name@corp.example.test\n");
  for (const char* name :
       {"self", "SELF", "Self", "CORP\\self", "corp\\SELF", "self@corp.example.test",
        "SELF@CORP.EXAMPLE.TEST", "alias.name@corp.example.test", "ALIAS.NAME@CORP.EXAMPLE.TEST"}) {
    INFO(name);
    const auto facts = watched.directory->SignIn(name, Secret(kPassword));
    REQUIRE_OK(facts);
    REQUIRE(facts->outcome == BindOutcome::kAccepted);
    Untouchable(watched, domain, self, "it is your own", facts->person->id);
  }
  // A session from before the account was renamed and moved.
  const auto facts = watched.directory->SignIn("self", Secret(kPassword));
  REQUIRE_OK(facts);
  domain.Apply("dn: CN=self," + CasesOu(domain) +
               "\nchangetype: modrdn\nnewrdn: CN=someone else\ndeleteoldrdn: 1\nnewsuperior: " +
               domain.people_dn + "\n\ndn: CN=someone else," + domain.people_dn +
               "\nchangetype: modify\nreplace: sAMAccountName\nsAMAccountName: different\n");
  Untouchable(watched, domain, Login(domain, "different"), "it is your own", facts->person->id);

  // The same person's account of a domain that was merged into this one.
  const std::string sid = facts->person->sid;
  domain.Offline("dn: CN=former-self," + CasesOu(domain) +
                 "\nchangetype: add\nobjectClass: user\nsAMAccountName: former-self\n"
                 "userAccountControl: 546\n" +
                 "sIDHistory: " + sid + "\n");
  Untouchable(watched, domain, Login(domain, "former-self"), "it is your own", self);
  // Somebody else may, and an actor who is gone may nothing.
  const AccountId other = Login(domain, "other-self");
  REQUIRE_OK(watched.directory->Pin(self, other));
  AccountId gone = other;
  gone.bytes[3] ^= 0x55;
  const int writes = watched.writes;
  CHECK_REFUSED(watched.directory->Pin(self, gone), ErrorCode::kPermissionDenied, "sign in again");
  CHECK_REFUSED(watched.directory->Unlock(self, gone), ErrorCode::kPermissionDenied,
                "sign in again");
  CHECK(watched.writes == writes);
}

TEST_CASE("what cannot be read counts as protected") {
  TestDomain& domain = TestDomain::Shared();
  MakeCases(domain);
  Watched watched(domain);
  const std::string service =
      domain.Listing(domain.base_dn, "(sAMAccountName=svc-keyferry)", {"objectGUID"});
  const auto person = watched.directory->Get(Login(domain, "svc-keyferry"));
  REQUIRE_OK(person);
  const std::string& sid = person->person.sid;
  const auto hide = [&](const char* login, const char* attribute_guid) {
    domain.AddAces("CN=" + std::string(login) + "," + CasesOu(domain),
                   "(OD;;RP;" + std::string(attribute_guid) + ";;" + sid + ")");
  };
  hide("unsure", "b7c69e6d-2cc7-11d2-854e-00a0c983f608");    // tokenGroups
  hide("nameless", "bf9679e8-0de6-11d0-a285-00aa003049e2");  // objectSid
  hide("circle", "bf967a00-0de6-11d0-a285-00aa003049e2");    // primaryGroupID
  hide("local", "bf967a68-0de6-11d0-a285-00aa003049e2");     // userAccountControl
  Untouchable(watched, domain, Login(domain, "unsure"), "tokenGroups) cannot be read");
  Untouchable(watched, domain, Login(domain, "nameless"), "objectSid cannot be read");
  Untouchable(watched, domain, Login(domain, "local"), "userAccountControl cannot be read");
  domain.AddAces("CN=unseen," + CasesOu(domain), "(D;;RPLCLORC;;;" + sid + ")");
  const AccountId unseen = Login(domain, "unseen");
  const int writes = watched.writes;
  CHECK_FALSE(watched.directory->Pin(unseen, {}).has_value());
  CHECK_FALSE(watched.directory->Unlock(unseen, {}).has_value());
  CHECK_FALSE(
      watched.directory->SetPassword({domain.ldaps_uri, 0}, unseen, Secret("Never-Set-1"), {})
          .has_value());
  CHECK(watched.writes == writes);
}

TEST_CASE("a configured group that does not work protects everything") {
  TestDomain& domain = TestDomain::Shared();
  MakeCases(domain);
  const AccountId plain = Login(domain, "plain");
  for (const auto& [group, words] : std::vector<std::pair<std::string, std::string>>{
           {"CN=Nowhere," + CasesOu(domain), "no group that the service account can see"},
           {"CN=MailingGroup," + CasesOu(domain), "a distribution group"},
           {"CN=plain," + CasesOu(domain), "no group that the service account can see"}}) {
    Watched watched(domain,
                    [&, dn = group](LdapConfig& config) { config.protected_groups = {dn}; });
    CHECK_REFUSED(watched.directory->Pin(plain, {}), ErrorCode::kPermissionDenied, words);
    CHECK_REFUSED(watched.directory->Unlock(plain, {}), ErrorCode::kPermissionDenied, words);
    CHECK(watched.writes == 0);
  }
  LdapConfig config = ConfigFor(domain);
  config.protected_groups = {"not a dn"};
  CHECK_REFUSED(MakeLdapDirectory(std::move(config)), ErrorCode::kInvalidArgument,
                "directory.protected_groups");
}

TEST_CASE("an account that became protected after the change was pinned is not written to") {
  TestDomain& domain = TestDomain::Shared();
  MakeCases(domain);
  const AccountId plain = Login(domain, "plain");
  const std::string dn = "CN=plain," + CasesOu(domain);
  const auto mark = [&](const char* count) {
    domain.Apply("dn: " + dn + "\nchangetype: modify\nreplace: adminCount\nadminCount: " + count +
                 "\n");
  };
  SECTION("what was found is too old for its write") {
    LdapConfig config = ConfigFor(domain);
    config.check_life = std::chrono::milliseconds(0);
    int writes = 0;
    config.on_write = [&](const AccountId&) { ++writes; };
    const auto directory = Open(std::move(config));
    const auto target = directory->Pin(plain, {});
    REQUIRE_OK(target);
    mark("1");
    CHECK_REFUSED(directory->SetPassword(*target, plain, Secret("Must-Never-Be-Set-1"), {}),
                  ErrorCode::kPermissionDenied, "adminCount");
    CHECK(writes == 0);
  }
  SECTION("it was good for one write") {
    LdapConfig config = ConfigFor(domain);
    config.check_life = std::chrono::hours(1);
    int writes = 0;
    config.on_write = [&](const AccountId&) { ++writes; };
    const auto directory = Open(std::move(config));
    const auto target = directory->Pin(plain, {});
    REQUIRE_OK(target);
    REQUIRE_OK(directory->SetPassword(*target, plain, Secret("Once-And-No-More-1"), {}));
    mark("1");
    CHECK_REFUSED(directory->SetPassword(*target, plain, Secret("Must-Never-Be-Set-1"), {}),
                  ErrorCode::kPermissionDenied, "adminCount");
    // Nor for another actor, nor after the account was found unfit.
    mark("0");
    REQUIRE_OK(directory->Pin(plain, {}));
    mark("1");
    Directory::SetOptions other;
    other.actor = Login(domain, "extra");
    CHECK_REFUSED(directory->SetPassword(*target, plain, Secret("Must-Never-Be-Set-1"), other),
                  ErrorCode::kPermissionDenied, "adminCount");
    CHECK_FALSE(directory->Pin(plain, {}).has_value());
    CHECK_REFUSED(directory->SetPassword(*target, plain, Secret("Must-Never-Be-Set-1"), {}),
                  ErrorCode::kPermissionDenied, "adminCount");
    CHECK(writes == 1);
  }
  mark("0");
}

TEST_CASE("a privileged group that holds everybody protects everybody") {
  TestDomain& domain = TestDomain::Shared();
  MakeCases(domain);
  Watched watched(domain);
  const AccountId plain = Login(domain, "plain");
  REQUIRE_OK(watched.directory->Pin(plain, {}));
  const std::string group = "CN=Account Operators,CN=Builtin," + domain.base_dn;
  domain.Apply(AddMember(
      group, "member: CN=S-1-5-11,CN=ForeignSecurityPrincipals," + domain.base_dn + "\n"));
  Untouchable(watched, domain, plain, "everybody is a member of Account Operators");
  domain.Apply(
      "dn: " + group +
      "\nchangetype: modify\ndelete: member\nmember: CN=S-1-5-11,CN=ForeignSecurityPrincipals," +
      domain.base_dn + "\n");
  REQUIRE_OK(watched.directory->Pin(plain, {}));
}

}  // namespace keyferry::testing
