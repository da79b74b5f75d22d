#include "server/core/webhook.h"

#include <algorithm>
#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/encoding.h"
#include "server/core/json_line.h"
#include "server/core/store.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kWebhooksAtOnce = 20;  // of one target
constexpr std::size_t kMostUrl = 1024;
constexpr std::size_t kMarkDigits = 16;

protocol::ByteView ViewOf(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

bool IsPort(std::string_view text) {
  if (text.empty() || text.size() > 5 ||
      !std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return false;
  }
  const int port = std::stoi(std::string(text));
  return port >= 1 && port <= 65535;
}

// The host of "host", "host:port", "[v6]" or "[v6]:port"; empty when it is none of them.
std::string_view HostIn(std::string_view authority) {
  const bool v6 = !authority.empty() && authority.front() == '[';
  const std::size_t end = v6 ? authority.find(']') : authority.find(':');
  if (v6 && end == std::string_view::npos) return {};
  const std::string_view host = v6 ? authority.substr(0, end + 1) : authority.substr(0, end);
  const std::string_view port = authority.substr(host.size());
  if (!port.empty() && (port.front() != ':' || !IsPort(port.substr(1)))) return {};
  const std::string_view name = v6 ? host.substr(1, host.size() - 2) : host;
  const bool good = std::all_of(name.begin(), name.end(), [v6](char c) {
    const bool digit = c >= '0' && c <= '9';
    return v6 ? digit || (c >= 'a' && c <= 'f') || c == ':'
              : digit || (c >= 'a' && c <= 'z') || c == '-' || c == '.';
  });
  const bool ends =
      !v6 && !name.empty() && (name.front() == '-' || name.front() == '.' || name.back() == '-');
  return name.empty() || name.size() > 253 || !good || ends ? std::string_view() : host;
}

class DefaultWebhooks final : public WebhookService {
 public:
  DefaultWebhooks(WebhookPorts ports, WebhookConfig config)
      : ports_(std::move(ports)), config_(std::move(config)) {}

  Result<std::vector<WebhookRecord>> List(std::size_t limit) override {
    return ports_.store.Webhooks(limit);
  }

  Result<WebhookRecord> Retry(const Actor& actor, const WebhookId& id) override {
    auto row = ports_.store.FindWebhook(id);
    if (!row) return tl::unexpected(std::move(row.error()));
    if (!*row) return Fail(ErrorCode::kNotFound, "There is no such message.");
    const std::string words = "Ticket " + (*row)->ticket + ", to " + (*row)->place + ".";
    auto again = ports_.store.RetryWebhook(
        id, ports_.clock.UnixMillis(),
        AuditOf(ports_.clock, actor, "webhook.retry", id.Hex(), "ok", words));
    if (!again) return tl::unexpected(std::move(again.error()));
    if (!*again) return Fail(ErrorCode::kConflict, "The receiver has this message already.");
    row = ports_.store.FindWebhook(id);
    if (!row) return tl::unexpected(std::move(row.error()));
    if (!*row) return Fail(ErrorCode::kNotFound, "There is no such message.");
    return **std::move(row);
  }

  void Tick(const std::function<bool()>& mine) override {
    const auto marks = ports_.store.WebhookMarksDue(ports_.clock.UnixMillis());
    if (!marks) return ports_.log("webhooks: " + marks.error().message);
    for (const std::string& mark : *marks) {
      if (!DeliverTo(mark, mine)) return;
    }
    if (auto gone = ports_.store.ForgetWebhooks(ports_.clock.UnixMillis() - config_.keep); !gone) {
      ports_.log("webhooks: " + gone.error().message);
    }
  }

 private:
  // What is due for one target, until one fails. False: not by this server, or not now.
  bool DeliverTo(const std::string& mark, const std::function<bool()>& mine) const {
    const auto due = ports_.store.WebhooksDue(mark, ports_.clock.UnixMillis(), kWebhooksAtOnce);
    if (!due) {
      ports_.log("webhooks: " + due.error().message);
      return false;
    }
    for (const WebhookRecord& one : *due) {
      if (!mine()) return false;
      const auto sent = Deliver(one);
      if (const auto noted = Note(one, sent); !noted) {
        ports_.log("webhooks: " + noted.error().message);
        return false;
      }
      if (!sent) break;
    }
    return true;
  }

  // kNotFound: no more try makes sense.
  Result<void> Deliver(const WebhookRecord& one) const {
    const auto target =
        std::find_if(config_.targets.begin(), config_.targets.end(),
                     [&one](const WebhookTarget& known) { return known.mark == one.mark; });
    if (target == config_.targets.end()) {
      return Fail(ErrorCode::kNotFound, "This address is not configured any more.");
    }
    const std::int64_t now = ports_.clock.UnixSeconds();
    HttpPost post;
    post.url = target->url;
    post.content_type = "application/json";
    post.body = SecureBytes::CopyOf(std::string_view(one.body));
    post.headers = {{kWebhookTimestamp, std::to_string(now)},
                    {kWebhookSignature, WebhookSignature(config_.secret, now, one.body)},
                    {kWebhookDelivery, one.id.Hex()}};
    const auto status = ports_.poster.Post(post);
    if (!status) return tl::unexpected(status.error());
    if (*status >= 200 && *status < 300) return {};
    return Fail(ErrorCode::kUnavailable,
                "The receiver answered with status " + std::to_string(*status) + ".");
  }

  Result<bool> Note(WebhookRecord one, const Result<void>& sent) const {
    const std::int64_t now = ports_.clock.UnixMillis();
    std::optional<AuditEntry> entry;
    ++one.attempts;
    if (sent) {
      one.state = WebhookState::kSent;
      one.sent = now;
      one.last_error.clear();
      entry = AuditBySystem(ports_.clock, "webhook.sent", one.id.Hex(), "ok",
                            "Ticket " + one.ticket + ", to " + one.place + ".");
    } else {
      const Error& error = sent.error();
      one.last_error = error.message;
      const std::uint32_t doublings = std::min<std::uint32_t>(one.attempts - 1, 16);
      one.next_try = now + std::min(config_.first_pause << doublings, config_.longest_pause);
      if (error.code == ErrorCode::kNotFound || now - one.since >= config_.give_up_after) {
        one.state = WebhookState::kFailed;
        one.next_try = now;
        entry = AuditBySystem(
            ports_.clock, "webhook.sent", one.id.Hex(), OutcomeName(error.code),
            "Ticket " + one.ticket + ", to " + one.place + ", given up: " + error.message);
      }
      ports_.log("webhook " + one.id.Hex() + " to " + one.place + ": " + error.message +
                 (error.detail.empty() ? "" : " [" + error.detail + "]"));
    }
    return ports_.store.MarkWebhook(one, entry ? &*entry : nullptr);
  }

  const WebhookPorts ports_;
  const WebhookConfig config_;
};

}  // namespace

const char* Name(WebhookState state) {
  switch (state) {
    case WebhookState::kQueued:
      return "queued";
    case WebhookState::kSent:
      return "sent";
    case WebhookState::kFailed:
      return "failed";
  }
  return "invalid";
}

Result<WebhookTarget> WebhookTarget::Parse(std::string_view url) {
  const auto bad = [](const char* what) { return Fail(ErrorCode::kInvalidArgument, what); };
  const bool printable =
      std::all_of(url.begin(), url.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  if (url.size() > kMostUrl || !printable ||
      url.find_first_of("<>\"\\^`{|}#") != std::string_view::npos) {
    return bad("is not an address, or longer than 1024 characters.");
  }
  const bool plain = url.substr(0, 7) == "http://";
  if (!plain && url.substr(0, 8) != "https://") return bad("must begin with https://.");
  const std::size_t begin = plain ? 7 : 8;
  const std::size_t end = url.find_first_of("/?", begin);
  const std::string_view authority = url.substr(begin, end - begin);
  if (authority.find('@') != std::string_view::npos) {
    return bad("must not hold a user name or password.");
  }
  const std::string_view host = HostIn(authority);
  if (host.empty()) {
    return bad("must name a host in lower case or an IP address, and a port where it is not 443.");
  }
  if (plain && host != "127.0.0.1" && host != "[::1]" && host != "localhost") {
    return bad("must begin with https://; http:// is only for this machine itself.");
  }
  WebhookTarget out;
  out.url = url;
  out.place = url.substr(0, begin + authority.size());
  out.mark = ToHex(Sha256(url)).substr(0, kMarkDigits);
  return out;
}

std::string WebhookSignature(const SecureBytes& secret, std::int64_t timestamp,
                             std::string_view body) {
  const std::string stamp = std::to_string(timestamp) + ".";
  protocol::Hash mac{};
  protocol::Hmac(secret.span()).Update(ViewOf(stamp)).Update(ViewOf(body)).Final(mac);
  return "v1=" + ToHex(mac);
}

Result<std::vector<WebhookRecord>> WebhooksOf(const HelpDeskRequest& closed,
                                              const std::vector<HelpDeskAttempt>& attempts,
                                              std::span<const WebhookTarget> targets,
                                              protocol::RandomSource& random) {
  std::vector<std::string> methods;
  for (const HelpDeskAttempt& attempt : attempts) {
    if (attempt.state == HelpDeskAttemptState::kPassed) methods.emplace_back(Name(attempt.method));
  }
  std::vector<WebhookRecord> out;
  for (const WebhookTarget& target : targets) {
    WebhookRecord one;
    if (!random.Fill(one.id.bytes)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    one.mark = target.mark;
    one.place = target.place;
    one.ticket = closed.ticket;
    one.outcome = Name(closed.state);
    one.created = one.since = one.next_try = closed.closed;
    JsonLine line;
    line.Text("type", "help_desk.closed")
        .Text("delivery", one.id.Hex())
        .Text("request", closed.id.Hex())
        .Text("ticket", closed.ticket)
        .Text("process", Name(closed.process))
        .Text("outcome", one.outcome)
        .Text("user_id", closed.account.Hex())
        .Text("user_login", closed.login)
        .Text("agent_id", closed.agent.Hex())
        .Text("agent_login", closed.agent_login)
        .Texts("methods", methods)
        .Text("change", closed.change == ChangeId{} ? std::string() : closed.change.Hex())
        .Number("opened", closed.opened)
        .Number("acted", closed.acted)
        .Number("closed", closed.closed);
    one.body = line.Take();
    out.push_back(std::move(one));
  }
  return out;
}

std::unique_ptr<WebhookService> MakeWebhookService(WebhookPorts ports, WebhookConfig config) {
  return std::make_unique<DefaultWebhooks>(std::move(ports), std::move(config));
}

}  // namespace keyferry::server
