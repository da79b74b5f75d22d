#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "client-daemon/core/identity.h"
#include "client-daemon/core/outbox.h"
#include "client-daemon/core/server_port.h"
#include "client-daemon/uplink/domain.h"
#include "protocol/result.h"

// The JSON of docs/workstation-api.md, both ways. Members that we do not know are read over, so
// that a newer server can talk to us; what we need must be there and well formed (else kProtocol).
namespace keyferry::daemon {

struct RegistrationAnswer {
  Id workstation{};
  std::string poll_token;
  std::string fingerprint;
};

struct EnrolmentAnswer {
  enum State { kPending, kApproved, kRevoked } state = kPending;
  Approval approval;            // kApproved, all but `workstation`
  std::string certificate_pem;  // kApproved
};

struct Verdict {
  enum Kind { kStored, kDuplicate, kRefused } kind = kRefused;
  std::string reason;
};

// `domain`: nothing for a server of the version before, which knows no such member.
std::string FormatRegistration(const std::string& name, const std::string& csr_pem,
                               const NoisePublic& deliver, const std::optional<NoisePublic>& login,
                               const std::optional<JoinedDomain>& domain);
Result<RegistrationAnswer> ParseRegistrationAnswer(std::string_view body);
Result<EnrolmentAnswer> ParseEnrolmentAnswer(std::string_view body);

Result<Certificates> ParseHello(std::string_view data);
Result<KeyEvent> ParseKeyEvent(std::string_view data);
Result<JobEvent> ParseJobEvent(std::string_view data);
Result<Id> ParseVoidEvent(std::string_view data);
Result<EnrolEvent> ParseEnrolEvent(std::string_view data);
Result<AlarmEvent> ParseAlarmEvent(std::string_view data);
Result<CallerEvent> ParseCallerEvent(std::string_view data);
Result<Id> ParseCallerOver(std::string_view data);
Result<NoticeEvent> ParseNoticeEvent(std::string_view data);

struct PostRequest {
  std::string path;
  std::string body;
};
PostRequest FormatPost(const Post& post);
Result<Verdict> ParseVerdict(std::string_view body);

PostRequest FormatStatement(const Id& enrolment, std::span<const std::uint8_t> statement,
                            std::span<const std::uint8_t> attestation);
Result<std::array<std::uint8_t, 204>> ParseGrant(std::string_view body);

PostRequest FormatRenewal(const std::string& csr_pem);
Result<std::string> ParseRenewal(std::string_view body);
PostRequest FormatChallengeRequest(const NoisePublic& login_noise_pub);
Result<NoisePublic> ParseChallenge(std::string_view body);
PostRequest FormatLoginProof(const NoisePublic& login_noise_pub, const NoisePublic& challenge,
                             const std::array<std::uint8_t, 32>& proof);
Result<std::array<std::uint8_t, 144>> ParseLoginCert(std::string_view body);

PostRequest FormatCallerAnswer(const Id& request,
                               const std::optional<std::array<std::uint8_t, 172>>& assertion);
Result<CallerVerdict> ParseCallerVerdict(std::string_view body);

// What a problem+json answer says, for people and for us.
struct Problem {
  std::string code;
  std::string detail;
};
Problem ParseProblem(int status, std::string_view body);

}  // namespace keyferry::daemon
