#include "server/directory/server_group.h"

namespace keyferry::server {

Result<std::vector<LdapEntry>> Entries(const Session& session, const LdapSearch& search) {
  std::vector<LdapEntry> entries;
  const LdapAnswer answer = session.connection.Search(
      search, session.deadline, [&](LdapEntry&& entry) { entries.push_back(std::move(entry)); });
  if (!answer.ok()) return tl::unexpected<Error>(ExplainRead(answer, session.endpoint));
  return entries;
}

std::vector<Result<std::vector<LdapEntry>>> EntriesTogether(
    const Session& session, const std::vector<LdapSearch>& searches,
    const std::function<void()>& meanwhile) {
  std::vector<Result<std::vector<LdapEntry>>> out;
  for (LdapConnection::Found& found :
       session.connection.SearchTogether(searches, session.deadline, meanwhile)) {
    if (found.answer.ok()) {
      out.emplace_back(std::move(found.entries));
    } else {
      out.emplace_back(tl::unexpected<Error>(ExplainRead(found.answer, session.endpoint)));
    }
  }
  return out;
}

ServerGroup::ServerGroup(const LdapConfig& config) : config_(config) {
  for (const std::string& uri : config_.uris) {
    pools_.push_back(std::make_unique<ServerPool>(uri, config_));
  }
}

std::vector<ServerPool*> ServerGroup::Order() {
  std::vector<ServerPool*> order;
  for (const auto& pool : pools_) order.push_back(pool.get());
  {
    const std::lock_guard lock(mutex_);
    const auto first = order.begin() + static_cast<std::ptrdiff_t>(first_);
    std::rotate(order.begin(), first, first + 1);
  }
  std::stable_partition(order.begin(), order.end(),
                        [](ServerPool* pool) { return !pool->Paused(); });
  return order;
}

Result<ServerPool*> ServerGroup::PoolOf(const std::string& uri) {
  for (const auto& pool : pools_) {
    if (pool->uri() == uri) return pool.get();
  }
  return Fail(ErrorCode::kUnavailable,
              "The " + std::string(ServerNoun(config_.kind)) +
                  " that this change was bound to is no longer configured (" + config_.section +
                  ".uris).",
              uri);
}

Result<ServerPool*> ServerGroup::AnyPool() {
  const auto uri = Read(Turn::kChange, [](const Session& session) -> Result<std::string> {
    return session.endpoint.uri;
  });
  if (!uri) return tl::unexpected<Error>(uri.error());
  return PoolOf(*uri);
}

void ServerGroup::Prefer(std::size_t index) {
  const std::lock_guard lock(mutex_);
  first_ = index;
}

}  // namespace keyferry::server
