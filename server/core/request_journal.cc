#include "server/core/request_journal.h"

#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

constexpr std::int64_t kAnswerKept = 24LL * 3600 * 1000;
// One that was begun so long ago and has no answer: its server died. It is carried out again; what
// it asks for is judged by the state of things then.
constexpr std::int64_t kAnswerLost = 120'000;

class StoredJournal final : public RequestJournal {
 public:
  StoredJournal(Store& store, const Clock& clock) : store_(store), clock_(clock) {}

  Result<Begun> Begin(std::string_view principal, std::string_view key,
                      const Hash32& request) override {
    const std::int64_t now = clock_.UnixMillis();
    auto claim = store_.ClaimRequest({std::string(principal), Sha256(key), request, now},
                                     now - kAnswerLost, now - kAnswerKept);
    if (!claim) return tl::unexpected(std::move(claim.error()));
    Begun begun;
    if (claim->fresh) return begun;
    if (claim->request != request) {
      begun.kind = Begun::kOther;
    } else if (claim->answer.status == 0) {
      begun.kind = Begun::kRunning;
    } else {
      begun.kind = Begun::kAnswered;
      begun.answer = std::move(claim->answer);
    }
    return begun;
  }

  Result<void> Finish(std::string_view principal, std::string_view key,
                      const StoredAnswer& answer) override {
    return store_.AnswerRequest(principal, Sha256(key), answer);
  }

  Result<void> Forget(std::string_view principal, std::string_view key) override {
    return store_.ForgetRequest(principal, Sha256(key));
  }

 private:
  Store& store_;
  const Clock& clock_;
};

}  // namespace

std::unique_ptr<RequestJournal> MakeRequestJournal(Store& store, const Clock& clock) {
  return std::make_unique<StoredJournal>(store, clock);
}

}  // namespace keyferry::server
