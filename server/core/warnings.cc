#include "server/core/warnings.h"

#include <algorithm>
#include <utility>

#include "server/core/audit_entry.h"

namespace keyferry::server {
namespace {

class DefaultWarningService final : public WarningService {
 public:
  DefaultWarningService(const WarningPorts& ports, WarningConfig config)
      : ports_(ports), config_(std::move(config)) {}

  Result<std::optional<Warning>> Standing() override {
    auto newest = ports_.store.NewestWarning();
    if (newest && *newest && (*newest)->acknowledged != 0) newest->reset();
    return newest;
  }

  Result<void> Acknowledge(const Actor& actor, const WarningId& id) override {
    if (!May(actor.roles, Right::kWarningsWrite)) {
      return Fail(ErrorCode::kPermissionDenied, "Administrators acknowledge warnings.");
    }
    const auto done =
        ports_.store.AcknowledgeWarning(id, actor.login, ports_.clock.UnixMillis(),
                                        AuditOf(ports_.clock, actor, "warning.acknowledge",
                                                id.Hex(), "ok", "Many people were blocked."));
    if (!done) return tl::unexpected(done.error());
    if (!*done) return Fail(ErrorCode::kConflict, "This warning was acknowledged already.");
    return {};
  }

  void Tick() override {
    if (auto done = Look(); !done && ports_.log) ports_.log("warnings: " + done.error().message);
  }

 private:
  Result<void> Look() {
    auto newest = ports_.store.NewestWarning();
    if (!newest) return tl::unexpected(std::move(newest.error()));
    if (!*newest || (*newest)->acknowledged != 0) {
      const std::int64_t now = ports_.clock.UnixMillis();
      Warning warning;
      // Whoever was blocked before the last one was acknowledged is known.
      warning.since = std::max(now - config_.within, *newest ? (*newest)->acknowledged : 0);
      const auto people = ports_.store.CountBlocked(warning.since);
      if (!people) return tl::unexpected(people.error());
      if (*people < config_.people) return {};
      if (!ports_.random.Fill(warning.id.bytes)) {
        return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
      }
      warning.people = *people;
      warning.raised = now;
      const auto raised = ports_.store.RaiseWarning(
          warning, AuditBySystem(ports_.clock, "warning.raise", warning.id.Hex(), "warning",
                                 std::to_string(*people) + " people were blocked within an hour."));
      if (!raised) return tl::unexpected(raised.error());
      if (!*raised) return {};  // by another server, which sees to the mails
      *newest = warning;
    }
    return Tell(**newest);
  }

  // Queues what is not queued yet: also after a server that died in between.
  Result<void> Tell(const Warning& warning) {
    if (!ports_.outbox.on()) return {};
    const std::string people = std::to_string(warning.people);
    const MailValues values = {{"people", people}};
    const MailTemplate& mail = ports_.templates.people_blocked;
    const SecureBytes body = FillBody(mail, values);
    for (std::size_t i = 0; i < config_.administrators.size(); ++i) {
      const auto queued = ports_.outbox.Queue(
          "warning-" + warning.id.Hex() + "-" + std::to_string(i), config_.administrators[i],
          FillSubject(mail, values), body.view(), "system");
      if (!queued) return tl::unexpected(queued.error());
    }
    return {};
  }

  const WarningPorts ports_;
  const WarningConfig config_;
};

}  // namespace

std::unique_ptr<WarningService> MakeWarningService(const WarningPorts& ports,
                                                   WarningConfig config) {
  return std::make_unique<DefaultWarningService>(ports, std::move(config));
}

}  // namespace keyferry::server
