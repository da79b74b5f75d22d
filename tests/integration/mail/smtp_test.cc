// Mails over a real mail server: TLS in both ways, sign-in, refusals for now and for good.
#include "server/mail/smtp.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <fstream>

#include "server/core/clock.h"
#include "server/core/encoding.h"
#include "server/tls/ca.h"
#include "tests/unit/server-core/test_database.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

namespace json = boost::json;

void Write(const std::filesystem::path& file, std::string_view text) {
  std::ofstream(file, std::ios::binary) << text;
}

// Certificates that a test's mail server shows.
struct Vouching {
  Vouching() {
    const std::int64_t now = SystemClock().UnixSeconds();
    const auto ca = MakeCa("Mail CA", now - 60, now + 3600);
    const auto other = MakeCa("Another CA", now - 60, now + 3600);
    const auto server = MakeServerCertificate(ca->certificate_pem, ca->key_pem,
                                              {"localhost", "127.0.0.1"}, now - 60, now + 3600);
    const auto foreign = MakeServerCertificate(ca->certificate_pem, ca->key_pem, {"mail.example"},
                                               now - 60, now + 3600);
    Write(File("ca.pem"), ca->certificate_pem);
    Write(File("other.pem"), other->certificate_pem);
    Put("server", *server);
    Put("foreign", *foreign);
  }
  void Put(const std::string& name, const CertificateAndKey& pair) {
    Write(File(name + ".pem"), pair.certificate_pem);
    Write(File(name + ".key"), std::string(pair.key_pem.span().begin(), pair.key_pem.span().end()));
  }
  std::string File(const std::string& name) const { return (folder.path / name).string(); }
  TempFolder folder;
};

// aiosmtpd in a process of its own, until the object goes.
class MailServer {
 public:
  explicit MailServer(std::vector<std::string> arguments) {
    signal(SIGPIPE, SIG_IGN);
    int in[2], out[2];
    REQUIRE(pipe2(in, O_CLOEXEC) == 0);
    REQUIRE(pipe2(out, O_CLOEXEC) == 0);
    arguments.insert(arguments.begin(), {"/usr/bin/python3", KEYFERRY_SMTP_SERVER});
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    child_ = fork();
    if (child_ == 0) {
      dup2(in[0], 0);
      dup2(out[1], 1);
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    in_ = in[1];
    out_ = out[0];
    const std::string first = Line();
    REQUIRE(first.rfind("ready ", 0) == 0);
    port = static_cast<std::uint16_t>(std::stoi(first.substr(6)));
  }
  ~MailServer() {
    close(in_);
    close(out_);
    waitpid(child_, nullptr, 0);
  }
  MailServer(const MailServer&) = delete;
  MailServer& operator=(const MailServer&) = delete;

  // The next mail that it took.
  json::object Mail() { return json::parse(Line()).as_object(); }
  bool Quiet() {
    pollfd waiting{out_, POLLIN, 0};
    return poll(&waiting, 1, 0) == 0;
  }

  std::uint16_t port = 0;

 private:
  std::string Line() {
    std::string line;
    char c = 0;
    while (read(out_, &c, 1) == 1 && c != '\n') line += c;
    return line;
  }

  pid_t child_ = -1;
  int in_ = -1, out_ = -1;
};

struct Road {
  SmtpConfig Config(const MailServer& server, SmtpTls tls) const {
    SmtpConfig config;
    config.host = "localhost";
    config.port = server.port;
    config.tls = tls;
    config.ca_file = vouching.File("ca.pem");
    config.from = "keyferry@corp.example";
    config.helo = "server.corp.example";
    config.timeout_seconds = 20;
    return config;
  }
  std::vector<std::string> Certified(const char* tls, const std::string& name = "server") const {
    return {"--tls",  tls,
            "--cert", vouching.File(name + ".pem"),
            "--key",  vouching.File(name + ".key")};
  }
  static MailMessage Message(const std::string& to = "alice@corp.example") {
    return {to, "Your password is renewed in 3 days, J\xC3\xB6rg",
            SecureBytes::CopyOf(std::string_view("Hello J\xC3\xB6rg,\n.\nline\n"))};
  }
  Vouching vouching;
};

std::string Text(const json::value& value) { return std::string(value.as_string()); }

}  // namespace

TEST_CASE("a mail goes over verified TLS, signed in, and arrives as it was written") {
  Road road;
  const bool implicit = GENERATE(false, true);
  auto arguments = road.Certified(implicit ? "tls" : "starttls");
  arguments.insert(arguments.end(), {"--login", "keyferry", "s3cret pass"});
  MailServer server(arguments);
  SmtpConfig config = road.Config(server, implicit ? SmtpTls::kTls : SmtpTls::kStartTls);
  config.user = "keyferry";
  config.password = SecureBytes::CopyOf(std::string_view("s3cret pass"));
  const auto mailer = MakeSmtpMailer(std::move(config));
  REQUIRE(mailer->Probe());
  REQUIRE(mailer->Send(Road::Message()));
  const json::object mail = server.Mail();
  CHECK(Text(mail.at("from")) == "keyferry@corp.example");
  CHECK(Text(mail.at("to").as_array()[0]) == "alice@corp.example");
  CHECK(mail.at("encrypted").as_bool());
  CHECK(Text(mail.at("login")) == "keyferry");
  CHECK(Text(mail.at("host")) == "server.corp.example");
  const std::string content = Text(mail.at("content"));
  CHECK(content.find("Subject: =?UTF-8?B?") != std::string::npos);
  CHECK(content.find("Auto-Submitted: auto-generated\r\n") != std::string::npos);
  const std::string body = content.substr(content.find("\r\n\r\n") + 4);
  const auto decoded = FromBase64(body.substr(0, body.find("\r\n")));
  REQUIRE(decoded);
  CHECK(std::string(decoded->begin(), decoded->end()) == "Hello J\xC3\xB6rg,\n.\nline\n");
}

TEST_CASE("no mail goes to a server that does not prove who it is") {
  Road road;
  SECTION("another CA") {
    MailServer server(road.Certified("starttls"));
    SmtpConfig config = road.Config(server, SmtpTls::kStartTls);
    config.ca_file = road.vouching.File("other.pem");
    const auto sent = MakeSmtpMailer(std::move(config))->Send(Road::Message());
    REQUIRE_FALSE(sent);
    CHECK(sent.error().code == ErrorCode::kUnavailable);
    CHECK(sent.error().message.find("No verified TLS") == 0);
    CHECK(server.Quiet());
  }
  SECTION("another name") {
    MailServer server(road.Certified("tls", "foreign"));
    CHECK_FALSE(MakeSmtpMailer(road.Config(server, SmtpTls::kTls))->Probe());
  }
  SECTION("no STARTTLS offered") {
    MailServer server({"--tls", "none"});
    const auto sent =
        MakeSmtpMailer(road.Config(server, SmtpTls::kStartTls))->Send(Road::Message());
    REQUIRE_FALSE(sent);
    CHECK(sent.error().message.find("No verified TLS") == 0);
    CHECK(server.Quiet());
    // Where the configuration says so it goes without.
    CHECK(MakeSmtpMailer(road.Config(server, SmtpTls::kNone))->Send(Road::Message()));
    CHECK_FALSE(server.Mail().at("encrypted").as_bool());
  }
}

TEST_CASE("what the mail server refuses is told apart") {
  Road road;
  SECTION("the sign-in") {
    auto arguments = road.Certified("starttls");
    arguments.insert(arguments.end(), {"--login", "keyferry", "right"});
    MailServer server(arguments);
    SmtpConfig config = road.Config(server, SmtpTls::kStartTls);
    config.user = "keyferry";
    config.password = SecureBytes::CopyOf(std::string_view("wrong"));
    const auto mailer = MakeSmtpMailer(std::move(config));
    CHECK(mailer->Probe().error().code == ErrorCode::kPermissionDenied);
    const auto sent = mailer->Send(Road::Message());
    CHECK(sent.error().code == ErrorCode::kPermissionDenied);
    CHECK((sent.error().message + sent.error().detail).find("wrong") == std::string::npos);
  }
  SECTION("a recipient") {
    MailServer server(road.Certified("starttls"));
    const auto mailer = MakeSmtpMailer(road.Config(server, SmtpTls::kStartTls));
    CHECK(mailer->Send(Road::Message("never@corp.example")).error().code ==
          ErrorCode::kInvalidArgument);
    CHECK(mailer->Send(Road::Message("later@corp.example")).error().code ==
          ErrorCode::kUnavailable);
    CHECK(mailer->Send(Road::Message("trap@corp.example")).error().code ==
          ErrorCode::kInvalidArgument);
    CHECK(mailer->Send(Road::Message("a@b\r\nDATA")).error().code == ErrorCode::kInvalidArgument);
    CHECK(server.Quiet());
    CHECK(mailer->Send(Road::Message()));
  }
  SECTION("nobody there") {
    SmtpConfig config;
    {
      MailServer server(road.Certified("starttls"));
      config = road.Config(server, SmtpTls::kStartTls);
    }
    const auto sent = MakeSmtpMailer(std::move(config))->Send(Road::Message());
    CHECK(sent.error().code == ErrorCode::kUnavailable);
    CHECK(sent.error().message.find("does not answer") != std::string::npos);
  }
}
