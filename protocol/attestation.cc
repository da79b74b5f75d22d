#include "protocol/attestation.h"

#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

namespace keyferry::protocol {
namespace {

struct Certificate {
  mbedtls_x509_crt value;
  Certificate() { mbedtls_x509_crt_init(&value); }
  ~Certificate() { mbedtls_x509_crt_free(&value); }
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;
};

struct Key {
  mbedtls_pk_context value;
  Key() { mbedtls_pk_init(&value); }
  ~Key() { mbedtls_pk_free(&value); }
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;

  bool Setup() {
    return mbedtls_pk_setup(&value, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0 &&
           mbedtls_ecp_group_load(&mbedtls_pk_ec(value)->grp, MBEDTLS_ECP_DP_SECP256R1) == 0;
  }
  bool SetPublic(const P256Public& pub) {
    mbedtls_ecp_keypair* pair = mbedtls_pk_ec(value);
    return mbedtls_ecp_point_read_binary(&pair->grp, &pair->Q, pub.data(), pub.size()) == 0;
  }
  bool SetPrivate(const P256Private& key) {
    return mbedtls_mpi_read_binary(&mbedtls_pk_ec(value)->d, key.bytes.data(), key.bytes.size()) ==
           0;
  }
};

// Gives mbedTLS our random source as the callback it wants.
int FillFrom(void* context, unsigned char* out, std::size_t size) {
  return static_cast<RandomSource*>(context)->Fill({out, size}) ? 0 : MBEDTLS_ERR_ECP_RANDOM_FAILED;
}

tl::unexpected<Error> Bad(const char* message) { return Fail(ErrorCode::kProtocol, message); }

Result<std::vector<std::uint8_t>> Write(const P256Private& ca, const std::string& ca_name,
                                        const std::string& subject, const P256Public& subject_pub,
                                        bool is_ca, ByteView serial, RandomSource& random) {
  Key issuer_key;
  Key subject_key;
  P256Public ca_pub{};
  if (!P256DerivePublic(ca, ca_pub) || !issuer_key.Setup() || !issuer_key.SetPrivate(ca) ||
      !issuer_key.SetPublic(ca_pub) || !subject_key.Setup() ||
      !subject_key.SetPublic(subject_pub)) {
    return Fail(ErrorCode::kInternal, "The attestation key is not a valid P-256 key.");
  }
  mbedtls_x509write_cert writer;
  mbedtls_x509write_crt_init(&writer);
  mbedtls_mpi number;
  mbedtls_mpi_init(&number);
  mbedtls_x509write_crt_set_version(&writer, MBEDTLS_X509_CRT_VERSION_3);
  mbedtls_x509write_crt_set_md_alg(&writer, MBEDTLS_MD_SHA256);
  mbedtls_x509write_crt_set_issuer_key(&writer, &issuer_key.value);
  mbedtls_x509write_crt_set_subject_key(&writer, &subject_key.value);
  std::vector<std::uint8_t> buffer(2048);
  int size = -1;
  if (mbedtls_mpi_read_binary(&number, serial.data(), serial.size()) == 0 &&
      mbedtls_x509write_crt_set_serial(&writer, &number) == 0 &&
      mbedtls_x509write_crt_set_issuer_name(&writer, ca_name.c_str()) == 0 &&
      mbedtls_x509write_crt_set_subject_name(&writer, subject.c_str()) == 0 &&
      mbedtls_x509write_crt_set_validity(&writer, "20250101000000", "20551231235959") == 0 &&
      mbedtls_x509write_crt_set_basic_constraints(&writer, is_ca ? 1 : 0, is_ca ? 0 : -1) == 0) {
    size = mbedtls_x509write_crt_der(&writer, buffer.data(), buffer.size(), FillFrom, &random);
  }
  mbedtls_mpi_free(&number);
  mbedtls_x509write_crt_free(&writer);
  if (size <= 0)
    return Fail(ErrorCode::kInternal, "The attestation certificate could not be written.");
  // The library writes to the end of the buffer.
  return std::vector<std::uint8_t>(buffer.end() - size, buffer.end());
}

std::string Hex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t byte : bytes) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

int Nibble(unsigned char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The subject's only CN as a device id; false when there is none, more than one, or it is not 32
// lower-case hex digits.
bool DeviceIdOf(const mbedtls_x509_crt& certificate, Id& id) {
  int names = 0;
  const mbedtls_x509_buf* cn = nullptr;
  for (const mbedtls_x509_name* name = &certificate.subject; name != nullptr; name = name->next) {
    if (name->oid.len == 3 && std::memcmp(name->oid.p, MBEDTLS_OID_AT_CN, 3) == 0) {
      cn = &name->val;
      ++names;
    }
  }
  if (names != 1 || cn->len != 2 * id.size()) return false;
  for (std::size_t i = 0; i < id.size(); ++i) {
    const int high = Nibble(cn->p[2 * i]);
    const int low = Nibble(cn->p[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    id[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return true;
}

Result<Attestation> Read(ByteView der, Certificate& certificate) {
  if (der.empty() || der.size() > kMaxAttestation)
    return Bad("The key's attestation certificate has an impossible size.");
  mbedtls_x509_crt& crt = certificate.value;
  if (mbedtls_x509_crt_parse_der(&crt, der.data(), der.size()) != 0 || crt.next != nullptr ||
      crt.raw.len != der.size()) {
    return Bad("The key's attestation certificate cannot be read.");
  }
  if (mbedtls_pk_get_type(&crt.pk) != MBEDTLS_PK_ECKEY ||
      mbedtls_pk_ec(crt.pk)->grp.id != MBEDTLS_ECP_DP_SECP256R1) {
    return Bad("The key's attestation certificate has no P-256 key.");
  }
  Attestation out;
  std::size_t written = 0;
  const mbedtls_ecp_keypair* pair = mbedtls_pk_ec(crt.pk);
  if (mbedtls_ecp_point_write_binary(&pair->grp, &pair->Q, MBEDTLS_ECP_PF_UNCOMPRESSED, &written,
                                     out.pub.data(), out.pub.size()) != 0 ||
      written != out.pub.size() || !DeviceIdOf(crt, out.device_id)) {
    return Bad("The key's attestation certificate does not name a device.");
  }
  return out;
}

}  // namespace

Result<Attestation> ReadAttestation(ByteView der) {
  Certificate certificate;
  return Read(der, certificate);
}

Result<Attestation> VerifyAttestation(ByteView der, std::string_view ca_pem) {
  Certificate certificate;
  Certificate ca;
  Result<Attestation> out = Read(der, certificate);
  if (!out) return out;
  const std::string terminated(ca_pem);  // the parser wants the closing NUL counted
  if (mbedtls_x509_crt_parse(&ca.value, reinterpret_cast<const unsigned char*>(terminated.c_str()),
                             terminated.size() + 1) != 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "The vendor CA file cannot be read; it has to hold PEM certificates.");
  }
  std::uint32_t flags = 0;
  const int verified = mbedtls_x509_crt_verify(&certificate.value, &ca.value, nullptr, nullptr,
                                               &flags, nullptr, nullptr);
  constexpr std::uint32_t kDates = MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE;
  // A check that could not be made (out of memory) sets every flag.
  if ((verified != 0 && verified != MBEDTLS_ERR_X509_CERT_VERIFY_FAILED) || (flags & ~kDates) != 0)
    return Bad("The key's attestation certificate is not signed by a trusted vendor.");
  return out;
}

Result<std::string> MakeAttestationCa(const P256Private& ca, const std::string& ca_name,
                                      RandomSource& random) {
  P256Public pub{};
  if (!P256DerivePublic(ca, pub))
    return Fail(ErrorCode::kInternal, "The attestation CA's key is not a valid P-256 key.");
  const Hash serial = Sha256Of(pub);
  const auto der = Write(ca, ca_name, ca_name, pub, true, ByteView(serial).first(8), random);
  if (!der) return tl::unexpected(der.error());
  std::string pem(4096, '\0');
  std::size_t written = 0;
  if (mbedtls_pem_write_buffer(
          "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", der->data(), der->size(),
          reinterpret_cast<unsigned char*>(pem.data()), pem.size(), &written) != 0) {
    return Fail(ErrorCode::kInternal, "The attestation CA's certificate could not be written.");
  }
  pem.resize(written - 1);  // without the NUL
  return pem;
}

Result<std::vector<std::uint8_t>> MakeAttestation(const P256Private& ca, const std::string& ca_name,
                                                  const Id& device_id, const P256Public& device_pub,
                                                  RandomSource& random) {
  return Write(ca, ca_name, "CN=" + Hex(device_id), device_pub, false, ByteView(device_id).first(8),
               random);
}

}  // namespace keyferry::protocol
