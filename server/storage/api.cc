#include <string>

#include "server/storage/rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct TokenColumns {
  static constexpr const char* kList =
      "token_id, name, token_hash, scopes, owner_id, creator, created, expires, last_used, "
      "last_address, revoked, revoked_by";

  std::string id, name, hash, scopes, owner, creator, last_address, revoked_by;
  long long created = 0, expires = 0, last_used = 0, revoked = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id), soci::into(name), soci::into(hash), soci::into(scopes), soci::into(owner),
        soci::into(creator), soci::into(created), soci::into(expires), soci::into(last_used),
        soci::into(last_address), soci::into(revoked), soci::into(revoked_by);
  }
  TokenRecord Read() const {
    TokenRecord record;
    record.id = ReadId<TokenId>(id);
    record.name = name;
    record.hash = ReadFixed<32>(hash);
    record.scopes = scopes;
    record.owner = ReadOptionalId<AccountId>(owner);
    record.creator = creator;
    record.created = created;
    record.expires = expires;
    record.last_used = last_used;
    record.last_address = last_address;
    record.revoked = revoked;
    record.revoked_by = revoked_by;
    return record;
  }
};

struct AnswerColumns {
  std::string request, content_type, sealed;
  long long status = 0, begun = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(request), soci::into(begun), soci::into(status), soci::into(content_type),
        soci::into(sealed);
  }
  struct Row {
    ApiStore::RequestClaim claim;
    std::int64_t begun = 0;
  };
  Row Read() const {
    Row row;
    row.claim.request = ReadFixed<32>(request);
    row.claim.answer.status = static_cast<int>(status);
    row.claim.answer.content_type = content_type;
    row.claim.answer.sealed = ReadBytes(sealed);
    row.begun = begun;
    return row;
  }
};

std::string SelectTokens(const char* rest) {
  return std::string("SELECT ") + TokenColumns::kList + " FROM api_tokens " + rest;
}

}  // namespace

Result<std::vector<TokenRecord>> SqlStore::Tokens() {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<TokenRecord>> {
    return Select<TokenColumns>(sql, SelectTokens("ORDER BY number DESC"));
  });
}

Result<std::optional<TokenRecord>> SqlStore::FindToken(const TokenId& id) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<TokenRecord>> {
    return FirstOf(Select<TokenColumns>(sql, SelectTokens("WHERE token_id = :id"), id.Hex()));
  });
}

Result<std::optional<TokenRecord>> SqlStore::FindTokenByHash(const Hash32& hash) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<TokenRecord>> {
    return FirstOf(
        Select<TokenColumns>(sql, SelectTokens("WHERE token_hash = :hash"), ToHex(hash)));
  });
}

Result<void> SqlStore::AddToken(const TokenRecord& token, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    if (SelectNumber(t.sql, "SELECT COUNT(*) FROM api_tokens WHERE name = :name AND revoked = 0",
                     token.name) != 0) {
      t.commit = false;
      return Fail(ErrorCode::kConflict,
                  "There is a token of this name already; revoke that one, or take another name.");
    }
    const long long created = token.created, expires = token.expires;
    Execute(t.sql,
            "INSERT INTO api_tokens (token_id, name, token_hash, scopes, owner_id, creator, "
            "created, expires, last_used, last_address, revoked, revoked_by) VALUES (:id, :name, "
            ":hash, :scopes, :owner, :creator, :created, :expires, 0, '', 0, '')",
            token.id.Hex(), token.name, ToHex(token.hash), token.scopes,
            WriteOptionalId(token.owner), token.creator, created, expires);
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<void> SqlStore::RevokeToken(const TokenId& id, std::string_view by, std::int64_t time,
                                   const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long moment = time;
    const std::string who(by);
    if (Execute(t.sql,
                "UPDATE api_tokens SET revoked = :time, revoked_by = :by WHERE token_id = :id AND "
                "revoked = 0",
                moment, who, id.Hex()) == 0) {
      t.commit = false;
      return Fail(ErrorCode::kConflict, "This token is revoked already.");
    }
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<void> SqlStore::NoteTokenUse(const TokenId& id, std::int64_t time, std::string_view address,
                                    const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long moment = time;
    const std::string from(address);
    Execute(t.sql,
            "UPDATE api_tokens SET last_used = :time, last_address = :address WHERE token_id = :id",
            moment, from, id.Hex());
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<ApiStore::RequestClaim> SqlStore::ClaimRequest(const RequestRecord& request,
                                                      std::int64_t lost, std::int64_t forgotten) {
  return database_.Write([&](Transaction& t) -> Result<ApiStore::RequestClaim> {
    const long long begun = request.begun, before = forgotten;
    const std::string key = ToHex(request.key), hash = ToHex(request.request);
    Execute(t.sql, "DELETE FROM api_requests WHERE begun < :before", before);
    const auto found = FirstOf(Select<AnswerColumns>(
        t.sql,
        "SELECT request_hash, begun, status, content_type, sealed FROM api_requests WHERE "
        "principal = :principal AND key_hash = :key",
        request.principal, key));
    if (!found) {
      Execute(t.sql,
              "INSERT INTO api_requests (principal, key_hash, request_hash, begun, status, "
              "content_type, sealed) VALUES (:principal, :key, :hash, :begun, 0, '', '')",
              request.principal, key, hash, begun);
      return ApiStore::RequestClaim{true, {}, {}};
    }
    const ApiStore::RequestClaim& claim = found->claim;
    if (claim.answer.status != 0 || claim.request != request.request || found->begun >= lost) {
      t.commit = false;
      return claim;
    }
    Execute(t.sql,
            "UPDATE api_requests SET begun = :begun WHERE principal = :principal AND key_hash = "
            ":key",
            begun, request.principal, key);
    return ApiStore::RequestClaim{true, {}, {}};
  });
}

Result<void> SqlStore::AnswerRequest(std::string_view principal, const Hash32& key,
                                     const StoredAnswer& answer) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long status = answer.status;
    const std::string who(principal), sealed = ToBase64(answer.sealed);
    Execute(
        t.sql,
        "UPDATE api_requests SET status = :status, content_type = :type, sealed = :sealed WHERE "
        "principal = :principal AND key_hash = :key",
        status, answer.content_type, sealed, who, ToHex(key));
    return {};
  });
}

Result<void> SqlStore::ForgetRequest(std::string_view principal, const Hash32& key) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const std::string who(principal);
    t.commit = Execute(t.sql,
                       "DELETE FROM api_requests WHERE principal = :principal AND key_hash = :key "
                       "AND status = 0",
                       who, ToHex(key)) != 0;
    return {};
  });
}

}  // namespace keyferry::server
