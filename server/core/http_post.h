#pragma once

#include <string>
#include <utility>
#include <vector>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"

namespace keyferry::server {

// One request to an address of the configuration. The body may hold a secret; the address is
// treated as one, because it may hold a token of the receiver.
struct HttpPost {
  std::string url;
  std::string content_type;
  std::vector<std::pair<std::string, std::string>> headers;  // no control characters
  SecureBytes body;
};

// Sends to systems of the organisation. Thread-safe; blocks, bounded.
class HttpPoster {
 public:
  virtual ~HttpPoster() = default;
  // The status of the answer, whatever it is; its body is not kept, and no redirection is followed.
  // Errors: kUnavailable, no answer came; whether the request arrived is not known. No message or
  // detail has the address.
  virtual Result<int> Post(const HttpPost& post) = 0;
};

}  // namespace keyferry::server
