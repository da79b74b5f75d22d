#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/http/message.h"

namespace keyferry::server {

// Lists come in pages: the query `limit` (1…500, else 100) and `cursor`, which is `next` of the
// page before. A cursor is opaque: it says after which element the next page begins, and of which
// list.
struct PageRequest {
  std::size_t limit = 100;
  std::string after;  // empty = from the beginning
};
inline constexpr std::size_t kMostOfAPage = 500;

// `list` names the list. kInvalidArgument.
Result<PageRequest> ReadPage(const Request& request, std::string_view list);
// The limit alone, where the cursor is somebody else's. kInvalidArgument.
Result<std::size_t> ReadLimit(const Request& request, std::size_t most);
std::string MakeCursor(std::string_view list, std::string_view after);
// A decimal number without sign; kInvalidArgument names `what`.
Result<std::uint64_t> ReadNumber(std::string_view text, std::string_view what);

template <typename View>
struct Page {
  std::vector<View> views;
  std::string next;  // a cursor, empty on the last page
};

// The page that begins at `from`.
template <typename View, typename IdOf>
Page<View> CutFrom(typename std::vector<View>::iterator from, std::vector<View>& views,
                   const PageRequest& wanted, std::string_view list, IdOf id) {
  const auto left = static_cast<std::size_t>(views.end() - from);
  const auto end = from + static_cast<std::ptrdiff_t>(std::min(left, wanted.limit));
  Page<View> page;
  if (left > wanted.limit) page.next = MakeCursor(list, id(*(end - 1)));
  page.views.assign(std::make_move_iterator(from), std::make_move_iterator(end));
  return page;
}

// One page of a list that lies in memory, ordered by `id` (a function View → text): what comes and
// goes meanwhile moves nothing else to another page.
template <typename View, typename IdOf>
Page<View> CutById(std::vector<View> views, const PageRequest& wanted, std::string_view list,
                   IdOf id) {
  std::sort(views.begin(), views.end(),
            [&id](const View& a, const View& b) { return id(a) < id(b); });
  auto from = views.begin();
  if (!wanted.after.empty()) {
    from = std::find_if(views.begin(), views.end(),
                        [&](const View& view) { return id(view) > wanted.after; });
  }
  return CutFrom(from, views, wanted, list, id);
}

// The same of a list that is in order already and from which nothing disappears. kInvalidArgument:
// the cursor is of none of these.
template <typename View, typename IdOf>
Result<Page<View>> CutInOrder(std::vector<View> views, const PageRequest& wanted,
                              std::string_view list, IdOf id) {
  auto from = views.begin();
  if (!wanted.after.empty()) {
    from = std::find_if(views.begin(), views.end(),
                        [&](const View& view) { return id(view) == wanted.after; });
    if (from == views.end()) {
      return Fail(ErrorCode::kInvalidArgument, "cursor is not one that this list gave.");
    }
    ++from;
  }
  return CutFrom(from, views, wanted, list, id);
}

}  // namespace keyferry::server
