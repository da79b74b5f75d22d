#include "firmware-sim/endpoint/simulator_ca.h"

#include <algorithm>

#include "protocol/attestation.h"

namespace keyferry::sim {
namespace {

constexpr char kCaName[] =
    "CN=Keyferry SIMULATOR attestation CA,O=Keyferry SIMULATOR - not for production";

// Public on purpose.
protocol::P256Private CaKey() {
  return protocol::P256Private(
      protocol::Sha256Of(protocol::Label("keyferry simulator attestation CA")));
}

}  // namespace

Result<std::string> SimulatorCaPem() {
  // The certificate is signed deterministically, so every simulator prints the same one; the random
  // source only blinds the computation.
  class Zeros final : public protocol::RandomSource {
   public:
    bool Fill(protocol::MutableBytes out) override {
      std::fill(out.begin(), out.end(), std::uint8_t{0x5A});
      return true;
    }
  } zeros;
  return protocol::MakeAttestationCa(CaKey(), kCaName, zeros);
}

Result<Factory> ManufactureKey(protocol::RandomSource& random) {
  Factory factory;
  if (!random.Fill(factory.device_id) ||
      !protocol::P256Generate(random, factory.attestation_priv, factory.attestation_pub)) {
    return Fail(ErrorCode::kInternal, "The simulated key could not be made: no random numbers.");
  }
  const auto certificate = protocol::MakeAttestation(CaKey(), kCaName, factory.device_id,
                                                     factory.attestation_pub, random);
  if (!certificate) return tl::unexpected(certificate.error());
  if (certificate->size() > factory.certificate_data.size()) {
    return Fail(ErrorCode::kInternal, "The attestation certificate is longer than a key may hold.");
  }
  std::copy(certificate->begin(), certificate->end(), factory.certificate_data.begin());
  factory.certificate_size = certificate->size();
  return factory;
}

}  // namespace keyferry::sim
