#include "firmware-sim/faults.h"

#include <charconv>
#include <limits>
#include <utility>

namespace keyferry::sim {
namespace {

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

template <typename T>
bool Number(std::string_view text, T* out, std::uint64_t least, std::uint64_t most) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
    return false;
  *out = static_cast<T>(value);
  return true;
}

constexpr std::uint64_t kMax32 = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kMaxDelayUs = 10'000'000;

struct FrameWord {
  std::string_view name;
  FrameFault::Kind kind;
  bool has_value;
  std::uint64_t most;
};
constexpr FrameWord kFrameWords[] = {
    {"drop", FrameFault::Kind::kDrop, false, 0},
    {"duplicate", FrameFault::Kind::kDuplicate, false, 0},
    {"reorder", FrameFault::Kind::kReorder, false, 0},
    {"delay", FrameFault::Kind::kDelay, true, 60'000},
    {"truncate", FrameFault::Kind::kTruncate, true, 499},
    {"corrupt", FrameFault::Kind::kCorrupt, true, 499},
    {"unplug", FrameFault::Kind::kUnplug, false, 0},
};

bool ParseFrame(const std::vector<std::string_view>& parts, Faults* out) {
  for (const FrameWord& word : kFrameWords) {
    if (parts[0] != word.name) continue;
    FrameFault fault;
    fault.kind = word.kind;
    if (parts.size() != (word.has_value ? 4u : 3u) || (parts[1] != "in" && parts[1] != "out"))
      return false;
    fault.direction = parts[1] == "in" ? FrameFault::Direction::kIn : FrameFault::Direction::kOut;
    if (!Number(parts[2], &fault.frame, 1, kMax32)) return false;
    if (word.has_value && !Number(parts[3], &fault.value, 0, word.most)) return false;
    out->frames.push_back(fault);
    return true;
  }
  return false;
}

bool ParseLie(std::string_view word, DescriptorLie* out) {
  static constexpr std::pair<std::string_view, DescriptorLie> kLies[] = {
      {"usage-page", DescriptorLie::kUsagePage}, {"short-reports", DescriptorLie::kShortReports},
      {"report-ids", DescriptorLie::kReportIds}, {"keyboard", DescriptorLie::kKeyboard},
      {"truncated", DescriptorLie::kTruncated},  {"endless-string", DescriptorLie::kEndlessString},
  };
  for (const auto& [name, lie] : kLies) {
    if (name != word) continue;
    *out = lie;
    return true;
  }
  return false;
}

bool ParseOne(std::string_view text, Faults* out) {
  const auto parts = Split(text, ':');
  if (parts.size() == 1) {
    if (parts[0] == "touch-refused") return out->touch_refused = true;
    if (parts[0] == "identity-changes") return out->identity_changes = true;
    return false;
  }
  if (parts.size() == 2) {
    const std::string_view name = parts[0];
    if (name == "never-answer") return Number(parts[1], &out->never_answer_from, 1, kMax32);
    if (name == "wrong-receipt") return Number(parts[1], &out->wrong_receipt, 1, kMax32);
    if (name == "forked-chain") return Number(parts[1], &out->forked_chain, 1, kMax32);
    if (name == "stale-epoch") return Number(parts[1], &out->stale_epoch, 1, kMax32);
    if (name == "slow-flash") return Number(parts[1], &out->slow_flash_us, 1, kMaxDelayUs);
    if (name == "frame-clock") return Number(parts[1], &out->frame_clock_us, 1, kMaxDelayUs);
    if (name == "ble-drop-notify") return Number(parts[1], &out->drop_notify, 1, kMax32);
    if (name == "descriptor-lies") return ParseLie(parts[1], &out->descriptor_lie);
    return false;
  }
  return ParseFrame(parts, out);
}

}  // namespace

Result<Faults> ParseFaults(std::string_view text) {
  Faults faults;
  if (text.empty()) return faults;
  for (const std::string_view word : Split(text, ',')) {
    if (!ParseOne(word, &faults)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "The fault \"" + std::string(word) +
                      "\" is not understood; firmware-sim/README.md lists them.");
    }
  }
  return faults;
}

}  // namespace keyferry::sim
