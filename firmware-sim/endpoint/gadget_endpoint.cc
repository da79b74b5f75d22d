#include "firmware-sim/endpoint/gadget_endpoint.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

namespace keyferry::sim {
namespace {

constexpr char kControllers[] = "/sys/class/udc";
constexpr int kReportsPerPoll = 32;

std::string OnlyController() {
  std::error_code error;
  std::string only;
  for (const auto& entry : std::filesystem::directory_iterator(kControllers, error)) {
    if (!only.empty()) return {};
    only = entry.path().filename();
  }
  return only;
}

}  // namespace

GadgetEndpoint::GadgetEndpoint(EndpointClient& client, std::string device, std::string controller)
    : client_(client),
      device_(std::move(device)),
      controller_(controller.empty() ? OnlyController() : std::move(controller)) {}

GadgetEndpoint::~GadgetEndpoint() { GadgetEndpoint::Vanish(); }

Result<void> GadgetEndpoint::Appear(const Identity&) {
  fd_ = open(device_.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) {
    return Fail(ErrorCode::kUnavailable, device_ + " cannot be opened: " + std::strerror(errno) +
                                             "; firmware-sim/README.md says how a gadget is made.");
  }
  pulled_ = false;
  // A gadget that was just bound is connected already, and the switch says so with an error.
  PullUp(true);
  return {};
}

void GadgetEndpoint::Vanish() {
  if (fd_ < 0) return;
  PullUp(false);
  close(std::exchange(fd_, -1));
  waiting_.clear();
}

bool GadgetEndpoint::PullUp(bool connect) const {
  if (controller_.empty()) return false;
  std::ofstream file(std::string(kControllers) + "/" + controller_ + "/soft_connect");
  file << (connect ? "connect" : "disconnect") << std::flush;
  return file.good();
}

void GadgetEndpoint::AppendPollFds(std::vector<pollfd>& fds) const {
  if (fd_ < 0 || pulled_) return;
  fds.push_back({fd_, static_cast<short>(waiting_.empty() ? POLLIN : POLLIN | POLLOUT), 0});
}

void GadgetEndpoint::OnPoll(const pollfd& ready) {
  if (fd_ < 0 || ready.fd != fd_) return;
  if ((ready.revents & POLLOUT) != 0) Write();
  for (int i = 0; i < kReportsPerPoll; ++i) {
    std::uint8_t report[protocol::kReportSize];
    const ssize_t n = read(fd_, report, sizeof report);
    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ESHUTDOWN)) return;
    if (n < 0) {
      pulled_ = true;
      return client_.OnPulled(*this, std::strerror(errno));
    }
    if (n == 0) return;
    if (n == static_cast<ssize_t>(sizeof report)) client_.OnFrame(*this, report, 0);
  }
}

void GadgetEndpoint::Send(protocol::ByteView frame, std::uint32_t) {
  if (fd_ < 0) return;
  if (waiting_.size() >= kMaxWaiting) waiting_.pop_front();
  waiting_.emplace_back(frame.begin(), frame.end());
  Write();
}

// One report is on its way at a time; the driver takes the next when the host has fetched it.
void GadgetEndpoint::Write() {
  while (!waiting_.empty()) {
    const auto& report = waiting_.front();
    if (write(fd_, report.data(), report.size()) < 0 && errno == EAGAIN) return;
    waiting_.pop_front();  // sent, or the host is not there to have it
  }
}

}  // namespace keyferry::sim
