#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client-daemon/core/server_port.h"
#include "device/key_record.h"
#include "protocol/result.h"

namespace keyferry::daemon {

// A key of the organisation, as the server described it, with its proof checked.
struct KnownKey {
  KeyEvent event;
  device::KeyIdentity identity;
};

// The keys that this workstation has met, on disk (DIR/<device_id>.key), so that a login works
// without the server. Every record is verified against the pinned root, when it comes and again
// when it is read. Thread-safe; blocks on the disk.
class KeyRecords {
 public:
  static constexpr std::size_t kMax = 1024;
  using Root = std::array<std::uint8_t, 65>;

  // Without `root` (not approved yet) nothing is read.
  static Result<std::unique_ptr<KeyRecords>> Open(
      const std::string& directory, const std::optional<Root>& root,
      const std::function<void(const std::string&)>& warn);

  Result<void> Put(const KeyEvent& event, const Root& root);
  std::optional<KnownKey> Find(const Id& device) const;
  // Active keys of this person; logins differ in more than ASCII case.
  std::vector<KnownKey> OfLogin(const std::string& login) const;

 private:
  explicit KeyRecords(std::string directory) : directory_(std::move(directory)) {}

  const std::string directory_;
  mutable std::mutex mutex_;
  std::map<Id, KnownKey> keys_;
};

}  // namespace keyferry::daemon
