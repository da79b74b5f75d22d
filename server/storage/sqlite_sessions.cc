#include "server/storage/sqlite_sessions.h"

#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace keyferry::server {
namespace {

using Compiled = sqlite_api::sqlite3_stmt;

// More than the server has statements; those whose text varies must not grow without end.
constexpr std::size_t kMostKept = 512;

// Everything else runs once, or acts when it is compiled already.
bool IsRepeated(std::string_view sql) {
  constexpr std::array<std::string_view, 8> kVerbs = {"SELECT", "INSERT", "UPDATE", "DELETE",
                                                      "WITH",   "BEGIN",  "COMMIT", "ROLLBACK"};
  return std::any_of(kVerbs.begin(), kVerbs.end(),
                     [sql](std::string_view verb) { return sql.substr(0, verb.size()) == verb; });
}

class KeepingSession final : public soci::details::session_backend {
 public:
  explicit KeepingSession(const soci::connection_parameters& parameters)
      : session_(static_cast<soci::sqlite3_session_backend*>(
            soci::factory_sqlite3()->make_session(parameters))) {}
  ~KeepingSession() override {
    // A connection closes only without statements.
    for (const auto& [sql, statement] : kept_) sqlite_api::sqlite3_finalize(statement);
  }

  soci::sqlite3_session_backend& session() { return *session_; }

  struct Log {
    int pages = 0, most = 0;
  };
  Log& log() { return log_; }

  // nullptr: there is none, or it is in use.
  Compiled* Take(const std::string& sql) {
    const auto found = kept_.find(sql);
    if (found == kept_.end()) return nullptr;
    Compiled* statement = found->second;
    kept_.erase(found);
    return statement;
  }

  // Takes over a statement that is no longer used, without the values it ran with.
  void Keep(const std::string& sql, Compiled* statement) {
    const bool well = sqlite_api::sqlite3_reset(statement) == SQLITE_OK;
    sqlite_api::sqlite3_clear_bindings(statement);
    if (well && IsRepeated(sql)) {
      if (kept_.size() >= kMostKept) {
        sqlite_api::sqlite3_finalize(kept_.begin()->second);
        kept_.erase(kept_.begin());
      }
      if (kept_.emplace(sql, statement).second) return;
    }
    sqlite_api::sqlite3_finalize(statement);
  }

  bool is_connected() override { return session_->is_connected(); }
  void begin() override { session_->begin(); }
  void commit() override { session_->commit(); }
  void rollback() override { session_->rollback(); }
  bool get_last_insert_id(soci::session& sql, const std::string& table, long long& id) override {
    return session_->get_last_insert_id(sql, table, id);
  }
  std::string empty_blob() override { return session_->empty_blob(); }
  std::string get_dummy_from_table() const override { return session_->get_dummy_from_table(); }
  std::string get_backend_name() const override { return session_->get_backend_name(); }
  soci::details::statement_backend* make_statement_backend() override;
  soci::details::rowid_backend* make_rowid_backend() override {
    return session_->make_rowid_backend();
  }
  soci::details::blob_backend* make_blob_backend() override {
    return session_->make_blob_backend();
  }

 private:
  std::unique_ptr<soci::sqlite3_session_backend> session_;
  std::unordered_map<std::string, Compiled*> kept_;
  Log log_;
};

class KeptStatement final : public soci::details::statement_backend {
 public:
  explicit KeptStatement(KeepingSession& keeper)
      : keeper_(keeper), own_(keeper.session().make_statement_backend()) {}

  void prepare(const std::string& sql, soci::details::statement_type type) override {
    clean_up();
    Compiled* kept = keeper_.Take(sql);
    if (kept == nullptr) {
      own_->prepare(sql, type);
    } else {
      own_->stmt_ = kept;
      own_->databaseReady_ = true;
    }
    sql_ = sql;
  }

  void clean_up() override {
    if (own_->stmt_ != nullptr) keeper_.Keep(sql_, own_->stmt_);
    own_->stmt_ = nullptr;
    own_->clean_up();
  }

  void alloc() override { own_->alloc(); }
  exec_fetch_result execute(int number) override { return own_->execute(number); }
  exec_fetch_result fetch(int number) override { return own_->fetch(number); }
  long long get_affected_rows() override { return own_->get_affected_rows(); }
  int get_number_of_rows() override { return own_->get_number_of_rows(); }
  std::string get_parameter_name(int index) const override {
    return own_->get_parameter_name(index);
  }
  std::string rewrite_for_procedure_call(const std::string& sql) override {
    return own_->rewrite_for_procedure_call(sql);
  }
  int prepare_for_describe() override { return own_->prepare_for_describe(); }
  void describe_column(int column, soci::data_type& type, std::string& name) override {
    own_->describe_column(column, type, name);
  }
  soci::details::standard_into_type_backend* make_into_type_backend() override {
    return own_->make_into_type_backend();
  }
  soci::details::standard_use_type_backend* make_use_type_backend() override {
    return own_->make_use_type_backend();
  }
  soci::details::vector_into_type_backend* make_vector_into_type_backend() override {
    return own_->make_vector_into_type_backend();
  }
  soci::details::vector_use_type_backend* make_vector_use_type_backend() override {
    return own_->make_vector_use_type_backend();
  }

 private:
  KeepingSession& keeper_;
  std::unique_ptr<soci::sqlite3_statement_backend> own_;
  std::string sql_;
};

soci::details::statement_backend* KeepingSession::make_statement_backend() {
  return new KeptStatement(*this);
}

struct Factory final : soci::backend_factory {
  soci::details::session_backend* make_session(
      const soci::connection_parameters& parameters) const override {
    return new KeepingSession(parameters);
  }
};

KeepingSession& Own(soci::session& session) {
  return *static_cast<KeepingSession*>(session.get_backend());
}

}  // namespace

const soci::backend_factory& SqliteSessions() {
  static const Factory factory;
  return factory;
}

void LeaveCheckpoints(soci::session& session) {
  sqlite_api::sqlite3_db_config(Own(session).session().conn_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
                                nullptr);
}

void CheckpointByHand(soci::session& session, int most) {
  KeepingSession& own = Own(session);
  own.log().most = most;
  const auto committed = [](void* log, sqlite_api::sqlite3* database, const char* name, int pages) {
    auto& its = *static_cast<KeepingSession::Log*>(log);
    its.pages = pages;
    if (pages >= its.most) {
      sqlite_api::sqlite3_wal_checkpoint_v2(database, name, SQLITE_CHECKPOINT_PASSIVE, nullptr,
                                            nullptr);
    }
    return SQLITE_OK;  // the commit is one, whatever became of the checkpoint
  };
  sqlite_api::sqlite3_wal_hook(own.session().conn_, committed, &own.log());
}

int LogPages(soci::session& session) { return Own(session).log().pages; }

void WriteCheckpoint(soci::session& session) {
  sqlite_api::sqlite3_wal_checkpoint_v2(Own(session).session().conn_, nullptr,
                                        SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
}

}  // namespace keyferry::server
