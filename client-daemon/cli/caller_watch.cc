#include "client-daemon/cli/caller_watch.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <utility>

#include "client-daemon/core/json.h"

namespace keyferry::daemon::cli {
namespace {

namespace json = boost::json;

constexpr std::chrono::minutes kLongest{10};  // a question on the desktop
constexpr const char* kNoneGiven = "keyferryd gave an answer that is none.";

}  // namespace

Result<std::vector<AskedCaller>> ParseAsked(std::string_view answer) {
  const auto none = [] { return Fail(ErrorCode::kProtocol, kNoneGiven); };
  const auto object = ParseObject(answer);
  if (!object) return none();
  const json::value* const ok = object->if_contains("ok");
  if (ok == nullptr || !ok->is_bool()) return none();
  if (!ok->get_bool()) {
    return Fail(ErrorCode::kPermissionDenied,
                Printable(GetText(*object, "message", 1000).value_or(kNoneGiven), 1000));
  }
  const json::value* const list = object->if_contains("questions");
  if (list == nullptr || !list->is_array()) return none();
  std::vector<AskedCaller> out;
  for (const json::value& value : list->get_array()) {
    if (!value.is_object()) return none();
    const json::object& one = value.get_object();
    const auto number = GetNumber(one, "number");
    const auto seconds = GetNumber(one, "seconds");
    if (!number || !seconds || *seconds > 86'400) return none();
    const auto text = [&one](const char* name) {
      return Printable(GetText(one, name, 2048).value_or(""), 600);
    };
    out.push_back({*number, text("login"), text("agent"), text("ticket"), text("reason"),
                   std::chrono::seconds(*seconds)});
  }
  return out;
}

Result<void> CallerWatch::Look() {
  const auto answer = ask_(R"({"op":"asked"})");
  if (!answer) return tl::unexpected(answer.error());
  const auto questions = ParseAsked(*answer);
  if (!questions) return tl::unexpected(questions.error());
  const std::uint64_t before = shown_;
  for (const AskedCaller& one : *questions) shown_ = std::max(shown_, one.number);
  // The newest first: older ones are nearly over.
  for (const AskedCaller& one : *questions) {
    if (one.number <= before) continue;
    constexpr int kNeverMoot = -1;
    desktop_.Ask(
        "Are you on the telephone with the help desk?",
        one.agent + " asks whether it is " + one.login + " who calls. Ticket " + one.ticket + ": " +
            one.reason +
            ". If it is you: run keyferry help-desk answer in a terminal. If it is not: run "
            "keyferry help-desk deny, and tell your security team.",
        "All right", "Close", std::min<std::chrono::milliseconds>(one.left, kLongest), kNeverMoot);
  }
  return {};
}

}  // namespace keyferry::daemon::cli
