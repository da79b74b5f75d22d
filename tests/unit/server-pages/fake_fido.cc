#include "fake_services.h"

namespace keyferry::server::fake {

Result<FidoCeremony> FakeFidoKeys::BeginNew(std::string_view, const Session& session) {
  if (error) return tl::unexpected(*error);
  FidoCeremony ceremony{"Y2hhbGxlbmdl", "corp.example", "preferred", 300'000, {}, "dXNlcg", {}, {}};
  ceremony.keys = {{"aWQ", {"usb", "nfc"}}};
  ceremony.login = session.actor.login;
  ceremony.display_name = session.actor.display_name;
  return ceremony;
}

Result<FidoCeremony> FakeFidoKeys::BeginProof(std::string_view, const Session&) {
  if (error) return tl::unexpected(*error);
  return FidoCeremony{
      "Y2hhbGxlbmdl", "corp.example", "preferred", 300'000, {{"aWQ", {"usb"}}}, {}, {}, {}};
}

Result<FidoKeyAccepted> FakeFidoKeys::Add(std::string_view token, const Session& session,
                                          const FidoKeyOffer& offer) {
  std::string transports;
  for (const std::string& one : offer.transports) transports += " " + one;
  calls.push_back("add " + offer.name + transports);
  if (error) return tl::unexpected(*error);
  FidoKeyAccepted out;
  out.key = {MakeId<FidoKeyId>(0xF7), offer.name, 1'700'000'000'000, 0, 0};
  if (session.stage == SessionStage::kComplete) return out;
  auto renewed = Prove(token, session, kAnswer);
  if (!renewed) return tl::unexpected(renewed.error());
  out.signed_in = *std::move(renewed);
  out.recovery.push_back(SecureBytes::CopyOf(std::string_view(FakeSecondFactor::kRecovery)));
  return out;
}

Result<SignedIn> FakeFidoKeys::Prove(std::string_view token, const Session& session,
                                     std::string_view answer) {
  calls.push_back("prove");
  if (answer != kAnswer) {
    return Fail(ErrorCode::kUnauthenticated, "The security key's answer was not accepted.");
  }
  return factors.Prove(token, session,
                       SecureBytes::CopyOf(std::string_view(FakeSecondFactor::kCode)));
}

Result<void> FakeFidoKeys::Rename(const Actor& actor, const FidoKeyId& id, std::string_view name) {
  if (id != keys[0].id) return Fail(ErrorCode::kNotFound, "You have no such security key.");
  calls.push_back("rename " + std::string(name) + " by " + actor.login);
  return {};
}

Result<void> FakeFidoKeys::Remove(const Actor& actor, const FidoKeyId& id) {
  if (id != keys[0].id) return Fail(ErrorCode::kNotFound, "You have no such security key.");
  calls.push_back("remove by " + actor.login);
  return {};
}

}  // namespace keyferry::server::fake
