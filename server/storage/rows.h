#pragma once

#include <soci/soci.h>

#include <array>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "server/core/encoding.h"
#include "server/core/records.h"

// Between records and columns. Identifiers and hashes are hex text, other bytes base64 text: both
// databases carry them unharmed. No column is NULL but jobs.change_id.
namespace keyferry::server {

// A row that this server cannot have written.
class DamagedRow : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <typename Id>
Id ReadId(const std::string& hex) {
  const auto id = Id::Parse(hex);
  if (!id) throw DamagedRow("identifier " + hex.substr(0, 40));
  return *id;
}

// An empty column is the zero identifier.
template <typename Id>
Id ReadOptionalId(const std::string& hex) {
  return hex.empty() ? Id{} : ReadId<Id>(hex);
}

template <typename Id>
std::string WriteOptionalId(const Id& id) {
  return id == Id{} ? std::string() : id.Hex();
}

template <std::size_t N>
std::array<std::uint8_t, N> ReadFixed(const std::string& hex) {
  const auto bytes = FromHex(hex);
  if (!bytes || bytes->size() != N) throw DamagedRow("bytes " + hex.substr(0, 40));
  std::array<std::uint8_t, N> out{};
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return out;
}

inline Bytes ReadBytes(const std::string& base64) {
  auto bytes = FromBase64(base64);
  if (!bytes) throw DamagedRow("base64 " + base64.substr(0, 40));
  return *std::move(bytes);
}

// The state with this name among 0 … last.
template <typename State>
State ReadState(const std::string& name, State last) {
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    if (name == Name(static_cast<State>(i))) return static_cast<State>(i);
  }
  throw DamagedRow("state " + name.substr(0, 40));
}

const char* Name(EnrolmentState state);
ErrorCode ReadErrorCode(const std::string& name);

inline long long Signed(std::uint64_t value) { return static_cast<long long>(value); }
inline std::uint64_t Unsigned(long long value) { return static_cast<std::uint64_t>(value); }

// A statement that is run once. Unlike a prepared one it takes one exchange with a database server,
// not three.
class Once {
 public:
  explicit Once(soci::session& sql) : statement_(sql) {}
  template <typename Exchanged>
  Once& operator,(const Exchanged& exchanged) {
    statement_.exchange(exchanged);
    return *this;
  }
  soci::statement& Ready(const std::string& query) {
    statement_.alloc();
    statement_.prepare(query, soci::details::st_one_time_query);
    statement_.define_and_bind();
    return statement_;
  }

 private:
  soci::statement statement_;
};

// Runs a statement that returns no rows; the number of rows it touched.
template <typename... Values>
long long Execute(soci::session& sql, const std::string& query, const Values&... values) {
  Once once(sql);
  ((void)(once, soci::use(values)), ...);
  soci::statement& statement = once.Ready(query);
  statement.execute(true);
  return statement.get_affected_rows();
}

// Runs a SELECT. `Columns` has Into(prepared) and Read() -> Record.
template <typename Columns, typename... Values>
auto Select(soci::session& sql, const std::string& query, const Values&... values) {
  Columns columns;
  Once once(sql);
  columns.Into(once);
  ((void)(once, soci::use(values)), ...);
  soci::statement& statement = once.Ready(query);
  statement.execute();
  std::vector<decltype(columns.Read())> rows;
  while (statement.fetch()) rows.push_back(columns.Read());
  return rows;
}

// The same, but rows that cannot be read are left out and counted.
template <typename Columns, typename... Values>
auto SelectWhole(soci::session& sql, const std::string& query, std::size_t* damaged,
                 const Values&... values) {
  struct Row {
    std::optional<decltype(std::declval<const Columns&>().Read())> record;
  };
  struct Careful {
    Columns columns;
    void Into(Once& once) { columns.Into(once); }
    Row Read() const {
      try {
        return {columns.Read()};
      } catch (const DamagedRow&) {
        return {};
      }
    }
  };
  std::vector<decltype(std::declval<const Columns&>().Read())> rows;
  for (Row& row : Select<Careful>(sql, query, values...)) {
    if (row.record) {
      rows.push_back(*std::move(row.record));
    } else {
      ++*damaged;
    }
  }
  return rows;
}

template <typename Rows>
auto FirstOf(Rows rows) -> std::optional<typename Rows::value_type> {
  if (rows.empty()) return std::nullopt;
  return std::move(rows.front());
}

// One number, 0 when there is no row.
template <typename... Values>
long long SelectNumber(soci::session& sql, const std::string& query, const Values&... values) {
  long long number = 0;
  Once once(sql);
  once, soci::into(number);
  ((void)(once, soci::use(values)), ...);
  once.Ready(query).execute(true);
  return number;
}

// Notes that a person was blocked, inside the caller's transaction (audit_search.cc). `account` is
// their identifier in hex.
void NoteBlocked(soci::session& sql, const std::string& account, std::int64_t time);
// Whether the alarm stands (alarms.cc).
bool AlarmStands(soci::session& sql);

// Whether an objection of the account's person stands (notices.cc). `account` in hex.
bool AccountIsFrozen(soci::session& sql, const std::string& account);
// Puts what the entry with this number carries into the outbox, inside the caller's transaction.
void PutNotice(soci::session& sql, long long number, const AuditEntry& entry);

// Appends to the audit chain inside the caller's transaction (audit.cc).
void AppendChained(soci::session& sql, const AuditEntry& entry);

}  // namespace keyferry::server
