#include "client-daemon/core/identity.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <span>

#include "client-daemon/core/files.h"
#include "client-daemon/core/json.h"
#include "protocol/secure/system_random.h"

namespace keyferry::daemon {
namespace {

constexpr std::size_t kMaxFile = 16 * 1024;

tl::unexpected<Error> Damaged(const std::string& path) {
  return Fail(ErrorCode::kProtocol,
              path + " is damaged. Remove its directory to register this workstation anew.");
}

Result<std::optional<boost::json::object>> ReadJson(const std::string& path) {
  const auto file = ReadBounded(path, kMaxFile);
  if (!file && file.error().code == ErrorCode::kNotFound) return std::nullopt;
  if (!file) return tl::unexpected(file.error());
  auto object = ParseObject({reinterpret_cast<const char*>(file->data()), file->size()});
  if (!object) return Damaged(path);
  return *std::move(object);
}

Result<void> WriteJson(const std::string& path, const boost::json::object& object) {
  const std::string text = boost::json::serialize(object) + "\n";
  return WriteDurably(path,
                      std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

std::optional<Registration> ParseRegistration(const boost::json::object& object) {
  Registration out;
  const auto workstation = GetId(object, "workstation_id");
  const auto token = GetText(object, "poll_token", 256);
  const auto url = GetText(object, "server_url", 1024);
  const auto login = GetArray<32>(object, "login_noise_pub");
  if (!workstation || !token || !url || (!login && !IsNull(object, "login_noise_pub"))) {
    return std::nullopt;
  }
  return Registration{*workstation, *token, login, *url};
}

std::optional<Approval> ParseApproval(const boost::json::object& object) {
  const auto workstation = GetId(object, "workstation_id");
  const auto url = GetText(object, "daemon_url", 1024);
  const auto root = GetArray<65>(object, "root_pub");
  const auto issuer = GetArray<161>(object, "issuer_cert");
  const auto deliver = GetArray<144>(object, "deliver_cert");
  const auto login = GetArray<144>(object, "login_cert");
  if (!workstation || !url || !root || !issuer || !deliver ||
      (!login && !IsNull(object, "login_cert"))) {
    return std::nullopt;
  }
  return Approval{*workstation, *url, *root, {*deliver, login, *issuer}};
}

}  // namespace

Result<std::unique_ptr<IdentityStore>> IdentityStore::Open(const std::string& directory) {
  if (auto made = MakePrivateDirectory(directory); !made) return tl::unexpected(made.error());
  std::unique_ptr<IdentityStore> store(new IdentityStore(directory));
  if (auto loaded = store->Load(); !loaded) return tl::unexpected(loaded.error());
  return store;
}

Result<void> IdentityStore::Load() {
  if (auto loaded = LoadHopKey(); !loaded) return loaded;
  const std::string login_path = directory_ + "/login.pub";
  if (const auto login = ReadBounded(login_path, 32)) {
    if (login->size() != 32) return Damaged(login_path);
    std::copy(login->begin(), login->end(), login_public_.emplace().begin());
  } else if (login.error().code != ErrorCode::kNotFound) {
    return tl::unexpected(login.error());
  }
  const std::string registration_path = directory_ + "/registration.json";
  const auto registration = ReadJson(registration_path);
  if (!registration) return tl::unexpected(registration.error());
  if (*registration) {
    registration_ = ParseRegistration(**registration);
    if (!registration_) return Damaged(registration_path);
  }
  const std::string approval_path = directory_ + "/approval.json";
  const auto approval = ReadJson(approval_path);
  if (!approval) return tl::unexpected(approval.error());
  if (*approval) {
    approval_ = ParseApproval(**approval);
    if (!approval_) return Damaged(approval_path);
  }
  return {};
}

Result<void> IdentityStore::LoadHopKey() {
  const std::string path = directory_ + "/hop.key";
  auto file = ReadBounded(path, 32);
  if (!file && file.error().code == ErrorCode::kNotFound) {
    if (!protocol::X25519Generate(OsRandom(), hop_private_, hop_public_)) {
      return Fail(ErrorCode::kInternal, "No hop key can be made.");
    }
    return WriteDurably(path, hop_private_.view());
  }
  if (!file) return tl::unexpected(file.error());
  if (file->size() != 32) return Damaged(path);
  std::copy(file->begin(), file->end(), hop_private_.bytes.begin());
  protocol::Wipe(*file);
  if (!protocol::X25519DerivePublic(hop_private_, hop_public_)) return Damaged(path);
  return {};
}

std::optional<NoisePublic> IdentityStore::LoginPublic() const {
  const std::scoped_lock lock(mutex_);
  return login_public_;
}

Result<bool> IdentityStore::SetLoginPublic(const NoisePublic& login) {
  const std::scoped_lock lock(mutex_);
  if (login_public_ == login) return false;
  if (auto written = WriteDurably(directory_ + "/login.pub", login); !written) {
    return tl::unexpected(written.error());
  }
  login_public_ = login;
  return true;
}

std::optional<Registration> IdentityStore::GetRegistration() const {
  const std::scoped_lock lock(mutex_);
  return registration_;
}

Result<void> IdentityStore::SetRegistration(const Registration& registration) {
  boost::json::object object;
  object["workstation_id"] = Hex(registration.workstation);
  object["poll_token"] = registration.poll_token;
  object["server_url"] = registration.server_url;
  object["login_noise_pub"] = nullptr;
  if (registration.login_noise_pub) {
    object["login_noise_pub"] = Base64(*registration.login_noise_pub);
  }
  const std::scoped_lock lock(mutex_);
  if (auto written = WriteJson(directory_ + "/registration.json", object); !written) {
    return written;
  }
  registration_ = registration;
  return {};
}

Result<void> IdentityStore::ForgetRegistration() {
  const std::scoped_lock lock(mutex_);
  if (auto gone = RemoveDurably(directory_ + "/registration.json"); !gone) return gone;
  registration_.reset();
  return {};
}

std::optional<Approval> IdentityStore::GetApproval() const {
  const std::scoped_lock lock(mutex_);
  return approval_;
}

Result<void> IdentityStore::SetApproval(const Approval& approval,
                                        const std::string& certificate_pem) {
  const std::scoped_lock lock(mutex_);
  // The certificate first: an approval.json says that all the rest is there.
  if (auto written =
          WriteDurably(TlsCertificateFile(),
                       std::span(reinterpret_cast<const std::uint8_t*>(certificate_pem.data()),
                                 certificate_pem.size()));
      !written) {
    return written;
  }
  return WriteApproval(approval);
}

Result<void> IdentityStore::SetCertificates(const Certificates& certificates) {
  const std::scoped_lock lock(mutex_);
  if (!approval_) return Fail(ErrorCode::kConflict, "This workstation is not approved yet.");
  Approval approval = *approval_;
  if (approval.certificates.deliver == certificates.deliver &&
      approval.certificates.login == certificates.login &&
      approval.certificates.issuer == certificates.issuer) {
    return {};
  }
  approval.certificates = certificates;
  return WriteApproval(approval);
}

Result<void> IdentityStore::SetLoginCertificate(const std::array<std::uint8_t, 144>& certificate) {
  const std::scoped_lock lock(mutex_);
  if (!approval_) return Fail(ErrorCode::kConflict, "This workstation is not approved yet.");
  Approval approval = *approval_;
  approval.certificates.login = certificate;
  return WriteApproval(approval);
}

Result<void> IdentityStore::WriteApproval(const Approval& approval) {
  boost::json::object object;
  object["workstation_id"] = Hex(approval.workstation);
  object["daemon_url"] = approval.daemon_url;
  object["root_pub"] = Base64(approval.root);
  object["issuer_cert"] = Base64(approval.certificates.issuer);
  object["deliver_cert"] = Base64(approval.certificates.deliver);
  object["login_cert"] = nullptr;
  if (approval.certificates.login) object["login_cert"] = Base64(*approval.certificates.login);
  if (auto written = WriteJson(directory_ + "/approval.json", object); !written) return written;
  approval_ = approval;
  return {};
}

}  // namespace keyferry::daemon
