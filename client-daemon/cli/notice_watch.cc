#include "client-daemon/cli/notice_watch.h"

#include <boost/json/array.hpp>
#include <charconv>
#include <ctime>
#include <map>
#include <utility>

#include "client-daemon/core/files.h"
#include "client-daemon/core/json.h"

namespace keyferry::daemon::cli {
namespace {

namespace json = boost::json;

constexpr std::chrono::minutes kOpen{10};  // a notice on the desktop
constexpr const char* kNoAnswer = "keyferryd gave an answer that is none.";

Result<json::object> GoodAnswer(std::string_view answer) {
  auto object = ParseObject(answer);
  if (!object) return Fail(ErrorCode::kProtocol, kNoAnswer);
  const json::value* const ok = object->if_contains("ok");
  if (ok == nullptr || !ok->is_bool()) return Fail(ErrorCode::kProtocol, kNoAnswer);
  if (!ok->get_bool()) {
    return Fail(ErrorCode::kPermissionDenied,
                Printable(GetText(*object, "message", 1000).value_or(kNoAnswer), 1000));
  }
  return object;
}

std::string When(std::int64_t time) {
  const std::time_t seconds = time;
  std::tm local{};
  localtime_r(&seconds, &local);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local));
}

std::string Circumstances(const NoticeEvent& notice) {
  std::string out = When(notice.time) + ", by " + notice.by;
  if (!notice.address.empty()) out += " from " + notice.address;
  if (!notice.reason.empty()) out += ": " + notice.reason;
  return out;
}

}  // namespace

Result<std::vector<NoticeEvent>> ParseNotices(std::string_view answer) {
  const auto object = GoodAnswer(answer);
  if (!object) return tl::unexpected(object.error());
  const json::value* const list = object->if_contains("notices");
  if (list == nullptr || !list->is_array()) return Fail(ErrorCode::kProtocol, kNoAnswer);
  std::vector<NoticeEvent> out;
  for (const json::value& value : list->get_array()) {
    if (!value.is_object()) return Fail(ErrorCode::kProtocol, kNoAnswer);
    const json::object& one = value.get_object();
    const auto number = GetNumber(one, "number");
    const auto time = GetNumber(one, "time");
    if (!number || !time || *time > INT64_MAX) return Fail(ErrorCode::kProtocol, kNoAnswer);
    const auto text = [&one](const char* name) {
      return Printable(GetText(one, name, 2048).value_or(""), 600);
    };
    out.push_back({*number, text("login"), text("kind"), text("by"), text("address"),
                   text("reason"), static_cast<std::int64_t>(*time)});
  }
  return out;
}

std::string ActOf(const NoticeEvent& notice) {
  static const std::map<std::string, const char*, std::less<>> kActs = {
      {"password_waits", "A new password was asked for, and waits for the key, for "},
      {"password_set", "A new password was set for "},
      {"unlocked", "The account was unlocked of "},
      {"must_change", "The password has to be changed at the next sign-in by "},
      {"key_added", "A security key was enrolled for "},
      {"key_resumed", "A suspended security key may be used again by "},
      {"key_out", "A security key was suspended or taken out of use of "},
      {"enrolment_cleared", "A security key will not be enrolled after all for "},
      {"factor_set_up", "A second factor was set up for "},
      {"factor_reset", "The second factor was removed of "},
      {"recovery_codes", "New recovery codes were made for "},
      {"questions_set", "Answers to security questions were set for "},
      {"fido_key_added", "A FIDO2 key for signing in to Keyferry was added for "},
      {"fido_key_removed", "A FIDO2 key for signing in to Keyferry was removed of "}};
  const auto found = kActs.find(notice.kind);
  return (found == kActs.end() ? "Something was done to the account of " : found->second) +
         notice.login + ".";
}

std::string NoticesText(const std::vector<NoticeEvent>& notices) {
  if (notices.empty()) return "Nothing new was done to the people whose keys are here.\n";
  std::string out;
  for (const NoticeEvent& notice : notices) {
    out += std::to_string(notice.number) + "  " + ActOf(notice) + "\n    " + Circumstances(notice) +
           "\n";
  }
  out +=
      "If one of these was not you: keyferry notices --not-me NUMBER. Your keys are suspended at "
      "once, and the administrators are told.\n";
  return out;
}

std::string NotMeRequest(std::uint64_t number) {
  return R"({"op":"not_me","number":)" + std::to_string(number) + "}";
}

Result<void> ParseNotMe(std::string_view answer) {
  const auto object = GoodAnswer(answer);
  if (!object) return tl::unexpected(object.error());
  return {};
}

NoticeWatch::NoticeWatch(AskDaemon ask, DesktopQuestion& desktop, std::string seen_file)
    : ask_(std::move(ask)), desktop_(desktop), seen_file_(std::move(seen_file)) {
  const auto kept = ReadBounded(seen_file_, 32);
  if (!kept) return;
  const std::string text(kept->begin(), kept->end());
  std::uint64_t seen = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), seen);
  if (failure == std::errc() && end == text.data() + text.size()) seen_ = seen;
}

Result<void> NoticeWatch::Look() {
  const auto answer = ask_(R"({"op":"notices"})");
  if (!answer) return tl::unexpected(answer.error());
  const auto notices = ParseNotices(*answer);
  if (!notices) return tl::unexpected(notices.error());
  // The oldest first, as it happened.
  for (auto notice = notices->rbegin(); notice != notices->rend(); ++notice) {
    if (notice->number <= seen_) continue;
    Show(*notice);
    seen_ = notice->number;
    const std::string kept = std::to_string(seen_);
    // Where it cannot be kept the person is told once more in the next session.
    (void)WriteDurably(seen_file_,
                       {reinterpret_cast<const std::uint8_t*>(kept.data()), kept.size()});
  }
  return {};
}

void NoticeWatch::Show(const NoticeEvent& notice) {
  constexpr int kNeverMoot = -1;
  if (!desktop_.Ask(ActOf(notice), Circumstances(notice), "This was not me", "That is right", kOpen,
                    kNeverMoot)) {
    return;
  }
  if (!desktop_.Ask("Suspend your security keys now?",
                    ActOf(notice) + " You say that this was not you. Your keys log you in nowhere "
                                    "until your administrators have cleared it up.",
                    "Suspend them", "No", kOpen, kNeverMoot)) {
    return;
  }
  const auto answer = ask_(NotMeRequest(notice.number));
  const auto said = answer ? ParseNotMe(*answer) : tl::unexpected(answer.error());
  desktop_.Ask(said ? "It is stopped" : "It could not be stopped from here",
               said ? "Your security keys are suspended, and the administrators are told. Do not "
                      "give anybody your PIN, a password or a code."
                    : said.error().message + " Use the link of the mail, or call your help desk.",
               "All right", "Close", kOpen, kNeverMoot);
}

}  // namespace keyferry::daemon::cli
