#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/clock.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/host_certificates.h"
#include "server/core/services.h"
#include "server/core/workstation_matching.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMaxKeys = 16;

bool GoodText(std::string_view text) {
  return !text.empty() && text.size() <= 64 && IsPrintableUtf8(text);
}

class DefaultWorkstationService final : public WorkstationService {
 public:
  DefaultWorkstationService(const CorePorts& ports, WorkstationConfig config)
      : ports_(ports), config_(std::move(config)), certificates_(ports_, config_) {}

  Result<std::vector<WorkstationView>> List() override {
    const auto records = ports_.store.Workstations();
    if (!records) return tl::unexpected(records.error());
    std::vector<WorkstationView> views;
    for (const WorkstationRecord& record : *records) views.push_back(ViewOf(record));
    return views;
  }

  Result<std::vector<WorkstationView>> Page(const WorkstationFilter& filter) override {
    const auto records = ports_.store.WorkstationsPage(filter);
    if (!records) return tl::unexpected(records.error());
    std::vector<WorkstationView> views;
    for (const WorkstationRecord& record : *records) views.push_back(ViewOf(record));
    return views;
  }

  Result<WorkstationRegistered> Register(const WorkstationRequest& request) override {
    if (!GoodText(request.name) || !GoodText(request.os) || !GoodText(request.version)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "Name, system and version must be text of 1 to 64 bytes each.");
    }
    if (request.domain.empty() != request.computer.empty() || request.domain.size() > 255 ||
        request.computer.size() > 63 || !IsPrintableUtf8(request.domain) ||
        !IsPrintableUtf8(request.computer)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "A workstation of a domain gives the domain's name and its computer account, of "
                  "at most 255 and 63 bytes.");
    }
    const auto facts = ports_.ca.Inspect(request.csr_pem);
    if (!facts) return tl::unexpected(facts.error());
    WorkstationRecord record;
    std::array<std::uint8_t, 32> token{};
    if (!ports_.random.Fill(record.id.bytes) || !ports_.random.Fill(token)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    const std::string poll_token = ToBase64Url(token);
    record.domain = request.domain;
    record.computer = request.computer;
    record.name = request.name;
    record.os = request.os;
    record.version = request.version;
    record.fingerprint = ToFingerprint(facts->spki_sha256);
    record.address = Presentable(request.address, 64);
    record.csr_pem = request.csr_pem;
    record.deliver_noise_pub = request.deliver_noise_pub;
    record.login_noise_pub = request.login_noise_pub;
    record.poll_token_hash = Sha256(poll_token);
    record.created = ports_.clock.UnixMillis();
    WorkstationStore::RegisterLimits limits;
    limits.pending = config_.max_pending;
    limits.per_address = config_.max_per_address_hour;
    limits.address_since = record.created - 3'600'000;
    limits.pending_since = record.created - kDaySeconds * 1000;
    const auto added =
        ports_.store.AddWorkstation(record, limits,
                                    AuditByWorkstation(ports_.clock, record, "workstation.register",
                                                       record.name, "ok", record.fingerprint));
    if (!added) return tl::unexpected(added.error());
    Announce();
    return WorkstationRegistered{record.id, poll_token, record.fingerprint};
  }

  Result<WorkstationEnrolment> Enrolment(const WorkstationId& id,
                                         std::string_view poll_token) override {
    const auto found = ports_.store.FindWorkstation(id);
    if (!found) return tl::unexpected(found.error());
    if (!*found || !SameDigest((*found)->poll_token_hash, Sha256(poll_token))) {
      return Fail(ErrorCode::kUnauthenticated,
                  "This request for a workstation is not known; register again.");
    }
    const WorkstationRecord& record = **found;
    WorkstationEnrolment enrolment;
    enrolment.state = record.state;
    if (record.state == WorkstationState::kApproved) {
      enrolment.certificates =
          WorkstationCertificates{record.certificate_pem, record.deliver_cert, record.login_cert,
                                  ports_.issuer.certificate(), ports_.issuer.root_pub()};
    }
    return enrolment;
  }

  Result<void> Approve(const Actor& actor, const WorkstationId& id) override {
    auto record = Administered(actor, id);
    if (!record) return tl::unexpected(std::move(record.error()));
    return ApproveRecord(actor, *std::move(record), {});
  }

  Result<std::vector<WorkstationMatch>> Matches(const Actor& actor) override {
    if (auto allowed = CheckRight(actor); !allowed) return tl::unexpected(allowed.error());
    const auto matched = MatchComputers(ports_);
    if (!matched) return tl::unexpected(matched.error());
    std::vector<WorkstationMatch> out;
    for (const ComputerMatch& match : *matched) {
      out.push_back({ViewOf(match.record), match.computer ? match.computer->dn : std::string(),
                     match.why_not});
    }
    return out;
  }

  Result<std::vector<WorkstationDecision>> ApproveMatching(
      const Actor& actor, std::span<const WorkstationId> ids) override {
    if (auto allowed = CheckRight(actor); !allowed) return tl::unexpected(allowed.error());
    auto matched = MatchComputers(ports_);
    if (!matched) return tl::unexpected(std::move(matched.error()));
    std::vector<WorkstationDecision> out;
    for (const WorkstationId& id : ids) {
      const auto match =
          std::find_if(matched->begin(), matched->end(),
                       [&id](const ComputerMatch& one) { return one.record.id == id; });
      if (match == matched->end()) {
        out.push_back({id, {}, Error{ErrorCode::kConflict, "It no longer waits.", {}, 0}});
      } else if (!match->computer) {
        out.push_back({id, match->record.name, Error{ErrorCode::kConflict, match->why_not, {}, 0}});
      } else {
        auto done = ApproveRecord(actor, match->record, match->computer);
        out.push_back({id, match->record.name,
                       done ? std::nullopt : std::optional<Error>(std::move(done.error()))});
      }
    }
    return out;
  }

  Result<void> Revoke(const Actor& actor, const WorkstationId& id) override {
    auto record = Administered(actor, id);
    if (!record) return tl::unexpected(std::move(record.error()));
    auto revoked =
        ports_.store.RevokeWorkstation(id, AuditOf(ports_.clock, actor, "workstation.revoke",
                                                   record->name, "ok", record->fingerprint));
    if (!revoked) return revoked;
    Send(ports_, id, {"revoked", "{}"});
    ports_.presence.Forget(id);
    Announce();
    return {};
  }

  Result<std::array<std::uint8_t, 32>> LoginChallenge(
      const WorkstationId& id, const std::array<std::uint8_t, 32>& login_noise_pub) override {
    const auto record = Approved(id);
    if (!record) return tl::unexpected(record.error());
    return certificates_.Challenge(*record, login_noise_pub);
  }

  Result<std::vector<std::uint8_t>> CertifyLogin(
      const WorkstationId& id, const std::array<std::uint8_t, 32>& login_noise_pub,
      const std::array<std::uint8_t, 32>& challenge,
      const std::array<std::uint8_t, 32>& proof) override {
    auto record = Approved(id);
    if (!record) return tl::unexpected(std::move(record.error()));
    return certificates_.CertifyLogin(*std::move(record), login_noise_pub, challenge, proof);
  }

  Result<void> AllowLogin(const Actor& actor, const WorkstationId& id) override {
    auto record = Administered(actor, id);
    if (!record) return tl::unexpected(std::move(record.error()));
    if (record->state != WorkstationState::kApproved) return NotApproved();
    return certificates_.AllowLogin(actor, *std::move(record));
  }

  Result<WorkstationId> Authenticate(
      const std::array<std::uint8_t, 32>& certificate_sha256) override {
    const auto found = ports_.store.FindByCertificate(certificate_sha256);
    if (!found) return tl::unexpected(found.error());
    if (!*found || (*found)->state != WorkstationState::kApproved) return NotApproved();
    return certificates_.Accept(**found, certificate_sha256);
  }

  Result<std::string> RenewCertificate(const WorkstationId& id, std::string_view csr_pem) override {
    auto record = Approved(id);
    if (!record) return tl::unexpected(std::move(record.error()));
    return certificates_.Renew(*std::move(record), csr_pem);
  }

  void RenewDue() override {
    const auto records = ports_.store.Workstations();
    if (!records) return Log(ports_, "renewing certificates", records.error());
    const std::int64_t now = ports_.clock.UnixSeconds();
    for (WorkstationRecord record : *records) {
      if (record.state != WorkstationState::kApproved || !certificates_.Due(record, now) ||
          !ports_.presence.IsConnected(record.id)) {
        continue;
      }
      auto renewed = certificates_.Make(record, now);
      if (renewed) renewed = ports_.store.RenewHostCerts(record);
      if (renewed) {
        Send(ports_, record.id, HelloEvent(ports_, config_, record));
      } else {
        Log(ports_, "renewing certificates of " + record.name, renewed.error());
      }
    }
  }

  Result<std::vector<WorkstationEvent>> Connected(const WorkstationId& id,
                                                  const WorkstationGreeting& greeting) override {
    if (greeting.protocol < kOldestWorkstationProtocol) {
      return Fail(ErrorCode::kUnsupported, "This workstation's keyferryd is too old.");
    }
    auto record = Approved(id);
    if (!record) return tl::unexpected(std::move(record.error()));
    const std::int64_t now = ports_.clock.UnixSeconds();
    if (certificates_.Due(*record, now)) {
      if (auto made = certificates_.Make(*record, now); !made) return tl::unexpected(made.error());
      const auto renewed = ports_.store.RenewHostCerts(*record);
      if (!renewed) return tl::unexpected(renewed.error());
    }
    record->protocol = std::min(greeting.protocol, kWorkstationProtocol);
    if (!greeting.version.empty()) record->version = Presentable(greeting.version, 64);
    if (auto greeted =
            ports_.store.GreetWorkstation(id, now * 1000, record->version, record->protocol);
        !greeted) {
      return tl::unexpected(std::move(greeted.error()));
    }
    ports_.presence.Connected(id, record->name);
    std::vector<WorkstationEvent> events = {HelloEvent(ports_, config_, *record)};
    // Read now that it counts as connected: what comes later it is told.
    const auto alarm = ports_.store.Alarms(1);
    if (!alarm) {
      ports_.presence.Disconnected(id);
      return tl::unexpected(alarm.error());
    }
    events.push_back(AlarmEvent(alarm->empty() ? AlarmRecord() : alarm->front()));
    auto due = DueEvents(ports_, id, ports_.presence.KeysAt(id));
    if (!due) {
      ports_.presence.Disconnected(id);
      return tl::unexpected(std::move(due.error()));
    }
    for (WorkstationEvent& event : *due) events.push_back(std::move(event));
    Announce();
    return events;
  }

  void Disconnected(const WorkstationId& id) override {
    const std::vector<SeenKey> keys = ports_.presence.KeysAt(id);
    if (!ports_.presence.Disconnected(id)) return;
    const auto touched = ports_.store.TouchWorkstation(id, ports_.clock.UnixMillis());
    if (!touched) Log(ports_, "workstation " + id.Hex(), touched.error());
    Moved(keys);
    Announce();
  }

  Result<void> SeenKeys(const WorkstationId& id, std::span<const SeenKey> keys) override {
    if (auto checked = CheckKeys(keys); !checked) return checked;
    auto record = Approved(id);
    if (!record) return tl::unexpected(std::move(record.error()));
    std::vector<SeenKey> before = ports_.presence.KeysAt(id);
    const std::vector<SeenKey> fresh = ports_.presence.Replace(id, record->name, keys);
    std::vector<DeviceId> devices;
    for (const SeenKey& key : fresh) devices.push_back(key.device);
    if (!devices.empty()) {
      const auto touched = ports_.store.TouchKeys(devices, ports_.clock.UnixMillis());
      if (!touched) return touched;
    }
    auto due = DueEvents(ports_, id, fresh);
    if (!due) return tl::unexpected(std::move(due.error()));
    for (WorkstationEvent& event : *due) Send(ports_, id, std::move(event));
    std::erase_if(before, [&keys](const SeenKey& old) {
      return std::any_of(keys.begin(), keys.end(),
                         [&old](const SeenKey& key) { return key.device == old.device; });
    });
    Moved(fresh);
    Moved(before);
    if (!fresh.empty() || !before.empty()) Announce();
    return {};
  }

  Result<void> Spooled(const WorkstationId& id, const JobId& job) override {
    const auto spooled = ports_.store.MarkSpooled(job, id, ports_.clock.UnixMillis());
    if (!spooled) return tl::unexpected(spooled.error());
    AnnounceAccount(ports_, spooled->account);
    return {};
  }

  Result<void> JobProblem(const WorkstationId& id, const JobId& job, std::string_view code,
                          std::string_view message) override {
    const std::string text = Presentable(message, 300) + " (" + Presentable(code, 40) + ")";
    const auto noted = ports_.store.NoteProblem(job, id, text);
    if (!noted) return tl::unexpected(noted.error());
    AnnounceAccount(ports_, noted->account);
    return {};
  }

 private:
  static tl::unexpected<Error> NotApproved() {
    return Fail(ErrorCode::kPermissionDenied, "This workstation is not approved.");
  }

  static Result<void> CheckKeys(std::span<const SeenKey> keys) {
    if (keys.size() > kMaxKeys) {
      return Fail(ErrorCode::kInvalidArgument, "A workstation can report at most 16 keys.");
    }
    std::set<DeviceId> devices;
    for (const SeenKey& key : keys) {
      const bool transport =
          key.transport == "hid" || key.transport == "ble" || key.transport == "socket";
      if (!transport || key.state < 0 || key.state > 6) {
        return Fail(ErrorCode::kInvalidArgument,
                    "A reported key has an unknown state or transport.");
      }
      if (!devices.insert(key.device).second) {
        return Fail(ErrorCode::kInvalidArgument, "One key was reported twice.");
      }
    }
    return {};
  }

  Result<void> CheckRight(const Actor& actor, Right right = Right::kWorkstationsWrite) {
    if (May(actor.roles, right)) return {};
    return Fail(ErrorCode::kPermissionDenied, "You are not allowed to decide on workstations.");
  }

  // `computer`: the account by which it is approved; nothing: by its fingerprint.
  Result<void> ApproveRecord(const Actor& actor, WorkstationRecord record,
                             const std::optional<Computer>& computer) {
    if (record.state != WorkstationState::kPending) {
      return Fail(ErrorCode::kConflict, "This workstation is not waiting for approval.");
    }
    const std::int64_t now = ports_.clock.UnixSeconds();
    const auto signed_cert = ports_.ca.SignWorkstation(
        record.csr_pem, record.id, now - kClockSlackSeconds, certificates_.End(now));
    if (!signed_cert) return tl::unexpected(signed_cert.error());
    record.certificate_pem = signed_cert->pem;
    record.certificate_sha256 = signed_cert->sha256;
    std::string detail = record.fingerprint;
    if (computer) {
      record.computer_id = computer->id;
      detail += ", by the computer account " + computer->dn;
    }
    if (auto made = certificates_.Make(record, now); !made) return made;
    auto approved = ports_.store.ApproveWorkstation(
        record, AuditOf(ports_.clock, actor, "workstation.approve", record.name, "ok", detail));
    if (approved) Announce();
    return approved;
  }

  WorkstationView ViewOf(const WorkstationRecord& record) {
    WorkstationView view;
    view.id = record.id;
    view.name = record.name;
    view.os = record.os;
    view.version = record.version;
    view.fingerprint = record.fingerprint;
    view.state = record.state;
    view.address = record.address;
    view.created = record.created;
    view.connected = ports_.presence.IsConnected(record.id);
    view.last_seen = view.connected ? ports_.clock.UnixMillis() : record.last_seen;
    view.keys_seen = ports_.presence.KeysAt(record.id).size();
    view.protocol = record.last_seen == 0 ? 0 : record.protocol;
    view.domain = record.domain;
    view.computer = record.computer;
    view.by_computer = record.computer_id != AccountId{};
    view.login_certified = !record.login_cert.empty();
    view.login_requested =
        record.state == WorkstationState::kApproved && record.login_requested.has_value();
    return view;
  }

  Result<WorkstationRecord> Administered(const Actor& actor, const WorkstationId& id) {
    if (auto allowed = CheckRight(actor); !allowed) return tl::unexpected(allowed.error());
    auto found = ports_.store.FindWorkstation(id);
    if (!found) return tl::unexpected(std::move(found.error()));
    if (!*found) return Fail(ErrorCode::kNotFound, "There is no such workstation.");
    return **std::move(found);
  }

  Result<WorkstationRecord> Approved(const WorkstationId& id) {
    auto found = ports_.store.FindWorkstation(id);
    if (!found) return tl::unexpected(std::move(found.error()));
    if (!*found || (*found)->state != WorkstationState::kApproved) return NotApproved();
    return **std::move(found);
  }

  void Announce() { ports_.bus.Publish("workstations", {"change", "{}"}); }

  // Pages of the employees whose keys came or went look again.
  void Moved(const std::vector<SeenKey>& keys) {
    if (keys.empty()) return;
    for (const SeenKey& seen : keys) {
      const auto key = ports_.store.FindKey(seen.device);
      if (key && *key) AnnounceAccount(ports_, (*key)->account);
    }
    ports_.bus.Publish("keys", {"change", "{}"});
  }

  CorePorts ports_;
  WorkstationConfig config_;
  HostCertificates certificates_;
};

}  // namespace

std::unique_ptr<WorkstationService> MakeWorkstationService(const CorePorts& ports,
                                                           WorkstationConfig config) {
  return std::make_unique<DefaultWorkstationService>(ports, std::move(config));
}

}  // namespace keyferry::server
