#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/core/ids.h"
#include "server/core/question_store.h"
#include "server/core/session.h"

namespace keyferry::server {

struct CorePorts;

struct SecurityQuestion {
  std::string id;  // 1…40 of a-z 0-9 _ -; answers are stored with it
  std::vector<std::pair<std::string, std::string>> texts;  // by tag of language, English first
};

inline constexpr std::size_t kMostQuestionsAsked = 10;  // of one person

struct QuestionsConfig {
  std::vector<SecurityQuestion> offered;  // at least 5; empty = none are asked here
  std::size_t answers = 3;   // questions that a person answers, 3…10, not more than are offered
  std::size_t asked = 2;     // … of which the help desk asks for, 2…answers
  std::size_t shortest = 4;  // characters of an answer, as it is compared
};

// The answers that a caller is asked for in one request: drawn by its random identifier (hex), so
// that they are the same for as long as it lives, on every server, whoever looks. Empty: the person
// has not answered enough questions that are still offered.
std::vector<SecurityAnswer> AskedFor(const QuestionsConfig& config, const std::string& request,
                                     const std::vector<SecurityAnswer>& answers);
// Whether that is what the person answered, however it is spelt (answer_text.h). kInvalidArgument:
// it is no answer at all.
Result<bool> IsAnswer(const CorePorts& ports, const AccountId& account,
                      const SecurityAnswer& answer, std::string_view typed);

// Answers to security questions, which people set themselves and read to the help desk. Weak as
// such questions are, the answers are kept like passwords: argon2id with a salt of their own, and
// that sealed with a key from outside the database (sealed_proof.h), for few answers are long
// enough to withstand guessing where hash and salt are known. Thread-safe; blocks.
class SecurityQuestions {
 public:
  struct Standing {
    std::vector<std::string> answered;  // questions that are still offered
    std::int64_t since = 0;             // Unix milliseconds, 0 = none
  };
  struct Given {
    std::string question;
    SecureBytes answer;
  };

  virtual ~SecurityQuestions() = default;
  virtual const QuestionsConfig& config() const = 0;
  virtual Result<Standing> Of(const AccountId& account) = 0;
  // In the place of all former ones, with the password typed once more; the person is told by
  // mail. kInvalidArgument: as many questions as there have to be, each another one of those that
  // are offered, and answers that are long enough, all different, neither the sign-in name nor a
  // word of their question. Else the errors of SessionService::ProvePassword.
  virtual Result<void> Set(const Session& session, const SecureBytes& password,
                           const std::vector<Given>& given) = 0;
};
// `sessions` outlives it.
std::unique_ptr<SecurityQuestions> MakeSecurityQuestions(const CorePorts& ports,
                                                         SessionService& sessions,
                                                         QuestionsConfig config);

}  // namespace keyferry::server
