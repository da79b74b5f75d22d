#pragma once

#include <memory>
#include <optional>
#include <string>

#include "firmware-sim/core/factory.h"
#include "firmware-sim/core/key.h"
#include "firmware-sim/endpoint/endpoint.h"
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
  std::string socket_path;          // "": no socket
  bool share_socket = false;        // other users may connect
  std::vector<MakeEndpoint> plugs;  // beside the socket
  std::string control_path;         // "": `socket_path`.ctl, without a socket `state_path`.ctl
  std::string state_path;
  std::uint16_t vendor = 0x1209;
  std::uint16_t product = 0x0001;
  TouchMode touch = TouchMode::kAuto;
  Faults faults;
};

// A key with its plugs: the core, its flash in a file, and a control socket. It has power while at
// least one plug is in. One thread: Run polls until Stop.
class Simulator : private FrameSink,
                  private TouchPort,
                  private Clock,
                  private ReceiptFault,
                  private EndpointClient {
 public:
  explicit Simulator(SimulatorOptions options);
  ~Simulator() override;

  // Makes the key when the state file is fresh, plugs it in everywhere and listens for commands.
  Result<void> Start();
  // One line of JSON for whoever started the program: what is ready, and where.
  std::string ReadyLine() const;
  // Returns when `stop_fd` becomes readable, leaving the state as it is (it is always durable).
  Result<void> Run(int stop_fd);

 private:
  Result<void> Plug(const std::vector<Endpoint*>& plugs);
  void Unplug(const std::vector<Endpoint*>& plugs);
  Result<std::vector<Endpoint*>> Named(std::string_view name) const;
  void PowerOn();
  void PowerOff();
  std::uint8_t NumberOf(const Endpoint& endpoint) const;
  std::string OnControl(std::string_view line);
  std::string OnPlugCommand(bool in, std::string_view name);
  std::string OnFaults(std::string_view text);
  std::string OnDisconnect(std::string_view name);
  std::string OnPair(bool same);
  std::string StatusJson() const;
  std::string PlacesJson() const;
  std::optional<FramePipe::Time> NextDue(FramePipe::Time now) const;
  void OnTerminal();
  void GiveTouch(TouchEvent event);
  void AnswerTouchWaits();
  void PumpAll();
  // A host is still at the reports of the last answer.
  bool BeingFetched(FramePipe::Time now) const;

  // From the plugs.
  void OnFrame(Endpoint& at, protocol::ByteView frame, std::uint32_t host) override;
  void OnBleLink(Endpoint& at, std::size_t max_fragment) override;
  void OnHostGone(Endpoint& at) override;
  void OnPulled(Endpoint& at, const std::string& why) override;
  std::optional<protocol::Bytes<protocol::kInfoSize>> Info() const override;

  // Ports of the core.
  void Send(protocol::ByteView frame, const Origin& origin) override;
  void WaitBegan(bool held) override;
  void WaitEnded() override;
  void Wink() override;
  std::uint64_t NowMs() const override;
  void BeforeSigning(protocol::Receipt& receipt) override;

  SimulatorOptions options_;
  std::unique_ptr<FileFlash> flash_;
  std::unique_ptr<Key> key_;  // null while unplugged
  Factory factory_;
  FramePipe in_;
  FramePipe out_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
  PacketServer control_;
  bool waiting_ = false;
  bool wait_held_ = false;
  bool unplug_now_ = false;
  std::vector<Endpoint*> pulled_;  // by the operating system, not yet dealt with
  std::uint32_t power_ons_ = 0;    // of this process
  bool preparing_ = false;         // the key has more to make ahead
  FramePipe::Time arrived_{};      // the last report in
  FramePipe::Time sent_{};         // the last one out
  bool answered_ = true;           // with a report at least
  FramePipe::Time::duration
      answer_took_{};  // from a message's last report to the first of its answer
  protocol::X25519Public last_recipient_{};  // of the receipt before, for stale-epoch
};

}  // namespace keyferry::sim
