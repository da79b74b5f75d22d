#include "firmware-sim/core/factory.h"

#include "firmware-sim/core/flash_words.h"

namespace keyferry::sim {
namespace {

// magic(4) certificate_size(4) device_id(16) attestation_priv(32) attestation_pub(65)
// certificate(900) zeros to 1024, then digest(32).
constexpr protocol::Bytes<4> kMagic{'K', 'F', 'F', '1'};
constexpr std::size_t kDigested = 1024;
constexpr std::size_t kSize = kDigested + 32;
static_assert(kSize % kFlashWord == 0);
constexpr std::uint32_t kBase = kFactoryPage * kPageSize;

}  // namespace

bool ReadFactory(const Flash& flash, Factory* out) {
  protocol::Secret<kSize> page;
  flash.Read(kBase, page.span());
  protocol::Reader reader(page.view());
  const bool magic = reader.Array<4>() == kMagic;
  out->certificate_size = reader.U32();
  out->device_id = reader.Array<protocol::kIdSize>();
  out->attestation_priv = protocol::P256Private(reader.Array<protocol::kP256PrivateSize>());
  out->attestation_pub = reader.Array<protocol::kP256PublicSize>();
  out->certificate_data = reader.Array<protocol::kMaxAttestation>();
  const protocol::Hash digest = protocol::Sha256Of(page.view().first(kDigested));
  return magic && out->certificate_size <= protocol::kMaxAttestation &&
         protocol::ConstantTimeEquals(digest, page.view().subspan(kDigested));
}

bool WriteFactory(Flash& flash, const Factory& factory) {
  protocol::Secret<kSize> page;
  protocol::Writer(page.span())
      .Put(kMagic)
      .U32(static_cast<std::uint32_t>(factory.certificate_size))
      .Put(factory.device_id)
      .Put(factory.attestation_priv.view())
      .Put(factory.attestation_pub)
      .Put(factory.certificate_data);
  const protocol::Hash digest = protocol::Sha256Of(page.view().first(kDigested));
  protocol::Writer(page.span().subspan(kDigested)).Put(digest);
  if (!PageIsBlank(flash, kFactoryPage) && flash.ErasePage(kFactoryPage) != FlashResult::kOk)
    return false;
  for (std::uint32_t at = 0; at < kSize; at += static_cast<std::uint32_t>(kFlashWord)) {
    if (ProgramChecked(flash, kBase + at, page.view().subspan(at, kFlashWord)) != FlashResult::kOk)
      return false;
  }
  return true;
}

}  // namespace keyferry::sim
