// A caller reads the code of their authenticator app: the same app, and the same codes, as at
// sign-in (second_factor.h).
#include "server/core/help_desk.h"
#include "server/core/sealed_proof.h"
#include "server/core/totp.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kCallerDigits = 6;

// The digits that the agent typed, grouped as the caller read them: blanks and hyphens between them
// do not count.
std::optional<std::uint32_t> DigitsOf(const SecureBytes& typed) {
  SecureBytes digits(kCallerDigits);
  std::size_t count = 0;
  for (const std::uint8_t byte : typed.span()) {
    if (byte == ' ' || byte == '-') continue;
    if (count == kCallerDigits) return std::nullopt;
    digits.data()[count++] = byte;
  }
  return count == kCallerDigits ? ParseTotpCode(digits.view()) : std::nullopt;
}

class CallerTotp final : public HelpDeskVerification {
 public:
  explicit CallerTotp(const CorePorts& ports) : ports_(ports) {}

  void Describe(const HelpDeskCase& about, HelpDeskOffer& offer) const override {
    const auto factor = ports_.store.FindFactor(about.request.account);
    if (!factor) {
      offer.unavailable = factor.error().message;
    } else if (!*factor || (*factor)->app == 0) {
      offer.unavailable =
          "This person has set up no authenticator app; verify the caller in another way.";
    }
  }

  Result<bool> Check(const HelpDeskCase& about, const HelpDeskAnswer& answer) const override {
    const auto verdict = Weigh(about, answer);
    if (!verdict) return tl::unexpected(verdict.error());
    return verdict->right;
  }

  Result<HelpDeskVerdict> Weigh(const HelpDeskCase& about,
                                const HelpDeskAnswer& answer) const override {
    const auto code = DigitsOf(answer.code);
    if (!code) return Fail(ErrorCode::kInvalidArgument, "The code has six digits.");
    const auto factor = ports_.store.FindFactor(about.request.account);
    if (!factor) return tl::unexpected(factor.error());
    if (!*factor || (*factor)->app == 0) {
      return Fail(ErrorCode::kConflict,
                  "This person has set up no authenticator app; verify the caller in another way.");
    }
    const auto secret = OpenAppSecret(ports_, **factor);
    if (!secret) {
      return Fail(ErrorCode::kInternal,
                  "This person's authenticator app was set up with another issuer.key and cannot "
                  "be read; verify the caller in another way.");
    }
    const auto step =
        FindTotpStep(secret->span(), *code, ports_.clock.UnixSeconds(), (*factor)->last_step);
    if (!step) return HelpDeskVerdict{};
    return HelpDeskVerdict{true, HelpDeskStore::SpentCode{about.request.account, *step}};
  }

  std::string Words(const HelpDeskCase&, const HelpDeskAnswer&) const override {
    return "code of the authenticator app";
  }

 private:
  CorePorts ports_;
};

}  // namespace

std::unique_ptr<HelpDeskVerification> MakeCallerTotp(const CorePorts& ports) {
  return std::make_unique<CallerTotp>(ports);
}

}  // namespace keyferry::server
