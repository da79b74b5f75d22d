#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "server/core/clock.h"
#include "server/core/records.h"
#include "server/core/store.h"

namespace keyferry::server {

// The answers of requests that carried an idempotency key, so that a repeated one gets the same
// answer and does nothing. `principal` is who asked. Answers are kept for a day, as the caller
// sealed them: they can hold what is told only once. Thread-safe; blocks on the database.
class RequestJournal {
 public:
  struct Begun {
    enum Kind {
      kFresh,     // do it, then Finish or Forget
      kAnswered,  // `answer` is what was said before
      kOther,     // the key was used for another request
      kRunning,   // the same request is being carried out
    };
    Kind kind = kFresh;
    StoredAnswer answer;
  };

  virtual ~RequestJournal() = default;
  virtual Result<Begun> Begin(std::string_view principal, std::string_view key,
                              const Hash32& request) = 0;
  virtual Result<void> Finish(std::string_view principal, std::string_view key,
                              const StoredAnswer& answer) = 0;
  // Nothing came of it: the key may be used again.
  virtual Result<void> Forget(std::string_view principal, std::string_view key) = 0;
};

std::unique_ptr<RequestJournal> MakeRequestJournal(Store& store, const Clock& clock);

}  // namespace keyferry::server
