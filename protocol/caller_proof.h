#pragma once

#include <string_view>

#include "protocol/certs.h"

namespace keyferry::protocol {

// What a person is shown, and types, before they prove with their key that they are the help desk's
// caller: PROTOCOL.md section 4, context of purpose 1. The agent reads `number` out on the
// telephone and the person types it, so that nobody but who speaks with the agent can say yes.
struct CallerQuestion {
  std::string_view agent;   // who asks: 1…128 bytes of UTF-8
  std::string_view ticket;  // 1…40 bytes
  std::string_view reason;  // 1…300 bytes
  std::string_view number;  // three digits
};

inline constexpr std::size_t kMaxCallerAgent = 128;
inline constexpr std::size_t kMaxCallerTicket = 40;
inline constexpr std::size_t kMaxCallerReason = 300;
inline constexpr std::size_t kCallerNumberDigits = 3;

// Whether all has its size, no control character is in it, and `number` is one; `number` may be
// empty where the person has not typed it yet.
bool IsCallerQuestion(const CallerQuestion& question);

// The context hash that the key signs: purpose 1, the workstation, the help desk's request, and
//   agent 0A ticket 0A reason 0A number
// Nothing of it may hold a line feed (IsCallerQuestion), so no two questions have one text.
Hash CallerContext(const Id& host_id, const Id& request_id, const CallerQuestion& question);

}  // namespace keyferry::protocol
