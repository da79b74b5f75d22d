#include "device/key_record.h"

#include <catch2/catch.hpp>

#include "tests/unit/device/fake_key.h"
#include "tests/unit/device/organisation.h"

using namespace keyferry;

namespace {

protocol::Bytes<protocol::kStatementSize> StatementOf(const test::FakeKey& key) {
  protocol::Statement statement;
  statement.device_id = key.info.device_id;
  statement.sig_pub = key.device_public;
  statement.noise_pub = key.noise_public;
  statement.Sign(key.device_key, key.device_key);
  return statement.Encode();
}

}  // namespace

TEST_CASE("a key's record proves its hop key and its owner") {
  const test::Organisation organisation;
  const test::FakeKey key;
  const auto statement = StatementOf(key);
  const auto record = organisation.Record(
      statement, organisation.Grant(organisation.Begin(), statement, key.account_id));
  const auto identity = device::VerifyKeyRecord(organisation.root, record);
  REQUIRE(identity);
  CHECK(identity->device_id == key.info.device_id);
  CHECK(identity->account_id == key.account_id);
  CHECK(identity->noise_pub == key.noise_public);
  CHECK(identity->sig_pub == key.device_public);

  SECTION("not under another root") {
    CHECK_FALSE(device::VerifyKeyRecord(test::Organisation().root, record));
  }
  SECTION("no byte may change that a signature covers") {
    // The grant signs the whole statement; each part is signed itself.
    for (std::size_t i = 0; i < record.size(); i += 7) {
      auto changed = record;
      changed[i] ^= 0x40;
      INFO("byte " << i);
      CHECK_FALSE(device::VerifyKeyRecord(organisation.root, changed));
    }
  }
  SECTION("not with the statement of another key") {
    const test::FakeKey other;
    const auto mixed = organisation.Record(
        StatementOf(other), organisation.Grant(organisation.Begin(), statement, key.account_id));
    CHECK_FALSE(device::VerifyKeyRecord(organisation.root, mixed));
  }
}
