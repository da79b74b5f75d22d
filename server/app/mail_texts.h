#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "protocol/result.h"
#include "server/core/mail_template.h"

namespace keyferry::server {

// What is mailed, in one language, and what was wrong with the organisation's own texts: then all
// of it is as shipped.
struct MailTexts {
  MailTemplates templates;
  std::optional<Error> problem;
};

// The texts of all mails: `shipped`/NAME.txt in English, NAME.TAG.txt in other languages, and in
// their place what stands under the same name in `own` (empty = none; it need not be there). What a
// language does not say is said in English. Every text is checked: its form, the values that it
// names, and those that it is of no use without; a file of `own` that is no mail's is refused as
// well. The error is of the shipped ones, or a language in which there is nothing.
Result<MailTexts> ReadMailTexts(const std::filesystem::path& shipped,
                                const std::filesystem::path& own, const std::string& tag);

}  // namespace keyferry::server
