#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "server/api/services.h"
#include "server/http/router.h"

namespace keyferry::server {

// The live event streams of workstations: one each, a newer one ends the older. Thread-safe.
class WorkstationStreams {
 public:
  // Makes `stream` the workstation's stream; the former one is closed.
  void Begin(const WorkstationId& id, std::shared_ptr<EventStream> stream);
  // Forgets `stream` unless a newer one took its place.
  void End(const WorkstationId& id, const EventStream* stream);
  // Closes a workstation's stream, e.g. after it was revoked.
  void Close(const WorkstationId& id);

 private:
  std::mutex mutex_;
  std::map<WorkstationId, std::shared_ptr<EventStream>> streams_;
};

// docs/workstation-api.md section 1: on the listener for browsers.
void AddEnrolmentRoutes(Router& router, Services& services);
// docs/workstation-api.md section 2: on the listener for workstations.
void AddWorkstationRoutes(Router& router, Services& services,
                          std::shared_ptr<WorkstationStreams> streams);

}  // namespace keyferry::server
