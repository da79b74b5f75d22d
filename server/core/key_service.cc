#include <algorithm>
#include <string>
#include <utility>

#include "protocol/info.h"
#include "server/core/audit_entry.h"
#include "server/core/dispatch.h"
#include "server/core/enrolment.h"
#include "server/core/key_choice.h"
#include "server/core/key_life.h"
#include "server/core/receipts.h"
#include "server/core/services.h"

namespace keyferry::server {
namespace {

class DefaultKeyService final : public KeyService {
 public:
  DefaultKeyService(const CorePorts& ports, KeyConfig config) : ports_(ports), config_(config) {}

  Result<std::vector<KeyView>> List() override {
    auto keys = ports_.store.Keys();
    if (!keys) return tl::unexpected(std::move(keys.error()));
    return Views(*keys, nullptr);
  }

  Result<std::vector<KeyView>> Page(const KeyFilter& filter) override {
    auto keys = ports_.store.KeysPage(filter);
    if (!keys) return tl::unexpected(std::move(keys.error()));
    const bool begun = filter.after == DeviceId{} && !filter.alarmed &&
                       filter.state.value_or(KeyState::kReserved) == KeyState::kReserved;
    if (begun) return Views(*keys, nullptr);
    std::vector<KeyView> views;
    for (const KeyRecord& key : *keys) views.push_back(ViewOf(key));
    return views;
  }

  Result<std::vector<KeyView>> OfAccount(const AccountId& account) override {
    auto keys = ports_.store.KeysOf(account);
    if (!keys) return tl::unexpected(std::move(keys.error()));
    auto views = Views(*keys, &account);
    if (!views) return views;
    const auto newest = ports_.store.NewestConfirmed(account);
    if (!newest) return tl::unexpected(newest.error());
    for (std::size_t i = 0; i < keys->size(); ++i) AddPassword((*keys)[i], *newest, (*views)[i]);
    return views;
  }

  Result<std::vector<NewKeyView>> Unassigned() override {
    std::vector<NewKeyView> out;
    for (const Presence::Sighting& sighting : ports_.presence.All()) {
      const auto state = static_cast<protocol::KeyState>(sighting.key.state);
      if (state != protocol::KeyState::kProvisioned && state != protocol::KeyState::kWiped) {
        continue;
      }
      out.push_back({sighting.key.device, sighting.workstation, sighting.workstation_name,
                     sighting.key.transport, sighting.key.simulator});
    }
    return out;
  }

  Result<KeyView> Get(const DeviceId& device) override {
    const auto key = ports_.store.FindKey(device);
    if (!key) return tl::unexpected(key.error());
    if (!*key) return Fail(ErrorCode::kNotFound, "This key is not enrolled here.");
    const auto newest = ports_.store.NewestConfirmed((*key)->account);
    if (!newest) return tl::unexpected(newest.error());
    KeyView view = ViewOf(**key);
    AddPassword(**key, *newest, view);
    return view;
  }

  Result<KeyView> Step(const Actor& actor, const DeviceId& device, KeyStep step,
                       std::string_view reason) override {
    if (auto done = StepKey(ports_, actor, device, step, reason); !done) {
      return tl::unexpected(std::move(done.error()));
    }
    return Get(device);
  }

  Result<EnrolmentStarted> BeginEnrolment(const Actor& actor, const AccountId& account,
                                          const DeviceId& device, const WorkstationId& workstation,
                                          const std::optional<DeviceId>& replaces) override {
    return server::BeginEnrolment(ports_, config_, actor, account, device, workstation, replaces);
  }

  Result<EnrolmentView> Enrolment(const EnrolmentId& id) override {
    const auto found = ports_.store.FindEnrolment(id);
    if (!found) return tl::unexpected(found.error());
    if (!*found) return Fail(ErrorCode::kNotFound, "There is no such enrolment.");
    const EnrolmentRecord& record = **found;
    EnrolmentView view{record.id, record.device, record.account, record.state, record.error, {}};
    if (record.replaces != DeviceId{}) view.replaces = record.replaces;
    if (record.state == EnrolmentState::kWaiting && ports_.clock.UnixMillis() >= record.expires) {
      view.state = EnrolmentState::kFailed;
      view.error = "The key was not enrolled in time; begin again.";
    }
    return view;
  }

  Result<EnrolmentView> ClearEnrolment(const Actor& actor, const EnrolmentId& id,
                                       std::string_view reason) override {
    if (auto done = server::ClearEnrolment(ports_, actor, id, reason); !done) {
      return tl::unexpected(std::move(done.error()));
    }
    return Enrolment(id);
  }

  Result<Bytes> AcceptStatement(const WorkstationId& from, const EnrolmentId& id,
                                std::span<const std::uint8_t> statement,
                                std::span<const std::uint8_t> attestation_der) override {
    auto host = Host(from);
    if (!host) return tl::unexpected(std::move(host.error()));
    return server::AcceptStatement(ports_, config_, *host, id, statement, attestation_der);
  }

  Result<ReceiptVerdict> FinishEnrolment(const WorkstationId& from, const EnrolmentId& id,
                                         std::span<const std::uint8_t> receipt) override {
    auto host = Host(from);
    if (!host) return tl::unexpected(std::move(host.error()));
    return server::FinishEnrolment(ports_, *host, id, receipt);
  }

  Result<void> EnrolmentProblem(const WorkstationId& from, const EnrolmentId& id,
                                std::string_view code, std::string_view message) override {
    auto host = Host(from);
    if (!host) return tl::unexpected(std::move(host.error()));
    return FailEnrolment(ports_, *host, id, code, message);
  }

  Result<ReceiptVerdict> AcceptReceipt(const WorkstationId& from, const DeviceId& device,
                                       std::span<const std::uint8_t> receipt) override {
    auto host = Host(from);
    if (!host) return tl::unexpected(std::move(host.error()));
    return TakeInReceipt(ports_, *host, device, receipt);
  }

  Result<void> Used(const WorkstationId& from, const DeviceId& device, std::uint64_t seq) override {
    auto host = Host(from);
    if (!host) return tl::unexpected(std::move(host.error()));
    const auto key = ports_.store.FindKey(device);
    if (!key) return tl::unexpected(key.error());
    if (!*key) return Fail(ErrorCode::kNotFound, "This key is not enrolled here.");
    const auto used = ports_.store.MarkUsed(
        device, seq, ports_.clock.UnixMillis(),
        AuditByWorkstation(ports_.clock, *host, "password.used", (*key)->login, "ok",
                           "Logged in with password number " + std::to_string(seq) + "."));
    if (!used) return tl::unexpected(used.error());
    AnnounceAccount(ports_, used->account);
    return {};
  }

 private:
  Result<WorkstationRecord> Host(const WorkstationId& from) {
    auto found = ports_.store.FindWorkstation(from);
    if (!found) return tl::unexpected(std::move(found.error()));
    if (!*found || (*found)->state != WorkstationState::kApproved) {
      return Fail(ErrorCode::kPermissionDenied, "This workstation is not approved.");
    }
    return **std::move(found);
  }

  KeyView ViewOf(const KeyRecord& key) {
    KeyView view;
    view.device = key.device;
    view.state = key.state;
    view.account = key.account;
    view.login = key.login;
    view.display_name = key.display_name;
    view.simulator = key.simulator;
    view.firmware = key.firmware;
    view.pin_set = key.pin_set;
    view.last_seq = key.last_seq;
    view.receipt_ctr = key.receipt_ctr;
    view.enrolled = key.enrolled;
    view.last_seen = key.last_seen;
    view.alarm = key.alarm;
    view.state_reason = key.state_reason;
    view.wiped = key.wiped;
    view.enrolment = key.enrolment;
    MarkSeen(view);
    return view;
  }

  static void AddPassword(const KeyRecord& key, const std::optional<ChangeRow>& newest,
                          KeyView& view) {
    if (IsOutOfUse(key.state)) return;
    view.password = PasswordOn(key, newest);
    view.note = key.note;
  }

  // The views of `keys`, in their order, and behind them those of open enrolments. `account`: only
  // its own; null = all.
  Result<std::vector<KeyView>> Views(const std::vector<KeyRecord>& keys, const AccountId* account) {
    std::vector<KeyView> views;
    for (const KeyRecord& key : keys) views.push_back(ViewOf(key));
    const auto open = ports_.store.OpenEnrolments(ports_.clock.UnixMillis());
    if (!open) return tl::unexpected(open.error());
    for (const EnrolmentRecord& enrolment : *open) {
      if (account != nullptr && enrolment.account != *account) continue;
      KeyView view;
      view.device = enrolment.device;
      view.state = KeyState::kReserved;
      view.account = enrolment.account;
      view.login = enrolment.login;
      view.display_name = enrolment.display_name;
      view.simulator = enrolment.simulator;
      view.enrolment = enrolment.id;
      MarkSeen(view);
      views.push_back(std::move(view));
    }
    return views;
  }

  void MarkSeen(KeyView& view) {
    const auto sightings = ports_.presence.Sightings(view.device);
    if (sightings.empty()) return;
    view.seen_at = sightings.front().workstation_name;
    view.locked = sightings.front().key.state == static_cast<int>(protocol::KeyState::kLocked);
    view.last_seen = ports_.clock.UnixMillis();
  }

  CorePorts ports_;
  KeyConfig config_;
};

}  // namespace

std::unique_ptr<KeyService> MakeKeyService(const CorePorts& ports, KeyConfig config) {
  return std::make_unique<DefaultKeyService>(ports, config);
}

}  // namespace keyferry::server
