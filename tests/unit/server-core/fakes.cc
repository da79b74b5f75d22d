#include "fakes.h"

#include <strings.h>

#include <algorithm>

#include "protocol/secure/system_random.h"

namespace keyferry::server::testing {

AccountId FakeDirectory::Add(const std::string& login) {
  const std::lock_guard lock(mutex_);
  AccountId id;
  OsRandom().Fill(id.bytes);
  Entry entry;
  entry.detail.person.id = id;
  entry.detail.person.login = login;
  entry.detail.person.display_name = "Person " + login;
  entry.detail.state.password_last_set = ++ticks_;
  entry.password = "old password of " + login;
  people_[id] = entry;
  return id;
}

void FakeDirectory::Apply(const AccountId& id, std::string password, bool must_change) {
  Entry& entry = people_.at(id);
  entry.password = std::move(password);
  entry.detail.state.password_last_set = must_change ? 0 : ++ticks_;
  ++entry.version;
  entry.writer = PasswordStamp::Writer::kHere;
  entry.written = time;
}

void FakeDirectory::OtherTool(const AccountId& id, const std::string& password, bool elsewhere) {
  const std::lock_guard lock(mutex_);
  Apply(id, password, false);
  if (elsewhere) people_.at(id).writer = PasswordStamp::Writer::kElsewhere;
}

void FakeDirectory::ApplyLate() {
  const std::lock_guard lock(mutex_);
  late_();
}

Result<PersonPage> FakeDirectory::Search(std::string_view, std::size_t, std::string_view) {
  return PersonPage{};
}

Result<std::vector<DirectoryAttribute>> FakeDirectory::Attributes(const AccountId& id) {
  if (const auto found = Get(id); !found) return tl::unexpected(found.error());
  return attributes;
}

Result<std::vector<std::string>> FakeDirectory::MobileNumbers(const AccountId& id) {
  if (down) return Fail(ErrorCode::kUnavailable, "The directory does not answer.");
  const auto found = mobiles.find(id);
  return found == mobiles.end() ? std::vector<std::string>() : found->second;
}

Result<std::optional<Person>> FakeDirectory::ManagerOf(const AccountId& id) {
  if (const auto found = Get(id); !found) return tl::unexpected(found.error());
  const auto named = managers.find(id);
  if (named == managers.end()) return std::optional<Person>();
  const auto manager = Get(named->second);
  if (!manager) return std::optional<Person>();
  return std::optional<Person>(manager->person);
}

Result<PersonDetail> FakeDirectory::Get(const AccountId& id) {
  const std::lock_guard lock(mutex_);
  if (down) return Fail(ErrorCode::kUnavailable, "The directory cannot be reached.");
  const auto found = people_.find(id);
  if (found == people_.end()) return Fail(ErrorCode::kNotFound, "There is no such employee.");
  return found->second.detail;
}

Result<std::vector<Person>> FakeDirectory::FindBy(PersonKey key, std::string_view value) {
  const std::lock_guard lock(mutex_);
  if (down) return Fail(ErrorCode::kUnavailable, "The directory cannot be reached.");
  std::vector<Person> out;
  for (const auto& [id, entry] : people_) {
    const Person& person = entry.detail.person;
    const std::string& has = key == PersonKey::kLogin  ? person.login
                             : key == PersonKey::kMail ? person.mail
                                                       : person.employee_id;
    if (has == value) out.push_back(person);
  }
  return out;
}

Result<SignInFacts> FakeDirectory::SignIn(std::string_view name, const SecureBytes& password) {
  const std::lock_guard lock(mutex_);
  ++sign_ins;
  if (down) return Fail(ErrorCode::kUnavailable, "The directory cannot be reached.");
  SignInFacts facts;
  for (const auto& [id, entry] : people_) {
    // Like the directory, it takes "name", "DOMAIN\name" and "name@domain".
    const std::string& login = entry.detail.person.login;
    const bool same = name == login || name == "CORP\\" + login || name == login + "@corp.example";
    if (!same) continue;
    facts.account = id;
    if (entry.detail.state.locked) {
      facts.outcome = BindOutcome::kLocked;
    } else if (password.view() == entry.password) {
      facts.outcome = BindOutcome::kAccepted;
      facts.person = entry.detail.person;
      facts.group_dns = entry.groups;
    }
  }
  return facts;
}

Result<SignInFacts> FakeDirectory::Recognise(std::string_view sid) {
  const std::lock_guard lock(mutex_);
  if (down) return Fail(ErrorCode::kUnavailable, "The directory cannot be reached.");
  SignInFacts facts;
  for (const auto& [id, entry] : people_) {
    if (sid.empty() || entry.detail.person.sid != sid) continue;
    facts.account = id;
    const AccountState& state = entry.detail.state;
    facts.outcome = state.disabled ? BindOutcome::kDisabled
                    : state.locked ? BindOutcome::kLocked
                                   : BindOutcome::kAccepted;
    if (facts.outcome != BindOutcome::kAccepted) continue;
    facts.person = entry.detail.person;
    facts.group_dns = entry.groups;
  }
  return facts;
}

Result<std::vector<std::string>> FakeDirectory::GroupsOf(const AccountId& id) {
  const std::lock_guard lock(mutex_);
  if (down) return Fail(ErrorCode::kUnavailable, "The directory cannot be reached.");
  const auto found = people_.find(id);
  if (found == people_.end() || found->second.detail.state.disabled ||
      found->second.detail.state.account_expired) {
    return Fail(ErrorCode::kNotFound, "There is no such account in use.");
  }
  return found->second.groups;
}

Result<ChangeTarget> FakeDirectory::Pin(const AccountId& id, const AccountId& actor) {
  const std::lock_guard lock(mutex_);
  if (id == actor) return Fail(ErrorCode::kPermissionDenied, "This account is your own.");
  if (down) return Fail(ErrorCode::kUnavailable, "The directory cannot be reached.");
  return ChangeTarget{"ldaps://dc1.corp.example", StampOf(people_.at(id))};
}

Result<void> FakeDirectory::SetPassword(const ChangeTarget&, const AccountId& id,
                                        const SecureBytes& password, SetOptions options) {
  if (before_send) before_send();
  if (options.may_send && !options.may_send()) {
    return Fail(ErrorCode::kUnavailable, "The change was withdrawn before it was sent.");
  }
  if (tells_sent && options.sent) options.sent();
  if (on_write) on_write();
  const std::lock_guard lock(mutex_);
  if (id == options.actor) return Fail(ErrorCode::kPermissionDenied, "This account is your own.");
  ++writes;
  Write write = Write::kApply;
  if (!script.empty()) {
    write = script.front();
    script.pop_front();
  }
  const std::string text(password.view());
  switch (write) {
    case Write::kApply:
      Apply(id, text, options.must_change);
      return {};
    case Write::kPolicy:
      return Fail(ErrorCode::kPolicyRefused,
                  "The directory refused it: the password is too short.");
    case Write::kRights:
      return Fail(ErrorCode::kPermissionDenied,
                  "The service account may not reset passwords in this unit.");
    case Write::kUnavailable:
      return Fail(ErrorCode::kUnavailable, "The directory cannot be reached; nothing was changed.");
    case Write::kLostThenApplied:
      Apply(id, text, options.must_change);
      return Fail(ErrorCode::kOutcomeUnknown, "No answer came.");
    case Write::kLostThenNotApplied:
      return Fail(ErrorCode::kOutcomeUnknown, "No answer came.");
    case Write::kLostAndAppliedLate:
      late_ = [this, id, text, options] { Apply(id, text, options.must_change); };
      return Fail(ErrorCode::kOutcomeUnknown, "No answer came.");
    case Write::kCrashBefore:
      throw Crash{};
    case Write::kCrashAfter:
      Apply(id, text, options.must_change);
      throw Crash{};
  }
  return {};
}

PasswordStamp FakeDirectory::StampOf(const Entry& entry) const {
  PasswordStamp stamp;
  stamp.last_set = entry.detail.state.password_last_set;
  if (!metadata) return stamp;
  stamp.version = entry.version;
  stamp.writer = entry.writer;
  stamp.written = entry.written;
  stamp.now = time;
  return stamp;
}

Result<PasswordStamp> FakeDirectory::Stamp(const ChangeTarget&, const AccountId& id) {
  const std::lock_guard lock(mutex_);
  if (down) return Fail(ErrorCode::kUnavailable, "The directory cannot be reached.");
  const auto found = people_.find(id);
  if (found == people_.end()) return Fail(ErrorCode::kNotFound, "There is no such employee.");
  return StampOf(found->second);
}

Result<BindOutcome> FakeDirectory::TryPassword(const ChangeTarget&, const AccountId& id,
                                               const SecureBytes& password) {
  const std::lock_guard lock(mutex_);
  ++tries;
  if (down || no_binds) return Fail(ErrorCode::kUnavailable, "The directory cannot be reached.");
  if (locked_out) return BindOutcome::kLocked;
  return password.view() == people_.at(id).password ? BindOutcome::kAccepted : BindOutcome::kWrong;
}

Result<std::vector<Computer>> FakeDirectory::FindComputers(std::span<const std::string> names) {
  const std::lock_guard lock(mutex_);
  if (down) return Fail(ErrorCode::kUnavailable, "The directory cannot be reached.");
  std::vector<Computer> out;
  for (const Computer& computer : computers) {
    const bool asked = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return strcasecmp(name.c_str(), computer.name.c_str()) == 0;
    });
    if (asked) out.push_back(computer);
  }
  return out;
}

}  // namespace keyferry::server::testing
