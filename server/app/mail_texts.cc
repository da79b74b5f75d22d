#include "server/app/mail_texts.h"

#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "server/app/files.h"
#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

namespace fs = std::filesystem;

struct MailRule {
  const char* name;
  MailTemplate* place;
  std::vector<std::string_view> values;
  const char* needs = "";  // the value that it is of no use without
};

std::vector<MailRule> RulesOf(MailTemplates& out) {
  const std::vector<std::string_view> instructions = {"name", "login", "agent", "ticket"};
  return {
      {"password_expires", &out.password_expires, {"name", "login", "days", "date"}},
      {"activation_code", &out.activation_code, {"name", "login", "code"}, "code"},
      {"help_desk_code",
       &out.help_desk_code,
       {"name", "login", "agent", "minutes", "code"},
       "code"},
      {"help_desk_reset", &out.help_desk_reset, instructions},
      {"help_desk_unlock", &out.help_desk_unlock, instructions},
      {"help_desk_must_change", &out.help_desk_must_change, instructions},
      {"help_desk_read_out", &out.help_desk_read_out, instructions},
      {"people_blocked", &out.people_blocked, {"people"}},
      {"agent_limit", &out.agent_limit, {"name", "agent", "login", "resets"}},
      {"manager_asked",
       &out.manager_asked,
       {"name", "person", "login", "agent", "ticket", "reason", "process", "minutes", "link"},
       "link"},
      {"manager_denied",
       &out.manager_denied,
       {"name", "person", "login", "manager", "agent", "ticket", "reason"}},
      {"approval_waits",
       &out.approval_waits,
       {"name", "asker", "person", "login", "reason", "until", "link"},
       "link"},
      {"notice",
       &out.notices.person,
       {"name", "login", "what", "when", "by", "address", "key", "reason", "hours", "link"},
       "link"},
      {"notice_manager",
       &out.notices.manager,
       {"name", "person", "login", "what", "when", "by", "address", "key", "reason"}},
      {"objection",
       &out.notices.objection,
       {"name", "person", "login", "what", "when", "by", "address", "said", "from", "link"}},
  };
}

constexpr const char* kActs = "notice_acts";
constexpr const char* kProcesses = "help_desk_processes";

class Reader {
 public:
  Reader(const fs::path& shipped, const fs::path& own, const std::string& tag)
      : shipped_(shipped), own_(own), tag_(tag) {}

  Result<MailTemplates> Read() {
    MailTemplates out;
    if (tag_ != "en" && FileOf(kActs).filename() == EnglishOf(kActs)) {
      return Fail(ErrorCode::kInvalidArgument, "mail.language: there are no texts in \"" + tag_ +
                                                   "\" (" + kActs + "." + tag_ + ".txt) in " +
                                                   shipped_.string() + ".");
    }
    std::set<std::string> names = {kActs, kProcesses};
    for (const MailRule& rule : RulesOf(out)) {
      names.insert(rule.name);
      if (auto read = ReadMail(rule); !read) return tl::unexpected(std::move(read.error()));
    }
    auto acts = ReadSentences(kActs, NoticeTexts::ParseActs);
    if (!acts) return tl::unexpected(std::move(acts.error()));
    out.notices.acts = *std::move(acts);
    auto processes = ReadSentences(kProcesses, MailTemplates::ParseProcesses);
    if (!processes) return tl::unexpected(std::move(processes.error()));
    out.processes = *std::move(processes);
    if (auto known = CheckNames(names); !known) return tl::unexpected(std::move(known.error()));
    return out;
  }

 private:
  static std::string EnglishOf(const std::string& name) { return name + ".txt"; }

  // In the language before in English, the organisation's own before what is shipped.
  fs::path FileOf(const std::string& name) const {
    for (const std::string& file : {name + "." + tag_ + ".txt", EnglishOf(name)}) {
      for (const fs::path& folder : {own_, shipped_}) {
        std::error_code ec;
        if (!folder.empty() && fs::exists(folder / file, ec)) return folder / file;
      }
    }
    return shipped_ / EnglishOf(name);
  }

  static tl::unexpected<Error> Bad(const fs::path& file, const std::string& what) {
    return Fail(ErrorCode::kInvalidArgument, file.string() + " " + what + ".");
  }

  Result<void> ReadMail(const MailRule& rule) const {
    const fs::path file = FileOf(rule.name);
    const auto text = ReadTextFile(file, Sharing::kOthersMayRead);
    if (!text) return tl::unexpected(text.error());
    auto parsed = MailTemplate::Parse(*text, rule.values);
    if (!parsed) return Bad(file, parsed.error().message);
    const std::string needs = std::string("{{") + rule.needs + "}}";
    if (*rule.needs != '\0' && parsed->body.find(needs) == std::string::npos) {
      return Bad(file, "lacks " + needs);
    }
    *rule.place = *std::move(parsed);
    return {};
  }

  Result<MailSentences> ReadSentences(const char* name,
                                      Result<MailSentences> (*parse)(std::string_view)) const {
    const fs::path file = FileOf(name);
    const auto text = ReadTextFile(file, Sharing::kOthersMayRead);
    if (!text) return tl::unexpected(text.error());
    auto parsed = parse(*text);
    if (!parsed) return Bad(file, parsed.error().message);
    return parsed;
  }

  // A file that replaces nothing is a mistake in its name.
  Result<void> CheckNames(const std::set<std::string>& names) const {
    std::error_code ec;
    if (own_.empty() || !fs::exists(own_, ec)) return {};
    fs::directory_iterator files(own_, ec);
    if (ec) return Fail(ErrorCode::kIo, "Cannot read " + own_.string() + ".", ec.message());
    for (const fs::directory_entry& entry : files) {
      const std::string file = entry.path().filename().string();
      if (!file.ends_with(".txt") || names.count(file.substr(0, file.find('.'))) == 0) {
        return Bad(entry.path(), "is the text of no mail");
      }
    }
    return {};
  }

  const fs::path shipped_, own_;
  const std::string tag_;
};

}  // namespace

Result<MailTexts> ReadMailTexts(const fs::path& shipped, const fs::path& own,
                                const std::string& tag) {
  auto read = Reader(shipped, own, tag).Read();
  if (read) return MailTexts{*std::move(read), {}};
  if (own.empty()) return tl::unexpected(std::move(read.error()));
  auto plain = Reader(shipped, {}, tag).Read();
  if (!plain) return tl::unexpected(std::move(plain.error()));
  return MailTexts{*std::move(plain), std::move(read.error())};
}

}  // namespace keyferry::server
