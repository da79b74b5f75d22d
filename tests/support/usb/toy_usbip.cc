// A USB device for the kernel's vhci_hcd, over one end of a socket pair
// (Documentation/usb/usbip_protocol).
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "tests/support/usb/toy_device.h"

namespace keyferry::test {
namespace {

constexpr char kController[] = "/sys/devices/platform/vhci_hcd.0/";
constexpr std::uint32_t kCmdSubmit = 1, kCmdUnlink = 2, kRetSubmit = 3, kRetUnlink = 4;
constexpr int kPipe = -32, kConnectionReset = -104;
constexpr int kFullSpeed = 2, kDeviceNumber = 2;

struct Header {  // big-endian on the wire
  std::uint32_t command, seqnum, devid, direction, endpoint;
  std::uint32_t words[5];
  std::uint8_t setup[8];
};
static_assert(sizeof(Header) == 48);

// A port that nothing is plugged into: its line in `status` says state 004.
int FreePort() {
  std::ifstream in(std::string(kController) + "status");
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string hub, port, state;
    words >> hub >> port >> state;
    if (hub == "hs" && state == "004") return std::stoi(port);
  }
  throw std::runtime_error("no free port of vhci_hcd");
}

class UsbDevice final : public ToyDevice {
 public:
  explicit UsbDevice(const ToySettings& settings) : settings_(settings) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
      throw std::runtime_error("no socket pair");
    }
    fd_ = fds[0];
    thread_ = std::thread([this] { Serve(); });
    bool attached = false;
    for (int attempt = 0; attempt < 8 && !attached; ++attempt) {
      std::ofstream attach(std::string(kController) + "attach");
      attach << FreePort() << ' ' << fds[1] << ' ' << (1 << 16 | kDeviceNumber) << ' '
             << kFullSpeed;
      attached = attach.flush().good();
    }
    close(fds[1]);
    if (!attached) {
      Unplug();
      throw std::runtime_error("vhci_hcd refused the device");
    }
  }

  ~UsbDevice() override { Unplug(); }

  void Say(std::span<const std::uint8_t> report) override {
    const std::scoped_lock lock(mutex_);
    said_.emplace_back(report.begin(), report.end());
    Flush();
  }

  void Unplug() override {
    if (!thread_.joinable()) return;
    shutdown(fd_, SHUT_RDWR);
    thread_.join();
    close(fd_);
  }

 private:
  bool Receive(void* to, std::size_t size) {
    return size == 0 || recv(fd_, to, size, MSG_WAITALL) == static_cast<ssize_t>(size);
  }

  void Serve() {
    Header header;
    while (Receive(&header, sizeof header)) {
      const std::uint32_t command = ntohl(header.command);
      if (command == kCmdUnlink) {
        Unlink(ntohl(header.seqnum), ntohl(header.words[0]));
        continue;
      }
      if (command != kCmdSubmit) return;
      const bool in = ntohl(header.direction) == 1;
      const std::uint32_t length = ntohl(header.words[1]);
      Bytes data(in ? 0 : length);
      if (length > 65536 || !Receive(data.data(), data.size())) return;
      const std::uint32_t seqnum = ntohl(header.seqnum);
      const std::scoped_lock lock(mutex_);
      if (ntohl(header.endpoint) == 0) {
        Control(seqnum, in, length, header.setup);
      } else if (in) {
        waiting_.push_back({seqnum, length});
        Flush();
      } else if (settings_.take) {
        ++heard_;
        Answer(seqnum, 0, length, {});
        if (settings_.echo) said_.push_back(std::move(data));
        Flush();
      } else {
        stuck_.push_back(seqnum);
      }
    }
  }

  void Unlink(std::uint32_t seqnum, std::uint32_t victim) {
    const std::scoped_lock lock(mutex_);
    const auto waits = std::find_if(waiting_.begin(), waiting_.end(),
                                    [victim](const auto& one) { return one.first == victim; });
    const auto stuck = std::find(stuck_.begin(), stuck_.end(), victim);
    const bool found = waits != waiting_.end() || stuck != stuck_.end();
    if (waits != waiting_.end()) waiting_.erase(waits);
    if (stuck != stuck_.end()) stuck_.erase(stuck);
    Header out{};
    out.command = htonl(kRetUnlink);
    out.seqnum = htonl(seqnum);
    out.words[0] = htonl(found ? static_cast<std::uint32_t>(kConnectionReset) : 0);
    Send(&out, sizeof out);
  }

  void Flush() {
    while (!said_.empty() && !waiting_.empty()) {
      const auto [seqnum, room] = waiting_.front();
      waiting_.pop_front();
      Bytes report = std::move(said_.front());
      said_.pop_front();
      report.resize(std::min<std::size_t>(report.size(), room));
      Answer(seqnum, 0, static_cast<std::uint32_t>(report.size()), report);
    }
  }

  void Answer(std::uint32_t seqnum, int status, std::uint32_t length, const Bytes& data) {
    Header out{};
    out.command = htonl(kRetSubmit);
    out.seqnum = htonl(seqnum);
    out.words[0] = htonl(static_cast<std::uint32_t>(status));
    out.words[1] = htonl(length);
    Bytes bytes(sizeof out + data.size());
    std::memcpy(bytes.data(), &out, sizeof out);
    std::copy(data.begin(), data.end(), bytes.begin() + sizeof out);
    Send(bytes.data(), bytes.size());
  }

  void Send(const void* data, std::size_t size) {
    // A host that is gone shows in Serve.
    if (send(fd_, data, size, MSG_NOSIGNAL) < 0) return;
  }

  void Control(std::uint32_t seqnum, bool in, std::uint32_t length, const std::uint8_t* setup) {
    const std::uint8_t request = setup[1], type = setup[3], index = setup[2];
    Bytes data;
    bool known = !in;  // SET_CONFIGURATION, SET_IDLE …
    if (in && request == 6 && type == 1) {
      data.assign(settings_.usb_descriptors.begin(), settings_.usb_descriptors.begin() + 18);
      known = true;
    } else if (in && request == 6 && type == 2) {
      data.assign(settings_.usb_descriptors.begin() + 18, settings_.usb_descriptors.end());
      known = true;
    } else if (in && request == 6 && type == 3) {
      data = Words(index);
      known = true;
    } else if (in && request == 6 && type == 0x22) {
      data = settings_.report_descriptor;
      known = true;
    } else if (in && request == 0) {
      data = {0, 0};
      known = true;
    }
    data.resize(std::min<std::size_t>(data.size(), length));
    const auto size = in ? static_cast<std::uint32_t>(data.size()) : length;
    Answer(seqnum, known ? 0 : kPipe, known ? size : 0, known ? data : Bytes());
  }

  Bytes Words(std::uint8_t index) const {
    if (index == 0) return {4, 3, 0x09, 0x04};
    const std::string text = index == 1   ? "Keyferry"
                             : index == 2 ? settings_.product_name
                                          : settings_.serial;
    Bytes out = {static_cast<std::uint8_t>(2 + 2 * text.size()), 3};
    for (const char c : text) {
      out.push_back(static_cast<std::uint8_t>(c));
      out.push_back(0);
    }
    return out;
  }

  const ToySettings settings_;
  int fd_ = -1;
  std::thread thread_;
  std::mutex mutex_;  // all below
  std::deque<Bytes> said_;
  std::deque<std::pair<std::uint32_t, std::uint32_t>> waiting_;  // host's reads: seqnum, room
  std::vector<std::uint32_t> stuck_;                             // host's writes, not taken
};

}  // namespace

std::unique_ptr<ToyDevice> PlugUsb(const ToySettings& settings) {
  return std::make_unique<UsbDevice>(settings);
}

}  // namespace keyferry::test
