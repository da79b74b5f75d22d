#include "server/app/self_service_config.h"

#include <algorithm>
#include <string_view>

#include "server/app/config_reader.h"
#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

constexpr const char* kQuestionsKey = "self_service.questions";
constexpr std::size_t kFewestQuestions = 5, kMostQuestions = 40, kMostQuestion = 200;  // bytes
constexpr std::size_t kQuestionDigits = 16;
constexpr std::string_view kBetween = " | ";

// "English text | український текст", or the first alone. False when it is neither.
bool ReadQuestion(const std::string& line, SelfServiceConfig::Question& out) {
  const std::size_t between = line.find(kBetween);
  out.english = line.substr(0, between);
  if (between != std::string::npos) {
    out.ukrainian = line.substr(between + kBetween.size());
    if (out.ukrainian.empty() || out.ukrainian.find(kBetween) != std::string::npos) return false;
  }
  out.id = "own-" + ToHex(Sha256(out.english)).substr(0, kQuestionDigits);
  return !out.english.empty() && line.size() <= kMostQuestion && IsPrintableUtf8(line);
}

}  // namespace

std::vector<std::string> WithSelfServiceKeys(std::vector<std::string> keys) {
  keys.insert(std::find(keys.begin(), keys.end(), "passwords.length"),
              {"self_service.enabled", "self_service.passwords_per_day", kQuestionsKey,
               "self_service.answers", "self_service.asked", "self_service.answer_length"});
  return keys;
}

SelfServiceConfig ReadSelfService(ConfigReader& reader) {
  SelfServiceConfig out;
  out.enabled = reader.Flag("self_service.enabled", out.enabled);
  out.passwords_per_day =
      reader.Number("self_service.passwords_per_day", out.passwords_per_day, 0, 20);
  for (const std::string& line : reader.Texts(kQuestionsKey, false)) {
    SelfServiceConfig::Question question;
    if (!ReadQuestion(line, question)) {
      reader.Complain(kQuestionsKey, "holds \"" + line +
                                         "\"; write a question in at most 200 bytes, in English or "
                                         "as \"English | українська\".");
    }
    const bool twice = std::any_of(out.questions.begin(), out.questions.end(),
                                   [&](const auto& other) { return other.id == question.id; });
    if (twice) reader.Complain(kQuestionsKey, "holds \"" + question.english + "\" twice.");
    out.questions.push_back(std::move(question));
  }
  const std::size_t count = out.questions.size();
  if (count != 0 && (count < kFewestQuestions || count > kMostQuestions)) {
    reader.Complain(kQuestionsKey, "must hold 5 to 40 questions to choose from, or none.");
  }
  const auto most = static_cast<std::int64_t>(count == 0 ? kFewestQuestions : count);
  out.answers =
      reader.Number("self_service.answers", out.answers, 3, std::min<std::int64_t>(most, 10));
  out.asked = reader.Number("self_service.asked", out.asked, 2, 10);
  if (out.asked > out.answers) {
    reader.Complain("self_service.asked", "is more than self_service.answers, which people give.");
  }
  out.answer_length = reader.Number("self_service.answer_length", out.answer_length, 3, 32);
  return out;
}

std::int64_t ReadPoints(ConfigReader& reader, const char* key, std::int64_t usual,
                        const SelfServiceConfig& config) {
  const std::int64_t points = reader.Number(key, usual, 0, 10);
  return std::string_view(key) == "help_desk.points_questions" && !config.enabled ? 0 : points;
}

}  // namespace keyferry::server
