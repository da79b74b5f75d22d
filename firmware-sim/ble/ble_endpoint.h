#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "firmware-sim/ble/gatt_application.h"
#include "firmware-sim/ble/pairing_agent.h"
#include "firmware-sim/endpoint/endpoint.h"

namespace keyferry::sim {

// The key as a Bluetooth LE peripheral of one adapter, through bluetoothd. One central at a time:
// the first that writes or subscribes has the key until it disconnects; others are refused.
//
// The bus is part of the simulator's poll loop (no thread: everything that D-Bus tells is about the
// one key, which belongs to that loop). The calls to bluetoothd are asynchronous, because it calls
// back before it answers. Fragments go through sockets that bluetoothd acquires (AcquireWrite,
// AcquireNotify); D-Bus carries them only while there are none.
//
// bluetoothd may be restarted and the adapter switched off and on: the key registers anew. It
// advertises while nobody is connected, as keys do that have one link. Linux 6.1 would go on
// advertising, when a central has left, as it did when that central came: at once, so that a
// central near by (in btvirt within a millisecond) comes back before bluetoothd has understood that
// it left, and stays without services; and where that advertisement is gone meanwhile (the key was
// pulled out, bluetoothd restarted), so that nobody can connect.
class BleEndpoint final : public Endpoint {
 public:
  struct Options {
    std::string adapter;  // hci0
    PairMode pairing = PairMode::kAsk;
    std::string bus_address;  // "": the system bus
  };

  BleEndpoint(EndpointClient& client, Options options);
  ~BleEndpoint() override;

  const char* Name() const override { return "ble"; }
  protocol::Transport Transport() const override { return protocol::Transport::kBle; }
  std::string Place() const override { return options_.adapter + ", name " + name_; }
  // Returns when the service and its advertisement are registered. Waits 30 s at most.
  Result<void> Appear(const Identity& identity) override;
  void Vanish() override;
  bool Present() const override { return present_; }
  bool Disconnect() override;
  bool AnswerPairing(bool same) override;
  void AppendPollFds(std::vector<pollfd>& fds) const override;
  void OnPoll(const pollfd& ready) override;
  std::optional<Time> NextDue() const override;
  void OnTime(Time now) override;
  void Send(protocol::ByteView frame, std::uint32_t host) override;

 private:
  // What has to be registered with bluetoothd.
  enum Part : std::size_t { kApplication, kAdvertisement, kAgent, kParts };
  enum class State { kIdle, kAsked, kDone, kLeaving };

  void Open(const Identity& identity);
  void Match();
  void Register();
  void Ask(Part part);
  // Advertising has an end when somebody is connected.
  bool Wanted(Part part) const { return part != kAdvertisement || connected_.empty(); }
  template <typename Condition>
  bool AnyWanted(Condition condition) const {
    for (const Part part : {kApplication, kAdvertisement, kAgent}) {
      if (Wanted(part) && condition(parts_[part])) return true;
    }
    return false;
  }
  void Withdraw();
  void Connected(const std::string& device, bool is);
  void Silence();
  void OnAnswer(Part part, const sdbus::Error* error);
  void OnBluez(bool there);
  void OnProperties(sdbus::Message& signal);
  bool Process();
  void Claim(const Central& central);
  void CentralGone();
  int AcquireWrite(const Central& central);
  int AcquireNotify(const Central& central);
  std::vector<std::uint8_t> Read(const Central& central) const;
  void ReadFragments(int fd);
  void CloseWrites();

  EndpointClient& client_;
  const Options options_;
  const std::string adapter_path_;
  std::string name_;
  bool present_ = false;
  bool bluez_there_ = true;
  std::optional<Error> failed_;  // of a registration
  State parts_[kParts]{};
  bool stale_ = false;  // the advertisement that is being registered has to be made anew
  std::set<std::string> connected_;  // D-Bus objects of the adapter's devices
  Time retry_at_{};

  std::unique_ptr<sdbus::IConnection> bus_;
  std::unique_ptr<sdbus::IProxy> adapter_;
  std::unique_ptr<sdbus::IProxy> manager_;  // /org/bluez
  std::unique_ptr<GattApplication> application_;
  std::unique_ptr<PairingAgent> agent_;

  std::string central_;  // the D-Bus object of who has the key, "": nobody
  std::size_t fragment_ = 0;
  std::deque<int> writes_;  // sockets from bluetoothd, oldest first
  int notify_ = -1;         // socket to bluetoothd
};

}  // namespace keyferry::sim
