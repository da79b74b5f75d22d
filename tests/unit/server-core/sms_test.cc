// Telephone numbers and what is posted to a gateway.
#include "server/core/sms.h"

#include <boost/json.hpp>
#include <catch2/catch.hpp>

using namespace keyferry;
using namespace keyferry::server;

namespace {

SecureBytes Of(std::string_view text) { return SecureBytes::CopyOf(text); }

struct Poster final : HttpPoster {
  Poster(HttpPost& to, const Result<int>& say) : last(to), answer(say) {}
  Result<int> Post(const HttpPost& post) override {
    last.url = post.url;
    last.content_type = post.content_type;
    last.headers = post.headers;
    last.body = Of(post.body.view());
    return answer;
  }
  HttpPost& last;
  const Result<int>& answer;
};

}  // namespace

TEST_CASE("a number is read strictly, or not at all") {
  const PhoneRules rules{"380", "0"};
  const std::vector<std::pair<const char*, const char*>> good = {
      {"+380671234542", "+380671234542"},
      {"  +380 67 123-45-42 ", "+380671234542"},
      {"+38 (067) 123.45.42", "+380671234542"},
      {"00380 67 1234542", "+380671234542"},
      {"0049 171 1234567", "+491711234567"},
      {"067 123 45 42", "+380671234542"},
      {"(067) 123/4542", "+380671234542"},
      {"+1 555 010 0199", "+15550100199"},
      {"+12345678", "+12345678"},
      {"+123456789012345", "+123456789012345"},
  };
  for (const auto& [text, number] : good) {
    INFO(text);
    CHECK(ParsePhone(text, rules).value_or("none") == number);
  }
  for (const char* bad : {"",
                          " ",
                          "+",
                          "0",
                          "067",
                          "+1234567",
                          "+1234567890123456",
                          "+0671234542",
                          "000671234542",
                          "380671234542",
                          "67 123 45 42",
                          "0067",
                          "+49 (0)171 1234567",
                          "+380671234542x7",
                          "+380671234542 ext 7",
                          "+380671234542;+380501112233",
                          "+380671234542,1",
                          "+380671234542#",
                          "*100#",
                          "tel:+380671234542",
                          "++380671234542",
                          "+38+0671234542",
                          "(+38)0671234542",
                          "+380(67",
                          "+380)67(1234542",
                          "+380()671234542",
                          "((067))1234542",
                          "+380671234542\n",
                          "+38067\t1234542",
                          "+３８０６７１２３４５４２",
                          "0 0",
                          "00"}) {
    INFO(bad);
    CHECK(ParsePhone(bad, rules).value_or("none") == "none");
  }
  CHECK_FALSE(ParsePhone("+3806712345" + std::string(80, ' '), rules));
  CHECK_FALSE(ParsePhone("067 123 45 42", {"", "0"}));
  CHECK(ParsePhone("+380671234542", {"", "0"}).value_or("") == "+380671234542");
  CHECK(ParsePhone("555 010 0199", {"1", ""}).value_or("") == "+15550100199");
  CHECK(ParsePhone("1 555 010 0199", {"1", "1"}).value_or("") == "+15550100199");
  CHECK_FALSE(ParsePhone("555 010 0199", {"1", "1"}));
}

TEST_CASE("of a number two digits are shown") {
  CHECK(MaskedPhone("+380671234542") == "••• 42");
  CHECK(MaskedPhone("") == "••• ");
}

TEST_CASE("what is put into JSON stays in its string") {
  SmsMessage message;
  message.body =
      R"({"to":["%number%"],"from":"%from%","body":{"text":"%text%","n":1},"x":"%%","y":"%texts"})";
  message.from = "\"],\"to\":[\"+1\"";
  const std::string hostile = "a\"b\\c\n\t\x01\x7F %number% {\"to\":\"+2\"} Привіт 😀";
  const auto filled = FillSms(message, "+380671234542", Of(hostile));
  const auto value = boost::json::parse(filled.view());
  CHECK(value.at("to").as_array().size() == 1);
  CHECK(value.at("to").at(0).as_string() == "+380671234542");
  CHECK(value.at("from").as_string() == message.from);
  CHECK(value.at("body").at("text").as_string() == hostile);
  CHECK(value.at("x").as_string() == "%%");
  CHECK(value.at("y").as_string() == "%texts");
}

TEST_CASE("what is put into a form stays in its field") {
  SmsMessage message;
  message.format = SmsFormat::kForm;
  message.body = "to=%number%&from=%from%&text=%text%&plus=%2B";
  message.from = "A & B";
  const auto filled = FillSms(message, "+380671234542", Of("1234 5678 & to=+1%20 ї~.-_"));
  CHECK(filled.view() ==
        "to=%2B380671234542&from=A%20%26%20B&text=1234%205678%20%26%20to%3D%2B1%2520%20%D1%97~.-_"
        "&plus=%2B");
}

TEST_CASE("a gateway's answer decides; no error has the number, the text or the address") {
  HttpPost last;
  Result<int> answer = 200;
  SmsGatewayConfig config;
  config.url = "https://sms.example/send?token=t0p";
  config.header = "Authorization";
  config.header_value = Of("Bearer s3cret");
  config.message.body = R"({"to":"%number%","text":"%text%"})";
  const auto gateway = MakeSmsGateway(std::make_unique<Poster>(last, answer), std::move(config));
  for (const int status : {200, 201, 202, 204, 299}) {
    answer = status;
    CHECK(gateway->Send("+380671234542", Of("1234 5678")));
  }
  CHECK(last.url == "https://sms.example/send?token=t0p");
  CHECK(last.content_type == "application/json");
  CHECK(last.headers ==
        std::vector<std::pair<std::string, std::string>>{{"Authorization", "Bearer s3cret"}});
  CHECK(last.body.view() == R"({"to":"+380671234542","text":"1234 5678"})");
  for (const Result<int>& bad :
       {Result<int>(100), Result<int>(301), Result<int>(400), Result<int>(401), Result<int>(500),
        Result<int>(Fail(ErrorCode::kUnavailable, "The receiver does not answer.", "Timeout"))}) {
    answer = bad;
    const auto sent = gateway->Send("+380671234542", Of("1234 5678"));
    REQUIRE_FALSE(sent);
    CHECK(sent.error().code == ErrorCode::kUnavailable);
    const std::string said = sent.error().message + sent.error().detail;
    for (const char* secret : {"380671234542", "1234 5678", "t0p", "s3cret", "sms.example"}) {
      CHECK(said.find(secret) == std::string::npos);
    }
  }
}
