#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace keyferry::server {

// What a connection is wanted for. Changes leave half of the connections, one at least, to the
// pages: however many of them run, nobody who looks something up waits for one, and the controller,
// which makes its writes one after the other, has few of them at a time to share itself between. A
// change that has been checked goes before one that has not. Otherwise whoever came first is next.
enum class Turn {
  kPage,    // somebody looks something up, or signs in
  kChange,  // a change's reads
  kWrite,   // its write
};

// Who is next to borrow one of `connections`. Not thread-safe: whoever uses it holds one mutex, the
// one that is waited with.
class Turns {
 public:
  // Of whoever waits; outlives its wait. `changed` is notified when it is called.
  struct Place {
    explicit Place(Turn wanted) : turn(wanted) {}
    const Turn turn;
    bool called = false;
    std::uint64_t number = 0;
    std::condition_variable changed;
  };

  explicit Turns(std::size_t connections) : connections_(connections) {}

  // It is called at once, or by a later Leave or GiveUp.
  void Join(Place* place);
  // It does not wait any longer; nothing where it has been called.
  void GiveUp(Place* place);
  // Of one that was called: it has given back what it borrowed.
  void Leave(Turn turn);
  std::size_t borrowed() const { return borrowed_; }

 private:
  std::deque<Place*>& LineOf(Turn turn) { return lines_[static_cast<std::size_t>(turn)]; }
  // The next change, or none.
  std::deque<Place*>* NextChange();
  void Call();

  const std::size_t connections_;
  std::array<std::deque<Place*>, 3> lines_;
  std::uint64_t numbers_ = 0;
  std::size_t borrowed_ = 0;
  std::size_t changing_ = 0;  // … by changes
};

}  // namespace keyferry::server
