#include "client-daemon/core/spool.h"

#include <catch2/catch.hpp>
#include <fstream>

#include "protocol/receipt.h"
#include "tests/unit/client-daemon/temp_dir.h"
#include "tests/unit/device/organisation.h"

using namespace keyferry;
using namespace keyferry::daemon;

namespace {

struct SpoolRig {
  test::TempDir dir;
  std::vector<std::string> warnings;
  std::unique_ptr<Spool> spool = Open();
  test::Organisation organisation;
  protocol::X25519Public recipient{9};

  std::unique_ptr<Spool> Open() {
    auto opened =
        Spool::Open(dir / "spool", [this](const std::string& w) { warnings.push_back(w); });
    REQUIRE(opened);
    return *std::move(opened);
  }
  SpooledJob Job(std::uint8_t id, std::uint64_t seq, const Id& device = {1}) {
    return {{id}, device, seq, organisation.Job(device, {2}, recipient, 1, seq, 0, {id})};
  }
  Bytes Receipt(std::uint64_t ctr) {
    protocol::Receipt receipt;
    receipt.receipt_ctr = ctr;
    const auto bytes = receipt.Encode();
    return {bytes.begin(), bytes.end()};
  }
};

}  // namespace

TEST_CASE("jobs come back by seq, also after a restart") {
  SpoolRig rig;
  REQUIRE(rig.spool->PutJob(rig.Job(3, 30)));
  REQUIRE(rig.spool->PutJob(rig.Job(1, 20)));
  REQUIRE(rig.spool->PutJob(rig.Job(2, 10, {7})));
  rig.spool = rig.Open();
  const auto jobs = rig.spool->JobsOf({1});
  REQUIRE(jobs.size() == 2);
  CHECK(jobs[0].seq == 20);
  CHECK(jobs[1].seq == 30);
  CHECK(rig.spool->JobsOf({7}).size() == 1);
  CHECK(rig.spool->Counts().jobs == 3);
  CHECK(rig.warnings.empty());
}

TEST_CASE("a job must be what it is said to be, and stay so") {
  SpoolRig rig;
  auto job = rig.Job(1, 5);
  SECTION("another seq") { job.seq = 6; }
  SECTION("another key") { job.device = {8}; }
  SECTION("another id") { job.job = {8}; }
  SECTION("no job at all") { job.sealed = Bytes(10); }
  CHECK(rig.spool->PutJob(job).error().code == ErrorCode::kInvalidArgument);
  CHECK(rig.spool->Counts().jobs == 0);
}

TEST_CASE("the same job twice is one; another under its id is refused") {
  SpoolRig rig;
  const auto job = rig.Job(1, 5);
  REQUIRE(rig.spool->PutJob(job));
  CHECK(rig.spool->PutJob(job));
  CHECK_FALSE(rig.spool->PutJob(rig.Job(1, 5)));  // sealed anew: other bytes
  CHECK(rig.spool->Counts().jobs == 1);
}

TEST_CASE("a finished job leaves its receipt until the server has it") {
  SpoolRig rig;
  const auto job = rig.Job(1, 5);
  REQUIRE(rig.spool->PutJob(job));
  REQUIRE(rig.spool->FinishJob(job.job, job.device, rig.Receipt(2)));
  REQUIRE(rig.spool->FinishJob(job.job, job.device, rig.Receipt(1)));
  REQUIRE(rig.spool->PutEnrolmentReceipt({5}, {1}, rig.Receipt(3)));
  rig.spool = rig.Open();
  CHECK(rig.spool->Counts().jobs == 0);
  const auto receipts = rig.spool->Receipts();
  REQUIRE(receipts.size() == 3);
  CHECK(receipts[0].receipt == rig.Receipt(1));
  CHECK(receipts[1].receipt == rig.Receipt(2));
  CHECK(receipts[2].enrolment == Id{5});
  CHECK(rig.spool->HasReceiptFor({}));
  CHECK_FALSE(rig.spool->HasReceiptFor({1}));
  REQUIRE(rig.spool->RemoveReceipt(receipts[0].name));
  CHECK(rig.spool->RemoveReceipt(receipts[0].name));
  CHECK(rig.Open()->Receipts().size() == 2);
}

TEST_CASE("of logins the highest is kept until it was told") {
  SpoolRig rig;
  REQUIRE(rig.spool->PutUsed({1}, 5));
  REQUIRE(rig.spool->PutUsed({1}, 4));
  CHECK(rig.spool->Used().at({1}) == 5);
  REQUIRE(rig.spool->PutUsed({1}, 6));
  REQUIRE(rig.spool->RemoveUsed({1}, 5));  // the answer to an older post
  CHECK(rig.Open()->Used().at({1}) == 6);
  REQUIRE(rig.spool->RemoveUsed({1}, 6));
  CHECK(rig.Open()->Used().empty());
}

TEST_CASE("damaged and foreign files are set aside, the rest goes on") {
  SpoolRig rig;
  REQUIRE(rig.spool->PutJob(rig.Job(1, 5)));
  REQUIRE(rig.spool->PutJob(rig.Job(2, 6)));
  std::ofstream(rig.dir / ("spool/jobs/" + Hex(Id{1}) + ".job"), std::ios::app) << "x";
  std::ofstream(rig.dir / "spool/jobs/stranger") << "hello";
  std::ofstream(rig.dir / "spool/receipts/stranger") << "";
  rig.spool = rig.Open();
  CHECK(rig.spool->Counts().jobs == 1);
  CHECK(rig.spool->Counts().set_aside == 3);
  CHECK(rig.warnings.size() == 3);
  CHECK(std::filesystem::exists(rig.dir / "spool/bad/stranger"));
}

TEST_CASE("the remains of an interrupted write are not seen") {
  SpoolRig rig;
  std::ofstream(rig.dir / ("spool/jobs/." + Hex(Id{1}) + ".job.tmp")) << "half";
  rig.spool = rig.Open();
  CHECK(rig.spool->Counts().jobs == 0);
  CHECK(rig.warnings.empty());
  CHECK(rig.spool->PutJob(rig.Job(1, 5)));
}

TEST_CASE("the spool is bounded") {
  SpoolRig rig;
  for (std::size_t i = 0; i < Spool::kMaxJobs; ++i) {
    const Id id{static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(i >> 8), 1};
    REQUIRE(rig.spool->PutJob(
        {id, {1}, i + 1, rig.organisation.Job({1}, {2}, rig.recipient, 1, i + 1, 0, id)}));
  }
  CHECK(rig.spool->PutJob(rig.Job(1, 5000)).error().code == ErrorCode::kUnavailable);
}
