#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "server/core/help_desk_records.h"
#include "server/core/issuer.h"
#include "server/core/services.h"

// The word of a caller's manager. They are mailed a link, to the directory's address; the agent
// reads a number out to the caller, who tells it to the manager, who types it on the link's page.
// So whoever has the mail alone cannot answer, and a manager cannot without having spoken with
// somebody whom the agent serves.
namespace keyferry::server {

// Of the number: some 20 bits, and one try a link (NIST SP 800-63B, section 3.1.3.2).
inline constexpr std::size_t kManagerDigits = 6;

// Who is asked about a caller.
struct ManagerToAsk {
  Person person;
  std::string problem;  // why nobody can be, a sentence; else empty
};
// The directory's manager of the request's account now. Not one who is the caller or the agent, by
// whatever account (same_person.h), whose own manager, or theirs and so on, is the caller, whose
// account is out of use or stopped by an objection, or who has no mail address.
Result<ManagerToAsk> ManagerToAskOf(const CorePorts& ports, const HelpDeskRequest& request);

// A question for the manager: what the link is made of, and the number.
Result<HelpDeskAttempt> MakeManagerQuestion(const CorePorts& ports, const HelpDeskRequest& request,
                                            const AccountId& manager, const std::string& asked_by);

// What the link carries: the request, and a MAC over it, the question and the manager. It is made
// when the mail is sent and stored nowhere: who reads the database, its backups or the queue of
// mails cannot make one. 64 characters, base64url.
Result<std::string> ManagerToken(const Issuer& issuer, const HelpDeskRequest& request,
                                 const HelpDeskAttempt& asked);
// The request that a token claims; nothing when it is none at all.
std::optional<HelpDeskId> ClaimedByManager(std::string_view token);

}  // namespace keyferry::server
