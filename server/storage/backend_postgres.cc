#include "server/storage/backend_postgres.h"

#include <libpq-fe.h>
#include <soci/postgresql/soci-postgresql.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace keyferry::server {
namespace {

constexpr int kOldestServer = 130000;  // pg_current_xact_id and pg_xact_status
// The first half of the lock that every writing transaction holds; the second half is the schema.
constexpr const char* kWriterLock = "1263944274";  // "KFER"

class Unfit : public std::runtime_error {
 public:
  Unfit(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

std::string Ask(soci::session& sql, const std::string& query) {
  std::string answer;
  sql << query, soci::into(answer);
  return answer;
}

PGconn* ConnectionOf(soci::session& session) {
  return static_cast<soci::postgresql_session_backend*>(session.get_backend())->conn_;
}

bool In(const std::string& state, std::initializer_list<const char*> known) {
  for (const char* prefix : known) {
    if (state.rfind(prefix, 0) == 0) return true;
  }
  return false;
}

// libpq gives a connection that broke no SQLSTATE, and SOCI one of blanks or none.
bool IsBlank(const std::string& state) {
  return state.find_first_not_of(std::string(" \0", 2)) == std::string::npos;
}

class PostgresBackend final : public Backend {
 public:
  explicit PostgresBackend(const PostgresUrl& url) : url_(url) {}

  std::unique_ptr<soci::session> OpenWriter() override {
    auto session = Connect();
    soci::session& sql = *session;
    if (Ask(sql, "SHOW fsync") != "on" || Ask(sql, "SHOW full_page_writes") != "on") {
      throw Unfit(ErrorCode::kUnsupported,
                  "The database server runs with fsync or full_page_writes off, so a power cut "
                  "could lose what it acknowledged; turn both on.");
    }
    if (Ask(sql, "SHOW server_encoding") != "UTF8") {
      throw Unfit(ErrorCode::kUnsupported, "The database " + url_.place() +
                                               " is not in UTF-8; make it anew with "
                                               "encoding UTF8.");
    }
    if (Ask(sql, "SHOW synchronous_commit") == "off") sql << "SET synchronous_commit = on";
    // A server that stands still in the middle of a transaction must not stop all others.
    sql << "SET idle_in_transaction_session_timeout = '10s'";
    sql << "SET lock_timeout = '15s'";
    const std::string schema = Ask(sql, "SELECT COALESCE(current_schema(), '')");
    if (schema.empty()) {
      throw Unfit(ErrorCode::kPermissionDenied,
                  "The database " + url_.place() + " has no schema that the server may use.");
    }
    begin_ = "BEGIN; SELECT pg_advisory_xact_lock(" + std::string(kWriterLock) + ", " +
             Ask(sql, "SELECT oid::int FROM pg_namespace WHERE nspname = current_schema()") +
             "); SELECT pg_current_xact_id()::text";
    return session;
  }

  std::unique_ptr<soci::session> OpenReader() override {
    auto session = Connect();
    *session << "SET default_transaction_read_only = on";
    return session;
  }

  // READ COMMITTED below one lock: each statement sees what was committed before it began, and the
  // lock is taken before the first one and given back with the commit. The audit chain's head makes
  // all writers wait for one another in any case; SERIALIZABLE would add only the retries.
  void Begin(soci::session& writer) override { writer << begin_, soci::into(transaction_); }

  void Commit(soci::session& writer) override {
    // COMMIT of a transaction that failed is a ROLLBACK that reports success.
    if (PQtransactionStatus(ConnectionOf(writer)) != PQTRANS_INTRANS &&
        PQstatus(ConnectionOf(writer)) == CONNECTION_OK) {
      throw soci::soci_error("the transaction failed before its COMMIT");
    }
    writer << "COMMIT";
  }

  bool Lost(soci::session& session, const std::exception& error) const override {
    if (PQstatus(ConnectionOf(session)) != CONNECTION_OK) return true;
    const auto* known = dynamic_cast<const soci::postgresql_soci_error*>(&error);
    return known != nullptr &&
           (IsBlank(known->sqlstate()) || In(known->sqlstate(), {"08", "57P0", "25006"}));
  }

  std::optional<bool> Stored(soci::session& fresh) override {
    const std::string lost = std::exchange(transaction_, {});
    if (lost.empty()) return std::nullopt;
    // The lock is free only when the lost transaction has ended.
    Begin(fresh);
    std::string status;
    soci::indicator known = soci::i_null;
    fresh << "SELECT pg_xact_status(:id::xid8)", soci::into(status, known), soci::use(lost);
    fresh << "ROLLBACK";
    if (known != soci::i_ok || (status != "committed" && status != "aborted")) return std::nullopt;
    return status == "committed";
  }

  const char* Now() const override {
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
  }
  const char* GrowingId() const override {
    return "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY";
  }

  Error Translate(const std::exception& error, bool& fatal) const override {
    if (const auto* unfit = dynamic_cast<const Unfit*>(&error)) {
      return {unfit->code(), unfit->what(), {}, 0};
    }
    const auto* any = dynamic_cast<const soci::soci_error*>(&error);
    // The message without SOCI's context: that would put the values of a statement into the log.
    const std::string detail = any == nullptr ? error.what() : any->get_error_message();
    const auto* known = dynamic_cast<const soci::postgresql_soci_error*>(&error);
    const std::string state = known == nullptr ? std::string() : known->sqlstate();
    if (In(state, {"23"})) {
      return {ErrorCode::kConflict, "Something else changed the same record; look again.", detail,
              0};
    }
    if (In(state, {"40", "55P03", "57014"})) {
      return Unavailable("is busy: nothing was stored; try again.", detail);
    }
    if (In(state, {"53100"})) {
      return Unavailable("has a full disk: nothing was stored; free some space there.", detail);
    }
    if (In(state, {"53"})) {
      return Unavailable("is out of connections or memory: nothing was stored; raise its limits.",
                         detail);
    }
    if (In(state, {"25006"})) {
      return Unavailable("takes no writes (it is a standby); check the URL.", detail);
    }
    if (In(state, {"42501"})) {
      return {ErrorCode::kPermissionDenied,
              "The database " + url_.place() +
                  " refuses the server's user; make that user the owner of the database.",
              detail, 0};
    }
    if (In(state, {"XX001", "XX002"})) {
      fatal = true;
      return {ErrorCode::kIo,
              "The database " + url_.place() +
                  " is damaged; stop the server and restore the last backup.",
              detail, 0};
    }
    if (In(state, {"08", "57P", "58"}) || (any != nullptr && IsBlank(state))) {
      return Unavailable(
          "cannot be reached or refuses the server: nothing was stored; Keyferry connects again by "
          "itself.",
          detail);
    }
    return {ErrorCode::kInternal, "The database refused a request of this server.", detail, 0};
  }

 private:
  std::unique_ptr<soci::session> Connect() const {
    auto session = std::make_unique<soci::session>(soci::postgresql, url_.connection());
    const int version = PQserverVersion(ConnectionOf(*session));
    if (version < kOldestServer) {
      throw Unfit(ErrorCode::kUnsupported, "The database server is PostgreSQL " +
                                               std::to_string(version / 10000) +
                                               "; Keyferry needs 13 or newer.");
    }
    *session << "SET client_min_messages = warning";
    *session << "SET statement_timeout = '30s'";
    return session;
  }

  Error Unavailable(const std::string& what, const std::string& detail) const {
    return {ErrorCode::kUnavailable, "The database " + url_.place() + " " + what, detail, 0};
  }

  PostgresUrl url_;
  std::string begin_;
  std::string transaction_;  // of the last Begin()
};

}  // namespace

std::unique_ptr<Backend> MakePostgresBackend(const PostgresUrl& url) {
  return std::make_unique<PostgresBackend>(url);
}

}  // namespace keyferry::server
