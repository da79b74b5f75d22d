#include "firmware-sim/core/state_codec.h"

namespace keyferry::sim {
namespace {

using protocol::ByteView;
using protocol::MutableBytes;

constexpr std::uint8_t kFormat = 1;
constexpr std::size_t kSaltSize = 16;
constexpr std::size_t kPrivateSize = 4 * 32;
constexpr std::size_t kSealedSize = kPrivateSize + protocol::kTagSize;

// One list of fields serves both directions.
class Save {
 public:
  explicit Save(MutableBytes out) : writer_(out) {}
  void Field(bool value) { writer_.U8(value ? 1 : 0); }
  void Field(std::uint8_t value) { writer_.U8(value); }
  void Field(std::uint32_t value) { writer_.U32(value); }
  void Field(std::uint64_t value) { writer_.U64(value); }
  void Field(Phase value) { writer_.U8(static_cast<std::uint8_t>(value)); }
  void Field(const protocol::Policy& value) { writer_.Put(value.Encode()); }
  template <std::size_t N>
  void Field(const protocol::Bytes<N>& value) {
    writer_.Put(value);
  }
  void Field(const protocol::Secret<32>& value) { writer_.Put(value.view()); }
  bool ok() const { return writer_.ok(); }
  std::size_t size() const { return writer_.size(); }

 private:
  protocol::Writer writer_;
};

class Load {
 public:
  explicit Load(ByteView in) : reader_(in) {}
  void Field(bool& value) {
    const std::uint8_t byte = reader_.U8();
    value = byte == 1;
    valid_ = valid_ && byte <= 1;
  }
  void Field(std::uint8_t& value) { value = reader_.U8(); }
  void Field(std::uint32_t& value) { value = reader_.U32(); }
  void Field(std::uint64_t& value) { value = reader_.U64(); }
  void Field(Phase& value) {
    const std::uint8_t byte = reader_.U8();
    value = static_cast<Phase>(byte);
    valid_ = valid_ && byte <= static_cast<std::uint8_t>(Phase::kWiped);
  }
  void Field(protocol::Policy& value) {
    const auto policy = protocol::Policy::Parse(reader_.Take(8));
    valid_ = valid_ && policy.has_value();
    if (policy) value = *policy;
  }
  template <std::size_t N>
  void Field(protocol::Bytes<N>& value) {
    value = reader_.Array<N>();
  }
  void Field(protocol::Secret<32>& value) {
    const ByteView view = reader_.Take(32);
    if (view.size() == 32) std::memcpy(value.bytes.data(), view.data(), 32);
  }
  bool ok() const { return valid_ && reader_.ok(); }
  std::size_t remaining() const { return reader_.remaining(); }

 private:
  protocol::Reader reader_;
  bool valid_ = true;
};

template <typename Archive, typename State>
void PublicFields(Archive& a, State& s) {
  a.Field(s.phase);
  a.Field(s.boot);
  a.Field(s.account_id);
  a.Field(s.root_pub);
  a.Field(s.issuer_pub);
  a.Field(s.issuer_epoch);
  a.Field(s.has_revoked);
  a.Field(s.revoked_kid);
  a.Field(s.min_host_epoch);
  a.Field(s.policy);
  a.Field(s.epoch);
  a.Field(s.last_seq);
  a.Field(s.receipt_ctr);
  a.Field(s.has_job);
  a.Field(s.job_hash);
  for (auto& receipt : s.journal) a.Field(receipt);
  a.Field(s.era);
  a.Field(s.era_pin_left);
  a.Field(s.era_code_left);
  a.Field(s.pin_set);
  a.Field(s.activation_hash);
  a.Field(s.vault.pub);
  a.Field(s.vault.salt);
  a.Field(s.vault.wrapped);
  for (auto& slot : s.slots) {
    a.Field(slot.filled);
    a.Field(slot.seq);
    a.Field(slot.job_id);
    a.Field(slot.sealed);
  }
  a.Field(s.sig_pub);
  a.Field(s.noise.pub);
  a.Field(s.recipient.pub);
  a.Field(s.previous_recipient.pub);
}

template <typename Archive, typename State>
void PrivateFields(Archive& a, State& s) {
  a.Field(s.sig_priv);
  a.Field(s.noise.priv);
  a.Field(s.recipient.priv);
  a.Field(s.previous_recipient.priv);
}

// The key is new with every salt, so a fixed nonce is never used twice.
constexpr protocol::Bytes<12> kSaveNonce{};

}  // namespace

protocol::Secret<32> DeviceKey(const DeviceSecret& secret, ByteView salt, ByteView label,
                               ByteView more) {
  protocol::Secret<32 + 64> ikm;
  protocol::Writer writer(ikm.span());
  writer.Put(secret.view()).Put(more);
  const protocol::Secret<32> prk = protocol::HkdfExtract(salt, ikm.view().first(writer.size()));
  protocol::Secret<32> key;
  protocol::HkdfExpand(prk.view(), label, key.span());
  return key;
}

std::size_t EncodeState(const Persistent& state, const DeviceSecret& secret,
                        protocol::RandomSource& random, MutableBytes out) {
  Save save(out);
  save.Field(kFormat);
  PublicFields(save, state);
  if (state.phase != Phase::kEnrolled) return save.ok() ? save.size() : 0;
  protocol::Bytes<kSaltSize> salt;
  if (!random.Fill(salt)) return 0;
  save.Field(salt);
  if (!save.ok() || out.size() - save.size() < kSealedSize) return 0;
  protocol::Secret<kPrivateSize> plain;
  Save inner(plain.span());
  PrivateFields(inner, state);
  const protocol::Secret<32> key = DeviceKey(secret, salt, protocol::Label("keyferry/state/v1"));
  return protocol::AeadSeal(key, kSaveNonce, out.first(save.size()), plain.view(),
                            out.subspan(save.size(), kSealedSize))
             ? save.size() + kSealedSize
             : 0;
}

bool DecodeState(ByteView data, const DeviceSecret* secret, Persistent* out) {
  Load load(data);
  std::uint8_t format = 0;
  load.Field(format);
  PublicFields(load, *out);
  if (!load.ok() || format != kFormat) return false;
  if (out->phase != Phase::kEnrolled) return load.remaining() == 0;
  protocol::Bytes<kSaltSize> salt{};
  load.Field(salt);
  if (!load.ok() || secret == nullptr || load.remaining() != kSealedSize) return false;
  const std::size_t clear = data.size() - kSealedSize;
  protocol::Secret<kPrivateSize> plain;
  const protocol::Secret<32> key = DeviceKey(*secret, salt, protocol::Label("keyferry/state/v1"));
  if (!protocol::AeadOpen(key, kSaveNonce, data.first(clear), data.subspan(clear), plain.span()))
    return false;
  Load inner(plain.view());
  PrivateFields(inner, *out);
  return true;
}

}  // namespace keyferry::sim
