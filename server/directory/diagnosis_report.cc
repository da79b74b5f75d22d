#include "server/directory/diagnosis_report.h"

#include <cstdlib>
#include <utility>

#include "server/directory/text.h"

namespace keyferry::server {
namespace {

constexpr std::int64_t kSkewWarning = 60;   // seconds
constexpr std::int64_t kSkewProblem = 300;  // Kerberos refuses from here on
// OpenLDAP's evidence needs the clocks this close (openldap_directory.h).
constexpr std::int64_t kOpenLdapSkew = 3;

}  // namespace

std::string ParentOf(const std::string& dn) {
  for (std::size_t i = 0; i < dn.size(); ++i) {
    if (dn[i] == '\\') {
      ++i;
    } else if (dn[i] == ',') {
      return dn.substr(i + 1);
    }
  }
  return {};
}

std::string Shown(const std::string& text) { return CleanText(text, 256); }

std::string Plural(std::size_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

void DiagnosisReport::Add(Finding::Status status, std::string what, std::string cause,
                          std::string fix) {
  out_.findings.push_back({status, std::move(what), std::move(cause), std::move(fix)});
}

std::unique_ptr<LdapConnection> DiagnosisReport::OpenAndBind(const LdapEndpoint& endpoint) {
  const bool openldap = endpoint.kind == DirectoryKind::kOpenLdap;
  const std::string what = (openldap ? "server " : "controller ") + endpoint.uri;
  auto connection = LdapConnection::Open(endpoint, config_.connect_timeout);
  if (!connection) {
    Problem(what + ": connection and certificate", connection.error().message,
            "Check " + endpoint.section + ".uris and " + endpoint.section +
                ".ca_file, DNS and the network; see what the port "
                "shows:\nopenssl s_client -connect " +
                endpoint.uri.substr(8) + " -CAfile " + endpoint.ca_file);
    return nullptr;
  }
  Ok(what + ": connection and certificate");
  out_.certificates.emplace_back(endpoint.uri, (*connection)->PeerCertificate());
  const LdapAnswer answer = (*connection)->Bind(config_.bind_name, config_.bind_password, Later());
  if (!answer.ok()) {
    Problem(what + ": service account", ExplainServiceBind(answer, endpoint).message,
            std::string("Check " + endpoint.section + ".bind_name and " + endpoint.section +
                        ".password_file, and the account "
                        "in ") +
                (openldap ? "the directory." : "Active Directory."));
    return nullptr;
  }
  Ok(what + ": service account signs in");
  return *std::move(connection);
}

void DiagnosisReport::Clock(const std::string& server, std::int64_t theirs, std::string cause,
                            std::string fix) {
  if (theirs == 0) return Warn(server + ": clock", std::move(cause), std::move(fix));
  // A server before this one may have kept us waiting longer than two clocks may differ.
  const auto passed = std::chrono::steady_clock::now() - began_;
  const std::int64_t ours = now_ + std::chrono::duration_cast<std::chrono::seconds>(passed).count();
  const std::int64_t skew = std::llabs(theirs - ours);
  const bool openldap = config_.kind == DirectoryKind::kOpenLdap;
  if (skew <= (openldap ? kOpenLdapSkew : kSkewWarning - 1)) {
    Ok(server + ": clock, " + Plural(static_cast<std::size_t>(skew), "second", "seconds") +
       " apart");
    return;
  }
  Add(skew >= kSkewProblem ? Finding::Status::kProblem : Finding::Status::kWarning,
      server + ": clock",
      "Its clock and this machine's differ by " + std::to_string(skew) + " seconds.",
      "Let both follow the same time source (NTP).");
}

}  // namespace keyferry::server
