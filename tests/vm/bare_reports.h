#pragma once

#include <memory>
#include <string>

#include "device/link.h"
#include "protocol/framing.h"

namespace keyferry::test {

// Reports to and from a key with nothing of Keyferry's in between: the plainest program that there
// can be on a road, which waits in the kernel's own calls, on one thread.
class BareReports {
 public:
  virtual ~BareReports() = default;
  // False: it failed.
  virtual bool Write(const protocol::Report& report) = 0;
  virtual bool Read(protocol::Report& report) = 0;
};

// write() and read() at a /dev/hidrawN. nullptr: it cannot be opened.
std::unique_ptr<BareReports> BareHidraw(const std::string& path);
// libusb's calls that wait, at a device of the path that discovery tells.
std::unique_ptr<BareReports> BareLibusb(const std::string& path);

// Messages by bare reports, on a channel of their own: no deadline, no turn, no second thread. A
// key that says anything but KEEPALIVE and the answer is an error. nullptr: the key gives no
// channel.
std::unique_ptr<device::MessageLink> BareLink(std::unique_ptr<BareReports> reports);

}  // namespace keyferry::test
