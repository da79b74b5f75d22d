#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/core/ids.h"

namespace keyferry::server {

// One person of the directory, as pages need it. Strings are UTF-8, as the directory holds them
// (hostile: escape at output). Empty = the attribute is absent.
struct Person {
  AccountId id;
  std::string dn;
  std::string login;         // sAMAccountName; OpenLDAP: uid
  std::string upn;           // userPrincipalName; OpenLDAP has none
  std::string display_name;  // displayName, else cn, else login
  std::string mail;
  std::string phone;
  std::string title;
  std::string department;
  std::string employee_id;
  std::string sid;  // S-1-5-…; OpenLDAP has none
};

// Account state, computed by the directory now (userAccountControl,
// msDS-User-Account-Control-Computed; OpenLDAP: the ppolicy overlay's operational attributes).
struct AccountState {
  bool disabled = false;
  bool locked = false;
  bool password_expired = false;
  bool must_change = false;  // pwdLastSet is 0; OpenLDAP: pwdReset
  bool password_never_expires = false;
  bool account_expired = false;
  bool smartcard_required = false;
  // pwdLastSet, raw 100 ns ticks since 1601 (0 = must change); OpenLDAP: pwdChangedTime in the same
  // unit (0 = never set since the overlay was loaded).
  std::int64_t password_last_set = 0;
  std::int64_t password_expires = 0;  // Unix seconds as the directory computes it, 0 = never
  // Accounts that Keyferry never changes: privileged ones by SID (nested and primary groups, SID
  // history, adminCount), machines, trusts, its own; and those of which that cannot be told.
  bool is_protected = false;
  std::string protected_reason;          // e.g. "member of Domain Admins"
  std::string protected_advice;          // what to do instead, a sentence
  std::vector<std::string> sid_history;  // S-1-5-…
  // SIDs of the groups that the account's logon token carries, nested ones and the primary one too
  // (AD: tokenGroups; security groups only). Empty: the directory did not tell.
  std::vector<std::string> token;
};

// The password policy that holds for one account: a fine-grained one, or the domain's.
struct PasswordPolicy {
  bool known = false;  // false: a fine-grained policy applies that the service account may not read
  std::string source;  // "the domain's policy" or the fine-grained policy's name
  std::uint32_t min_length = 0;
  bool complex = false;
  std::uint32_t history = 0;  // former passwords that may not come again
  std::int64_t min_age = 0;   // seconds a password must stay, 0 = none
  bool min_age_holds_resets =
      false;                     // OpenLDAP: ours too; AD holds only people's own changes to it
  std::int64_t max_age = 0;      // seconds until it expires, 0 = never
  bool history_checked = false;  // the directory itself holds resets to the history (policy hints)
};

struct PersonDetail {
  Person person;
  AccountState state;
  PasswordPolicy policy;
};

// Which people of a listing, by the state of their accounts.
enum class PeopleState {
  kAny,
  kLocked,
  kExpired,     // the password, by age, or the account
  kMustChange,  // at the next sign-in
};
inline constexpr PeopleState kLastPeopleState = PeopleState::kMustChange;
const char* Name(PeopleState state);  // "must_change"

enum class PeopleOrder { kName, kNameDown, kLogin, kLoginDown };
inline constexpr PeopleOrder kLastPeopleOrder = PeopleOrder::kLoginDown;
const char* Name(PeopleOrder order);  // "login_down"

struct PeopleQuery {
  std::string_view text;  // as Search
  PeopleState state = PeopleState::kAny;
  PeopleOrder order = PeopleOrder::kName;
  std::size_t limit = 25;
  std::string_view cursor;  // of a page with the same state and order
};

// What the directory has of a person beside all that.
struct DirectoryAttribute {
  std::string name;
  std::vector<std::string> values;  // printable; others are left out
};

struct PersonPage {
  std::vector<Person> people;  // sorted by display name
  std::string next;            // opaque cursor of the next page; empty = last page
};

// What a sign-in attempt found. The password is right only for kAccepted and the states that say
// so.
enum class BindOutcome {
  kAccepted,
  kWrong,  // unknown user or wrong password: one answer for both
  kLocked,
  kDisabled,    // the password was right
  kExpired,     // account expired; the password was right
  kMustChange,  // must change or expired by age; the password was right
};

struct SignInFacts {
  BindOutcome outcome = BindOutcome::kWrong;
  std::optional<Person> person;  // set for kAccepted
  // The account that the name means, also after a wrong password, so that every spelling of a name
  // counts against one limit. Absent when nobody has that name. Never shown to the client.
  std::optional<AccountId> account;
  std::vector<std::string> group_dns;  // all groups, nested ones too, for kAccepted
};

// What one controller's own record says of an account's password: the evidence whether a write
// arrived, and whose it was.
struct PasswordStamp {
  enum class Writer { kUnknown, kHere, kElsewhere };  // which controller took the last write
  std::int64_t last_set = 0;                          // as AccountState::password_last_set
  // From the replication metadata of unicodePwd; `version` counts the writes of all tools on all
  // controllers, 0 = it cannot be read.
  std::uint32_t version = 0;
  Writer writer = Writer::kUnknown;
  std::int64_t written = 0;  // Unix seconds by the writer's clock, 0 = unknown
  std::int64_t now = 0;      // this controller's clock when it was asked, Unix seconds, 0 = unknown
  // OpenLDAP, which counts no writes: `last_set` is the time of the last write even when
  // must-change is set, and only `writer` == kHere says that it was ours.
  bool named_writer = false;
};

// A computer account of the domain.
struct Computer {
  AccountId id;
  std::string name;  // sAMAccountName without its $
  std::string dns_name;
  std::string dn;
  bool disabled = false;
  bool controller = false;  // a domain controller
};

// By what a person of one directory is found in another.
enum class PersonKey { kLogin, kMail, kEmployeeId };

// Where one password write goes, and what the account looked like just before it.
struct ChangeTarget {
  std::string server;  // URI of the pinned domain controller
  PasswordStamp before;
  std::uint64_t tenure = 0;  // of this server's lease, where several share a database
};

// The directory: Active Directory or OpenLDAP, over LDAPS. Every call blocks (bounded by the
// configured deadline) and may be made from any thread; callers run them on the blocking pool,
// never on the event loop. Errors: kUnavailable = nothing was changed and the directory could not
// be asked; kDeadline on a read = same; kNotFound; kPermissionDenied = the service account lacks a
// right (message names it); kPolicyRefused = password policy (message says which rule, in words);
// kOutcomeUnknown = only from SetPassword/Unlock/RequireChange when the request left and no answer
// came: ask, do not repeat.
class Directory {
 public:
  virtual ~Directory() = default;

  // People under the configured base whose display name, login, mail or employee id begins with
  // `query` (empty = all). `limit` 1…200; `cursor` from the previous page or empty.
  virtual Result<PersonPage> Search(std::string_view query, std::size_t limit,
                                    std::string_view cursor) = 0;
  // The same of people in one state, in another order. kUnsupported: this directory cannot tell
  // who is in it.
  virtual Result<PersonPage> List(const PeopleQuery& query) {
    if (query.state == PeopleState::kAny && query.order == PeopleOrder::kName) {
      return Search(query.text, query.limit, query.cursor);
    }
    return Fail(ErrorCode::kUnsupported,
                "This directory cannot list people by state or in another order.");
  }
  // The cursor of the page that begins after this person, whom Search or List found.
  virtual std::string CursorAfter(const Person&, PeopleOrder = PeopleOrder::kName) { return {}; }
  virtual Result<PersonDetail> Get(const AccountId& id) = 0;

  // The configured attributes of a person, in their order; those without a value too. kNotFound.
  virtual Result<std::vector<DirectoryAttribute>> Attributes(const AccountId&) {
    return Fail(ErrorCode::kUnsupported, "This directory shows no attributes.");
  }

  // The person whom the directory names as this one's manager; nobody where it names none, or one
  // that is not there. kNotFound.
  virtual Result<std::optional<Person>> ManagerOf(const AccountId&) {
    return Fail(ErrorCode::kUnsupported, "This directory does not tell managers.");
  }

  // The values of the configured attribute with this person's mobile number, as the directory has
  // them. kNotFound.
  virtual Result<std::vector<std::string>> MobileNumbers(const AccountId&) {
    return Fail(ErrorCode::kUnsupported, "This directory does not tell mobile numbers.");
  }

  // The people under the configured base whose login, mail or employee id is `value` (1…256 bytes;
  // case does not count); two at most, for more than one is nobody in particular.
  virtual Result<std::vector<Person>> FindBy(PersonKey, std::string_view) {
    return Fail(ErrorCode::kUnsupported, "This directory does not find people by one attribute.");
  }

  // Checks a sign-in name (sAMAccountName, UPN or DOMAIN\name) and password with one bind on a
  // connection of its own. An empty password is kWrong without a bind (RFC 4513 section 5.1.2).
  // Takes the same road for unknown names.
  virtual Result<SignInFacts> SignIn(std::string_view name, const SecureBytes& password) = 0;

  // What SignIn would find for the right password of the account with this SID (S-1-5-…), without
  // one: for who has proven elsewhere that it is theirs. kWrong: nobody has that SID.
  virtual Result<SignInFacts> Recognise(std::string_view) {
    return Fail(ErrorCode::kUnsupported, "This directory knows nobody by a ticket.");
  }

  // Protected accounts, and the actor's own under whatever name, are refused here and in every
  // write, before anything is sent: kPermissionDenied, the message names the rule and the next
  // step. `actor` is who asks; a zero identifier = the server itself. (What Pin or Consider found
  // may serve for the one SetPassword that follows within half a second.)

  // Chooses the domain controller for one change and reads the account's stamp from it.
  virtual Result<ChangeTarget> Pin(const AccountId& id, const AccountId& actor) = 0;
  // Get and Pin in one round of reads: what a change begins with. `target` holds what Pin would
  // say, and what was found stays good for a SetPassword that follows within a moment.
  struct Candidate {
    PersonDetail detail;
    Result<ChangeTarget> target;
  };
  // `meanwhile` runs on this thread, at most once, while the directory works on the answer; not at
  // all where it cannot be asked. The state lacks `locked`, `password_expired` and
  // `password_expires`.
  virtual Result<Candidate> Consider(const AccountId& id, const AccountId& actor,
                                     const std::function<void()>& meanwhile = {}) {
    if (meanwhile) meanwhile();
    auto detail = Get(id);
    if (!detail) return tl::unexpected<Error>(detail.error());
    return Candidate{*std::move(detail), Pin(id, actor)};
  }
  // Sets the password on the pinned controller. `password` is UTF-8. Optionally sets
  // must-change-at-next-logon and unlocks in the same modify (OpenLDAP: right after it; a new
  // password always unlocks there).
  struct SetOptions {
    bool must_change = false;
    bool unlock = false;
    AccountId actor{};
    // Asked on this thread as the last thing before the request leaves, for each time that it
    // would; false: it does not, and SetPassword is kUnavailable. Does not throw.
    std::function<bool()> may_send = {};
    // Runs on this thread, when the request has left and the directory is at work; not at all with
    // some directories, or when nothing leaves. What it throws is lost.
    std::function<void()> sent = {};
  };
  virtual Result<void> SetPassword(const ChangeTarget& target, const AccountId& id,
                                   const SecureBytes& password, SetOptions options) = 0;
  // Whether the service account has the rights for that, as far as the directory tells without
  // doing it: kPermissionDenied names the missing one; success also where it does not tell.
  virtual Result<void> MayWrite(const ChangeTarget&, const AccountId&, const SetOptions&) {
    return {};
  }
  // The account's stamp as the pinned controller has it now (evidence after an unknown outcome).
  virtual Result<PasswordStamp> Stamp(const ChangeTarget& target, const AccountId& id) = 0;
  // One bind as the account on the pinned controller: whether this is its password. A wrong one
  // counts towards the account's lock-out, so it is tried once a change at most.
  virtual Result<BindOutcome> TryPassword(const ChangeTarget& target, const AccountId& id,
                                          const SecureBytes& password) = 0;

  virtual Result<void> Unlock(const AccountId& id, const AccountId& actor) = 0;
  virtual Result<void> RequireChange(const AccountId& id, const AccountId& actor, bool on) = 0;

  // DNs of all groups of an account, nested ones too, for what acts in its name without its
  // password. Wherever it lies below the base, as for SignIn. kNotFound: there is no such account,
  // or it is disabled or past its end.
  virtual Result<std::vector<std::string>> GroupsOf(const AccountId&) {
    return Fail(ErrorCode::kUnsupported, "This directory does not tell groups.");
  }

  // Whether the person, as Get or Consider has just told of them, is in one of these groups (DNs),
  // nested ones too, as their logon token has it; nobody is in a group that is not there. nullopt:
  // the token does not tell, GroupsOf may (server/core/roles.h, IsIn).
  virtual Result<std::optional<bool>> TokenHolds(const PersonDetail&,
                                                 const std::vector<std::string>&) {
    return std::nullopt;
  }

  // The computer accounts with these names (sAMAccountName without its $, 1…63 bytes, any case);
  // names that nobody has are left out. kUnsupported: this directory knows no computers.
  virtual Result<std::vector<Computer>> FindComputers(std::span<const std::string>) {
    return Fail(ErrorCode::kUnsupported, "This directory knows no computer accounts.");
  }

  // Cheap reachability check for the status page: opens or reuses a service bind and reads the root
  // DSE.
  virtual Result<void> Ping() = 0;
};

}  // namespace keyferry::server
