#pragma once

#include <string_view>

#include "server/api/services.h"
#include "server/http/router.h"

namespace keyferry::server {

// `handler` behind an idempotency key, which it demands in the header Idempotency-Key: the same
// request with the same key, of the same token or session within a day, gets the stored answer and
// nothing happens again; another request with it is refused (idempotency_mismatch). Refusals of
// what was never tried (400, 415, 429, 5xx) leave the key free.
//
// Answers can hold what is told only once, so they are sealed with a key made of the caller's token
// or cookie: the database has neither, and cannot open them.
Handler Once(Services& services, Handler handler);

// What an idempotency key must look like: 8…64 printable ASCII characters without spaces.
bool IsIdempotencyKey(std::string_view text);
// The refusal of anything else; empty = it is one.
std::optional<Response> RefuseIdempotencyKey(const Request& request);

}  // namespace keyferry::server
