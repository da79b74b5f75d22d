#include "fake_services.h"

namespace keyferry::server::fake {

Result<std::vector<Session>> FakeSessions::Of(const AccountId& account) {
  std::vector<Session> theirs;
  for (const auto& [unused, session] : sessions) {
    if (session.actor.id == account) theirs.push_back(session);
  }
  return theirs;
}

Result<void> FakeSessions::ProvePassword(const Session& session, const SecureBytes& password) {
  calls.push_back("password of " + session.actor.login);
  if (password.view() == "right") return {};
  return Fail(ErrorCode::kUnauthenticated, "This is not your password.");
}

Result<std::optional<FactorView>> FakeSecondFactor::Of(const AccountId& account) {
  for (const FactorView& factor : factors) {
    if (factor.account == account) return factor;
  }
  return std::optional<FactorView>();
}

FakeQuestions::FakeQuestions() {
  for (const char* id : {"school", "street", "friend", "toy", "dream"}) {
    offered.offered.push_back(
        {id, {{"en", std::string("Which ") + id + "?"}, {"uk", std::string("Що ") + id + "?"}}});
  }
}

Result<void> FakeQuestions::Set(const Session& session, const SecureBytes& password,
                                const std::vector<Given>& given) {
  std::string call = session.actor.login + " " + std::string(password.view());
  for (const Given& one : given) call += " " + one.question + "=" + std::string(one.answer.view());
  calls.push_back(std::move(call));
  if (error) return tl::unexpected(*error);
  return {};
}

}  // namespace keyferry::server::fake
