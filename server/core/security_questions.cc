#include "server/core/security_questions.h"

#include <algorithm>
#include <array>
#include <set>

#include "server/core/answer_text.h"
#include "server/core/audit_entry.h"
#include "server/core/encoding.h"
#include "server/core/password_history.h"
#include "server/core/sealed_proof.h"
#include "server/core/services.h"

namespace keyferry::server {
namespace {

// What the seal of an answer is bound to: neither another person's place nor another question's.
Bytes PlaceOfAnswer(const AccountId& account, const std::string& question) {
  const std::string what = "question/" + question;
  Bytes place(account.bytes.begin(), account.bytes.end());
  place.insert(place.end(), what.begin(), what.end());
  return place;
}

// Hex of argon2id.
Result<std::string> AnswerHash(const SecureBytes& plain, const std::string& salt) {
  auto hash = SlowHash(plain, salt, kHistoryCost);
  if (!hash && hash.error().code == ErrorCode::kUnavailable) {
    hash.error().message = "The server has no memory to compare the answers; try again.";
  }
  return hash;
}

const SecurityQuestion* FindQuestion(const QuestionsConfig& config, std::string_view id) {
  for (const SecurityQuestion& question : config.offered) {
    if (question.id == id) return &question;
  }
  return nullptr;
}

tl::unexpected<Error> BadAnswer(std::string message) {
  return Fail(ErrorCode::kInvalidArgument, std::move(message));
}

class DefaultSecurityQuestions final : public SecurityQuestions {
 public:
  DefaultSecurityQuestions(const CorePorts& ports, SessionService& sessions, QuestionsConfig config)
      : ports_(ports), sessions_(sessions), config_(std::move(config)) {}

  const QuestionsConfig& config() const override { return config_; }

  Result<Standing> Of(const AccountId& account) override {
    const auto answers = ports_.store.SecurityAnswers(account);
    if (!answers) return tl::unexpected(answers.error());
    Standing standing;
    for (const SecurityAnswer& answer : *answers) {
      if (FindQuestion(config_, answer.question) == nullptr) continue;
      standing.answered.push_back(answer.question);
      standing.since = answer.created;
    }
    return standing;
  }

  Result<void> Set(const Session& session, const SecureBytes& password,
                   const std::vector<Given>& given) override {
    const Actor& actor = session.actor;
    auto plain = Read(actor.login, given);
    if (!plain) return tl::unexpected(std::move(plain.error()));
    if (auto proven = sessions_.ProvePassword(session, password); !proven) return proven;
    std::vector<SecurityAnswer> answers;
    for (std::size_t i = 0; i < given.size(); ++i) {
      auto answer = Seal(actor.id, given[i].question, (*plain)[i]);
      if (!answer) return tl::unexpected(std::move(answer.error()));
      answers.push_back(*std::move(answer));
    }
    AuditEntry audit = AuditOf(ports_.clock, actor, "questions.set", actor.login, "ok",
                               std::to_string(answers.size()) + " answers; former ones are void.");
    audit.notice = NoticeDraft{NoticeKind::kQuestionsSet,
                               actor.id,
                               actor.login,
                               actor.id,
                               actor.login,
                               actor.address,
                               {},
                               {}};
    return ports_.store.PutSecurityAnswers(actor.id, answers, audit);
  }

 private:
  // What counts of each answer.
  Result<std::vector<SecureBytes>> Read(const std::string& login, const std::vector<Given>& given) {
    std::set<std::string_view> questions;
    for (const Given& one : given) {
      if (FindQuestion(config_, one.question) != nullptr) questions.insert(one.question);
    }
    if (given.size() != config_.answers || questions.size() != config_.answers) {
      return BadAnswer("Choose " + std::to_string(config_.answers) + " different questions.");
    }
    const auto own = PlainAnswer(login);
    std::vector<SecureBytes> plain;
    for (const Given& one : given) {
      auto answer = PlainAnswer(one.answer.view());
      if (!answer) return tl::unexpected(std::move(answer.error()));
      if (AnswerLength(*answer) < config_.shortest) {
        return BadAnswer("Each answer needs at least " + std::to_string(config_.shortest) +
                         " characters.");
      }
      if (own && own->view() == answer->view()) {
        return BadAnswer("Your sign-in name is no answer.");
      }
      for (const auto& [unused, text] : FindQuestion(config_, one.question)->texts) {
        for (const std::string& word : PlainWords(text)) {
          if (word == answer->view()) return BadAnswer("A word of its question is no answer.");
        }
      }
      for (const SecureBytes& other : plain) {
        if (other.view() == answer->view()) return BadAnswer("Two answers are the same.");
      }
      plain.push_back(*std::move(answer));
    }
    return plain;
  }

  Result<SecurityAnswer> Seal(const AccountId& account, const std::string& question,
                              const SecureBytes& plain) {
    std::array<std::uint8_t, kSlowHashSaltSize> salt{};
    if (!ports_.random.Fill(salt)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    SecurityAnswer answer;
    answer.question = question;
    answer.salt = ToHex(salt);
    answer.created = ports_.clock.UnixMillis();
    const auto hash = AnswerHash(plain, answer.salt);
    if (!hash) return tl::unexpected(hash.error());
    auto sealed = SealProof(ports_, PlaceOfAnswer(account, question),
                            {reinterpret_cast<const std::uint8_t*>(hash->data()), hash->size()});
    if (!sealed) return tl::unexpected(std::move(sealed.error()));
    answer.sealed = *std::move(sealed);
    return answer;
  }

  CorePorts ports_;
  SessionService& sessions_;
  QuestionsConfig config_;
};

}  // namespace

std::vector<SecurityAnswer> AskedFor(const QuestionsConfig& config, const std::string& request,
                                     const std::vector<SecurityAnswer>& answers) {
  std::vector<std::pair<Hash32, SecurityAnswer>> drawn;
  for (const SecurityAnswer& answer : answers) {
    if (FindQuestion(config, answer.question) == nullptr) continue;
    drawn.emplace_back(Sha256(request + "/" + answer.question), answer);
  }
  if (config.asked == 0 || drawn.size() < config.asked) return {};
  std::sort(drawn.begin(), drawn.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<SecurityAnswer> asked;
  for (std::size_t i = 0; i < config.asked; ++i) asked.push_back(std::move(drawn[i].second));
  return asked;
}

Result<bool> IsAnswer(const CorePorts& ports, const AccountId& account,
                      const SecurityAnswer& answer, std::string_view typed) {
  const auto plain = PlainAnswer(typed);
  if (!plain) return tl::unexpected(plain.error());
  if (plain->empty()) return BadAnswer("Type everything that the caller was asked for.");
  const auto hash = AnswerHash(*plain, answer.salt);
  if (!hash) return tl::unexpected(hash.error());
  const auto kept =
      OpenProof(ports, PlaceOfAnswer(account, answer.question), answer.sealed, hash->size(),
                "This person's answers were set with another issuer.key and cannot "
                "be compared; verify the caller in another way.");
  if (!kept) return tl::unexpected(kept.error());
  return SameDigest(Sha256(*hash), Sha256(kept->view()));
}

std::unique_ptr<SecurityQuestions> MakeSecurityQuestions(const CorePorts& ports,
                                                         SessionService& sessions,
                                                         QuestionsConfig config) {
  return std::make_unique<DefaultSecurityQuestions>(ports, sessions, std::move(config));
}

}  // namespace keyferry::server
