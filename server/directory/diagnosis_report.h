#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "server/directory/connection.h"
#include "server/directory/diagnosis.h"
#include "server/directory/ldap_config.h"

namespace keyferry::server {

// The DN without its first part; empty when there is no more.
std::string ParentOf(const std::string& dn);
// Text of the directory as a finding shows it.
std::string Shown(const std::string& text);
std::string Plural(std::size_t count, const char* one, const char* many);

// What every kind of directory is looked at for. The configuration outlives it.
class DiagnosisReport {
 protected:
  // `now`: Unix seconds.
  DiagnosisReport(const LdapConfig& config, std::int64_t now)
      : config_(config), now_(now), began_(std::chrono::steady_clock::now()) {}

  void Add(Finding::Status status, std::string what, std::string cause, std::string fix);
  void Ok(std::string what) { Add(Finding::Status::kOk, std::move(what), {}, {}); }
  void Warn(std::string what, std::string cause, std::string fix) {
    Add(Finding::Status::kWarning, std::move(what), std::move(cause), std::move(fix));
  }
  void Problem(std::string what, std::string cause, std::string fix) {
    Add(Finding::Status::kProblem, std::move(what), std::move(cause), std::move(fix));
  }
  Deadline Later() const { return std::chrono::steady_clock::now() + 4 * config_.timeout; }

  // Connection, certificate and service account of one server; null when one of them is wrong.
  std::unique_ptr<LdapConnection> OpenAndBind(const LdapEndpoint& endpoint);
  // `theirs`: the server's time, 0 = not told, which is a warning with `cause` and `fix`.
  void Clock(const std::string& server, std::int64_t theirs, std::string cause, std::string fix);

  const LdapConfig& config_;
  const std::int64_t now_;  // when it was begun
  const std::chrono::steady_clock::time_point began_;
  Diagnosis out_;
};

}  // namespace keyferry::server
