#include "client-daemon/core/key_records.h"

#include <algorithm>
#include <string_view>

#include "client-daemon/core/files.h"
#include "client-daemon/core/sealed_file.h"
#include "protocol/bytes.h"

namespace keyferry::daemon {
namespace {

constexpr std::size_t kMaxLogin = 104;

// device(16) state(1) account(16) record(690) login(0…104)
Bytes Encode(const KeyEvent& event) {
  Bytes out(16 + 1 + 16 + event.record.size() + event.login.size());
  protocol::Writer(out)
      .Put(event.device)
      .U8(event.state)
      .Put(event.account)
      .Put(event.record)
      .Put(protocol::AsBytes(event.login));
  return out;
}

std::optional<KeyEvent> Decode(const Bytes& payload) {
  protocol::Reader reader(payload);
  KeyEvent out;
  out.device = reader.Array<16>();
  const std::uint8_t state = reader.U8();
  out.account = reader.Array<16>();
  out.record = reader.Array<690>();
  const auto login = reader.Take(reader.remaining());
  if (!reader.ok() || state > KeyEvent::kRevoked || login.size() > kMaxLogin) return std::nullopt;
  out.state = static_cast<KeyEvent::State>(state);
  out.login.assign(login.begin(), login.end());
  return out;
}

// A directory compares logins without case; ASCII, as the login agent does.
bool SameLogin(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

Result<KnownKey> Verify(const KeyEvent& event, const KeyRecords::Root& root) {
  auto identity = device::VerifyKeyRecord(root, event.record);
  if (!identity) return tl::unexpected(identity.error());
  if (identity->device_id != event.device || identity->account_id != event.account) {
    return Fail(ErrorCode::kProtocol,
                "The server's description of a key does not match the key's own record.");
  }
  return KnownKey{event, *identity};
}

}  // namespace

Result<std::unique_ptr<KeyRecords>> KeyRecords::Open(
    const std::string& directory, const std::optional<Root>& root,
    const std::function<void(const std::string&)>& warn) {
  const std::string bad = directory + "/bad";
  for (const std::string& path : {directory, bad}) {
    if (auto made = MakePrivateDirectory(path); !made) return tl::unexpected(made.error());
  }
  std::unique_ptr<KeyRecords> records(new KeyRecords(directory));
  if (!root) return records;
  const auto loaded =
      LoadChecked(directory, bad, warn, [&](const std::string& name, Bytes payload) {
        const auto event = Decode(payload);
        if (!event || name != Hex(event->device) + ".key") return false;
        auto known = Verify(*event, *root);
        if (!known || records->keys_.size() == kMax) return false;
        records->keys_.emplace(event->device, *std::move(known));
        return true;
      });
  if (!loaded) return tl::unexpected(loaded.error());
  return records;
}

Result<void> KeyRecords::Put(const KeyEvent& event, const Root& root) {
  auto known = Verify(event, root);
  if (!known) return tl::unexpected(known.error());
  const std::scoped_lock lock(mutex_);
  const auto old = keys_.find(event.device);
  if (old == keys_.end() && keys_.size() >= kMax) {
    return Fail(ErrorCode::kUnavailable, "This workstation remembers too many keys already.");
  }
  const Bytes payload = Encode(event);
  if (old != keys_.end() && Encode(old->second.event) == payload) return {};
  if (auto written = WriteChecked(directory_ + "/" + Hex(event.device) + ".key", payload);
      !written) {
    return written;
  }
  keys_.insert_or_assign(event.device, *std::move(known));
  return {};
}

std::optional<KnownKey> KeyRecords::Find(const Id& device) const {
  const std::scoped_lock lock(mutex_);
  const auto found = keys_.find(device);
  if (found == keys_.end()) return std::nullopt;
  return found->second;
}

std::vector<KnownKey> KeyRecords::OfLogin(const std::string& login) const {
  const std::scoped_lock lock(mutex_);
  std::vector<KnownKey> out;
  for (const auto& [id, key] : keys_) {
    if (SameLogin(key.event.login, login) && key.event.state == KeyEvent::kActive)
      out.push_back(key);
  }
  return out;
}

}  // namespace keyferry::daemon
