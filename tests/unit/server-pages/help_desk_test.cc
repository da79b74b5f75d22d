// The pages of the help desk: what each state shows, and what a form does.
#include <catch2/catch.hpp>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "fake_services.h"
#include "response_text.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::World;

namespace {

using State = HelpDeskState;

struct Counter : World {
  Counter() : World(KEYFERRY_WEB_DIR) { fake::Populate(*this); }
  HelpDeskRequest& request() { return help_desk.view.request; }
  std::string At() { return "/help-desk/requests/" + request().id.Hex(); }
  Response Page() { return Send(Get(At())); }
  Response Step(const std::string& step, const std::string& form) {
    return Send(Post(At() + "/" + step, std::string("csrf=") + kCsrf + "&version=3" + form));
  }
};

std::vector<State> EveryState() {
  std::vector<State> out;
  for (int i = 0; i <= static_cast<int>(State::kBlocked); ++i) out.push_back(static_cast<State>(i));
  return out;
}

}  // namespace

TEST_CASE("each state of a request has its page: what is done, what is next, nothing else to do") {
  const std::map<State, std::set<std::string>> forms = {
      {State::kIdentified, {"process", "cancel"}},
      {State::kVerifying, {"verify", "code", "sms", "touch", "manager", "cancel"}},
      {State::kVerified, {"act", "cancel"}},
      {State::kActing, {"act"}},
      {State::kActed, {"instructions", "confirm"}},
  };
  static const std::regex kForm("action=\"/help-desk/requests/[0-9a-f]{32}/([a-z]+)\"");
  static const std::regex kInline(
      R"(<style|\sstyle=|\son\w+=|<script(?! type="module" src="/assets/)|(src|href|action)="(?!/|#))");
  for (const State state : EveryState()) {
    INFO(Name(state));
    Counter counter;
    counter.request().state = state;
    if (state == State::kIdentified) counter.request().process = HelpDeskProcess::kNone;
    counter.help_desk.view.can_mail = state == State::kActed;
    if (!IsOpen(state)) counter.request().error = "The cause, in a sentence.";
    const Response page = counter.Page();
    CHECK(page.status == 200);
    CHECK(page.body.size() < 100 * 1024);
    CHECK_FALSE(Contains(page, "{{"));
    CHECK_FALSE(std::regex_search(page.body, kInline));
    CHECK(Contains(page, "INC-1"));
    CHECK(Contains(page, "forgot it on holiday"));
    CHECK_FALSE(Contains(page, "help_desk_"));  // a text that is missing shows its key
    std::set<std::string> found;
    for (std::sregex_iterator it(page.body.begin(), page.body.end(), kForm), end; it != end; ++it) {
      found.insert((*it)[1]);
    }
    const auto expected = forms.find(state);
    CHECK(found == (expected == forms.end() ? std::set<std::string>{} : expected->second));
    CHECK(Contains(page, "aria-current=\"step\"") == IsOpen(state));
    CHECK(Contains(page, "data-stream=\"/events/accounts/") == true);
    if (!IsOpen(state)) {
      CHECK(Contains(page, "The cause, in a sentence.") == (state != State::kDone));
      CHECK(Contains(page, "href=\"/help-desk\""));
    }
    // Time left is there while time counts, also without script.
    CHECK(Contains(page, "10 minutes") == (state < State::kActing));
  }
}

TEST_CASE("what is not possible stands apart from what is, with the reason and what helps") {
  Counter counter;
  std::vector<HelpDeskOffer>& offers = counter.help_desk.view.offers;
  Response page = counter.Page();
  CHECK_FALSE(Contains(page, "data-impossible"));
  const std::string kNoNumber =
      "The directory has no telephone number of this person; have it entered there, and never take "
      "one from the caller.";
  REQUIRE(offers.at(1).method == HelpDeskMethod::kCallBack);
  offers.at(1).unavailable = kNoNumber;
  offers.at(1).wrong = 1;
  // What has been passed is not taken back by what the directory says now.
  REQUIRE(offers.at(0).method == HelpDeskMethod::kInPerson);
  offers.at(0).passed = true;
  offers.at(0).unavailable = "Not asked for any more.";
  page = counter.Page();
  const std::size_t apart = page.body.find("data-impossible");
  REQUIRE(apart != std::string::npos);
  const std::string possible = page.body.substr(0, apart), impossible = page.body.substr(apart);
  CHECK(possible.find("data-method=\"in_person\"") != std::string::npos);
  CHECK(possible.find("data-method=\"call_back\"") == std::string::npos);
  CHECK(impossible.find("data-method=\"call_back\"") != std::string::npos);
  CHECK(impossible.find(kNoNumber) != std::string::npos);
  CHECK(impossible.find("Not possible now") != std::string::npos);
  for (const char* part : {">Open<", "attempts left", "data-method=\"in_person\"", "/verify\""}) {
    INFO(part);
    CHECK(impossible.find(part) == std::string::npos);
  }
  CHECK_FALSE(Contains(page, "Not asked for any more"));
}

TEST_CASE("while the directory is away no way to verify is offered, and the page says so once") {
  Counter counter;
  counter.help_desk.view.directory_problem = "The directory does not answer.";
  const Response page = counter.Page();
  CHECK(Contains(page, "The directory does not answer."));
  CHECK_FALSE(Contains(page, "data-method"));
  CHECK(Contains(page, "/cancel\""));
}

TEST_CASE("the touch of the key: where it is asked, what the agent reads out, and a denial") {
  Counter counter;
  HelpDeskOffer& offer = counter.help_desk.view.offers.at(4);
  REQUIRE(offer.method == HelpDeskMethod::kKeyTouch);
  counter.help_desk.view.offers.at(5).sent = 0;  // another method has a number as well
  Response page = counter.Page();
  CHECK(Contains(page, "front-desk-2"));
  CHECK(Contains(page, "data-number>047<"));
  CHECK(Contains(page, "Ask once more"));
  CHECK_FALSE(Contains(page, "this is not me"));
  offer.denied = true;
  offer.sent = 0;
  offer.read_out.clear();
  page = counter.Page();
  CHECK(Contains(page, "The person at the workstation said: this is not me"));
  CHECK_FALSE(Contains(page, "data-number"));
  // Also when the key is gone by now.
  offer.unavailable = "No workstation sees a key of this person now; have the caller plug it in.";
  page = counter.Page();
  CHECK(Contains(page, "this is not me"));
  CHECK(Contains(page, "have the caller plug it in"));
  CHECK_FALSE(Contains(page, "/touch\""));
  offer.passed = true;
  CHECK_FALSE(Contains(counter.Page(), "this is not me"));
}

TEST_CASE("the manager's word: who is asked, and the number for the caller, in two groups") {
  Counter counter;
  HelpDeskOffer& offer = counter.help_desk.view.offers.at(5);
  REQUIRE(offer.method == HelpDeskMethod::kManager);
  Response page = counter.Page();
  CHECK(Contains(page, "Maria Manager (maria.manager)"));
  CHECK(Contains(page, "data-number>048 213<"));
  CHECK(Contains(page, "Mail another link"));
  offer.sent = 0;
  offer.read_out.clear();
  page = counter.Page();
  CHECK(Contains(page, "Ask the manager by mail"));
  CHECK_FALSE(Contains(page, "048"));
  offer.unavailable =
      "The directory names no manager of this person; have one entered there, or verify the caller "
      "in another way.";
  page = counter.Page();
  CHECK(Contains(page, "names no manager"));
  CHECK_FALSE(Contains(page, "/manager\""));
}

TEST_CASE("a code by SMS looks like one by mail, with the end of the number alone") {
  Counter counter;
  HelpDeskOffer& offer = counter.help_desk.view.offers.at(6);
  REQUIRE(offer.method == HelpDeskMethod::kSmsCode);
  Response page = counter.Page();
  CHECK(Contains(page, "••• 42"));
  for (const char* part : {"id=\"code-mail_code\"", "id=\"code-sms_code\"", "for=\"code-sms_code\"",
                           "id=\"code-hint-sms_code\""}) {
    INFO(part);
    CHECK(Contains(page, part));
  }
  offer.unavailable = "No SMS gateway is configured here; an administrator sets one up ([sms]).";
  page = counter.Page();
  CHECK(Contains(page, "No SMS gateway"));
  CHECK_FALSE(Contains(page, "/sms\""));
}

TEST_CASE("every text that is made from a name is there, and no other") {
  const auto catalog = Catalog::Load(KEYFERRY_WEB_DIR);
  REQUIRE(catalog);
  std::set<std::string> wanted;
  for (const State state : EveryState()) {
    wanted.insert(std::string("help_desk_state.") + Name(state));
    if (!IsOpen(state)) wanted.insert(std::string("help_desk_closed.") + Name(state));
    if (!IsOpen(state) && state != State::kDone) {
      wanted.insert(std::string("help_desk_closed.") + Name(state) + "_next");
    }
  }
  for (int i = 1; i <= static_cast<int>(kLastHelpDeskProcess); ++i) {
    const std::string name = Name(static_cast<HelpDeskProcess>(i));
    for (const std::string& key :
         {"help_desk_process." + name, "help_desk_process." + name + "_hint",
          "help_desk_act." + name, "help_desk_acted." + name}) {
      wanted.insert(key);
    }
  }
  for (int i = 0; i <= static_cast<int>(kLastHelpDeskMethod); ++i) {
    const std::string name = Name(static_cast<HelpDeskMethod>(i));
    wanted.insert("help_desk_method." + name);
    wanted.insert("help_desk_method." + name + "_hint");
  }
  for (int i = 0; i <= static_cast<int>(kLastSeenDocument); ++i) {
    wanted.insert(std::string("help_desk_document.") + Name(static_cast<SeenDocument>(i)));
  }
  for (int i = 0; i <= static_cast<int>(kLastPersonalField); ++i) {
    wanted.insert(std::string("help_desk_field.") + Name(static_cast<PersonalField>(i)));
  }
  for (const char* step :
       {"identify", "process", "verify", "carry_out", "confirm", "done", "now", "later"}) {
    wanted.insert(std::string("help_desk_step.") + step);
  }
  for (const std::string& key : wanted) {
    INFO(key);
    CHECK((*catalog)->HasText(key));
  }
  std::ifstream in(std::string(KEYFERRY_WEB_DIR) + "/strings/en.toml");
  std::string table, line;
  static const std::regex kTable("\\[([a-z_]+)\\]"), kLine("^([a-z_0-9]+) = \".*");
  while (std::getline(in, line)) {
    std::smatch match;
    if (std::regex_match(line, match, kTable)) table = match[1];
    if (table.rfind("help_desk_", 0) != 0 || !std::regex_match(line, match, kLine)) continue;
    INFO(table << "." << match[1]);
    CHECK(wanted.count(table + "." + match[1].str()) == 1);
  }
}

TEST_CASE("a password that is read out is on the answer to the click, and on no other page") {
  Counter counter;
  counter.request().state = State::kIdentified;
  CHECK_FALSE(Contains(counter.Page(), "value=\"read_out\""));
  counter.help_desk.view.processes.push_back(HelpDeskProcess::kReadOut);
  CHECK(Contains(counter.Page(), "value=\"read_out\""));
  counter.request().process = HelpDeskProcess::kReadOut;
  counter.request().state = State::kVerified;
  CHECK(Contains(counter.Page(), "You see it once on the page that follows"));
  counter.help_desk.read_out = "Ab<3&x-Only-Once";
  const Response shown = counter.Step("act", "");
  CHECK(shown.status == 200);
  CHECK(Contains(shown, "data-password data-once>Ab&lt;3&amp;x-Only-Once</p>"));
  // Nothing renews that page, no cache keeps it, and what leads on has no trace of it.
  CHECK_FALSE(Contains(shown, "data-stream"));
  CHECK_FALSE(Contains(shown, "data-refresh"));
  CHECK_FALSE(shown.cacheable);
  for (const auto& [name, value] : shown.headers) {
    CHECK(value.find("Only-Once") == std::string::npos);
  }
  counter.request().state = State::kActed;
  CHECK_FALSE(Contains(counter.Page(), "Only-Once"));
  CHECK_FALSE(Contains(counter.Page(), "You never see a password here"));
  counter.help_desk.read_out.clear();
  CHECK(counter.Step("act", "").status == 303);
  Request again = counter.Get(counter.At() + "/act");  // the page's address
  CHECK(counter.Send(std::move(again)).status == 405);
}

TEST_CASE("what the agent compares is on the answer to the click, and on no other page") {
  Counter counter;
  HelpDeskOffer& offer = counter.help_desk.view.offers.at(3);
  REQUIRE(offer.method == HelpDeskMethod::kPersonalData);
  CHECK_FALSE(Contains(counter.Page(), "/personal\""));
  CHECK(Contains(counter.Page(), "id=\"said-employee_id\""));
  offer.confirms = true;
  offer.sends_left = 3;
  Response page = counter.Page();
  CHECK(Contains(page, "/personal\""));

  CHECK(Contains(page, "Then have it shown what the directory has"));
  CHECK_FALSE(Contains(page, "id=\"said-employee_id\""));
  CHECK_FALSE(Contains(page, "4711"));
  const Response shown = counter.Step("personal", "");
  CHECK(shown.status == 200);
  CHECK(Contains(shown, "<dt>Employee number</dt><dd>E &lt;4711&gt;</dd>"));
  CHECK(Contains(shown, "name=\"version\" value=\"4\""));
  CHECK(Contains(shown, "name=\"compared\" value=\"yes\""));
  CHECK(Contains(shown, "name=\"compared\" value=\"no\""));
  // Nothing renews that page, no cache keeps it, and nothing that leads on has a trace of it.
  CHECK_FALSE(Contains(shown, "data-stream"));
  CHECK_FALSE(Contains(shown, "data-refresh"));
  CHECK_FALSE(shown.cacheable);
  for (const auto& [name, value] : shown.headers) {
    CHECK(value.find("4711") == std::string::npos);
  }
  Request again = counter.Get(counter.At() + "/personal");
  CHECK(counter.Send(std::move(again)).status == 405);
  for (const char* form :
       {"&method=personal_data&compared=yes", "&method=personal_data&compared=no",
        "&method=personal_data&compared=maybe"}) {
    CHECK(counter.Step("verify", form).status == 303);
  }
  CHECK(counter.help_desk.calls ==
        std::vector<std::string>{"show alice.admin 3", "verify personal_data matches alice.admin 3",
                                 "verify personal_data differs alice.admin 3",
                                 "verify personal_data alice.admin 3"});
  // As often as it may be shown; a refusal stands beside its method and shows nothing.
  offer.sends_left = 0;
  CHECK_FALSE(Contains(counter.Page(), "/personal\""));
  counter.help_desk.error = Error{ErrorCode::kRateLimited, "Not shown again.", {}, 0};
  const Response refused = counter.Step("personal", "");
  CHECK(refused.status == 429);
  CHECK(Contains(refused, "id=\"problem-personal_data\""));
  CHECK_FALSE(Contains(refused, "4711"));
}

TEST_CASE("what to do is mailed by a button, once") {
  Counter counter;
  counter.request().state = State::kActed;
  CHECK_FALSE(Contains(counter.Page(), "/instructions\""));
  counter.help_desk.view.can_mail = true;
  CHECK(Contains(counter.Page(), "/instructions\""));
  counter.help_desk.view.can_mail = false;
  counter.request().mailed = 1'795'243'680'000;
  const Response page = counter.Page();
  CHECK(Contains(page, "What to do was mailed <time"));
  CHECK_FALSE(Contains(page, "/instructions\""));
}

TEST_CASE("the steps of the forms reach the service as they were sent") {
  Counter counter;
  const auto location = [](const Response& response) {
    return response.headers.empty() ? std::string() : response.headers[0].second;
  };
  const Response opened = counter.Send(
      counter.Post("/help-desk/requests", std::string("csrf=") + World::kCsrf +
                                              "&account=01010101010101010101010101010101&reason="
                                              "forgot+it&ticket=INC-7"));
  CHECK(opened.status == 303);
  CHECK(location(opened) == counter.At());
  for (const auto& [step, form] : std::vector<std::pair<std::string, std::string>>{
           {"process", "&process=unlock"},
           {"code", ""},
           {"sms", ""},
           {"touch", ""},
           {"manager", ""},
           {"verify", "&method=in_person&seen=passport"},
           {"verify", "&method=call_back&reached=no"},
           {"verify", "&method=mail_code&code=1234+5678"},
           {"verify", "&method=sms_code&code=12345678"},
           {"verify", "&method=personal_data&employee_id=E+1&department=Sales"},
           {"act", ""},
           {"instructions", ""},
           {"confirm", ""},
           {"cancel", ""}}) {
    const Response response = counter.Step(step, form);
    INFO(step << form);
    CHECK(response.status == 303);
    CHECK(location(response) == counter.At());
  }
  CHECK(counter.help_desk.calls ==
        std::vector<std::string>{
            "open alice.admin 01010101010101010101010101010101 INC-7 forgot it",
            "choose unlock alice.admin 3", "send alice.admin 3", "sms alice.admin 3",
            "touch alice.admin 3", "manager alice.admin 3",
            "verify in_person seen passport alice.admin 3", "verify call_back alice.admin 3",
            "verify mail_code code 1234 5678 alice.admin 3",
            "verify sms_code code 12345678 alice.admin 3",
            "verify personal_data employee_id=E 1 department=Sales alice.admin 3",
            "act alice.admin 3", "mail alice.admin 3", "confirm alice.admin 3",
            "cancel alice.admin 3"});
}

TEST_CASE("damaged forms do nothing") {
  Counter counter;
  for (const auto& [step, form] : std::vector<std::pair<std::string, std::string>>{
           {"process", "&process=none-such"},
           {"process", ""},
           {"verify", "&method=voice"},
           {"verify", "&method=call_back"},
           {"verify", "&method=call_back&reached=maybe"},
           {"verify", "&method=in_person&seen=badge&points=9"},
           {"verify", "&method=in_person&method=call_back"},
           {"act", "&process=reset"},
           {"act", "&account=01"}}) {
    INFO(step << form);
    CHECK(counter.Step(step, form).status == 400);
  }
  for (const char* version : {"", "x", "-1", "3x", " 3", "99999999999999999999", "0x3"}) {
    INFO(version);
    const Response response = counter.Send(counter.Post(
        counter.At() + "/act", std::string("csrf=") + World::kCsrf + "&version=" + version));
    CHECK(response.status == 400);
  }
  CHECK(counter.help_desk.calls.empty());
}

TEST_CASE(
    "a wrong proof, a step that came too late, a service that cannot: said where it belongs") {
  Counter counter;
  counter.help_desk.right = false;
  Response page = counter.Step("verify", "&method=personal_data&employee_id=1&department=x");
  CHECK(page.status == 422);
  CHECK(Contains(page, "id=\"problem-personal_data\""));
  CHECK_FALSE(Contains(page, "id=\"problem-in_person\""));
  // What was typed does not come back, and what is right is nowhere.
  CHECK_FALSE(Contains(page, "value=\"x\""));
  CHECK_FALSE(Contains(page, counter.directory.people[0].person.employee_id));

  counter.help_desk.error = Error{ErrorCode::kConflict, "Gone on meanwhile.", kMovedDetail, 0};
  page = counter.Step("act", "");
  CHECK(page.status == 409);
  CHECK(Contains(page, "Gone on meanwhile."));
  CHECK(Contains(page, "INC-1"));
  // Also where the method's place on the page is gone.
  counter.request().state = State::kVerified;
  page = counter.Step("verify", "&method=in_person&seen=badge");
  CHECK(page.status == 409);
  CHECK(Contains(page, "Gone on meanwhile."));
  counter.request().state = State::kVerifying;
  counter.help_desk.error = Error{ErrorCode::kUnavailable, "The directory is away.", {}, 0};
  page = counter.Step("act", "");
  CHECK(page.status == 503);
  CHECK(Contains(page, "The directory is away."));
  CHECK(Contains(page, "INC-1"));
  counter.help_desk.error = Error{ErrorCode::kPermissionDenied, "It belongs to liam.", {}, 0};
  page = counter.Step("act", "");
  CHECK(page.status == 403);
  CHECK(Contains(page, "It belongs to liam."));
  CHECK_FALSE(Contains(page, "INC-1"));
  counter.help_desk.error = Error{ErrorCode::kConflict, "Liam is serving this person.", {}, 0};
  page = counter.Send(
      counter.Post("/help-desk/requests", std::string("csrf=") + World::kCsrf +
                                              "&account=01010101010101010101010101010101&reason="
                                              "forgot+it&ticket=INC-7"));
  CHECK(page.status == 409);
  CHECK(Contains(page, "Liam is serving this person."));
  CHECK(Contains(page, "value=\"INC-7\""));  // kept
}

TEST_CASE("a link out of a ticket fills in and does nothing") {
  Counter counter;
  const std::string id = counter.directory.people[0].person.id.Hex();
  Response page = counter.Send(counter.Get("/help-desk/new?ticket=INC-9&user=" + id));
  CHECK(page.status == 200);
  CHECK(Contains(page, "value=\"INC-9\""));
  CHECK(Contains(page, "action=\"/help-desk/requests\""));
  page = counter.Send(counter.Get("/help-desk/new?ticket=INC-9&user=nobody"));
  CHECK(page.status == 404);
  CHECK(Contains(page, "value=\"INC-9\""));
  CHECK(counter.Send(counter.Get("/help-desk/new")).status == 200);
  // What a caller may be asked for is not on the way there.
  const std::string number = counter.directory.people[0].person.employee_id;
  CHECK_FALSE(Contains(counter.Send(counter.Get("/help-desk/new?user=" + id)), number));
  CHECK_FALSE(Contains(counter.Send(counter.Get("/help-desk?query=a")), number));
  CHECK(counter.Send(counter.Get("/help-desk/new?reason=x")).status == 400);
  page = counter.Send(counter.Get("/help-desk?query=a&ticket=%22%3E%3Cb%3E%26user%3Dx"));
  CHECK_FALSE(Contains(page, "<b>"));
  CHECK(Contains(page, "&amp;ticket=%22%3E%3Cb%3E%26user%3Dx"));
  CHECK(counter.help_desk.calls.empty());
}

TEST_CASE("hostile names, reasons and tickets stay text") {
  for (const std::string& hostile :
       {std::string("<script>alert(1)</script>"), std::string("\"><img src=x onerror=alert(1)>"),
        std::string("' onmouseover='alert(1)"), std::string("</title><svg/onload=alert(1)>")}) {
    for (const State state : EveryState()) {
      Counter counter;
      HelpDeskRequest& request = counter.request();
      request.state = state;
      request.display_name = request.login = request.reason = request.ticket = request.error =
          hostile;
      for (HelpDeskOffer& offer : counter.help_desk.view.offers) offer.shown = hostile;
      counter.help_desk.view.directory_problem = hostile;
      for (const std::string& address : {counter.At(), std::string("/help-desk")}) {
        const Response page = counter.Send(counter.Get(address));
        CHECK(page.status == 200);
        CHECK_FALSE(Contains(page, hostile));
        CHECK_FALSE(Contains(page, "<img"));
        CHECK_FALSE(Contains(page, "alert(1)>"));
      }
    }
  }
}

TEST_CASE(
    "security questions and app: what the caller says goes on, in order, and comes back never") {
  Counter counter;
  const Response page = counter.Page();
  CHECK(Contains(page, "Which friend?"));
  CHECK(Contains(page, "Which school?"));
  CHECK_FALSE(Contains(page, "Which street?"));
  counter.help_desk.right = false;
  const Response wrong =
      counter.Step("verify", "&method=questions&answer_1=told-one&answer_2=told-two");
  CHECK(wrong.status == 422);
  CHECK_FALSE(Contains(wrong, "told-"));
  const Response code = counter.Step("verify", "&method=totp&code=135%20790");
  CHECK(code.status == 422);
  CHECK_FALSE(Contains(code, "135"));
  REQUIRE(counter.help_desk.calls.size() >= 2);
  CHECK(counter.help_desk.calls[counter.help_desk.calls.size() - 2].find(
            "questions told-one told-two") != std::string::npos);
  CHECK(counter.help_desk.calls.back().find("totp code 135 790") != std::string::npos);
}
