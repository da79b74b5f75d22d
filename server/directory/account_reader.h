#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/directory.h"
#include "server/core/dn.h"
#include "server/directory/ldap_config.h"
#include "server/directory/protection.h"
#include "server/directory/server_group.h"

namespace keyferry::server {

// What one controller says of itself; the same until it is set up anew.
struct ControllerFacts {
  std::string policy_hints;                   // OID of the control it takes, empty = none
  std::array<std::uint8_t, 16> invocation{};  // zero = not readable
  bool pdc = false;                           // holds the PDC emulator's role
};

// One round of reads of an account that is about to be changed.
struct AccountLook {
  PersonDetail detail;
  PasswordStamp stamp;
};

// Accounts as Active Directory tells of them, and whether they may be changed. Thread-safe. The
// configuration outlives it.
class AccountReader {
 public:
  explicit AccountReader(const LdapConfig& config)
      : config_(config), people_(PartsOfDn(config.people_dn)) {}

  // The account by its identifier, if it lies below people_dn.
  Result<LdapEntry> FindInScope(const Session& session, const AccountId& id,
                                std::vector<std::string> attributes) const;
  Result<PersonDetail> Detail(const Session& session, const AccountId& id);
  // The same with its stamp, and in `refused` why `actor` (zero = this server) may not change it:
  // kPermissionDenied with rule and next step for a protected one, for the actor's own, and
  // whenever that cannot be told. Everything is asked at once.
  // `meanwhile` runs while the server works on them. The detail's state lacks what no change asks
  // for: `locked`, `password_expired` and `password_expires`.
  Result<AccountLook> Look(const Session& session, const AccountId& id, const AccountId& actor,
                           std::optional<Error>* refused,
                           const std::function<void()>& meanwhile = {});
  // Nothing, or why that is.
  Result<void> Changeable(const Session& session, const AccountId& id, const AccountId& actor);
  // The account's stamp on this controller.
  Result<PasswordStamp> Stamp(const Session& session, const AccountId& id);
  Result<ControllerFacts> Facts(const Session& session);
  // The right, in quotes, that the service account lacks for a new password with these options;
  // empty when it has all, or when that cannot be told.
  Result<std::string> MissingRight(const Session& session, const AccountId& id,
                                   const Directory::SetOptions& options);
  // Groups of `user`, nested ones and the primary one with its parents too.
  Result<std::vector<LdapEntry>> Groups(const Session& session, const LdapEntry& user,
                                        const std::vector<std::string>& attributes) const;

 private:
  Result<std::shared_ptr<const ProtectionContext>> Context(const Session& session);
  Result<ProtectionContext> ReadContext(const Session& session) const;
  // SIDs of the groups that hold one of `sids` as a foreign security principal, nested.
  Result<std::vector<std::string>> ForeignGroups(const Session& session,
                                                 const std::vector<std::string>& sids) const;
  LdapSearch InScope(const AccountId& id, std::vector<std::string> attributes) const;
  // kNotFound unless the account lies below people_dn. Where its name does not show that, the
  // server is asked: it knows more ways to write a name (core/dn.h).
  Result<void> CheckScope(const Session& session, const AccountId& id,
                          const LdapEntry& entry) const;
  // `entries`: the answer to a search of the account itself.
  Result<PersonDetail> ReadDetail(const Session& session, const AccountId& id,
                                  const Result<std::vector<LdapEntry>>& entries);
  Result<PasswordStamp> ReadStampOf(const Session& session, const LdapEntry& account,
                                    const Result<std::vector<LdapEntry>>& clock);
  // The SIDs that the actor has or had, where they were read within LdapConfig::context_life.
  std::optional<std::vector<std::string>> KeptSids(const AccountId& actor);
  bool HasServiceName(const Person& person) const;
  Result<PasswordPolicy> Policy(const Session& session, const LdapEntry& account);
  Result<PasswordPolicy> ReadPolicy(const Session& session, const std::string& dn) const;

  const LdapConfig& config_;
  const std::vector<std::string> people_;
  std::mutex mutex_;
  std::shared_ptr<const ProtectionContext> context_;
  Deadline context_until_{};
  template <typename Value>
  struct Kept {
    Value value;
    Deadline until;
  };
  std::map<std::string, Kept<PasswordPolicy>> policies_;  // by DN, empty = the domain's
  std::map<std::string, Kept<ControllerFacts>> facts_;    // by URI
  std::map<AccountId, Kept<std::vector<std::string>>> actors_;
};

}  // namespace keyferry::server
