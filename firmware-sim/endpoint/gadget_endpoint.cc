#include "firmware-sim/endpoint/gadget_endpoint.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

namespace keyferry::sim {
namespace {

namespace fs = std::filesystem;

constexpr int kReportsPerPoll = 32;

std::string FirstLine(const fs::path& file) {
  std::string line;
  std::ifstream in(file);
  std::getline(in, line);
  return line;
}

}  // namespace

GadgetEndpoint::GadgetEndpoint(EndpointClient& client, std::string device, std::string gadgets)
    : client_(client), device_(std::move(device)), gadgets_(std::move(gadgets)) {}

GadgetEndpoint::~GadgetEndpoint() { GadgetEndpoint::Vanish(); }

Result<void> GadgetEndpoint::Appear(const Identity&) {
  const int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  const std::string folder = fs::path(device_).parent_path();
  if (watch < 0 || inotify_add_watch(watch, folder.c_str(), IN_CREATE | IN_DELETE) < 0) {
    const std::string reason = std::strerror(errno);
    if (watch >= 0) close(watch);
    return Fail(ErrorCode::kIo, folder + " cannot be watched: " + reason + ".");
  }
  // Not where somebody has bound it to another one meanwhile.
  if (!gadget_.empty() && FirstLine(fs::path(gadget_) / "UDC").empty()) Bind(controller_);
  if (!Open()) {
    const std::string reason = std::strerror(errno);
    close(watch);
    return Fail(ErrorCode::kUnavailable, device_ + " cannot be opened: " + reason +
                                             "; firmware-sim/README.md says how a gadget is made.");
  }
  watch_ = watch;
  return {};
}

void GadgetEndpoint::Vanish() {
  if (watch_ < 0) return;
  // It may have been made, or bound elsewhere, after we came.
  FindGadget();
  if (!gadget_.empty()) Bind("");
  CloseNode();
  close(std::exchange(watch_, -1));
}

bool GadgetEndpoint::Open() {
  fd_ = open(device_.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) return false;
  FindGadget();
  return true;
}

void GadgetEndpoint::CloseNode() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
  waiting_.clear();
}

// The one with a function that has our node, by its number.
void GadgetEndpoint::FindGadget() {
  struct stat node {};
  if (fd_ < 0 || fstat(fd_, &node) != 0) return;
  const std::string number =
      std::to_string(major(node.st_rdev)) + ":" + std::to_string(minor(node.st_rdev));
  std::error_code error;
  for (const auto& gadget : fs::directory_iterator(gadgets_, error)) {
    for (const auto& function : fs::directory_iterator(gadget.path() / "functions", error)) {
      const std::string controller = FirstLine(gadget.path() / "UDC");
      if (FirstLine(function.path() / "dev") != number || controller.empty()) continue;
      gadget_ = gadget.path();
      controller_ = controller;
      return;
    }
  }
}

// An empty line unbinds it.
void GadgetEndpoint::Bind(const std::string& controller) const {
  std::ofstream(fs::path(gadget_) / "UDC") << controller << "\n" << std::flush;
}

void GadgetEndpoint::AppendPollFds(std::vector<pollfd>& fds) const {
  if (watch_ < 0) return;
  fds.push_back({watch_, POLLIN, 0});
  if (fd_ < 0) return;
  fds.push_back({fd_, static_cast<short>(waiting_.empty() ? POLLIN : POLLIN | POLLOUT), 0});
}

void GadgetEndpoint::OnPoll(const pollfd& ready) {
  if (watch_ >= 0 && ready.fd == watch_) return OnNodes();
  if (fd_ < 0 || ready.fd != fd_) return;
  if ((ready.revents & POLLOUT) != 0) Write();
  Read();
}

// Something came to the node's folder, or left it. A node that was removed never says so itself.
void GadgetEndpoint::OnNodes() {
  alignas(inotify_event) char events[4096];
  while (read(watch_, events, sizeof events) > 0) continue;
  struct stat node {};
  if (fd_ >= 0 && (fstat(fd_, &node) != 0 || node.st_nlink == 0)) {
    CloseNode();
    client_.OnHostGone(*this);
  }
  if (fd_ < 0) Open();
}

void GadgetEndpoint::Read() {
  for (int i = 0; i < kReportsPerPoll; ++i) {
    std::uint8_t report[protocol::kReportSize];
    const ssize_t n = read(fd_, report, sizeof report);
    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ESHUTDOWN)) return;
    if (n < 0) {
      const std::string reason = std::strerror(errno);
      CloseNode();  // until there is another
      return client_.OnPulled(*this, reason);
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
