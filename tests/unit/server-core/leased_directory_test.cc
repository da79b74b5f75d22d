// What a server without its lease may still do to the directory: nothing.

#include "server/app/leased_directory.h"

#include <catch2/catch.hpp>
#include <memory>
#include <optional>

#include "fakes.h"

namespace keyferry::server::testing {
namespace {

struct Leased {
  Leased() {
    auto owned = std::make_unique<FakeDirectory>();
    fake = owned.get();
    alice = fake->Add("alice");
    directory = MakeLeasedDirectory(std::move(owned), [this] { return tenure; });
  }
  std::optional<ErrorCode> Set(const ChangeTarget& target) {
    const auto set = directory->SetPassword(target, alice, SecureBytes::CopyOf("New-1-word"), {});
    if (set) return std::nullopt;
    return set.error().code;
  }

  std::uint64_t tenure = 1;
  FakeDirectory* fake = nullptr;
  AccountId alice;
  std::unique_ptr<Directory> directory;
};

TEST_CASE("a password is written only under the lease under which its change was pinned") {
  Leased l;
  const auto target = l.directory->Pin(l.alice, {});
  REQUIRE(target);
  SECTION("the lease has ended") { l.tenure = 0; }
  SECTION("it has ended and was had again") { l.tenure = 2; }
  CHECK(l.Set(*target) == ErrorCode::kUnavailable);
  CHECK(l.fake->writes == 0);
  l.tenure = 1;
  CHECK(l.directory->SetPassword(*target, l.alice, SecureBytes::CopyOf("New-1-word"), {}));
  CHECK(l.fake->writes == 1);
}

TEST_CASE("a lease that ends while a connection is sought lets nothing leave") {
  Leased l;
  const auto target = l.directory->Pin(l.alice, {});
  REQUIRE(target);
  SECTION("it has ended") {
    l.fake->before_send = [&] { l.tenure = 0; };
  }
  SECTION("it has ended and was had again") {
    l.fake->before_send = [&] { l.tenure = 2; };
  }
  const auto set =
      l.directory->SetPassword(*target, l.alice, SecureBytes::CopyOf("New-1-word"), {});
  REQUIRE_FALSE(set);
  CHECK(set.error().code == ErrorCode::kUnavailable);
  CHECK(set.error().detail == "the lease has ended");
  CHECK(l.fake->writes == 0);
}

TEST_CASE("without a lease no change begins, and one that was never pinned is not written") {
  Leased l;
  CHECK(l.Set(ChangeTarget{}) == ErrorCode::kUnavailable);
  l.tenure = 0;
  CHECK_FALSE(l.directory->Pin(l.alice, {}));
  CHECK_FALSE(l.directory->Unlock(l.alice, {}));
  CHECK_FALSE(l.directory->RequireChange(l.alice, {}, true));
  CHECK(l.fake->writes == 0);
}

TEST_CASE("what a linked source is asked beforehand needs no lease, and reaches the directory") {
  Leased l;
  const auto target = l.directory->Pin(l.alice, {});
  REQUIRE(target);
  l.tenure = 0;
  const auto found = l.directory->FindBy(PersonKey::kLogin, "alice");
  REQUIRE(found);
  REQUIRE(found->size() == 1);
  CHECK(found->front().id == l.alice);
  CHECK(l.directory->MayWrite(*target, l.alice, {}));
  l.fake->no_rights = true;
  CHECK_FALSE(l.directory->MayWrite(*target, l.alice, {}));
}

}  // namespace
}  // namespace keyferry::server::testing
