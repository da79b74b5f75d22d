#include "server/storage/node_link.h"

#include <libpq-fe.h>
#include <poll.h>
#include <soci/postgresql/soci-postgresql.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>

#include "protocol/failpoint.h"
#include "server/storage/backend_postgres.h"
#include "server/storage/rows.h"
#include "server/storage/seat_text.h"

namespace keyferry::server {
namespace {

constexpr std::int64_t kLease = 10'000;  // ms, of the database's clock
constexpr std::int64_t kBeat = 2'000;
constexpr std::int64_t kMargin = 2'000;  // the lease is given up here before it ends there
constexpr std::int64_t kSweep = 5'000;
constexpr std::int64_t kSweepBack = 120'000;
constexpr std::size_t kSweepPage = 2'000;  // keys
constexpr std::int64_t kKeepEvents = 60'000;
constexpr std::int64_t kRetry = 250;
constexpr std::size_t kMaxQueue = 10'000;
constexpr const char* kEventLock = "1263944275";  // beside the writers' (backend_postgres.cc)

// Of a clock that goes on while the machine sleeps.
std::int64_t BootMillis() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

std::string InLines(const std::vector<std::pair<std::string, std::string>>& shared) {
  std::string text;
  for (const auto& [name, value] : shared) text += name + "=" + value + "\n";
  return text;
}

// The names of the lines that are in one of the two texts only.
std::set<std::string> Differences(const std::string& a, const std::string& b) {
  const auto lines = [](const std::string& text) {
    std::set<std::string> out;
    for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      out.insert(text.substr(at, end - at));
    }
    return out;
  };
  const auto of_a = lines(a), of_b = lines(b);
  std::set<std::string> names;
  for (const auto* one : {&of_a, &of_b}) {
    const auto& other = one == &of_a ? of_b : of_a;
    for (const std::string& line : *one) {
      if (other.count(line) == 0) names.insert(line.substr(0, line.find('=')));
    }
  }
  return names;
}

struct NodeColumns {
  std::string id, name, shared;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id), soci::into(name), soci::into(shared);
  }
  NodeColumns Read() const { return *this; }
};

struct EventColumns {
  long long number = 0;
  std::string node, topic, name, data;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(number), soci::into(node), soci::into(topic), soci::into(name), soci::into(data);
  }
  EventColumns Read() const { return *this; }
};

struct SeatColumns {
  std::string node, workstation, text;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(node), soci::into(workstation), soci::into(text);
  }
  SeatColumns Read() const { return *this; }
};

struct DeviceColumns {
  std::string device;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(device);
  }
  DeviceId Read() const { return ReadId<DeviceId>(device); }
};

struct Outgoing {
  std::string topic, name, data;
  std::optional<Presence::Seat> seat;
};

constexpr std::string_view kSeatTopic = "seat/";
constexpr std::string_view kAnewTopic =
    "seats-anew";  // forget this server's seats; all of them follow

class PostgresNodeLink final : public NodeLink, private EventBus {
 public:
  PostgresNodeLink(const PostgresUrl& url, Self self, Presence& presence)
      : backend_(MakePostgresBackend(url)),
        self_(std::move(self)),
        presence_(presence),
        local_(MakeEventBus()),
        wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~PostgresNodeLink() override {
    PostgresNodeLink::Stop();
    close(wake_);
  }

  void Stop() override {
    presence_.Observe({});
    ending_ = true;
    Wake();
    if (thread_.joinable()) thread_.join();
    LetGo();
    try {
      if (session_) {
        Execute(*session_, "DELETE FROM presence WHERE node_id = :me", self_.id);
        Execute(*session_, "DELETE FROM nodes WHERE node_id = :me", self_.id);
        Notify();
      }
    } catch (const std::exception&) {
      // The lease ends by itself.
    }
    session_.reset();
  }

  Result<void> Register() {
    try {
      Connect();
      return Enter();
    } catch (const std::exception& error) {
      return Failure(error);
    }
  }

  EventBus& bus() override { return *this; }
  std::uint64_t Tenure() const override {
    const std::lock_guard lock(lease_mutex_);
    return BootMillis() < held_until_ ? tenure_ : 0;
  }

  void Start(Calls calls) override {
    calls_ = std::move(calls);
    thread_ = std::thread([this] { Run(); });
  }

 private:
  std::unique_ptr<Subscription> Subscribe(std::string topic, Callback callback) override {
    return local_->Subscribe(std::move(topic), std::move(callback));
  }
  void Publish(std::string_view topic, BusEvent event) override {
    if (!alone_) Enqueue({std::string(topic), event.name, event.data, std::nullopt});
    local_->Publish(topic, std::move(event));
  }

  void Enqueue(Outgoing item) {
    {
      const std::lock_guard lock(queue_mutex_);
      // Away for that long, everything is told anew afterwards.
      if (queue_.size() >= kMaxQueue) return;
      queue_.push_back(std::move(item));
    }
    Wake();
  }
  void Wake() {
    const std::uint64_t one = 1;
    // A full counter wakes as well.
    [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof one);
  }

  void Connect() {
    session_ = backend_->OpenWriter();
    soci::session& sql = *session_;
    // Nothing here is worth waiting for a disk.
    sql << "SET synchronous_commit = off";
    sql << "SELECT oid::text FROM pg_namespace WHERE nspname = current_schema()",
        soci::into(schema_);
    connection_ = static_cast<soci::postgresql_session_backend*>(sql.get_backend())->conn_;
  }

  void LockEvents() {
    *session_ << "SELECT pg_advisory_xact_lock(" + std::string(kEventLock) + ", " + schema_ + ")";
  }

  // Takes the lease, unless a live server has other settings.
  Result<void> Enter() {
    soci::session& sql = *session_;
    const std::string shared = InLines(self_.shared);
    sql << "BEGIN";
    LockEvents();
    // An earlier life of this server that was killed.
    Execute(sql, "DELETE FROM nodes WHERE name = :name AND node_id <> :me", self_.name, self_.id);
    for (const NodeColumns& other :
         Select<NodeColumns>(sql,
                             std::string("SELECT node_id, name, shared FROM nodes WHERE "
                                         "alive_until > ") +
                                 backend_->Now() + " AND node_id <> :me",
                             self_.id)) {
      if (other.shared == shared) continue;
      sql << "ROLLBACK";
      std::string names;
      for (const std::string& name : Differences(shared, other.shared)) {
        names += (names.empty() ? "" : ", ") + name;
      }
      return Fail(ErrorCode::kConflict, "The server " + other.name +
                                            " runs on the same database with another " + names +
                                            ". Make them alike, or stop that server first.");
    }
    const std::int64_t before = BootMillis();
    const long long lease = kLease;
    Execute(sql, "DELETE FROM nodes WHERE node_id = :me", self_.id);
    Execute(sql,
            std::string("INSERT INTO nodes (node_id, name, shared, alive_until) VALUES (:me, "
                        ":name, :shared, ") +
                backend_->Now() + " + :lease)",
            self_.id, self_.name, shared, lease);
    Notify();  // whoever thinks itself alone tells nobody what happens
    sql << "COMMIT";
    Hold(before);
    return {};
  }

  // After every new connection: what was missed is read, and told, as a whole.
  void Resume() {
    soci::session& sql = *session_;
    sql << "LISTEN keyferry_" + schema_;
    last_ = SelectNumber(sql, "SELECT COALESCE(MAX(number), 0) FROM events");
    Execute(sql, "DELETE FROM presence WHERE node_id = :me", self_.id);
    {
      const std::lock_guard lock(queue_mutex_);
      queue_.clear();
    }
    Beat();
    TellAgain();
    presence_.KeepRemote({});
    for (const SeatColumns& row :
         Select<SeatColumns>(sql,
                             "SELECT node_id, workstation_id, seat FROM presence WHERE node_id <> "
                             ":me",
                             self_.id)) {
      if (others_.count(row.node) != 0) {
        presence_.SetRemote(row.node, ReadSeat(row.workstation, row.text));
      }
    }
    received_ = BootMillis();
    LookAgain();
    Sweep(0);
  }

  // Pages, and whoever else listens, look at everything anew.
  void LookAgain() {
    for (const char* topic : {"workstations", "keys", "jobs"}) {
      local_->Publish(topic, {"change", "{}"});
    }
  }

  // The other servers get this one's part of the presence as a whole.
  void TellAgain() {
    if (told_) Enqueue({std::string(kAnewTopic), "seats", {}, std::nullopt});
    presence_.TellAgain();
  }

  // The lease that was asked for at `since` is had. It is the same one only if the former certainly
  // had not ended by then: the database does not tell a revived lease from one that was kept.
  void Hold(std::int64_t since) {
    const std::lock_guard lock(lease_mutex_);
    if (BootMillis() >= held_until_) ++tenure_;
    held_until_ = since + kLease - kMargin;
  }
  void LetGo() {
    const std::lock_guard lock(lease_mutex_);
    held_until_ = 0;
  }

  // True when there is a server that was not there at the last beat.
  bool Beat() {
    soci::session& sql = *session_;
    const std::int64_t before = BootMillis();
    const long long lease = kLease;
    if (Execute(sql,
                std::string("UPDATE nodes SET alive_until = ") + backend_->Now() +
                    " + :lease WHERE node_id = :me",
                lease, self_.id) == 0) {
      // Another server of this name has begun meanwhile, or somebody has cleaned up.
      LetGo();
      if (auto entered = Enter(); !entered) {
        calls_.log("servers: " + entered.error().message);
      }
    } else {
      Hold(before);
    }
    beat_ = before;
    std::map<std::string, std::string> others;
    std::set<std::string> ids;
    bool fresh = false;
    for (NodeColumns& other :
         Select<NodeColumns>(sql,
                             std::string("SELECT node_id, name, shared FROM nodes WHERE "
                                         "alive_until > ") +
                                 backend_->Now() + " AND node_id <> :me",
                             self_.id)) {
      if (others_.count(other.id) == 0) {
        fresh = true;
        calls_.log("servers: " + other.name + " is there");
      }
      ids.insert(other.id);
      others.emplace(std::move(other.id), std::move(other.name));
    }
    bool gone = false;
    for (const auto& [id, name] : others_) {
      if (others.count(id) != 0) continue;
      gone = true;
      calls_.log("servers: " + name + " has gone; what it began is taken over");
    }
    others_ = std::move(others);
    alone_ = others_.empty();
    if (presence_.KeepRemote(ids)) LookAgain();
    if (gone) {
      calls_.orphaned();
      Sweep(0);
    }
    if (before - pruned_ > kKeepEvents) {
      pruned_ = before;
      const long long old = kKeepEvents;
      Execute(sql, std::string("DELETE FROM events WHERE created < ") + backend_->Now() + " - :old",
              old);
      Execute(sql, std::string("DELETE FROM presence WHERE node_id NOT IN (SELECT node_id FROM "
                               "nodes WHERE alive_until > ") +
                       backend_->Now() + ")");
      Execute(sql,
              std::string("DELETE FROM nodes WHERE alive_until < ") + backend_->Now() + " - :old",
              old);
    }
    return fresh;
  }

  void Flush() {
    std::deque<Outgoing> items;
    {
      const std::lock_guard lock(queue_mutex_);
      items.swap(queue_);
    }
    if (items.empty()) return;
    soci::session& sql = *session_;
    KEYFERRY_FAILPOINT("server.events.before");
    sql << "BEGIN";
    LockEvents();
    for (Outgoing& item : items) {
      if (item.seat) WriteSeatRow(*item.seat, item);
      if (alone_) continue;
      Execute(sql,
              std::string("INSERT INTO events (node_id, topic, name, data, created) VALUES (:me, "
                          ":topic, :name, :data, ") +
                  backend_->Now() + ")",
              self_.id, item.topic, item.name, item.data);
    }
    if (!alone_) Notify();
    sql << "COMMIT";
    KEYFERRY_FAILPOINT("server.events.told");
  }

  void Notify() { *session_ << "SELECT pg_notify('keyferry_" + schema_ + "', '')"; }

  void WriteSeatRow(const Presence::Seat& seat, Outgoing& item) {
    soci::session& sql = *session_;
    told_ = true;
    const std::string id = seat.workstation.Hex();
    item.topic = std::string(kSeatTopic) + id;
    item.name = "seat";
    item.data = WriteSeat(seat);
    switch (seat.kind) {
      case Presence::Seat::kHere:
        Execute(sql, "DELETE FROM presence WHERE workstation_id = :id", id);
        Execute(sql,
                "INSERT INTO presence (workstation_id, node_id, seat) VALUES (:id, :me, :seat)", id,
                self_.id, item.data);
        return;
      case Presence::Seat::kGone:
        Execute(sql, "DELETE FROM presence WHERE workstation_id = :id AND node_id = :me", id,
                self_.id);
        return;
      case Presence::Seat::kReport:
        return;
    }
  }

  void Receive() {
    constexpr std::size_t kAtOnce = 500;
    for (;;) {
      const auto events = Select<EventColumns>(
          *session_,
          "SELECT number, node_id, topic, name, data FROM events WHERE number > :last ORDER BY "
          "number LIMIT 500",
          last_);
      for (const EventColumns& event : events) {
        last_ = event.number;
        if (event.node == self_.id) continue;
        if (event.topic == kAnewTopic) {
          presence_.ForgetRemote(event.node);
        } else if (event.topic.rfind(kSeatTopic, 0) == 0) {
          presence_.SetRemote(event.node,
                              ReadSeat(event.topic.substr(kSeatTopic.size()), event.data));
        } else {
          local_->Publish(event.topic, {event.name, event.data});
        }
      }
      if (events.size() < kAtOnce) break;
    }
    received_ = BootMillis();
  }

  // Looks for ready jobs that were queued in the last `back` ms, 0 = all of them: a page now, the
  // others between beats.
  void Sweep(long long back) {
    sweeping_ = true;
    sweep_back_ = back;
    sweep_after_.clear();
    SweepPage();
  }

  void SweepPage() {
    swept_ = BootMillis();
    const auto devices = Select<DeviceColumns>(
        *session_,
        std::string("SELECT DISTINCT device_id FROM jobs WHERE state = 'ready' AND (:back = 0 OR "
                    "queued > ") +
            backend_->Now() + " - :same) AND device_id > :after ORDER BY device_id LIMIT " +
            std::to_string(kSweepPage),
        sweep_back_, sweep_back_, sweep_after_);
    sweeping_ = devices.size() == kSweepPage;
    if (devices.empty()) return;
    sweep_after_ = devices.back().Hex();
    calls_.offer(devices);
  }

  void Run() {
    presence_.Observe([this](const Presence::Seat& seat) { Enqueue({{}, {}, {}, seat}); });
    bool resumed = false;
    bool notified = false;  // while alone: by a server that has just come
    std::string told;
    while (!ending_) {
      try {
        if (!session_) {
          Connect();
          resumed = false;
        }
        const std::int64_t now = BootMillis();
        if (!resumed || now - received_ > kKeepEvents / 2) {
          Resume();
          if (!told.empty()) calls_.log("servers: the database answers again");
          told.clear();
          resumed = true;
        }
        // What happened while this server took itself for the only one, a new one did not hear.
        if ((notified || now - beat_ >= kBeat) && Beat()) TellAgain();
        Flush();
        Receive();
        if (sweeping_) {
          SweepPage();
        } else if (now - swept_ >= kSweep) {
          Sweep(kSweepBack);
        }
        const std::int64_t rest = sweeping_ ? 0 : kBeat - (BootMillis() - beat_);
        const bool heard = Wait(std::max<std::int64_t>(0, rest));
        notified = heard && alone_;
      } catch (const std::exception& error) {
        const Error failure = Failure(error).value();
        if (told != failure.message) {
          told = failure.message;
          calls_.log("servers: " + told +
                     (failure.detail.empty() ? "" : " [" + failure.detail + "]"));
        }
        session_.reset();
        connection_ = nullptr;
        Wait(kRetry);
      }
    }
  }

  // Until something is to be done. True when another server has notified.
  bool Wait(std::int64_t millis) {
    pollfd fds[2] = {{wake_, POLLIN, 0}, {-1, POLLIN, 0}};
    if (connection_ != nullptr) {
      if (PQconsumeInput(connection_) == 0) throw soci::soci_error("the connection was lost");
      bool notified = false;
      while (PGnotify* const notice = PQnotifies(connection_)) {
        PQfreemem(notice);
        notified = true;
      }
      if (notified) return true;
      fds[1].fd = PQsocket(connection_);
    }
    poll(fds, 2, static_cast<int>(millis));
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = read(wake_, &count, sizeof count);  // nothing: not woken
    bool notified = false;
    if (connection_ != nullptr && (fds[1].revents & POLLIN) != 0) {
      if (PQconsumeInput(connection_) == 0) throw soci::soci_error("the connection was lost");
      while (PGnotify* const notice = PQnotifies(connection_)) {
        PQfreemem(notice);
        notified = true;
      }
    }
    return notified;
  }

  tl::unexpected<Error> Failure(const std::exception& error) const {
    if (dynamic_cast<const DamagedRow*>(&error) != nullptr) {
      return Fail(ErrorCode::kInternal, "The database holds a row that this server cannot read.",
                  error.what());
    }
    bool fatal = false;
    return tl::unexpected<Error>(backend_->Translate(error, fatal));
  }

  const std::unique_ptr<Backend> backend_;
  const Self self_;
  Presence& presence_;
  const std::unique_ptr<EventBus> local_;
  const int wake_;
  Calls calls_;
  mutable std::mutex lease_mutex_;
  std::int64_t held_until_ = 0;  // BootMillis
  std::uint64_t tenure_ = 0;
  std::atomic<bool> alone_{true};
  std::atomic<bool> ending_{false};
  std::mutex queue_mutex_;
  std::deque<Outgoing> queue_;
  std::thread thread_;
  // The rest is the thread's own, and Register()'s before it.
  std::unique_ptr<soci::session> session_;
  PGconn* connection_ = nullptr;
  std::string schema_;
  long long last_ = 0;
  std::int64_t beat_ = 0, received_ = 0, swept_ = 0, pruned_ = 0;
  // A sweep that is under way: how far it is.
  bool sweeping_ = false;
  long long sweep_back_ = 0;
  std::string sweep_after_;
  std::map<std::string, std::string> others_;  // live servers: id → name
  bool told_ = false;                          // others may know seats of this server
};

}  // namespace

Result<std::unique_ptr<NodeLink>> OpenNodeLink(const PostgresUrl& url, NodeLink::Self self,
                                               Presence& presence) {
  auto link = std::make_unique<PostgresNodeLink>(url, std::move(self), presence);
  if (auto registered = link->Register(); !registered) return tl::unexpected(registered.error());
  return link;
}

}  // namespace keyferry::server
