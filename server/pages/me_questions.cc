// Answers to security questions, set by whom they are about.
#include "server/api/problem.h"
#include "server/core/answer_text.h"
#include "server/core/security_questions.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"
#include "server/pages/pages.h"

namespace keyferry::server {
namespace {

// In the table [question] of the texts. What follows the dot is what answers are stored with: no
// question gets another meaning.
constexpr const char* kShippedQuestions[] = {
    "question.first_teacher", "question.first_street",   "question.childhood_friend",
    "question.grandparents",  "question.first_job",      "question.first_flight",
    "question.childhood_toy", "question.childhood_dream"};

std::string QuestionField(std::size_t place) { return "question_" + std::to_string(place); }

Response ShowQuestions(const PageContext& context, const Request& request,
                       const std::vector<std::string>& chosen, std::string_view problem,
                       int status) {
  const Catalog& catalog = context.catalog;
  const QuestionsConfig& config = context.services.questions->config();
  Data data = Frame(context, request, catalog.Text("me.questions"), "me");
  PutMaybe(data, "problem", problem);
  Put(data, "intro",
      catalog.Text("me.questions_intro",
                   {std::to_string(config.answers), std::to_string(config.asked)}));
  Put(data, "answer_hint", catalog.Text("me.answer_hint", {std::to_string(config.shortest)}));
  Put(data, "most", std::to_string(kMostAnswer));
  Data rows = List();
  for (std::size_t place = 1; place <= config.answers; ++place) {
    Data row, options = List();
    Put(row, "place", std::to_string(place));
    Put(row, "question_label", catalog.Text("me.question_label", {std::to_string(place)}));
    Put(row, "answer_label", catalog.Text("me.answer_label", {std::to_string(place)}));
    for (std::size_t i = 0; i < config.offered.size(); ++i) {
      Data option;
      const SecurityQuestion& question = config.offered[i];
      Put(option, "value", question.id);
      Put(option, "text", QuestionText(catalog, question));
      PutFlag(option, "selected",
              chosen.size() >= place ? chosen[place - 1] == question.id : i + 1 == place);
      options << option;
    }
    row["options"] = std::move(options);
    rows << row;
  }
  data["rows"] = std::move(rows);
  return Show(context, request, "me_questions", data, status);
}

Response SetAnswers(const PageContext& context, Request& request) {
  SecurityQuestions& questions = *context.services.questions;
  Form& form = *request.form;
  std::vector<std::string> chosen;
  std::vector<SecurityQuestions::Given> given;
  for (std::size_t place = 1; place <= questions.config().answers; ++place) {
    chosen.emplace_back(form.Text(QuestionField(place)));
    given.push_back({chosen.back(), form.TakeSecret(AnswerField(place))});
  }
  const auto set = questions.Set(*request.session, form.TakeSecret("password"), given);
  if (set) return Response::SeeOther(kOwnPlace);
  const Error& error = set.error();
  context.services.report(request, error);
  const int status = HttpStatus(error.code);
  return ShowQuestions(context, request, chosen, context.catalog.Say(error.message),
                       status == 400 ? 422 : status);
}

}  // namespace

std::vector<SecurityQuestion> ShippedQuestions(const Catalog& catalog) {
  std::vector<SecurityQuestion> questions;
  for (const std::string key : kShippedQuestions) {
    SecurityQuestion question{key.substr(key.find('.') + 1), {}};
    for (const Catalog::LanguageName& language : catalog.Languages()) {
      const Catalog::Speaking speaking(catalog, language.tag, "");
      question.texts.emplace_back(language.tag, catalog.Text(key));
    }
    questions.push_back(std::move(question));
  }
  return questions;
}

std::string AnswerField(std::size_t place) { return "answer_" + std::to_string(place); }

std::string QuestionText(const Catalog& catalog, const SecurityQuestion& question) {
  const std::string language = catalog.Text("lang");
  for (const auto& [tag, text] : question.texts) {
    if (tag == language) return text;
  }
  return question.texts.empty() ? question.id : question.texts.front().second;
}

void AddQuestionPages(Router& router, const PageContext& context) {
  const std::string place = std::string(kOwnPlace) + "/questions";
  router.Add({Method::kGet, place, Right::kSelf, [context](Request& request) {
                const auto standing = context.services.questions->Of(request.session->actor.id);
                if (!standing) return ShowFailure(context, request, standing.error());
                return ShowQuestions(context, request, standing->answered, "", 200);
              }});
  Route set;
  set.method = Method::kPost;
  set.pattern = place;
  set.needs = Right::kSelf;
  set.handler = [context](Request& request) { return SetAnswers(context, request); };
  set.body = Body::kForm;
  set.form = {CsrfField(), {"password", 1024, true, true}};
  for (std::size_t i = 1; i <= context.services.questions->config().answers; ++i) {
    set.form.push_back({QuestionField(i), 40, false, true});
    set.form.push_back({AnswerField(i), kMostAnswer, true, true});
  }
  set.step_up = true;  // of who has a second factor
  router.Add(std::move(set));
}

}  // namespace keyferry::server
