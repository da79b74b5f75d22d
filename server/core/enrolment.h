#pragma once

#include "server/core/services.h"

// The steps of KeyService that enrol a key (protocol/PROTOCOL.md section 4): begin → the key's
// statement → grant → the key's receipt number 1. `from` is the workstation that asks.
namespace keyferry::server {

Result<EnrolmentStarted> BeginEnrolment(const CorePorts& ports, const KeyConfig& config,
                                        const Actor& actor, const AccountId& account,
                                        const DeviceId& device, const WorkstationId& workstation,
                                        const std::optional<DeviceId>& replaces);
Result<void> ClearEnrolment(const CorePorts& ports, const Actor& actor, const EnrolmentId& id,
                            std::string_view reason);
Result<Bytes> AcceptStatement(const CorePorts& ports, const KeyConfig& config,
                              const WorkstationRecord& from, const EnrolmentId& id,
                              std::span<const std::uint8_t> statement,
                              std::span<const std::uint8_t> attestation_der);
Result<ReceiptVerdict> FinishEnrolment(const CorePorts& ports, const WorkstationRecord& from,
                                       const EnrolmentId& id,
                                       std::span<const std::uint8_t> receipt);
Result<void> FailEnrolment(const CorePorts& ports, const WorkstationRecord& from,
                           const EnrolmentId& id, std::string_view code, std::string_view message);

}  // namespace keyferry::server
