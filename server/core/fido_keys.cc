#include "server/core/fido_keys.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/encoding.h"
#include "server/core/factor_steps.h"
#include "server/core/fido.h"
#include "server/core/recovery_codes.h"
#include "server/core/services.h"

namespace keyferry::server {
namespace {

constexpr const char* kNotAccepted =
    "The security key's answer was not accepted. Try again; each answer works once and in time.";
constexpr const char* kSuspectKey =
    "This security key's counter went back, so it may have been copied. It is not accepted any "
    "more: remove it, and tell your administrator if you did not cause this.";
constexpr const char* kCreate = "create ";
constexpr const char* kGet = "get ";
constexpr std::size_t kChallengeBytes = 32;
constexpr std::string_view kTransports[] = {"usb", "nfc", "ble", "internal", "hybrid"};

// The parts of a text between its dots, decoded; nullopt unless there are exactly as many as there
// are limits and each keeps its own.
std::optional<std::vector<Bytes>> ParseParts(std::string_view text,
                                             std::span<const std::size_t> limits) {
  std::vector<Bytes> parts;
  for (std::size_t i = 0; i < limits.size(); ++i) {
    const std::size_t dot = text.find('.');
    if ((dot == std::string_view::npos) != (i + 1 == limits.size())) return std::nullopt;
    auto part = FromBase64Url(text.substr(0, dot));
    if (!part || part->size() > limits[i]) return std::nullopt;
    parts.push_back(*std::move(part));
    if (dot != std::string_view::npos) text.remove_prefix(dot + 1);
  }
  return parts;
}

bool IsFidoName(std::string_view name) {
  return !name.empty() && name.size() <= kFidoNameBytes && IsPrintableUtf8(name) &&
         name.find_first_not_of(' ') != std::string_view::npos;
}

tl::unexpected<Error> BadFidoName() {
  return Fail(ErrorCode::kInvalidArgument,
              "Give the security key a name of 1 to 128 bytes without control characters.");
}

FidoKeyView ViewOf(const FidoKeyRecord& key) {
  return {key.id, key.name, key.created, key.used, key.suspect};
}

class DefaultFidoKeys final : public FidoKeys {
 public:
  DefaultFidoKeys(const CorePorts& ports, SessionConfig sessions, FidoConfig config,
                  FidoVerifier& verifier)
      : ports_(ports),
        config_(std::move(config)),
        verifier_(verifier),
        steps_(ports, std::move(sessions)) {}

  Result<std::vector<FidoKeyView>> Of(const AccountId& account) override {
    const auto keys = ports_.store.FidoKeysOf(account);
    if (!keys) return tl::unexpected(keys.error());
    std::vector<FidoKeyView> views;
    for (const FidoKeyRecord& key : *keys) views.push_back(ViewOf(key));
    return views;
  }

  Result<FidoCeremony> BeginNew(std::string_view token, const Session& session) override {
    if (session.stage == SessionStage::kCodeOwed) return Owed();
    const auto keys = ports_.store.FidoKeysOf(session.actor.id);
    if (!keys) return tl::unexpected(keys.error());
    if (keys->size() >= config_.keys_per_person) return TooMany();
    const auto user = UserHandle(session.actor.id);
    if (!user) return tl::unexpected(user.error());
    auto ceremony = Begin(token, kCreate);
    if (!ceremony) return ceremony;
    for (const FidoKeyRecord& key : *keys) {
      ceremony->keys.push_back({ToBase64Url(key.credential_id), key.transports});
    }
    ceremony->user = ToBase64Url(*user);
    ceremony->login = session.actor.login;
    ceremony->display_name = session.actor.display_name;
    return ceremony;
  }

  Result<FidoKeyAccepted> Add(std::string_view token, const Session& session,
                              const FidoKeyOffer& offer) override {
    return steps_.OnBeat([&] { return TryAdd(token, session, offer); });
  }

  Result<FidoCeremony> BeginProof(std::string_view token, const Session& session) override {
    const auto keys = ports_.store.FidoKeysOf(session.actor.id);
    if (!keys) return tl::unexpected(keys.error());
    std::vector<FidoCeremony::Known> known;
    for (const FidoKeyRecord& key : *keys) {
      if (key.suspect == 0) known.push_back({ToBase64Url(key.credential_id), key.transports});
    }
    if (known.empty() || session.stage == SessionStage::kSetUpOwed) {
      return Fail(ErrorCode::kConflict, "You have no security key here; take a code.");
    }
    auto ceremony = Begin(token, kGet);
    if (ceremony) ceremony->keys = std::move(known);
    return ceremony;
  }

  Result<SignedIn> Prove(std::string_view token, const Session& session,
                         std::string_view answer) override {
    return steps_.OnBeat([&] { return TryProve(token, session, answer); });
  }

  Result<void> Rename(const Actor& actor, const FidoKeyId& id, std::string_view name) override {
    if (!IsFidoName(name)) return BadFidoName();
    const auto renamed =
        ports_.store.RenameFidoKey(actor.id, id, name,
                                   AuditOf(ports_.clock, actor, "factor.key_rename", actor.login,
                                           "ok", "Now: " + std::string(name)));
    if (!renamed) return tl::unexpected(renamed.error());
    return *renamed ? Result<void>() : NoSuchKey();
  }

  Result<void> Remove(const Actor& actor, const FidoKeyId& id) override {
    const auto keys = ports_.store.FidoKeysOf(actor.id);
    if (!keys) return tl::unexpected(keys.error());
    const auto found = std::find_if(keys->begin(), keys->end(),
                                    [&](const FidoKeyRecord& key) { return key.id == id; });
    if (found == keys->end()) return NoSuchKey();
    const auto removed = ports_.store.RemoveFidoKey(
        actor.id, id,
        FactorSteps::WithNotice(
            NoticeKind::kFidoKeyRemoved, actor, actor.id, actor.login,
            AuditOf(ports_.clock, actor, "factor.key_remove", actor.login, "ok", found->name)));
    if (!removed) return tl::unexpected(removed.error());
    if (*removed == FactorStore::FidoKeyRemoved::kNone) return NoSuchKey();
    if (*removed == FactorStore::FidoKeyRemoved::kLast) {
      return Fail(ErrorCode::kConflict,
                  "It is your last security key, and you have no authenticator app; set up "
                  "another one first.");
    }
    return {};
  }

 private:
  static tl::unexpected<Error> NoSuchKey() {
    return Fail(ErrorCode::kNotFound, "You have no such security key.");
  }
  static tl::unexpected<Error> Owed() {
    return Fail(ErrorCode::kConflict, "Prove your second factor first.");
  }
  static tl::unexpected<Error> TooMany() {
    return Fail(ErrorCode::kConflict,
                "You have as many security keys as one may have; remove one first.");
  }

  // Opaque to who reads it, and made anew at any time: of the account, by a key that is not in the
  // database.
  Result<std::array<std::uint8_t, 32>> UserHandle(const AccountId& account) {
    protocol::Secret<32> key;
    if (auto made = ports_.issuer.FactorKey(key); !made) return tl::unexpected(made.error());
    constexpr std::string_view kPurpose = "keyferry fido user handle";
    Bytes text(kPurpose.begin(), kPurpose.end());
    text.insert(text.end(), account.bytes.begin(), account.bytes.end());
    std::array<std::uint8_t, 32> handle{};
    crypto_generichash(handle.data(), handle.size(), text.data(), text.size(), key.view().data(),
                       key.view().size());
    return handle;
  }

  Result<FidoCeremony> Begin(std::string_view token, const char* kind) {
    std::array<std::uint8_t, kChallengeBytes> challenge{};
    if (!ports_.random.Fill(challenge)) return FactorSteps::NoRandom();
    FidoCeremony ceremony;
    ceremony.challenge = ToBase64Url(challenge);
    ceremony.relying_party = config_.relying_party;
    ceremony.user_verification = config_.user_verification;
    ceremony.timeout_millis = config_.challenge_seconds * 1000;
    const auto kept =
        ports_.store.PutChallenge(Sha256(token), kind + ceremony.challenge,
                                  ports_.clock.UnixSeconds() + config_.challenge_seconds);
    if (!kept) return tl::unexpected(kept.error());
    if (!*kept) return Fail(ErrorCode::kUnauthenticated, "Your session has ended; sign in again.");
    return ceremony;
  }

  // The session's challenge, which is no more from now on; empty when there is none of this kind.
  Result<std::string> Take(std::string_view token, std::string_view kind) {
    auto taken = ports_.store.TakeChallenge(Sha256(token), ports_.clock.UnixSeconds());
    if (taken) *taken = taken->rfind(kind, 0) == 0 ? taken->substr(kind.size()) : std::string();
    return taken;
  }

  // What is wrong with an answer, for the audit log; empty: nothing.
  std::string Judge(const FidoClientData& client, const FidoAuthenticatorData& said,
                    std::string_view type, std::string_view challenge) const {
    if (client.type != type) return "It answers another question.";
    if (client.challenge != challenge) return "It answers another challenge.";
    if (std::find(config_.origins.begin(), config_.origins.end(), client.origin) ==
        config_.origins.end()) {
      return "It was made for the origin " + Presentable(client.origin, 100) + ".";
    }
    if (client.cross_origin) return "It was made in a frame of another site.";
    if (!SameDigest(said.relying_party, Sha256(config_.relying_party))) {
      return "It was made for another relying party.";
    }
    if (!said.user_present) return "Nobody touched the key.";
    if (!said.user_verified && config_.user_verification == "required") {
      return "The key did not verify who touched it.";
    }
    return {};
  }

  Result<FidoKeyAccepted> TryAdd(std::string_view token, const Session& session,
                                 const FidoKeyOffer& offer) {
    constexpr const char* kAction = "factor.key_add";
    const Actor& actor = session.actor;
    if (session.stage == SessionStage::kCodeOwed) return Owed();
    if (auto open = steps_.CheckLimit(actor.id); !open) {
      return tl::unexpected(std::move(open.error()));
    }
    if (!IsFidoName(offer.name)) return BadFidoName();
    const auto refuse = [&](const std::string& why) {
      return steps_.Refuse(session, kAction, "wrong_key", why, kNotAccepted);
    };
    const auto challenge = Take(token, kCreate);
    if (!challenge) return tl::unexpected(challenge.error());
    if (challenge->empty()) return refuse("No challenge is open: too late, or used before.");
    constexpr std::size_t kLimits[] = {kMaxClientData, kMaxAttestationObject};
    const auto parts = ParseParts(offer.credential, kLimits);
    if (!parts) return refuse("The answer is damaged.");
    auto created = verifier_.ReadCreation(config_.relying_party, (*parts)[0], (*parts)[1]);
    if (!created) return refuse(created.error().message);
    if (const std::string why =
            Judge(created->client, created->authenticator, "webauthn.create", *challenge);
        !why.empty()) {
      return refuse(why);
    }

    FactorStore::NewFidoKey added;
    added.session = Sha256(token);
    added.most = config_.keys_per_person;
    FidoKeyRecord& key = added.key;
    if (!ports_.random.Fill(key.id.bytes)) return FactorSteps::NoRandom();
    key.account = actor.id;
    key.name = offer.name;
    key.credential_id = std::move(created->credential_id);
    key.algorithm = created->algorithm;
    key.public_key = std::move(created->public_key);
    key.counter = created->authenticator.counter;
    for (const std::string_view known : kTransports) {
      if (std::find(offer.transports.begin(), offer.transports.end(), known) !=
          offer.transports.end()) {
        key.transports.emplace_back(known);
      }
    }
    key.created = ports_.clock.UnixMillis();

    FidoKeyAccepted out;
    out.key = ViewOf(key);
    const auto factor = ports_.store.FindFactor(actor.id);
    if (!factor) return tl::unexpected(factor.error());
    if (!*factor || (*factor)->confirmed == 0) {
      if (!offer.may_be_first) {
        return Fail(ErrorCode::kConflict,
                    "Set up the second factor on the page first: it shows the recovery codes.");
      }
      if (auto first = MakeFirst(token, session, key.created, out); first) {
        added.first = *std::move(first);
      } else {
        return tl::unexpected(first.error());
      }
    }
    const auto done = ports_.store.AddFidoKey(
        added, FactorSteps::WithNotice(
                   NoticeKind::kFidoKeyAdded, actor, actor.id, actor.login,
                   AuditOf(ports_.clock, actor, kAction, actor.login, "ok", key.name)));
    if (!done) return tl::unexpected(done.error());
    switch (*done) {
      case FactorStore::FidoKeyAdded::kYes:
        return out;
      case FactorStore::FidoKeyAdded::kKnown:
        return Fail(ErrorCode::kConflict, "This security key is registered already.");
      case FactorStore::FidoKeyAdded::kTooMany:
        return TooMany();
      case FactorStore::FidoKeyAdded::kGone:
        break;
    }
    return Fail(ErrorCode::kConflict, "This set-up is no longer open; begin it again.");
  }

  Result<FactorStore::NewFidoKey::First> MakeFirst(std::string_view token, const Session& session,
                                                   std::int64_t now, FidoKeyAccepted& out) {
    auto set = MakeRecoverySet(ports_.random);
    if (!set) return tl::unexpected(std::move(set.error()));
    auto renewed = steps_.Renew(session);
    if (!renewed) return tl::unexpected(std::move(renewed.error()));
    FactorStore::NewFidoKey::First first;
    first.factor.account = session.actor.id;
    first.factor.login = session.actor.login;
    first.factor.created = first.factor.confirmed = now;
    first.factor.recovery_salt = set->salt;
    first.recovery = std::move(set->hashes);
    first.swap = FactorSteps::SwapOf(token, *renewed);
    out.signed_in = *std::move(renewed);
    out.recovery = std::move(set->shown);
    return first;
  }

  Result<SignedIn> TryProve(std::string_view token, const Session& session,
                            std::string_view answer) {
    const AccountId& account = session.actor.id;
    if (session.stage == SessionStage::kSetUpOwed) {
      return Fail(ErrorCode::kConflict, "Set up the second factor first.");
    }
    const char* const action =
        session.stage == SessionStage::kComplete ? "session.step_up" : "signin";
    if (auto open = steps_.CheckLimit(account); !open) {
      return tl::unexpected(std::move(open.error()));
    }
    const auto refuse = [&](const std::string& why) {
      return steps_.Refuse(session, action, "wrong_key", why, kNotAccepted);
    };
    const auto challenge = Take(token, kGet);
    if (!challenge) return tl::unexpected(challenge.error());
    if (challenge->empty()) return refuse("No challenge is open: too late, or used before.");
    constexpr std::size_t kLimits[] = {kMaxCredentialId, kMaxClientData, kMaxAuthenticatorData,
                                       kMaxAssertionSignature, kMaxUserHandle};
    const auto parts = ParseParts(answer, kLimits);
    if (!parts) return refuse("The answer is damaged.");
    const auto keys = ports_.store.FidoKeysOf(account);
    if (!keys) return tl::unexpected(keys.error());
    const auto key = std::find_if(keys->begin(), keys->end(), [&](const FidoKeyRecord& one) {
      return one.credential_id == (*parts)[0];
    });
    if (key == keys->end()) return refuse("The key is none of this person's.");
    const auto user = UserHandle(account);
    if (!user) return tl::unexpected(user.error());
    const Bytes& named = (*parts)[4];
    if (!named.empty() && !std::equal(named.begin(), named.end(), user->begin(), user->end())) {
      return refuse("The key names another person.");
    }
    const auto read =
        verifier_.ReadAssertion(config_.relying_party, key->algorithm, key->public_key,
                                {(*parts)[1], (*parts)[2], (*parts)[3]});
    if (!read) return refuse(read.error().message);
    if (const std::string why =
            Judge(read->client, read->authenticator, "webauthn.get", *challenge);
        !why.empty()) {
      return refuse(why);
    }
    if (key->suspect != 0) return Suspect(session, action, *key, {});
    const std::uint32_t counter = read->authenticator.counter;
    if ((counter != 0 || key->counter != 0) && counter <= key->counter) {
      return Suspect(session, action, *key,
                     "Its counter is " + std::to_string(counter) + " after " +
                         std::to_string(key->counter) + ".");
    }

    auto renewed = steps_.Renew(session);
    if (!renewed) return renewed;
    FactorStore::FidoProof proof;
    proof.account = account;
    proof.key = key->id;
    proof.former = key->counter;
    proof.counter = counter;
    proof.time = ports_.clock.UnixMillis();
    const auto spent = ports_.store.SpendFidoProof(
        proof, FactorSteps::SwapOf(token, *renewed), FactorSteps::CounterOf(account),
        AuditOf(ports_.clock, session.actor, action, session.actor.login, "ok",
                "With the security key " + key->name + "."));
    if (!spent) return tl::unexpected(spent.error());
    if (!*spent) return refuse("The key or the session has changed meanwhile.");
    return renewed;
  }

  // A signature that is right, by a key that may be a copy. `why` is empty where that is known.
  tl::unexpected<Error> Suspect(const Session& session, const char* action,
                                const FidoKeyRecord& key, const std::string& why) {
    if (!why.empty()) {
      const std::string text = "The security key " + key.name + " may have been copied. " + why;
      const auto noted =
          ports_.store.SuspectFidoKey(key.account, key.id, ports_.clock.UnixMillis(),
                                      AuditOf(ports_.clock, session.actor, "factor.key_suspect",
                                              session.actor.login, "refused", text));
      if (!noted) return tl::unexpected<Error>(noted.error());
      if (ports_.log) ports_.log("warning: of " + session.actor.login + ": " + text);
    }
    return steps_.Refuse(session, action, "wrong_key", "The key is under suspicion.", kSuspectKey);
  }

  CorePorts ports_;
  FidoConfig config_;
  FidoVerifier& verifier_;
  FactorSteps steps_;
};

}  // namespace

std::unique_ptr<FidoKeys> MakeFidoKeys(const CorePorts& ports, SessionConfig sessions,
                                       FidoConfig config, FidoVerifier& verifier) {
  return std::make_unique<DefaultFidoKeys>(ports, std::move(sessions), std::move(config), verifier);
}

}  // namespace keyferry::server
