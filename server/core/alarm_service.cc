#include <mutex>
#include <utility>

#include "server/core/alarm.h"
#include "server/core/audit_entry.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/same_person.h"
#include "server/core/services.h"

namespace keyferry::server {
namespace {

constexpr const char* kTopic = "alarm";
constexpr const char* kMovedOn = "The alarm has moved on since this page was shown; look again.";

class DefaultAlarmService final : public AlarmService {
 public:
  explicit DefaultAlarmService(const CorePorts& ports) : ports_(ports) {}

  Result<AlarmView> Get() override {
    const auto newest = ports_.store.Alarms(1);
    if (!newest) return tl::unexpected(newest.error());
    return newest->empty() ? AlarmView{} : ViewOf(newest->front());
  }

  Result<std::vector<AlarmRecord>> History(std::size_t limit) override {
    return ports_.store.Alarms(limit);
  }

  Result<AlarmView> Raise(const Actor& actor, std::string_view reason) override {
    if (!May(actor.roles, Right::kAlarmRaise)) return NotAllowed();
    if (reason.size() > kAlarmReasonBytes || (!reason.empty() && !IsPrintableUtf8(reason))) {
      return Fail(ErrorCode::kInvalidArgument,
                  "The reason must be text of at most 500 bytes, in one line.");
    }
    AlarmRecord alarm;
    alarm.raised_by = actor.id;
    alarm.raised_login = actor.login;
    alarm.raised = ports_.clock.UnixMillis();
    alarm.reason = std::string(reason);
    auto begun = ports_.store.BeginAlarm(
        alarm, AuditOf(ports_.clock, actor, "alarm.raise", "", "ok", alarm.reason));
    if (!begun) return tl::unexpected(std::move(begun.error()));
    if (*begun) Announce();
    return Get();
  }

  Result<AlarmView> AgreeToEnd(const Actor& actor, std::uint64_t number,
                               std::uint64_t version) override {
    auto found = Standing(actor, number, version);
    if (!found) return tl::unexpected(std::move(found.error()));
    auto alarm = WithWord(found->alarm, actor, ports_.clock.UnixMillis());
    if (alarm && !alarm->stands()) {
      if (auto other = CheckOther(actor, *alarm); !other) {
        alarm = tl::unexpected(std::move(other.error()));
      }
    }
    if (!alarm) {
      auto audited =
          ports_.store.AppendAudit(AuditOf(ports_.clock, actor, "alarm.end", "",
                                           OutcomeName(alarm.error().code), alarm.error().message));
      return tl::unexpected(audited ? std::move(alarm.error()) : std::move(audited.error()));
    }
    return Move(*alarm, version, WordEntry(*alarm, actor, ports_.clock));
  }

  Result<AlarmView> Keep(const Actor& actor, std::uint64_t number, std::uint64_t version) override {
    auto found = Standing(actor, number, version);
    if (!found) return tl::unexpected(std::move(found.error()));
    AlarmRecord alarm = found->alarm;
    if (alarm.agreed == 0) return *std::move(found);
    std::string detail = "The agreement of " + alarm.agreed_login + " is taken back.";
    alarm.agreed_by = {};
    alarm.agreed_login.clear();
    alarm.agreed = 0;
    return Move(alarm, version, AuditOf(ports_.clock, actor, "alarm.keep", "", "ok", detail));
  }

  void Watch() override {
    const std::lock_guard lock(mutex_);
    const auto view = Get();
    if (!view) return Log(ports_, "the alarm", view.error());
    const std::pair<std::uint64_t, bool> now{view->alarm.number, view->alarm.stands()};
    if (now == told_) return;
    const WorkstationEvent event = AlarmEvent(view->alarm);
    for (const Presence::Seat& seat : ports_.presence.Local()) {
      if (seat.kind == Presence::Seat::kHere) Send(ports_, seat.workstation, event);
    }
    told_ = now;
    if (now.second || now.first == 0) return;
    for (const Presence::Seat& seat : ports_.presence.Local()) {
      auto due = DueEvents(ports_, seat.workstation, seat.keys);
      if (!due) return Log(ports_, "what waited for the alarm's end", due.error());
      for (WorkstationEvent& waited : *due) Send(ports_, seat.workstation, std::move(waited));
    }
  }

 private:
  static tl::unexpected<Error> NotAllowed() {
    return Fail(ErrorCode::kPermissionDenied,
                "You are not allowed to decide on the alarm; ask an administrator.");
  }

  AlarmView ViewOf(AlarmRecord alarm) const {
    const bool agreed = IsAgreed(alarm, ports_.clock.UnixMillis());
    return {std::move(alarm), agreed};
  }

  // The alarm, as long as it is what the person saw.
  Result<AlarmView> Standing(const Actor& actor, std::uint64_t number, std::uint64_t version) {
    if (!May(actor.roles, Right::kAlarmEnd)) return NotAllowed();
    auto view = Get();
    if (!view) return view;
    if (!view->alarm.stands() || view->alarm.number != number || view->alarm.version != version) {
      return Fail(ErrorCode::kConflict, kMovedOn);
    }
    return view;
  }

  // Whether the actor is another person than who agreed, under another name too.
  Result<void> CheckOther(const Actor& actor, const AlarmRecord& alarm) {
    if (alarm.agreed_by == AccountId{}) return {};  // on the server's console
    const auto same = SamePerson(ports_, actor.id, alarm.agreed_by);
    if (!same) return tl::unexpected(same.error());
    if (*same) {
      return Fail(ErrorCode::kPermissionDenied, "This account is of the same person as " +
                                                    alarm.agreed_login +
                                                    "; another person has to agree as well.");
    }
    return {};
  }

  Result<AlarmView> Move(const AlarmRecord& alarm, std::uint64_t version, const AuditEntry& audit) {
    auto moved = ports_.store.MoveAlarm(alarm, version, audit);
    if (!moved) return tl::unexpected(std::move(moved.error()));
    if (!*moved) return Fail(ErrorCode::kConflict, kMovedOn);
    Announce();
    return Get();
  }

  void Announce() {
    Watch();
    ports_.bus.Publish(kTopic, {"change", "{}"});
  }

  CorePorts ports_;
  std::mutex mutex_;  // one tells at a time, so that the order is right
  std::pair<std::uint64_t, bool> told_{0, false};
};

}  // namespace

bool IsAgreed(const AlarmRecord& alarm, std::int64_t now) {
  const std::int64_t age = now - alarm.agreed;
  return alarm.agreed != 0 && age >= 0 && age < kAgreementMillis;
}

Result<AlarmRecord> WithWord(AlarmRecord alarm, const Actor& who, std::int64_t now) {
  if (!IsAgreed(alarm, now)) {
    alarm.agreed_by = who.id;
    alarm.agreed_login = who.login;
    alarm.agreed = now;
    return alarm;
  }
  if (who.id == alarm.agreed_by) {
    return Fail(ErrorCode::kPermissionDenied,
                "You have agreed already; another person has to agree as well.");
  }
  alarm.ended = now;
  alarm.ended_login = who.login;
  return alarm;
}

AuditEntry WordEntry(const AlarmRecord& with_word, const Actor& who, const Clock& clock) {
  if (with_word.stands()) return AuditOf(clock, who, "alarm.agree", "", "ok", "");
  return AuditOf(clock, who, "alarm.end", "", "ok",
                 "With the agreement of " + with_word.agreed_login + ".");
}

std::unique_ptr<AlarmService> MakeAlarmService(const CorePorts& ports) {
  return std::make_unique<DefaultAlarmService>(ports);
}

Result<void> CheckNoAlarm(AlarmStore& store) {
  const auto newest = store.Alarms(1);
  if (!newest) return tl::unexpected(newest.error());
  if (!newest->empty() && newest->front().stands()) return Fail(ErrorCode::kConflict, kAlarmStands);
  return {};
}

}  // namespace keyferry::server
