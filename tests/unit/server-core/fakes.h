#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "server/core/ca.h"
#include "server/core/clock.h"
#include "server/core/directory.h"
#include "server/core/encoding.h"
#include "server/core/group_reader.h"
#include "server/core/waiter.h"

namespace keyferry::server::testing {

class FakeClock final : public Clock {
 public:
  std::int64_t UnixMillis() const override { return millis_; }
  std::chrono::steady_clock::time_point Now() const override {
    return std::chrono::steady_clock::time_point(std::chrono::milliseconds(steady_));
  }
  void Advance(std::chrono::milliseconds by) {
    millis_ += by.count();
    steady_ += by.count();
  }
  // The wall clock jumps; measured time does not.
  void Jump(std::chrono::milliseconds by) { millis_ += by.count(); }

 private:
  std::atomic<std::int64_t> millis_{1'800'000'000'000};
  std::atomic<std::int64_t> steady_{5'000'000};
};

class FakeWaiter final : public Waiter {
 public:
  void Until(std::chrono::steady_clock::time_point moment) override {
    const std::lock_guard lock(mutex_);
    waits_.push_back(moment);
  }
  std::vector<std::chrono::steady_clock::time_point> waits() {
    const std::lock_guard lock(mutex_);
    return waits_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::chrono::steady_clock::time_point> waits_;
};

// Thrown out of SetPassword in place of a SIGKILL: nothing of the service runs after it.
struct Crash {};

// What one write to the directory does.
enum class Write {
  kApply,
  kPolicy,
  kRights,
  kUnavailable,
  kLostThenApplied,     // no answer; it was applied
  kLostThenNotApplied,  // no answer; it was not
  kLostAndAppliedLate,  // no answer; it is applied when the test says so
  kCrashBefore,         // the server dies before the request left
  kCrashAfter,          // the server dies after the directory applied it
};

// Nobody is in any group.
struct NoGroups final : GroupReader {
  Result<GroupMembers> Members(std::string_view, std::size_t) override { return GroupMembers(); }
};

// A directory with people in memory.
class FakeDirectory final : public Directory {
 public:
  struct Entry {
    PersonDetail detail;
    std::string password;
    std::vector<std::string> groups;
    std::uint32_t version = 1;
    PasswordStamp::Writer writer = PasswordStamp::Writer::kHere;
    std::int64_t written = 0;
  };
  bool metadata = true;               // whether replication metadata can be read
  bool locked_out = false;            // binds answer "locked"
  std::int64_t time = 1'800'000'000;  // the controller's clock
  int tries = 0;
  bool no_binds = false;   // binds get no answer
  bool no_rights = false;  // says beforehand that it would refuse
  Result<void> MayWrite(const ChangeTarget&, const AccountId&, const SetOptions&) override {
    if (!no_rights) return {};
    return Fail(ErrorCode::kPermissionDenied, "The service account may not reset passwords.");
  }

  AccountId Add(const std::string& login);
  Entry& At(const AccountId& id) { return people_.at(id); }
  // Taken one a write; kApply when empty.
  std::deque<Write> script;
  std::atomic<int> writes{0};
  bool down = false;                  // every read fails
  bool tells_sent = true;             // SetOptions::sent is called
  std::function<void()> before_send;  // inside SetPassword, before it asks whether it may
  std::function<void()> on_write;     // inside SetPassword, before it answers
  // Applies what kLostAndAppliedLate held back.
  void ApplyLate();

  Result<PersonPage> Search(std::string_view, std::size_t, std::string_view) override;
  Result<std::vector<DirectoryAttribute>> Attributes(const AccountId& id) override;
  std::vector<DirectoryAttribute> attributes;  // of everybody
  Result<PersonDetail> Get(const AccountId& id) override;
  Result<std::optional<Person>> ManagerOf(const AccountId& id) override;
  std::map<AccountId, AccountId> managers;  // by their people
  Result<std::vector<std::string>> MobileNumbers(const AccountId& id) override;
  std::map<AccountId, std::vector<std::string>> mobiles;
  Result<std::vector<Person>> FindBy(PersonKey key, std::string_view value) override;
  Result<SignInFacts> SignIn(std::string_view name, const SecureBytes& password) override;
  Result<SignInFacts> Recognise(std::string_view sid) override;
  Result<std::vector<std::string>> GroupsOf(const AccountId& id) override;
  Result<ChangeTarget> Pin(const AccountId& id, const AccountId& actor) override;
  Result<void> SetPassword(const ChangeTarget& target, const AccountId& id,
                           const SecureBytes& password, SetOptions options) override;
  Result<PasswordStamp> Stamp(const ChangeTarget& target, const AccountId& id) override;
  Result<BindOutcome> TryPassword(const ChangeTarget& target, const AccountId& id,
                                  const SecureBytes& password) override;
  // Somebody sets this password with another tool.
  void OtherTool(const AccountId& id, const std::string& password, bool elsewhere = false);
  Result<void> Unlock(const AccountId& id, const AccountId&) override {
    ++unlocks;
    if (on_step) on_step();
    if (step_error) return tl::unexpected(*step_error);
    const std::lock_guard lock(mutex_);
    people_.at(id).detail.state.locked = false;
    return {};
  }
  Result<void> RequireChange(const AccountId&, const AccountId&, bool) override {
    ++requires_change;
    if (on_step) on_step();
    if (step_error) return tl::unexpected(*step_error);
    return {};
  }
  std::function<void()> on_step;  // inside Unlock and RequireChange, before they answer
  std::optional<Error> step_error;
  std::atomic<int> unlocks{0}, requires_change{0};
  Result<void> Ping() override { return {}; }
  Result<std::vector<Computer>> FindComputers(std::span<const std::string> names) override;
  std::vector<Computer> computers;

  int sign_ins = 0;

 private:
  void Apply(const AccountId& id, std::string password, bool must_change);
  PasswordStamp StampOf(const Entry& entry) const;

  std::mutex mutex_;
  std::map<AccountId, Entry> people_;
  std::int64_t ticks_ = 134'000'000'000'000'000;
  std::function<void()> late_;
};

// Certificates by name only; the real authority has its own tests.
class FakeAuthority final : public CertificateAuthority {
 public:
  Result<RequestFacts> Inspect(std::string_view pem) override {
    if (pem != "good request" && pem.substr(0, 8) != "request ") {
      return Fail(ErrorCode::kInvalidArgument, "The certificate request is not PKCS#10 in PEM.");
    }
    return RequestFacts{Sha256(pem)};
  }
  Result<IssuedCertificate> SignWorkstation(std::string_view, const WorkstationId& id, std::int64_t,
                                            std::int64_t) override {
    return IssuedCertificate{"certificate of " + id.Hex() + serial, Sha256(id.Hex() + serial)};
  }
  std::string serial;
};

}  // namespace keyferry::server::testing
