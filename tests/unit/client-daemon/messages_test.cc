// The JSON of both sides: what is taken, and what is not.
#include "client-daemon/ipc/messages.h"

#include <catch2/catch.hpp>

using namespace keyferry;
using namespace keyferry::daemon;

TEST_CASE("requests of local programs are taken exactly as written down") {
  CHECK(ParseRequest(R"({"op":"status"})")->op == IpcRequest::kStatus);
  const std::string id = Hex(Id{1});
  const auto relay = ParseRequest(R"({"op":"relay","device_id":")" + id + "\"}");
  REQUIRE(relay);
  CHECK(relay->device == Id{1});
  CHECK(ParseRequest(R"({"op":"relay","login":"alice"})")->login == "alice");
  const auto used = ParseRequest(R"({"op":"used","device_id":")" + id + R"(","seq":7})");
  REQUIRE(used);
  CHECK(used->seq == 7);
  CHECK(ParseRequest(R"({"op":"agent","login_noise_pub":")" + Base64(Bytes(32)) + "\"}"));
  const std::string b32 = "\"" + Base64(Bytes(32)) + "\"";
  const std::string proof = R"({"op":"agent","login_noise_pub":)" + b32 + ",\"challenge\":" + b32;
  CHECK(ParseRequest(proof + ",\"proof\":" + b32 + "}")->proof);
  CHECK_FALSE(ParseRequest(proof + "}"));
  CHECK_FALSE(ParseRequest(proof + ",\"proof\":\"AA==\"}"));
  CHECK_FALSE(ParseRequest(proof + ",\"proof\":" + b32 + ",\"more\":1}"));

  CHECK(ParseRequest(R"({"op":"caller","login":"alice"})")->login == "alice");
  const std::string answer = R"({"op":"answer","request_id":")" + id + R"(","assertion":)";
  CHECK_FALSE(ParseRequest(answer + "null}")->assertion);
  CHECK(ParseRequest(answer + "\"" + Base64(Bytes(172)) + "\"}")->assertion);
  CHECK(ParseRequest(answer + "null}")->request == Id{1});
  for (const std::string& bad :
       {std::string(R"({"op":"caller"})"), std::string(R"({"op":"caller","login":""})"),
        std::string(R"({"op":"caller","login":"a","x":1})"), answer + "\"AA==\"}",
        answer + "\"" + Base64(Bytes(171)) + "\"}", answer + "null,\"passed\":true}",
        std::string(R"({"op":"answer","assertion":null})"),
        R"({"op":"answer","request_id":")" + id + "\"}"}) {
    INFO(bad);
    CHECK_FALSE(ParseRequest(bad));
  }

  for (const std::string& bad : std::vector<std::string>{
           "", "[]", "{}", R"({"op":1})", R"({"op":"fly"})", R"({"op":"status","x":1})",
           R"({"op":"relay"})", R"({"op":"relay","login":""})",
           R"({"op":"relay","login":"a","device_id":")" + id + "\"}",
           R"({"op":"used","device_id":")" + id + R"(","seq":0})",
           R"({"op":"used","device_id":")" + id + R"(","seq":-1})",
           R"({"op":"used","device_id":")" + id + R"(","seq":9223372036854775808})",
           R"({"op":"agent","login_noise_pub":")" + Base64(Bytes(31)) + "\"}",
           R"({"op":"status"} trailing)", std::string(3000, '[')}) {
    INFO(bad);
    const auto request = ParseRequest(bad);
    REQUIRE_FALSE(request);
    CHECK(request.error().code == ErrorCode::kInvalidArgument);
  }
}

TEST_CASE("errors are one JSON object with words for a person") {
  CHECK(FormatError({ErrorCode::kNotFound, "No\nkey.", "secret detail", 0}) ==
        R"({"ok":false,"code":"not_found","message":"No?key."})");
}
