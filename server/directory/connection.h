#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/directory/answers.h"
#include "server/directory/deadline_io.h"

struct ldap;
struct ldapcontrol;

namespace keyferry::server {

using Deadline = std::chrono::steady_clock::time_point;

// One entry of a search answer. Attribute names are lower-case; values are raw bytes.
class LdapEntry {
 public:
  std::string dn;
  std::map<std::string, std::vector<std::string>, std::less<>> attributes;

  // First value, or empty.
  std::string_view Get(std::string_view lower_case_name) const;
  const std::vector<std::string>& All(std::string_view lower_case_name) const;
};

struct LdapSearch {
  enum class Scope { kBase, kSubtree };
  std::string base;
  Scope scope = Scope::kSubtree;
  std::string filter = "(objectClass=*)";
  std::vector<std::string> attributes;
  bool with_dacl = false;    // nTSecurityDescriptor comes with its DACL, and nothing else of it
  std::size_t limit = 1000;  // more entries than this end the search with rc 4 (sizeLimitExceeded)
};

// One attribute replaced by one value, or deleted with all its values. The value is not copied: it
// outlives the Modify call.
struct LdapReplace {
  const char* attribute;
  std::string_view value;
  bool remove = false;
};

// What its caller does on this thread around the moment in which a request leaves.
struct AroundSend {
  // As the last thing before; false: nothing is sent, kNotSent with LDAP_USER_CANCELLED. Does not
  // throw.
  std::function<bool()> may;
  // While the server works on it. What it throws is lost.
  std::function<void()> sent;
};

// One LDAPS connection with verified certificate (TLS 1.2 or newer, no referrals). Not thread-safe.
// Every call takes a deadline; when it passes while an answer is awaited, the connection is reset
// (RST, so that nothing of it is delivered later) and broken() becomes true. A broken connection is
// only good for being destroyed.
class LdapConnection {
 public:
  // A handle without a connection: fails when the CA file cannot be used.
  static Result<std::unique_ptr<LdapConnection>> Create(const LdapEndpoint& endpoint);
  // Connects: name resolution, TCP and TLS, all within `budget`.
  static Result<std::unique_ptr<LdapConnection>> Open(const LdapEndpoint& endpoint,
                                                      std::chrono::milliseconds budget);
  ~LdapConnection();
  LdapConnection(const LdapConnection&) = delete;
  LdapConnection& operator=(const LdapConnection&) = delete;

  // Simple bind. `password` is never empty (an empty one would be an anonymous "success").
  LdapAnswer Bind(const std::string& name, const SecureBytes& password, Deadline deadline);
  // The same for OpenLDAP: asks for the password policy's answer (LdapAnswer::policy).
  LdapAnswer BindWithPolicy(const std::string& name, const SecureBytes& password,
                            Deadline deadline);
  // Paged by 500. `sink` gets every entry; entries of a search that ends with an error were
  // delivered up to it.
  LdapAnswer Search(const LdapSearch& search, Deadline deadline,
                    const std::function<void(LdapEntry&&)>& sink);
  // Several searches at once: all are sent before the first answer is read, so that they cost one
  // wait. For a few entries each: nothing is paged. One answer and its entries a search, in order.
  struct Found {
    LdapAnswer answer;
    std::vector<LdapEntry> entries;
  };
  std::vector<Found> SearchTogether(const std::vector<LdapSearch>& searches, Deadline deadline,
                                    const std::function<void()>& meanwhile = {});
  // `policy_hints`: OID of the control that holds a password reset to the history, or empty. It is
  // sent as critical: a server that does not know it refuses.
  LdapAnswer Modify(const std::string& dn, const std::vector<LdapReplace>& replacements,
                    Deadline deadline, const std::string& policy_hints = {},
                    const AroundSend& around = {});
  // What Modify would be answered, without doing it (the No-Op control of OpenLDAP, critical):
  // kNoOperation for "yes".
  LdapAnswer TryModify(const std::string& dn, const std::vector<LdapReplace>& replacements,
                       Deadline deadline);
  static constexpr int kNoOperation = 0x410E;
  // The Password Modify extended operation (RFC 3062), which leaves hashing to the server.
  // `password` is UTF-8. Asks for the password policy's answer.
  LdapAnswer SetPassword(const std::string& dn, const SecureBytes& password, Deadline deadline,
                         const AroundSend& around = {});

  // The certificate that the controller proved itself with, DER; empty when libldap has none.
  std::string PeerCertificate() const;

  bool broken() const { return broken_; }
  // When the server last answered anything; the start of the clock before that.
  Deadline heard() const { return heard_; }
  // Whether the peer has neither closed an idle connection nor said anything unasked.
  bool LooksAlive() const;

 private:
  explicit LdapConnection(LdapEndpoint endpoint);
  // Protocol, limits and TLS of `handle_`.
  Result<void> Configure();
  LdapAnswer SendBind(const std::string& name, const SecureBytes& password, Deadline deadline,
                      bool with_policy);
  // Sends one page's worth of a search; a libldap result code, and the message's number.
  int SendSearch(const LdapSearch& search, struct ldapcontrol* page, int* message_id);
  LdapAnswer SendModify(const std::string& dn, const std::vector<LdapReplace>& replacements,
                        Deadline deadline, struct ldapcontrol* control, const AroundSend& around);
  static LdapAnswer Withdrawn();
  // Waits for the final answer to one request, passing entries on.
  LdapAnswer Await(int message_id, Deadline deadline, std::string* cookie,
                   const std::function<void(struct ldap*, void*)>& entry);
  LdapAnswer SendFailure(int rc);
  void Reset();
  int Descriptor() const;
  std::string Diagnostic() const;

  DeadlineIo io_;
  struct ldap* handle_ = nullptr;
  LdapEndpoint endpoint_;
  bool broken_ = false;
  Deadline heard_{};
};

}  // namespace keyferry::server
