#include "server/directory/pool.h"

#include <ldap.h>

#include <algorithm>
#include <utility>

namespace keyferry::server {

ServerPool::ServerPool(std::string uri, const LdapConfig& config)
    : endpoint_{std::move(uri), config.ca_file, config.kind, config.section},
      config_(config),
      turns_(config.connections) {}

ServerPool::Lease::Lease(ServerPool* pool, std::unique_ptr<LdapConnection> connection, bool kept,
                         Turn turn)
    : pool_(pool), connection_(std::move(connection)), kept_(kept), turn_(turn) {}

ServerPool::Lease::~Lease() {
  if (connection_ == nullptr) return;  // moved from
  pool_->GiveBack(std::move(connection_), turn_);
}

void ServerPool::GiveBack(std::unique_ptr<LdapConnection> connection, Turn turn) {
  if (connection != nullptr && connection->broken()) connection.reset();
  const std::lock_guard lock(mutex_);
  if (connection != nullptr) idle_.push_back(std::move(connection));
  turns_.Leave(turn);
}

void ServerPool::DropIdle() {
  std::vector<std::unique_ptr<LdapConnection>> dropped;
  const std::lock_guard lock(mutex_);
  dropped.swap(idle_);
}

void ServerPool::Pause(const Error& error, std::chrono::milliseconds span) {
  const std::lock_guard lock(mutex_);
  paused_until_ = std::chrono::steady_clock::now() + span;
  pause_reason_ = error;
}

void ServerPool::MarkSilent(const Error& error) {
  DropIdle();
  Pause(error, config_.silent_pause);
}

bool ServerPool::Paused() {
  const std::lock_guard lock(mutex_);
  return std::chrono::steady_clock::now() < paused_until_;
}

Result<ServerPool::Lease> ServerPool::Take(Deadline deadline, Turn turn) {
  Turns::Place place(turn);
  std::unique_lock lock(mutex_);
  turns_.Join(&place);
  if (!place.changed.wait_until(lock, deadline, [&] { return place.called; })) {
    turns_.GiveUp(&place);
    return Fail(ErrorCode::kDeadline,
                "The directory is busy: all connections to the " +
                    std::string(ServerNoun(endpoint_.kind)) +
                    " are in use. "
                    "Nothing was changed; try again in a moment.",
                endpoint_.uri + ": " + std::to_string(turns_.borrowed()) + " connections on loan");
  }
  while (!idle_.empty()) {
    std::unique_ptr<LdapConnection> connection = std::move(idle_.back());
    idle_.pop_back();
    if (connection->LooksAlive()) return Lease(this, std::move(connection), true, turn);
  }
  if (std::chrono::steady_clock::now() < paused_until_) {
    turns_.Leave(turn);
    return tl::unexpected<Error>(*pause_reason_);
  }
  lock.unlock();
  auto opened = OpenBound(deadline);
  lock.lock();
  if (opened) {
    pause_reason_.reset();
    paused_until_ = {};
    return Lease(this, std::move(*opened), false, turn);
  }
  turns_.Leave(turn);
  return tl::unexpected<Error>(opened.error());
}

Result<std::unique_ptr<LdapConnection>> ServerPool::OpenBound(Deadline deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  auto connection = LdapConnection::Open(endpoint_, std::min(config_.connect_timeout, left));
  if (!connection) {
    if (connection.error().code == ErrorCode::kDeadline)
      Pause(connection.error(), config_.silent_pause);
    return connection;
  }
  const LdapAnswer answer = (*connection)->Bind(config_.bind_name, config_.bind_password, deadline);
  if (answer.ok()) return connection;
  Error error = ExplainServiceBind(answer, endpoint_);
  if (answer.timed_out) Pause(error, config_.silent_pause);
  if (answer.delivery == LdapAnswer::Delivery::kAnswered && answer.rc == LDAP_INVALID_CREDENTIALS) {
    Pause(error, config_.refused_pause);
  }
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace keyferry::server
