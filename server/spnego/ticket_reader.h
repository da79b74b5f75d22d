#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/tickets.h"

namespace keyferry::server {

struct TicketService {
  std::string keytab;        // file; read anew for each ticket, so that a new one needs no restart
  std::string service;       // "HTTP/keyferry.corp.example@CORP.EXAMPLE"
  std::string replay_cache;  // file of this server, made when it is not there
};

// TicketReader over MIT Kerberos' GSSAPI: one token in, one out. Kerberos 5 alone; the ticket is
// for `service`, its holder is of the same realm, and it says the account's SID in a PAC that this
// service's key has signed. A token works once on one server, for as long as clocks may differ
// (five minutes). A client that binds its token to the TLS channel is held to it.
class KerberosReader : public TicketReader {
 public:
  // SHA-256 of the certificate that browsers are shown, which is what RFC 5929 section 4.1 wants of
  // one that is signed with SHA-256. Before the first token.
  virtual void BindTo(const Hash32& certificate) = 0;
};
std::unique_ptr<KerberosReader> MakeTicketReader(TicketService service);

// The realm of a principal's name; empty where there is none.
std::string RealmOf(std::string_view principal);
// Whether this is the name of a person's own account in the realm: one '@' that nothing escapes.
bool IsOfRealm(std::string_view principal, std::string_view realm);

// What a keytab has, for doctor.
struct KeytabEntry {
  std::string principal;
  std::uint32_t version = 0;  // kvno
  bool strong = false;        // AES
};
// kIo: it cannot be read, or is none.
Result<std::vector<KeytabEntry>> ReadKeytab(const std::string& file);

}  // namespace keyferry::server
