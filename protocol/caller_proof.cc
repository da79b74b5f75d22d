#include "protocol/caller_proof.h"

#include <algorithm>
#include <string>

namespace keyferry::protocol {
namespace {

bool IsLine(std::string_view text, std::size_t most) {
  return !text.empty() && text.size() <= most && std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
}

}  // namespace

bool IsCallerQuestion(const CallerQuestion& question) {
  const bool number = question.number.size() == kCallerNumberDigits &&
                      std::all_of(question.number.begin(), question.number.end(),
                                  [](char c) { return c >= '0' && c <= '9'; });
  return IsLine(question.agent, kMaxCallerAgent) && IsLine(question.ticket, kMaxCallerTicket) &&
         IsLine(question.reason, kMaxCallerReason) && (question.number.empty() || number);
}

Hash CallerContext(const Id& host_id, const Id& request_id, const CallerQuestion& question) {
  std::string text(question.agent);
  for (const std::string_view line : {question.ticket, question.reason, question.number}) {
    text += '\n';
    text += line;
  }
  return ContextHash(Purpose::kCallerProof, host_id, request_id, AsBytes(text));
}

}  // namespace keyferry::protocol
