#include "firmware-sim/endpoint/uhid_endpoint.h"

#include <fcntl.h>
#include <linux/input.h>
#include <linux/uhid.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "firmware-sim/endpoint/hid_descriptor.h"

namespace keyferry::sim {
namespace {

constexpr int kEventsPerPoll = 64;

template <std::size_t N>
void SetText(__u8 (&field)[N], const std::string& text) {
  text.copy(reinterpret_cast<char*>(field), N - 1);
}

// An event's prefix, as far as a payload of `size` bytes at `data` reaches: the kernel takes the
// rest as zero.
std::size_t SizeUpTo(const uhid_event& event, const void* data, std::size_t size) {
  return static_cast<std::size_t>(static_cast<const std::uint8_t*>(data) -
                                  reinterpret_cast<const std::uint8_t*>(&event)) +
         size;
}

}  // namespace

Result<int> UhidEndpoint::OpenKernel() {
  const int fd = open("/dev/uhid", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd >= 0) return fd;
  if (errno == EACCES || errno == EPERM) {
    return Fail(ErrorCode::kPermissionDenied,
                "/dev/uhid may not be opened by this user; run keyferry-sim as root.");
  }
  return Fail(
      ErrorCode::kUnavailable,
      std::string("/dev/uhid cannot be opened; load the kernel's module with `modprobe uhid`."),
      std::strerror(errno));
}

UhidEndpoint::UhidEndpoint(EndpointClient& client, Open open)
    : client_(client), open_(std::move(open)) {}

UhidEndpoint::~UhidEndpoint() { UhidEndpoint::Vanish(); }

Result<void> UhidEndpoint::Appear(const Identity& identity) {
  const auto opened = open_();
  if (!opened) return tl::unexpected(opened.error());
  fd_ = *opened;
  pulled_ = false;
  serial_ = identity.Serial();
  report_id_ = ReportId(identity.lie);
  uhid_event event{};
  event.type = UHID_CREATE2;
  uhid_create2_req& create = event.u.create2;
  SetText(create.name, std::string(kMakerName) + " " + kProductName);
  SetText(create.phys, "keyferry-sim");
  SetText(create.uniq, serial_);
  const auto descriptor = ReportDescriptor(identity.lie);
  create.rd_size = static_cast<std::uint16_t>(descriptor.size());
  std::copy(descriptor.begin(), descriptor.end(), create.rd_data);
  create.bus = BUS_USB;
  create.vendor = identity.vendor;
  create.product = identity.product;
  create.version = 0x0100;
  if (Write(&event, sizeof event)) return {};
  const std::string reason = std::strerror(errno);
  Vanish();
  return Fail(ErrorCode::kIo, "The kernel did not take the HID device: " + reason + ".");
}

void UhidEndpoint::Vanish() {
  if (fd_ < 0) return;
  uhid_event event{};
  event.type = UHID_DESTROY;
  Write(&event, sizeof event.type);
  close(std::exchange(fd_, -1));
}

void UhidEndpoint::AppendPollFds(std::vector<pollfd>& fds) const {
  if (fd_ >= 0 && !pulled_) fds.push_back({fd_, POLLIN, 0});
}

void UhidEndpoint::OnPoll(const pollfd& ready) {
  if (fd_ < 0 || ready.fd != fd_) return;
  for (int i = 0; i < kEventsPerPoll; ++i) {
    uhid_event event;
    const ssize_t n = read(fd_, &event, sizeof event);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
      pulled_ = true;
      return client_.OnPulled(*this, n == 0 ? "end of file" : std::strerror(errno));
    }
    OnEvent({reinterpret_cast<const std::uint8_t*>(&event), static_cast<std::size_t>(n)});
  }
}

void UhidEndpoint::OnEvent(protocol::ByteView bytes) {
  uhid_event event{};
  std::memcpy(&event, bytes.data(), std::min(bytes.size(), sizeof event));
  switch (event.type) {
    case UHID_OUTPUT: {
      // The first byte is the report's number, 0 where reports have none.
      const protocol::ByteView data(event.u.output.data,
                                    std::min<std::size_t>(event.u.output.size, UHID_DATA_MAX));
      if (data.size() != protocol::kReportSize + 1 || data[0] != report_id_) return;
      return client_.OnFrame(*this, data.subspan(1), 0);
    }
    case UHID_GET_REPORT:  // the key has no feature reports, and input comes by itself
      return RefuseReport(event.type, UHID_GET_REPORT_REPLY, event.u.get_report.id);
    case UHID_SET_REPORT:
      return RefuseReport(event.type, UHID_SET_REPORT_REPLY, event.u.set_report.id);
    default:
      return;
  }
}

void UhidEndpoint::RefuseReport(std::uint32_t request, std::uint32_t answer_type,
                                std::uint32_t id) {
  uhid_event answer{};
  answer.type = answer_type;
  if (request == UHID_GET_REPORT) {
    answer.u.get_report_reply.id = id;
    answer.u.get_report_reply.err = EIO;
  } else {
    answer.u.set_report_reply.id = id;
    answer.u.set_report_reply.err = EIO;
  }
  Write(&answer, sizeof answer);
}

// A report that the kernel does not take is lost, as it is when no program has the device open.
void UhidEndpoint::Send(protocol::ByteView frame, std::uint32_t) {
  if (fd_ < 0) return;
  uhid_event event{};
  event.type = UHID_INPUT2;
  std::size_t size = 0;
  if (report_id_ != 0) event.u.input2.data[size++] = report_id_;
  const std::size_t fits = std::min<std::size_t>(frame.size(), UHID_DATA_MAX - size);
  std::copy_n(frame.begin(), fits, event.u.input2.data + size);
  size += fits;
  event.u.input2.size = static_cast<std::uint16_t>(size);
  Write(&event, SizeUpTo(event, event.u.input2.data, size));
}

bool UhidEndpoint::Write(const void* event, std::size_t size) {
  return write(fd_, event, size) == static_cast<ssize_t>(size);
}

}  // namespace keyferry::sim
