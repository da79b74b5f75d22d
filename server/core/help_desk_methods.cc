// The ways in which a caller proves who they are: one class each.
#include <sodium.h>

#include <algorithm>
#include <utility>

#include "server/core/encoding.h"
#include "server/core/help_desk.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kCodeDigits = 8;
constexpr std::size_t kSaltBytes = crypto_pwhash_argon2id_SALTBYTES;
// 8 MiB and three passes, some 15 ms: all 10^8 codes take a machine weeks, and a code lives
// minutes.
constexpr std::size_t kCodeMemory = 8u << 20;
constexpr unsigned long long kCodePasses = 3;
constexpr std::size_t kMostDatum = 256;  // bytes of a personal datum

Result<std::string> CodeHash(const SecureBytes& digits, const std::string& salt) {
  const auto bytes = FromHex(salt);
  if (!bytes || bytes->size() != kSaltBytes) {
    return Fail(ErrorCode::kInternal, "The stored code is damaged; send another one.");
  }
  Hash32 out{};
  if (sodium_init() < 0 ||
      crypto_pwhash_argon2id(out.data(), out.size(), reinterpret_cast<const char*>(digits.data()),
                             digits.size(), bytes->data(), kCodePasses, kCodeMemory,
                             crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0) {
    return Fail(ErrorCode::kUnavailable,
                "The server has no memory to compare the code; try again.");
  }
  return ToHex(out);
}

// The attempt whose code is out and good, or for which something was shown.
const HelpDeskAttempt* CodeOut(const HelpDeskCase& about, HelpDeskMethod method) {
  for (const HelpDeskAttempt& attempt : about.attempts) {
    if (attempt.method == method && attempt.state == HelpDeskAttemptState::kWaiting &&
        about.now < attempt.expires) {
      return &attempt;
    }
  }
  return nullptr;
}

// Capitals (of ASCII), blanks at the ends and runs of blanks do not count.
std::string Plain(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ' || c == '\t') {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else {
      out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

class InPerson final : public HelpDeskVerification {
 public:
  void Describe(const HelpDeskCase&, HelpDeskOffer&) const override {}
  Result<bool> Check(const HelpDeskCase&, const HelpDeskAnswer& answer) const override {
    if (!answer.seen) {
      return Fail(ErrorCode::kInvalidArgument, "Choose the document that you have seen.");
    }
    return true;
  }
  std::string Words(const HelpDeskCase&, const HelpDeskAnswer& answer) const override {
    return std::string("in person, seen: ") + (answer.seen ? Name(*answer.seen) : "nothing");
  }
};

class CallBack final : public HelpDeskVerification {
 public:
  void Describe(const HelpDeskCase& about, HelpDeskOffer& offer) const override {
    offer.shown = about.person.person.phone;
    if (offer.shown.empty()) {
      offer.unavailable =
          "The directory has no telephone number of this person; have it entered there, and never "
          "take one from the caller.";
    }
  }
  Result<bool> Check(const HelpDeskCase&, const HelpDeskAnswer& answer) const override {
    return answer.reached;
  }
  std::string Words(const HelpDeskCase& about, const HelpDeskAnswer&) const override {
    return "called back at " + Presentable(about.person.person.phone, 64);
  }
};

// What codes by mail and by SMS have in common.
class ByCode : public HelpDeskVerification {
 public:
  explicit ByCode(HelpDeskMethod method) : method_(method) {}
  Result<bool> Check(const HelpDeskCase& about, const HelpDeskAnswer& answer) const override {
    const HelpDeskAttempt* const out = CodeOut(about, method_);
    if (out == nullptr) {
      return Fail(ErrorCode::kInvalidArgument, "No code is out that is still good; send one.");
    }
    SecureBytes digits(kCodeDigits);
    std::size_t count = 0;
    for (const std::uint8_t byte : answer.code.span()) {
      if (byte == ' ' || byte == '-') continue;
      if (byte < '0' || byte > '9' || count == kCodeDigits) {
        count = kCodeDigits + 1;
        break;
      }
      digits.data()[count++] = byte;
    }
    if (count != kCodeDigits) {
      return Fail(ErrorCode::kInvalidArgument, "The code has eight digits.");
    }
    const auto hash = CodeHash(digits, out->salt);
    if (!hash) return tl::unexpected(hash.error());
    return SameDigest(Sha256(*hash), Sha256(out->hash));
  }

 protected:
  void DescribeSent(const HelpDeskCase& about, HelpDeskOffer& offer) const {
    if (const HelpDeskAttempt* const out = CodeOut(about, method_)) {
      offer.sent = out->created;
      offer.sent_until = out->expires;
    }
  }

 private:
  const HelpDeskMethod method_;
};

class ByMail final : public ByCode {
 public:
  explicit ByMail(bool can_mail) : ByCode(HelpDeskMethod::kMailCode), can_mail_(can_mail) {}
  void Describe(const HelpDeskCase& about, HelpDeskOffer& offer) const override {
    offer.shown = about.person.person.mail;
    if (!can_mail_) {
      offer.unavailable =
          "No mail server is configured here; an administrator sets one up ([mail]).";
    } else if (!IsMailAddress(offer.shown)) {
      offer.unavailable =
          "The directory has no usable mail address of this person; have it corrected there, and "
          "never take one from the caller.";
    }
    DescribeSent(about, offer);
  }
  std::string Words(const HelpDeskCase& about, const HelpDeskAnswer&) const override {
    return "code by mail to " + Presentable(about.person.person.mail, 254);
  }

 private:
  const bool can_mail_;
};

class BySms final : public ByCode {
 public:
  BySms(const HelpDeskPorts& ports, PhoneRules rules)
      : ByCode(HelpDeskMethod::kSmsCode), ports_(ports), rules_(std::move(rules)) {}
  void Describe(const HelpDeskCase& about, HelpDeskOffer& offer) const override {
    if (offer.passed) return;
    if (ports_.sms == nullptr) {
      offer.unavailable =
          "No SMS gateway is configured here; an administrator sets one up ([sms]).";
      return;
    }
    const auto place = SmsPlaceOf(ports_.core.directory, about.request.account, rules_);
    offer.unavailable = place ? place->problem : place.error().message;
    if (offer.unavailable.empty()) offer.shown = MaskedPhone(place->number);
    DescribeSent(about, offer);
  }
  std::string Words(const HelpDeskCase&, const HelpDeskAnswer&) const override {
    return "code by SMS to the directory's number";
  }

 private:
  const HelpDeskPorts& ports_;
  const PhoneRules rules_;
};

class PersonalData final : public HelpDeskVerification {
 public:
  explicit PersonalData(std::vector<PersonalField> fields) : fields_(std::move(fields)) {}
  void Describe(const HelpDeskCase& about, HelpDeskOffer& offer) const override {
    offer.fields = fields_;
    for (const PersonalField field : fields_) {
      if (!Plain(ValueOf(about.person.person, field)).empty()) continue;
      offer.unavailable =
          "The directory does not have all of what this person would be asked for; have it "
          "completed there.";
    }
  }
  // All fields are compared, whichever is wrong.
  Result<bool> Check(const HelpDeskCase& about, const HelpDeskAnswer& answer) const override {
    unsigned wrong = 0;
    for (const PersonalField field : fields_) {
      const auto said = std::find_if(answer.personal.begin(), answer.personal.end(),
                                     [field](const auto& one) { return one.first == field; });
      if (said == answer.personal.end() || Plain(said->second).empty()) {
        return Fail(ErrorCode::kInvalidArgument, "Type everything that the caller was asked for.");
      }
      if (said->second.size() > kMostDatum) {
        return Fail(ErrorCode::kInvalidArgument, "An answer is too long.");
      }
      const std::string known = Plain(ValueOf(about.person.person, field));
      wrong |= static_cast<unsigned>(known.empty()) |
               static_cast<unsigned>(!SameDigest(Sha256(known), Sha256(Plain(said->second))));
    }
    return wrong == 0;
  }
  std::string Words(const HelpDeskCase&, const HelpDeskAnswer&) const override {
    std::string out = "personal data:";
    for (const PersonalField field : fields_) out += std::string(" ") + Name(field);
    return out;
  }

 private:
  const std::vector<PersonalField> fields_;
};

// The agent sees what the directory has, and compares: it rests on their word.
class PersonalDataByWord final : public HelpDeskVerification {
 public:
  explicit PersonalDataByWord(std::vector<PersonalField> fields) : asked_(std::move(fields)) {}
  void Describe(const HelpDeskCase& about, HelpDeskOffer& offer) const override {
    asked_.Describe(about, offer);
    offer.confirms = true;
  }
  // One answer for each time that it was shown.
  Result<bool> Check(const HelpDeskCase& about, const HelpDeskAnswer& answer) const override {
    if (CodeOut(about, HelpDeskMethod::kPersonalData) == nullptr) {
      return Fail(
          ErrorCode::kInvalidArgument,
          "Have it shown what the directory has, and compare it with what the caller says.");
    }
    if (!answer.matches) {
      return Fail(ErrorCode::kInvalidArgument,
                  "Say whether what the caller said is what the directory has.");
    }
    return *answer.matches;
  }
  std::string Words(const HelpDeskCase& about, const HelpDeskAnswer& answer) const override {
    return asked_.Words(about, answer) + ", compared by the agent";
  }

 private:
  const PersonalData asked_;
};

}  // namespace

std::unique_ptr<HelpDeskVerification> MakeVerification(HelpDeskMethod method,
                                                       const HelpDeskConfig& config,
                                                       const HelpDeskPorts& ports) {
  switch (method) {
    case HelpDeskMethod::kInPerson:
      return std::make_unique<InPerson>();
    case HelpDeskMethod::kCallBack:
      return std::make_unique<CallBack>();
    case HelpDeskMethod::kMailCode:
      return std::make_unique<ByMail>(ports.outbox.on());
    case HelpDeskMethod::kKeyTouch:
      return MakeKeyTouch(ports.core);
    case HelpDeskMethod::kManager:
      return MakeManagerWord(ports);
    case HelpDeskMethod::kSmsCode:
      return std::make_unique<BySms>(ports, config.sms.phone);
    case HelpDeskMethod::kTotp:
      return MakeCallerTotp(ports.core);
    case HelpDeskMethod::kQuestions:
      return MakeCallerQuestions(ports.core, config.questions);
    case HelpDeskMethod::kPersonalData:
      break;
  }
  if (config.confirm_personal_data) {
    return std::make_unique<PersonalDataByWord>(config.personal_data);
  }
  return std::make_unique<PersonalData>(config.personal_data);
}

const std::string& ValueOf(const Person& person, PersonalField field) {
  switch (field) {
    case PersonalField::kMail:
      return person.mail;
    case PersonalField::kTitle:
      return person.title;
    case PersonalField::kDepartment:
      return person.department;
    case PersonalField::kEmployeeId:
      break;
  }
  return person.employee_id;
}

Result<SmsPlace> SmsPlaceOf(Directory& directory, const AccountId& account,
                            const PhoneRules& rules) {
  const auto numbers = directory.MobileNumbers(account);
  if (!numbers && numbers.error().code == ErrorCode::kUnsupported) {
    return SmsPlace{
        {}, "This directory does not tell mobile numbers; verify the caller in another way."};
  }
  if (!numbers) return tl::unexpected(numbers.error());
  if (numbers->empty())
    return SmsPlace{{},
                    "The directory has no mobile number of this person; have it entered there, and "
                    "never take one from the caller."};
  if (numbers->size() != 1) {
    return SmsPlace{{},
                    "The directory has more than one mobile number of this person; have all but "
                    "one removed there."};
  }
  auto number = ParsePhone(numbers->front(), rules);
  if (!number) {
    return SmsPlace{{},
                    "The directory's mobile number of this person is none that a code could go to; "
                    "have it corrected there."};
  }
  return SmsPlace{*std::move(number), {}};
}

Result<SentCode> MakeSentCode(HelpDeskMethod method, protocol::RandomSource& random,
                              std::int64_t now, std::int64_t until) {
  const auto no_random = [] {
    return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
  };
  SecureBytes digits(kCodeDigits);
  std::size_t count = 0;
  while (count < kCodeDigits) {
    std::array<std::uint8_t, 16> bytes{};
    if (!random.Fill(bytes)) return no_random();
    for (const std::uint8_t byte : bytes) {
      // 250…255 would make some digits likelier than others.
      if (byte < 250 && count < kCodeDigits) {
        digits.data()[count++] = static_cast<std::uint8_t>('0' + byte % 10);
      }
    }
    Wipe(bytes.data(), bytes.size());
  }
  std::array<std::uint8_t, kSaltBytes> salt{};
  if (!random.Fill(salt)) return no_random();
  SentCode out;
  out.attempt.method = method;
  out.attempt.salt = ToHex(salt);
  auto hash = CodeHash(digits, out.attempt.salt);
  if (!hash) return tl::unexpected(std::move(hash.error()));
  out.attempt.hash = *std::move(hash);
  out.attempt.created = now;
  out.attempt.expires = until;
  out.code = SecureBytes(kCodeDigits + 1);
  std::copy_n(digits.data(), 4, out.code.data());
  out.code.data()[4] = ' ';
  std::copy_n(digits.data() + 4, 4, out.code.data() + 5);
  return out;
}

const char* Name(PersonalField field) {
  switch (field) {
    case PersonalField::kEmployeeId:
      return "employee_id";
    case PersonalField::kMail:
      return "mail";
    case PersonalField::kTitle:
      return "title";
    case PersonalField::kDepartment:
      return "department";
  }
  return "invalid";
}

const char* Name(SeenDocument document) {
  switch (document) {
    case SeenDocument::kBadge:
      return "badge";
    case SeenDocument::kIdentityCard:
      return "identity_card";
    case SeenDocument::kPassport:
      return "passport";
  }
  return "invalid";
}

const char* Name(HelpDeskProcess process) {
  switch (process) {
    case HelpDeskProcess::kNone:
      return "none";
    case HelpDeskProcess::kReset:
      return "reset";
    case HelpDeskProcess::kUnlock:
      return "unlock";
    case HelpDeskProcess::kMustChange:
      return "must_change";
    case HelpDeskProcess::kReadOut:
      return "read_out";
  }
  return "invalid";
}

const char* Name(HelpDeskState state) {
  switch (state) {
    case HelpDeskState::kIdentified:
      return "identified";
    case HelpDeskState::kVerifying:
      return "verifying";
    case HelpDeskState::kVerified:
      return "verified";
    case HelpDeskState::kActing:
      return "acting";
    case HelpDeskState::kActed:
      return "acted";
    case HelpDeskState::kDone:
      return "done";
    case HelpDeskState::kCancelled:
      return "cancelled";
    case HelpDeskState::kExpired:
      return "expired";
    case HelpDeskState::kBlocked:
      return "blocked";
  }
  return "invalid";
}

const char* Name(HelpDeskMethod method) {
  switch (method) {
    case HelpDeskMethod::kInPerson:
      return "in_person";
    case HelpDeskMethod::kCallBack:
      return "call_back";
    case HelpDeskMethod::kMailCode:
      return "mail_code";
    case HelpDeskMethod::kPersonalData:
      return "personal_data";
    case HelpDeskMethod::kKeyTouch:
      return "key_touch";
    case HelpDeskMethod::kManager:
      return "manager";
    case HelpDeskMethod::kSmsCode:
      return "sms_code";
    case HelpDeskMethod::kTotp:
      return "totp";
    case HelpDeskMethod::kQuestions:
      return "questions";
  }
  return "invalid";
}

const char* Name(HelpDeskAttemptState state) {
  switch (state) {
    case HelpDeskAttemptState::kWaiting:
      return "waiting";
    case HelpDeskAttemptState::kPassed:
      return "passed";
    case HelpDeskAttemptState::kWrong:
      return "wrong";
    case HelpDeskAttemptState::kVoid:
      return "void";
  }
  return "invalid";
}

}  // namespace keyferry::server
