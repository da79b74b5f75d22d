#include "server/core/audit_checkpoint.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

constexpr std::string_view kMark = "keyferry-audit-checkpoint v1 ";

protocol::Hash Digest(const AuditCheckpoint& checkpoint) {
  std::array<std::uint8_t, 49> body{};
  protocol::Writer(body)
      .U8(checkpoint.kind)
      .U64(checkpoint.number)
      .Put(checkpoint.hash)
      .U64(static_cast<std::uint64_t>(checkpoint.time));
  return protocol::Sha256Of(protocol::Label("keyferry/audit-checkpoint/v1"), body);
}

const char* KindName(AuditCheckpoint::Kind kind) {
  switch (kind) {
    case AuditCheckpoint::kHead:
      return "head";
    case AuditCheckpoint::kCut:
      return "cut";
    case AuditCheckpoint::kRestore:
      return "restore";
  }
  return "invalid";
}

// Takes "NAME=VALUE" and the space behind it off the front.
std::string_view Take(std::string_view& text, std::string_view name) {
  if (text.substr(0, name.size()) != name || text.substr(name.size(), 1) != "=") return {};
  text.remove_prefix(name.size() + 1);
  const std::string_view value = text.substr(0, text.find(' '));
  text.remove_prefix(std::min(text.size(), value.size() + 1));
  return value;
}

template <typename T>
bool TakeNumber(std::string_view& text, std::string_view name, T& out) {
  const std::string_view value = Take(text, name);
  const auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), out);
  return !value.empty() && failure == std::errc() && end == value.data() + value.size();
}

template <std::size_t N>
bool TakeHex(std::string_view& text, std::string_view name, std::array<std::uint8_t, N>& out) {
  const auto bytes = FromHex(Take(text, name).substr(0, 2 * N));
  if (!bytes || bytes->size() != N) return false;
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return true;
}

}  // namespace

bool VerifySignature(const AuditCheckpoint& checkpoint, const protocol::P256Public& audit_pub) {
  return checkpoint.kid == protocol::KidOf(audit_pub) &&
         protocol::P256VerifyHash(audit_pub, Digest(checkpoint), checkpoint.signature);
}

std::string CheckpointLine(const AuditCheckpoint& checkpoint) {
  return std::string(kMark) + KindName(checkpoint.kind) +
         " number=" + std::to_string(checkpoint.number) +
         " time=" + std::to_string(checkpoint.time) + " hash=" + ToHex(checkpoint.hash) +
         " key=" + ToHex(checkpoint.kid) + " sig=" + ToHex(checkpoint.signature);
}

Result<AuditCheckpoint> ParseCheckpoint(std::string_view text) {
  const auto none = [] {
    return Fail(ErrorCode::kInvalidArgument, "This is not a checkpoint of the audit log.");
  };
  const std::size_t at = text.find(kMark);
  if (at == std::string_view::npos) return none();
  text.remove_prefix(at + kMark.size());
  AuditCheckpoint checkpoint;
  const std::string_view kind = text.substr(0, text.find(' '));
  if (kind == KindName(AuditCheckpoint::kCut)) {
    checkpoint.kind = AuditCheckpoint::kCut;
  } else if (kind == KindName(AuditCheckpoint::kRestore)) {
    checkpoint.kind = AuditCheckpoint::kRestore;
  } else if (kind != KindName(AuditCheckpoint::kHead)) {
    return none();
  }
  text.remove_prefix(std::min(text.size(), kind.size() + 1));
  if (!TakeNumber(text, "number", checkpoint.number) ||
      !TakeNumber(text, "time", checkpoint.time) || !TakeHex(text, "hash", checkpoint.hash) ||
      !TakeHex(text, "key", checkpoint.kid) || !TakeHex(text, "sig", checkpoint.signature)) {
    return none();
  }
  return checkpoint;
}

Result<std::unique_ptr<AuditSigner>> AuditSigner::Load(SecureBytes key) {
  protocol::P256Public pub{};
  if (key.size() != protocol::kP256PrivateSize || !protocol::P256DerivePublic(ScalarOf(key), pub)) {
    return Fail(ErrorCode::kInvalidArgument, "The audit key is not a P-256 key of 32 bytes.");
  }
  return std::unique_ptr<AuditSigner>(new AuditSigner(std::move(key), pub));
}

Result<AuditCheckpoint> AuditSigner::Sign(AuditCheckpoint::Kind kind, std::uint64_t number,
                                          const Hash32& hash, std::int64_t time) const {
  AuditCheckpoint checkpoint{kind, number, hash, time, protocol::KidOf(pub_), {}};
  if (!protocol::P256SignHash(ScalarOf(key_), Digest(checkpoint), checkpoint.signature)) {
    return Fail(ErrorCode::kInternal, "The audit log's checkpoint could not be signed.");
  }
  return checkpoint;
}

}  // namespace keyferry::server
