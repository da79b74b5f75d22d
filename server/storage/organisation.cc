// Whose database this is, and whose a change is.
#include "server/storage/rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct RootColumns {
  std::string root_pub;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(root_pub);
  }
  Bytes Read() const { return ReadBytes(root_pub); }
};

struct AuditKeyColumn {
  std::string text;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(text);
  }
  std::string Read() const { return text; }
};

std::optional<Bytes> ReadRoot(soci::session& sql) {
  return FirstOf(Select<RootColumns>(sql, "SELECT root_pub FROM organisation WHERE id = 1"));
}

}  // namespace

Result<std::optional<Bytes>> SqlStore::Root() {
  return database_.Read(
      [](soci::session& sql) -> Result<std::optional<Bytes>> { return ReadRoot(sql); });
}

Result<void> SqlStore::BindRoot(const Bytes& root_pub) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const auto bound = ReadRoot(t.sql);
    if (bound) {
      t.commit = false;
      if (*bound == root_pub) return {};
      return Fail(ErrorCode::kConflict,
                  "The database belongs to another Keyferry: its keys trust another root than this "
                  "server's root.pub.");
    }
    Execute(t.sql, "INSERT INTO organisation (id, root_pub) VALUES (1, :root)", ToBase64(root_pub));
    return {};
  });
}

Result<void> SqlStore::BindAuditKey(const Bytes& audit_pub) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const std::string wanted = ToBase64(audit_pub);
    const auto bound =
        FirstOf(Select<AuditKeyColumn>(t.sql, "SELECT audit_pub FROM organisation WHERE id = 1"));
    if (bound && bound->empty()) {
      Execute(t.sql, "UPDATE organisation SET audit_pub = :pub WHERE id = 1", wanted);
      return {};
    }
    t.commit = false;
    if (bound && *bound == wanted) return {};
    return Fail(ErrorCode::kConflict,
                "The audit log in this database is signed with another audit key than this "
                "server's: copy audit.key and audit.pub from the state folder of the server that "
                "was there first, and remove audit-checkpoints.log here.");
  });
}

std::string SqlStore::Mine(const char* changes) const {
  const std::string owner = std::string(changes) + ".owner";
  return " (" + owner + " = :node OR NOT EXISTS (SELECT 1 FROM nodes n WHERE n.node_id = " + owner +
         " AND n.alive_until > " + database_.backend().Now() + "))";
}

void SqlStore::Own(soci::session& sql, const ChangeId& change) const {
  if (node_.empty()) return;
  Execute(sql, "UPDATE changes SET owner = :node WHERE change_id = :id", node_, change.Hex());
}

}  // namespace keyferry::server
