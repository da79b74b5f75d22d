#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/key_client.h"
#include "tests/integration/daemon/process.h"
#include "tests/unit/client-daemon/temp_dir.h"
#include "tests/unit/device/organisation.h"
#include "tests/vm/presence.h"
#include "tests/vm/road.h"

namespace keyferry::test {

// A real keyferry-sim on one road, and what a server and a host know of it. Made enrolled; the
// scenarios of one road share it, as a person keeps his key. What goes wrong for good fails the
// test with the words of all that went wrong on the way there.
class Desk {
 public:
  explicit Desk(const Road& road);
  // The one of the road, made at the first call.
  static Desk& On(const Road& road);

  // The key's control: plug, unplug, faults LIST … Returns its answer; fails the test when the key
  // says no.
  std::string Control(const std::string& command);
  bool Plugged();

  // A client on our key among those that are there, waiting until there is one. `divisor` shortens
  // the road's patience. nullptr when it is not there, went away again or does not answer.
  std::unique_ptr<device::KeyClient> Connect(int divisor = 1);

  // The next job for the key; it brings Password(seq).
  void Seal();
  static std::string Password(std::uint64_t seq);
  // Delivers the job as a patient host does: again and again, plugging in what fell out. None when
  // it never got there.
  std::optional<protocol::Receipt> Deliver(int divisor = 1);
  // Exactly once: `receipt` is of the present job and follows the last one, and whoever sends the
  // job again, in the delivery's session where there is one, gets the same bytes. It is then the
  // last one.
  void CheckOnce(const std::optional<protocol::Receipt>& receipt);
  // The session for deliveries, unless there is one.
  bool Open(device::KeyClient& client);
  // The receipt is the last one from now on.
  void Take(const protocol::Receipt& receipt) { last_ = receipt; }
  // PIN, touch, release, confirmation: true when the key gives `Password(seq)` for `seq`.
  bool Releases(std::uint64_t seq);

  const std::vector<std::uint8_t>& job() const { return job_; }
  std::uint64_t seq() const { return seq_; }
  const protocol::Statement& statement() const { return statement_; }
  Presence& presence() { return *presence_; }
  int pulls() const { return pulls_; }

 private:
  std::unique_ptr<device::KeyClient> ConnectAt(const device::KeyPlace& place, int divisor);
  // A session of this identity; more than one try, for a machine so slow that the limits of
  // PROTOCOL.md section 8 end one. Fails the test when none succeeds.
  std::unique_ptr<device::KeyClient> OpenAs(const device::HostIdentity& host,
                                            const std::optional<protocol::X25519Public>& expected);
  void Enrol();
  // One try, which may have come further than its outcome says.
  bool TryEnrol();

  // Kept for the words of a failure; always false.
  bool Note(const std::string& what, const Error& error);
  [[noreturn]] void GiveUp(const std::string& what) const;
  template <typename T>
  T Must(const std::string& what, Result<T> result) {
    if (result) return *std::move(result);
    Note(what, result.error());
    GiveUp(what);
  }
  void Must(const std::string& what, const Result<void>& result) {
    if (result) return;
    Note(what, result.error());
    GiveUp(what);
  }

  const Road& road_;
  TempDir dir_;
  Organisation organisation_;
  protocol::Id account_{0xAC};
  device::HostIdentity host_;
  device::HostIdentity login_;
  std::unique_ptr<Process> key_;
  std::string device_id_;  // hex, as the simulator says
  std::unique_ptr<Presence> presence_;
  protocol::Statement statement_;
  protocol::Receipt last_;
  bool has_pin_ = false;
  std::uint64_t seq_ = 0;
  std::vector<std::uint8_t> job_;
  int pulls_ = 0;
  std::unique_ptr<device::KeyClient> delivered_by_;  // until the check
  protocol::Hash grant_hash_{};                      // of the enrolment that is on its way
  std::deque<std::string> notes_;
};

}  // namespace keyferry::test
