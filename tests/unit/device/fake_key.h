#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "device/transport.h"
#include "protocol/certs.h"
#include "protocol/framing.h"
#include "protocol/messages.h"
#include "protocol/noise.h"
#include "protocol/receipt.h"

namespace keyferry::test {

// A key as small as the host's tests need it: real framing, handshake, receipts and enrolment, no
// storage, no checks of jobs but seq. What it does wrong is data. It answers inside Write.
class FakeKey {
 public:
  using Reports = std::vector<protocol::Report>;

  // Wrong turns; each applies until it is set back.
  struct Faults {
    bool never_answer = false;                  // nothing comes back but INIT
    int never_answer_times = 0;                 // the same for the next n messages
    bool keepalive_for_ever = false;            // KEEPALIVE instead of the answer, INIT apart
    bool touch_for_ever = false;                // the same, asking for a touch
    std::optional<protocol::FrameError> error;  // answer with this ERROR
    int drop_session_times = 0;                 // forget the session before the next n MSGs
    bool wrong_req_id = false;
    bool wrong_receipt = false;                    // a receipt for another job
    bool forged_receipt = false;                   // signed by nobody
    bool other_cid_first = false;                  // a frame of a stranger's cid before each answer
    int touch_keepalives = 0;                      // KEEPALIVE 2 this often before an answer to MSG
    bool swallow_receipt_once = false;             // the job is stored, its receipt lost
    std::optional<std::vector<std::uint8_t>> raw;  // these bytes, cut into reports, for any message
    std::optional<protocol::Status> refuse;        // this status to every request
  };

  FakeKey();
  // A transport to it; several at once are like several programs at one key. The key must outlive
  // them.
  std::unique_ptr<device::Transport> Connect();
  void Unplug();  // every transport fails from now on
  void PlugIn();
  // Other faults from now on, while somebody may be talking to it.
  template <typename Change>
  void Trouble(Change change) {
    const std::scoped_lock lock(mutex_);
    change(faults);
  }
  // Sends a report nobody asked for, to every transport.
  void Spill(const protocol::Report& report);

  protocol::Transport transport = protocol::Transport::kSocket;  // of the hop prologue
  Faults faults;  // set before anybody connects, or between one's own calls; else by Trouble
  protocol::Info info;
  protocol::KeyStatus status;
  protocol::Id account_id{};
  protocol::P256Private device_key;
  protocol::P256Public device_public{};
  protocol::X25519Private noise_key;
  protocol::X25519Public noise_public{};

  std::vector<std::vector<std::uint8_t>> stored;                 // jobs accepted, in order
  std::vector<protocol::Bytes<protocol::kReceiptSize>> journal;  // positive receipts
  std::atomic<int> handshakes = 0;
  std::atomic<int> cancels = 0;
  std::atomic<int> messages = 0;

 private:
  class Port;
  struct Channel {
    protocol::Assembler assembler;
    std::optional<protocol::NoiseResponder> handshake;
    std::optional<protocol::HopSession> session;
  };

  Reports OnReport(const protocol::Report& report);
  void Reply(Reports& out, std::uint32_t cid, protocol::FrameCommand command,
             protocol::ByteView payload);
  void Error(Reports& out, std::uint32_t cid, protocol::FrameError error);
  void OnMessage(Reports& out, std::uint32_t cid, protocol::FrameCommand command,
                 protocol::ByteView payload);
  void OnHandshake(Reports& out, std::uint32_t cid, protocol::FrameCommand command,
                   protocol::ByteView payload);
  void OnRequest(Reports& out, std::uint32_t cid, protocol::ByteView payload);
  protocol::Status Serve(protocol::Op op, protocol::ByteView body,
                         std::vector<std::uint8_t>& answer);
  protocol::Status PutJob(protocol::ByteView job, std::vector<std::uint8_t>& answer);
  protocol::Receipt MakeReceipt(protocol::Status result, const protocol::Hash& job_hash);

  std::mutex mutex_;
  std::vector<Port*> ports_;
  bool unplugged_ = false;
  std::map<std::uint32_t, Channel> channels_;
  std::uint32_t next_cid_ = 0x1000;
  std::vector<std::uint8_t> begin_;
  std::vector<std::uint8_t> statement_;
};

}  // namespace keyferry::test
