#include "server/directory/turns.h"

#include <algorithm>

namespace keyferry::server {

void Turns::Join(Place* place) {
  place->number = ++numbers_;
  LineOf(place->turn).push_back(place);
  Call();
}

void Turns::GiveUp(Place* place) {
  auto& line = LineOf(place->turn);
  const auto at = std::find(line.begin(), line.end(), place);
  if (at == line.end()) return;
  line.erase(at);
  Call();  // those that it was before
}

void Turns::Leave(Turn turn) {
  --borrowed_;
  if (turn != Turn::kPage) --changing_;
  Call();
}

std::deque<Turns::Place*>* Turns::NextChange() {
  const std::size_t most = std::max<std::size_t>(connections_ / 2, 1);
  if (changing_ >= most) return nullptr;
  for (const Turn turn : {Turn::kWrite, Turn::kChange}) {
    if (!LineOf(turn).empty()) return &LineOf(turn);
  }
  return nullptr;
}

void Turns::Call() {
  while (borrowed_ < connections_) {
    auto* line = &LineOf(Turn::kPage);
    auto* const change = NextChange();
    if (change != nullptr && (line->empty() || change->front()->number < line->front()->number)) {
      line = change;
    }
    if (line->empty()) return;
    Place* const next = line->front();
    line->pop_front();
    ++borrowed_;
    if (next->turn != Turn::kPage) ++changing_;
    next->called = true;
    next->changed.notify_one();
  }
}

}  // namespace keyferry::server
