#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/core/ids.h"

namespace keyferry::server {

// The place of one person in the order of a listing: by folded name, then by identifier. Its text
// form is the cursor of a page ("everything after this place"), so a cursor stays good when people
// come and go, on any node, for any time.
struct ListingPlace {
  std::string key;  // SortKey of the display name
  AccountId id;
  auto operator<=>(const ListingPlace&) const = default;

  std::string Cursor() const;
  static std::optional<ListingPlace> Parse(std::string_view cursor);
};

using Listing = std::vector<ListingPlace>;  // sorted

// Sorted answers of recent searches, so that turning a page does not sweep the directory again.
// Thread-safe. Keeps a few searches for `life` each.
class ListingCache {
 public:
  explicit ListingCache(std::chrono::milliseconds life) : life_(life) {}
  std::shared_ptr<const Listing> Find(std::string_view query);
  std::shared_ptr<const Listing> Keep(std::string_view query, Listing listing);

 private:
  struct Kept {
    std::string query;
    std::chrono::steady_clock::time_point until;
    std::shared_ptr<const Listing> listing;
  };
  static constexpr std::size_t kMaxKept = 16;

  const std::chrono::milliseconds life_;
  std::mutex mutex_;
  std::list<Kept> kept_;  // newest first
};

}  // namespace keyferry::server
