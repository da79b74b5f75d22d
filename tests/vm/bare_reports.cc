#include "tests/vm/bare_reports.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "device/hid/usb_handle.h"

namespace keyferry::test {
namespace {

using protocol::FrameCommand;
using protocol::Report;

class Hidraw final : public BareReports {
 public:
  explicit Hidraw(int fd) : fd_(fd) {}
  ~Hidraw() override { close(fd_); }

  bool Write(const Report& report) override {
    std::array<std::uint8_t, std::tuple_size_v<Report> + 1> numbered{};
    std::copy(report.begin(), report.end(), numbered.begin() + 1);
    return write(fd_, numbered.data(), numbered.size()) == static_cast<ssize_t>(numbered.size());
  }
  bool Read(Report& report) override {
    return read(fd_, report.data(), report.size()) == static_cast<ssize_t>(report.size());
  }

 private:
  const int fd_;
};

class Libusb final : public BareReports {
 public:
  explicit Libusb(std::unique_ptr<device::UsbHandle> usb) : usb_(std::move(usb)) {}

  bool Write(const Report& report) override {
    Report copy = report;
    return Transfer(false, copy);
  }
  bool Read(Report& report) override { return Transfer(true, report); }

 private:
  bool Transfer(bool in, Report& report) {
    constexpr unsigned kTimeout = 10'000;  // ms
    int size = 0;
    return libusb_interrupt_transfer(usb_->get(), usb_->layout().KeyEndpoint(in).address,
                                     report.data(), static_cast<int>(report.size()), &size,
                                     kTimeout) == 0 &&
           size == static_cast<int>(report.size());
  }

  const std::unique_ptr<device::UsbHandle> usb_;
};

class Link final : public device::MessageLink {
 public:
  explicit Link(std::unique_ptr<BareReports> reports) : reports_(std::move(reports)) {}

  bool Init() {
    const protocol::Bytes<8> nonce{7};
    const auto answer = Transact(static_cast<std::uint8_t>(FrameCommand::kInit), nonce, {}, {});
    if (!answer || answer->payload.size() != protocol::kInitResponseSize) return false;
    const auto init = protocol::InitResponse::Parse(
        std::span(answer->payload).first<protocol::kInitResponseSize>());
    if (!init || init->nonce != nonce) return false;
    cid_ = init->cid;
    return true;
  }

  Result<device::Message> Transact(std::uint8_t command, std::span<const std::uint8_t> payload,
                                   const device::Patience&,
                                   const device::KeepaliveHandler&) override {
    protocol::HidSplitter splitter(cid_, static_cast<FrameCommand>(command), payload);
    Report report{};
    while (splitter.Next(report)) {
      if (!reports_->Write(report)) return Failed();
    }
    protocol::Assembler assembler;
    auto step = protocol::Assembler::Step::kMore;
    const auto keepalive = [&] {
      return assembler.command() == static_cast<std::uint8_t>(FrameCommand::kKeepalive);
    };
    while (step == protocol::Assembler::Step::kMore || keepalive()) {
      if (!reports_->Read(report)) return Failed();
      const auto frame = protocol::HidFrame::Parse(report);
      if (frame.cid != cid_) return Failed();
      step = frame.first ? assembler.Begin(frame.command, frame.length, frame.data)
                         : assembler.Continue(frame.sequence, frame.data);
    }
    if (step != protocol::Assembler::Step::kComplete) return Failed();
    const auto message = assembler.message();
    return device::Message{assembler.command(), {message.begin(), message.end()}};
  }
  Result<void> Post(std::uint8_t, std::span<const std::uint8_t>) override { return Failed(); }
  device::TransportKind Kind() const override { return device::TransportKind::kHid; }

 private:
  static tl::unexpected<Error> Failed() {
    return Fail(ErrorCode::kIo, "The key did not answer as a key does.");
  }

  const std::unique_ptr<BareReports> reports_;
  std::uint32_t cid_ = protocol::kBroadcastCid;
};

}  // namespace

std::unique_ptr<BareReports> BareHidraw(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  return fd < 0 ? nullptr : std::make_unique<Hidraw>(fd);
}

std::unique_ptr<BareReports> BareLibusb(const std::string& path) {
  auto usb = device::UsbHandle::Open(path);
  if (!usb || !(*usb)->Claim()) return nullptr;
  return std::make_unique<Libusb>(*std::move(usb));
}

std::unique_ptr<device::MessageLink> BareLink(std::unique_ptr<BareReports> reports) {
  auto link = std::make_unique<Link>(std::move(reports));
  return link->Init() ? std::move(link) : nullptr;
}

}  // namespace keyferry::test
