// The audit log's checkpoints: every way of tampering is found, retention keeps the chain, exports
// are safe to read.
#include <catch2/catch.hpp>
#include <memory>

#include "company.h"
#include "server/core/audit_chain.h"
#include "server/core/audit_format.h"
#include "server/core/audit_keeper.h"
#include "server/core/audit_verify.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

// A log whose owner can do everything to it that the owner of a database can.
class OpenLog final : public AuditStore {
 public:
  Result<void> AppendAudit(const AuditEntry& audit) override {
    Hash32 previous = head.hash;
    const std::uint64_t number = ++head.number;
    head.hash = ChainHash(number, previous, audit);
    rows.push_back({number, audit, previous, head.hash});
    return {};
  }
  Result<std::vector<Row>> AuditBefore(std::uint64_t, std::size_t) override { return rows; }
  Result<std::vector<Row>> AuditAfter(std::uint64_t after, std::size_t limit) override {
    std::vector<Row> out;
    for (const Row& row : rows) {
      if (row.number > after && out.size() < limit) out.push_back(row);
    }
    return out;
  }
  Result<Matches> MatchAudit(const AuditFilter&, const AuditWindow& window) override {
    Matches out;
    out.rows = *AuditAfter(window.edge, window.limit);
    return out;
  }
  Result<Head> AuditHead() override { return head; }
  Result<std::optional<AuditCheckpoint>> AuditCut() override { return cut; }
  Result<void> CutAudit(const AuditCheckpoint& checkpoint, const AuditEntry& audit) override {
    std::erase_if(rows, [&](const Row& row) { return row.number <= checkpoint.number; });
    cut = checkpoint;
    return AppendAudit(audit);
  }
  // Makes the chain right again from row `from` on (an index), as who knows how it is made would.
  void Rechain(std::size_t from) {
    for (std::size_t i = from; i < rows.size(); ++i) {
      rows[i].number = i == 0 ? 1 : rows[i - 1].number + 1;
      rows[i].previous = i == 0 ? Hash32{} : rows[i - 1].hash;
      rows[i].hash = ChainHash(rows[i].number, rows[i].previous, rows[i].entry);
    }
    head = rows.empty() ? Head{} : Head{rows.back().number, rows.back().hash};
  }

  std::vector<Row> rows;
  Head head;
  std::optional<AuditCheckpoint> cut;
};

class Book final : public CheckpointBook {
 public:
  Result<void> Append(const AuditCheckpoint& checkpoint) override {
    if (full) return Fail(ErrorCode::kIo, "The disk is full.");
    list.push_back(checkpoint);
    return {};
  }
  Result<std::vector<AuditCheckpoint>> Read() override { return list; }
  std::vector<AuditCheckpoint> list;
  bool full = false;
};

std::unique_ptr<AuditSigner> Signer(std::uint8_t fill = 7) {
  SecureBytes key(32);
  std::fill(key.data(), key.data() + 32, fill);
  return *AuditSigner::Load(std::move(key));
}

struct Kept {
  void Write(int count, const std::string& action = "password.set") {
    for (int i = 0; i < count; ++i) {
      REQUIRE(log.AppendAudit({clock.UnixMillis(), "boss", action, "alice", "ok",
                               "row " + std::to_string(i), "192.0.2.1"}));
    }
  }
  Result<AuditReport> Verify() { return VerifyAudit(log, {signer->pub(), book.list}); }
  std::string Verdict() {
    const auto report = Verify();
    return report ? "whole" : report.error().message;
  }
  AuditKeeper Keeper(AuditPolicy policy = {10, 600, 0}, AuditKeeper::Forwarded forwarded = {}) {
    return AuditKeeper(
        log, clock, *signer, book, policy,
        [this](std::string_view line) { said.emplace_back(line); }, std::move(forwarded));
  }

  FakeClock clock;
  OpenLog log;
  Book book;
  std::unique_ptr<AuditSigner> signer = Signer();
  std::vector<std::string> said;
};

}  // namespace

TEST_CASE("a checkpoint is a line that comes back, signed by the audit key alone") {
  const auto signer = Signer();
  const auto checkpoint = signer->Sign(AuditCheckpoint::kHead, 12, Hash32{1, 2}, 1'800'000'000'123);
  REQUIRE(checkpoint);
  CHECK(VerifySignature(*checkpoint, signer->pub()));
  CHECK_FALSE(VerifySignature(*checkpoint, Signer(8)->pub()));
  const std::string line = CheckpointLine(*checkpoint);
  CHECK(ParseCheckpoint(line).value() == *checkpoint);
  CHECK(ParseCheckpoint("<110>1 2027-01-15T08:00:00Z host - - - - " + line).value() == *checkpoint);
  for (const auto& change : std::vector<std::function<void(AuditCheckpoint&)>>{
           [](AuditCheckpoint& c) { ++c.number; }, [](AuditCheckpoint& c) { c.hash[31] ^= 1; },
           [](AuditCheckpoint& c) { ++c.time; },
           [](AuditCheckpoint& c) { c.kind = AuditCheckpoint::kCut; },
           [](AuditCheckpoint& c) { c.signature[0] ^= 1; }}) {
    AuditCheckpoint other = *checkpoint;
    change(other);
    CHECK_FALSE(VerifySignature(other, signer->pub()));
    CHECK_FALSE(VerifySignature(*ParseCheckpoint(CheckpointLine(other)), signer->pub()));
  }
  for (std::size_t size = 0; size < line.size(); ++size) {
    CHECK_FALSE(ParseCheckpoint(line.substr(0, size)));
  }
  CHECK_FALSE(ParseCheckpoint("keyferry-audit-checkpoint v1 tail number=1"));
  CHECK_FALSE(AuditSigner::Load(SecureBytes(32)));  // zero is no key
  CHECK_FALSE(AuditSigner::Load(SecureBytes(31)));
}

TEST_CASE("checkpoints come after enough rows, after enough time, and at the end") {
  Kept k;
  auto keeper = k.Keeper();
  keeper.Tick();
  CHECK(k.book.list.empty());  // nothing to sign
  k.Write(9);
  keeper.Tick();
  CHECK(k.book.list.empty());
  k.Write(1);
  keeper.Tick();
  REQUIRE(k.book.list.size() == 1);
  CHECK(k.book.list[0].number == 10);
  k.Write(1);
  keeper.Tick();
  k.clock.Advance(std::chrono::seconds(599));
  keeper.Tick();
  CHECK(k.book.list.size() == 1);
  k.clock.Advance(std::chrono::seconds(1));
  keeper.Tick();
  REQUIRE(k.book.list.size() == 2);
  CHECK(k.book.list[1].number == 11);
  k.Write(2);
  keeper.Finish();
  keeper.Finish();
  REQUIRE(k.book.list.size() == 3);
  const auto report = k.Verify();
  REQUIRE(report);
  CHECK(report->first == 1);
  CHECK(report->last == 13);
  CHECK(report->checkpoints == 3);
  CHECK(report->signed_until == 13);
  // The next run goes on where this one ended.
  auto next = k.Keeper();
  next.Tick();
  next.Finish();
  CHECK(k.book.list.size() == 3);
  // What a killed run left unsigned is signed at the next start.
  k.Write(1);
  k.Keeper().Tick();
  CHECK(k.book.list.size() == 4);
  auto again = k.Keeper();
  // A book that cannot be written to is told, and written to later.
  k.book.full = true;
  k.Write(10);
  again.Tick();
  CHECK(k.said == std::vector<std::string>{"The disk is full."});
  k.book.full = false;
  again.Tick();
  CHECK(k.book.list.size() == 5);
}

TEST_CASE("every kind of tampering with the audit log is found") {
  Kept k;
  auto keeper = k.Keeper();
  k.Write(10);
  keeper.Tick();
  k.Write(10);
  keeper.Tick();
  k.Write(5);
  REQUIRE(k.Verdict() == "whole");
  std::string expected;
  SECTION("a row is altered") {
    k.log.rows[3].entry.actor = "somebody else";
    expected = "row 4 was altered";
  }
  SECTION("each text of a row counts, as do time and number") {
    auto& entry = k.log.rows[3].entry;
    const int which = GENERATE(range(0, 7));
    std::string* const texts[] = {&entry.actor,   &entry.action, &entry.target,
                                  &entry.outcome, &entry.detail, &entry.address};
    if (which < 6) {
      *texts[which] += " ";
    } else {
      ++entry.time;
    }
    expected = "row 4 was altered";
  }
  SECTION("text moved from one field to the next") {
    k.log.rows[3].entry.actor = "bos";
    k.log.rows[3].entry.action = "spassword.set";
    expected = "row 4 was altered";
  }
  SECTION("a row is altered with its hash") {
    k.log.rows[3].entry.actor = "somebody else";
    k.log.rows[3].hash = ChainHash(4, k.log.rows[3].previous, k.log.rows[3].entry);
    expected = "row 5 does not follow";
  }
  SECTION("a row is altered and the chain made anew") {
    k.log.rows[3].entry.actor = "somebody else";
    k.log.Rechain(3);
    expected = "row 10 is not the one that a checkpoint signed";
  }
  SECTION("a row is removed") {
    k.log.rows.erase(k.log.rows.begin() + 6);
    expected = "row 7 is missing";
  }
  SECTION("a row is removed and the chain made anew") {
    k.log.rows.erase(k.log.rows.begin() + 6);
    k.log.Rechain(6);
    expected = "row 10 is not the one that a checkpoint signed";
  }
  SECTION("the first rows are removed") {
    k.log.rows.erase(k.log.rows.begin(), k.log.rows.begin() + 10);
    expected = "row 1 is missing";
  }
  SECTION("two rows change places") {
    std::swap(k.log.rows[4].entry, k.log.rows[5].entry);
    expected = "row 5 was altered";
  }
  SECTION("two rows change places and the chain is made anew") {
    std::swap(k.log.rows[4].entry, k.log.rows[5].entry);
    k.log.Rechain(4);
    expected = "row 10 is not the one that a checkpoint signed";
  }
  SECTION("a row is put in and the chain made anew") {
    k.log.rows.insert(k.log.rows.begin() + 12, k.log.rows[2]);
    k.log.Rechain(12);
    expected = "row 20 is not the one that a checkpoint signed";
  }
  SECTION("the end is cut off") {
    k.log.rows.resize(24);
    expected = "row 25 is missing";
  }
  SECTION("the end is cut off with the head's word") {
    k.log.rows.resize(19);
    k.log.Rechain(19);
    expected = "it ends at row 19, but a checkpoint knows row 20: rows were cut off its end";
  }
  SECTION("everything is removed") {
    k.log.rows.clear();
    k.log.Rechain(0);
    expected = "rows were cut off its end";
  }
  SECTION("the head names another row") {
    k.log.head.hash[0] ^= 1;
    expected = "row 25 is not the one last written";
  }
  SECTION("a checkpoint is altered") {
    k.book.list[0].hash[0] ^= 1;
    expected = "the checkpoint of row 10 has no good signature";
  }
  SECTION("a checkpoint is made with another key, for a log written anew") {
    k.log.rows[3].entry.actor = "somebody else";
    k.log.Rechain(3);
    for (AuditCheckpoint& checkpoint : k.book.list) {
      checkpoint = *Signer(8)->Sign(AuditCheckpoint::kHead, checkpoint.number,
                                    k.log.rows[checkpoint.number - 1].hash, checkpoint.time);
    }
    expected = "has no good signature";
  }
  SECTION("two checkpoints of one row differ") {
    k.book.list.push_back(*k.signer->Sign(AuditCheckpoint::kHead, 10, Hash32{9}, 1));
    expected = "the log was forked";
  }
  SECTION("a cut is claimed that never was signed") {
    AuditCheckpoint cut = k.book.list[0];
    cut.kind = AuditCheckpoint::kCut;
    k.log.cut = cut;
    k.log.rows.erase(k.log.rows.begin(), k.log.rows.begin() + 10);
    expected = "under the retention rule has no good signature";
  }
  SECTION("a head's checkpoint is passed off as a cut") {
    k.log.cut = k.book.list[0];
    k.log.rows.erase(k.log.rows.begin(), k.log.rows.begin() + 10);
    expected = "under the retention rule has no good signature";
  }
  CHECK_THAT(k.Verdict(), Catch::Contains(expected));
}

TEST_CASE("a thousand random alterations are all found") {
  Kept k;
  auto keeper = k.Keeper();
  k.Write(200);
  keeper.Tick();
  const auto rows = k.log.rows;
  const auto head = k.log.head;
  std::uint32_t seed = 12345;
  const auto random = [&seed](std::uint32_t below) {
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
  };
  for (int i = 0; i < 1000; ++i) {
    const std::size_t at = random(199);
    switch (random(4)) {
      case 0:
        k.log.rows[at].entry.detail[random(4)] ^= 1;
        break;
      case 1:
        k.log.rows.erase(k.log.rows.begin() + static_cast<long>(at));
        break;
      case 2:
        std::swap(k.log.rows[at].entry, k.log.rows[at + 1].entry);
        break;
      default:
        k.log.rows.resize(at);
    }
    if (random(2) == 0) k.log.Rechain(0);  // by somebody who knows how
    INFO(i << " at " << at);
    CHECK_FALSE(k.Verify());
    k.log.rows = rows;
    k.log.head = head;
  }
  CHECK(k.Verify());
}

TEST_CASE("the keeper signs nothing that does not follow from its last checkpoint") {
  Kept k;
  auto keeper = k.Keeper();
  k.Write(10);
  keeper.Tick();
  k.Write(10);
  SECTION("altered") { k.log.rows[15].entry.actor = "x"; }
  SECTION("cut off behind the checkpoint") {
    k.log.rows.resize(5);
    k.log.Rechain(0);
  }
  SECTION("written anew before it") {
    k.log.rows[2].entry.actor = "x";
    k.log.Rechain(2);
  }
  keeper.Tick();
  keeper.Tick();
  CHECK(k.book.list.size() == 1);
  REQUIRE(k.said.size() == 1);  // once a minute
  CHECK_THAT(k.said[0], Catch::Contains("tampered"));
  k.clock.Advance(std::chrono::minutes(1));
  keeper.Tick();
  CHECK(k.said.size() == 2);
}

TEST_CASE("retention removes what is old and signed, and what is left can still be verified") {
  Kept k;
  std::uint64_t sent = UINT64_MAX;
  auto keeper = k.Keeper({10, 600, 30}, [&sent] { return sent; });
  k.Write(10);
  keeper.Tick();
  k.clock.Advance(std::chrono::hours(24));
  k.Write(10);
  keeper.Tick();
  k.clock.Advance(std::chrono::hours(24 * 29 - 1));
  keeper.Tick();
  CHECK_FALSE(k.log.cut);  // not old enough
  k.clock.Advance(std::chrono::hours(24));
  SECTION("not before others have it") {
    sent = 9;
    keeper.Tick();
    CHECK_FALSE(k.log.cut);
    sent = 20;
    k.clock.Advance(std::chrono::hours(25));
  }
  keeper.Tick();
  REQUIRE(k.log.cut);
  const std::uint64_t removed = k.log.cut->number;
  CHECK((removed == 10 || removed == 20));
  CHECK(k.log.rows.front().number == removed + 1);
  CHECK(k.log.rows.back().entry.action == "audit.retention");
  CHECK(k.log.rows.back().number == 21);
  const auto report = k.Verify();
  REQUIRE(report);
  CHECK(report->cut == removed);
  CHECK(report->first == removed + 1);
  k.Write(10);
  keeper.Tick();
  CHECK(k.Verify()->signed_until == 31);

  // Tampering is found behind the cut too.
  SECTION("more is removed than was cut") {
    k.log.rows.erase(k.log.rows.begin());
    CHECK_THAT(k.Verdict(), Catch::Contains("is missing"));
  }
  SECTION("the cut's own record is altered") {
    k.log.cut->hash[0] ^= 1;
    CHECK_THAT(k.Verdict(), Catch::Contains("no good signature"));
  }
  SECTION("the cut's record is removed") {
    k.log.cut.reset();
    CHECK_THAT(k.Verdict(), Catch::Contains("row 1 is missing"));
  }
  SECTION("a log that was tampered with is not cut") {
    k.log.rows.back().entry.actor = "x";
    k.clock.Advance(std::chrono::hours(24 * 40));
    const auto before = k.log.rows.size();
    k.said.clear();
    keeper.Tick();
    CHECK(k.log.rows.size() == before);
    REQUIRE_FALSE(k.said.empty());
    CHECK_THAT(k.said[0], Catch::Contains("tampered"));
  }
}

TEST_CASE("the real store cuts its audit log in one step and keeps the signed head") {
  Company c;
  const auto signer = Signer();
  Book book;
  std::vector<std::string> said;
  AuditKeeper keeper(*c.store, c.clock, *signer, book, {10, 600, 1},
                     [&said](std::string_view line) { said.emplace_back(line); });
  for (int i = 0; i < 25; ++i) {
    REQUIRE(c.store->AppendAudit({c.clock.UnixMillis(), "boss", "signin", "", "ok", "", ""}));
  }
  keeper.Tick();
  REQUIRE(book.list.size() == 1);
  c.clock.Advance(std::chrono::hours(25));
  keeper.Tick();
  CHECK(said.empty());
  REQUIRE(c.store->AuditCut().value());
  CHECK(c.store->AuditCut().value()->number == 25);
  CHECK(c.audit->List(0, 100)->size() == 1);
  c.Restart();
  auto report = VerifyAudit(*c.store, {signer->pub(), book.list});
  INFO((report ? std::string() : report.error().message));
  REQUIRE(report);
  CHECK(report->cut == 25);
  CHECK(report->first == 26);
  CHECK(report->last == 26);
  CHECK_FALSE(VerifyAudit(*c.store, {Signer(8)->pub(), {}}));
}

TEST_CASE("exports hold what was written and nothing that another program would run") {
  AuditStore::Row row{7,
                      {1'800'000'000'123, "=cmd|' /C calc'!A0", "password.set", "a\"b,c", "policy",
                       "@SUM(1)|x=y\\z", "192.0.2.1"},
                      Hash32{1},
                      Hash32{2}};
  const std::string csv = AuditAsCsv(row);
  CHECK_THAT(csv, Catch::StartsWith("\"7\",\"2027-01-15T08:00:00.123Z\",\"'=cmd|' /C calc'!A0\","));
  CHECK_THAT(csv, Catch::Contains("\"a\"\"b,c\""));
  CHECK_THAT(csv, Catch::Contains("\"'@SUM(1)|x=y\\z\""));
  CHECK_THAT(csv, Catch::EndsWith("\"\r\n"));
  for (const char* first : {"+1", "-1", "\t=1", "\r=1"}) {
    row.entry.target = first;
    CHECK_THAT(AuditAsCsv(row), Catch::Contains("\"'" + std::string(first) + "\""));
  }
  row.entry.target = "alice";

  const std::string json = AuditAsJson(row);
  CHECK_THAT(json, Catch::Contains("\"detail\":\"@SUM(1)|x=y\\\\z\""));
  CHECK_THAT(json, Catch::Contains("\"previous\":\"01"));

  const std::string cef = AuditAsCef(row, "1|0");
  CHECK_THAT(cef, Catch::StartsWith("CEF:0|Keyferry|Keyferry Server|1\\|0|password.set|"
                                    "password.set|6|rt=1800000000123 externalId=7 suser=\\=cmd|'"));
  CHECK_THAT(cef, Catch::Contains("msg=@SUM(1)|x\\=y\\\\z cs1Label=hash"));
  CHECK(cef.find('\n') == std::string::npos);

  const std::string message =
      SyslogMessage({"host", "42"}, row.entry.time, "password.set", false, "x");
  CHECK(message ==
        "<108>1 2027-01-15T08:00:00.123Z host keyferry-server 42 password.set - "
        "\xEF\xBB\xBFx");
  CHECK_THAT(SyslogMessage({}, 0, "", true, ""),
             Catch::StartsWith("<110>1 1970-01-01T00:00:00.000Z "
                               "- keyferry-server - - - "));
  CHECK(OctetCounted("a\xC3\xA9") == "3 a\xC3\xA9");
}

TEST_CASE("a restore goes back to an earlier row: signed, it is whole; unsigned, it is a cut") {
  Kept k;
  auto keeper = k.Keeper();
  k.Write(20);
  keeper.Tick();
  const auto rows = k.log.rows;
  const auto head = k.log.head;  // the backup
  k.clock.Advance(std::chrono::hours(24));
  k.Write(30);
  keeper.Tick();
  k.clock.Advance(std::chrono::hours(1));
  k.log.rows = rows;
  k.log.head = head;
  CHECK_THAT(k.Verdict(), Catch::Contains("rows were cut off its end"));
  const auto older = CheckNotOlder(k.log, k.book);
  REQUIRE_FALSE(older);
  CHECK(older.error().message.find("restore --in-place") != std::string::npos);

  const auto mark =
      k.signer->Sign(AuditCheckpoint::kRestore, head.number, head.hash, k.clock.UnixMillis());
  const std::vector<RestoreRecord> restores = {{k.clock.UnixMillis(), 0, head.number}};
  const auto tell = [&](const std::string& line) {
    REQUIRE(k.log.AppendAudit(
        {k.clock.UnixMillis(), "system", "server.restore", "", "ok", "Put back. " + line, ""}));
  };
  SECTION("marked by another node, or before the book could be written") {
    tell(CheckpointLine(*mark));
    REQUIRE(AdoptRestores(k.log, k.book, restores, k.signer->pub()));
    REQUIRE(AdoptRestores(k.log, k.book, restores, k.signer->pub()));
    CHECK(k.book.list.back() == *mark);
    CHECK(std::count(k.book.list.begin(), k.book.list.end(), *mark) == 1);
    REQUIRE(CheckNotOlder(k.log, k.book));
    const auto report = k.Verify();
    REQUIRE(report);
    CHECK(report->restores == 1);
    CHECK(report->restored_from == 20);
    // The keeper goes on from there.
    auto fresh = k.Keeper();
    k.Write(40);
    fresh.Tick();
    CHECK(k.said.empty());
    CHECK(k.Verify()->signed_until == 61);
    // A second restore, to before the first one.
    k.log.rows.assign(rows.begin(), rows.begin() + 10);
    k.log.head = {10, rows[9].hash};
    k.clock.Advance(std::chrono::hours(1));
    k.book.list.push_back(
        *k.signer->Sign(AuditCheckpoint::kRestore, 10, rows[9].hash, k.clock.UnixMillis()));
    CHECK(k.Verify()->restores == 2);
    CHECK(k.Verify()->restored_from == 10);
  }
  SECTION("cut off again after a restore: its mark does not cover that") {
    k.book.list.push_back(*mark);
    auto fresh = k.Keeper();
    k.clock.Advance(std::chrono::minutes(1));
    k.Write(40);
    fresh.Tick();
    k.log.rows = rows;
    k.log.head = head;
    CHECK_THAT(k.Verdict(), Catch::Contains("rows were cut off its end"));
  }
  SECTION("a mark that another key has signed") {
    const auto forged =
        Signer(8)->Sign(AuditCheckpoint::kRestore, head.number, head.hash, k.clock.UnixMillis());
    tell(CheckpointLine(*forged));
    REQUIRE(AdoptRestores(k.log, k.book, restores, k.signer->pub()));
    CHECK_FALSE(CheckNotOlder(k.log, k.book));
    k.book.list.push_back(*forged);
    CHECK_THAT(k.Verdict(), Catch::Contains("no good signature"));
  }
  SECTION("a mark of a row with another hash") {
    k.book.list.push_back(
        *k.signer->Sign(AuditCheckpoint::kRestore, head.number, Hash32{9}, k.clock.UnixMillis()));
    CHECK_THAT(k.Verdict(), Catch::Contains("contradicts another one"));
  }
}
