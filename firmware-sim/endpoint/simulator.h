#pragma once

#include <memory>
#include <optional>
#include <string>

#include "firmware-sim/core/key.h"
#include "firmware-sim/endpoint/frame_pipe.h"
#include "firmware-sim/endpoint/socket_endpoint.h"
#include "firmware-sim/faults.h"
#include "firmware-sim/flash/file_flash.h"
#include "protocol/result.h"

namespace keyferry::sim {

enum class TouchMode : std::uint8_t {
  kAuto,   // every touch is given at once, one to be held counts as held
  kAsk,    // a person gives it: Enter on the terminal, or `ctl touch`
  kNever,  // nobody is there
};

struct SimulatorOptions {
  std::string socket_path;
  bool share_socket = false;  // other users may connect
  std::string state_path;
  TouchMode touch = TouchMode::kAuto;
  Faults faults;
};

// A key with a socket for a plug: the core, its flash in a file, and a control socket
// (`socket_path`.ctl). One thread: Run polls until Stop.
class Simulator : private ReportSink, private TouchPort, private Clock, private ReceiptFault {
 public:
  explicit Simulator(SimulatorOptions options);
  ~Simulator() override;

  // Makes the key when the state file is fresh, plugs it in and listens.
  Result<void> Start();
  // One line of JSON for whoever started the program: what is ready, and where.
  std::string ReadyLine() const;
  // Returns when `stop_fd` becomes readable, leaving the state as it is (it is always durable).
  Result<void> Run(int stop_fd);

 private:
  Result<void> Plug();
  void Unplug();
  std::string OnControl(std::string_view command);
  std::string StatusJson() const;
  void OnTerminal();
  void GiveTouch(TouchEvent event);
  void AnswerTouchWaits();
  void PumpAll();

  // Ports of the core.
  void Send(const protocol::Report& report, Origin origin) override;
  void WaitBegan(bool held) override;
  void WaitEnded() override;
  void Wink() override;
  std::uint64_t NowMs() const override;
  void BeforeSigning(protocol::Receipt& receipt) override;

  SimulatorOptions options_;
  std::unique_ptr<FileFlash> flash_;
  std::unique_ptr<Key> key_;  // null while unplugged
  std::string device_id_;
  FramePipe in_;
  FramePipe out_;
  SocketEndpoint endpoint_;
  PacketServer control_;
  bool waiting_ = false;
  bool wait_held_ = false;
  bool unplug_now_ = false;
  bool preparing_ = false;                   // the key has more to make ahead
  protocol::X25519Public last_recipient_{};  // of the receipt before, for stale-epoch
};

}  // namespace keyferry::sim
