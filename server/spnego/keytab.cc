#include <krb5.h>

#include "server/core/encoding.h"
#include "server/spnego/ticket_reader.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMostEntries = 256;

struct Library {
  ~Library() {
    if (context != nullptr) krb5_free_context(context);
  }
  krb5_context context = nullptr;
};

struct Keytab {
  explicit Keytab(krb5_context in) : context(in) {}
  ~Keytab() {
    if (reading) krb5_kt_end_seq_get(context, value, &cursor);
    if (value != nullptr) krb5_kt_close(context, value);
  }
  krb5_context context;
  krb5_keytab value = nullptr;
  krb5_kt_cursor cursor{};
  bool reading = false;
};

tl::unexpected<Error> Unreadable(krb5_context context, krb5_error_code code,
                                 const std::string& file) {
  const char* const words = krb5_get_error_message(context, code);
  std::string detail = Presentable(words == nullptr ? "" : words, 400);
  krb5_free_error_message(context, words);
  return Fail(ErrorCode::kIo, file + " cannot be read as a keytab: " + detail + ".");
}

}  // namespace

Result<std::vector<KeytabEntry>> ReadKeytab(const std::string& file) {
  Library library;
  if (krb5_error_code code = krb5_init_context(&library.context); code != 0) {
    return Fail(ErrorCode::kIo, "Kerberos cannot be used on this machine; check /etc/krb5.conf.");
  }
  Keytab keytab(library.context);
  krb5_error_code code = krb5_kt_resolve(library.context, ("FILE:" + file).c_str(), &keytab.value);
  if (code == 0) {
    code = krb5_kt_start_seq_get(library.context, keytab.value, &keytab.cursor);
    keytab.reading = code == 0;
  }
  if (code != 0) return Unreadable(library.context, code, file);
  std::vector<KeytabEntry> out;
  while (out.size() < kMostEntries) {
    krb5_keytab_entry entry{};
    code = krb5_kt_next_entry(library.context, keytab.value, &entry, &keytab.cursor);
    if (code == KRB5_KT_END) return out;
    if (code != 0) return Unreadable(library.context, code, file);
    char* name = nullptr;
    if (krb5_unparse_name(library.context, entry.principal, &name) == 0) {
      const krb5_enctype kind = entry.key.enctype;
      const bool strong =
          kind == ENCTYPE_AES128_CTS_HMAC_SHA1_96 || kind == ENCTYPE_AES256_CTS_HMAC_SHA1_96 ||
          kind == ENCTYPE_AES128_CTS_HMAC_SHA256_128 || kind == ENCTYPE_AES256_CTS_HMAC_SHA384_192;
      out.push_back({Presentable(name, 256), entry.vno, strong});
      krb5_free_unparsed_name(library.context, name);
    }
    krb5_free_keytab_entry_contents(library.context, &entry);
  }
  return out;
}

}  // namespace keyferry::server
