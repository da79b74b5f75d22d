#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/core/help_desk_records.h"
#include "server/core/services.h"

// The touch of a caller's key, on its way to the workstations: docs/workstation-api.md, events
// `caller` and `caller-over`. The question is a row; who was not connected when it was asked gets
// it when a key of the person is seen.
namespace keyferry::server {

// The version of the workstation's API that brought the question.
inline constexpr int kCallerProtocol = 4;
// How long a question waits, in milliseconds; never longer than its request.
inline constexpr std::int64_t kTouchMillis = 3 * 60'000;

// Where a person can be asked.
struct TouchPlaces {
  std::vector<WorkstationRecord> workstations;
  std::string problem;  // why there are none, a sentence
};
// Approved workstations that see a key of the account now which is in use and ready, that are new
// enough, and whose login agent is certified.
Result<TouchPlaces> TouchPlacesOf(const CorePorts& ports, const AccountId& account);

WorkstationEvent CallerEvent(const KeyTouchQuestion& question, std::int64_t now);
// Tells them that nothing is asked any more.
void TellCallerOver(const CorePorts& ports, const HelpDeskRequest& request);
// The question that `to`, which sees a key of the account, is to ask now.
Result<std::optional<WorkstationEvent>> CallerEventDue(const CorePorts& ports,
                                                       const WorkstationId& to,
                                                       const AccountId& account);

// A question for a request: challenge and number. `asked_by`: the agent, for people.
Result<HelpDeskAttempt> MakeTouchQuestion(const CorePorts& ports, const HelpDeskRequest& request,
                                          const std::string& asked_by);

}  // namespace keyferry::server
