#pragma once

#include <set>
#include <string>
#include <vector>

#include "server/core/four_eyes.h"
#include "server/core/group_reader.h"
#include "server/core/mail.h"
#include "server/core/mail_template.h"

namespace keyferry::server {

// Everything outlives it.
struct ApprovalMailPorts {
  CorePorts core;
  FourEyes& four_eyes;
  GroupReader& groups;
  MailOutbox& outbox;
  const MailTemplate& text;  // name, asker, person, login, reason, until, link
};

struct ApprovalMailConfig {
  std::vector<std::string> groups;  // DNs: whose members may have the right to approve
  std::function<Roles(const std::vector<std::string>& group_dns)> roles_of;
  std::size_t most = 20;  // people who are told of one approval
};

// Tells by mail who may approve that somebody waits for it. What waits are the rows of approvals,
// which stand in the transaction that asks: no crash loses a mail, and none is sent of what was not
// asked. One mail an approval and address, whatever the number of servers and restarts.
class ApprovalMail {
 public:
  ApprovalMail(ApprovalMailPorts ports, ApprovalMailConfig config)
      : ports_(std::move(ports)), config_(std::move(config)) {}

  // Queues what is due. What cannot be asked of the directory now is tried again with the next
  // call. One thread calls it; blocks. `url`: of the pages, "https://name:port".
  void Tick(const std::string& url);

 private:
  // False: not everybody could be told.
  bool Tell(const Approval& row, const std::string& url);
  Result<bool> May(const Person& person, const Approval& row);

  const ApprovalMailPorts ports_;
  const ApprovalMailConfig config_;
  std::set<ApprovalId> told_;  // open ones, so that their approvers are looked for once
};

}  // namespace keyferry::server
