#include "device/hid/report_descriptor.h"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "protocol/limits.h"

namespace keyferry::device {
namespace {

using Bytes = std::span<const std::uint8_t>;

enum ItemType : std::uint8_t { kMain = 0, kGlobal = 1, kLocal = 2 };
enum MainTag : std::uint8_t { kInput = 8, kOutput = 9, kCollection = 10, kFeature = 11, kEnd = 12 };
enum GlobalTag : std::uint8_t {
  kUsagePage = 0,
  kUnit = 6,  // the last of minimum, maximum and unit, which say nothing about sizes
  kFieldSize = 7,
  kReportId = 8,
  kReportCount = 9,
  kPush = 10,
  kPop = 11
};
enum LocalTag : std::uint8_t { kUsage = 0, kUsageMaximum = 2, kStringMaximum = 9 };
constexpr std::uint32_t kApplication = 1;
constexpr std::uint8_t kLongItem = 0xFE;
constexpr std::uint32_t kMaxReportSize = 256;     // bits of a field, as the kernel has it
constexpr std::uint32_t kMaxReportCount = 12288;  // HID_MAX_USAGES of the kernel

struct Global {
  std::uint16_t page = 0;
  std::uint32_t size = 0;
  std::uint32_t count = 0;
};

std::string Hex16(std::uint32_t value) {
  char text[8];
  std::snprintf(text, sizeof text, "0x%04X", value & 0xFFFFU);
  return text;
}

class Parser {
 public:
  Result<ReportDescriptor> Run(Bytes bytes) {
    if (bytes.empty()) return Broken("it is empty");
    if (bytes.size() > ReportDescriptor::kMaxSize) return Broken("it has more than 4096 bytes");
    while (!bytes.empty()) {
      ++item_;
      const std::uint8_t prefix = bytes[0];
      if (prefix == kLongItem) return Broken("it is a long item, which no key has");
      const std::size_t size = (prefix & 3) == 3 ? 4 : prefix & 3;
      if (bytes.size() < 1 + size) return Broken("it is cut off");
      std::uint32_t value = 0;
      for (std::size_t i = 0; i < size; ++i) value |= std::uint32_t{bytes[1 + i]} << (8 * i);
      const auto tag = static_cast<std::uint8_t>(prefix >> 4);
      const auto type = static_cast<std::uint8_t>((prefix >> 2) & 3);
      bytes = bytes.subspan(1 + size);
      std::optional<std::string> wrong;
      if (type == kMain) {
        wrong = Main(tag, value);
      } else if (type == kGlobal) {
        wrong = SetGlobal(tag, size, value);
      } else if (type == kLocal) {
        wrong = SetLocal(tag, size, value);
      } else {
        wrong = "its type is reserved";
      }
      if (wrong) return Broken(*wrong);
    }
    if (depth_ != 0) return Broken("a collection is not closed");
    return out_;
  }

 private:
  using Wrong = std::optional<std::string>;  // nothing: the item is good

  tl::unexpected<Error> Broken(const std::string& reason) const {
    return Fail(ErrorCode::kProtocol,
                "its report descriptor is broken at item " + std::to_string(item_) + ": " + reason);
  }

  Wrong SetGlobal(std::uint8_t tag, std::size_t size, std::uint32_t value) {
    switch (tag) {
      case kUsagePage:
        if (value > 0xFFFF || size == 0) return "a usage page that cannot be";
        now_.page = static_cast<std::uint16_t>(value);
        return {};
      case kFieldSize:
        if (value > kMaxReportSize) return "a field of " + std::to_string(value) + " bits";
        now_.size = value;
        return {};
      case kReportCount:
        if (value > kMaxReportCount) return std::to_string(value) + " fields";
        now_.count = value;
        return {};
      case kReportId:
        if (value == 0 || value > 255) return "a report id that cannot be";
        out_.report_ids = true;
        return {};
      case kPush:
        if (pushed_.size() >= ReportDescriptor::kMaxDepth) return "too many PUSH";
        pushed_.push_back(now_);
        return {};
      case kPop:
        if (pushed_.empty()) return "POP without PUSH";
        now_ = pushed_.back();
        pushed_.pop_back();
        return {};
      default:
        if (tag > kUnit) return "an unknown global item";
        return {};
    }
  }

  Wrong SetLocal(std::uint8_t tag, std::size_t size, std::uint32_t value) {
    if (tag > kStringMaximum) return "an unknown local item";
    if (tag > kUsageMaximum) return {};  // designators and strings
    ++usages_;
    usage_ = static_cast<std::uint16_t>(value);
    // Four bytes carry a page of their own (section 6.2.2.8).
    usage_page_.reset();
    if (size == 4) {
      usage_page_ = static_cast<std::uint16_t>(value >> 16);
      Foreign(*usage_page_);
    }
    return {};
  }

  Wrong Main(std::uint8_t tag, std::uint32_t value) {
    Wrong wrong;
    switch (tag) {
      case kInput:
        wrong = Field(out_.input_bits);
        break;
      case kOutput:
        wrong = Field(out_.output_bits);
        break;
      case kFeature:
        wrong = Field(out_.feature_bits);
        break;
      case kCollection:
        wrong = Open(value);
        break;
      case kEnd:
        if (depth_ == 0) return "a collection is closed that was not opened";
        --depth_;
        break;
      default:
        return "an unknown main item";
    }
    usages_ = 0;
    usage_page_.reset();
    return wrong;
  }

  Wrong Open(std::uint32_t value) {
    if (depth_ >= ReportDescriptor::kMaxDepth) return "collections are nested too deeply";
    const std::uint16_t page = usage_page_.value_or(now_.page);
    if (depth_++ == 0) {
      if (value != kApplication) return "a top-level collection that is no application";
      if (usages_ != 1) return "a top-level collection with " + std::to_string(usages_) + " usages";
      if (out_.applications.size() >= ReportDescriptor::kMaxDepth) {
        return "too many top-level collections";
      }
      out_.applications.push_back({page, usage_});
    } else if (usages_ != 0) {
      Foreign(page);
    }
    return {};
  }

  Wrong Field(std::uint32_t& bits) {
    if (depth_ == 0) return "a field outside of all collections";
    Foreign(now_.page);
    const std::uint64_t sum = bits + std::uint64_t{now_.size} * now_.count;
    if (sum > ReportDescriptor::kMaxBits) return "a report of more than 65536 bytes";
    bits = static_cast<std::uint32_t>(sum);
    return {};
  }

  void Foreign(std::uint16_t page) {
    if (page == ReportDescriptor::kKeyPage) return;
    out_.foreign_page = out_.foreign ? std::min(out_.foreign_page, page) : page;
    out_.foreign = true;
  }

  ReportDescriptor out_;
  Global now_;
  std::vector<Global> pushed_;
  std::size_t item_ = 0;
  std::size_t depth_ = 0;
  std::size_t usages_ = 0;  // since the last main item
  std::uint16_t usage_ = 0;
  std::optional<std::uint16_t> usage_page_;
};

std::string Size(std::uint32_t bits) {
  if (bits == 0) return "none";
  return bits % 8 == 0 ? std::to_string(bits / 8) + " bytes" : std::to_string(bits) + " bits";
}

}  // namespace

Result<ReportDescriptor> ReportDescriptor::Parse(Bytes bytes) { return Parser().Run(bytes); }

Result<void> ReportDescriptor::CheckKey() const {
  constexpr std::uint32_t kBits = 8 * protocol::kReportSize;
  std::string reason;
  if (applications.size() != 1) {
    reason = "it has " + std::to_string(applications.size()) + " top-level collections, not one";
  } else if (applications[0].page != kKeyPage || applications[0].usage != kKeyUsage) {
    reason = "its usage is " + Hex16(applications[0].page) + "/" + Hex16(applications[0].usage) +
             ", not 0xFF00/0x0001";
  } else if (foreign) {
    reason = "it also has fields of usage page " + Hex16(foreign_page);
  } else if (report_ids) {
    reason = "it has report ids";
  } else if (input_bits != kBits) {
    reason = "its input reports have " + Size(input_bits) + ", not 64 bytes";
  } else if (output_bits != kBits) {
    reason = "its output reports have " + Size(output_bits) + ", not 64 bytes";
  } else if (feature_bits != 0) {
    reason = "it has feature reports";
  } else {
    return {};
  }
  return Fail(ErrorCode::kProtocol, reason);
}

Result<void> CheckKeyReports(Bytes bytes) {
  const auto parsed = ReportDescriptor::Parse(bytes);
  if (!parsed) return tl::unexpected(parsed.error());
  return parsed->CheckKey();
}

}  // namespace keyferry::device
