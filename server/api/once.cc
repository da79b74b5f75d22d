#include "server/api/once.h"

#include <sodium.h>

#include <array>
#include <utility>

#include "protocol/crypto.h"
#include "server/api/problem.h"
#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

// Who asked, as the journal knows it.
std::string PrincipalOf(const Request& request) {
  if (request.token) return "token/" + request.token->Hex();
  return "session/" + ToHex(Sha256(request.session_token));
}

class AnswerKey {
 public:
  AnswerKey(const Request& request, std::string_view key) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, nullptr, 0, key_.size());
    for (const std::string_view part :
         {std::string_view("keyferry/answer/v1"), std::string_view(request.session_token), key}) {
      const std::uint64_t size = part.size();
      crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(&size), sizeof size);
      crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(part.data()),
                                part.size());
    }
    crypto_generichash_final(&state, key_.data(), key_.size());
  }
  ~AnswerKey() { sodium_memzero(key_.data(), key_.size()); }
  AnswerKey(const AnswerKey&) = delete;
  AnswerKey& operator=(const AnswerKey&) = delete;

  Bytes Seal(std::string_view text) const {
    Bytes out(crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + text.size());
    randombytes_buf(out.data(), crypto_secretbox_NONCEBYTES);
    crypto_secretbox_easy(out.data() + crypto_secretbox_NONCEBYTES,
                          reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                          out.data(), key_.data());
    return out;
  }
  std::optional<std::string> Open(const Bytes& sealed) const {
    constexpr std::size_t kOver = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES;
    if (sealed.size() < kOver) return std::nullopt;
    std::string text(sealed.size() - kOver, '\0');
    if (crypto_secretbox_open_easy(reinterpret_cast<unsigned char*>(text.data()),
                                   sealed.data() + crypto_secretbox_NONCEBYTES,
                                   sealed.size() - crypto_secretbox_NONCEBYTES, sealed.data(),
                                   key_.data()) != 0) {
      return std::nullopt;
    }
    return text;
  }

 private:
  std::array<unsigned char, crypto_secretbox_KEYBYTES> key_{};
};

bool WasTried(int status) {
  return status < 500 && status != 400 && status != 415 && status != 429;
}

Response Repeat(const Request& request, const AnswerKey& key, const StoredAnswer& answer) {
  auto body = key.Open(answer.sealed);
  if (!body) {
    return ProblemOf(request, "internal", "The stored answer to this request cannot be read.");
  }
  Response response;
  response.status = answer.status;
  response.content_type = answer.content_type;
  response.body = *std::move(body);
  return std::move(response.With("Idempotency-Replayed", "true"));
}

Response Run(Services& services, const Handler& handler, Request& request) {
  if (auto refused = RefuseIdempotencyKey(request)) return *std::move(refused);
  const std::string key(request.Header("idempotency-key"));
  const std::string principal = PrincipalOf(request);
  const std::string path = request.PathText();
  const Hash32 hash =
      protocol::Sha256Of(protocol::Label("keyferry/request/v1"), Sha256(path), request.body.span());
  const AnswerKey sealing(request, key);
  const auto begun = services.journal.Begin(principal, key, hash);
  if (!begun) {
    services.report(request, begun.error());
    return Problem(request, begun.error());
  }
  switch (begun->kind) {
    case RequestJournal::Begun::kFresh:
      break;
    case RequestJournal::Begun::kAnswered:
      return Repeat(request, sealing, begun->answer);
    case RequestJournal::Begun::kOther:
      return ProblemOf(request, "idempotency_mismatch",
                       "This Idempotency-Key was used for another request; take a new one.");
    case RequestJournal::Begun::kRunning:
      return ProblemOf(request, "request_running",
                       "This request is being carried out; ask again in a moment.");
  }
  const auto note = [&](const Result<void>& done) {
    if (!done) services.report(request, done.error());
  };
  try {
    Response response = handler(request);
    if (WasTried(response.status)) {
      note(services.journal.Finish(
          principal, key, {response.status, response.content_type, sealing.Seal(response.body)}));
    } else {
      note(services.journal.Forget(principal, key));
    }
    return response;
  } catch (...) {
    note(services.journal.Forget(principal, key));
    throw;
  }
}

}  // namespace

bool IsIdempotencyKey(std::string_view text) {
  if (text.size() < 8 || text.size() > 64) return false;
  for (const char c : text) {
    if (c <= 0x20 || c >= 0x7F) return false;
  }
  return true;
}

std::optional<Response> RefuseIdempotencyKey(const Request& request) {
  if (IsIdempotencyKey(request.Header("idempotency-key"))) return std::nullopt;
  return ProblemOf(request, "idempotency_key_missing",
                   "The header Idempotency-Key must hold 8 to 64 printable characters.");
}

Handler Once(Services& services, Handler handler) {
  return [&services, handler = std::move(handler)](Request& request) {
    return Run(services, handler, request);
  };
}

}  // namespace keyferry::server
