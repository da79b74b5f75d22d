// A caller answers security questions that they have set answers to (security_questions.h).
#include "server/core/help_desk.h"
#include "server/core/security_questions.h"

namespace keyferry::server {
namespace {

class CallerQuestions final : public HelpDeskVerification {
 public:
  CallerQuestions(const CorePorts& ports, QuestionsConfig config)
      : ports_(ports), config_(std::move(config)) {}

  void Describe(const HelpDeskCase& about, HelpDeskOffer& offer) const override {
    const auto asked = Asked(about);
    if (!asked) {
      offer.unavailable = asked.error().message;
    } else if (asked->empty()) {
      offer.unavailable =
          "This person has set no answers to security questions; verify the caller in another way.";
    } else {
      for (const SecurityAnswer& answer : *asked) {
        for (const SecurityQuestion& question : config_.offered) {
          if (question.id == answer.question) offer.questions.push_back(question);
        }
      }
    }
  }

  // All are compared, whichever is wrong.
  Result<bool> Check(const HelpDeskCase& about, const HelpDeskAnswer& answer) const override {
    const auto asked = Asked(about);
    if (!asked) return tl::unexpected(asked.error());
    if (asked->empty() || answer.answers.size() != asked->size()) {
      return Fail(ErrorCode::kInvalidArgument, "Type everything that the caller was asked for.");
    }
    unsigned wrong = 0;
    for (std::size_t i = 0; i < asked->size(); ++i) {
      const auto right =
          IsAnswer(ports_, about.request.account, (*asked)[i], answer.answers[i].view());
      if (!right) return tl::unexpected(right.error());
      wrong |= static_cast<unsigned>(!*right);
    }
    return wrong == 0;
  }

  std::string Words(const HelpDeskCase&, const HelpDeskAnswer&) const override {
    return std::to_string(config_.asked) + " security questions";
  }

 private:
  Result<std::vector<SecurityAnswer>> Asked(const HelpDeskCase& about) const {
    const auto answers = ports_.store.SecurityAnswers(about.request.account);
    if (!answers) return tl::unexpected(answers.error());
    return AskedFor(config_, about.request.id.Hex(), *answers);
  }

  CorePorts ports_;
  QuestionsConfig config_;
};

}  // namespace

std::unique_ptr<HelpDeskVerification> MakeCallerQuestions(const CorePorts& ports,
                                                          QuestionsConfig config) {
  return std::make_unique<CallerQuestions>(ports, std::move(config));
}

}  // namespace keyferry::server
