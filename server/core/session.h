#pragma once

#include <cstdint>
#include <string>
#include <string_view>

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

// A server-side session. `token` is given to the browser once, as a cookie; the database holds its
// SHA-256.
struct Session {
  Actor actor;
  std::string csrf;             // expected in every state-changing request of this session
  std::int64_t created = 0;     // Unix seconds
  std::int64_t expires = 0;     // absolute end, Unix seconds
  std::int64_t idle_until = 0;  // moves with use
};

struct SignedIn {
  std::string token;  // 256 bits, base64url; goes into the cookie and nowhere else
  Session session;
};

// Sign-in with AD credentials, and sessions. Thread-safe; blocks (directory, database).
class SessionService {
 public:
  virtual ~SessionService() = default;
  // kUnauthenticated: wrong name or password: one answer and one duration for both (and for locked,
  // disabled …). kPermissionDenied: right password, but the person is in none of the configured
  // groups. kUnavailable: the directory cannot be asked. kRateLimited: too many failures for this
  // name or address.
  virtual Result<SignedIn> SignIn(std::string_view name, const SecureBytes& password,
                                  std::string_view address) = 0;
  // The session of a cookie; kUnauthenticated when unknown, ended or idle too long. Renews the idle
  // time.
  virtual Result<Session> Find(std::string_view token, std::string_view address) = 0;
  virtual void SignOut(std::string_view token) = 0;
};

}  // namespace keyferry::server
