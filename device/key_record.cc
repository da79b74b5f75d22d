#include "device/key_record.h"

namespace keyferry::device {

Result<KeyIdentity> VerifyKeyRecord(const protocol::P256Public& root,
                                    std::span<const std::uint8_t, kKeyRecordSize> record) {
  constexpr char kFalse[] =
      "The proof of the key's identity does not hold; the server and this workstation disagree "
      "about who issued it.";
  const auto statement_bytes = record.subspan(protocol::kIssuerCertSize, protocol::kStatementSize);
  const auto issuer = protocol::IssuerCert::Parse(record.first(protocol::kIssuerCertSize));
  const auto statement = protocol::Statement::Parse(statement_bytes);
  const auto grant = protocol::EnrolGrant::Parse(record.last(protocol::kEnrolGrantSize));
  if (!issuer || !statement || !grant) return Fail(ErrorCode::kProtocol, kFalse, "layout");
  if (!issuer->VerifySignature(root)) return Fail(ErrorCode::kProtocol, kFalse, "issuer");
  if (!grant->VerifySignature(issuer->issuer_pub)) {
    return Fail(ErrorCode::kProtocol, kFalse, "grant");
  }
  if (grant->device_id != statement->device_id ||
      grant->statement_hash != protocol::Sha256Of(statement_bytes)) {
    return Fail(ErrorCode::kProtocol, kFalse, "statement");
  }
  return KeyIdentity{statement->device_id, grant->account_id, statement->noise_pub,
                     statement->sig_pub,   grant->policy,     statement->simulator};
}

}  // namespace keyferry::device
