#include "server/storage/seat_text.h"

#include <charconv>
#include <sstream>
#include <vector>

#include "server/storage/rows.h"

namespace keyferry::server {
namespace {

constexpr const char* kKinds[] = {"here", "report", "gone"};
constexpr std::size_t kMaxKeys = 16;

[[noreturn]] void Damaged(const std::string& text) {
  throw DamagedRow("seat " + text.substr(0, 40));
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

template <typename Number>
Number ReadNumber(const std::string& text) {
  Number number{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc() || end != text.data() + text.size()) Damaged(text);
  return number;
}

}  // namespace

std::string WriteSeat(const Presence::Seat& seat) {
  std::string keys;
  for (const SeenKey& key : seat.keys) {
    keys += (keys.empty() ? "" : ",") + key.device.Hex() + ":" + std::to_string(key.state) + ":" +
            key.transport + ":" + std::to_string(key.firmware) + ":" + (key.simulator ? "1" : "0");
  }
  return std::string(kKinds[seat.kind]) + " " + (keys.empty() ? "-" : keys) + " " + seat.name;
}

Presence::Seat ReadSeat(const std::string& workstation, const std::string& text) {
  Presence::Seat seat;
  seat.workstation = ReadId<WorkstationId>(workstation);
  const std::size_t first = text.find(' ');
  const std::size_t second = first == std::string::npos ? first : text.find(' ', first + 1);
  if (second == std::string::npos) Damaged(text);
  const std::string kind = text.substr(0, first);
  if (kind == kKinds[0]) {
    seat.kind = Presence::Seat::kHere;
  } else if (kind == kKinds[1]) {
    seat.kind = Presence::Seat::kReport;
  } else if (kind == kKinds[2]) {
    seat.kind = Presence::Seat::kGone;
  } else {
    Damaged(text);
  }
  seat.name = text.substr(second + 1);
  const std::string keys = text.substr(first + 1, second - first - 1);
  if (keys == "-") return seat;
  for (const std::string& part : Split(keys, ',')) {
    const std::vector<std::string> fields = Split(part, ':');
    if (fields.size() != 5 || seat.keys.size() == kMaxKeys) Damaged(text);
    SeenKey key;
    key.device = ReadId<DeviceId>(fields[0]);
    key.state = ReadNumber<int>(fields[1]);
    key.transport = fields[2];
    key.firmware = ReadNumber<std::uint32_t>(fields[3]);
    key.simulator = fields[4] == "1";
    seat.keys.push_back(std::move(key));
  }
  return seat;
}

}  // namespace keyferry::server
