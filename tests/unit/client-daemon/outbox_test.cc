#include "client-daemon/core/outbox.h"

#include <catch2/catch.hpp>
#include <future>

using namespace keyferry::daemon;

namespace {

Post Make(Post::Kind kind, std::uint8_t id) {
  Post post;
  post.kind = kind;
  post.id = {id};
  post.device = {id};
  post.name = std::to_string(id);
  return post;
}

}  // namespace

TEST_CASE("posts leave in the order of coming and stay until done") {
  Outbox outbox;
  outbox.Put(Make(Post::kSpooled, 1));
  outbox.Put(Make(Post::kReceipt, 1));
  const auto first = outbox.Wait();
  CHECK(first->kind == Post::kSpooled);
  CHECK(outbox.Wait()->number == first->number);
  outbox.Done(*first);
  CHECK(outbox.Wait()->kind == Post::kReceipt);
}

TEST_CASE("a newer post about the same thing takes the older one's place") {
  Outbox outbox;
  outbox.Put(Make(Post::kKeys, 0));
  const auto sent = outbox.Wait();
  Post newer = Make(Post::kKeys, 0);
  newer.keys.resize(2);
  outbox.Put(newer);
  outbox.Done(*sent);  // the older one arrived; the newer one is still to go
  REQUIRE(outbox.size() == 1);
  CHECK(outbox.Wait()->keys.size() == 2);
  outbox.Put(Make(Post::kReceipt, 1));
  outbox.Put(Make(Post::kReceipt, 2));
  outbox.Put(Make(Post::kReceipt, 2));
  CHECK(outbox.size() == 3);
}

TEST_CASE("when it is full courtesies go first, receipts never") {
  Outbox outbox;
  for (std::size_t i = 0; i < Outbox::kMax; ++i) {
    Post post = Make(Post::kReceipt, 0);
    post.name = std::to_string(i);
    outbox.Put(post);
    if (i == 10) outbox.Put(Make(Post::kJobProblem, 1));
  }
  CHECK(outbox.size() == Outbox::kMax);
  for (std::size_t i = 0; i < Outbox::kMax; ++i) {
    const auto post = outbox.Wait();
    REQUIRE(post->kind == Post::kReceipt);
    outbox.Done(*post);
  }
}

TEST_CASE("Stop ends the wait") {
  Outbox outbox;
  auto waiting = std::async(std::launch::async, [&] { return outbox.Wait(); });
  outbox.Stop();
  CHECK_FALSE(waiting.get());
}
