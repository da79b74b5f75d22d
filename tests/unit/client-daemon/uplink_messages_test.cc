#include <catch2/catch.hpp>

#include "client-daemon/uplink/messages.h"

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
  CHECK(ParseHello(R"({"protocol":2,"login_cert":null,)" + hello + "}").error().code ==
        ErrorCode::kUnsupported);
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
