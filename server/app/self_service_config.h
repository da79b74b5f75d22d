#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace keyferry::server {

class ConfigReader;

// The table [self_service]: what employees may do for themselves.
struct SelfServiceConfig {
  bool enabled = false;  // whether employees without a role sign in, to the page /me
  // How often they may change their own password there in a rolling day; 0 = not at all.
  std::int64_t passwords_per_day = 0;
  // Security questions: how many a person answers, how many of them the help desk asks for, and how
  // long an answer is at least.
  std::int64_t answers = 3;
  std::int64_t asked = 2;
  std::int64_t answer_length = 4;
  struct Question {
    std::string id;  // of its English text: another text is another question
    std::string english, ukrainian;
  };
  std::vector<Question> questions;  // empty = those that are shipped
};

// These keys, and its own among them, in the order of docs/configuration.md.
std::vector<std::string> WithSelfServiceKeys(std::vector<std::string> keys);
SelfServiceConfig ReadSelfService(ConfigReader& reader);
// The points of one verification, by its key. Those of security questions are 0 where nobody can
// set answers to any.
std::int64_t ReadPoints(ConfigReader& reader, const char* key, std::int64_t usual,
                        const SelfServiceConfig& config);

}  // namespace keyferry::server
