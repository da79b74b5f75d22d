#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"

namespace keyferry::server {

// The text of one kind of mail, which administrators may edit: "Subject: …", an empty line, the
// body.
// {{name}} stands for a value.
struct MailTemplate {
  std::string subject, body;

  // `names`: those that may stand in it. kInvalidArgument says what is wrong with it.
  static Result<MailTemplate> Parse(std::string_view text,
                                    const std::vector<std::string_view>& names);
};

using MailValues = std::vector<std::pair<std::string_view, std::string_view>>;
// With the values in their places, in locked memory: one of them may be a secret.
SecureBytes FillBody(const MailTemplate& mail, const MailValues& values);
// Never with a secret.
std::string FillSubject(const MailTemplate& mail, const MailValues& values);

// Sentences by their names: one a line, "password_set: A new password was set."
using MailSentences = std::map<std::string, std::string, std::less<>>;

// What people are told when something was done to them (notices.h), in one language.
struct NoticeTexts {
  // One for each NoticeKind, and no others.
  static Result<MailSentences> ParseActs(std::string_view text);
  // To the person: name, login, what, when, by, address, key, reason, hours, link.
  MailTemplate person;
  // To the manager: name, person, login, what, when, by, address, key, reason.
  MailTemplate manager;
  // To administrators: name, person, login, what, when, by, address, said, from, link.
  MailTemplate objection;
  MailSentences acts;
};

struct MailTemplates {
  MailTemplate password_expires;  // name, login, days, date
  MailTemplate activation_code;   // name, login, code
  MailTemplate help_desk_code;    // name, login, agent, minutes, code
  // What to do after the help desk has served: name, login, agent, ticket.
  MailTemplate help_desk_reset, help_desk_unlock, help_desk_must_change, help_desk_read_out;
  MailTemplate people_blocked;  // people
  MailTemplate agent_limit;     // name, agent, login, resets
  // To the manager: name, person, login, agent, ticket, reason, process, minutes, link.
  MailTemplate manager_asked;
  // What `process` is there: one for each HelpDeskProcess that can be chosen, and no others.
  static Result<MailSentences> ParseProcesses(std::string_view text);
  MailSentences processes;
  // To administrators: name, person, login, manager, agent, ticket, reason.
  MailTemplate manager_denied;
  // To who may approve what somebody else asks: name, asker, person, login, reason, until, link.
  MailTemplate approval_waits;
  NoticeTexts notices;
};

}  // namespace keyferry::server
