// What is mailed: complete in each language, and the organisation's own texts in the place of the
// shipped ones.
#include "server/app/mail_texts.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include "server/core/notice_records.h"

using namespace keyferry;
using namespace keyferry::server;
namespace fs = std::filesystem;

namespace {

const fs::path kShipped = fs::path(KEYFERRY_SOURCE_DIR) / "server/web/mail";

std::string MailIn(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::set<std::string> ValuesIn(const std::string& text) {
  static const std::regex kValue(R"(\{\{(\w+)\}\})");
  std::set<std::string> out;
  for (std::sregex_iterator it(text.begin(), text.end(), kValue), end; it != end; ++it) {
    out.insert((*it)[1]);
  }
  return out;
}

struct OwnMails {
  OwnMails() : folder(fs::temp_directory_path() / "keyferry-mail-texts") {
    fs::remove_all(folder);
    fs::create_directory(folder);
  }
  ~OwnMails() { fs::remove_all(folder); }
  void Put(const std::string& name, const std::string& text) {
    std::ofstream(folder / name) << text;
  }
  Result<MailTexts> Read(const std::string& tag = "en") {
    return ReadMailTexts(kShipped, folder, tag);
  }
  fs::path folder;
};

constexpr const char* kSmall = "Subject: Acme, {{name}}\n\nCode {{code}}\n";

}  // namespace

TEST_CASE("every shipped mail is there in every language, with the same values") {
  std::size_t mails = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(kShipped)) {
    const std::string file = entry.path().filename();
    if (file.find('.') != file.rfind('.')) continue;
    INFO(file);
    ++mails;
    const fs::path theirs = kShipped / (entry.path().stem().string() + ".uk.txt");
    REQUIRE(fs::exists(theirs));
    CHECK(ValuesIn(MailIn(theirs)) == ValuesIn(MailIn(entry.path())));
    CHECK(MailIn(theirs) != MailIn(entry.path()));
  }
  CHECK(mails == 17);
  for (const char* tag : {"en", "uk"}) {
    const auto texts = ReadMailTexts(kShipped, {}, tag);
    REQUIRE(texts);
    CHECK_FALSE(texts->problem);
    CHECK(texts->templates.processes.size() == 4);
  }
  const auto theirs = ReadMailTexts(kShipped, {}, "uk");
  CHECK(theirs->templates.processes.at("unlock") == "розблокування");
  CHECK(theirs->templates.notices.acts.at("unlocked") !=
        ReadMailTexts(kShipped, {}, "en")->templates.notices.acts.at("unlocked"));
}

TEST_CASE("an organisation's mails stand in the place of the shipped ones, and survive upgrades") {
  OwnMails own;
  own.Put("activation_code.txt", kSmall);
  const auto texts = own.Read();
  REQUIRE(texts);
  CHECK_FALSE(texts->problem);
  CHECK(texts->templates.activation_code.subject == "Acme, {{name}}");
  CHECK(texts->templates.help_desk_code.body ==
        ReadMailTexts(kShipped, {}, "en")->templates.help_desk_code.body);
  // Without the folder everything is as shipped.
  const auto none = ReadMailTexts(kShipped, own.folder / "not-there", "en");
  REQUIRE(none);
  CHECK_FALSE(none->problem);
}

TEST_CASE(
    "a language of the organisation's own says the rest in English; one of nobody is refused") {
  OwnMails own;
  CHECK(own.Read("de").error().message.find("no texts in \"de\"") != std::string::npos);
  std::string acts;
  for (int i = 0; i <= static_cast<int>(kLastNoticeKind); ++i) {
    acts += std::string(Name(static_cast<NoticeKind>(i))) + ": Es wurde etwas getan.\n";
  }
  own.Put("notice_acts.de.txt", acts);
  own.Put("activation_code.de.txt", kSmall);
  const auto texts = own.Read("de");
  REQUIRE(texts);
  CHECK_FALSE(texts->problem);
  CHECK(texts->templates.notices.acts.at("unlocked") == "Es wurde etwas getan.");
  CHECK(texts->templates.activation_code.subject == "Acme, {{name}}");
  CHECK(texts->templates.help_desk_code.body ==
        ReadMailTexts(kShipped, {}, "en")->templates.help_desk_code.body);
}

TEST_CASE("a mistake in an organisation's mail is named, and what is shipped is mailed") {
  struct Mistake {
    const char *file, *text, *said;
  };
  const Mistake mistake = GENERATE(
      Mistake{"activation_code.txt", "Subject: Code\n\nNo code in it.\n", "lacks {{code}}"},
      Mistake{"manager_asked.txt", "Subject: Code\n\nNo link in it.\n", "lacks {{link}}"},
      Mistake{"notice.txt", "Subject: Code\n\n{{password}} {{link}}\n", "names {{password}}"},
      Mistake{"objection.txt", "no subject\n", "begins with"},
      Mistake{"notice_acts.txt", "unlocked: It was.\n", "does not say what"},
      Mistake{"help_desk_processes.txt", "reset: a\nreset: b\n", "says twice"},
      Mistake{"activation-code.txt", kSmall, "is the text of no mail"},
      Mistake{"activation_code.txt~", kSmall, "is the text of no mail"});
  INFO(mistake.file << " " << mistake.said);
  OwnMails own;
  own.Put("people_blocked.txt", "Subject: Ours\n\n{{people}}\n");
  CHECK(own.Read()->templates.people_blocked.subject == "Ours");
  own.Put(mistake.file, mistake.text);
  const auto texts = own.Read();
  REQUIRE(texts);
  REQUIRE(texts->problem);
  CHECK(texts->problem->message.find(mistake.file) != std::string::npos);
  CHECK(texts->problem->message.find(mistake.said) != std::string::npos);
  CHECK(texts->templates.people_blocked.subject != "Ours");
  CHECK(texts->templates.activation_code.body.find("{{code}}") != std::string::npos);
}
