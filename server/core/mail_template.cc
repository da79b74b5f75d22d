#include "server/core/mail_template.h"

#include <algorithm>
#include <cstring>

#include "server/core/encoding.h"
#include "server/core/help_desk_records.h"
#include "server/core/notice_records.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMaxTemplate = 16 * 1024;

// Calls `piece` with each part of `text`, values put in.
template <typename Piece>
void EachPiece(std::string_view text, const MailValues& values, const Piece& piece) {
  while (!text.empty()) {
    const std::size_t open = text.find("{{");
    const std::size_t close = open == std::string_view::npos ? open : text.find("}}", open);
    if (close == std::string_view::npos) return piece(text);
    piece(text.substr(0, open));
    const std::string_view name = text.substr(open + 2, close - open - 2);
    const auto value = std::find_if(values.begin(), values.end(),
                                    [&](const auto& pair) { return pair.first == name; });
    if (value != values.end()) piece(value->second);
    text.remove_prefix(close + 2);
  }
}

}  // namespace

Result<MailTemplate> MailTemplate::Parse(std::string_view text,
                                         const std::vector<std::string_view>& names) {
  const auto bad = [](std::string what) {
    return Fail(ErrorCode::kInvalidArgument, std::move(what));
  };
  constexpr std::string_view kSubject = "Subject: ";
  const std::size_t end = text.find('\n');
  if (text.size() > kMaxTemplate || text.substr(0, kSubject.size()) != kSubject ||
      end == std::string_view::npos || text.substr(end, 2) != "\n\n") {
    return bad("begins with \"Subject: …\" and an empty line, and has at most 16 KiB");
  }
  MailTemplate out{std::string(text.substr(kSubject.size(), end - kSubject.size())),
                   std::string(text.substr(end + 2))};
  if (!IsPrintableUtf8(out.subject)) return bad("has a subject that is not one line of UTF-8");
  for (const std::string_view part : {std::string_view(out.subject), std::string_view(out.body)}) {
    for (std::size_t at = part.find("{{"); at != std::string_view::npos;
         at = part.find("{{", at + 2)) {
      const std::size_t close = part.find("}}", at);
      const std::string_view name = close == std::string_view::npos
                                        ? std::string_view()
                                        : part.substr(at + 2, close - at - 2);
      if (std::find(names.begin(), names.end(), name) == names.end()) {
        return bad("names {{" + std::string(name.substr(0, 40)) + "}}, which there is not");
      }
    }
  }
  return out;
}

namespace {

// A line for each of `names`, all of them, and no others.
Result<MailSentences> ParseSentences(std::string_view text, const std::vector<const char*>& names) {
  const auto bad = [](std::string what) {
    return Fail(ErrorCode::kInvalidArgument, std::move(what));
  };
  if (text.size() > kMaxTemplate) return bad("has more than 16 KiB");
  MailSentences out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    const std::size_t colon = line.find(": ");
    if (colon == std::string_view::npos || !IsPrintableUtf8(line)) {
      return bad("has a line that is not \"name: sentence\" in UTF-8");
    }
    if (!out.emplace(line.substr(0, colon), line.substr(colon + 2)).second) {
      return bad("says twice what " + Presentable(line.substr(0, colon), 40) + " is");
    }
  }
  for (const char* name : names) {
    if (out.count(name) == 0) return bad(std::string("does not say what ") + name + " is");
  }
  if (out.size() != names.size()) return bad("has a name that there is not");
  return out;
}

}  // namespace

Result<MailSentences> NoticeTexts::ParseActs(std::string_view text) {
  std::vector<const char*> names;
  for (int i = 0; i <= static_cast<int>(kLastNoticeKind); ++i) {
    names.push_back(Name(static_cast<NoticeKind>(i)));
  }
  return ParseSentences(text, names);
}

Result<MailSentences> MailTemplates::ParseProcesses(std::string_view text) {
  return ParseSentences(text,
                        {Name(HelpDeskProcess::kReset), Name(HelpDeskProcess::kUnlock),
                         Name(HelpDeskProcess::kMustChange), Name(HelpDeskProcess::kReadOut)});
}

SecureBytes FillBody(const MailTemplate& mail, const MailValues& values) {
  std::size_t size = 0;
  EachPiece(mail.body, values, [&](std::string_view piece) { size += piece.size(); });
  SecureBytes out(size);
  std::size_t at = 0;
  EachPiece(mail.body, values, [&](std::string_view piece) {
    std::memcpy(out.data() + at, piece.data(), piece.size());
    at += piece.size();
  });
  return out;
}

std::string FillSubject(const MailTemplate& mail, const MailValues& values) {
  std::string out;
  EachPiece(mail.subject, values, [&](std::string_view piece) { out += piece; });
  return Presentable(out, 200);
}

}  // namespace keyferry::server
