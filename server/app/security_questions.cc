#include "server/app/security_questions.h"

#include "server/pages/pages.h"

namespace keyferry::server {

QuestionsConfig QuestionsOf(const ServerConfig& config, const Catalog& catalog) {
  const SelfServiceConfig& self_service = config.self_service;
  QuestionsConfig out;
  out.answers = static_cast<std::size_t>(self_service.answers);
  out.asked = static_cast<std::size_t>(self_service.asked);
  out.shortest = static_cast<std::size_t>(self_service.answer_length);
  if (!self_service.enabled) return out;
  for (const SelfServiceConfig::Question& own : self_service.questions) {
    SecurityQuestion question{own.id, {{"en", own.english}}};
    if (!own.ukrainian.empty()) question.texts.emplace_back("uk", own.ukrainian);
    out.offered.push_back(std::move(question));
  }
  if (out.offered.empty()) out.offered = ShippedQuestions(catalog);
  return out;
}

}  // namespace keyferry::server
