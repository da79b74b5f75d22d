#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "protocol/secure/secure_bytes.h"
#include "server/core/mail.h"

namespace keyferry::server {

enum class SmtpTls {
  kStartTls,  // asked for after EHLO, and required
  kTls,       // from the first byte
  kNone,      // only for a relay on a network of its own; no credentials then
};

// The organisation's mail server, as [mail] of the configuration says.
struct SmtpConfig {
  std::string host;
  std::uint16_t port = 587;
  SmtpTls tls = SmtpTls::kStartTls;
  std::string ca_file;  // empty = the system's
  std::string from;     // address of envelope and header
  std::string user;     // empty = no sign-in
  SecureBytes password;
  std::string helo;           // this machine's name, for EHLO and Message-ID
  long timeout_seconds = 30;  // of a whole mail
};

// Submission over SMTP (libcurl): the server's certificate is verified, a connection a mail.
std::unique_ptr<Mailer> MakeSmtpMailer(SmtpConfig config);

// The mail as it goes over the wire: headers and base64 text, CRLF. For `when`, Unix seconds.
SecureBytes FormatMail(const SmtpConfig& config, const MailMessage& message, std::int64_t when,
                       const std::string& message_id);

}  // namespace keyferry::server
