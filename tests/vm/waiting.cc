#include "tests/vm/waiting.h"

#include <mutex>
#include <utility>
#include <vector>

namespace keyferry::test {
namespace {

std::mutex mutex;  // both below
std::vector<std::string> steps;
std::chrono::steady_clock::time_point changed = std::chrono::steady_clock::now();

}  // namespace

Waiting::Waiting(std::string words) {
  const std::scoped_lock lock(mutex);
  steps.push_back(std::move(words));
  changed = std::chrono::steady_clock::now();
}

Waiting::~Waiting() {
  const std::scoped_lock lock(mutex);
  steps.pop_back();
  changed = std::chrono::steady_clock::now();
}

std::string Waiting::Words() {
  const std::scoped_lock lock(mutex);
  std::string out;
  for (const std::string& step : steps) out += (out.empty() ? "" : " > ") + step;
  return out;
}

std::chrono::steady_clock::duration Waiting::Stuck() {
  const std::scoped_lock lock(mutex);
  return steps.empty() ? std::chrono::steady_clock::duration::zero()
                       : std::chrono::steady_clock::now() - changed;
}

}  // namespace keyferry::test
