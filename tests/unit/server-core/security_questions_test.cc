// Security questions: what counts as an answer, how it is kept, and a caller who is asked.
#include "server/core/security_questions.h"

#include <algorithm>
#include <set>

#include "help_desk_rig.h"
#include "server/core/answer_text.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

using State = HelpDeskState;
using Given = SecurityQuestions::Given;

namespace {

constexpr std::size_t kPlace = static_cast<std::size_t>(HelpDeskMethod::kQuestions);

std::string Plain(std::string_view typed) {
  const auto plain = PlainAnswer(typed);
  return plain ? std::string(plain->view()) : "refused";
}

QuestionsConfig Offered() {
  QuestionsConfig config;
  config.offered = {{"school", {{"en", "Which school was your first?"}, {"uk", "Перша школа?"}}},
                    {"street", {{"en", "Which street?"}}},
                    {"friend", {{"en", "Who was your best friend?"}}},
                    {"toy", {{"en", "Which toy?"}}},
                    {"dream", {{"en", "Which dream?"}}}};
  return config;
}

// The desk, and Alice, who signs in as an employee.
struct QuestionDesk : Desk {
  explicit QuestionDesk(HelpDeskConfig wanted = {}) : Desk(With(std::move(wanted))) {
    session_config.employees = true;
    directory.At(alice).password = "right";
    Begin();
  }
  static HelpDeskConfig With(HelpDeskConfig config) {
    if (config.questions.offered.empty()) config.questions = Offered();
    config.points[kPlace] = 2;
    return config;
  }
  void Begin() {
    StartAgain();
    const CorePorts ports{*store, directory,    clock,  OsRandom(), *bus, *issuer,
                          ca,     *attestation, waiter, *presence,  {}};
    questions = MakeSecurityQuestions(ports, *sessions, config.questions);
  }
  Session Alice() { return sessions->SignIn("alice", Text("right"), "192.0.2.9")->session; }
  Result<void> Set(const std::vector<std::pair<std::string, std::string>>& answers,
                   const std::string& password = "right") {
    std::vector<Given> given;
    for (const auto& [question, answer] : answers) given.push_back({question, Text(answer)});
    return questions->Set(Alice(), Text(password), given);
  }
  void SetUp() {
    REQUIRE(Set({{"school", "Lesna"}, {"friend", "Оленка"}, {"toy", "Zürich Express"}}));
  }
  HelpDeskOffer OfferOf(const HelpDeskId& id) {
    return Desk::OfferOf(id, HelpDeskMethod::kQuestions);
  }
  std::vector<std::string> Asked(const HelpDeskId& id) {
    std::vector<std::string> out;
    const HelpDeskOffer offer = OfferOf(id);
    for (const SecurityQuestion& one : offer.questions) out.push_back(one.id);
    return out;
  }
  static HelpDeskAnswer Said(const std::vector<std::string>& answers) {
    HelpDeskAnswer answer;
    answer.method = HelpDeskMethod::kQuestions;
    for (const std::string& one : answers) answer.answers.push_back(Text(one));
    return answer;
  }
  // What Alice says when she is asked for these.
  static std::vector<std::string> Right(const std::vector<std::string>& asked) {
    std::vector<std::string> out;
    for (const std::string& id : asked) {
      out.emplace_back(id == "school" ? " LESNA " : id == "friend" ? "оленка" : "zurich express");
      if (id == "toy") out.back() = "ZU\xCC\x88RICH   express";
    }
    return out;
  }

  std::unique_ptr<SecurityQuestions> questions;
};

}  // namespace

TEST_CASE("capitals, white space and the forms of Unicode do not count in an answer") {
  CHECK(Plain("  Lesna \t Street ") == "lesna street");
  CHECK(Plain("Z\xC3\xBCrich") == Plain("ZU\xCC\x88RICH"));
  CHECK(Plain("Straße") == Plain("STRASSE"));
  CHECK(Plain("ＡＢＣ") == "abc");
  CHECK(Plain("Київ") == Plain("КИЇВ"));
  CHECK(Plain("a\xC2\xA0\xE3\x80\x80z") == "a z");
  CHECK(Plain("a\xE2\x80\x8B"
              "b") == "ab");  // a blank of no width is none
  CHECK(Plain("a-b") != Plain("ab"));
  CHECK(Plain("é") != Plain("e"));
  CHECK(Plain(" \t ").empty());
  CHECK(Plain("").empty());
  for (const std::string& bad :
       {std::string("a\0b", 3), std::string("a\nb"), std::string("a\x7F"), std::string("\xFF"),
        std::string("\xC3"), std::string("\xED\xA0\x80"), std::string("\xC0\xA0"),
        std::string(kMostAnswer + 1, 'a')}) {
    CHECK(Plain(bad) == "refused");
  }
  CHECK(Plain(std::string(kMostAnswer, 'a')).size() == kMostAnswer);
  // The one that grows most.
  std::string long_one;
  for (int i = 0; i < 85; ++i) long_one += "\xEF\xB7\xBA";
  CHECK(Plain(long_one) != "refused");
  CHECK(AnswerLength(*PlainAnswer("Київ")) == 4);
  CHECK(PlainWords("Which «Street», then?") == std::vector<std::string>{"which", "street", "then"});
}

TEST_CASE("answers are set with the password, all of them anew, and their person is told") {
  QuestionDesk desk;
  CHECK(desk.questions->Of(desk.alice)->since == 0);
  CHECK(desk.Set({{"school", "Lesna"}, {"friend", "Olenka"}, {"toy", "train"}}, "wrong")
            .error()
            .code == ErrorCode::kUnauthenticated);
  CHECK(desk.questions->Of(desk.alice)->answered.empty());
  desk.SetUp();
  const AuditView row = desk.audit->List(0, 1)->front();
  CHECK(row.action == "questions.set");
  CHECK(row.detail.find("esna") == std::string::npos);
  CHECK(desk.questions->Of(desk.alice)->answered ==
        std::vector<std::string>{"friend", "school", "toy"});
  const auto told = desk.store->NoticesOf(desk.alice, 10);
  REQUIRE(told);
  REQUIRE_FALSE(told->empty());
  CHECK(told->front().kind == NoticeKind::kQuestionsSet);
  REQUIRE(desk.Set({{"school", "Lesna"}, {"street", "Long Lane"}, {"dream", "pilot"}}));
  CHECK(desk.questions->Of(desk.alice)->answered ==
        std::vector<std::string>{"dream", "school", "street"});
}

TEST_CASE("answers that anybody could guess from what is asked are refused") {
  QuestionDesk desk;
  const auto code = [&desk](const std::vector<std::pair<std::string, std::string>>& answers) {
    const auto set = desk.Set(answers);
    return set ? std::string() : set.error().message;
  };
  const std::string choose = "Choose 3 different questions.";
  CHECK(code({{"school", "Lesna"}, {"friend", "Olenka"}}) == choose);
  CHECK(code({{"school", "Lesna"}, {"friend", "Olenka"}, {"friend", "train"}}) == choose);
  CHECK(code({{"school", "Lesna"}, {"friend", "Olenka"}, {"made-up", "train"}}) == choose);
  CHECK(code({{"school", "Lesna"}, {"friend", "Olenka"}, {"toy", "train"}, {"dream", "pilot"}}) ==
        choose);
  CHECK(code({{"school", "abc "}, {"friend", "Olenka"}, {"toy", "train"}}) ==
        "Each answer needs at least 4 characters.");
  CHECK(code({{"school", "Lesna"}, {"friend", " LESNA"}, {"toy", "train"}}) ==
        "Two answers are the same.");
  CHECK(code({{"school", "Lesna"}, {"friend", "ALICE"}, {"toy", "train"}}) ==
        "Your sign-in name is no answer.");
  for (const char* word : {"School", "FIRST", "Школа"}) {
    CHECK(code({{"school", word}, {"friend", "Olenka"}, {"toy", "train"}}) ==
          "A word of its question is no answer.");
  }
  CHECK(code({{"school", "Les\nna"}, {"friend", "Olenka"}, {"toy", "train"}}) != "");
  CHECK(desk.questions->Of(desk.alice)->answered.empty());
  // None of that asked for the password.
  const auto rows = desk.audit->List(0, 100);
  for (const AuditView& row : rows.value()) CHECK(row.action != "session.password");
}

TEST_CASE("a request asks the same questions as long as it lives, and requests differ") {
  const QuestionsConfig config = Offered();
  std::vector<SecurityAnswer> answers;
  for (const char* id : {"school", "friend", "toy", "gone"}) answers.push_back({id, {}, {}, 0});
  std::set<std::vector<std::string>> seen;
  for (int i = 0; i < 200; ++i) {
    const std::string request = "request " + std::to_string(i);
    std::vector<std::string> asked;
    for (const SecurityAnswer& one : AskedFor(config, request, answers)) {
      asked.push_back(one.question);
    }
    REQUIRE(asked.size() == 2);
    CHECK(asked[0] != asked[1]);
    CHECK(std::count(asked.begin(), asked.end(), "gone") == 0);  // not offered any more
    std::reverse(answers.begin(), answers.end());
    std::vector<std::string> again;
    for (const SecurityAnswer& one : AskedFor(config, request, answers)) {
      again.push_back(one.question);
    }
    CHECK(asked == again);
    seen.insert(asked);
  }
  CHECK(seen.size() == 6);  // each pair, either way round
  answers.resize(1);
  CHECK(AskedFor(config, "x", answers).empty());
}

TEST_CASE("the caller who knows all answers is verified, whatever their spelling") {
  QuestionDesk desk;
  const HelpDeskId early = desk.In(State::kVerifying);
  CHECK(desk.OfferOf(early).unavailable ==
        "This person has set no answers to security questions; verify the caller in another way.");
  CHECK(desk.Verify(early, QuestionDesk::Said({"x", "y"})).error().code == ErrorCode::kConflict);
  desk.SetUp();
  const std::vector<std::string> asked = desk.Asked(early);
  REQUIRE(asked.size() == 2);
  CHECK(desk.Asked(early) == asked);
  desk.Begin();
  CHECK(desk.Asked(early) == asked);
  const std::uint64_t before = desk.AuditHead();
  REQUIRE(desk.Verify(early, QuestionDesk::Said(QuestionDesk::Right(asked))).value());
  CHECK(desk.Row(early).state == State::kVerified);
  const auto rows = desk.store->AuditAfter(before, 100);
  for (const auto& row : rows.value()) CHECK(row.entry.detail.find("esna") == std::string::npos);
}

TEST_CASE("one wrong answer is as wrong as two, and three attempts close the request") {
  QuestionDesk desk;
  desk.SetUp();
  const HelpDeskId id = desk.In(State::kVerifying);
  const std::vector<std::string> right = QuestionDesk::Right(desk.Asked(id));
  for (const auto& bad : std::vector<std::vector<std::string>>{
           {}, {right[0]}, {right[0], right[1], right[0]}, {right[0], ""}, {right[0], "a\nb"}}) {
    CHECK(desk.Verify(id, QuestionDesk::Said(bad)).error().code == ErrorCode::kInvalidArgument);
  }
  CHECK_FALSE(desk.Verify(id, QuestionDesk::Said({right[1], right[0]})).value());
  CHECK_FALSE(desk.Verify(id, QuestionDesk::Said({right[0], "wrong"})).value());
  CHECK(desk.OfferOf(id).left == 1);
  CHECK_FALSE(desk.Verify(id, QuestionDesk::Said({"wrong", "wrong"})).value());
  CHECK(desk.Row(id).state == State::kBlocked);
}

TEST_CASE("neither the database nor another row's place tells an answer") {
  QuestionDesk desk;
  desk.SetUp();
  const HelpDeskId id = desk.In(State::kVerifying);
  const std::vector<std::string> right = QuestionDesk::Right(desk.Asked(id));
  const auto first = desk.store->SecurityAnswers(desk.alice);
  REQUIRE(first);
  // The same answer once more is stored otherwise.
  desk.SetUp();
  const auto second = desk.store->SecurityAnswers(desk.alice);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK((*first)[i].salt != (*second)[i].salt);
    CHECK((*first)[i].sealed != (*second)[i].sealed);
  }
  SECTION("another person's place") {
    desk.service.reset();
    desk.questions.reset();
    desk.outbox.reset();
    desk.Tamper("UPDATE security_answers SET account_id = '" + desk.admin.id.Hex() + "'");
    desk.Start();
    CHECK(IsAnswer({*desk.store,
                    desk.directory,
                    desk.clock,
                    OsRandom(),
                    *desk.bus,
                    *desk.issuer,
                    desk.ca,
                    *desk.attestation,
                    desk.waiter,
                    *desk.presence,
                    {}},
                   desk.admin.id, desk.store->SecurityAnswers(desk.admin.id)->front(), "оленка")
              .error()
              .code == ErrorCode::kInternal);
  }
  SECTION("another question's place") {
    desk.service.reset();
    desk.questions.reset();
    desk.outbox.reset();
    desk.Tamper("UPDATE security_answers SET question = 'dream' WHERE question = 'school'");
    desk.Start();
    const auto moved = desk.store->SecurityAnswers(desk.alice);
    REQUIRE(moved);
    for (const SecurityAnswer& answer : *moved) {
      if (answer.question != "dream") continue;
      CHECK(IsAnswer({*desk.store,
                      desk.directory,
                      desk.clock,
                      OsRandom(),
                      *desk.bus,
                      *desk.issuer,
                      desk.ca,
                      *desk.attestation,
                      desk.waiter,
                      *desk.presence,
                      {}},
                     desk.alice, answer, "lesna")
                .error()
                .code == ErrorCode::kInternal);
    }
  }
}

TEST_CASE("answers alone never suffice for privileged people") {
  HelpDeskConfig config;
  config.privileged_groups = {"CN=VIP,OU=Groups,DC=corp,DC=example"};
  QuestionDesk desk(config);
  desk.SetUp();
  desk.directory.At(desk.alice).groups = config.privileged_groups;
  const HelpDeskId id = desk.In(State::kVerifying);
  const auto right = QuestionDesk::Right(desk.Asked(id));
  REQUIRE(desk.Verify(id, QuestionDesk::Said(right)).value());
  CHECK(desk.Row(id).state == State::kVerifying);
  CHECK(desk.service->Get(desk.agent, id)->needs_strong);
}

TEST_CASE("who resets a second factor takes the answers with it") {
  QuestionDesk desk;
  desk.SetUp();
  desk.session_config.second_factor = FactorPolicy::kOptional;
  desk.Begin();
  const SignedIn signed_in = desk.sessions->SignIn("alice", Text("right"), "192.0.2.9").value();
  REQUIRE(desk.factors->Propose(signed_in.session));
  desk.service.reset();
  desk.questions.reset();
  desk.outbox.reset();
  desk.Tamper("UPDATE factors SET confirmed = 1, app = 1");
  desk.Start();
  REQUIRE(desk.factors->Reset(desk.admin, desk.alice));
  CHECK(desk.store->SecurityAnswers(desk.alice)->empty());
}
