#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/core/services.h"

// The queue's outgoing side, shared by the services: which workstation is told what. Nothing here
// waits for a workstation; who is not connected learns it when it connects.
namespace keyferry::server {

std::string AccountTopic(const AccountId& id);          // "account/HEX"
std::string WorkstationTopic(const WorkstationId& id);  // "workstation/HEX"

// Events of docs/workstation-api.md section 2.
WorkstationEvent KeyEvent(const KeyRecord& key);
WorkstationEvent JobEvent(const JobRecord& job);
WorkstationEvent VoidEvent(const JobId& id);
WorkstationEvent EnrolEvent(const EnrolmentRecord& enrolment);
WorkstationEvent AlarmEvent(const AlarmRecord& alarm);
WorkstationEvent NoticeEvent(const NoticeRecord& notice);

void Send(const CorePorts& ports, const WorkstationId& to, WorkstationEvent event);
// To every connected workstation that sees `device` now.
void SendToSeers(const CorePorts& ports, const DeviceId& device, const WorkstationEvent& event);
// Tells pages that something about this account's changes, or its key, moved.
void AnnounceAccount(const CorePorts& ports, const AccountId& account);

// What is due to a workstation for the keys that it sees: `key`, `notice` of the last days, then,
// unless the alarm stands, `job` or `enrol`.
Result<std::vector<WorkstationEvent>> DueEvents(const CorePorts& ports, const WorkstationId& to,
                                                const std::vector<SeenKey>& keys);
// Hands the newest ready job of a key, if there is one and the epochs allow it, to all who see it.
Result<void> HandOutReady(const CorePorts& ports, const DeviceId& device);

// One line for the log; nothing when no log is wired.
void Log(const CorePorts& ports, std::string_view what, const Error& error);

}  // namespace keyferry::server
