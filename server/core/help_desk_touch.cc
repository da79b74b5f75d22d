#include "server/core/help_desk_touch.h"

#include <algorithm>
#include <set>
#include <utility>

#include "protocol/caller_proof.h"
#include "protocol/info.h"
#include "server/core/clock.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/help_desk.h"
#include "server/core/json_line.h"

namespace keyferry::server {
namespace {

constexpr std::uint8_t kWholeProof =
    protocol::kAssertTouched | protocol::kAssertPin | protocol::kAssertByLogin;

bool CanAsk(const WorkstationRecord& workstation) {
  return workstation.state == WorkstationState::kApproved &&
         workstation.protocol >= kCallerProtocol && !workstation.login_cert.empty();
}

std::string WhyNot(const WorkstationRecord& workstation) {
  const std::string name = Presentable(workstation.name, 64);
  if (workstation.protocol < kCallerProtocol) {
    return "The keyferryd of " + name + ", where the key is, is too old to ask; update it there.";
  }
  return "The login agent of " + name +
         ", where the key is, is not certified; an administrator sees why on the page "
         "Workstations.";
}

// A key whose word counts.
bool InUse(const KeyRecord& key) {
  return key.state == KeyState::kActive && key.alarm.empty() && key.restored == 0;
}

// The question that is out and may still be answered.
const HelpDeskAttempt* TouchOut(const HelpDeskCase& about) {
  for (const HelpDeskAttempt& attempt : about.attempts) {
    if (attempt.method == HelpDeskMethod::kKeyTouch &&
        attempt.state == HelpDeskAttemptState::kWaiting && about.now < attempt.expires) {
      return &attempt;
    }
  }
  return nullptr;
}

std::string NamesOf(const std::vector<WorkstationRecord>& workstations) {
  std::string out;
  for (const WorkstationRecord& one : workstations) {
    out += (out.empty() ? "" : ", ") + Presentable(one.name, 64);
  }
  return out;
}

class KeyTouch final : public HelpDeskVerification {
 public:
  explicit KeyTouch(const CorePorts& ports) : ports_(ports) {}

  void Describe(const HelpDeskCase& about, HelpDeskOffer& offer) const override {
    const auto places = TouchPlacesOf(ports_, about.request.account);
    offer.unavailable = places ? places->problem : places.error().message;
    if (places) offer.shown = NamesOf(places->workstations);
    if (const HelpDeskAttempt* const out = TouchOut(about)) {
      // Who was asked may still answer, wherever the key is by now.
      offer.unavailable.clear();
      offer.sent = out->created;
      offer.sent_until = out->expires;
      offer.read_out = out->read_out;
    }
    for (const HelpDeskAttempt& attempt : about.attempts) {
      if (attempt.method != HelpDeskMethod::kKeyTouch) continue;
      if (attempt.state != HelpDeskAttemptState::kVoid) offer.denied = attempt.denied;
    }
  }

  Result<bool> Check(const HelpDeskCase& about, const HelpDeskAnswer& answer) const override {
    if (!answer.touch) {
      return Fail(ErrorCode::kInvalidArgument,
                  "The caller answers this with the key, at the workstation.");
    }
    const HelpDeskAttempt* const out = TouchOut(about);
    if (out == nullptr) {
      return Fail(ErrorCode::kConflict, "The help desk does not ask this any more.");
    }
    if (!answer.touch->assertion) return false;
    const auto assertion = protocol::Assertion::Parse(*answer.touch->assertion);
    if (!assertion) return Fail(ErrorCode::kInvalidArgument, "This is no proof of a security key.");
    DeviceId device;
    device.bytes = assertion->device_id;
    const auto key = ports_.store.FindKey(device);
    if (!key) return tl::unexpected(key.error());
    return *key && Holds(about.request, *out, answer.touch->from, **key, *assertion);
  }

  std::string Words(const HelpDeskCase&, const HelpDeskAnswer& answer) const override {
    if (!answer.touch) return {};
    const std::string at = " at " + Presentable(answer.touch->from.name, 64);
    if (!answer.touch->assertion) return "a touch of the key" + at + ", which was denied there";
    const auto assertion = protocol::Assertion::Parse(*answer.touch->assertion);
    return "a touch of the key" + (assertion ? " " + ToHex(assertion->device_id) : "") + at;
  }

 private:
  static bool Holds(const HelpDeskRequest& request, const HelpDeskAttempt& asked,
                    const WorkstationRecord& from, const KeyRecord& key,
                    const protocol::Assertion& assertion) {
    // One that was given out after the question could be its answer's own cause; one whose counter
    // stands behind what the server has receipts for is an older copy.
    if (key.account != request.account || !InUse(key) || key.enrolled > asked.created ||
        assertion.receipt_ctr < key.receipt_ctr) {
      return false;
    }
    const protocol::CallerQuestion question{asked.asked_by, request.ticket, request.reason,
                                            asked.read_out};
    return assertion.flags == kWholeProof && assertion.account_id == request.account.bytes &&
           ToHex(assertion.challenge) == asked.challenge &&
           assertion.context_hash ==
               protocol::CallerContext(from.id.bytes, request.id.bytes, question) &&
           assertion.VerifySignature(key.sig_pub);
  }

  const CorePorts& ports_;
};

}  // namespace

std::unique_ptr<HelpDeskVerification> MakeKeyTouch(const CorePorts& ports) {
  return std::make_unique<KeyTouch>(ports);
}

Result<TouchPlaces> TouchPlacesOf(const CorePorts& ports, const AccountId& account) {
  const auto keys = ports.store.KeysOf(account);
  if (!keys) return tl::unexpected(keys.error());
  TouchPlaces out;
  bool in_use = false, seen = false;
  std::set<WorkstationId> looked_at;
  for (const KeyRecord& key : *keys) {
    if (!InUse(key)) continue;
    in_use = true;
    for (const Presence::Sighting& sighting : ports.presence.Sightings(key.device)) {
      if (sighting.key.state != static_cast<int>(protocol::KeyState::kReady)) {
        out.problem =
            "The PIN of the key is not set, or it is blocked; verify the caller in another way.";
        continue;
      }
      seen = true;
      if (!looked_at.insert(sighting.workstation).second) continue;
      const auto workstation = ports.store.FindWorkstation(sighting.workstation);
      if (!workstation) return tl::unexpected(workstation.error());
      if (!*workstation) continue;
      if (CanAsk(**workstation)) {
        out.workstations.push_back(**workstation);
      } else {
        out.problem = WhyNot(**workstation);
      }
    }
  }
  if (!out.workstations.empty()) {
    out.problem.clear();
  } else if (!in_use) {
    out.problem = "This person has no security key in use; verify the caller in another way.";
  } else if (!seen && out.problem.empty()) {
    out.problem = "No workstation sees a key of this person now; have the caller plug it in.";
  }
  return out;
}

WorkstationEvent CallerEvent(const KeyTouchQuestion& question, std::int64_t now) {
  const HelpDeskRequest& request = question.request;
  const HelpDeskAttempt& asked = question.attempt;
  Hash32 challenge{};
  if (const auto bytes = FromHex(asked.challenge); bytes && bytes->size() == challenge.size()) {
    std::copy(bytes->begin(), bytes->end(), challenge.begin());
  }
  // The number is not told: the agent reads it out, and the person types it.
  return {"caller", JsonLine()
                        .Text("request_id", request.id.Hex())
                        .Text("login", request.login)
                        .Base64("challenge", challenge)
                        .Text("agent", asked.asked_by)
                        .Text("ticket", request.ticket)
                        .Text("reason", request.reason)
                        .Number("seconds", std::max<std::int64_t>(1, (asked.expires - now) / 1000))
                        .Take()};
}

void TellCallerOver(const CorePorts& ports, const HelpDeskRequest& request) {
  const auto places = TouchPlacesOf(ports, request.account);
  if (!places) return Log(ports, "caller-over", places.error());
  const WorkstationEvent event{"caller-over",
                               JsonLine().Text("request_id", request.id.Hex()).Take()};
  for (const WorkstationRecord& one : places->workstations) Send(ports, one.id, event);
}

Result<std::optional<WorkstationEvent>> CallerEventDue(const CorePorts& ports,
                                                       const WorkstationId& to,
                                                       const AccountId& account) {
  const std::int64_t now = ports.clock.UnixMillis();
  const auto question = ports.store.KeyTouchOf(account, now);
  if (!question) return tl::unexpected(question.error());
  if (!*question) return std::optional<WorkstationEvent>();
  const auto workstation = ports.store.FindWorkstation(to);
  if (!workstation) return tl::unexpected(workstation.error());
  if (!*workstation || !CanAsk(**workstation)) return std::optional<WorkstationEvent>();
  return CallerEvent(**question, now);
}

Result<HelpDeskAttempt> MakeTouchQuestion(const CorePorts& ports, const HelpDeskRequest& request,
                                          const std::string& asked_by) {
  HelpDeskAttempt out;
  out.method = HelpDeskMethod::kKeyTouch;
  Hash32 challenge{};
  std::uint16_t number = 0;
  do {
    std::array<std::uint8_t, 2> bytes{};
    if (!ports.random.Fill(challenge) || !ports.random.Fill(bytes)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    number = static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]);
  } while (number >= 65'000);  // more would make some numbers likelier than others
  out.challenge = ToHex(challenge);
  const std::string digits = std::to_string(number % 1000);
  out.read_out = std::string(protocol::kCallerNumberDigits - digits.size(), '0') + digits;
  out.asked_by = asked_by;
  out.created = ports.clock.UnixMillis();
  out.expires = std::min(request.expires, out.created + kTouchMillis);
  const protocol::CallerQuestion question{out.asked_by, request.ticket, request.reason,
                                          out.read_out};
  if (!protocol::IsCallerQuestion(question)) {
    return Fail(ErrorCode::kInternal, "The reason or your name cannot be shown at a workstation.");
  }
  return out;
}

}  // namespace keyferry::server
