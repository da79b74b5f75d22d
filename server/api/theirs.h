#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "server/api/services.h"

// Answers cut to the people whom the caller may see. Included by handlers of API and pages alone.
namespace keyferry::server {

// `view` where its person is one of the caller's; else what `missing` says of a thing that is not
// there, so that nobody learns that it is.
template <typename View, typename Missing>
Result<View> OfTheirs(Services& services, const Request& request, Right right, Result<View> view,
                      Missing missing) {
  if (!view) return view;
  const auto seen = services.people.Check(request.session->actor, right, view->account);
  if (seen) return view;
  if (seen.error().code == ErrorCode::kNotFound) return missing();
  return tl::unexpected(seen.error());
}

template <typename View>
Result<std::vector<View>> AmongTheirs(Services& services, const Request& request, Right right,
                                      Result<std::vector<View>> views) {
  const Actor& actor = request.session->actor;
  if (!views || services.people.ReachesAll(actor, right)) return views;
  std::vector<AccountId> accounts;
  for (const View& view : *views) accounts.push_back(view.account);
  std::sort(accounts.begin(), accounts.end());
  accounts.erase(std::unique(accounts.begin(), accounts.end()), accounts.end());
  auto theirs = services.people.Among(actor, right, accounts);
  if (!theirs) return tl::unexpected(std::move(theirs.error()));
  std::sort(theirs->begin(), theirs->end());
  std::erase_if(*views, [&](const View& view) {
    return !std::binary_search(theirs->begin(), theirs->end(), view.account);
  });
  return views;
}

}  // namespace keyferry::server
