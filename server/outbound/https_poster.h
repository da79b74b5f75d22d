#pragma once

#include <memory>
#include <string>

#include "server/core/http_post.h"

namespace keyferry::server {

struct HttpsPosterConfig {
  std::string ca_file;        // empty = the system's
  long timeout_seconds = 10;  // of a whole exchange
};

// Over HTTPS (libcurl): the certificate is verified, no redirection is followed, no proxy and no
// .netrc of the environment is used, an answer of more than 64 KiB is cut off and counts as none. A
// connection a request. http:// is spoken too; who makes addresses sees to where.
std::unique_ptr<HttpPoster> MakeHttpsPoster(HttpsPosterConfig config);

}  // namespace keyferry::server
