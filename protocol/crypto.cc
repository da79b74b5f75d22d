#include "protocol/crypto.h"

#include <mbedtls/bignum.h>
#include <mbedtls/chachapoly.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/ecp.h>
#include <mbedtls/md.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>

#include <algorithm>
#include <new>

namespace keyferry::protocol {
namespace {

class Mpi {
 public:
  Mpi() { mbedtls_mpi_init(&value_); }
  ~Mpi() { mbedtls_mpi_free(&value_); }
  Mpi(const Mpi&) = delete;
  Mpi& operator=(const Mpi&) = delete;
  mbedtls_mpi* get() { return &value_; }
  const mbedtls_mpi* get() const { return &value_; }
  bool Read(ByteView bytes) {
    return mbedtls_mpi_read_binary(&value_, bytes.data(), bytes.size()) == 0;
  }
  bool Write(MutableBytes out) const {
    return mbedtls_mpi_write_binary(&value_, out.data(), out.size()) == 0;
  }

 private:
  mbedtls_mpi value_;
};

class Point {
 public:
  Point() { mbedtls_ecp_point_init(&value_); }
  ~Point() { mbedtls_ecp_point_free(&value_); }
  Point(const Point&) = delete;
  Point& operator=(const Point&) = delete;
  mbedtls_ecp_point* get() { return &value_; }

 private:
  mbedtls_ecp_point value_;
};

// Curve parameters, loaded once. The first multiplication of the generator fills the group's table,
// after which the library only reads the group, so it may be shared between threads.
struct P256Group {
  mbedtls_ecp_group group;
  Mpi half_order;
  bool ready = false;

  P256Group() {
    mbedtls_ecp_group_init(&group);
    Point point;
    Mpi one;
    ready = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1) == 0 &&
            mbedtls_mpi_lset(one.get(), 3) == 0 &&
            mbedtls_ecp_mul(&group, point.get(), one.get(), &group.G, nullptr, nullptr) == 0 &&
            mbedtls_mpi_copy(half_order.get(), &group.N) == 0 &&
            mbedtls_mpi_shift_r(half_order.get(), 1) == 0;
  }
};

struct X25519Group {
  mbedtls_ecp_group group;
  bool ready = false;

  X25519Group() {
    mbedtls_ecp_group_init(&group);
    ready = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_CURVE25519) == 0;
  }
};

P256Group& P256() {
  static P256Group group;
  return group;
}

X25519Group& Curve25519() {
  static X25519Group group;
  return group;
}

bool ReadPoint(const P256Public& pub, Point& point) {
  P256Group& curve = P256();
  return curve.ready && pub[0] == 0x04 &&
         mbedtls_ecp_point_read_binary(&curve.group, point.get(), pub.data(), pub.size()) == 0 &&
         mbedtls_ecp_check_pubkey(&curve.group, point.get()) == 0;
}

bool IsScalar(const Mpi& value) {
  return mbedtls_mpi_cmp_int(value.get(), 0) > 0 &&
         mbedtls_mpi_cmp_mpi(value.get(), &P256().group.N) < 0;
}

mbedtls_sha256_context* Context(unsigned char* state) {
  return std::launder(reinterpret_cast<mbedtls_sha256_context*>(state));
}

}  // namespace

bool ConstantTimeEquals(ByteView a, ByteView b) {
  if (a.size() != b.size()) return false;
  volatile std::uint8_t difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference = static_cast<std::uint8_t>(difference | (a[i] ^ b[i]));
  return difference == 0;
}

bool IsAllZero(ByteView data) {
  volatile std::uint8_t sum = 0;
  for (const std::uint8_t byte : data) sum = static_cast<std::uint8_t>(sum | byte);
  return sum == 0;
}

void Wipe(MutableBytes data) {
  if (!data.empty()) mbedtls_platform_zeroize(data.data(), data.size());
}

Sha256::Sha256() {
  static_assert(sizeof(mbedtls_sha256_context) <= sizeof state_);
  auto* context = new (state_) mbedtls_sha256_context;
  mbedtls_sha256_init(context);
  mbedtls_sha256_starts_ret(context, 0);
}

Sha256::Sha256(const Sha256& other) {
  auto* context = new (state_) mbedtls_sha256_context;
  mbedtls_sha256_init(context);
  mbedtls_sha256_clone(context, Context(const_cast<unsigned char*>(other.state_)));
}

Sha256::~Sha256() { mbedtls_sha256_free(Context(state_)); }

Sha256& Sha256::Update(ByteView data) {
  mbedtls_sha256_update_ret(Context(state_), data.data(), data.size());
  return *this;
}

Hash Sha256::Final() {
  Hash out{};
  mbedtls_sha256_finish_ret(Context(state_), out.data());
  return out;
}

Hmac::Hmac(ByteView key) {
  Secret<64> block;
  if (key.size() > block.bytes.size()) {
    const Secret<kHashSize> hashed(Sha256Of(key));
    std::memcpy(block.bytes.data(), hashed.bytes.data(), hashed.bytes.size());
  } else if (!key.empty()) {
    std::memcpy(block.bytes.data(), key.data(), key.size());
  }
  for (std::uint8_t& byte : block.bytes) byte ^= 0x36;
  inner_.Update(block.view());
  for (std::uint8_t& byte : block.bytes) byte ^= 0x36 ^ 0x5C;
  outer_.Update(block.view());
}

Hmac& Hmac::Update(ByteView data) {
  inner_.Update(data);
  return *this;
}

void Hmac::Final(Bytes<kHashSize>& out) {
  out = inner_.Final();
  out = outer_.Update(out).Final();
}

bool HmacSha1(ByteView key, ByteView data, Bytes<20>& out) {
  constexpr std::size_t kBlock = 64;
  if (key.size() > kBlock) return false;
  return mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA1), key.data(), key.size(),
                         data.data(), data.size(), out.data()) == 0;
}

Secret<kHashSize> HkdfExtract(ByteView salt, ByteView ikm) {
  Secret<kHashSize> prk;
  Hmac(salt).Update(ikm).Final(prk.bytes);
  return prk;
}

bool HkdfExpand(ByteView prk, ByteView info, MutableBytes out) {
  if (out.size() > 255 * kHashSize) return false;
  Secret<kHashSize> block;
  std::uint8_t number = 0;
  for (std::size_t done = 0; done < out.size(); done += kHashSize) {
    Hmac mac(prk);
    if (number != 0) mac.Update(block.view());
    ++number;
    mac.Update(info).Update({&number, 1}).Final(block.bytes);
    const std::size_t size = std::min(kHashSize, out.size() - done);
    std::memcpy(out.data() + done, block.bytes.data(), size);
  }
  return true;
}

bool X25519Generate(RandomSource& random, X25519Private& key, X25519Public& pub) {
  if (random.Fill(key.bytes) && X25519DerivePublic(key, pub)) return true;
  Wipe(key.bytes);
  return false;
}

namespace {

bool MultiplyMontgomery(const X25519Private& key, const Bytes<32>& u, MutableBytes out) {
  X25519Group& curve = Curve25519();
  X25519Private clamped = key;
  clamped.bytes[0] = static_cast<std::uint8_t>(clamped.bytes[0] & 248);
  clamped.bytes[31] = static_cast<std::uint8_t>((clamped.bytes[31] & 127) | 64);
  Mpi scalar;
  Point in;
  Point product;
  std::size_t written = 0;
  return curve.ready && mbedtls_mpi_read_binary_le(scalar.get(), clamped.bytes.data(), 32) == 0 &&
         mbedtls_ecp_point_read_binary(&curve.group, in.get(), u.data(), u.size()) == 0 &&
         mbedtls_ecp_mul(&curve.group, product.get(), scalar.get(), in.get(), nullptr, nullptr) ==
             0 &&
         mbedtls_ecp_point_write_binary(&curve.group, product.get(), MBEDTLS_ECP_PF_UNCOMPRESSED,
                                        &written, out.data(), out.size()) == 0 &&
         written == 32;
}

}  // namespace

bool X25519DerivePublic(const X25519Private& key, X25519Public& pub) {
  Bytes<32> base{};
  base[0] = 9;
  pub.fill(0);
  return MultiplyMontgomery(key, base, pub);
}

bool X25519Agree(const X25519Private& key, const X25519Public& peer, Secret<kX25519Size>& shared) {
  if (!MultiplyMontgomery(key, peer, shared.bytes) || IsAllZero(shared.bytes)) {
    Wipe(shared.bytes);
    return false;
  }
  return true;
}

bool P256Generate(RandomSource& random, P256Private& key, P256Public& pub) {
  for (int i = 0; i < 16; ++i) {  // a random 256-bit number is out of range once in 2^32
    if (!random.Fill(key.bytes)) break;
    if (P256DerivePublic(key, pub)) return true;
  }
  Wipe(key.bytes);
  return false;
}

bool P256DerivePublic(const P256Private& key, P256Public& pub) {
  P256Group& curve = P256();
  Mpi scalar;
  Point point;
  std::size_t written = 0;
  pub.fill(0);
  return curve.ready && scalar.Read(key.bytes) && IsScalar(scalar) &&
         mbedtls_ecp_mul(&curve.group, point.get(), scalar.get(), &curve.group.G, nullptr,
                         nullptr) == 0 &&
         mbedtls_ecp_point_write_binary(&curve.group, point.get(), MBEDTLS_ECP_PF_UNCOMPRESSED,
                                        &written, pub.data(), pub.size()) == 0 &&
         written == pub.size();
}

bool P256IsOnCurve(const P256Public& pub) {
  Point point;
  return ReadPoint(pub, point);
}

bool P256SignHash(const P256Private& key, const Hash& hash, Signature& signature) {
  P256Group& curve = P256();
  signature.fill(0);
  Mpi scalar;
  Mpi r;
  Mpi s;
  if (!curve.ready || !scalar.Read(key.bytes) || !IsScalar(scalar)) return false;
  if (mbedtls_ecdsa_sign_det_ext(&curve.group, r.get(), s.get(), scalar.get(), hash.data(),
                                 hash.size(), MBEDTLS_MD_SHA256, nullptr, nullptr) != 0) {
    return false;
  }
  if (mbedtls_mpi_cmp_mpi(s.get(), curve.half_order.get()) > 0 &&
      mbedtls_mpi_sub_mpi(s.get(), &curve.group.N, s.get()) != 0) {
    return false;
  }
  const MutableBytes out(signature);
  return r.Write(out.first(32)) && s.Write(out.last(32));
}

bool P256VerifyHash(const P256Public& pub, const Hash& hash, const Signature& signature) {
  P256Group& curve = P256();
  Point point;
  Mpi r;
  Mpi s;
  const ByteView raw(signature);
  return ReadPoint(pub, point) && r.Read(raw.first(32)) && s.Read(raw.last(32)) && IsScalar(r) &&
         IsScalar(s) && mbedtls_mpi_cmp_mpi(s.get(), curve.half_order.get()) <= 0 &&
         mbedtls_ecdsa_verify(&curve.group, hash.data(), hash.size(), point.get(), r.get(),
                              s.get()) == 0;
}

namespace {
mbedtls_ecp_group* GroupIn(unsigned char* state) {
  return std::launder(reinterpret_cast<mbedtls_ecp_group*>(state));
}
}  // namespace

P256Verifier::~P256Verifier() { Clear(); }

void P256Verifier::Clear() {
  if (!table_) return;
  mbedtls_ecp_group* group = GroupIn(group_);
  mbedtls_ecp_point_free(&group->G);  // ours; the library takes it for a constant
  mbedtls_ecp_point_init(&group->G);
  mbedtls_ecp_group_free(group);
  table_ = false;
}

bool P256Verifier::Prepare(const P256Public& pub) {
  static_assert(sizeof(mbedtls_ecp_group) <= sizeof group_);
  if (prepared_for(pub)) return true;
  Clear();
  pub_ = pub;
  Point point;
  Point multiple;
  Mpi scalar;
  if (!ReadPoint(pub, point)) return false;
  auto* group = new (group_) mbedtls_ecp_group;
  mbedtls_ecp_group_init(group);
  if (mbedtls_ecp_group_load(group, MBEDTLS_ECP_DP_SECP256R1) != 0) {
    mbedtls_ecp_group_free(group);
    return false;
  }
  mbedtls_ecp_point_init(&group->G);  // the curve's own lies in constants of the library
  table_ = true;
  // As for P256Group: the first multiplication makes the table.
  if (mbedtls_ecp_copy(&group->G, point.get()) != 0 || mbedtls_mpi_lset(scalar.get(), 3) != 0 ||
      mbedtls_ecp_mul(group, multiple.get(), scalar.get(), &group->G, nullptr, nullptr) != 0) {
    Clear();
    return false;
  }
  return true;
}

// What the fast way does not accept is for the library to judge.
bool P256Verifier::Verify(const Hash& hash, const Signature& signature) const {
  return (table_ && VerifyFast(hash, signature)) || P256VerifyHash(pub_, hash, signature);
}

// SEC 1 section 4.1.4, with a table for each of the two multiplications.
bool P256Verifier::VerifyFast(const Hash& hash, const Signature& signature) const {
  P256Group& curve = P256();
  mbedtls_ecp_group* own = GroupIn(group_);
  const mbedtls_mpi* order = &curve.group.N;
  const ByteView raw(signature);
  Mpi r, s, e, w, u1, u2, one;
  Point first, second, sum;
  if (!curve.ready || !r.Read(raw.first(32)) || !s.Read(raw.last(32)) || !IsScalar(r) ||
      !IsScalar(s) || mbedtls_mpi_cmp_mpi(s.get(), curve.half_order.get()) > 0) {
    return false;
  }
  if (!e.Read(hash) || mbedtls_mpi_inv_mod(w.get(), s.get(), order) != 0 ||
      mbedtls_mpi_mul_mpi(u1.get(), e.get(), w.get()) != 0 ||
      mbedtls_mpi_mod_mpi(u1.get(), u1.get(), order) != 0 ||
      mbedtls_mpi_mul_mpi(u2.get(), r.get(), w.get()) != 0 ||
      mbedtls_mpi_mod_mpi(u2.get(), u2.get(), order) != 0 || !IsScalar(u1) || !IsScalar(u2)) {
    return false;
  }
  if (mbedtls_ecp_mul(&curve.group, first.get(), u1.get(), &curve.group.G, nullptr, nullptr) != 0 ||
      mbedtls_ecp_mul(own, second.get(), u2.get(), &own->G, nullptr, nullptr) != 0 ||
      mbedtls_mpi_lset(one.get(), 1) != 0 ||
      mbedtls_ecp_muladd(&curve.group, sum.get(), one.get(), first.get(), one.get(),
                         second.get()) != 0 ||
      mbedtls_ecp_is_zero(sum.get()) != 0) {
    return false;
  }
  // x of the sum, modulo the order, is r.
  return mbedtls_mpi_mod_mpi(e.get(), &sum.get()->X, order) == 0 &&
         mbedtls_mpi_cmp_mpi(e.get(), r.get()) == 0;
}

Kid KidOf(const P256Public& pub) {
  const Hash hash = Sha256Of(pub);
  Kid kid{};
  std::memcpy(kid.data(), hash.data(), kid.size());
  return kid;
}

bool AeadSeal(const Secret<32>& key, const Bytes<12>& nonce, ByteView ad, ByteView plaintext,
              MutableBytes out) {
  if (out.size() != plaintext.size() + kTagSize) return false;
  mbedtls_chachapoly_context context;
  mbedtls_chachapoly_init(&context);
  const bool ok = mbedtls_chachapoly_setkey(&context, key.bytes.data()) == 0 &&
                  mbedtls_chachapoly_encrypt_and_tag(
                      &context, plaintext.size(), nonce.data(), ad.data(), ad.size(),
                      plaintext.data(), out.data(), out.data() + plaintext.size()) == 0;
  mbedtls_chachapoly_free(&context);
  if (!ok) Wipe(out);
  return ok;
}

bool AeadOpen(const Secret<32>& key, const Bytes<12>& nonce, ByteView ad, ByteView sealed,
              MutableBytes out) {
  if (sealed.size() < kTagSize || out.size() != sealed.size() - kTagSize) return false;
  mbedtls_chachapoly_context context;
  mbedtls_chachapoly_init(&context);
  const bool ok =
      mbedtls_chachapoly_setkey(&context, key.bytes.data()) == 0 &&
      mbedtls_chachapoly_auth_decrypt(&context, out.size(), nonce.data(), ad.data(), ad.size(),
                                      sealed.data() + out.size(), sealed.data(), out.data()) == 0;
  mbedtls_chachapoly_free(&context);
  if (!ok) Wipe(out);
  return ok;
}

}  // namespace keyferry::protocol
