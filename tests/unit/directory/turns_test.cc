#include "server/directory/turns.h"

#include <catch2/catch.hpp>
#include <deque>
#include <memory>
#include <string>

namespace keyferry::server {
namespace {

// Those who want a connection, each with a letter: p… pages, c… changes, w… writes.
class Line {
 public:
  explicit Line(std::size_t connections) : turns(connections) {}

  void Join(const std::string& name) {
    const Turn turn =
        name[0] == 'p' ? Turn::kPage : (name[0] == 'c' ? Turn::kChange : Turn::kWrite);
    waiting_.push_back({name, std::make_unique<Turns::Place>(turn)});
    turns.Join(waiting_.back().place.get());
  }
  void GiveUp(const std::string& name) { turns.GiveUp(Find(name).place.get()); }
  void Leave(const std::string& name) {
    REQUIRE(Find(name).place->called);
    turns.Leave(Find(name).place->turn);
  }
  // Who was called since the last look, in the order in which they had come.
  std::string Called() {
    std::string out;
    for (Waiter& one : waiting_) {
      if (!one.place->called || one.told) continue;
      one.told = true;
      out += (out.empty() ? "" : " ") + one.name;
    }
    return out;
  }

  Turns turns;

 private:
  struct Waiter {
    std::string name;
    std::unique_ptr<Turns::Place> place;
    bool told = false;
  };
  Waiter& Find(const std::string& name) {
    for (Waiter& one : waiting_) {
      if (one.name == name) return one;
    }
    FAIL(name);
    return waiting_.front();
  }
  std::deque<Waiter> waiting_;
};

}  // namespace

TEST_CASE("changes have half of the connections and pages what is left, in the order they came") {
  Line line(4);
  for (const char* name : {"c1", "c2", "c3", "p1", "c4", "p2", "p3"}) line.Join(name);
  CHECK(line.Called() == "c1 c2 p1 p2");
  CHECK(line.turns.borrowed() == 4);
  line.Leave("p1");
  CHECK(line.Called() == "p3");
  line.Leave("c1");
  CHECK(line.Called() == "c3");
  line.Leave("p2");
  line.Leave("p3");
  CHECK(line.Called().empty());  // changes do not take what the pages leave
  for (const char* name : {"p4", "p5", "p6"}) line.Join(name);
  CHECK(line.Called() == "p4 p5");
  line.Leave("c2");  // c4 came before p6
  CHECK(line.Called() == "c4");
  line.Leave("c3");
  CHECK(line.Called() == "p6");
}

TEST_CASE("a write goes before changes that are not checked yet") {
  Line line(2);
  for (const char* name : {"c1", "c2", "w1", "c3", "w2"}) line.Join(name);
  CHECK(line.Called() == "c1");
  line.Leave("c1");
  CHECK(line.Called() == "w1");
  line.Leave("w1");
  CHECK(line.Called() == "w2");
  line.Leave("w2");
  CHECK(line.Called() == "c2");
  line.Leave("c2");
  CHECK(line.Called() == "c3");
  line.Leave("c3");
  CHECK(line.turns.borrowed() == 0);
}

TEST_CASE("one connection goes to pages and changes by turns") {
  Line line(1);
  for (const char* name : {"p1", "c1", "p2", "w1"}) line.Join(name);
  CHECK(line.Called() == "p1");
  line.Leave("p1");
  CHECK(line.Called() == "p2");  // the write is the next change, and came last
  line.Leave("p2");
  CHECK(line.Called() == "w1");
  line.Leave("w1");
  CHECK(line.Called() == "c1");
}

TEST_CASE("who gives up is not called, and holds up nobody") {
  Line line(2);
  for (const char* name : {"c1", "p1", "c2", "c3", "p2", "p3"}) line.Join(name);
  CHECK(line.Called() == "c1 p1");
  line.GiveUp("c2");
  line.GiveUp("p2");
  line.GiveUp("p2");
  line.GiveUp("c1");  // has been called: no longer in the line
  line.Leave("c1");
  CHECK(line.Called() == "c3");
  line.Leave("p1");
  CHECK(line.Called() == "p3");
  line.Join("w1");
  line.Join("c4");
  line.GiveUp("w1");
  line.Leave("c3");
  CHECK(line.Called() == "c4");
}

}  // namespace keyferry::server
