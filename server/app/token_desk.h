#pragma once

#include <memory>

#include "protocol/result.h"
#include "server/app/config.h"
#include "server/core/tokens.h"

namespace keyferry::server {

// keyferry-server token: the tokens in the database, without a running server. A token that is made
// here has the machine's own administrator for its maker, so no role of the directory ends it.
class TokenDesk {
 public:
  static Result<std::unique_ptr<TokenDesk>> Open(const ServerConfig& config);
  virtual ~TokenDesk() = default;
  virtual TokenService& tokens() = 0;
  virtual const Actor& console() const = 0;
};

}  // namespace keyferry::server
