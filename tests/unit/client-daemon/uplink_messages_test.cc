#include <catch2/catch.hpp>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "client-daemon/core/files.h"
#include "client-daemon/uplink/domain.h"
#include "client-daemon/uplink/messages.h"
#include "client-daemon/uplink/tls_identity.h"
#include "tests/unit/client-daemon/temp_dir.h"

using namespace keyferry;
using namespace keyferry::daemon;

namespace {
const std::string kId = Hex(Id{1});
std::string B64(std::size_t size) { return Base64(Bytes(size)); }
}  // namespace

TEST_CASE("events are taken with what they need, unknown members are read over") {
  const auto job =
      ParseJobEvent(R"({"job_id":")" + kId + R"(","device_id":")" + kId +
                    R"(","seq":9223372036854775807,"sealed":")" + B64(336) + R"(","new":[1,2]})");
  REQUIRE(job);
  CHECK(job->seq == 9223372036854775807u);
  CHECK(job->sealed.size() == 336);
  const std::string key = R"({"device_id":")" + kId + R"(","account_id":")" + kId +
                          R"(","login":"alice","record":")" + B64(690) + R"(","state":")";
  CHECK(ParseKeyEvent(key + "active\"}")->state == KeyEvent::kActive);
  CHECK(ParseKeyEvent(key + "suspended\"}")->state == KeyEvent::kSuspended);
  CHECK(ParseKeyEvent(key + "revoked\"}")->state == KeyEvent::kRevoked);
  CHECK_FALSE(ParseKeyEvent(key + "great\"}"));
  CHECK(ParseVoidEvent(R"({"job_id":")" + kId + "\"}"));
  CHECK(ParseEnrolEvent(R"({"enrolment_id":")" + kId + R"(","device_id":")" + kId +
                        R"(","enrol_cert":")" + B64(144) + R"(","begin":")" + B64(258) + "\"}"));
  const auto alarm = ParseAlarmEvent(R"({"number":5,"state":"on","since":1800000000,"new":1})");
  REQUIRE(alarm);
  CHECK(alarm->number == 5);
  CHECK(alarm->on);
  CHECK(alarm->since == 1'800'000'000);
  CHECK_FALSE(ParseAlarmEvent(R"({"number":5,"state":"off","since":0})")->on);
  for (const char* bad : {R"({"number":5,"state":"on"})", R"({"number":5,"state":"of","since":0})",
                          R"({"number":-5,"state":"on","since":0})", R"({"state":"on","since":0})",
                          R"({"number":5,"since":0})", "[]",
                          R"({"number":5,"state":"on","since":18446744073709551615})"}) {
    INFO(bad);
    CHECK_FALSE(ParseAlarmEvent(bad));
  }
}

TEST_CASE("the help desk's question, its end, the answer and the verdict") {
  const std::string good = R"({"request_id":")" + kId + R"(","login":"alice","challenge":")" +
                           B64(32) + R"(","agent":"Anna","ticket":"INC-1","reason":"why",)";
  const auto event = ParseCallerEvent(good + R"("seconds":180,"new":1})");
  REQUIRE(event);
  CHECK(event->request == Id{1});
  CHECK(event->agent == "Anna");
  CHECK(event->life == std::chrono::seconds(180));
  for (const std::string& bad :
       {good + R"("new":1})", good + R"("seconds":-1})", good + R"("seconds":3601})",
        std::string("[]"),
        R"({"request_id":")" + kId + R"(","login":"","challenge":")" + B64(32) +
            R"(","agent":"a","ticket":"t","reason":"r","seconds":9})",
        R"({"request_id":")" + kId + R"(","login":"a","challenge":")" + B64(31) +
            R"(","agent":"a","ticket":"t","reason":"r","seconds":9})",
        R"({"request_id":")" + kId + R"(","login":"a","challenge":")" + B64(32) +
            R"(","agent":"a\u000ab","ticket":"t","reason":"r","seconds":9})",
        R"({"request_id":")" + kId + R"(","login":"a","challenge":")" + B64(32) +
            R"(","agent":"a","ticket":"t","reason":")" + std::string(301, 'r') +
            R"(","seconds":9})"}) {
    INFO(bad);
    CHECK_FALSE(ParseCallerEvent(bad));
  }
  CHECK(*ParseCallerOver(R"({"request_id":")" + kId + "\"}") == Id{1});
  CHECK_FALSE(ParseCallerOver("{}"));
  CHECK_FALSE(ParseCallerOver("null"));
  CHECK(FormatCallerAnswer({1}, std::nullopt).path == "/workstation/v1/callers/" + kId + "/answer");
  CHECK(FormatCallerAnswer({1}, std::nullopt).body == R"({"assertion":null})");
  CHECK(FormatCallerAnswer({1}, std::array<std::uint8_t, 172>{}).body ==
        R"({"assertion":")" + B64(172) + "\"}");
  CHECK(ParseCallerVerdict(R"({"passed":true,"reason":""})")->passed);
  CHECK(ParseCallerVerdict(R"({"passed":false,"reason":"No."})")->reason == "No.");
  for (const char* bad : {"{}", R"({"passed":1,"reason":""})", R"({"passed":true})", "<html>"}) {
    CHECK_FALSE(ParseCallerVerdict(bad));
  }
}

TEST_CASE("events with missing, wrong or oversized members are refused") {
  CHECK_FALSE(ParseJobEvent("{}"));
  CHECK_FALSE(ParseJobEvent(R"({"job_id":")" + kId + R"(","device_id":")" + kId +
                            R"(","seq":-1,"sealed":")" + B64(336) + "\"}"));
  CHECK_FALSE(ParseJobEvent(R"({"job_id":")" + kId + R"(","device_id":")" + kId +
                            R"(","seq":1,"sealed":")" + B64(5000) + "\"}"));
  CHECK_FALSE(ParseVoidEvent("null"));
  CHECK_FALSE(ParseEnrolEvent(R"({"enrolment_id":")" + kId + R"(","device_id":")" + kId +
                              R"(","enrol_cert":")" + B64(143) + R"(","begin":")" + B64(258) +
                              "\"}"));
  const std::string hello =
      R"("deliver_cert":")" + B64(144) + R"(","issuer_cert":")" + B64(161) + "\"";
  CHECK(ParseHello(R"({"protocol":1,"login_cert":null,)" + hello + "}"));
  CHECK_FALSE(ParseHello(R"({"protocol":1,)" + hello + "}"));
  // Ours, the three before, and no other.
  CHECK(ParseHello(R"({"protocol":2,"login_cert":null,)" + hello + "}"));
  const auto old = ParseHello(R"({"protocol":0,"login_cert":null,)" + hello + "}");
  CHECK(old.error().code == ErrorCode::kUnsupported);
  CHECK_THAT(old.error().message, Catch::Contains("update keyferry-server"));
  CHECK(ParseHello(R"({"protocol":3,"login_cert":null,)" + hello + "}"));
  CHECK(ParseHello(R"({"protocol":4,"login_cert":null,)" + hello + "}"));
  const auto fresh = ParseHello(R"({"protocol":5,"login_cert":null,)" + hello + "}");
  CHECK(fresh.error().code == ErrorCode::kUnsupported);
  CHECK_THAT(fresh.error().message, Catch::Contains("install the keyferry package"));
  CHECK_FALSE(ParseHello(R"({"login_cert":null,)" + hello + "}"));
}

TEST_CASE("a poll token that could not stand in a header is refused") {
  const auto answer = [](const std::string& token) {
    return ParseRegistrationAnswer(R"({"workstation_id":")" + kId +
                                   R"(","fingerprint":"x","poll_token":")" + token + "\"}");
  };
  CHECK(answer("abc-_.~+/="));
  CHECK_FALSE(answer("abc\\r\\nHost: evil"));
  CHECK_FALSE(answer(""));
}

TEST_CASE("posts") {
  Post post;
  post.kind = Post::kKeys;
  post.keys.push_back({{1}, 2, device::TransportKind::kSocket, 0x01000000, true});
  CHECK(FormatPost(post).body ==
        R"({"keys":[{"device_id":")" + kId +
            R"(","state":2,"transport":"socket","firmware":16777216,"simulator":true}]})");
  post.kind = Post::kSpooled;
  post.id = {1};
  CHECK(FormatPost(post).path == "/workstation/v1/jobs/" + kId + "/spooled");
  CHECK(FormatPost(post).body.empty());
  post.kind = Post::kUsed;
  post.device = {1};
  post.seq = 5;
  CHECK(FormatPost(post).body == R"({"device_id":")" + kId + R"(","seq":5})");
}

TEST_CASE("verdicts and problems") {
  CHECK(ParseVerdict(R"({"verdict":"stored"})")->kind == Verdict::kStored);
  CHECK(ParseVerdict(R"({"verdict":"refused","reason":"r"})")->reason == "r");
  CHECK_FALSE(ParseVerdict(R"({"verdict":"maybe"})"));
  CHECK_FALSE(ParseVerdict("<html>"));
  CHECK(ParseProblem(500, "<html>").detail.find("500") != std::string::npos);
  CHECK(ParseProblem(403, R"({"code":"workstation_revoked","detail":"No."})").code ==
        "workstation_revoked");
}

TEST_CASE("the domain is found by what SSSD or Samba left, and told at the registration") {
  const test::TempDir root;
  const std::string path = root / "";
  const auto write = [&](const std::string& name, const std::string& text) {
    const std::filesystem::path file = path + name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  };
  CHECK_FALSE(FindDomain(path));
  const std::string smb =
      "# comment\n[global]\n  Realm = CORP.Example\n netbios name = desk-77\n\tsecurity = ";
  write("etc/samba/smb.conf", smb + "user\n");
  CHECK_FALSE(FindDomain(path));  // a server of files, in no domain
  write("etc/samba/smb.conf", "[share]\nsecurity = ads\nrealm = corp.example\n");
  CHECK_FALSE(FindDomain(path));
  write("etc/samba/smb.conf", smb + "ADS\n[share]\nrealm = other.example\n");
  auto found = FindDomain(path);
  REQUIRE(found);
  CHECK(found->domain == "corp.example");
  CHECK(found->computer == "DESK-77");
  write("var/lib/sss/pubconf/kdcinfo.AD.Example", "192.0.2.1\n");
  write("var/lib/sss/pubconf/known_hosts", "");
  found = FindDomain(path);
  REQUIRE(found);
  CHECK(found->domain == "ad.example");
  CHECK(found->computer.size() <= 15);
  write("var/lib/sss/pubconf/kdcinfo.SECOND.EXAMPLE", "");
  CHECK(FindDomain(path)->domain == "corp.example");  // several: SSSD does not say which

  const std::string told =
      FormatRegistration("pc", "csr", {}, {}, JoinedDomain{"corp.example", "DESK-77"});
  CHECK_THAT(told, Catch::Contains(R"("domain":"corp.example","computer":"DESK-77")"));
  CHECK_THAT(FormatRegistration("pc", "csr", {}, {}, {}), !Catch::Contains("domain"));
}

TEST_CASE("a renewal that a crash interrupted is finished or undone at the next start") {
  const test::TempDir dir;
  const std::string key = dir / "tls.key", certificate = dir / "tls.crt";
  REQUIRE(LoadOrMakeTlsKey(key, "pc"));
  const auto read = [](const std::string& file) {
    std::ifstream in(file);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const std::string before = read(key);
  // Without a certificate the new key is nothing.
  REQUIRE(PrepareRenewal(key, "pc"));
  REQUIRE(FinishRenewal(key, certificate));
  CHECK(read(key) == before);
  CHECK_FALSE(std::filesystem::exists(key + ".next"));
  // Nor is a certificate that is for neither key.
  REQUIRE(PrepareRenewal(key, "pc"));
  std::ofstream(certificate + ".next") << "nonsense";
  REQUIRE(FinishRenewal(key, certificate));
  CHECK(read(key) == before);
  CHECK_FALSE(std::filesystem::exists(key + ".next"));
  CHECK_FALSE(std::filesystem::exists(certificate + ".next"));
  CHECK_FALSE(CompleteRenewal("nonsense", key, certificate));
  CHECK_FALSE(CertificateDue(certificate, 0));  // none
}
