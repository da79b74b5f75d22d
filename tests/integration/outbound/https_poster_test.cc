// Requests to a real HTTP server: verified TLS, no redirection, nothing endless, no address in
// words.
#include "server/outbound/https_poster.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

#include "server/core/clock.h"
#include "server/core/sms.h"
#include "server/tls/ca.h"
#include "tests/unit/server-core/test_database.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

namespace json = boost::json;

// Certificates that a test's server shows.
struct Certificates {
  Certificates() {
    const std::int64_t now = SystemClock().UnixSeconds();
    const auto ca = MakeCa("Receiver CA", now - 60, now + 3600);
    const auto other = MakeCa("Another CA", now - 60, now + 3600);
    Write("ca.pem", ca->certificate_pem);
    Write("other.pem", other->certificate_pem);
    for (const auto& [file, name] :
         {std::pair("server", "localhost"), std::pair("foreign", "receiver.example")}) {
      const auto pair =
          MakeServerCertificate(ca->certificate_pem, ca->key_pem, {name}, now - 60, now + 3600);
      Write(std::string(file) + ".pem", pair->certificate_pem);
      Write(std::string(file) + ".key",
            std::string(pair->key_pem.span().begin(), pair->key_pem.span().end()));
    }
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(File(name), std::ios::binary) << text;
  }
  std::string File(const std::string& name) const { return (folder.path / name).string(); }
  std::vector<std::string> Of(const std::string& name) const {
    return {"--cert", File(name + ".pem"), "--key", File(name + ".key")};
  }
  TempFolder folder;
};

// The server in a process of its own, until the object goes.
class Receiver {
 public:
  explicit Receiver(std::vector<std::string> arguments) {
    signal(SIGPIPE, SIG_IGN);
    int in[2], out[2];
    REQUIRE(pipe2(in, O_CLOEXEC) == 0);
    REQUIRE(pipe2(out, O_CLOEXEC) == 0);
    arguments.insert(arguments.begin(), {"/usr/bin/python3", KEYFERRY_HTTP_SERVER});
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
    port = first.substr(6);
  }
  ~Receiver() {
    close(in_);
    close(out_);
    waitpid(child_, nullptr, 0);
  }
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  // The next request that it got.
  json::object Request() { return json::parse(Line()).as_object(); }
  bool Quiet() {
    pollfd waiting{out_, POLLIN, 0};
    return poll(&waiting, 1, 0) == 0;
  }

  std::string port;

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

HttpPost PostTo(const std::string& url) {
  HttpPost post;
  post.url = url;
  post.content_type = "application/json";
  post.headers = {{"Keyferry-Delivery", "0123"}};
  post.body = SecureBytes::CopyOf(std::string_view("{\"ticket\":\"INC-1 \xC3\xB6\"}"));
  return post;
}

std::string Text(const json::value& value) { return std::string(value.as_string()); }

}  // namespace

TEST_CASE("a request goes over verified TLS and arrives as it was made") {
  Certificates certificates;
  Receiver receiver(certificates.Of("server"));
  const auto poster = MakeHttpsPoster({certificates.File("ca.pem"), 20});
  const std::string base = "https://localhost:" + receiver.port;
  const auto status = poster->Post(PostTo(base + "/hook?token=t0p"));
  REQUIRE(status);
  CHECK(*status == 204);
  const json::object request = receiver.Request();
  CHECK(Text(request.at("method")) == "POST");
  CHECK(Text(request.at("path")) == "/hook?token=t0p");
  CHECK(Text(request.at("body")) == "{\"ticket\":\"INC-1 \xC3\xB6\"}");
  const json::object& headers = request.at("headers").as_object();
  CHECK(Text(headers.at("content-type")) == "application/json");
  CHECK(Text(headers.at("keyferry-delivery")) == "0123");
  CHECK(headers.count("expect") == 0);
  CHECK(headers.count("authorization") == 0);
  // Any status is an answer; a redirection is one too, and is not followed.
  for (const int wanted : {200, 302, 400, 500, 503}) {
    const auto answered = poster->Post(PostTo(base + "/status/" + std::to_string(wanted)));
    REQUIRE(answered);
    CHECK(*answered == wanted);
    receiver.Request();
  }
  CHECK(poster->Post(PostTo(base + "/moved")).value() == 302);
  receiver.Request();
  CHECK(receiver.Quiet());
}

TEST_CASE("nothing is sent to a receiver that does not prove who it is") {
  Certificates certificates;
  const bool foreign = GENERATE(false, true);
  Receiver receiver(certificates.Of(foreign ? "foreign" : "server"));
  const auto poster = MakeHttpsPoster({certificates.File(foreign ? "ca.pem" : "other.pem"), 20});
  const auto sent = poster->Post(PostTo("https://localhost:" + receiver.port + "/t0p"));
  REQUIRE_FALSE(sent);
  CHECK(sent.error().code == ErrorCode::kUnavailable);
  CHECK(sent.error().message.find("There is no verified TLS") == 0);
  CHECK((sent.error().message + sent.error().detail).find("t0p") == std::string::npos);
  CHECK(receiver.Quiet());
}

TEST_CASE("a code goes to a real gateway over verified TLS, and no other answer passes for taken") {
  Certificates certificates;
  Receiver receiver(certificates.Of("server"));
  const auto gateway = [&](const std::string& path, const char* ca) {
    SmsGatewayConfig config;
    config.url = "https://localhost:" + receiver.port + path;
    config.header = "Authorization";
    config.header_value = SecureBytes::CopyOf(std::string_view("Bearer s3cret"));
    config.message.format = SmsFormat::kForm;
    config.message.body = "to=%number%&text=%text%&from=%from%";
    config.message.from = "Key & Ferry";
    return MakeSmsGateway(MakeHttpsPoster({certificates.File(ca), 20}), std::move(config));
  };
  const SecureBytes text = SecureBytes::CopyOf(std::string_view("1234 5678 & Привіт"));
  REQUIRE(gateway("/send?token=t0p", "ca.pem")->Send("+380671234542", text));
  const json::object request = receiver.Request();
  CHECK(Text(request.at("method")) == "POST");
  CHECK(Text(request.at("path")) == "/send?token=t0p");
  CHECK(Text(request.at("body")) ==
        "to=%2B380671234542&text=1234%205678%20%26%20%D0%9F%D1%80%D0%B8%D0%B2%D1%96%D1%82&from="
        "Key%20%26%20Ferry");
  const json::object& headers = request.at("headers").as_object();
  CHECK(Text(headers.at("authorization")) == "Bearer s3cret");
  CHECK(Text(headers.at("content-type")) == "application/x-www-form-urlencoded");
  for (const char* path : {"/moved", "/status/401", "/status/503"}) {
    INFO(path);
    const auto sent = gateway(path, "ca.pem")->Send("+380671234542", text);
    REQUIRE_FALSE(sent);
    CHECK(sent.error().code == ErrorCode::kUnavailable);
    receiver.Request();
  }
  CHECK(receiver.Quiet());  // a redirection is not followed
  CHECK_FALSE(gateway("/send", "other.pem")->Send("+380671234542", text));
  CHECK(receiver.Quiet());
}

TEST_CASE("a proxy of the environment is not used") {
  Receiver receiver({}), proxy({});
  for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) {
    setenv(name, ("http://127.0.0.1:" + proxy.port).c_str(), 1);
  }
  CHECK(MakeHttpsPoster({"", 20})->Post(PostTo("http://127.0.0.1:" + receiver.port)).value() ==
        204);
  for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) unsetenv(name);
  receiver.Request();
  CHECK(proxy.Quiet());
}

TEST_CASE("silence, an endless answer, nobody there: refused in words without the address") {
  std::string nobody;
  {
    Receiver receiver({});
    nobody = receiver.port;
  }
  Receiver receiver({});
  const std::string base = "http://127.0.0.1:" + receiver.port;
  const auto poster = MakeHttpsPoster({"", 1});
  for (const auto& [url, words] :
       {std::pair(base + "/silent", "does not answer"), std::pair(base + "/endless", "too long"),
        std::pair("http://127.0.0.1:" + nobody + "/t0p", "does not answer")}) {
    INFO(url);
    const auto sent = poster->Post(PostTo(url));
    REQUIRE_FALSE(sent);
    CHECK(sent.error().code == ErrorCode::kUnavailable);
    CHECK(sent.error().message.find(words) != std::string::npos);
    for (const char* part : {"t0p", "silent", "endless", "127.0.0.1"}) {
      CHECK((sent.error().message + sent.error().detail).find(part) == std::string::npos);
    }
  }
}

TEST_CASE("what would split a header, and what is no HTTP, is not sent") {
  Receiver receiver({});
  const std::string base = "http://127.0.0.1:" + receiver.port;
  const auto poster = MakeHttpsPoster({"", 5});
  HttpPost post = PostTo(base);
  post.headers = {{"Keyferry-Delivery", "1\r\nX-Other: 2"}};
  CHECK_FALSE(poster->Post(post));
  CHECK_FALSE(poster->Post(PostTo("file:///etc/passwd")));
  CHECK_FALSE(poster->Post(PostTo("gopher://127.0.0.1:" + receiver.port)));
  CHECK(receiver.Quiet());
  CHECK(poster->Post(PostTo(base)).value() == 204);
}
