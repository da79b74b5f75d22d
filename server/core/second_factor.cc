#include "server/core/second_factor.h"

#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/encoding.h"
#include "server/core/factor_steps.h"
#include "server/core/four_eyes.h"
#include "server/core/recovery_codes.h"
#include "server/core/sealed_proof.h"
#include "server/core/services.h"
#include "server/core/totp.h"

namespace keyferry::server {
namespace {

constexpr const char* kWrongCode =
    "This code is not right. Take the newest one of the app; each works once.";
constexpr std::size_t kMaxTyped = 64;

// otpauth://totp/Keyferry:LOGIN?secret=…&issuer=Keyferry; six digits, SHA-1 and 30 s go without
// saying. The login is percent-encoded.
SecureBytes UriOf(const std::string& login, const SecureBytes& secret) {
  constexpr char kUpperHex[] = "0123456789ABCDEF";
  std::string label;
  for (const char c : login.substr(0, 64)) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_';
    if (plain) {
      label += c;
    } else {
      label += '%';
      label += kUpperHex[byte >> 4];
      label += kUpperHex[byte & 15];
    }
  }
  const std::string head = "otpauth://totp/Keyferry:" + label + "?secret=";
  const std::string_view tail = "&issuer=Keyferry";
  SecureBytes uri(head.size() + secret.size() + tail.size());
  std::uint8_t* at = std::copy(head.begin(), head.end(), uri.data());
  at = std::copy(secret.span().begin(), secret.span().end(), at);
  std::copy(tail.begin(), tail.end(), at);
  return uri;
}

class DefaultSecondFactor final : public SecondFactor {
 public:
  DefaultSecondFactor(const CorePorts& ports, SessionConfig config)
      : ports_(ports), config_(config), steps_(ports, std::move(config)) {}

  Result<FactorProposal> Propose(const Session& session) override {
    if (config_.second_factor == FactorPolicy::kOff || session.stage == SessionStage::kCodeOwed) {
      return Fail(ErrorCode::kConflict, "There is nothing to set up.");
    }
    SecureBytes secret(kTotpSecretSize);
    if (!ports_.random.Fill(secret.span())) return FactorSteps::NoRandom();
    FactorRecord factor;
    factor.account = session.actor.id;
    factor.login = session.actor.login;
    factor.created = ports_.clock.UnixMillis();
    auto sealed = SealProof(ports_, factor.account.bytes, secret.span());
    if (!sealed) return tl::unexpected(std::move(sealed.error()));
    factor.sealed = *std::move(sealed);
    if (auto kept = ports_.store.ProposeFactor(factor); !kept) {
      return tl::unexpected(std::move(kept.error()));
    }
    FactorProposal proposal;
    proposal.secret = ToBase32(secret.span());
    proposal.uri = UriOf(factor.login, proposal.secret);
    return proposal;
  }

  Result<FactorConfirmed> Confirm(std::string_view token, const Session& session,
                                  const SecureBytes& first, const SecureBytes& second) override {
    return steps_.OnBeat([&] { return TryConfirm(token, session, first, second); });
  }

  Result<SignedIn> Prove(std::string_view token, const Session& session,
                         const SecureBytes& code) override {
    return steps_.OnBeat([&] { return TryProve(token, session, code); });
  }

  bool NeedsStepUp(const Session& session) override {
    if (config_.second_factor == FactorPolicy::kOff) return false;
    const std::int64_t now = ports_.clock.UnixSeconds();
    // A proof of the future is none: the clock was put back.
    if (session.proven != 0 && now >= session.proven &&
        now - session.proven < config_.step_up_seconds) {
      return false;
    }
    if (IsRequired(config_, session.actor.roles)) return true;
    const auto factor = ports_.store.FindFactor(session.actor.id);
    return !factor || (*factor && (*factor)->confirmed != 0);
  }

  Result<std::vector<FactorView>> List() override {
    const auto factors = ports_.store.Factors();
    if (!factors) return tl::unexpected(factors.error());
    std::vector<FactorView> views;
    for (const FactorRecord& factor : *factors) views.push_back(ViewOf(factor));
    return views;
  }

  Result<std::optional<FactorView>> Of(const AccountId& account) override {
    const auto factor = ports_.store.FindFactor(account);
    if (!factor) return tl::unexpected(factor.error());
    if (!*factor || (*factor)->confirmed == 0) return std::optional<FactorView>();
    return ViewOf(**factor);
  }

  bool On() const override { return config_.second_factor != FactorPolicy::kOff; }

  Result<std::vector<SecureBytes>> NewRecovery(const Session& session) override {
    auto set = MakeRecoverySet(ports_.random);
    if (!set) return tl::unexpected(std::move(set.error()));
    const auto replaced = ports_.store.ReplaceRecovery(
        session.actor.id, set->salt, set->hashes,
        FactorSteps::WithNotice(
            NoticeKind::kRecoveryCodes, session.actor, session.actor.id, session.actor.login,
            AuditOf(ports_.clock, session.actor, "factor.recovery", session.actor.login, "ok",
                    "New recovery codes; the former ones are void.")));
    if (!replaced) return tl::unexpected(replaced.error());
    if (!*replaced) return Fail(ErrorCode::kConflict, "Set up the second factor first.");
    return std::move(set->shown);
  }

  Result<void> Reset(const Actor& actor, const AccountId& account) override {
    if (!May(actor.roles, Right::kSignInsWrite) || actor.id == account) {
      return Fail(ErrorCode::kPermissionDenied,
                  "Another administrator has to reset your second factor.");
    }
    if (auto reach = CheckReach(ports_, actor, Right::kSignInsWrite, account); !reach) {
      return reach;
    }
    const auto factor = ports_.store.FindFactor(account);
    if (!factor) return tl::unexpected(factor.error());
    const std::string login = *factor ? (*factor)->login : std::string();
    const auto only_if = *factor ? Guard(actor, account, login) : Result<Precondition>();
    if (!only_if) return tl::unexpected(only_if.error());
    const auto reset = ports_.store.ResetFactor(
        account, FactorSteps::CounterOf(account),
        FactorSteps::WithNotice(NoticeKind::kFactorReset, actor, account, login,
                                AuditOf(ports_.clock, actor, "factor.reset", login, "ok", {})),
        *only_if);
    if (!reset) return tl::unexpected(reset.error());
    if (!*reset) return Fail(ErrorCode::kNotFound, "This person has no second factor.");
    return {};
  }

 private:
  // What has to stand when the factor is taken away (four_eyes.h).
  Result<Precondition> Guard(const Actor& actor, const AccountId& account,
                             const std::string& login) {
    if (ports_.four_eyes == nullptr) return Precondition();
    auto person = ports_.directory.Get(account);
    // Who is gone signs in nowhere, with a factor or without.
    if (!person && person.error().code == ErrorCode::kNotFound) return Precondition();
    if (!person) return tl::unexpected(std::move(person.error()));
    GuardedAsk ask;
    ask.action = GuardedAction::kFactorReset;
    ask.person = *std::move(person);
    auto cleared = ports_.four_eyes->Clear(actor, ask);
    if (cleared || ApprovalNeeded(cleared.error())) return cleared;
    auto audited = ports_.store.AppendAudit(AuditOf(ports_.clock, actor, "factor.reset", login,
                                                    OutcomeName(cleared.error().code),
                                                    cleared.error().message));
    return audited ? cleared : Result<Precondition>(tl::unexpected(std::move(audited.error())));
  }
  static FactorView ViewOf(const FactorRecord& factor) {
    return {factor.account,       factor.login,    factor.confirmed,
            factor.recovery_left, factor.app != 0, factor.fido_keys};
  }
  Result<FactorConfirmed> TryConfirm(std::string_view token, const Session& session,
                                     const SecureBytes& first, const SecureBytes& second) {
    const AccountId& account = session.actor.id;
    if (auto open = steps_.CheckLimit(account); !open)
      return tl::unexpected(std::move(open.error()));
    auto factor = ports_.store.FindFactor(account);
    if (!factor) return tl::unexpected(std::move(factor.error()));
    if (!*factor || (*factor)->app != 0 || (*factor)->sealed.empty()) {
      return Fail(ErrorCode::kConflict, "This set-up is no longer open; begin it again.");
    }
    const auto secret = OpenAppSecret(ports_, **factor);
    if (!secret) return tl::unexpected(secret.error());
    const auto earlier = ParseTotpCode(first.view());
    const auto later = ParseTotpCode(second.view());
    const std::int64_t now = ports_.clock.UnixSeconds();
    const auto step = later ? FindTotpStep(secret->span(), *later, now, 0) : std::nullopt;
    if (!earlier || !step || TotpCode(secret->span(), *step - 1) != earlier) {
      return steps_.Refuse(
          session, "factor.set_up", "wrong_code", {},
          "These are not two codes in a row of the new entry; check the clock of the "
          "device and take the next two.");
    }
    auto set = MakeRecoverySet(ports_.random);
    if (!set) return tl::unexpected(std::move(set.error()));
    auto renewed = steps_.Renew(session);
    if (!renewed) return tl::unexpected(std::move(renewed.error()));
    (*factor)->app = ports_.clock.UnixMillis();
    if ((*factor)->confirmed == 0) (*factor)->confirmed = (*factor)->app;
    (*factor)->last_step = *step;
    (*factor)->recovery_salt = set->salt;
    const auto confirmed = ports_.store.ConfirmFactor(
        **factor, set->hashes, FactorSteps::SwapOf(token, *renewed),
        FactorSteps::WithNotice(
            NoticeKind::kFactorSetUp, session.actor, account, session.actor.login,
            AuditOf(ports_.clock, session.actor, "factor.set_up", session.actor.login, "ok", {})));
    if (!confirmed) return tl::unexpected(confirmed.error());
    if (!*confirmed) {
      return Fail(ErrorCode::kConflict, "This set-up is no longer open; begin it again.");
    }
    return FactorConfirmed{*std::move(renewed), std::move(set->shown)};
  }

  Result<SignedIn> TryProve(std::string_view token, const Session& session,
                            const SecureBytes& code) {
    const AccountId& account = session.actor.id;
    const bool complete = session.stage == SessionStage::kComplete;
    const char* const action = complete ? "session.step_up" : "signin";
    if (auto open = steps_.CheckLimit(account); !open)
      return tl::unexpected(std::move(open.error()));
    const auto factor = ports_.store.FindFactor(account);
    if (!factor) return tl::unexpected(factor.error());
    if (!*factor || (*factor)->confirmed == 0) {
      return Fail(ErrorCode::kConflict, "Set up the second factor first.");
    }
    FactorStore::Proof proof;
    proof.account = account;
    std::string how;
    if (const auto digits = ParseTotpCode(code.view())) {
      if ((*factor)->app == 0) return Wrong(session, action);
      const auto secret = OpenAppSecret(ports_, **factor);
      if (!secret) return tl::unexpected(secret.error());
      const auto step =
          FindTotpStep(secret->span(), *digits, ports_.clock.UnixSeconds(), (*factor)->last_step);
      if (!step) return Wrong(session, action);
      proof.step = *step;
    } else {
      const auto recovery =
          code.size() <= kMaxTyped ? ParseRecoveryCode(code) : std::optional<SecureBytes>();
      if (!recovery || (*factor)->recovery_left == 0) return Wrong(session, action);
      auto hash = RecoveryHash(*recovery, (*factor)->recovery_salt);
      if (!hash) return tl::unexpected(std::move(hash.error()));
      proof.recovery = *std::move(hash);
      how = "With a recovery code.";
    }
    auto renewed = steps_.Renew(session);
    if (!renewed) return renewed;
    const auto spent = ports_.store.SpendProof(
        proof, FactorSteps::SwapOf(token, *renewed), FactorSteps::CounterOf(account),
        AuditOf(ports_.clock, session.actor, action, session.actor.login, "ok", how));
    if (!spent) return tl::unexpected(spent.error());
    if (!*spent) return Wrong(session, action);
    return renewed;
  }

  tl::unexpected<Error> Wrong(const Session& session, const char* action) {
    return steps_.Refuse(session, action, "wrong_code", {}, kWrongCode);
  }

  CorePorts ports_;
  SessionConfig config_;
  FactorSteps steps_;
};

}  // namespace

std::unique_ptr<SecondFactor> MakeSecondFactor(const CorePorts& ports, SessionConfig config) {
  return std::make_unique<DefaultSecondFactor>(ports, std::move(config));
}

}  // namespace keyferry::server
