#include "fake_services.h"

namespace keyferry::server::fake {

Result<AlarmView> FakeAlarm::Step(const std::string& what, const Actor& actor) {
  calls.push_back(what + " by " + actor.login);
  if (error) return tl::unexpected(*error);
  return view;
}

Result<AlarmView> FakeAlarm::Get() { return view; }

Result<AlarmView> FakeAlarm::Raise(const Actor& actor, std::string_view reason) {
  return Step("raise " + std::string(reason), actor);
}

Result<AlarmView> FakeAlarm::AgreeToEnd(const Actor& actor, std::uint64_t number,
                                        std::uint64_t version) {
  return Step("end " + std::to_string(number) + "/" + std::to_string(version), actor);
}

Result<AlarmView> FakeAlarm::Keep(const Actor& actor, std::uint64_t number, std::uint64_t version) {
  return Step("keep " + std::to_string(number) + "/" + std::to_string(version), actor);
}

Result<WebhookRecord> FakeWebhooks::Retry(const Actor& actor, const WebhookId& id) {
  for (const WebhookRecord& row : rows) {
    if (row.id != id) continue;
    calls.push_back("retry by " + actor.login);
    if (error) return tl::unexpected(*error);
    return row;
  }
  return Fail(ErrorCode::kNotFound, "There is no such message.");
}

}  // namespace keyferry::server::fake
