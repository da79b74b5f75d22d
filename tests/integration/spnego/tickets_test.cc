// Tickets of a real domain controller: who they say their holder is, and which are refused.
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>

#include <cstdlib>

#include "server/directory/service_accounts.h"
#include "server/spnego/ticket_reader.h"
#include "tests/integration/directory/directories.h"
#include "tests/support/dc/process.h"

namespace keyferry::testing {
namespace {

constexpr char kName[] = "HTTP/keyferry.corp.example.test";
constexpr char kService[] = "HTTP/keyferry.corp.example.test@CORP.EXAMPLE.TEST";
constexpr char kOther[] = "HTTP/other.corp.example.test@CORP.EXAMPLE.TEST";

gss_OID_desc g_spnego_mech = {6, const_cast<char*>("\x2b\x06\x01\x05\x05\x02")};

gss_buffer_desc BufferOf(std::string_view text) {
  return {text.size(), const_cast<char*>(text.data())};
}

void Good(OM_uint32 major, OM_uint32 minor) {
  if (!GSS_ERROR(major)) return;
  OM_uint32 more = 0, unused = 0;
  gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
  gss_display_status(&unused, minor, GSS_C_MECH_CODE, GSS_C_NO_OID, &more, &text);
  FAIL(std::string(static_cast<char*>(text.value), text.length));
}

gss_name_t NameOf(std::string_view principal) {
  OM_uint32 minor = 0;
  gss_buffer_desc text = BufferOf(principal);
  gss_name_t name = GSS_C_NO_NAME;
  Good(gss_import_name(&minor, &text, GSS_KRB5_NT_PRINCIPAL_NAME, &name), minor);
  return name;
}

// A person at a computer of the domain, as their browser: signed in to it once, a token a request.
class Client {
 public:
  explicit Client(const SamplePerson& person) {
    OM_uint32 minor = 0;
    gss_name_t name = NameOf(person.login + "@CORP.EXAMPLE.TEST");
    gss_buffer_desc password = BufferOf(person.password);
    gss_OID_set_desc mechanisms = {1, &g_spnego_mech};
    Good(gss_acquire_cred_with_password(&minor, name, &password, GSS_C_INDEFINITE, &mechanisms,
                                        GSS_C_INITIATE, &credential_, nullptr, nullptr),
         minor);
    gss_release_name(&minor, &name);
  }
  ~Client() {
    OM_uint32 minor = 0;
    Forget();
    gss_release_cred(&minor, &credential_);
  }

  // `channel`: what the client binds its token to, or nothing.
  Bytes Token(const std::string& service = kService, const std::string& channel = {}) {
    Forget();
    OM_uint32 minor = 0;
    gss_name_t target = NameOf(service);
    gss_channel_bindings_struct bindings{};
    bindings.application_data = BufferOf(channel);
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    Good(gss_init_sec_context(&minor, credential_, &context_, target, &g_spnego_mech,
                              GSS_C_MUTUAL_FLAG, 0,
                              channel.empty() ? GSS_C_NO_CHANNEL_BINDINGS : &bindings,
                              GSS_C_NO_BUFFER, nullptr, &out, nullptr, nullptr),
         minor);
    const auto* const bytes = static_cast<const std::uint8_t*>(out.value);
    Bytes token(bytes, bytes + out.length);
    gss_release_buffer(&minor, &out);
    gss_release_name(&minor, &target);
    return token;
  }

  // Whether the answer proves the service that the last token was for.
  bool Believes(const Bytes& answer) {
    OM_uint32 minor = 0;
    gss_name_t target = NameOf(kService);
    gss_buffer_desc in = {answer.size(), const_cast<std::uint8_t*>(answer.data())};
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    const OM_uint32 major = gss_init_sec_context(
        &minor, credential_, &context_, target, &g_spnego_mech, GSS_C_MUTUAL_FLAG, 0,
        GSS_C_NO_CHANNEL_BINDINGS, &in, nullptr, &out, nullptr, nullptr);
    gss_release_buffer(&minor, &out);
    gss_release_name(&minor, &target);
    return major == GSS_S_COMPLETE;
  }

 private:
  void Forget() {
    OM_uint32 minor = 0;
    if (context_ != GSS_C_NO_CONTEXT) {
      gss_delete_sec_context(&minor, &context_, GSS_C_NO_BUFFER);
    }
    context_ = GSS_C_NO_CONTEXT;
  }
  gss_cred_id_t credential_ = GSS_C_NO_CREDENTIAL;
  gss_ctx_id_t context_ = GSS_C_NO_CONTEXT;
};

void SambaTool(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv{"samba-tool"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  Must(RunProcess(argv), "samba-tool " + arguments[0]);
}

// The domain, with an account for the pages and its keytab.
struct Realm {
  Realm() : domain(TestDomain::Shared()), keytab(domain.directory + "/http.keytab") {
    static bool made = false;
    ::setenv("KRB5_CONFIG", (domain.directory + "/krb5.conf").c_str(), 1);
    if (made) return;
    made = true;
    for (const char* login : {"svc-http", "svc-other"}) {
      SambaTool({"user", "create", login, "Kf-web-4f7c1a9e", "-H", domain.sam_ldb});
      domain.Apply("dn: CN=" + std::string(login) + ",CN=Users," + domain.base_dn +
                   "\nchangetype: modify\nreplace: msDS-SupportedEncryptionTypes\n"
                   "msDS-SupportedEncryptionTypes: 24\n");
    }
    SambaTool({"spn", "add", kName, "svc-http", "-H", domain.sam_ldb});
    SambaTool({"spn", "add", "HTTP/other.corp.example.test", "svc-other", "-H", domain.sam_ldb});
    Export();
  }
  void Export() const {
    ::unlink(keytab.c_str());
    SambaTool({"domain", "exportkeytab", keytab, std::string("--principal=") + kName, "-s",
               domain.smb_conf});
  }
  std::unique_ptr<KerberosReader> Reader() const {
    return MakeTicketReader({keytab, kService, domain.directory + "/tickets.replay"});
  }
  TestDomain& domain;
  const std::string keytab;
};

std::string Why(const Result<TicketHolder>& read) {
  return read ? "accepted" : read.error().message + " | " + read.error().detail;
}

}  // namespace

TEST_CASE("a ticket names its holder by the SID that the directory has, and proves the service") {
  Realm realm;
  const auto reader = realm.Reader();
  const auto directory = Open(ConfigFor(realm.domain));
  for (const char* role : {"administrator", "help_desk", "employee"}) {
    INFO(role);
    const SamplePerson& person = realm.domain.Person(role);
    Client client(person);
    const auto read = reader->Read(client.Token());
    INFO(Why(read));
    REQUIRE(read);
    CHECK(read->principal == person.login + "@CORP.EXAMPLE.TEST");
    CHECK(client.Believes(read->answer));
    const auto facts = directory->Recognise(read->sid);
    REQUIRE_OK(facts);
    CHECK(facts->outcome == BindOutcome::kAccepted);
    REQUIRE(facts->person);
    CHECK(facts->person->id == IdOf(person));
    const auto by_password = directory->SignIn(person.login, Secret(person.password));
    REQUIRE_OK(by_password);
    CHECK(facts->group_dns == by_password->group_dns);
  }
}

TEST_CASE("a ticket works once, also for a server that was started anew") {
  Realm realm;
  Client client(realm.domain.Person("administrator"));
  const Bytes token = client.Token();
  REQUIRE(realm.Reader()->Read(token));
  const auto again = realm.Reader()->Read(token);
  REQUIRE_FALSE(again);
  CHECK(again.error().code == ErrorCode::kUnauthenticated);
  CHECK_THAT(again.error().detail, Catch::Contains("replay"));
  CHECK(realm.Reader()->Read(client.Token()));
}

TEST_CASE("a client that binds its ticket to the channel is held to the certificate") {
  Realm realm;
  Client client(realm.domain.Person("administrator"));
  const auto reader = realm.Reader();
  Hash32 certificate;
  certificate.fill(7);
  reader->BindTo(certificate);
  const std::string prefix = "tls-server-end-point:";
  CHECK(reader->Read(client.Token(kService, prefix + std::string(32, '\7'))));
  CHECK(reader->Read(client.Token()));  // most browsers bind nothing
  const auto other = reader->Read(client.Token(kService, prefix + std::string(32, '\10')));
  REQUIRE_FALSE(other);
  CHECK(other.error().code == ErrorCode::kUnauthenticated);
}

TEST_CASE("tickets for another service, cut and altered ones are refused") {
  Realm realm;
  Client client(realm.domain.Person("administrator"));
  const auto reader = realm.Reader();
  const auto refused = [&reader](const Bytes& token) {
    const auto read = reader->Read(token);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == ErrorCode::kUnauthenticated);
  };
  refused(client.Token(kOther));
  refused(client.Token("krbtgt/CORP.EXAMPLE.TEST@CORP.EXAMPLE.TEST"));
  const Bytes good = client.Token();
  for (std::size_t cut = 1; cut < good.size(); cut += 97) {
    refused(Bytes(good.begin(), good.end() - static_cast<std::ptrdiff_t>(cut)));
  }
  for (std::size_t at = good.size() / 2; at < good.size(); at += 53) {
    Bytes altered = good;
    altered[at] ^= 1;
    refused(altered);
  }
  CHECK(reader->Read(good));
}

TEST_CASE("the directory knows nobody by a foreign SID, and says what an account may not") {
  Realm realm;
  const auto directory = Open(ConfigFor(realm.domain));
  for (const char* sid : {"", "S-1-5-21-1-2-3-1104", "S-1-5-32-544", "*", "S-1-5-21-1-2-3-*"}) {
    INFO(sid);
    const auto facts = directory->Recognise(sid);
    REQUIRE_OK(facts);
    CHECK(facts->outcome == BindOutcome::kWrong);
    CHECK_FALSE(facts->account);
  }
  for (const auto& [role, expected] :
       std::vector<std::pair<std::string, BindOutcome>>{{"disabled", BindOutcome::kDisabled},
                                                        {"expired", BindOutcome::kExpired},
                                                        {"must_change", BindOutcome::kMustChange},
                                                        {"locked", BindOutcome::kLocked},
                                                        {"employee", BindOutcome::kAccepted}}) {
    INFO(role);
    const auto detail = directory->Get(IdOf(realm.domain.Person(role)));
    REQUIRE_OK(detail);
    const auto facts = directory->Recognise(detail->person.sid);
    REQUIRE_OK(facts);
    CHECK(facts->outcome == expected);
    CHECK(facts->person.has_value() == (expected == BindOutcome::kAccepted));
  }
}

TEST_CASE(
    "a keytab that is older than the account's password is found, and a new one is taken up") {
  Realm realm;
  const auto version = [&realm] {
    const auto accounts = FindServiceAccounts(ConfigFor(realm.domain), kName);
    REQUIRE_OK(accounts);
    REQUIRE(accounts->size() == 1);
    CHECK(accounts->front().login == "svc-http");
    CHECK(accounts->front().aes);
    return accounts->front().key_version;
  };
  const auto newest = [&realm] {
    const auto entries = ReadKeytab(realm.keytab);
    REQUIRE_OK(entries);
    std::uint32_t best = 0;
    for (const KeytabEntry& entry : *entries) {
      CHECK(entry.principal == kService);
      best = std::max(best, entry.version);
    }
    return best;
  };
  CHECK(newest() == version());
  SambaTool({"user", "setpassword", "svc-http", "--newpassword=Kf-web-5a8d2b0f", "-H",
             realm.domain.sam_ldb});
  CHECK(newest() + 1 == version());
  const auto reader = realm.Reader();
  Client client(realm.domain.Person("administrator"));
  CHECK(reader->Read(client.Token()).error().code == ErrorCode::kUnauthenticated);
  realm.Export();
  CHECK(newest() == version());
  CHECK(reader->Read(client.Token()));
  CHECK(FindServiceAccounts(ConfigFor(realm.domain), "HTTP/nobody.example")->empty());
}

}  // namespace keyferry::testing
