// The files of tests/data/vectors that speak about the key: negative_jobs.json, framing_hid.json.

#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "tests/unit/firmware-sim/bench.h"

namespace keyferry::sim::test {
namespace {

namespace json = boost::json;

json::value Load(const std::string& name) {
  std::ifstream file(std::string(KEYFERRY_TEST_DATA "/vectors/") + name);
  std::stringstream text;
  text << file.rdbuf();
  REQUIRE(!text.str().empty());
  return json::parse(text.str());
}

template <std::size_t N>
protocol::Bytes<N> Array(const json::value& value) {
  const Blob bytes = FromHex(std::string_view(value.as_string()));
  REQUIRE(bytes.size() == N);
  protocol::Bytes<N> out{};
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

Blob Bytes(const json::value& value) { return FromHex(std::string_view(value.as_string())); }

// Writes the state of negative_jobs.json into a flash, through the same storage that the key uses.
FlashImage Install(const json::object& state) {
  NoProgress progress;
  MemoryFlash flash;
  ScriptedRandom random(5);
  Bench ports;  // lends its ports
  Factory factory = ports.factory();
  factory.device_id = Array<16>(state.at("device_id"));
  REQUIRE(WriteFactory(flash, factory));
  Hal hal{flash, flash, random, ports, ports, ports};
  {
    // Each mount counts a boot: this one, the writer's, and at last the key's.
    TriesLog log(flash, flash, CounterId::kTries, kTriesPageA, kTriesPageB, progress);
    REQUIRE(log.Mount() == MountResult::kEmpty);
    const auto boot = state.at("boot").to_number<std::uint32_t>();
    REQUIRE(log.Append({0, boot - 2, 0, 0}) == StoreResult::kOk);
  }
  Storage storage(hal, progress);
  storage.Mount();
  REQUIRE_FALSE(storage.tampered());
  REQUIRE(storage.NewSecret() == StoreResult::kOk);
  Persistent& draft = storage.Draft();
  draft = {};
  draft.phase = Phase::kEnrolled;
  draft.account_id = Array<16>(state.at("account_id"));
  draft.root_pub = Array<65>(state.at("root_pub"));
  draft.issuer_pub = Array<65>(state.at("issuer_pub"));
  draft.issuer_epoch = state.at("issuer_epoch").to_number<std::uint32_t>();
  draft.has_revoked = true;
  draft.revoked_kid = Array<8>(state.at("revoked_issuer_kid"));
  draft.min_host_epoch = state.at("min_host_epoch").to_number<std::uint32_t>();
  const auto policy = protocol::Policy::Parse(Array<8>(state.at("policy")));
  REQUIRE(policy.has_value());
  draft.policy = *policy;
  draft.epoch = state.at("epoch").to_number<std::uint32_t>();
  draft.last_seq = state.at("last_seq").to_number<std::uint64_t>();
  draft.receipt_ctr = state.at("receipt_ctr").to_number<std::uint64_t>();
  draft.has_job = true;
  draft.job_hash = Array<32>(state.at("last_job_hash"));
  draft.journal[draft.receipt_ctr % protocol::kJournalSize] = Array<236>(state.at("last_receipt"));
  draft.era = 1;
  draft.era_pin_left = policy->pin_tries;
  draft.pin_set = state.at("pin_set").as_bool();
  draft.sig_priv = protocol::P256Private(Array<32>(state.at("sig_priv")));
  draft.sig_pub = Array<65>(state.at("sig_pub"));
  REQUIRE(protocol::X25519Generate(random, draft.noise.priv, draft.noise.pub));
  const auto& recipients = state.at("recipients").as_array();
  draft.previous_recipient.priv = protocol::X25519Private(Array<32>(recipients[0].at("priv")));
  draft.previous_recipient.pub = Array<32>(recipients[0].at("pub"));
  draft.recipient.priv = protocol::X25519Private(Array<32>(recipients[1].at("priv")));
  draft.recipient.pub = Array<32>(recipients[1].at("pub"));
  protocol::X25519Private vault;
  REQUIRE(protocol::X25519Generate(random, vault, draft.vault.pub));
  const char* names[] = {"current", "previous", "pending"};
  for (std::size_t i = 0; i < kSlots; ++i) {
    const auto& slot = state.at("slots").at(names[i]).as_object();
    draft.slots[i].filled = true;
    draft.slots[i].seq = slot.at("seq").to_number<std::uint64_t>();
    draft.slots[i].job_id = Array<16>(slot.at("job_id"));
  }
  REQUIRE(storage.Commit() == StoreResult::kOk);
  return flash.image();
}

Issuer IssuerOf(const json::value& priv) {
  Issuer issuer;
  issuer.priv = protocol::P256Private(Array<32>(priv));
  REQUIRE(protocol::P256DerivePublic(issuer.priv, issuer.pub));
  issuer.kid = protocol::KidOf(issuer.pub);
  return issuer;
}

TEST_CASE("negative_jobs.json: every job gets its status and receipt, byte for byte") {
  const json::value file = Load("negative_jobs.json");
  const json::object& state = file.at("state").as_object();
  const FlashImage image = Install(state);
  const Issuer issuer = IssuerOf(file.at("issuer_priv"));
  const std::uint32_t host_epoch = state.at("min_host_epoch").to_number<std::uint32_t>();
  std::size_t cases = 0;
  for (const json::value& one : file.at("cases").as_array()) {
    INFO(one.at("name").as_string());
    Bench bench(image);
    bench.PowerOn();
    Host daemon(bench, issuer, protocol::kRoleDeliver, host_epoch);
    REQUIRE(daemon.Connect());
    REQUIRE(daemon.status().boot == state.at("boot").to_number<std::uint32_t>());
    const FlashImage before = bench.flash().image();
    bench.random().Queue(Bytes(state.at("next_recipient_priv")));
    const Reply reply = daemon.Request(Op::kPutJob, Bytes(one.at("job")));
    REQUIRE_FALSE(reply.frame_error.has_value());
    CHECK(static_cast<int>(reply.status) == one.at("status").to_number<int>());
    CHECK(ToHex(reply.body) == std::string_view(one.at("receipt").as_string()));
    if (!one.at("positive").as_bool()) CHECK(bench.flash().image() == before);
    CHECK(bench.flash().violations() == 0);
    ++cases;
  }
  CHECK(cases > 200);
}

TEST_CASE("framing_hid.json: the exchanges, report by report") {
  const json::value file = Load("framing_hid.json");
  for (const json::value& exchange : file.at("exchanges").as_array()) {
    INFO(exchange.at("name").as_string());
    Bench bench;
    bench.PowerOn();
    for (const char* cid : {"a1b2c3d4", "0badcafe"}) {
      bench.random().Queue(FromHex(cid));
      bench.Send(protocol::kBroadcastCid, FrameCommand::kInit, Blob(8));
    }
    REQUIRE(bench.out.size() == 2);
    bench.out.clear();
    for (const json::value& report : exchange.at("in").as_array()) bench.Send(Array<64>(report));
    std::vector<std::string> got;
    for (const protocol::Report& report : bench.out) got.push_back(ToHex(report));
    std::vector<std::string> wanted;
    for (const json::value& report : exchange.at("out").as_array())
      wanted.emplace_back(report.as_string());
    CHECK(got == wanted);
  }
}

}  // namespace
}  // namespace keyferry::sim::test
