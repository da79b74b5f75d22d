#include "server/core/dispatch.h"

#include <set>
#include <utility>

#include "protocol/failpoint.h"
#include "protocol/info.h"
#include "server/core/after_restore.h"
#include "server/core/help_desk_touch.h"
#include "server/core/json_line.h"
#include "server/core/key_life.h"
#include "server/core/offer.h"

namespace keyferry::server {
namespace {

// What a workstation is told anew when it sees a key.
constexpr std::size_t kNoticesShown = 5;
constexpr std::int64_t kNoticesShownMillis = 3 * kDaySeconds * 1000;

}  // namespace

std::string AccountTopic(const AccountId& id) { return "account/" + id.Hex(); }
std::string WorkstationTopic(const WorkstationId& id) { return "workstation/" + id.Hex(); }

WorkstationEvent KeyEvent(const KeyRecord& key) {
  return {"key", JsonLine()
                     .Text("device_id", key.device.Hex())
                     .Text("state", IsOutOfUse(key.state) ? "revoked" : Name(key.state))
                     .Text("login", key.login)
                     .Text("account_id", key.account.Hex())
                     .Base64("record", key.record)
                     .Take()};
}

WorkstationEvent JobEvent(const JobRecord& job) {
  return {"job", JsonLine()
                     .Text("job_id", job.id.Hex())
                     .Text("device_id", job.device.Hex())
                     .Unsigned("seq", job.seq)
                     .Base64("sealed", job.sealed)
                     .Take()};
}

WorkstationEvent VoidEvent(const JobId& id) {
  return {"void", JsonLine().Text("job_id", id.Hex()).Take()};
}

WorkstationEvent EnrolEvent(const EnrolmentRecord& enrolment) {
  return {"enrol", JsonLine()
                       .Text("enrolment_id", enrolment.id.Hex())
                       .Text("device_id", enrolment.device.Hex())
                       .Base64("enrol_cert", enrolment.enrol_cert)
                       .Base64("begin", enrolment.begin)
                       .Take()};
}

// A later one has a higher number: one that was overtaken on its way is known by that.
WorkstationEvent AlarmEvent(const AlarmRecord& alarm) {
  return {"alarm", JsonLine()
                       .Unsigned("number", alarm.number * 2 + (alarm.ended != 0 ? 1 : 0))
                       .Text("state", alarm.stands() ? "on" : "off")
                       .Number("since", alarm.raised / 1000)
                       .Take()};
}

WorkstationEvent NoticeEvent(const NoticeRecord& notice) {
  return {"notice", JsonLine()
                        .Unsigned("number", notice.number)
                        .Text("login", notice.login)
                        .Text("kind", Name(notice.kind))
                        .Text("by", notice.by)
                        .Text("address", notice.address)
                        .Text("reason", notice.reason)
                        .Number("time", notice.created / 1000)
                        .Take()};
}

void Send(const CorePorts& ports, const WorkstationId& to, WorkstationEvent event) {
  ports.bus.Publish(WorkstationTopic(to), {std::move(event.name), std::move(event.data)});
}

void SendToSeers(const CorePorts& ports, const DeviceId& device, const WorkstationEvent& event) {
  for (const Presence::Sighting& sighting : ports.presence.Sightings(device)) {
    Send(ports, sighting.workstation, event);
  }
}

void AnnounceAccount(const CorePorts& ports, const AccountId& account) {
  const std::string data = JsonLine().Text("account_id", account.Hex()).Take();
  ports.bus.Publish(AccountTopic(account), {"change", data});
  ports.bus.Publish("jobs", {"change", data});
}

// Whether the key holds anything, and still opens jobs.
bool IsWipeable(const SeenKey& seen) {
  const auto state = static_cast<protocol::KeyState>(seen.state);
  return state >= protocol::KeyState::kEnrolledNoPin && state <= protocol::KeyState::kLocked;
}

Result<std::vector<WorkstationEvent>> DueEvents(const CorePorts& ports, const WorkstationId& to,
                                                const std::vector<SeenKey>& keys) {
  std::vector<WorkstationEvent> events;
  if (keys.empty()) return events;
  const std::int64_t now = ports.clock.UnixMillis();
  const auto enrolments = ports.store.OpenEnrolments(now);
  if (!enrolments) return tl::unexpected(enrolments.error());
  const auto alarm = ports.store.Alarms(1);
  if (!alarm) return tl::unexpected(alarm.error());
  const bool quiet = !alarm->empty() && alarm->front().stands();
  for (const SeenKey& seen : keys) {
    const auto key = ports.store.FindKey(seen.device);
    if (!key) return tl::unexpected(key.error());
    if (*key) {
      events.push_back(KeyEvent(**key));
      if (!IsOutOfUse((*key)->state)) {
        const auto notices = ports.store.NoticesOf((*key)->account, kNoticesShown);
        if (!notices) return tl::unexpected(notices.error());
        for (auto notice = notices->rbegin(); notice != notices->rend(); ++notice) {
          if (notice->objected == 0 && now - notice->created < kNoticesShownMillis) {
            events.push_back(NoticeEvent(*notice));
          }
        }
      }
      if (IsOutOfUse((*key)->state) && IsWipeable(seen)) {
        if (auto queued = WipeIfDue(ports, seen.device); !queued) {
          return tl::unexpected(std::move(queued.error()));
        }
      }
      if ((*key)->restored != 0 && !IsOutOfUse((*key)->state)) {
        if (auto asked = AskAfterRestore(ports, **key); !asked) {
          return tl::unexpected(std::move(asked.error()));
        }
      }
      const auto job = ports.store.TakeReady(seen.device, now);
      if (!job) return tl::unexpected(job.error());
      if (*job) events.push_back(JobEvent(**job));
      if ((*key)->state == KeyState::kActive && !quiet) {
        auto caller = CallerEventDue(ports, to, (*key)->account);
        if (!caller) return tl::unexpected(std::move(caller.error()));
        if (*caller) events.push_back(**std::move(caller));
      }
    }
    if (quiet) continue;
    for (const EnrolmentRecord& enrolment : *enrolments) {
      if (enrolment.device == seen.device && enrolment.workstation == to) {
        events.push_back(EnrolEvent(enrolment));
      }
    }
  }
  return events;
}

Result<void> HandOutReady(const CorePorts& ports, const DeviceId& device) {
  const auto sightings = ports.presence.Sightings(device);
  if (sightings.empty()) return {};
  const auto job = ports.store.TakeReady(device, ports.clock.UnixMillis());
  if (!job) return tl::unexpected(job.error());
  if (!*job) return {};
  KEYFERRY_FAILPOINT("server.handout.committed");
  const WorkstationEvent event = JobEvent(**job);
  for (const Presence::Sighting& sighting : sightings) Send(ports, sighting.workstation, event);
  return {};
}

void OfferHere(const CorePorts& ports, const std::vector<DeviceId>& devices) {
  std::set<DeviceId> here;
  for (const Presence::Seat& seat : ports.presence.Local()) {
    for (const SeenKey& key : seat.keys) here.insert(key.device);
  }
  for (const DeviceId& device : devices) {
    if (here.count(device) == 0) continue;
    if (auto handed = HandOutReady(ports, device); !handed) {
      Log(ports, "hand out to " + device.Hex(), handed.error());
    }
  }
}

void Log(const CorePorts& ports, std::string_view what, const Error& error) {
  if (!ports.log) return;
  std::string line(what);
  line += ": " + error.message;
  if (!error.detail.empty()) line += " [" + error.detail + "]";
  ports.log(line);
}

}  // namespace keyferry::server
