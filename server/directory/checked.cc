#include "server/directory/checked.h"

namespace keyferry::server {

void Checked::Note(const std::string& server, const AccountId& account, const AccountId& actor,
                   Time read) {
  const std::lock_guard lock(mutex_);
  std::erase_if(findings_, [&](const auto& finding) { return read - finding.second > life_; });
  findings_[{server, account, actor}] = read;
}

void Checked::Forget(const std::string& server, const AccountId& account, const AccountId& actor) {
  const std::lock_guard lock(mutex_);
  findings_.erase({server, account, actor});
}

bool Checked::Take(const std::string& server, const AccountId& account, const AccountId& actor,
                   Time now) {
  const std::lock_guard lock(mutex_);
  const auto found = findings_.find({server, account, actor});
  if (found == findings_.end()) return false;
  const bool fresh = now - found->second <= life_;
  findings_.erase(found);
  return fresh;
}

}  // namespace keyferry::server
