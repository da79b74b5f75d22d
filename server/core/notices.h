#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/group_reader.h"
#include "server/core/mail.h"
#include "server/core/mail_template.h"
#include "server/core/notice_store.h"
#include "server/core/services.h"
#include "server/core/sms.h"

namespace keyferry::server {

// Notice: whoever has something done to their password, keys or account is told of it by mail, and
// so is their manager, within moments; and the person can say "this was not me", which stops it.
//
//   act ─▶ audit entry + outbox row (one transaction) ─▶ mails, until the mail server took them
//   link of the mail, or the workstation ─▶ objection (one row) ─▶ keys suspended, what waits is
//   closed, sessions ended, administrators told ─▶ an administrator lifts it
//
// The objection is what counts: while it stands the store itself begins and hands out nothing for
// the account (notice_store.h). What else it takes is done at once, and again every few seconds
// until all of it is done, so that a server that dies in between leaves nothing out.

struct NoticeConfig {
  bool on = true;        // false: nobody is told; what was done is kept all the same
  bool managers = true;  // the person's manager as well, where the directory names one
  // By SMS too, to the directory's one mobile number of the person: {{what}}, {{login}}, {{by}},
  // {{when}}, {{link}}. Needs NoticePorts::sms.
  std::string sms_text;
  PhoneRules phone;
  std::int64_t sms_per_person_day = 5;  // more are not sent; mails are
  std::int64_t sms_per_hour = 100;      // of one server to all; more wait
  std::int64_t link_hours = 72;
  std::vector<std::string> administrator_groups;  // DNs
  std::vector<std::string> administrators;        // mail addresses
  std::int64_t first_pause = 10'000;              // ms after a failure, then doubled …
  std::int64_t longest_pause = 3'600'000;         // … up to this
  std::int64_t give_up_after = 3 * 86'400'000;    // ms after it happened
  std::int64_t keep = 90 * 86'400'000ll;          // ms that notices are remembered
  // Wrong links of one address in a quarter of an hour, then they are not looked at any more.
  std::uint32_t wrong_links = 20;
};

// All of it outlives the service.
struct NoticePorts {
  CorePorts core;
  GroupReader& groups;
  MailOutbox& outbox;
  const MailTemplates& templates;
  SmsGateway* sms = nullptr;  // null: no SMS
};

// Thread-safe; blocks on database and directory.
class NoticeService {
 public:
  virtual ~NoticeService() = default;

  // What the link with this token is about. kNotFound, in the same words, for a link that is made
  // up, was used, or is too old. Changes nothing: mail programs open links by themselves.
  virtual Result<NoticeRecord> Look(std::string_view token) = 0;
  // "This was not me", by the link. Errors as Look; kRateLimited: too many wrong links.
  virtual Result<void> Object(std::string_view token, std::string_view address) = 0;
  // The same at an approved workstation, which sees a key of the person now; else kNotFound.
  virtual Result<void> ObjectAt(const WorkstationId& from, std::uint64_t number) = 0;
  // What of the last days a workstation shows of those whose keys it sees, newest first.
  virtual Result<std::vector<NoticeRecord>> At(const WorkstationId& from) = 0;

  // Newest first.
  virtual Result<std::vector<NoticeRecord>> OfAccount(const AccountId& account,
                                                      std::size_t limit) = 0;
  virtual Result<bool> IsFrozen(const AccountId& account) = 0;
  // Objections that stand, of those whom the actor may see; oldest first.
  virtual Result<std::vector<NoticeRecord>> Standing(const Actor& actor) = 0;
  // It was looked into. The person's keys stay suspended until each is resumed. kPermissionDenied:
  // no administrator, the person themselves, or who did what they objected to, under whatever
  // account. kConflict: lifted already. kNotFound.
  virtual Result<void> Lift(const Actor& actor, std::uint64_t number) = 0;

  // The address of the pages, "https://name:port", which goes into mails. Set before Tick.
  virtual void SetUrl(std::string url) = 0;
  // Sends what waits, and sees that every standing objection is carried out. Called every few
  // seconds by one server at a time.
  virtual void Tick() = 0;
};
std::unique_ptr<NoticeService> MakeNoticeService(NoticePorts ports, NoticeConfig config);

}  // namespace keyferry::server
