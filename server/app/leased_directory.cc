#include "server/app/leased_directory.h"

#include <utility>

namespace keyferry::server {
namespace {

class LeasedDirectory final : public Directory {
 public:
  LeasedDirectory(std::unique_ptr<Directory> directory, std::function<std::uint64_t()> tenure)
      : directory_(std::move(directory)), tenure_(std::move(tenure)) {}

  Result<PersonPage> Search(std::string_view query, std::size_t limit,
                            std::string_view cursor) override {
    return directory_->Search(query, limit, cursor);
  }
  Result<PersonDetail> Get(const AccountId& id) override { return directory_->Get(id); }
  Result<std::vector<Person>> FindBy(PersonKey key, std::string_view value) override {
    return directory_->FindBy(key, value);
  }
  Result<SignInFacts> SignIn(std::string_view name, const SecureBytes& password) override {
    return directory_->SignIn(name, password);
  }
  Result<SignInFacts> Recognise(std::string_view sid) override {
    return directory_->Recognise(sid);
  }
  Result<ChangeTarget> Pin(const AccountId& id, const AccountId& actor) override {
    const std::uint64_t tenure = tenure_();
    if (tenure == 0) return NotHeld();
    auto target = directory_->Pin(id, actor);
    if (target) target->tenure = tenure;
    return target;
  }
  Result<Candidate> Consider(const AccountId& id, const AccountId& actor,
                             const std::function<void()>& meanwhile) override {
    const std::uint64_t tenure = tenure_();
    auto candidate = directory_->Consider(id, actor, meanwhile);
    if (!candidate || !candidate->target) return candidate;
    if (tenure == 0) {
      candidate->target = NotHeld();
    } else {
      candidate->target->tenure = tenure;
    }
    return candidate;
  }
  Result<void> SetPassword(const ChangeTarget& target, const AccountId& id,
                           const SecureBytes& password, SetOptions options) override {
    bool held = true;
    options.may_send = [&] {
      held = target.tenure != 0 && target.tenure == tenure_();
      return held;
    };
    if (!options.may_send()) return NotHeld();
    auto set = directory_->SetPassword(target, id, password, options);
    if (!held) return NotHeld();
    return set;
  }
  Result<void> MayWrite(const ChangeTarget& target, const AccountId& id,
                        const SetOptions& options) override {
    return directory_->MayWrite(target, id, options);
  }
  Result<PasswordStamp> Stamp(const ChangeTarget& target, const AccountId& id) override {
    return directory_->Stamp(target, id);
  }
  Result<BindOutcome> TryPassword(const ChangeTarget& target, const AccountId& id,
                                  const SecureBytes& password) override {
    return directory_->TryPassword(target, id, password);
  }
  Result<void> Unlock(const AccountId& id, const AccountId& actor) override {
    if (tenure_() == 0) return NotHeld();
    return directory_->Unlock(id, actor);
  }
  Result<void> RequireChange(const AccountId& id, const AccountId& actor, bool on) override {
    if (tenure_() == 0) return NotHeld();
    return directory_->RequireChange(id, actor, on);
  }
  Result<std::vector<DirectoryAttribute>> Attributes(const AccountId& id) override {
    return directory_->Attributes(id);
  }
  Result<std::optional<Person>> ManagerOf(const AccountId& id) override {
    return directory_->ManagerOf(id);
  }
  Result<std::vector<std::string>> MobileNumbers(const AccountId& id) override {
    return directory_->MobileNumbers(id);
  }
  Result<PersonPage> List(const PeopleQuery& query) override { return directory_->List(query); }
  std::string CursorAfter(const Person& person, PeopleOrder order) override {
    return directory_->CursorAfter(person, order);
  }
  Result<std::vector<std::string>> GroupsOf(const AccountId& id) override {
    return directory_->GroupsOf(id);
  }
  Result<std::optional<bool>> TokenHolds(const PersonDetail& person,
                                         const std::vector<std::string>& groups) override {
    return directory_->TokenHolds(person, groups);
  }
  Result<std::vector<Computer>> FindComputers(std::span<const std::string> names) override {
    return directory_->FindComputers(names);
  }
  Result<void> Ping() override { return directory_->Ping(); }

 private:
  static tl::unexpected<Error> NotHeld() {
    return Fail(ErrorCode::kUnavailable,
                "This server has lost touch with the database, so nothing was changed; try again "
                "in a moment.",
                "the lease has ended");
  }

  const std::unique_ptr<Directory> directory_;
  const std::function<std::uint64_t()> tenure_;
};

}  // namespace

std::unique_ptr<Directory> MakeLeasedDirectory(std::unique_ptr<Directory> directory,
                                               std::function<std::uint64_t()> tenure) {
  return std::make_unique<LeasedDirectory>(std::move(directory), std::move(tenure));
}

}  // namespace keyferry::server
