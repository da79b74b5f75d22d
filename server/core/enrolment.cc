#include "server/core/enrolment.h"

#include <algorithm>
#include <string>
#include <utility>

#include "protocol/certs.h"
#include "protocol/messages.h"
#include "protocol/receipt.h"
#include "server/core/audit_entry.h"
#include "server/core/clock.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/four_eyes.h"
#include "server/core/key_life.h"
#include "server/core/password.h"

namespace keyferry::server {
namespace {

tl::unexpected<Error> NoSuchEnrolment() {
  return Fail(ErrorCode::kNotFound, "There is no such enrolment.");
}

void AnnounceKeys(const CorePorts& ports, const AccountId& account) {
  ports.bus.Publish("keys", {"change", "{}"});
  AnnounceAccount(ports, account);
}

// The enrolment of `id`, if it belongs to this workstation.
Result<EnrolmentRecord> Find(const CorePorts& ports, const WorkstationRecord& from,
                             const EnrolmentId& id) {
  auto found = ports.store.FindEnrolment(id);
  if (!found) return tl::unexpected(std::move(found.error()));
  if (!*found || (*found)->workstation != from.id) return NoSuchEnrolment();
  return **std::move(found);
}

// Ends an enrolment that can no longer succeed, and says so to whoever waits for it.
void End(const CorePorts& ports, const WorkstationRecord& from, const EnrolmentRecord& enrolment,
         ErrorCode code, const std::string& why) {
  const auto failed =
      ports.store.FailEnrolment(enrolment.id, why,
                                AuditByWorkstation(ports.clock, from, "key.enrol",
                                                   enrolment.device.Hex(), OutcomeName(code), why));
  if (!failed) Log(ports, "enrolment " + enrolment.id.Hex(), failed.error());
  AnnounceKeys(ports, enrolment.account);
}

Result<bool> CheckStatement(const CorePorts& ports, const EnrolmentRecord& enrolment,
                            std::span<const std::uint8_t> bytes,
                            std::span<const std::uint8_t> attestation_der) {
  const auto statement = protocol::Statement::Parse(bytes);
  if (!statement) return Fail(ErrorCode::kProtocol, "The key's statement is malformed.");
  if (statement->device_id != enrolment.device.bytes) {
    return Fail(ErrorCode::kProtocol, "Another key answered than the one to be enrolled.");
  }
  if (statement->begin_hash != Sha256(enrolment.begin)) {
    return Fail(ErrorCode::kProtocol, "The key's statement answers another enrolment.");
  }
  const auto facts = ports.attestation.Verify(attestation_der);
  if (!facts) return tl::unexpected(facts.error());
  if (facts->device != enrolment.device) {
    return Fail(ErrorCode::kProtocol, "The attestation certificate belongs to another key.");
  }
  if (statement->simulator != facts->simulator) {
    return Fail(ErrorCode::kProtocol,
                "The key calls itself something else than its certificate does.");
  }
  if (!statement->VerifySignatures(facts->public_key)) {
    return Fail(ErrorCode::kProtocol, "The key's statement has a wrong signature.");
  }
  return facts->simulator;
}

}  // namespace

Result<EnrolmentStarted> BeginEnrolment(const CorePorts& ports, const KeyConfig& config,
                                        const Actor& actor, const AccountId& account,
                                        const DeviceId& device, const WorkstationId& workstation,
                                        const std::optional<DeviceId>& replaces) {
  if (!May(actor.roles, Right::kKeysWrite)) {
    return Fail(ErrorCode::kPermissionDenied,
                "You are not allowed to enrol keys; ask an administrator.");
  }
  if (auto reach = CheckReach(ports, actor, Right::kKeysWrite, account); !reach) {
    return tl::unexpected(std::move(reach.error()));
  }
  auto person = ports.directory.Get(account);
  if (!person) return tl::unexpected(std::move(person.error()));
  const std::string& login = person->person.login;
  if (login.empty() || login.size() > protocol::kMaxLogin) {
    return Fail(ErrorCode::kConflict, "This account's login name does not fit on a key.");
  }
  auto host = ports.store.FindWorkstation(workstation);
  if (!host) return tl::unexpected(std::move(host.error()));
  if (!*host || (*host)->state != WorkstationState::kApproved) {
    return Fail(ErrorCode::kNotFound, "There is no such approved workstation.");
  }
  const auto sightings = ports.presence.Sightings(device);
  const auto seen = std::find_if(
      sightings.begin(), sightings.end(),
      [&](const Presence::Sighting& sighting) { return sighting.workstation == workstation; });
  if (seen == sightings.end()) {
    return Fail(ErrorCode::kConflict,
                "The workstation does not see this key now; plug it in and try again.");
  }
  const auto state = static_cast<protocol::KeyState>(seen->key.state);
  if (state != protocol::KeyState::kProvisioned && state != protocol::KeyState::kWiped) {
    return Fail(ErrorCode::kConflict,
                "This key is already enrolled somewhere; it must be wiped before it can be "
                "enrolled again.");
  }

  if (replaces) {
    const auto old = ports.store.FindKey(*replaces);
    if (!old) return tl::unexpected(old.error());
    if (!*old || (*old)->account != account || IsOutOfUse((*old)->state) || *replaces == device) {
      return Fail(ErrorCode::kConflict,
                  "The key to be replaced is not another key of this employee that is in use; look "
                  "again.");
    }
  }

  auto code = GenerateActivationCode(ports.random);
  if (!code) return tl::unexpected(std::move(code.error()));
  protocol::EnrollBegin begin;
  EnrolmentRecord enrolment;
  const auto issuer_cert = protocol::IssuerCert::Parse(ports.issuer.certificate());
  const Bytes& root = ports.issuer.root_pub();
  if (!issuer_cert || root.size() != begin.root_pub.size() || !ports.random.Fill(begin.nonce) ||
      !ports.random.Fill(enrolment.id.bytes)) {
    return Fail(ErrorCode::kInternal, "The server could not begin the enrolment; see its log.");
  }
  std::copy(root.begin(), root.end(), begin.root_pub.begin());
  begin.issuer = *issuer_cert;
  const auto begin_bytes = begin.Encode();

  const std::int64_t now = ports.clock.UnixSeconds();
  auto cert = ports.issuer.HostCert(protocol::kRoleEnroll, workstation, (*host)->deliver_noise_pub,
                                    now - kClockSlackSeconds, now + config.enrolment_seconds);
  if (!cert) return tl::unexpected(std::move(cert.error()));

  enrolment.device = device;
  enrolment.account = account;
  enrolment.login = login;
  enrolment.display_name = person->person.display_name;
  enrolment.workstation = workstation;
  if (replaces) enrolment.replaces = *replaces;
  enrolment.actor_login = actor.login;
  enrolment.enrol_cert = *std::move(cert);
  enrolment.begin.assign(begin_bytes.begin(), begin_bytes.end());
  enrolment.activation_hash = protocol::ActivationHash(device.bytes, protocol::AsBytes(*code));
  enrolment.created = ports.clock.UnixMillis();
  enrolment.expires = enrolment.created + config.enrolment_seconds * 1000;
  Precondition only_if;
  if (ports.four_eyes != nullptr) {
    GuardedAsk ask;
    ask.action = GuardedAction::kKey;
    ask.person = *person;
    ask.facts = {{"device", device.Hex()}, {"workstation", workstation.Hex()}};
    if (replaces) ask.facts.emplace_back("replaces", replaces->Hex());
    auto cleared = ports.four_eyes->Clear(actor, ask);
    if (!cleared) return tl::unexpected(std::move(cleared.error()));
    only_if = *std::move(cleared);
  }
  auto stored = ports.store.BeginEnrolment(
      enrolment, config.per_person,
      AuditOf(ports.clock, actor, "key.enrol", device.Hex(), "ok",
              "Begun for " + login + " at " + (*host)->name +
                  (replaces ? ", in place of " + replaces->Hex() + "." : ".")),
      only_if);
  if (!stored) return tl::unexpected(std::move(stored.error()));
  Send(ports, workstation, EnrolEvent(enrolment));
  AnnounceKeys(ports, account);
  return EnrolmentStarted{enrolment.id, *std::move(code)};
}

Result<void> ClearEnrolment(const CorePorts& ports, const Actor& actor, const EnrolmentId& id,
                            std::string_view reason) {
  constexpr std::size_t kMostReason = 200;
  if (!May(actor.roles, Right::kKeysWrite)) {
    return Fail(ErrorCode::kPermissionDenied,
                "You are not allowed to do this with keys; ask an administrator.");
  }
  if (reason.empty() || reason.size() > kMostReason) {
    return Fail(ErrorCode::kInvalidArgument, "Give a reason of at most 200 bytes.");
  }
  const auto found = ports.store.FindEnrolment(id);
  if (!found) return tl::unexpected(found.error());
  if (!*found) return NoSuchEnrolment();
  const EnrolmentRecord& enrolment = **found;
  if (auto reach = CheckReach(ports, actor, Right::kKeysWrite, enrolment.account); !reach) {
    // As if it were not there.
    if (reach.error().code == ErrorCode::kNotFound) return NoSuchEnrolment();
    return reach;
  }
  if (enrolment.state == EnrolmentState::kDone) {
    const auto key = ports.store.FindKey(enrolment.device);
    if (!key) return tl::unexpected(key.error());
    if (!*key || (*key)->enrolment != id || IsOutOfUse((*key)->state)) {
      return Fail(ErrorCode::kConflict,
                  "The key of this enrolment is out of use already; there is nothing to clear.");
    }
    return StepKey(ports, actor, enrolment.device, KeyStep::kDeactivate, reason);
  }
  const std::string words = Presentable(reason, kMostReason);
  AuditEntry audit = AuditOf(ports.clock, actor, "key.enrol_clear", enrolment.device.Hex(), "ok",
                             "Enrolment for " + enrolment.login + ": " + words);
  audit.notice = NoticeDraft{NoticeKind::kEnrolmentCleared,
                             enrolment.account,
                             enrolment.login,
                             actor.id,
                             actor.login,
                             actor.address,
                             enrolment.device,
                             words};
  if (enrolment.state == EnrolmentState::kWaiting) {
    const auto called_off =
        ports.store.CallOffEnrolment(id, "Cleared by " + actor.login + ": " + words, audit);
    if (!called_off) return tl::unexpected(called_off.error());
    if (*called_off) {
      AnnounceKeys(ports, enrolment.account);
      return {};
    }
  }
  if (enrolment.state == EnrolmentState::kFailed) {
    return Fail(ErrorCode::kConflict, "This enrolment has failed; there is nothing to clear.");
  }
  // What it signs now makes it a key of the person; without that answer it could not be wiped.
  return Fail(
      ErrorCode::kConflict,
      "The key is being enrolled at this moment. Wait until it has answered, then clear it. "
      "Nothing was changed.");
}

Result<Bytes> AcceptStatement(const CorePorts& ports, const KeyConfig& config,
                              const WorkstationRecord& from, const EnrolmentId& id,
                              std::span<const std::uint8_t> statement,
                              std::span<const std::uint8_t> attestation_der) {
  auto enrolment = Find(ports, from, id);
  if (!enrolment) return tl::unexpected(std::move(enrolment.error()));
  if (enrolment->state == EnrolmentState::kGranted &&
      std::equal(statement.begin(), statement.end(), enrolment->statement.begin(),
                 enrolment->statement.end())) {
    return enrolment->grant;  // the answer was lost on the way
  }
  if (enrolment->state != EnrolmentState::kWaiting) {
    return Fail(ErrorCode::kConflict, "This enrolment is no longer waiting for the key.");
  }
  if (ports.clock.UnixMillis() >= enrolment->expires) {
    const std::string why = "The key was not enrolled in time; begin again.";
    End(ports, from, *enrolment, ErrorCode::kDeadline, why);
    return Fail(ErrorCode::kConflict, why);
  }
  const auto simulator = CheckStatement(ports, *enrolment, statement, attestation_der);
  if (!simulator) {
    Log(ports, "enrolment " + id.Hex(), simulator.error());
    End(ports, from, *enrolment, simulator.error().code, simulator.error().message);
    return tl::unexpected(simulator.error());
  }
  const auto begin = protocol::EnrollBegin::Parse(enrolment->begin);
  if (!begin) return Fail(ErrorCode::kInternal, "The stored enrolment is damaged; begin again.");
  GrantRequest request;
  request.device = enrolment->device;
  request.account = enrolment->account;
  request.policy = protocol::Policy{config.pin_min, config.pin_tries, config.touch_to_store,
                                    config.keep_previous, config.max_offline_days}
                       .Encode();
  request.nonce = begin->nonce;
  request.statement = statement;
  request.activation_hash = enrolment->activation_hash;
  auto grant = ports.issuer.Grant(request);
  if (!grant) return grant;
  enrolment->statement.assign(statement.begin(), statement.end());
  enrolment->grant = *grant;
  enrolment->simulator = *simulator;
  auto stored = ports.store.GrantEnrolment(
      *enrolment, AuditByWorkstation(ports.clock, from, "key.enrol", enrolment->device.Hex(), "ok",
                                     "The key proved itself; granted."));
  if (!stored) return tl::unexpected(std::move(stored.error()));
  AnnounceKeys(ports, enrolment->account);
  return grant;
}

Result<ReceiptVerdict> FinishEnrolment(const CorePorts& ports, const WorkstationRecord& from,
                                       const EnrolmentId& id, std::span<const std::uint8_t> bytes) {
  auto enrolment = Find(ports, from, id);
  if (!enrolment) return tl::unexpected(std::move(enrolment.error()));
  const Hash32 hash = Sha256(bytes);
  if (enrolment->state == EnrolmentState::kDone) {
    const auto first = ports.store.FindReceipt(id, 1);
    if (!first) return tl::unexpected(first.error());
    if (*first && (*first)->hash == hash) {
      return ReceiptVerdict{ReceiptVerdict::kDuplicate, "The key is enrolled."};
    }
  }
  if (enrolment->state != EnrolmentState::kGranted) {
    return ReceiptVerdict{ReceiptVerdict::kRefused, "This enrolment is no longer open."};
  }
  const auto statement = protocol::Statement::Parse(enrolment->statement);
  if (!statement)
    return Fail(ErrorCode::kInternal, "The stored enrolment is damaged; begin again.");
  const auto receipt = protocol::Receipt::Parse(bytes);
  const bool good = receipt && receipt->VerifySignature(statement->sig_pub) &&
                    receipt->positive() && receipt->device_id == enrolment->device.bytes &&
                    receipt->account_id == enrolment->account.bytes && receipt->seq == 0 &&
                    receipt->prev_seq == 0 && receipt->receipt_ctr == 1 &&
                    receipt->job_hash == Sha256(enrolment->grant) &&
                    receipt->previous_hash == Hash32{} && receipt->epoch == statement->epoch &&
                    receipt->recipient_pub == statement->recipient_pub;
  if (!good) {
    const std::string why = "The key's first receipt does not fit its enrolment.";
    End(ports, from, *enrolment, ErrorCode::kProtocol, why);
    return ReceiptVerdict{ReceiptVerdict::kRefused, why};
  }
  KeyRecord key;
  key.device = enrolment->device;
  key.enrolment = enrolment->id;
  key.account = enrolment->account;
  key.login = enrolment->login;
  key.display_name = enrolment->display_name;
  key.simulator = enrolment->simulator;
  key.sig_pub = statement->sig_pub;
  key.record = ports.issuer.certificate();
  key.record.insert(key.record.end(), enrolment->statement.begin(), enrolment->statement.end());
  key.record.insert(key.record.end(), enrolment->grant.begin(), enrolment->grant.end());
  key.firmware = receipt->firmware;
  key.pin_set = (receipt->flags & protocol::kReceiptPinSet) != 0;
  key.epoch = receipt->epoch;
  key.recipient_pub = receipt->recipient_pub;
  key.receipt_ctr = receipt->receipt_ctr;
  key.receipt_hash = hash;
  key.enrolled = ports.clock.UnixMillis();
  key.last_seen = key.enrolled;
  const std::string instead = enrolment->replaces == DeviceId{}
                                  ? std::string()
                                  : ", in place of " + enrolment->replaces.Hex();
  AuditEntry audit = AuditByWorkstation(ports.clock, from, "key.enrol", key.device.Hex(), "ok",
                                        "Enrolled for " + key.login + instead + ".");
  audit.notice = NoticeDraft{NoticeKind::kKeyAdded,  key.account, key.login,  {},
                             enrolment->actor_login, {},          key.device, {}};
  const auto cancelled =
      ports.store.FinishEnrolment(id, key, Bytes(bytes.begin(), bytes.end()), audit);
  if (!cancelled) return tl::unexpected(cancelled.error());
  for (const JobRecord& job : *cancelled) {
    if (job.workstation != WorkstationId{}) Send(ports, job.workstation, VoidEvent(job.id));
    SendToSeers(ports, job.device, VoidEvent(job.id));
  }
  SendToSeers(ports, key.device, KeyEvent(key));
  AnnounceKeys(ports, key.account);
  return ReceiptVerdict{ReceiptVerdict::kStored, "The key is enrolled."};
}

Result<void> FailEnrolment(const CorePorts& ports, const WorkstationRecord& from,
                           const EnrolmentId& id, std::string_view code, std::string_view message) {
  auto enrolment = Find(ports, from, id);
  if (!enrolment) return tl::unexpected(std::move(enrolment.error()));
  const std::string why = Presentable(message, 300) + " (" + Presentable(code, 40) + ")";
  auto failed = ports.store.FailEnrolment(
      id, why,
      AuditByWorkstation(ports.clock, from, "key.enrol", enrolment->device.Hex(), "failed", why));
  AnnounceKeys(ports, enrolment->account);
  return failed;
}

}  // namespace keyferry::server
