#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/certs.h"
#include "server/core/changes.h"
#include "server/core/help_desk_records.h"
#include "server/core/mail.h"
#include "server/core/mail_template.h"
#include "server/core/security_questions.h"
#include "server/core/services.h"
#include "server/core/sms.h"

namespace keyferry::server {

// What a caller may be asked for, as the directory has it.
enum class PersonalField { kEmployeeId, kMail, kTitle, kDepartment };
inline constexpr PersonalField kLastPersonalField = PersonalField::kDepartment;
const char* Name(PersonalField field);
const std::string& ValueOf(const Person& person, PersonalField field);

// What an agent saw of a person who stands before them.
enum class SeenDocument { kBadge, kIdentityCard, kPassport };
inline constexpr SeenDocument kLastSeenDocument = SeenDocument::kPassport;
const char* Name(SeenDocument document);

struct HelpDeskConfig {
  std::int64_t request_seconds = 600;  // life of a request, and of a code
  std::uint32_t attempts = 3;        // failed ones of one verification; then the request is closed
  std::uint32_t resets_per_day = 3;  // of a person and process, in a rolling 24 h
  std::uint32_t needed_points = 2;
  std::uint32_t needed_methods = 1;  // different ones
  // By HelpDeskMethod; 0 = not allowed.
  std::array<std::uint32_t, static_cast<std::size_t>(kLastHelpDeskMethod) + 1> points{3, 2, 1, 1, 3,
                                                                                      1, 0, 2, 1};
  std::vector<PersonalField> personal_data{PersonalField::kEmployeeId};
  // Whether the agent sees what the directory has and says whether it is what the caller said;
  // else the agent types what the caller says, and the server compares.
  bool confirm_personal_data = false;
  QuestionsConfig questions;
  struct Sms {
    PhoneRules phone;
    std::string text;  // {{code}}, {{agent}}, {{login}}, {{minutes}} stand for values
    std::uint32_t per_person_day = 5;  // codes in a rolling 24 h
    std::uint32_t per_hour = 100;      // … of everybody in a rolling hour
  } sms;
  bool read_out = false;  // whether agents may read a new password to the caller
  // Who is told that a request is over (webhook.h).
  std::vector<WebhookTarget> webhooks;
  // DNs. Members, nested ones too, are privileged: no sum of call-back, codes by mail, SMS or app,
  // personal data, answers and their manager's word suffices for them.
  std::vector<std::string> privileged_groups;
};

// What a person did at a workstation that asked for the touch of their key.
struct KeyTouchAnswer {
  WorkstationRecord from;  // which has proven to be it
  // Nothing: they said that it is not them.
  std::optional<protocol::Bytes<protocol::kAssertionSize>> assertion;
};

// What the manager said on the page of the link that was mailed to them.
struct ManagerAnswer {
  std::string manager;  // their login, as the directory has it now
  bool knows = false;   // they have spoken with the caller
  std::string number;   // that the caller told them, digits alone
};

// What the agent, or the workstation or the manager who is asked, gives to a method.
struct HelpDeskAnswer {
  HelpDeskMethod method = HelpDeskMethod::kInPerson;
  std::optional<SeenDocument> seen;  // in person
  bool reached = false;              // call-back: the person answered
  SecureBytes code;                  // by mail, SMS or app; blanks in it do not count
  std::vector<std::pair<PersonalField, std::string>> personal;  // as the caller said it
  // Personal data that was shown: whether all of it is what the caller said, by the agent's word.
  std::optional<bool> matches;
  std::vector<SecureBytes> answers;      // to the questions of the offer, in their order
  std::optional<KeyTouchAnswer> touch;   // never by the agent
  std::optional<ManagerAnswer> manager;  // … nor this
};

// One method as the agent's page shows it. Nothing of it is what the caller has to prove.
struct HelpDeskOffer {
  HelpDeskMethod method = HelpDeskMethod::kInPerson;
  std::uint32_t points = 0;
  bool passed = false;
  std::uint32_t wrong = 0;  // failed attempts
  std::uint32_t left = 0;   // attempts that are left
  std::string unavailable;  // why it cannot be used for this person, a sentence; else empty
  // Call-back: the number to call; mail: where the code goes; SMS: the end of the number; touch:
  // the workstations that ask; manager: their name.
  std::string shown;
  std::int64_t sent = 0;        // when the code or question that is out was made, 0 = none
  std::int64_t sent_until = 0;  // … and until when it is good
  std::uint32_t sends_left = 0;
  std::vector<PersonalField> fields;        // personal data: what to ask for
  bool confirms = false;                    // … by ShowPersonalData
  std::vector<SecurityQuestion> questions;  // … and which, the same for the request's life
  std::string read_out;  // touch, manager: the number for the caller, while it waits
  bool denied = false;   // touch: the last answer was "this is not me"
};

// What the directory has of a caller, for the agent's eyes.
struct ShownPersonalData {
  std::vector<std::pair<PersonalField, std::string>> values;
  std::uint64_t version = 0;  // for the step that follows
};

struct KeyTouchVerdict {
  bool passed = false;
  std::string reason;  // else; a sentence for the person at the workstation
};

// What the link that was mailed to a manager shows.
struct ManagerQuestion {
  HelpDeskRequest request;
  std::string asked_by;  // the agent, for people
  std::int64_t until = 0;
};
enum class ManagerVerdict { kTaken, kWrongNumber, kDenied };

struct HelpDeskView {
  HelpDeskRequest request;
  std::uint32_t points = 0, needed_points = 0;
  std::uint32_t methods = 0, needed_methods = 0;
  // A privileged person, and nothing has been proven yet that suffices for one.
  bool needs_strong = false;
  bool can_mail = false;                   // what to do now may be mailed to the person
  std::vector<HelpDeskProcess> processes;  // that may be chosen for this person
  std::vector<HelpDeskOffer> offers;       // of methods that the policy allows
  std::string directory_problem;           // the directory cannot be asked; what is known stands
};

struct HelpDeskOpening {
  AccountId account;
  std::string reason;  // 3…300 bytes of printable UTF-8
  std::string ticket;  // 1…40 of A-Z a-z 0-9 - _ . / #
};

// Error::detail of a kConflict: the request is not (any more) where this step begins, by a second
// click, another tab or another server. Nothing was done; Get tells where it stands.
inline constexpr char kMovedDetail[] = "help desk request moved on";

// The help desk's flow: Identify → Process → Verify → Reset → Confirm, each step once and none
// without the one before. `version` of a step is the one that the agent's page showed
// (HelpDeskRequest::version): of several that name the same one, one is carried out. Every step
// leaves a row with reason and ticket in the audit log, in the transaction of the step. A request
// belongs to the agent who opened it; nobody opens one for themselves. Thread-safe; blocks on
// database, directory and mail server.
//
// Errors beside those of the ports: kInvalidArgument; kNotFound; kPermissionDenied (another's
// request, one's own account); kConflict with kMovedDetail, or because somebody else serves this
// person, or because the step does not fit the account; kRateLimited: the rolling limit, or no more
// codes.
class HelpDeskService {
 public:
  virtual ~HelpDeskService() = default;
  // The agent's own open request for this person is returned as it is, in place of a second one.
  virtual Result<HelpDeskRequest> Open(const Actor& actor, const HelpDeskOpening& opening) = 0;
  // Closes it when its time is over.
  virtual Result<HelpDeskView> Get(const Actor& actor, const HelpDeskId& id) = 0;
  // The agent's own that are open.
  virtual Result<std::vector<HelpDeskRequest>> Mine(const Actor& actor) = 0;
  virtual Result<void> Choose(const Actor& actor, const HelpDeskId& id, std::uint64_t version,
                              HelpDeskProcess process) = 0;
  // Sends what a method sends, in place of what it sent before.
  virtual Result<void> SendCode(const Actor& actor, const HelpDeskId& id,
                                std::uint64_t version) = 0;
  // Likewise by SMS. kRateLimited as well: the limits of this person or of all
  // (HelpDeskConfig::Sms).
  virtual Result<void> SendSms(const Actor& actor, const HelpDeskId& id, std::uint64_t version) = 0;
  // Asks at every workstation that sees a key of the caller, for three minutes at most, in place of
  // what was asked before: who asks and why, the number that the agent reads out, PIN and touch.
  virtual Result<void> AskForTouch(const Actor& actor, const HelpDeskId& id,
                                   std::uint64_t version) = 0;
  // With HelpDeskConfig::confirm_personal_data: what the directory has of the caller, for one
  // answer. That the agent sees it is in the audit log before this returns. kPermissionDenied: it
  // is not shown here; kRateLimited: it was shown as often as a verification may fail.
  virtual Result<ShownPersonalData> ShowPersonalData(const Actor& actor, const HelpDeskId& id,
                                                     std::uint64_t version) = 0;
  // What came of it at the workstation `from`, which has proven to be it: the key's assertion, or
  // nothing, by which the person says that it is not them. Either uses the question up; what does
  // not hold is a failed attempt. kInvalidArgument: no assertion at all. kConflict: nothing is
  // asked (any more).
  virtual Result<KeyTouchVerdict> AnswerTouch(
      const WorkstationId& from, const HelpDeskId& id,
      const std::optional<std::vector<std::uint8_t>>& assertion) = 0;
  // Mails the directory's manager of the caller a link, in place of one that is out, and makes the
  // number that the agent reads out. The mail that could not be sent is no attempt. kConflict: the
  // directory names nobody who could be asked; the message says why.
  virtual Result<void> AskManager(const Actor& actor, const HelpDeskId& id,
                                  std::uint64_t version) = 0;
  // What the link with this token asks. kNotFound, in the same words, for a link that is made up,
  // used, replaced, or whose request is over. Changes nothing: mail programs open links.
  virtual Result<ManagerQuestion> LookAtManager(std::string_view token) = 0;
  // The manager's word: that they have spoken with the caller, who told them `number`; or, not
  // `knows`, that they know nothing of it, which closes the request and warns the administrators.
  // Either uses the link up; another number is a failed attempt. Errors as LookAtManager, and
  // kInvalidArgument: no number; kRateLimited: too many links that are none from this address.
  virtual Result<ManagerVerdict> AnswerAsManager(std::string_view token, bool knows,
                                                 std::string_view number,
                                                 std::string_view address) = 0;
  // True when it was right. A wrong answer is an attempt.
  virtual Result<bool> Verify(const Actor& actor, const HelpDeskId& id, std::uint64_t version,
                              HelpDeskAnswer answer) = 0;
  // Carries it out. An error leaves directory and request as they were: it may be tried again. One
  // that a dying server left half done is taken up where it is. With kReadOut: the password, once;
  // that the agent sees it is in the audit log before this returns. Empty with the others, and
  // where the outcome is not known or the server that made it died: then nobody ever sees it.
  virtual Result<SecureBytes> Act(const Actor& actor, const HelpDeskId& id,
                                  std::uint64_t version) = 0;
  // Once it is carried out: a mail to the directory's address says what the person has to do now,
  // without a secret. Once a request; kConflict: there is no address.
  virtual Result<void> MailInstructions(const Actor& actor, const HelpDeskId& id,
                                        std::uint64_t version) = 0;
  // What the agent told the caller is the end of it.
  virtual Result<void> Confirm(const Actor& actor, const HelpDeskId& id, std::uint64_t version) = 0;
  virtual Result<void> Cancel(const Actor& actor, const HelpDeskId& id, std::uint64_t version) = 0;
  // Closes what nobody looks at any more once its time is over; called every minute.
  virtual void CloseOverdue() = 0;
  // The address of the pages, "https://name:port", which goes into mails. Set before anything is
  // asked of it.
  virtual void SetUrl(std::string url) = 0;
};

// What it stands on beside the core's ports. All outlives it.
struct HelpDeskPorts {
  CorePorts core;
  ChangeService& changes;
  MailOutbox& outbox;
  const MailTemplates& templates;
  // A manager (their login) knows nothing of the call: tells the administrators. May be empty.
  std::function<void(const HelpDeskRequest&, const std::string& manager)> denied = {};
  SmsGateway* sms = nullptr;  // null: no code goes by SMS
};
std::unique_ptr<HelpDeskService> MakeHelpDeskService(const HelpDeskPorts& ports,
                                                     HelpDeskConfig config);

// One way to prove who a caller is. Stateless: what it has to remember is in the attempts.
struct HelpDeskCase {
  const HelpDeskRequest& request;
  const PersonDetail& person;
  const std::vector<HelpDeskAttempt>& attempts;
  std::int64_t now = 0;
};
struct HelpDeskVerdict {
  bool right = false;
  std::optional<HelpDeskStore::SpentCode> spends;
};
class HelpDeskVerification {
 public:
  virtual ~HelpDeskVerification() = default;
  // `unavailable`, `shown` and `fields`, and of what was sent.
  virtual void Describe(const HelpDeskCase& about, HelpDeskOffer& offer) const = 0;
  // Whether the answer is right. An error is no attempt: kInvalidArgument = the answer is not one.
  virtual Result<bool> Check(const HelpDeskCase& about, const HelpDeskAnswer& answer) const = 0;
  // For the audit log: how it was proven, without what was asked or answered.
  virtual std::string Words(const HelpDeskCase& about, const HelpDeskAnswer& answer) const = 0;
  // As Check, and what a right answer uses up. Where that is used up already when the attempt is
  // stored, the answer was wrong.
  virtual Result<HelpDeskVerdict> Weigh(const HelpDeskCase& about,
                                        const HelpDeskAnswer& answer) const {
    const auto right = Check(about, answer);
    if (!right) return tl::unexpected(right.error());
    return HelpDeskVerdict{*right, std::nullopt};
  }
};
// The method's one object. `ports` outlives it.
std::unique_ptr<HelpDeskVerification> MakeVerification(HelpDeskMethod method,
                                                       const HelpDeskConfig& config,
                                                       const HelpDeskPorts& ports);
// Of kKeyTouch (help_desk_touch.h) and kManager (help_desk_manager.h).
std::unique_ptr<HelpDeskVerification> MakeKeyTouch(const CorePorts& ports);
std::unique_ptr<HelpDeskVerification> MakeManagerWord(const HelpDeskPorts& ports);

// Of kTotp (help_desk_totp.cc).
std::unique_ptr<HelpDeskVerification> MakeCallerTotp(const CorePorts& ports);
// Of kQuestions (help_desk_questions.cc).
std::unique_ptr<HelpDeskVerification> MakeCallerQuestions(const CorePorts& ports,
                                                          QuestionsConfig config);

// A code for a mail or SMS: the attempt that waits for it, and the code in groups of four.
struct SentCode {
  HelpDeskAttempt attempt;
  SecureBytes code;
};
Result<SentCode> MakeSentCode(HelpDeskMethod method, protocol::RandomSource& random,
                              std::int64_t now, std::int64_t until);

// Where a code by SMS goes: the directory's one mobile number of the account.
struct SmsPlace {
  std::string number;   // E.164
  std::string problem;  // why there is none, a sentence; else empty
};
Result<SmsPlace> SmsPlaceOf(Directory& directory, const AccountId& account,
                            const PhoneRules& rules);

}  // namespace keyferry::server
