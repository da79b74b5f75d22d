#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/core/ids.h"
#include "server/core/rights.h"

namespace keyferry::server {

// Who is acting: a signed-in person, as every service call gets it.
struct Actor {
  AccountId id;
  std::string login;
  std::string display_name;
  Roles roles;
  std::string address;  // client IP address, for the audit row
};

// What a session still owes before it may be used.
enum class SessionStage {
  kComplete,
  kCodeOwed,   // the password was right; the code of the second factor is asked
  kSetUpOwed,  // … and a second factor has to be set up first
};

// A server-side session. `token` is given to the browser once, as a cookie; the database holds its
// SHA-256.
struct Session {
  SessionId id;  // stays when the cookie is renewed
  Actor actor;
  SessionStage stage = SessionStage::kComplete;
  std::string csrf;             // expected in every state-changing request of this session
  std::int64_t created = 0;     // Unix seconds
  std::int64_t expires = 0;     // absolute end, Unix seconds
  std::int64_t idle_until = 0;  // moves with use
  std::int64_t proven = 0;      // last proof of the second factor, Unix seconds, 0 = none
  std::int64_t checked = 0;     // when the directory last said that its person may, Unix seconds
  std::int64_t asked = 0;       // … and when it was last asked
  std::string address;          // from where it was begun
  std::string browser;          // … and with what, as that says of itself
};

struct SignedIn {
  std::string token;  // 256 bits, base64url; goes into the cookie and nowhere else
  Session session;
};

struct SignedInByTicket {
  SignedIn signed_in;
  std::vector<std::uint8_t> answer;  // TicketHolder::answer
};

// Sign-in with AD credentials, and sessions. Thread-safe; blocks (directory, database).
class SessionService {
 public:
  virtual ~SessionService() = default;
  // kUnauthenticated: wrong name or password: one answer and one duration for both (and for locked,
  // disabled …). kPermissionDenied: right password, but the person is in none of the configured
  // groups, and employees may not sign in (SessionConfig::employees). kUnavailable: the directory
  // cannot be asked. kRateLimited: too many failures for this name or address.
  //
  // Where a second factor is due the session is not complete: SecondFactor (second_factor.h) makes
  // it so, within ten minutes. `browser`: the User-Agent header, for the list of sessions.
  virtual Result<SignedIn> SignIn(std::string_view name, const SecureBytes& password,
                                  std::string_view address, std::string_view browser = {}) = 0;
  // The complete session of a cookie; kUnauthenticated when unknown, ended, idle too long or not
  // complete. Renews the idle time.
  //
  // At most once a minute it asks the directory whether the person still has the session's role; if
  // not (disabled, past its end, out of the groups) the session is over. While the directory is
  // away the session stays for SessionConfig::grace_seconds, then kUnavailable until it is back.
  virtual Result<Session> Find(std::string_view token, std::string_view address) = 0;
  // The session that still owes its second factor; kUnauthenticated for any other.
  virtual Result<Session> FindIncomplete(std::string_view token, std::string_view address) = 0;
  // Asks the directory whether the session's person has just typed their password, for what has to
  // be asked for once more. A wrong one counts as at SignIn, and is refused in the same words and
  // after the same time. kUnauthenticated, kRateLimited, kUnavailable.
  virtual Result<void> ProvePassword(const Session& session, const SecureBytes& password) = 0;
  virtual void SignOut(std::string_view token) = 0;

  // Whether people may sign in by a Kerberos ticket (tickets.h).
  virtual bool TakesTickets() const { return false; }
  // As SignIn, with a ticket instead of name and password: the directory is asked for the account
  // as it is now, and everything that follows a right password follows here. Refused ones count
  // against the address. kUnauthenticated: the message says what is wrong with the ticket.
  virtual Result<SignedInByTicket> SignInByTicket(std::span<const std::uint8_t>, std::string_view,
                                                  std::string_view) {
    return Fail(ErrorCode::kUnsupported, "Nobody signs in by a ticket here.");
  }

  // All complete sessions that have not ended, oldest first.
  virtual Result<std::vector<Session>> List() = 0;
  // … of one person.
  virtual Result<std::vector<Session>> Of(const AccountId& account) = 0;
  // Ends one session: one's own, or as an administrator anybody's. kNotFound, kPermissionDenied.
  virtual Result<void> End(const Actor& actor, const SessionId& id) = 0;
  // Ends all sessions of one person, as an administrator; their number. kNotFound,
  // kPermissionDenied.
  virtual Result<std::size_t> EndAll(const Actor& actor, const AccountId& account) = 0;
  // Ends all of the actor's sessions but `kept`; their number.
  virtual Result<std::size_t> EndOthers(const Actor& actor, const SessionId& kept) = 0;
};

}  // namespace keyferry::server
