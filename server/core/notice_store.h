#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/core/notice_records.h"

namespace keyferry::server {

struct AuditEntry;

// A notice: what was done to a person, who has been told of it, and whether the person objected.
// Times are Unix milliseconds, 0 = not.
struct NoticeRecord {
  enum class Mail { kWaiting, kSent, kNone, kFailed };  // kNone: there is nobody, or no address
  std::uint64_t number = 0;                             // of its entry in the audit log
  NoticeKind kind = NoticeKind::kPasswordSet;
  AccountId account;
  std::string login;
  AccountId actor;
  std::string by, address;
  DeviceId device;
  std::string reason;
  std::int64_t created = 0;
  Mail person = Mail::kWaiting, manager = Mail::kWaiting;
  Mail sms = Mail::kWaiting;  // to the person's mobile number in the directory
  std::uint32_t attempts = 0;
  std::int64_t next_try = 0;
  std::int64_t mailed = 0;  // to the person
  std::string last_error;
  // The person's word that it was not them, and an administrator's that it was looked into.
  std::int64_t objected = 0;
  std::string objected_from;  // "link, ADDRESS" or "workstation NAME"
  std::int64_t lifted = 0;
  std::string lifted_by;

  bool stands() const { return objected != 0 && lifted == 0; }
};
const char* Name(NoticeRecord::Mail mail);

// Why nothing is done to an account while an objection of its person stands.
inline constexpr const char* kFrozenAccount =
    "This person has said of the last change: this was not me. Nothing goes to their keys, and "
    "nothing is set, until an administrator has looked into it on the page Reports.";

// Notices are written by what they tell of (NoticeDraft). As Store. While an objection stands for
// an account, the store begins no change of it, lets none go on to the directory, begins no
// enrolment, resumes no key of it (kConflict, kFrozenAccount), and hands no password out to its
// keys.
class NoticeStore {
 public:
  virtual ~NoticeStore() = default;
  // Those with a mail or SMS that waits and is due, oldest first.
  virtual Result<std::vector<NoticeRecord>> NoticesDue(std::int64_t now, std::size_t limit) = 0;
  // person, manager, sms, attempts, next_try, mailed and last_error.
  virtual Result<void> MarkNotice(const NoticeRecord& notice,
                                  const std::vector<AuditEntry>& audits) = 0;
  virtual Result<std::optional<NoticeRecord>> FindNotice(std::uint64_t number) = 0;
  // Newest first.
  virtual Result<std::vector<NoticeRecord>> NoticesOf(const AccountId& account,
                                                      std::size_t limit) = 0;
  // False, and nothing written, when the person objected already.
  virtual Result<bool> ObjectTo(std::uint64_t number, std::string_view from, std::int64_t time,
                                const AuditEntry& audit) = 0;
  // Oldest first.
  virtual Result<std::vector<NoticeRecord>> StandingObjections() = 0;
  virtual Result<bool> IsFrozen(const AccountId& account) = 0;
  // False, and nothing written, when it stands no more.
  virtual Result<bool> LiftObjection(std::uint64_t number, std::string_view by, std::int64_t time,
                                     const AuditEntry& audit) = 0;
  // Forgets what is older and no objection stands to.
  virtual Result<void> ForgetNotices(std::int64_t before) = 0;
};

}  // namespace keyferry::server
