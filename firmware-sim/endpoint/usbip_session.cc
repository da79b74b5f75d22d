#include "firmware-sim/endpoint/usbip_session.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "protocol/bytes.h"

namespace keyferry::sim {
namespace {

using protocol::ByteView;

constexpr std::uint32_t kVersion = 0x0111;
constexpr std::uint32_t kRequestList = 0x8005;
constexpr std::uint32_t kReplyList = 0x0005;
constexpr std::uint32_t kRequestImport = 0x8003;
constexpr std::uint32_t kReplyImport = 0x0003;
constexpr std::size_t kOperationHead = 8;
constexpr std::size_t kBusIdSize = 32;
constexpr std::size_t kPathSize = 256;
// Status of an operation.
constexpr std::uint32_t kOk = 0;
constexpr std::uint32_t kBusy = 2;
constexpr std::uint32_t kNoDevice = 4;

constexpr std::uint32_t kSubmit = 1;
constexpr std::uint32_t kUnlink = 2;
constexpr std::uint32_t kRetSubmit = 3;
constexpr std::uint32_t kRetUnlink = 4;
constexpr std::size_t kUrbHead = 48;

}  // namespace

UsbIpSession::UsbIpSession(Phase phase, Identity identity, UsbSpeed speed,
                           UsbDevice::OnReport on_report, std::function<bool()> may_import)
    : device_(std::move(identity), speed, std::move(on_report)),
      may_import_(std::move(may_import)),
      phase_(phase) {}

bool UsbIpSession::Receive(ByteView bytes) {
  while (!bytes.empty()) {
    // Never more than one transfer is held: pieces that are whole go before more comes in.
    const std::size_t room = kUrbHead + kMaxTransfer - input_.size();
    const ByteView part = bytes.first(std::min(room, bytes.size()));
    input_.insert(input_.end(), part.begin(), part.end());
    bytes = bytes.subspan(part.size());
    ByteView left(input_);
    while (true) {
      std::size_t taken = 0;
      if (phase_ == Phase::kClosing) return true;
      const bool good =
          phase_ == Phase::kUrbs ? TakeUrb(left, &taken) : TakeOperation(left, &taken);
      if (!good || output_.size() > kMaxOutput) return false;
      if (taken == 0) break;
      left = left.subspan(taken);
    }
    input_.erase(input_.begin(), input_.end() - static_cast<std::ptrdiff_t>(left.size()));
  }
  return true;
}

bool UsbIpSession::TakeOperation(ByteView in, std::size_t* taken) {
  if (in.size() < kOperationHead) return true;
  protocol::Reader reader(in);
  if (reader.U16() != kVersion) return false;
  const std::uint32_t code = reader.U16();
  reader.U32();  // status, of no use in a request
  if (code == kRequestList) {
    *taken = kOperationHead;
    List();
    return true;
  }
  if (code != kRequestImport) return false;
  if (in.size() < kOperationHead + kBusIdSize) return true;
  *taken = kOperationHead + kBusIdSize;
  Import(reader.Take(kBusIdSize));
  return true;
}

void UsbIpSession::List() {
  Put16(kVersion);
  Put16(kReplyList);
  Put32(kOk);
  Put32(1);  // devices
  PutDevice();
  output_.insert(output_.end(), {3, 0, 0, 0});  // interface: HID
  phase_ = Phase::kClosing;
}

void UsbIpSession::Import(ByteView bus_id) {
  const auto end = std::find(bus_id.begin(), bus_id.end(), 0);
  const bool known = std::string(bus_id.begin(), end) == kBusId;
  const std::uint32_t status = !known ? kNoDevice : may_import_ && !may_import_() ? kBusy : kOk;
  Put16(kVersion);
  Put16(kReplyImport);
  Put32(status);
  phase_ = status == kOk ? Phase::kUrbs : Phase::kClosing;
  if (status == kOk) PutDevice();
}

void UsbIpSession::PutDevice() {
  PutText("/sys/devices/keyferry-sim/usb1/1-1", kPathSize);
  PutText(kBusId, kBusIdSize);
  Put32(kBus);
  Put32(kDevice);
  Put32(static_cast<std::uint32_t>(device_.speed()));
  Put16(device_.identity().vendor);
  Put16(device_.identity().product);
  Put16(UsbDevice::kRelease);
  // Class, subclass and protocol (told by the interface), configuration, configurations,
  // interfaces.
  output_.insert(output_.end(), {0, 0, 0, 1, 1, 1});
}

bool UsbIpSession::TakeUrb(ByteView in, std::size_t* taken) {
  if (in.size() < kUrbHead) return true;
  protocol::Reader reader(in);
  Header header;
  header.command = reader.U32();
  header.sequence = reader.U32();
  reader.U32();  // device: there is but one
  header.in = reader.U32() != 0;
  header.endpoint = reader.U32();
  if (header.command == kUnlink) {
    header.length = reader.U32();
    *taken = kUrbHead;
    Unlink(header);
    return true;
  }
  if (header.command != kSubmit) return false;
  reader.U32();  // transfer flags
  header.length = reader.U32();
  reader.U32();  // start frame
  const std::uint32_t packets = reader.U32();
  reader.U32();  // interval
  const ByteView setup = reader.Take(8);
  // No endpoint is isochronous.
  if (header.length > kMaxTransfer || (packets != 0 && packets != 0xFFFFFFFF)) return false;
  const std::size_t data = header.in ? 0 : header.length;
  if (in.size() < kUrbHead + data) return true;
  *taken = kUrbHead + data;
  if (header.in && header.endpoint != 0 && pending_.size() >= kMaxPending) return false;
  Submit(header, setup, in.subspan(kUrbHead, data));
  return true;
}

void UsbIpSession::Submit(const Header& header, ByteView setup, ByteView data) {
  if (header.endpoint == 0) {
    const auto request = UsbSetup::Parse(setup.first<8>());
    auto answer = device_.Control(request, data);
    while (!device_.InWorks() && !pending_.empty()) {
      Complete(pending_.front().sequence, -EPIPE, 0, {});
      pending_.pop_front();
    }
    if (!answer) return Complete(header.sequence, -EPIPE, 0, {});
    if (!header.in) {
      return Complete(header.sequence, 0, static_cast<std::uint32_t>(data.size()), {});
    }
    if (answer->size() > header.length) answer->resize(header.length);
    return Complete(header.sequence, 0, static_cast<std::uint32_t>(answer->size()), *answer);
  }
  if (header.in && header.endpoint == UsbDevice::kInEndpoint) return SubmitIn(header);
  if (header.in || header.endpoint != UsbDevice::kOutEndpoint || !device_.Out(data))
    return Complete(header.sequence, -EPIPE, 0, {});
  Complete(header.sequence, 0, header.length, {});
}

void UsbIpSession::SubmitIn(const Header& header) {
  if (!device_.InWorks()) return Complete(header.sequence, -EPIPE, 0, {});
  pending_.push_back({header.sequence, header.length});
  Match();
}

void UsbIpSession::Unlink(const Header& header) {
  const std::uint32_t sequence = header.length;
  const auto removed =
      std::erase_if(pending_, [sequence](const Pending& p) { return p.sequence == sequence; });
  Put32(kRetUnlink);
  Put32(header.sequence);
  for (int i = 0; i < 3; ++i) Put32(0);
  // 0: it was answered already.
  Put32(static_cast<std::uint32_t>(removed != 0 ? -ECONNRESET : 0));
  output_.resize(output_.size() + kUrbHead - 6 * sizeof(std::uint32_t));
}

void UsbIpSession::SendReport(ByteView report) {
  if (phase_ != Phase::kUrbs) return;
  if (reports_.size() >= kMaxReports) reports_.pop_front();
  reports_.push_back(device_.InPacket(report));
  Match();
}

void UsbIpSession::Match() {
  while (!pending_.empty() && !reports_.empty()) {
    const Pending pending = pending_.front();
    const std::vector<std::uint8_t> report = std::move(reports_.front());
    pending_.pop_front();
    reports_.pop_front();
    if (report.size() > pending.length) {
      Complete(pending.sequence, -EOVERFLOW, 0, {});
    } else {
      Complete(pending.sequence, 0, static_cast<std::uint32_t>(report.size()), report);
    }
  }
}

void UsbIpSession::Complete(std::uint32_t sequence, std::int32_t status, std::uint32_t actual,
                            ByteView data) {
  const std::size_t end = output_.size() + kUrbHead;
  Put32(kRetSubmit);
  Put32(sequence);
  for (int i = 0; i < 3; ++i) Put32(0);
  Put32(static_cast<std::uint32_t>(status));
  Put32(actual);
  output_.resize(end);  // start frame, packets, errors, padding
  output_.insert(output_.end(), data.begin(), data.end());
}

void UsbIpSession::Put16(std::uint32_t value) {
  output_.push_back(static_cast<std::uint8_t>(value >> 8));
  output_.push_back(static_cast<std::uint8_t>(value));
}

void UsbIpSession::Put32(std::uint32_t value) {
  Put16(value >> 16);
  Put16(value);
}

void UsbIpSession::PutText(std::string_view text, std::size_t size) {
  output_.insert(output_.end(), text.begin(), text.end());
  output_.resize(output_.size() + size - text.size());
}

}  // namespace keyferry::sim
