#include "client-daemon/core/outbox.h"

#include <algorithm>
#include <utility>

namespace keyferry::daemon {
namespace {

bool SameSubject(const Post& a, const Post& b) {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Post::kKeys:
      return true;
    case Post::kSpooled:
    case Post::kJobProblem:
    case Post::kEnrolmentProblem:
      return a.id == b.id;
    case Post::kUsed:
      return a.device == b.device;
    case Post::kReceipt:
    case Post::kEnrolmentReceipt:
      return a.name == b.name;
  }
  return false;
}

bool IsCourtesy(const Post& post) {
  return post.kind == Post::kSpooled || post.kind == Post::kJobProblem ||
         post.kind == Post::kEnrolmentProblem;
}

}  // namespace

void Outbox::Put(Post post) {
  const std::scoped_lock lock(mutex_);
  post.number = next_number_++;
  const auto same = std::find_if(posts_.begin(), posts_.end(),
                                 [&](const Post& waiting) { return SameSubject(waiting, post); });
  if (same != posts_.end()) {
    *same = std::move(post);
  } else {
    if (posts_.size() >= kMax) {
      const auto courtesy = std::find_if(posts_.begin(), posts_.end(), IsCourtesy);
      if (courtesy != posts_.end()) posts_.erase(courtesy);
    }
    posts_.push_back(std::move(post));
  }
  changed_.notify_all();
}

std::optional<Post> Outbox::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stopped_ || !posts_.empty(); });
  if (stopped_) return std::nullopt;
  return posts_.front();
}

void Outbox::Done(const Post& post) {
  const std::scoped_lock lock(mutex_);
  const auto found = std::find_if(posts_.begin(), posts_.end(), [&](const Post& waiting) {
    return waiting.number == post.number;
  });
  if (found != posts_.end()) posts_.erase(found);
}

void Outbox::Stop() {
  const std::scoped_lock lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

std::size_t Outbox::size() const {
  const std::scoped_lock lock(mutex_);
  return posts_.size();
}

}  // namespace keyferry::daemon
