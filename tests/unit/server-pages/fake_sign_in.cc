#include <algorithm>

#include "fake_services.h"

namespace keyferry::server::fake {

Result<SignedIn> FakeSessions::SignIn(std::string_view name, const SecureBytes& password,
                                      std::string_view, std::string_view) {
  ++sign_ins;
  if (sign_in_error) return tl::unexpected(*sign_in_error);
  if (name != "alice.admin" || password.view() != "right") {
    return Fail(ErrorCode::kUnauthenticated, "The user name or the password is wrong.");
  }
  return SignedIn{World::kToken, sessions.at(World::kToken)};
}

Result<SignedInByTicket> FakeSessions::SignInByTicket(std::span<const std::uint8_t> token,
                                                      std::string_view, std::string_view) {
  ++sign_ins;
  if (sign_in_error) return tl::unexpected(*sign_in_error);
  if (std::string(token.begin(), token.end()) != kTicket) {
    return Fail(ErrorCode::kUnauthenticated,
                "Your Windows ticket was not accepted. Try again, or sign in with your password.",
                "a secret detail");
  }
  SignedInByTicket signed_in{{World::kToken, sessions.at(World::kToken)}, {1, 2, 3}};
  if (incomplete) signed_in.signed_in.session.stage = SessionStage::kCodeOwed;
  return signed_in;
}

Result<Session> FakeSessions::Find(std::string_view token, std::string_view) {
  const auto found = sessions.find(token);
  if (found == sessions.end() || incomplete) {
    return Fail(ErrorCode::kUnauthenticated, "Please sign in.");
  }
  return found->second;
}

Result<Session> FakeSessions::FindIncomplete(std::string_view token, std::string_view) {
  const auto found = sessions.find(token);
  if (found == sessions.end() || !incomplete) {
    return Fail(ErrorCode::kUnauthenticated, "Please sign in.");
  }
  Session session = found->second;
  session.stage = SessionStage::kCodeOwed;
  return session;
}

Result<std::vector<Session>> FakeSessions::List() {
  std::vector<Session> all;
  for (const auto& [unused, session] : sessions) all.push_back(session);
  return all;
}

Result<void> FakeSessions::End(const Actor& actor, const SessionId& id) {
  calls.push_back("end " + id.Hex() + " by " + actor.login);
  return {};
}

Result<std::size_t> FakeSessions::EndOthers(const Actor& actor, const SessionId& kept) {
  calls.push_back("end all but " + kept.Hex() + " by " + actor.login);
  return 1;
}

void FakeSessions::SignOut(std::string_view token) {
  const auto found = sessions.find(token);
  if (found != sessions.end()) sessions.erase(found);
}

Result<FactorProposal> FakeSecondFactor::Propose(const Session&) {
  calls.emplace_back("propose");
  return FactorProposal{SecureBytes::CopyOf(std::string_view(kSecret)),
                        SecureBytes::CopyOf(std::string_view("otpauth://totp/Keyferry:a?secret="))};
}

Result<FactorConfirmed> FakeSecondFactor::Confirm(std::string_view token, const Session& session,
                                                  const SecureBytes& first,
                                                  const SecureBytes& second) {
  if (first.view() == second.view()) {
    return Fail(ErrorCode::kUnauthenticated, "These are not two codes in a row.");
  }
  auto signed_in = Prove(token, session, second);
  if (!signed_in) return tl::unexpected(signed_in.error());
  FactorConfirmed confirmed;
  confirmed.signed_in = *std::move(signed_in);
  confirmed.recovery.push_back(SecureBytes::CopyOf(std::string_view(kRecovery)));
  return confirmed;
}

Result<SignedIn> FakeSecondFactor::Prove(std::string_view token, const Session& session,
                                         const SecureBytes& code) {
  calls.emplace_back("prove");
  if (code.view() != kCode) {
    return Fail(ErrorCode::kUnauthenticated, "This code is not right.");
  }
  SignedIn renewed{World::kRenewedToken, session};
  renewed.session.stage = SessionStage::kComplete;
  sessions.sessions.erase(std::string(token));
  sessions.sessions[renewed.token] = renewed.session;
  sessions.incomplete = false;
  stale = false;
  return renewed;
}

Result<std::vector<SecureBytes>> FakeSecondFactor::NewRecovery(const Session&) {
  calls.emplace_back("recovery");
  std::vector<SecureBytes> codes;
  codes.push_back(SecureBytes::CopyOf(std::string_view(kRecovery)));
  return codes;
}

Result<void> FakeSecondFactor::Reset(const Actor& actor, const AccountId& account) {
  calls.push_back("reset " + account.Hex() + " by " + actor.login);
  if (reset_error) return tl::unexpected(*reset_error);
  return {};
}

Result<TokenView> FakeTokens::Get(const TokenId& id) {
  for (const TokenView& token : tokens) {
    if (token.id == id) return token;
  }
  return Fail(ErrorCode::kNotFound, "There is no such token.");
}

Result<TokenIssued> FakeTokens::Create(const Actor& actor, const TokenRequest& request) {
  calls.push_back("create " + actor.login + " " + request.name + " " +
                  std::to_string(request.days) + " " + std::to_string(request.scopes.size()));
  if (request.name.empty() || request.days < 1) {
    return Fail(ErrorCode::kInvalidArgument, "The token needs a name and days.");
  }
  TokenView view;
  view.id = MakeId<TokenId>(static_cast<std::uint8_t>(0x70 + tokens.size()));
  view.name = request.name;
  view.scopes = request.scopes;
  view.creator = actor.login;
  view.created = 1795243680000;
  view.expires = view.created + request.days * 86'400'000;
  tokens.insert(tokens.begin(), view);
  return TokenIssued{view, kSecret};
}

Result<TokenView> FakeTokens::Revoke(const Actor& actor, const TokenId& id) {
  calls.push_back("revoke " + actor.login + " " + id.Hex());
  for (TokenView& token : tokens) {
    if (token.id != id) continue;
    token.revoked = 1795243690000;
    token.revoked_by = actor.login;
    return token;
  }
  return Fail(ErrorCode::kNotFound, "There is no such token.");
}

Result<TokenVerdict> FakeTokens::Judge(std::string_view secret, std::string_view scope,
                                       std::string_view what, std::string_view address) {
  TokenVerdict out;
  if (secret != kSecret) return out;
  calls.push_back("judge " + std::string(what));
  out.kind = verdict;
  out.token.id = MakeId<TokenId>(0x77);
  out.token.name = "robot";
  if (verdict == TokenVerdict::kAllowed && !scope.empty() &&
      std::find(scopes.begin(), scopes.end(), scope) == scopes.end()) {
    out.kind = TokenVerdict::kMissingScope;
  }
  out.retry_seconds = 7;
  out.actor = {MakeId<AccountId>(0xAA), "token robot", "robot", roles, std::string(address)};
  return out;
}

}  // namespace keyferry::server::fake
