#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client-daemon/core/encoding.h"
#include "client-daemon/core/server_port.h"

namespace keyferry::daemon {

// One thing that the server is still to be told (docs/workstation-api.md section 2).
struct Post {
  enum Kind {
    kKeys,              // keys: the full list
    kSpooled,           // id: the job
    kJobProblem,        // id, code, message
    kReceipt,           // device, bytes, name: of its file in the spool
    kEnrolmentReceipt,  // id, bytes, name
    kEnrolmentProblem,  // id, code, message
    kUsed,              // device, seq
  };
  Kind kind = kKeys;
  Id id{};
  Id device{};
  std::uint64_t seq = 0;
  std::string code;
  std::string message;
  std::string name;
  Bytes bytes;
  std::vector<SeenKey> keys;
  std::uint64_t number = 0;  // given by the outbox
};

// The posts that wait, oldest first. A newer post about the same thing takes the place of the older
// one. What must not be lost is in the spool as well and is put here again after a start. Bounded:
// beyond kMax posts the oldest of those that are only a courtesy (spooled, problem) are dropped.
// Thread-safe.
class Outbox {
 public:
  static constexpr std::size_t kMax = 8192;

  void Put(Post post);
  // Waits for the oldest post, without taking it away. Nothing after Stop.
  std::optional<Post> Wait();
  // The server has it. Nothing happens when a newer one took its place meanwhile.
  void Done(const Post& post);
  void Stop();
  std::size_t size() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Post> posts_;
  std::uint64_t next_number_ = 1;
  bool stopped_ = false;
};

}  // namespace keyferry::daemon
