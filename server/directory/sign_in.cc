#include "server/directory/sign_in.h"

#include <ldap.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "server/directory/answers.h"
#include "server/directory/openldap_answers.h"
#include "server/directory/text.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMaxSignInName = 256;  // bytes
constexpr std::size_t kMaxPassword = 1024;   // bytes of a sign-in password

}  // namespace

Result<SignInFacts> SignInOn(const Session& session, const LdapConfig& config,
                             const SignInSteps& steps, std::string_view name,
                             const SecureBytes& password) {
  // What cannot be a name is asked for as one that does not exist, so that it takes the same road.
  // (Samba ends a value at a NUL, so a control character could otherwise hide a tail.)
  if (name.empty() || name.size() > kMaxSignInName || HasControl(name)) name = "?";
  auto entry = steps.find(session, name);
  if (!entry) return tl::unexpected<Error>(entry.error());
  const std::string noun = ServerNoun(config.kind);
  SignInFacts facts;
  std::optional<Person> person;
  if (*entry) {
    person = steps.read(**entry);
    if (!person) {
      return Fail(ErrorCode::kProtocol,
                  "The " + noun + " gave an account without an identifier (" + steps.identifier +
                      "); let the service account read it.",
                  session.endpoint.uri);
    }
    facts.account = person->id;
  }
  if (password.empty() || password.size() > kMaxPassword) return facts;
  // An unknown name binds too, as an entry that is not there: the same steps, the same answer.
  const auto outcome = BindAs(session, config, *entry ? (*entry)->dn : steps.nobody, password);
  if (!outcome) return tl::unexpected<Error>(outcome.error());
  facts.outcome = *outcome;
  if (facts.outcome != BindOutcome::kAccepted) return facts;
  if (!*entry) {
    return Fail(ErrorCode::kProtocol, "The " + noun + " accepted an account that does not exist.",
                session.endpoint.uri);
  }
  facts.person = std::move(person);
  auto groups = steps.groups(session, **entry);
  if (!groups) return tl::unexpected<Error>(groups.error());
  facts.group_dns = std::move(*groups);
  return facts;
}

Result<BindOutcome> BindAs(const Session& session, const LdapConfig& config, const std::string& dn,
                           const SecureBytes& password) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      session.deadline - std::chrono::steady_clock::now());
  auto own = LdapConnection::Open(session.endpoint, std::min(config.connect_timeout, left));
  if (!own) return tl::unexpected<Error>(own.error());
  const bool open_ldap = config.kind == DirectoryKind::kOpenLdap;
  const LdapAnswer answer = open_ldap ? (*own)->BindWithPolicy(dn, password, session.deadline)
                                      : (*own)->Bind(dn, password, session.deadline);
  const bool about_credentials =
      answer.rc == LDAP_SUCCESS || answer.rc == LDAP_INVALID_CREDENTIALS ||
      answer.rc == LDAP_INAPPROPRIATE_AUTH || answer.rc == LDAP_NO_SUCH_OBJECT;
  if (answer.delivery != LdapAnswer::Delivery::kAnswered || !about_credentials) {
    return tl::unexpected<Error>(ExplainRead(answer, session.endpoint));
  }
  return open_ldap ? OpenLdapBindOutcome(answer) : BindOutcomeOf(answer.rc, answer.diagnostic);
}

Result<void> Probe(const Session& session) {
  LdapSearch search;  // of the root DSE
  search.scope = LdapSearch::Scope::kBase;
  search.attributes = {"namingContexts"};
  if (auto entries = Entries(session, search); !entries) {
    return tl::unexpected<Error>(entries.error());
  }
  return {};
}

}  // namespace keyferry::server
