#include "server/spnego/ticket_reader.h"

#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "server/core/encoding.h"
#include "server/spnego/pac.h"
#include "server/spnego/token.h"

namespace keyferry::server {
namespace {

constexpr const char* kRefused =
    "Your Windows ticket was not accepted. Try again, or sign in with your password.";
constexpr const char* kNtlmOnly =
    "Your browser offered NTLM, which is not taken here: only Kerberos is. Sign in with your "
    "password.";
constexpr const char* kNoKerberos =
    "Your browser's answer holds no Kerberos ticket. Sign in with your password.";
constexpr const char* kClock =
    "The clocks of your computer and of this server differ too much for a Windows ticket. Sign in "
    "with your password, and tell an administrator.";
constexpr const char* kStranger =
    "Your Windows ticket is of another domain than this server's. Sign in with your password.";
constexpr const char* kNoSid =
    "Your Windows ticket does not say whose account it is. Sign in with your password.";
constexpr const char* kNoKeytab =
    "Sign-in with Windows does not work on this server just now. Sign in with your password; the "
    "page Check-up tells administrators what is wrong.";
constexpr std::size_t kMostWords = 4;       // messages of one status
constexpr std::size_t kMaxPrincipal = 256;  // bytes

gss_OID_desc g_spnego = {6, const_cast<char*>("\x2b\x06\x01\x05\x05\x02")};

// Handles of the library, each released in its own way.
struct Name {
  ~Name() {
    OM_uint32 minor = 0;
    if (value != GSS_C_NO_NAME) gss_release_name(&minor, &value);
  }
  gss_name_t value = GSS_C_NO_NAME;
};
struct Credential {
  ~Credential() {
    OM_uint32 minor = 0;
    if (value != GSS_C_NO_CREDENTIAL) gss_release_cred(&minor, &value);
  }
  gss_cred_id_t value = GSS_C_NO_CREDENTIAL;
};
struct Context {
  ~Context() {
    OM_uint32 minor = 0;
    if (value != GSS_C_NO_CONTEXT) gss_delete_sec_context(&minor, &value, GSS_C_NO_BUFFER);
  }
  gss_ctx_id_t value = GSS_C_NO_CONTEXT;
};
struct Buffer {
  ~Buffer() {
    OM_uint32 minor = 0;
    gss_release_buffer(&minor, &value);
  }
  std::string_view text() const { return {static_cast<const char*>(value.value), value.length}; }
  std::span<const std::uint8_t> bytes() const {
    return {static_cast<const std::uint8_t*>(value.value), value.length};
  }
  gss_buffer_desc value = GSS_C_EMPTY_BUFFER;
};

gss_buffer_desc View(std::string_view text) {
  return {text.size(), const_cast<char*>(text.data())};
}

bool SameOid(gss_OID a, gss_OID b) {
  return a != GSS_C_NO_OID && b != GSS_C_NO_OID && a->length == b->length &&
         std::equal(static_cast<const char*>(a->elements),
                    static_cast<const char*>(a->elements) + a->length,
                    static_cast<const char*>(b->elements));
}

// The library's own words, for the log.
std::string Words(OM_uint32 major, OM_uint32 minor) {
  std::string out;
  for (const auto& [status, kind] :
       {std::pair{major, GSS_C_GSS_CODE}, std::pair{minor, GSS_C_MECH_CODE}}) {
    OM_uint32 more = 0;
    for (std::size_t i = 0; i < kMostWords; ++i) {
      Buffer text;
      OM_uint32 unused = 0;
      if (GSS_ERROR(gss_display_status(&unused, status, kind, GSS_C_NO_OID, &more, &text.value))) {
        break;
      }
      if (!text.text().empty()) out += (out.empty() ? "" : ": ") + std::string(text.text());
      if (more == 0) break;
    }
  }
  return Presentable(out, 400);
}

tl::unexpected<Error> RefuseTicket(const char* message, std::string detail) {
  return Fail(ErrorCode::kUnauthenticated, message, std::move(detail));
}

class GssReader final : public KerberosReader {
 public:
  explicit GssReader(TicketService service)
      : keytab_("FILE:" + service.keytab),
        cache_("file2:" + service.replay_cache),
        service_(std::move(service.service)),
        realm_(RealmOf(service_)) {}

  void BindTo(const Hash32& certificate) override {
    channel_ = "tls-server-end-point:";
    channel_.append(certificate.begin(), certificate.end());
  }

  Result<TicketHolder> Read(std::span<const std::uint8_t> token) override {
    if (token.empty() || token.size() > kMaxTicketToken) return RefuseTicket(kNoKerberos, "size");
    switch (OfferOf(token)) {
      case TicketOffer::kKerberos:
        break;
      case TicketOffer::kNtlm:
        return RefuseTicket(kNtlmOnly, "NTLM was offered");
      case TicketOffer::kOther:
        return RefuseTicket(kNoKerberos, "no SPNEGO token with Kerberos");
    }
    Credential credential;
    if (auto acquired = Acquire(credential); !acquired) return tl::unexpected(acquired.error());
    return Accept(credential, token);
  }

 private:
  Result<void> Acquire(Credential& credential) const {
    OM_uint32 minor = 0;
    const auto failed = [&minor](OM_uint32 major) {
      return Fail(ErrorCode::kUnavailable, kNoKeytab, Words(major, minor));
    };
    Name name;
    gss_buffer_desc text = View(service_);
    OM_uint32 major = gss_import_name(&minor, &text, GSS_KRB5_NT_PRINCIPAL_NAME, &name.value);
    if (GSS_ERROR(major)) return failed(major);
    gss_key_value_element_desc places[] = {{"keytab", keytab_.c_str()}, {"rcache", cache_.c_str()}};
    const gss_key_value_set_desc store = {2, places};
    gss_OID_set_desc spnego = {1, &g_spnego};
    major = gss_acquire_cred_from(&minor, name.value, GSS_C_INDEFINITE, &spnego, GSS_C_ACCEPT,
                                  &store, &credential.value, nullptr, nullptr);
    if (GSS_ERROR(major)) return failed(major);
    gss_OID_set_desc kerberos = {1, const_cast<gss_OID>(gss_mech_krb5)};
    major = gss_set_neg_mechs(&minor, credential.value, &kerberos);
    if (GSS_ERROR(major)) return failed(major);
    return {};
  }

  Result<TicketHolder> Accept(const Credential& credential,
                              std::span<const std::uint8_t> token) const {
    gss_channel_bindings_struct bindings{};
    bindings.application_data = View(channel_);
    gss_buffer_desc given = {token.size(), const_cast<std::uint8_t*>(token.data())};
    Context context;
    Name holder;
    Buffer answer;
    gss_OID mechanism = GSS_C_NO_OID;
    OM_uint32 minor = 0, flags = 0;
    const OM_uint32 major =
        gss_accept_sec_context(&minor, &context.value, credential.value, &given,
                               channel_.empty() ? GSS_C_NO_CHANNEL_BINDINGS : &bindings,
                               &holder.value, &mechanism, &answer.value, &flags, nullptr, nullptr);
    if (GSS_ERROR(major)) {
      const std::string words = Words(major, minor);
      const bool clock = words.find("Clock skew") != std::string::npos;
      return RefuseTicket(clock ? kClock : kRefused, words);
    }
    // One token is all there is: a client that first proposed something else has to ask anew.
    if (major != GSS_S_COMPLETE) return RefuseTicket(kNoKerberos, "more than one round is wanted");
    if (!SameOid(mechanism, const_cast<gss_OID>(gss_mech_krb5)) || (flags & GSS_C_ANON_FLAG) != 0) {
      return RefuseTicket(kNoKerberos, "another mechanism, or nobody by name");
    }
    auto named = Holder(holder);
    if (named) named->answer.assign(answer.bytes().begin(), answer.bytes().end());
    return named;
  }

  Result<TicketHolder> Holder(const Name& name) const {
    OM_uint32 minor = 0;
    Buffer text;
    gss_OID kind = GSS_C_NO_OID;
    const OM_uint32 major = gss_display_name(&minor, name.value, &text.value, &kind);
    if (GSS_ERROR(major)) return RefuseTicket(kRefused, Words(major, minor));
    const std::string principal = Presentable(text.text(), kMaxPrincipal);
    if (!SameOid(kind, const_cast<gss_OID>(GSS_KRB5_NT_PRINCIPAL_NAME)) ||
        !IsOfRealm(text.text(), realm_)) {
      return RefuseTicket(kStranger, principal);
    }
    gss_buffer_desc attribute = View("urn:mspac:upn-dns-info");
    Buffer value, shown;
    int authenticated = 0, complete = 0, more = -1;
    const OM_uint32 got = gss_get_name_attribute(&minor, name.value, &attribute, &authenticated,
                                                 &complete, &value.value, &shown.value, &more);
    if (GSS_ERROR(got) || authenticated == 0) {
      return RefuseTicket(kNoSid, principal + ": no PAC that is signed for this service");
    }
    auto sid = SidOfUpnDnsInfo(value.bytes());
    if (!sid) return RefuseTicket(kNoSid, principal + ": its UPN_DNS_INFO has no SID");
    return TicketHolder{principal, *std::move(sid), {}};
  }

  const std::string keytab_, cache_, service_, realm_;
  std::string channel_;
};

}  // namespace

std::unique_ptr<KerberosReader> MakeTicketReader(TicketService service) {
  return std::make_unique<GssReader>(std::move(service));
}

std::string RealmOf(std::string_view principal) {
  const std::size_t at = principal.rfind('@');
  return at == std::string_view::npos ? std::string() : std::string(principal.substr(at + 1));
}

bool IsOfRealm(std::string_view principal, std::string_view realm) {
  const std::size_t at = principal.rfind('@');
  return at != std::string_view::npos && at > 0 && principal[at - 1] != '\\' && !realm.empty() &&
         principal.substr(at + 1) == realm;
}

}  // namespace keyferry::server
