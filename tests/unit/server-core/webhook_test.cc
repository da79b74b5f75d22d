// Webhooks: addresses, what is told and when, tries and pauses, several servers.
#include "server/core/webhook.h"

#include <boost/json.hpp>
#include <functional>
#include <set>
#include <thread>

#include "help_desk_rig.h"
#include "server/core/encoding.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

using State = HelpDeskState;

namespace {

constexpr char kItsm[] = "https://itsm.corp.example/hook?token=t0p-secret";
constexpr char kSiem[] = "https://siem.corp.example:8443/keyferry";

// Receivers that say what the test wants.
struct Receivers final : HttpPoster {
  Result<int> Post(const HttpPost& post) override {
    posts.push_back({post.url, post.content_type, post.headers, post.body.Clone()});
    if (meanwhile) meanwhile();
    if (away.count(post.url) != 0) {
      return Fail(ErrorCode::kUnavailable, "The receiver does not answer.");
    }
    return status;
  }
  std::string Header(std::size_t post, const char* name) const {
    for (const auto& [key, value] : posts.at(post).headers) {
      if (key == name) return value;
    }
    return {};
  }
  std::set<std::string> away;  // URLs
  int status = 204;
  std::vector<HttpPost> posts;
  std::function<void()> meanwhile;  // while the receiver has not answered yet
};

HelpDeskConfig Telling(const std::vector<std::string>& urls) {
  HelpDeskConfig config;
  for (const std::string& url : urls) config.webhooks.push_back(*WebhookTarget::Parse(url));
  return config;
}

struct Hooked : Desk {
  explicit Hooked(std::vector<std::string> urls = {kItsm, kSiem}) : Desk(Telling(urls)) {
    Listen(config.webhooks);
  }
  void Listen(std::vector<WebhookTarget> targets) {
    WebhookConfig settings;
    settings.targets = std::move(targets);
    settings.secret = SecureBytes::CopyOf(std::string_view("0123456789abcdef0123456789abcdef"));
    hooks = MakeWebhookService(
        {*store, receivers, clock, [this](std::string_view line) { log += std::string(line); }},
        std::move(settings));
  }
  void Tick() {
    hooks->Tick([] { return true; });
  }
  std::vector<WebhookRecord> Rows() { return *hooks->List(100); }
  void Later(std::int64_t seconds) { clock.Advance(std::chrono::seconds(seconds)); }

  Receivers receivers;
  std::unique_ptr<WebhookService> hooks;
  std::string log;
};

}  // namespace

TEST_CASE("addresses of webhooks: https, or http to this machine alone") {
  for (const char* good :
       {"https://itsm.corp.example", "https://itsm.corp.example/a/b?c=d&e=%20",
        "https://10.0.0.7:1", "https://[2001:db8::1]:8443/x", "http://127.0.0.1:9000/",
        "http://localhost", "http://[::1]:80/x", "https://host?x"}) {
    INFO(good);
    CHECK(WebhookTarget::Parse(good));
  }
  for (const char* bad : {"",
                          "https://",
                          "http://itsm.corp.example/",
                          "ftp://itsm.corp.example",
                          "HTTPS://x",
                          "https://user@host/",
                          "https://user:pw@host/",
                          "https://host:0/",
                          "https://host:65536/",
                          "https://host:/",
                          "https://host:8x/",
                          "https://HOST/",
                          "https://ho st/",
                          "https://host/#x",
                          "https://[::1/",
                          "https://[]/",
                          "https:///x",
                          "http://127.0.0.1.evil.example/",
                          "http://localhost.evil.example",
                          "http://127.0.0.1@evil.example/",
                          "https://host\\evil/",
                          "https://-host/",
                          "file:///etc/passwd",
                          "https://host/\r\nX: y",
                          "https://h\xC3\xB6st/",
                          "http://[::1]evil/",
                          "//host/x",
                          " https://host/"}) {
    INFO(bad);
    CHECK_FALSE(WebhookTarget::Parse(bad));
  }
  CHECK_FALSE(WebhookTarget::Parse("https://host/" + std::string(1024, 'x')));
  const auto target = WebhookTarget::Parse(kItsm);
  CHECK(target->place == "https://itsm.corp.example");
  CHECK(target->mark.size() == 16);
  CHECK(target->mark != WebhookTarget::Parse(kSiem)->mark);
  CHECK(WebhookTarget::Parse(kSiem)->place == "https://siem.corp.example:8443");
}

TEST_CASE("the signature is HMAC-SHA-256 over time and body") {
  // As Python's hmac makes it.
  CHECK(WebhookSignature(SecureBytes::CopyOf(std::string_view("Jefe")), 1700000000, "{}") ==
        "v1=d3793e2b4103edfbd98cc19591832f5fad701d413db9fcae0ae7dab8184ed207");
}

TEST_CASE("a request that is done is told to each receiver once, signed, without a secret") {
  Hooked desk;
  const HelpDeskId id = desk.Opened();
  REQUIRE(desk.Choose(id));
  REQUIRE(desk.service->SendCode(desk.agent, id, desk.At(id)));
  const std::string code = desk.box.Code();
  REQUIRE(desk.Verify(id, Desk::Coded(code)).value());
  REQUIRE_FALSE(desk.Verify(id, Desk::Told("wrong")).value());
  REQUIRE(desk.Verify(id, Desk::Told("E 4711")).value());
  REQUIRE(desk.Act(id));
  desk.Tick();
  CHECK(desk.receivers.posts.empty());  // nothing is over yet
  CHECK(desk.Rows().empty());
  REQUIRE(desk.service->Confirm(desk.agent, id, desk.At(id)));
  CHECK(desk.Rows().size() == 2);
  const std::uint64_t before = desk.AuditHead();
  desk.Tick();
  REQUIRE(desk.receivers.posts.size() == 2);
  desk.Tick();
  CHECK(desk.receivers.posts.size() == 2);
  CHECK(std::set<std::string>{desk.receivers.posts[0].url, desk.receivers.posts[1].url} ==
        std::set<std::string>{kItsm, kSiem});

  const HttpPost& post = desk.receivers.posts[0];
  CHECK(post.content_type == "application/json");
  const std::string body(post.body.view());
  const std::string stamp = desk.receivers.Header(0, kWebhookTimestamp);
  CHECK(stamp == std::to_string(desk.clock.UnixSeconds()));
  CHECK(desk.receivers.Header(0, kWebhookSignature) ==
        WebhookSignature(SecureBytes::CopyOf(std::string_view("0123456789abcdef0123456789abcdef")),
                         desk.clock.UnixSeconds(), body));
  const auto told = boost::json::parse(body).as_object();
  const auto text = [&told](const char* name) {
    return std::string(told.at(name).as_string().c_str());
  };
  CHECK(text("type") == "help_desk.closed");
  CHECK(text("delivery") == desk.receivers.Header(0, kWebhookDelivery));
  CHECK(text("delivery") != desk.receivers.Header(1, kWebhookDelivery));
  CHECK(text("request") == id.Hex());
  CHECK(text("ticket") == "INC-1");
  CHECK(text("process") == "reset");
  CHECK(text("outcome") == "done");
  CHECK(text("user_login") == "alice");
  CHECK(text("user_id") == desk.alice.Hex());
  CHECK(text("agent_login") == "agent");
  CHECK(text("agent_id") == desk.agent.id.Hex());
  CHECK(text("change") == desk.Row(id).change.Hex());
  CHECK(boost::json::serialize(told.at("methods")) == R"(["mail_code","personal_data"])");
  CHECK(told.at("closed").as_int64() == desk.Row(id).closed);
  CHECK(told.at("acted").as_int64() == desk.Row(id).acted);
  CHECK(told.size() == 15);
  // Neither code nor answers nor the password, and of the URL nothing is kept but its place.
  for (const std::string& secret : {code, std::string("4711"), desk.AdPassword()}) {
    CHECK(body.find(secret) == std::string::npos);
  }
  CHECK(desk.log.empty());
  const auto rows = desk.store->AuditAfter(before, 10);
  REQUIRE(rows->size() == 2);
  for (const auto& row : *rows) {
    CHECK(row.entry.action == "webhook.sent");
    CHECK(row.entry.outcome == "ok");
    CHECK(row.entry.detail.find("t0p-secret") == std::string::npos);
  }
  for (const WebhookRecord& row : desk.Rows()) {
    CHECK(row.state == WebhookState::kSent);
    CHECK((row.place + row.body + row.mark).find("t0p-secret") == std::string::npos);
  }
}

TEST_CASE("however a request ends, it is told by the transaction that ends it") {
  for (const State state : {State::kDone, State::kCancelled, State::kExpired, State::kBlocked}) {
    INFO(Name(state));
    Hooked desk({kItsm});
    desk.In(state, HelpDeskProcess::kUnlock);
    const auto rows = desk.Rows();
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].outcome == Name(state));
    CHECK(rows[0].state == WebhookState::kQueued);
    // It outlives the server.
    desk.StartAgain();
    desk.Listen(desk.config.webhooks);
    desk.Tick();
    CHECK(desk.receivers.posts.size() == 1);
  }
  // A step that is not taken tells nothing: of ten that cancel one does.
  Hooked desk({kItsm});
  const HelpDeskId id = desk.Opened();
  const std::uint64_t version = desk.At(id);
  std::vector<std::thread> threads;
  std::atomic<int> taken{0};
  for (int i = 0; i < 10; ++i) {
    threads.emplace_back([&] { taken += desk.service->Cancel(desk.agent, id, version) ? 1 : 0; });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(taken == 1);
  CHECK(desk.Rows().size() == 1);
  // Nobody to be told: nothing is kept.
  Hooked none(std::vector<std::string>{});
  none.In(State::kDone);
  CHECK(none.Rows().empty());
}

TEST_CASE("a receiver that is away gets it later, at growing pauses, and keeps no other waiting") {
  Hooked desk;
  desk.receivers.away = {kItsm};
  desk.In(State::kCancelled);
  desk.In(State::kCancelled);
  desk.Tick();
  // Of two for the receiver that is away one was tried; both for the other one.
  CHECK(desk.receivers.posts.size() == 3);
  std::vector<std::int64_t> pauses;
  for (int i = 0; i < 4; ++i) {
    const WebhookRecord row = desk.Rows().back();  // the oldest
    CHECK(row.attempts == static_cast<std::uint32_t>(i + 1));
    CHECK(row.last_error == "The receiver does not answer.");
    pauses.push_back(row.next_try - desk.clock.UnixMillis());
    desk.clock.Advance(std::chrono::milliseconds(pauses.back() - 1));
    const std::size_t before = desk.receivers.posts.size();
    // The other one of this receiver may be due in between; this one is not.
    desk.Tick();
    for (std::size_t at = before; at < desk.receivers.posts.size(); ++at) {
      CHECK(desk.receivers.Header(at, kWebhookDelivery) != row.id.Hex());
    }
    desk.clock.Advance(std::chrono::milliseconds(1));
    desk.Tick();
  }
  CHECK(pauses == std::vector<std::int64_t>{30'000, 60'000, 120'000, 240'000});
  desk.receivers.away.clear();
  desk.Later(3600);
  desk.Tick();
  for (const WebhookRecord& row : desk.Rows()) CHECK(row.state == WebhookState::kSent);
  // The same delivery each time, with a time and a signature of its own.
  std::set<std::string> stamps;
  for (std::size_t i = 0; i < desk.receivers.posts.size(); ++i) {
    if (desk.receivers.Header(i, kWebhookDelivery) == desk.Rows().back().id.Hex()) {
      CHECK(stamps.insert(desk.receivers.Header(i, kWebhookSignature)).second);
    }
  }
  CHECK(stamps.size() > 4);
}

TEST_CASE("however many wait for a receiver that is away, the other one is told at once") {
  Hooked desk;
  desk.receivers.away = {kItsm};
  for (int i = 0; i < 30; ++i) desk.In(State::kCancelled);
  desk.Tick();
  desk.Tick();
  std::size_t told = 0;
  for (const WebhookRecord& row : desk.Rows()) {
    if (row.place.find("siem") != std::string::npos) told += row.state == WebhookState::kSent;
  }
  CHECK(told == 30);
  CHECK(desk.store->CountWebhooks(0)->queued == 30);
}

TEST_CASE("only an answer of success counts; after three days it is given up, and sent by hand") {
  Hooked desk({kItsm});
  desk.In(State::kCancelled);
  for (const int status : {301, 400, 403, 404, 429, 500, 503, 199}) {
    desk.receivers.status = status;
    desk.Tick();
    CHECK(desk.Rows()[0].state == WebhookState::kQueued);
    CHECK(desk.Rows()[0].last_error ==
          "The receiver answered with status " + std::to_string(status) + ".");
    desk.Later(2 * 3600);
  }
  std::size_t tries = 0;
  while (desk.Rows()[0].state == WebhookState::kQueued) {
    desk.Later(2 * 3600);
    desk.Tick();
    REQUIRE(++tries < 40);
  }
  CHECK(desk.clock.UnixMillis() - desk.Rows()[0].created >= 3 * 86'400'000);
  const auto counts = desk.store->CountWebhooks(0);
  CHECK(counts->failed == 1);
  CHECK(counts->queued == 0);
  CHECK(counts->last_error == "The receiver answered with status 199.");
  const auto rows = desk.store->AuditBefore(0, 1);
  CHECK(rows->front().entry.action == "webhook.sent");
  CHECK(rows->front().entry.outcome == "unavailable");
  const std::size_t before = desk.receivers.posts.size();
  desk.Later(2 * 86400);
  desk.Tick();
  CHECK(desk.receivers.posts.size() == before);

  const WebhookId id = desk.Rows()[0].id;
  REQUIRE(desk.hooks->Retry(desk.admin, id));
  CHECK(desk.store->AuditBefore(0, 1)->front().entry.action == "webhook.retry");
  desk.Tick();  // once more in vain: it has its whole time again
  CHECK(desk.Rows()[0].state == WebhookState::kQueued);
  desk.receivers.status = 200;
  REQUIRE(desk.hooks->Retry(desk.admin, id));
  desk.Tick();
  CHECK(desk.Rows()[0].state == WebhookState::kSent);
  CHECK(desk.hooks->Retry(desk.admin, id).error().code == ErrorCode::kConflict);
  CHECK(desk.hooks->Retry(desk.admin, WebhookId{}).error().code == ErrorCode::kNotFound);
  CHECK(desk.audit->Verify());
}

TEST_CASE("what is sent by hand while a try is under way is not put off by that try's failure") {
  Hooked desk({kItsm});
  desk.In(State::kCancelled);
  const WebhookId id = desk.Rows()[0].id;
  desk.receivers.status = 503;
  desk.receivers.meanwhile = [&] {
    desk.clock.Advance(std::chrono::seconds(2));
    REQUIRE(desk.hooks->Retry(desk.admin, id));
  };
  desk.Tick();
  desk.receivers.meanwhile = nullptr;
  CHECK(desk.Rows()[0].state == WebhookState::kQueued);
  CHECK(desk.Rows()[0].next_try <= desk.clock.UnixMillis());
  desk.receivers.status = 204;
  desk.Tick();
  CHECK(desk.Rows()[0].state == WebhookState::kSent);
  CHECK(desk.receivers.posts.size() == 2);
  // Taken by the try that was under way: it is not sent once more.
  desk.In(State::kCancelled);
  const WebhookId second = desk.Rows()[0].id;
  desk.receivers.meanwhile = [&] {
    desk.clock.Advance(std::chrono::seconds(2));
    REQUIRE(desk.hooks->Retry(desk.admin, second));
  };
  desk.Tick();
  desk.receivers.meanwhile = nullptr;
  desk.Tick();
  CHECK(desk.Rows()[0].state == WebhookState::kSent);
  CHECK(desk.receivers.posts.size() == 3);
}

TEST_CASE("an address that is not configured any more is told nothing") {
  Hooked desk({kItsm});
  desk.In(State::kCancelled);
  desk.Listen({*WebhookTarget::Parse(kSiem)});
  desk.Tick();
  CHECK(desk.receivers.posts.empty());
  CHECK(desk.Rows()[0].state == WebhookState::kFailed);
  CHECK(desk.Rows()[0].last_error == "This address is not configured any more.");
}

TEST_CASE("who loses the task to another server delivers no more") {
  Hooked desk;
  desk.In(State::kCancelled);
  int asked = 0;
  desk.hooks->Tick([&asked] { return ++asked == 1; });
  CHECK(desk.receivers.posts.size() == 1);
  CHECK(asked == 2);
  desk.Tick();
  CHECK(desk.receivers.posts.size() == 2);
}

TEST_CASE("what is over is forgotten after ninety days; what waits is not") {
  Hooked desk;
  desk.receivers.away = {kSiem};
  desk.In(State::kCancelled);
  desk.Tick();
  desk.Later(89 * 86400);
  REQUIRE(desk.store->ForgetWebhooks(desk.clock.UnixMillis() - 90 * 86'400'000ll));
  CHECK(desk.Rows().size() == 2);
  desk.Later(2 * 86400);
  REQUIRE(desk.store->ForgetWebhooks(desk.clock.UnixMillis() - 90 * 86'400'000ll));
  REQUIRE(desk.Rows().size() == 1);
  CHECK(desk.Rows()[0].state == WebhookState::kQueued);
}
