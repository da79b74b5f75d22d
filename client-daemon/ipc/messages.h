#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "client-daemon/core/local_api.h"
#include "protocol/result.h"

// The JSON of the daemon's socket (docs/local-ipc.md section 1).
namespace keyferry::daemon {

struct IpcRequest {
  enum Op {
    kStatus,
    kAgent,
    kRelay,
    kUsed,
    kCaller,
    kAnswer,
    kNotices,
    kNotMe,
    kAsked
  } op = kStatus;
  std::array<std::uint8_t, 32> login_noise_pub{};  // kAgent
  // kAgent, both or none: the server's challenge and the agent's answer.
  std::optional<std::array<std::uint8_t, 32>> challenge, proof;
  std::optional<Id> device;                                // kRelay (or `login`), kUsed
  std::string login;                                       // kRelay, kCaller
  std::uint64_t seq = 0;                                   // kUsed
  Id request{};                                            // kAnswer
  std::optional<std::array<std::uint8_t, 172>> assertion;  // kAnswer; nothing: denied
  std::uint64_t number = 0;                                // kNotMe
};

Result<IpcRequest> ParseRequest(std::string_view text);

std::string FormatOk();
std::string FormatError(const Error& error);
std::string FormatStatus(const StatusReport& status);
std::string FormatAgent(const AgentAnswer& answer);
std::string FormatRelay(const RelayGrant& grant);
std::string FormatCaller(const CallerEvent& question);
std::string FormatAsked(const std::vector<AskedCaller>& questions);
std::string FormatVerdict(const CallerVerdict& verdict);
std::string FormatNotices(const std::vector<NoticeEvent>& notices);

// "enrolled, no PIN" and so on: INFO's state (PROTOCOL.md section 5) in words.
const char* KeyStateName(int state);
// 1.2.3 from a firmware word.
std::string FirmwareName(std::uint32_t firmware);

}  // namespace keyferry::daemon
