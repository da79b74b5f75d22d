#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/core/ids.h"
#include "server/core/records.h"

namespace keyferry::server {

// What a person answered to a security question, as nobody can read it (security_questions.h).
struct SecurityAnswer {
  std::string question;      // its identifier
  std::string salt;          // hex, of this answer alone
  Bytes sealed;              // its hash
  std::int64_t created = 0;  // Unix milliseconds
};

// Part of Store (store.h), which says what holds for all methods.
class QuestionStore {
 public:
  virtual ~QuestionStore() = default;
  // By question.
  virtual Result<std::vector<SecurityAnswer>> SecurityAnswers(const AccountId& account) = 0;
  // In the place of all that the person had.
  virtual Result<void> PutSecurityAnswers(const AccountId& account,
                                          const std::vector<SecurityAnswer>& answers,
                                          const AuditEntry& audit) = 0;
};

}  // namespace keyferry::server
