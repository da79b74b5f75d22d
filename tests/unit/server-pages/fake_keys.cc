#include "fake_services.h"

namespace keyferry::server::fake {

Result<std::vector<KeyView>> FakeKeys::OfAccount(const AccountId& account) {
  std::vector<KeyView> own;
  for (const KeyView& key : keys) {
    if (key.account == account) own.push_back(key);
  }
  return own;
}

Result<KeyView> FakeKeys::Get(const DeviceId& device) {
  for (const KeyView& key : keys) {
    if (key.device == device) return key;
  }
  return Fail(ErrorCode::kNotFound, "This key is not enrolled here.");
}

Result<KeyView> FakeKeys::Step(const Actor& actor, const DeviceId& device, KeyStep step,
                               std::string_view reason) {
  calls.push_back("step " + actor.login + " " + device.Hex() + " " +
                  std::to_string(static_cast<int>(step)) + " " + std::string(reason));
  if (step_error) return tl::unexpected(*step_error);
  return Get(device);
}

Result<EnrolmentStarted> FakeKeys::BeginEnrolment(const Actor& actor, const AccountId&,
                                                  const DeviceId& device, const WorkstationId&,
                                                  const std::optional<DeviceId>& replaces) {
  calls.push_back("begin " + actor.login + " " + device.Hex() +
                  (replaces ? " for " + replaces->Hex() : std::string()));
  enrolment.device = device;
  enrolment.replaces = replaces;
  return EnrolmentStarted{enrolment.id, "7KQM-2XWD-94TB-ZR6H"};
}

Result<EnrolmentView> FakeKeys::Enrolment(const EnrolmentId& id) {
  if (id != enrolment.id) return Fail(ErrorCode::kNotFound, "There is no such enrolment.");
  return enrolment;
}

Result<EnrolmentView> FakeKeys::ClearEnrolment(const Actor& actor, const EnrolmentId& id,
                                               std::string_view reason) {
  if (id != enrolment.id) return Enrolment(id);
  if (clear_error) return tl::unexpected(*clear_error);
  calls.push_back("clear " + actor.login + " " + id.Hex() + " " + std::string(reason));
  return enrolment;
}

Result<std::vector<std::uint8_t>> FakeKeys::AcceptStatement(const WorkstationId&,
                                                            const EnrolmentId&,
                                                            std::span<const std::uint8_t>,
                                                            std::span<const std::uint8_t>) {
  calls.push_back("statement");
  return std::vector<std::uint8_t>(204, 1);
}

Result<ReceiptVerdict> FakeKeys::FinishEnrolment(const WorkstationId&, const EnrolmentId&,
                                                 std::span<const std::uint8_t>) {
  calls.push_back("finish");
  return ReceiptVerdict{ReceiptVerdict::kStored, ""};
}

Result<void> FakeKeys::EnrolmentProblem(const WorkstationId&, const EnrolmentId&,
                                        std::string_view code, std::string_view) {
  calls.push_back("problem " + std::string(code));
  return {};
}

Result<ReceiptVerdict> FakeKeys::AcceptReceipt(const WorkstationId&, const DeviceId&,
                                               std::span<const std::uint8_t>) {
  calls.push_back("receipt");
  return ReceiptVerdict{ReceiptVerdict::kDuplicate, "seen before"};
}

Result<void> FakeKeys::Used(const WorkstationId&, const DeviceId&, std::uint64_t seq) {
  calls.push_back("used " + std::to_string(seq));
  return {};
}

Result<WorkstationRegistered> FakeWorkstations::Register(const WorkstationRequest& request) {
  registered.push_back(request);
  return WorkstationRegistered{MakeId<WorkstationId>(7), "poll-token", "AB12 CD34"};
}

Result<WorkstationEnrolment> FakeWorkstations::Enrolment(const WorkstationId&,
                                                         std::string_view token) {
  if (token != "poll-token") return Fail(ErrorCode::kUnauthenticated, "Unknown token.");
  WorkstationEnrolment enrolment;
  enrolment.state = WorkstationState::kApproved;
  enrolment.certificates.emplace();
  enrolment.certificates->certificate_pem = "PEM";
  enrolment.certificates->deliver_cert.assign(144, 2);
  return enrolment;
}

Result<void> FakeWorkstations::Approve(const Actor& actor, const WorkstationId& id) {
  calls.push_back("approve " + actor.login + " " + id.Hex());
  return {};
}

Result<void> FakeWorkstations::Revoke(const Actor& actor, const WorkstationId& id) {
  calls.push_back("revoke " + actor.login + " " + id.Hex());
  return {};
}

Result<std::array<std::uint8_t, 32>> FakeWorkstations::LoginChallenge(
    const WorkstationId&, const std::array<std::uint8_t, 32>& login_noise_pub) {
  return login_noise_pub;
}

Result<std::vector<std::uint8_t>> FakeWorkstations::CertifyLogin(
    const WorkstationId&, const std::array<std::uint8_t, 32>&, const std::array<std::uint8_t, 32>&,
    const std::array<std::uint8_t, 32>& proof) {
  if (proof[0] != 0) return Fail(ErrorCode::kPermissionDenied, "No proof.");
  return std::vector<std::uint8_t>(144, 1);
}

Result<void> FakeWorkstations::AllowLogin(const Actor& actor, const WorkstationId& id) {
  calls.push_back("allow-login " + actor.login + " " + id.Hex());
  return {};
}

Result<WorkstationId> FakeWorkstations::Authenticate(const std::array<std::uint8_t, 32>&) {
  if (!caller) return Fail(ErrorCode::kPermissionDenied, "This workstation is not approved.");
  return *caller;
}

// Of those that wait, the ones with a computer account match.
Result<std::vector<WorkstationMatch>> FakeWorkstations::Matches(const Actor&) {
  std::vector<WorkstationMatch> out;
  for (const WorkstationView& view : workstations) {
    if (view.state != WorkstationState::kPending) continue;
    const bool good = !view.computer.empty();
    out.push_back({view, good ? "CN=" + view.computer + ",DC=corp,DC=example" : std::string(),
                   good ? "" : "It says that it is in no domain."});
  }
  return out;
}

Result<std::vector<WorkstationDecision>> FakeWorkstations::ApproveMatching(
    const Actor& actor, std::span<const WorkstationId> ids) {
  std::vector<WorkstationDecision> out;
  for (const WorkstationId& id : ids) {
    calls.push_back("approve-matching " + actor.login + " " + id.Hex());
    out.push_back({id, "pc", std::nullopt});
    if (id == refused) out.back().refused = Error{ErrorCode::kConflict, "It is gone.", {}, 0};
  }
  return out;
}

Result<std::string> FakeWorkstations::RenewCertificate(const WorkstationId&, std::string_view csr) {
  return "certificate for " + std::string(csr);
}

Result<std::vector<WorkstationEvent>> FakeWorkstations::Connected(
    const WorkstationId&, const WorkstationGreeting& greeting) {
  calls.push_back("connected");
  greetings.push_back(greeting);
  return std::vector<WorkstationEvent>{{"hello", "{\"protocol\":1}"}};
}

void FakeWorkstations::Disconnected(const WorkstationId&) { calls.push_back("disconnected"); }

Result<void> FakeWorkstations::SeenKeys(const WorkstationId&, std::span<const SeenKey> keys) {
  calls.push_back("keys " + std::to_string(keys.size()));
  return {};
}

Result<void> FakeWorkstations::Spooled(const WorkstationId&, const JobId& job) {
  calls.push_back("spooled " + job.Hex());
  return {};
}

Result<void> FakeWorkstations::JobProblem(const WorkstationId&, const JobId&, std::string_view code,
                                          std::string_view message) {
  calls.push_back("problem " + std::string(code) + " " + std::string(message));
  return {};
}

}  // namespace keyferry::server::fake
