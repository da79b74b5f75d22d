// Power cuts (section 9): each scenario is one command of the key. Its flash steps are recorded
// once; then the power is cut at every step, with every torn variant of it, and again during the
// recovery from that. What each cut leaves must be the state before or the state after, whole.
//
// KEYFERRY_POWER_CUT=full tries every second cut; the everyday run takes a sample of them.

#include "firmware-sim/flash/power_cut.h"

#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>

#include "tests/unit/firmware-sim/bench.h"

namespace keyferry::sim::test {
namespace {

constexpr char kWrongPin[] = "111111";
constexpr char kOldPassword[] = "Old-Pa55word-of-the-key";
constexpr char kNewPassword[] = "New-Pa55word-of-the-key";

// A storage on an image, without the key around it.
class Mounted {
 public:
  explicit Mounted(const FlashImage& image, std::vector<FlashStep>* log = nullptr)
      : flash(image), random(99) {
    flash.Record(log);
    storage.emplace(hal, progress);
    storage->Mount();
    flash.Record(nullptr);
  }
  explicit Mounted(const MemoryFlash& other, std::vector<FlashStep>* log = nullptr)
      : flash(other), random(99) {
    flash.Record(log);
    storage.emplace(hal, progress);
    storage->Mount();
    flash.Record(nullptr);
  }

  MemoryFlash flash;
  ScriptedRandom random;
  NoProgress progress;
  static inline Bench* ports = nullptr;
  Hal hal{flash, flash, random, *ports, *ports, *ports};
  std::optional<Storage> storage;
};

protocol::Hash DigestOf(const Persistent& state) {
  static std::array<std::uint8_t, kPageSize> buffer;
  ScriptedRandom fixed(1);
  const std::size_t size = EncodeState(state, DeviceSecret{}, fixed, buffer);
  REQUIRE(size != 0);
  return protocol::Sha256Of(ByteView(buffer).first(size));
}

struct Observed {
  protocol::Hash state{};
  std::uint8_t pin_left = 0;
  std::uint8_t code_left = 0;
  auto operator<=>(const Observed&) const = default;
};

Observed Observe(const Storage& storage) {
  return {DigestOf(storage.state()), storage.PinLeft(), storage.CodeLeft()};
}

struct Scenario {
  std::string name;
  // Brings a bench, powered on and holding `owner`'s key, to the moment before the command.
  std::function<void(Bench&, Owner&)> prepare;
  // The command. Leaves the key powered.
  std::function<void(Bench&, Owner&)> command;
  // The password that may be released when the old (new) state was left; empty: none.
  std::string old_password;
  std::string new_password;
  std::string old_pin = kPin;
  std::string new_pin = kPin;
  // A cut may leave one try less than either state (the decrement before the compare).
  bool may_lose_pin_try = false;
  bool may_lose_code_try = false;
};

class Sweep {
 public:
  explicit Sweep(Scenario scenario) : scenario_(std::move(scenario)), owner_(bench_) {
    const char* mode = std::getenv("KEYFERRY_POWER_CUT");
    full_ = mode != nullptr && std::strcmp(mode, "full") == 0;
    Mounted::ports = &bench_;
  }

  void Run() {
    bench_.PowerOn();
    scenario_.prepare(bench_, owner_);
    before_ = bench_.flash().image();
    const Mounted old_state(before_);
    old_ = Observe(*old_state.storage);
    old_boot_ = old_state.storage->boot() - 1;
    bench_.flash().Record(&steps_);
    scenario_.command(bench_, owner_);
    bench_.flash().Record(nullptr);
    bench_.PowerOff();
    const Mounted new_state(bench_.flash().image());
    new_ = Observe(*new_state.storage);
    REQUIRE(bench_.flash().violations() == 0);
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      if (steps_[i].kind == FlashStep::Kind::kSend) answered_ = i;
    }
    CutEverywhere();
    for (const auto& [observed, image] : survivors_) CheckWhole(observed, image);
    CheckRollBack();
    std::printf("power cuts, %-28s %6zu steps, %8zu states tried\n", scenario_.name.c_str(),
                steps_.size(), states_);
    total_ += states_;
  }

  static std::size_t total() { return total_; }

 private:
  static std::span<const Torn> VariantsOf(const FlashStep& step) {
    switch (step.kind) {
      case FlashStep::Kind::kProgram:
        return kTornProgram;
      case FlashStep::Kind::kErase:
        return kTornErase;
      case FlashStep::Kind::kCount:
      case FlashStep::Kind::kSend:
        break;
    }
    return kTornCount;
  }

  void CutEverywhere() {
    MemoryFlash prefix(before_);
    for (std::size_t i = 0; i <= steps_.size(); ++i) {
      const bool seen = answered_ && i > *answered_;
      if (i == steps_.size()) {
        Cut(prefix, seen, i);
        break;
      }
      for (const Torn torn : VariantsOf(steps_[i])) {
        MemoryFlash flash = prefix;
        ReplayTorn(steps_[i], torn, i * 31 + static_cast<std::size_t>(torn), flash);
        Cut(flash, seen, i);
      }
      Replay(steps_[i], prefix);
    }
    REQUIRE(prefix.image() == bench_.flash().image());
  }

  // The power went and left `flash`; recovery follows, and is cut in its turn.
  void Cut(const MemoryFlash& flash, bool answer_seen, std::size_t salt) {
    std::vector<FlashStep> recovery;
    const Mounted first(flash, &recovery);
    Judge(first, answer_seen);
    MemoryFlash prefix = flash;
    for (std::size_t j = 0; j < recovery.size(); ++j) {
      for (const Torn torn : VariantsOf(recovery[j])) {
        // A sample that differs from run to run of the outer loop, not from one run of the test to
        // the next.
        if (full_ || (salt * 7 + j * 3 + static_cast<std::size_t>(torn)) % kSample == 0) {
          MemoryFlash second = prefix;
          ReplayTorn(recovery[j], torn, salt * 17 + j, second);
          const Mounted again(second);
          Judge(again, answer_seen);
        }
      }
      Replay(recovery[j], prefix);
    }
  }

  void Judge(const Mounted& mounted, bool answer_seen) {
    ++states_;
    const Storage& storage = *mounted.storage;
    if (storage.tampered()) FAIL("a power cut was taken for a roll-back");
    if (mounted.flash.violations() != 0) FAIL("the rules of the flash were broken");
    const Observed seen = Observe(storage);
    if (seen.state != old_.state && seen.state != new_.state)
      FAIL("neither the old state nor the new one");
    if (answer_seen && seen != new_) FAIL("the host has the answer, but the change is gone");
    if (storage.boot() <= old_boot_) FAIL("the boot counter fell");
    CheckTries(seen.pin_left, old_.pin_left, new_.pin_left, scenario_.may_lose_pin_try);
    CheckTries(seen.code_left, old_.code_left, new_.code_left, scenario_.may_lose_code_try);
    const auto& bytes = mounted.flash.image().bytes;
    for (const std::string_view secret : {kOldPassword, kNewPassword}) {
      if (memmem(bytes.data(), bytes.size(), secret.data(), secret.size()) != nullptr)
        FAIL("plaintext in the flash");
    }
    survivors_.emplace(seen, mounted.flash.image());
    if (seen.state == new_.state && new_.state != old_.state) CheckNoWayBack(mounted);
    if (storage.state().phase == Phase::kWiped) CheckGone(mounted);
    // Life goes on from here: the next commit and the next try are taken, and stay.
    Mounted next(mounted.flash);
    Persistent& draft = next.storage->Draft();
    ++draft.min_host_epoch;
    const protocol::Hash wanted = DigestOf([&] {
      Persistent copy = draft;
      copy.boot = next.storage->boot();
      return copy;
    }());
    if (next.storage->state().phase == Phase::kEnrolled) {
      if (next.storage->Commit() != StoreResult::kOk) FAIL("the next commit fails");
      if (next.storage->WriteTries(1, 1) != StoreResult::kOk)
        FAIL("the next try cannot be written");
      const Mounted later(next.flash.image());
      if (later.storage->tampered() || DigestOf(later.storage->state()) != wanted ||
          later.storage->PinLeft() != 1) {
        FAIL("the next commit is lost");
      }
      if (next.flash.violations() != 0)
        FAIL("the rules of the flash were broken by the next commit");
    }
  }

  // Recovery has closed the step: the record from before is refused from now on.
  void CheckNoWayBack(const Mounted& mounted) {
    FlashImage old = mounted.flash.image();
    const auto state = static_cast<std::ptrdiff_t>(kStatePageA * kPageSize);
    std::copy_n(before_.bytes.begin() + state, 2 * kPageSize, old.bytes.begin() + state);
    if (!Mounted(old).storage->tampered()) FAIL("the old record would be taken again");
  }

  // A wipe leaves neither the device secret nor a second copy of anything.
  static void CheckGone(const Mounted& mounted) {
    const auto blank = [&](std::uint32_t page) {
      const auto begin =
          mounted.flash.image().bytes.begin() + static_cast<std::ptrdiff_t>(page) * kPageSize;
      return std::all_of(begin, begin + kPageSize, [](std::uint8_t b) { return b == kFlashBlank; });
    };
    if (!blank(kSecretPage)) FAIL("the device secret outlived the wipe");
    if (!blank(kStatePageA) && !blank(kStatePageB)) FAIL("a state record outlived the wipe");
  }

  static void CheckTries(std::uint8_t seen, std::uint8_t before, std::uint8_t after,
                         bool may_lose) {
    if (seen == before || seen == after || (may_lose && seen + 1 == before)) return;
    FAIL("tries moved the wrong way: " << int(before) << " → " << int(seen) << " of "
                                       << int(after));
  }

  // The key itself on what was left, once for every outcome that differs.
  void CheckWhole(const Observed& observed, const FlashImage& image) {
    const bool is_new = observed.state == new_.state;
    INFO(scenario_.name << (is_new ? ", new state" : ", old state"));
    Bench bench(image);
    bench.PowerOn();
    const std::string& password = is_new ? scenario_.new_password : scenario_.old_password;
    const auto state = bench.key().View().state;
    if (state == protocol::KeyState::kProvisioned || state == protocol::KeyState::kWiped) {
      Owner next(bench, 70);
      next.Enrol();  // as good as new
      return;
    }
    Host login(bench, owner_.issuer, protocol::kRoleLogin, 1, 12);
    REQUIRE(login.Connect());
    if (!password.empty()) {
      CHECK(owner_.Release(login, is_new ? scenario_.new_pin : scenario_.old_pin) == password);
    }
    if (job_.empty()) return;
    Host daemon(bench, owner_.issuer, protocol::kRoleDeliver, 1, 11);
    REQUIRE(daemon.Connect());
    const Reply again = daemon.Request(Op::kPutJob, job_);
    REQUIRE(again.ok());
    if (is_new) CHECK(again.body == receipt_);
    if (!scenario_.new_password.empty())
      CHECK(owner_.Release(login, scenario_.new_pin) == scenario_.new_password);
  }

  // The flash as it was before, the counters as they are after.
  void CheckRollBack() {
    const FlashImage& after = bench_.flash().image();
    const auto pages = [](std::uint32_t from, std::uint32_t count, const FlashImage& source,
                          FlashImage* target) {
      std::copy_n(source.bytes.begin() + static_cast<std::ptrdiff_t>(from * kPageSize),
                  count * kPageSize,
                  target->bytes.begin() + static_cast<std::ptrdiff_t>(from * kPageSize));
    };
    FlashImage whole = before_;
    whole.counters = after.counters;
    FlashImage state = after;
    pages(kStatePageA, 2, before_, &state);
    FlashImage tries = after;
    pages(kTriesPageA, 2, before_, &tries);
    const bool state_moved = before_.counters[0] != after.counters[0];
    const bool tries_moved = before_.counters[1] != after.counters[1];
    REQUIRE((state_moved || tries_moved));
    CheckTampered(whole, true);
    CheckTampered(state, state_moved);
    // A wiped key has no PIN whose tries could be won back.
    const Mounted now(after);
    if (now.storage->state().phase != Phase::kWiped) CheckTampered(tries, tries_moved);
  }

  void CheckTampered(const FlashImage& image, bool moved) {
    if (!moved) return;
    const Mounted mounted(image);
    CHECK(mounted.storage->tampered());
    // It does not heal by being looked at.
    const Mounted again(mounted.flash.image());
    CHECK(again.storage->tampered());
    ++states_;
  }

 public:
  // For scenarios whose command is a job.
  void PutsJob(std::function<Blob(Owner&)> seal) {
    scenario_.command = [this, seal](Bench& bench, Owner& owner) {
      Host daemon = owner.Daemon();
      REQUIRE(daemon.Connect());
      job_ = seal(owner);
      const Reply reply = daemon.Request(Op::kPutJob, job_);
      REQUIRE(reply.ok());
      receipt_ = reply.body;
      (void)bench;
    };
  }

 private:
  static constexpr std::size_t kSample = 41;
  static inline std::size_t total_ = 0;

  Scenario scenario_;
  Bench bench_;
  Owner owner_;
  bool full_ = false;
  FlashImage before_;
  std::vector<FlashStep> steps_;
  std::optional<std::size_t> answered_;  // index of the answer's last report
  Observed old_;
  Observed new_;
  std::uint32_t old_boot_ = 0;
  Blob job_;
  Blob receipt_;
  std::size_t states_ = 0;
  std::map<Observed, FlashImage> survivors_;
};

void Put(Owner& owner, Bench& bench, const Blob& job) {
  (void)bench;
  Host daemon = owner.Daemon();
  REQUIRE(daemon.Connect());
  REQUIRE(owner.Put(daemon, job).ok());
}

void SetPin(Owner& owner) {
  Host login = owner.Login();
  REQUIRE(login.Connect());
  REQUIRE(login.Request(Op::kPinSet, owner.PinSetBody(kPin)).ok());
}

// An enrolled key with a PIN and one password.
void Ready(Bench& bench, Owner& owner) {
  owner.Enrol();
  SetPin(owner);
  Put(owner, bench, owner.SealPassword(kOldPassword));
}

void Ask(Owner& owner, Op op, const Blob& body, Status expected) {
  Host login = owner.Login();
  REQUIRE(login.Connect());
  REQUIRE(login.Request(op, body).status == expected);
}

Scenario Named(std::string name) {
  Scenario scenario;
  scenario.name = std::move(name);
  scenario.prepare = Ready;
  scenario.old_password = scenario.new_password = kOldPassword;
  return scenario;
}

TEST_CASE("power cut: enrolment", "[power]") {
  Scenario s = Named("enrolment");
  s.old_password = s.new_password = "";
  s.prepare = [](Bench&, Owner&) {};
  s.command = [](Bench&, Owner& owner) { owner.Enrol(); };
  Sweep(s).Run();
}

TEST_CASE("power cut: first job", "[power]") {
  Scenario s = Named("first job");
  s.prepare = [](Bench&, Owner& owner) {
    owner.Enrol();
    SetPin(owner);
  };
  s.old_password = "";
  s.new_password = kNewPassword;
  Sweep sweep(s);
  sweep.PutsJob([](Owner& owner) { return owner.SealPassword(kNewPassword); });
  sweep.Run();
}

TEST_CASE("power cut: n-th job", "[power]") {
  Scenario s = Named("n-th job");
  s.new_password = kNewPassword;
  Sweep sweep(s);
  sweep.PutsJob([](Owner& owner) { return owner.SealPassword(kNewPassword); });
  sweep.Run();
}

TEST_CASE("power cut: journal wrap", "[power]") {
  Scenario s = Named("journal wrap");
  s.prepare = [](Bench& bench, Owner& owner) {
    Ready(bench, owner);
    for (int i = 0; i < 15; ++i) Put(owner, bench, owner.SealPassword(kOldPassword));
  };
  s.new_password = kNewPassword;
  Sweep sweep(s);
  sweep.PutsJob([](Owner& owner) { return owner.SealPassword(kNewPassword); });
  sweep.Run();
}

TEST_CASE("power cut: held job", "[power]") {
  Sweep sweep(Named("held job"));
  sweep.PutsJob([](Owner& owner) { return owner.SealPassword(kNewPassword, protocol::kFlagHold); });
  sweep.Run();
}

TEST_CASE("power cut: committed job", "[power]") {
  Scenario s = Named("committed job");
  s.prepare = [](Bench& bench, Owner& owner) {
    Ready(bench, owner);
    Put(owner, bench, owner.SealPassword(kNewPassword, protocol::kFlagHold));
  };
  s.new_password = kNewPassword;
  Sweep sweep(s);
  sweep.PutsJob([](Owner& owner) {
    return owner.Seal(protocol::JobType::kCommit,
                      Blob(owner.header.job_id.begin(), owner.header.job_id.end()));
  });
  sweep.Run();
}

TEST_CASE("power cut: right PIN", "[power]") {
  Scenario s = Named("right PIN");
  s.prepare = [](Bench& bench, Owner& owner) {
    Ready(bench, owner);
    Ask(owner, Op::kPinVerify, Owner::PinBody(kWrongPin), Status::kPinWrong);
  };
  s.command = [](Bench&, Owner& owner) {
    Ask(owner, Op::kPinVerify, Owner::PinBody(kPin), Status::kOk);
  };
  s.may_lose_pin_try = true;
  Sweep(s).Run();
}

TEST_CASE("power cut: wrong PIN", "[power]") {
  Scenario s = Named("wrong PIN");
  s.command = [](Bench&, Owner& owner) {
    Ask(owner, Op::kPinVerify, Owner::PinBody(kWrongPin), Status::kPinWrong);
  };
  Sweep(s).Run();
}

TEST_CASE("power cut: PIN tries log turns its page", "[power]") {
  Scenario s = Named("tries page turn");
  s.prepare = [](Bench& bench, Owner& owner) {
    Ready(bench, owner);
    // 256 entries fill a page: leave room for one.
    for (int i = 0; bench.flash().image().counters[1] % 256 != 255; ++i) {
      REQUIRE(i < 300);
      bench.PowerCycle();
    }
  };
  s.command = [](Bench&, Owner& owner) {
    Ask(owner, Op::kPinVerify, Owner::PinBody(kPin), Status::kOk);
  };
  s.may_lose_pin_try = true;
  Sweep(s).Run();
}

TEST_CASE("power cut: PIN set", "[power]") {
  Scenario s = Named("PIN set");
  s.prepare = [](Bench& bench, Owner& owner) {
    owner.Enrol();
    Put(owner, bench, owner.SealPassword(kOldPassword));
  };
  s.old_password = "";
  s.command = [](Bench&, Owner& owner) {
    Ask(owner, Op::kPinSet, owner.PinSetBody(kPin), Status::kOk);
  };
  s.may_lose_code_try = true;
  Sweep(s).Run();
}

TEST_CASE("power cut: wrong activation code", "[power]") {
  Scenario s = Named("wrong activation code");
  s.prepare = [](Bench&, Owner& owner) { owner.Enrol(); };
  s.old_password = s.new_password = "";
  s.command = [](Bench&, Owner& owner) {
    owner.code = "WRONGCODE";
    Ask(owner, Op::kPinSet, owner.PinSetBody(kPin), Status::kPinWrong);
  };
  Sweep(s).Run();
}

TEST_CASE("power cut: PIN change", "[power]") {
  Scenario s = Named("PIN change");
  s.new_pin = "99999999";
  s.command = [](Bench&, Owner& owner) {
    Blob body = Owner::PinBody(kPin);
    const Blob fresh = Owner::PinBody("99999999");
    body.insert(body.end(), fresh.begin(), fresh.end());
    Ask(owner, Op::kPinChange, body, Status::kOk);
  };
  s.may_lose_pin_try = true;
  Sweep(s).Run();
}

TEST_CASE("power cut: PIN unblock", "[power]") {
  Scenario s = Named("PIN unblock");
  s.new_password = "";
  Sweep sweep(s);
  sweep.PutsJob(
      [](Owner& owner) { return owner.Seal(protocol::JobType::kPinUnblock, Blob(32, 0x5A)); });
  sweep.Run();
}

TEST_CASE("power cut: confirmed login", "[power]") {
  Scenario s = Named("confirmed login");
  s.prepare = [](Bench& bench, Owner& owner) {
    Ready(bench, owner);
    Put(owner, bench, owner.SealPassword(kNewPassword));
  };
  s.old_password = s.new_password = kNewPassword;
  s.command = [](Bench&, Owner& owner) {
    Blob body(owner.account.begin(), owner.account.end());
    body.insert(body.end(), {0, 0, 0, 0, 0, 0, 0, 2});
    Ask(owner, Op::kConfirmLogin, body, Status::kOk);
  };
  Sweep(s).Run();
}

TEST_CASE("power cut: WIPE by job", "[power]") {
  Scenario s = Named("wipe by job");
  s.new_password = "";
  Sweep sweep(s);
  sweep.PutsJob([](Owner& owner) { return owner.Seal(protocol::JobType::kWipe, Blob(1)); });
  sweep.Run();
}

TEST_CASE("power cut: WIPE_LOCAL", "[power]") {
  Scenario s = Named("wipe by the user");
  s.new_password = "";
  s.command = [](Bench&, Owner& owner) { Ask(owner, Op::kWipeLocal, {}, Status::kOk); };
  Sweep(s).Run();
}

TEST_CASE("power cut: at boot", "[power]") {
  Scenario s = Named("boot");
  s.command = [](Bench& bench, Owner&) { bench.PowerCycle(); };
  Sweep(s).Run();
}

TEST_CASE("power cut: states tried in all", "[power]") {
  std::printf("power cuts, states tried in all: %zu\n", Sweep::total());
  CHECK(Sweep::total() > 10'000);
}

}  // namespace
}  // namespace keyferry::sim::test
