#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/result.h"
#include "server/core/event_bus.h"
#include "server/core/presence.h"
#include "server/storage/postgres_url.h"

namespace keyferry::server {

// One server among those on one PostgreSQL database: its lease, its part of what all workstations
// see, and the events between servers. One thread and one connection.
// * Lease. The server's row in `nodes` is renewed every 2 s for 10 s, by the database's clock.
// While
//   it holds, no other server touches the changes that this one has begun (changes.cc); once it has
//   ended, every other may, and what this one still tries with them is refused.
// * Events go into the table `events`, many in one transaction of their own that waits for no disk,
//   and a NOTIFY wakes the others. What a NOTIFY does not bring, a look every 2 s does.
// * Ready jobs of the last minutes whose key is seen here are looked for every 5 s: a server that
//   died between a commit and its event leaves nothing lying. After a lost connection, and when
//   another server has gone, all of them are.
class NodeLink {
 public:
  struct Self {
    std::string id;    // 32 hexadecimal digits, new with every start
    std::string name;  // for people; two servers of one name cannot be alive at once
    // What must be alike on all servers, as names and values.
    std::vector<std::pair<std::string, std::string>> shared;
  };
  // All called on the link's thread.
  struct Calls {
    std::function<void(const std::vector<DeviceId>&)> offer;  // keys for which jobs may be ready
    std::function<void()> orphaned;                           // another server has gone
    std::function<void(std::string_view)> log;
  };

  virtual ~NodeLink() = default;  // stops it
  // Subscribes here; publishes here and on the other servers. As long-lived as the link.
  virtual EventBus& bus() = 0;
  // The number of the present lease, 0 = none that certainly holds. A lease that ended and was had
  // again is another one: what was begun under the former may have been settled by others. Asked
  // before anything is sent to the directory.
  virtual std::uint64_t Tenure() const = 0;
  virtual void Start(Calls calls) = 0;
  // Ends the thread and gives the lease back.
  virtual void Stop() = 0;
};

// The schema must be there (OpenPostgresStore). `presence` outlives the link. kConflict, naming
// what differs, when a server that is alive on this database has other `shared` values.
Result<std::unique_ptr<NodeLink>> OpenNodeLink(const PostgresUrl& url, NodeLink::Self self,
                                               Presence& presence);

}  // namespace keyferry::server
