#include "server/app/single_sign_on.h"

#include <algorithm>
#include <string>
#include <utility>

#include "server/app/files.h"
#include "server/app/open.h"
#include "server/core/encoding.h"
#include "server/directory/service_accounts.h"
#include "server/tls/ca.h"

namespace keyferry::server {
namespace {

using Status = Finding::Status;

constexpr const char* kSubject = "sign-in with Windows";
constexpr const char* kGuide = "See docs/operations.md, \"Sign-in with Windows\".";

Result<void> CheckKeytab(const std::filesystem::path& keytab) {
  const auto read = ReadSecretFile(keytab);
  if (!read) return tl::unexpected(read.error());
  return {};
}

// "HTTP/keyferry.corp.example" of the service's principal.
std::string NameOf(const std::string& service) { return service.substr(0, service.rfind('@')); }

Finding Compare(const ServerConfig& config, std::uint32_t version) {
  const std::string name = NameOf(config.single_sign_on.service);
  auto ldap = LdapConfigOf(config.directory, kFirstSection);
  const auto accounts = ldap ? FindServiceAccounts(*std::move(ldap), name)
                             : Result<std::vector<ServiceAccount>>(tl::unexpected(ldap.error()));
  if (!accounts) {
    return {Status::kWarning, kSubject,
            "The directory does not tell whose name " + name + " is: " + accounts.error().message,
            kGuide};
  }
  if (accounts->size() != 1) {
    return {Status::kProblem, kSubject,
            (accounts->empty() ? "No account" : "More than one account") +
                std::string(" of the directory has the service principal name ") + name + ".",
            accounts->empty() ? "setspn -S " + name + " ACCOUNT"
                              : "Take it from all but one: setspn -Q " + name};
  }
  const ServiceAccount& account = accounts->front();
  if (account.key_version != 0 && account.key_version != version) {
    return {Status::kProblem, kSubject,
            "The keytab has version " + std::to_string(version) + " of the key of " + name +
                ", the directory has version " + std::to_string(account.key_version) + " (" +
                account.login + "): its password was set since, so no ticket can be read.",
            std::string("Make the keytab anew. ") + kGuide};
  }
  if (!account.aes) {
    return {
        Status::kWarning, kSubject,
        "The account " + account.login +
            " is not marked for AES (msDS-SupportedEncryptionTypes), "
            "so the domain may make its tickets with RC4.",
        "Set \"This account supports Kerberos AES 256 bit encryption\", then its password anew."};
  }
  return {Status::kOk,
          std::string(kSubject) + ": keytab and directory have the same key of " + name,
          {},
          {}};
}

}  // namespace

Result<std::unique_ptr<KerberosReader>> OpenTickets(const ServerConfig& config) {
  const auto& single = config.single_sign_on;
  if (single.keytab.empty()) return nullptr;
  if (auto good = CheckKeytab(single.keytab); !good) return tl::unexpected(good.error());
  return MakeTicketReader(
      {single.keytab.string(), single.service, StateFiles(config.state_dir).replay_cache.string()});
}

Result<void> BindTickets(KerberosReader& tickets, const ServerIdentity& identity) {
  const auto facts = InspectCertificate(identity.certificate_pem);
  if (!facts) return tl::unexpected(facts.error());
  std::string hex = facts->sha256;
  hex.erase(std::remove(hex.begin(), hex.end(), ' '), hex.end());
  const auto bytes = FromHex(hex);
  Hash32 digest{};
  if (!bytes || bytes->size() != digest.size()) {
    return Fail(ErrorCode::kInternal, "The server certificate has no fingerprint.");
  }
  std::copy(bytes->begin(), bytes->end(), digest.begin());
  tickets.BindTo(digest);
  return {};
}

Findings ExamineTickets(const ServerConfig& config) {
  const auto& single = config.single_sign_on;
  if (single.keytab.empty()) return {};
  const std::string file = single.keytab.string();
  if (const auto good = CheckKeytab(single.keytab); !good) {
    return {{Status::kProblem, kSubject, good.error().message, kGuide}};
  }
  const auto entries = ReadKeytab(file);
  if (!entries) return {{Status::kProblem, kSubject, entries.error().message, kGuide}};
  std::uint32_t version = 0;
  bool strong = false, there = false;
  for (const KeytabEntry& entry : *entries) {
    if (entry.principal != single.service) continue;
    if (!there || entry.version > version) {
      version = entry.version;
      strong = false;
    }
    there = true;
    strong = strong || (entry.version == version && entry.strong);
  }
  if (!there) {
    return {{Status::kProblem, kSubject,
             file + " has no key of " + single.service +
                 (entries->empty() ? "; it is empty."
                                   : "; it has one of " + entries->front().principal + "."),
             kGuide}};
  }
  if (!strong) {
    return {{Status::kWarning, kSubject, file + " has no AES key of " + single.service + ".",
             std::string("Make the keytab with AES. ") + kGuide}};
  }
  return {Compare(config, version)};
}

}  // namespace keyferry::server
