#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/core/issuer.h"
#include "server/core/notice_store.h"

namespace keyferry::server {

// What the link "This was not me" of a notice carries: its number and a MAC over number, account
// and time, base64url without padding. It is made when the mail is sent and stored nowhere: whoever
// reads the database, its backups or the queue of mails cannot make one. 54 characters.
Result<std::string> NoticeToken(const Issuer& issuer, const NoticeRecord& notice);
// The number that a token claims; nothing when it is none at all.
std::optional<std::uint64_t> ClaimedNotice(std::string_view token);
// Whether it is this notice's. Constant time.
Result<bool> IsTokenOf(const Issuer& issuer, const NoticeRecord& notice, std::string_view token);

}  // namespace keyferry::server
