#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "server/core/notices.h"

namespace keyferry::server {

// The mails of notices: to the person, with the link, and to their manager; to the administrators
// when somebody objects. And the person's SMS. The former are sent and never stored, for they hold
// the link. One thread.
class NoticeMails {
 public:
  NoticeMails(const NoticePorts& ports, const NoticeConfig& config)
      : ports_(ports), config_(config) {}

  // Those that are due; ends at the first that mail server or directory had no time for.
  void SendDue(const std::string& url);
  // Queues the mails that tell of an objection; those that are queued already are left alone.
  Result<void> TellAdministrators(const NoticeRecord& notice, const std::string& url);

 private:
  // Where one of the person's keys is seen now; others learn it when they see one.
  void ShowAtWorkstations(const NoticeRecord& notice);
  // Sends what waits of one; false when it has to be tried again.
  bool Send(NoticeRecord& notice, const std::string& url, std::vector<AuditEntry>& audits);
  // The same for the SMS.
  bool SendSms(NoticeRecord& notice, const std::string& url, std::vector<AuditEntry>& audits);
  Result<bool> HadEnoughSms(const NoticeRecord& notice);
  bool Settle(const NoticeRecord& notice, const char* whom, const std::string& address,
              NoticeRecord::Mail& state, const Result<void>& sent, std::string& last_error,
              std::vector<AuditEntry>& audits);
  std::string ActOf(NoticeKind kind) const;

  const NoticePorts& ports_;
  const NoticeConfig& config_;
  std::deque<std::int64_t> texted_;  // when an SMS went out, of the last hour
};

}  // namespace keyferry::server
