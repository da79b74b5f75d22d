#include "client-daemon/core/workstation.h"

#include <algorithm>
#include <set>
#include <utility>

#include "client-daemon/core/approval.h"
#include "client-daemon/core/log.h"
#include "protocol/certs.h"
#include "protocol/failpoint.h"
#include "protocol/info.h"
#include "protocol/job.h"

namespace keyferry::daemon {
namespace {

constexpr std::size_t kMaxEnrolments = 64;
constexpr std::size_t kMaxReported = 16;  // docs/workstation-api.md
// How long who asks for a key waits for the proof that is being made of it.
constexpr std::chrono::milliseconds kProofPatience{1500};

}  // namespace

Workstation::Workstation(WorkstationSettings settings, IdentityStore& identity, Spool& spool,
                         KeyRecords& records, Outbox& outbox, std::shared_ptr<Alarm> alarm)
    : settings_(std::move(settings)),
      identity_(identity),
      spool_(spool),
      records_(records),
      outbox_(outbox),
      alarm_(std::move(alarm)) {}

Workstation::~Workstation() { Stop(); }

void Workstation::Start(Surroundings surroundings, std::unique_ptr<device::Discovery> discovery,
                        device::OpenPort open) {
  surroundings_ = std::move(surroundings);
  open_ = std::move(open);
  discovery_ = std::move(discovery);
  for (SpooledReceipt& receipt : spool_.Receipts()) {
    Post post;
    post.kind = receipt.enrolment ? Post::kEnrolmentReceipt : Post::kReceipt;
    post.id = receipt.enrolment.value_or(Id{});
    post.device = receipt.device;
    post.bytes = std::move(receipt.receipt);
    post.name = std::move(receipt.name);
    outbox_.Put(std::move(post));
  }
  for (const auto& [device, seq] : spool_.Used()) {
    Post post;
    post.kind = Post::kUsed;
    post.device = device;
    post.seq = seq;
    outbox_.Put(std::move(post));
  }
  discovery_thread_ = std::thread([this] { Discover(); });
}

void Workstation::Stop() {
  if (discovery_) discovery_->Stop();
  if (discovery_thread_.joinable()) discovery_thread_.join();
  std::map<std::string, std::shared_ptr<KeyBroker>> ended;
  {
    const std::scoped_lock lock(mutex_);
    ended.swap(brokers_);
  }
  ended.clear();  // outside the lock: the brokers' threads may be waiting for it
}

void Workstation::Discover() {
  while (true) {
    const auto event = discovery_->Next();
    if (!event) {
      if (event.error().code != ErrorCode::kUnavailable) {
        Log(LogLevel::kError, event.error().message + " [" + event.error().detail + "]");
      }
      return;
    }
    std::shared_ptr<KeyBroker> ended;
    std::shared_ptr<KeyBroker> begun;
    {
      const std::scoped_lock lock(mutex_);
      const auto known = brokers_.find(event->place.path);
      if (known != brokers_.end()) {
        ended = std::move(known->second);
        brokers_.erase(known);
      }
      if (event->kind == device::DiscoveryEvent::kAppeared) {
        begun = std::make_shared<KeyBroker>(event->place, open_, static_cast<BrokerHost&>(*this),
                                            settings_.pauses);
        brokers_.emplace(event->place.path, begun);
      }
    }
    ended.reset();  // the old one lets the key go before the new one takes it
    if (begun) begun->Start();
  }
}

void Workstation::Wake(const std::optional<Id>& device) {
  const std::scoped_lock lock(mutex_);
  for (const auto& [path, broker] : brokers_) {
    const auto seen = broker->Seen();
    if (!device || (seen && seen->device == *device)) broker->Wake();
  }
}

void Workstation::Problem(Post::Kind kind, const Id& id, const std::string& code,
                          const std::string& message) {
  Log(LogLevel::kError, Hex(id) + ": " + message);
  Post post;
  post.kind = kind;
  post.id = id;
  post.code = code;
  post.message = message;
  outbox_.Put(std::move(post));
}

void Workstation::OnConnected(const Certificates&) {
  alarm_->Begin();
  PutKeys();
  Wake(std::nullopt);
}

void Workstation::OnKey(const KeyEvent& event) {
  const auto approval = identity_.GetApproval();
  if (!approval) return;
  if (auto put = records_.Put(event, approval->root); !put) {
    Log(LogLevel::kError, "key " + Hex(event.device) + ": " + put.error().message);
    return;
  }
  Wake(event.device);
}

void Workstation::OnJob(const JobEvent& event) {
  if (spool_.HasReceiptFor(protocol::JobHash(event.sealed))) return;  // done; the server hears soon
  KEYFERRY_FAILPOINT("daemon.job.received");
  if (auto put = spool_.PutJob({event.job, event.device, event.seq, event.sealed}); !put) {
    return Problem(Post::kJobProblem, event.job, "spool", put.error().message);
  }
  KEYFERRY_FAILPOINT("daemon.job.spooled");
  Wake(event.device);
  Post post;
  post.kind = Post::kSpooled;
  post.id = event.job;
  outbox_.Put(std::move(post));
}

void Workstation::OnVoid(const Id& job) {
  KEYFERRY_FAILPOINT("daemon.void.received");
  if (auto gone = spool_.RemoveJob(job); !gone) Log(LogLevel::kError, gone.error().message);
}

void Workstation::OnEnrol(const EnrolEvent& event) {
  {
    const std::scoped_lock lock(mutex_);
    if (enrolments_.size() >= kMaxEnrolments && enrolments_.count(event.device) == 0) {
      Log(LogLevel::kError, "too many enrolments wait; one was dropped");
      return;
    }
    enrolments_[event.device] = event;
  }
  Wake(event.device);
}

// A job that waits for a touch is cancelled by its broker (key_work.cc), what local programs have
// under way by the end of their relays.
void Workstation::OnAlarm(const AlarmEvent& event) {
  const bool before = alarm_->Stands();
  if (auto kept = alarm_->Take(event); !kept) Log(LogLevel::kError, kept.error().message);
  const bool stands = alarm_->Stands();
  if (stands == before) return;
  if (!stands) {
    Log(LogLevel::kWarning, "the alarm has ended; security keys are used again");
    return Wake(std::nullopt);
  }
  Log(LogLevel::kWarning, "the alarm was raised; security keys are not used until it has ended");
  std::vector<std::string> paths;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& [path, broker] : brokers_) paths.push_back(path);
  }
  EndRelays(paths);
}

void Workstation::OnCaller(const CallerEvent& event) {
  Log(LogLevel::kInfo, "the help desk asks for a touch of the key of " + Printable(event.login) +
                           " (ticket " + Printable(event.ticket) + ")");
  questions_.Put(event);
}

void Workstation::OnCallerOver(const Id& request) { questions_.Remove(request); }

void Workstation::OnNotice(const NoticeEvent& event) { notices_.Put(event); }

Result<void> Workstation::NotMe(std::uint64_t number) {
  const std::vector<NoticeEvent> shown = notices_.All();
  const auto found = std::find_if(shown.begin(), shown.end(), [&](const NoticeEvent& notice) {
    return notice.number == number;
  });
  if (found == shown.end()) return Fail(ErrorCode::kNotFound, "There is no such notice here.");
  if (surroundings_.grants == nullptr) {
    return Fail(ErrorCode::kUnavailable, "The server cannot be asked now.");
  }
  if (auto said = surroundings_.grants->SayNotMe(number); !said) return said;
  notices_.Remove(number);
  Log(LogLevel::kWarning, Printable(found->login) + " says of notice " + std::to_string(number) +
                              ": this was not me; the server has stopped what it can");
  return {};
}

void Workstation::OnPosted(const Post& post, const PostResult& result) {
  if (!result.refused.empty()) {
    const Id& subject =
        post.kind == Post::kReceipt || post.kind == Post::kUsed ? post.device : post.id;
    Log(LogLevel::kError,
        "the server refused what we told it about " + Hex(subject) + ": " + result.refused);
  }
  if (post.kind == Post::kReceipt) KEYFERRY_FAILPOINT("daemon.receipt.posted");
  if (post.kind == Post::kSpooled) KEYFERRY_FAILPOINT("daemon.spooled.posted");
  if (post.kind == Post::kUsed) KEYFERRY_FAILPOINT("daemon.used.posted");
  Result<void> removed;
  if (post.kind == Post::kReceipt || post.kind == Post::kEnrolmentReceipt) {
    removed = spool_.RemoveReceipt(post.name);
  } else if (post.kind == Post::kUsed) {
    removed = spool_.RemoveUsed(post.device, post.seq);
  }
  if (post.kind == Post::kReceipt) KEYFERRY_FAILPOINT("daemon.receipt.removed");
  if (post.kind == Post::kUsed) KEYFERRY_FAILPOINT("daemon.used.removed");
  if (!removed) Log(LogLevel::kError, removed.error().message);
}

StatusReport Workstation::Status() {
  StatusReport out;
  out.name = settings_.name;
  out.server_url = settings_.server_url;
  if (surroundings_.uplink_status) out.uplink = surroundings_.uplink_status();
  if (surroundings_.transports) out.transports = surroundings_.transports();
  const auto approval = identity_.GetApproval();
  const auto registration = identity_.GetRegistration();
  out.approved = approval.has_value();
  out.alarm = alarm_->Stands();
  out.alarm_since = alarm_->Since();
  if (approval) {
    out.workstation = approval->workstation;
    const auto certificate = protocol::HostCert::Parse(approval->certificates.deliver);
    if (certificate) out.certified_until = certificate->not_after;
  }
  if (!approval && registration) out.workstation = registration->workstation;
  const auto login = identity_.LoginPublic();
  if (!login) {
    out.agent = "none";
  } else if (!approval || !approval->certificates.login) {
    out.agent = "waiting";
  } else {
    const auto& certificate = approval->certificates.login;
    out.agent = certificate && HopKeyOf(*certificate) == login ? "certified" : "changed";
  }
  std::vector<std::shared_ptr<KeyBroker>> brokers;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& [path, broker] : brokers_) brokers.push_back(broker);
  }
  for (const auto& broker : brokers) {
    KeyReport key = broker->Report();
    if (key.seen) {
      key.jobs_waiting = spool_.JobsOf(key.seen->device).size();
      if (const auto known = records_.Find(key.seen->device)) {
        key.known = true;
        key.login = known->event.login;
      }
    }
    out.keys.push_back(std::move(key));
  }
  out.spool = spool_.Counts();
  return out;
}

Result<AgentAnswer> Workstation::Agent(const std::array<std::uint8_t, 32>& login_noise_pub) {
  const auto changed = identity_.SetLoginPublic(login_noise_pub);
  if (!changed) return tl::unexpected(changed.error());
  if (*changed && surroundings_.agent_key_changed) surroundings_.agent_key_changed();
  const auto approval = identity_.GetApproval();
  if (!approval) {
    return Fail(ErrorCode::kUnavailable, "This workstation waits for an administrator's approval.");
  }
  AgentAnswer answer;
  answer.workstation = approval->workstation;
  answer.issuer_cert = approval->certificates.issuer;
  answer.root = approval->root;
  const auto& certificate = approval->certificates.login;
  if (certificate && HopKeyOf(*certificate) == login_noise_pub) {
    answer.login_cert = certificate;
  } else if (surroundings_.grants != nullptr) {
    const auto challenge = surroundings_.grants->AskForChallenge(login_noise_pub);
    if (challenge) answer.challenge = *challenge;
  }
  return answer;
}

Result<AgentAnswer> Workstation::ProveAgent(const std::array<std::uint8_t, 32>& login_noise_pub,
                                            const std::array<std::uint8_t, 32>& challenge,
                                            const std::array<std::uint8_t, 32>& proof) {
  const auto approval = identity_.GetApproval();
  if (!approval || surroundings_.grants == nullptr) {
    return Fail(ErrorCode::kUnavailable, "This workstation waits for an administrator's approval.");
  }
  const auto made = surroundings_.grants->AskForLoginCert(login_noise_pub, challenge, proof);
  if (!made) return tl::unexpected(made.error());
  Certificates certificates = approval->certificates;
  certificates.login = *made;
  if (auto checked = CheckCertificates(certificates, approval->root, approval->workstation,
                                       identity_.HopPublic(), login_noise_pub);
      !checked) {
    return tl::unexpected(checked.error());
  }
  if (auto kept = identity_.SetLoginCertificate(*made); !kept) {
    return tl::unexpected(kept.error());
  }
  Log(LogLevel::kInfo, "the login agent's key was certified after the approval");
  return AgentAnswer{approval->workstation, *made, certificates.issuer, approval->root, {}};
}

std::shared_ptr<KeyBroker> Workstation::ActiveOf(const std::vector<Id>& devices) {
  std::unique_lock lock(mutex_);
  std::shared_ptr<KeyBroker> found;
  roster_changed_.wait_for(lock, kProofPatience, [&] {
    bool undecided = false;
    for (const Id& device : devices) {
      const auto broker = brokers_.find(roster_.ActiveOf(device));
      if (broker != brokers_.end()) {
        found = broker->second;
        return true;
      }
      undecided = undecided || roster_.Has(device, Standing::kUndecided);
    }
    return !undecided;
  });
  return found;
}

void Workstation::PutReadyFirst(std::vector<Id>& devices) {
  std::vector<std::shared_ptr<KeyBroker>> active;
  {
    const std::scoped_lock lock(mutex_);
    for (const Id& device : devices) {
      const auto broker = brokers_.find(roster_.ActiveOf(device));
      if (broker != brokers_.end()) active.push_back(broker->second);
    }
  }
  std::set<Id> ready;
  for (const auto& broker : active) {
    const auto seen = broker->Seen();
    if (seen && seen->state == static_cast<int>(protocol::KeyState::kReady)) {
      ready.insert(seen->device);
    }
  }
  std::stable_partition(devices.begin(), devices.end(),
                        [&](const Id& device) { return ready.count(device) != 0; });
}

Result<RelayGrant> Workstation::OpenRelay(const Id& device, const Asker& asker) {
  if (alarm_->Stands()) return Fail(ErrorCode::kPolicyRefused, kAlarmSentence);
  const auto broker = ActiveOf({device});
  if (!broker) {
    const std::scoped_lock lock(mutex_);
    if (roster_.Has(device, Standing::kFrozen)) {
      return Fail(ErrorCode::kConflict,
                  "Two security keys with the same number are plugged in; one is a copy. Unplug "
                  "both and tell the administrator.");
    }
    return Fail(ErrorCode::kNotFound, "The security key is not plugged in.");
  }
  const auto known = records_.Find(device);
  std::string who = asker.program;
  if (known && !known->event.login.empty()) who += " for login of " + known->event.login;
  auto grant = broker->OpenRelay(who + " (process " + std::to_string(asker.process) + ")");
  if (!grant) return grant;
  if (known) {
    grant->record = known->event.record;
    grant->login = known->event.login;
    grant->account = known->event.account;
  }
  return grant;
}

Result<RelayGrant> Workstation::OpenRelayFor(const std::string& login, const Asker& asker) {
  if (alarm_->Stands()) return Fail(ErrorCode::kPolicyRefused, kAlarmSentence);
  std::vector<Id> devices;
  for (const KnownKey& key : records_.OfLogin(login)) devices.push_back(key.event.device);
  PutReadyFirst(devices);
  if (const auto broker = ActiveOf(devices)) {
    if (const auto seen = broker->Seen()) return OpenRelay(seen->device, asker);
  }
  {
    const std::scoped_lock lock(mutex_);
    for (const Id& device : devices) {
      if (!roster_.Has(device, Standing::kFrozen)) continue;
      return Fail(ErrorCode::kConflict,
                  "Two security keys with this person's number are plugged in; one is a copy. "
                  "Unplug both and tell the administrator.");
    }
  }
  return Fail(ErrorCode::kNotFound, devices.empty()
                                        ? "No security key of this person is known here."
                                        : "Plug in the security key of this person.");
}

Result<void> Workstation::Used(const Id& device, std::uint64_t seq) {
  KEYFERRY_FAILPOINT("daemon.used.received");
  if (auto kept = spool_.PutUsed(device, seq); !kept) return kept;
  KEYFERRY_FAILPOINT("daemon.used.kept");
  Post post;
  post.kind = Post::kUsed;
  post.device = device;
  post.seq = seq;
  outbox_.Put(std::move(post));
  return {};
}

Result<CallerEvent> Workstation::Caller(const std::string& login) {
  auto question = questions_.Of(login);
  if (!question)
    return Fail(ErrorCode::kNotFound, "The help desk asks you nothing at this moment.");
  return *std::move(question);
}

Result<CallerVerdict> Workstation::AnswerCaller(
    const Id& request, const std::optional<std::array<std::uint8_t, 172>>& assertion) {
  if (surroundings_.grants == nullptr) {
    return Fail(ErrorCode::kUnavailable, "The server cannot be asked now.");
  }
  auto verdict = surroundings_.grants->AnswerCaller(request, assertion);
  if (verdict) questions_.Remove(request);  // used up, whatever it was
  return verdict;
}

Result<device::HostIdentity> Workstation::DeliverIdentity() {
  const auto approval = identity_.GetApproval();
  if (!approval) {
    return Fail(ErrorCode::kConflict, "This workstation is not approved by an administrator yet.");
  }
  return device::HostIdentity{identity_.HopPrivate(), approval->certificates.deliver};
}

Result<device::HostIdentity> Workstation::EnrolIdentity(const EnrolEvent& enrolment) {
  if (HopKeyOf(enrolment.certificate) != identity_.HopPublic()) {
    return Fail(ErrorCode::kPermissionDenied,
                "The server's permission to enrol this key is for another workstation.");
  }
  return device::HostIdentity{identity_.HopPrivate(), enrolment.certificate};
}

std::optional<KnownKey> Workstation::Known(const Id& device) { return records_.Find(device); }

std::optional<EnrolEvent> Workstation::Enrolment(const Id& device) {
  const std::scoped_lock lock(mutex_);
  const auto found = enrolments_.find(device);
  if (found == enrolments_.end()) return std::nullopt;
  return found->second;
}

void Workstation::EnrolmentDone(const EnrolEvent& enrolment) {
  const std::scoped_lock lock(mutex_);
  const auto found = enrolments_.find(enrolment.device);
  if (found != enrolments_.end() && found->second.enrolment == enrolment.enrolment) {
    enrolments_.erase(found);
  }
}

Result<std::array<std::uint8_t, 204>> Workstation::AskForGrant(
    const EnrolEvent& enrolment, std::span<const std::uint8_t> statement,
    std::span<const std::uint8_t> attestation) {
  return surroundings_.grants->AskForGrant(enrolment.enrolment, statement, attestation);
}

std::vector<std::string> Workstation::SpreadStandings() {
  std::vector<std::string> cut;
  for (const auto& [path, standing] : roster_.TakeChanged()) {
    if (standing == Standing::kFrozen || standing == Standing::kDoubted) cut.push_back(path);
    const auto broker = brokers_.find(path);
    if (broker != brokers_.end()) broker->second->Reconsider();
  }
  roster_changed_.notify_all();
  return cut;
}

void Workstation::EndRelays(const std::vector<std::string>& paths) {
  if (!surroundings_.key_gone) return;
  for (const std::string& path : paths) surroundings_.key_gone(path);
}

Standing Workstation::Claim(const Id& device, const device::KeyPlace& place, Proof proof) {
  Standing standing;
  std::vector<std::string> cut;
  {
    const std::scoped_lock lock(mutex_);
    standing = roster_.Claim(device, place, proof);
    cut = SpreadStandings();
    if (standing != Standing::kActive && standing != Standing::kStandby) cut.push_back(place.path);
  }
  EndRelays(cut);
  return standing;
}

void Workstation::Release(const std::string& path) {
  std::vector<std::string> cut{path};
  {
    const std::scoped_lock lock(mutex_);
    roster_.Release(path);
    const auto others = SpreadStandings();
    cut.insert(cut.end(), others.begin(), others.end());
  }
  EndRelays(cut);
}

void Workstation::KeysChanged() { PutKeys(); }

void Workstation::PutKeys() {
  Post post;
  post.kind = Post::kKeys;
  const std::scoped_lock lock(mutex_);
  std::set<Id> told;
  for (const bool active : {true, false}) {  // of several with one number the active one
    for (const auto& [path, broker] : brokers_) {
      const auto seen = broker->Seen();
      if (!seen || (active && roster_.ActiveOf(seen->device) != path)) continue;
      if (post.keys.size() < kMaxReported && told.insert(seen->device).second) {
        post.keys.push_back(*seen);
      }
    }
  }
  outbox_.Put(std::move(post));
}

}  // namespace keyferry::daemon
