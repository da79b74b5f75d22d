#pragma once

#include <sdbus-c++/IObject.h>
#include <sdbus-c++/Message.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "device/ble/bluez_watch.h"
#include "device/ble/bus_loop.h"

namespace keyferry::device {

// org.bluez.Agent1 of ours, DisplayYesNo. Believes bluetoothd alone, lets RequestConfirmation
// through to `on_question` and refuses whatever is weaker. On the loop's thread only.
class PairingAgent {
 public:
  static constexpr char kPath[] = "/org/keyferry/agent";

  struct Events {
    std::function<bool(const std::string& device)> wanted;  // may this one be paired at all?
    std::function<void(const std::string& device, const std::string& digits)> on_question;
    std::function<void()> on_moot;  // the question that was open is none any more
    std::function<void(const std::string& device, const std::string& how)> on_weak;
  };

  PairingAgent(BusLoop& loop, const BluezWatch& watch, Events events);

  void Up();    // exports the object; needs a connection
  void Down();  // gone, with its question
  void Answer(bool same);

 private:
  using Handler = std::function<void(sdbus::MethodCall& call)>;
  void Method(const char* name, const char* input, const char* output, Handler handler);
  void Refuse(sdbus::MethodCall& call);
  void RefuseWeak(sdbus::MethodCall& call, const char* how);

  BusLoop& loop_;
  const BluezWatch& watch_;
  const Events events_;
  std::unique_ptr<sdbus::IObject> object_;
  std::optional<sdbus::MethodCall> question_;
};

}  // namespace keyferry::device
