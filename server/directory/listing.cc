#include "server/directory/listing.h"

#include <algorithm>
#include <utility>

namespace keyferry::server {
namespace {

constexpr std::size_t kIdDigits = 32;
constexpr std::size_t kMaxKeyDigits = 2 * 96;

}  // namespace

// The identifier, then the key, both in hex: safe in a URL and without meaning to its holder.
std::string ListingPlace::Cursor() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out = id.Hex();
  for (const char c : key) {
    const auto byte = static_cast<std::uint8_t>(c);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

std::optional<ListingPlace> ListingPlace::Parse(std::string_view cursor) {
  if (cursor.size() < kIdDigits || cursor.size() > kIdDigits + kMaxKeyDigits ||
      cursor.size() % 2 != 0) {
    return std::nullopt;
  }
  const auto id = AccountId::Parse(cursor.substr(0, kIdDigits));
  if (!id) return std::nullopt;
  ListingPlace place{{}, *id};
  for (std::size_t at = kIdDigits; at < cursor.size(); at += 2) {
    int value = 0;
    for (const char c : cursor.substr(at, 2)) {
      if (c >= '0' && c <= '9') {
        value = value * 16 + (c - '0');
      } else if (c >= 'a' && c <= 'f') {
        value = value * 16 + (c - 'a' + 10);
      } else {
        return std::nullopt;
      }
    }
    place.key += static_cast<char>(value);
  }
  return place;
}

std::shared_ptr<const Listing> ListingCache::Find(std::string_view query) {
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  kept_.remove_if([&](const Kept& kept) { return kept.until <= now; });
  const auto found = std::find_if(kept_.begin(), kept_.end(),
                                  [&](const Kept& kept) { return kept.query == query; });
  return found == kept_.end() ? nullptr : found->listing;
}

std::shared_ptr<const Listing> ListingCache::Keep(std::string_view query, Listing listing) {
  std::sort(listing.begin(), listing.end());
  auto shared = std::make_shared<const Listing>(std::move(listing));
  const std::lock_guard lock(mutex_);
  kept_.remove_if([&](const Kept& kept) { return kept.query == query; });
  kept_.push_front({std::string(query), std::chrono::steady_clock::now() + life_, shared});
  if (kept_.size() > kMaxKept) kept_.pop_back();
  return shared;
}

}  // namespace keyferry::server
