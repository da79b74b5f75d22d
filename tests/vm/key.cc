// vm_key SOCKET IDENTITY: asks a key, as the login agent would, what it holds, and prints one line:
//   "empty" (not enrolled), "no password", or "releases SEQ" after the released password proved to
//   be exactly the one that job SEQ brought. IDENTITY is a file: hop key(32) ‖ HostCert(144).
// Exit 1, with the reason, for anything else: a key that releases neither the old nor the new.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

#include "device/hid_port.h"
#include "device/key_client.h"
#include "device/socket/socket_transport.h"
#include "tests/vm/power_cut.h"

using namespace keyferry;

namespace {

int Complain(const std::string& what, const Error& error) {
  std::cout << what << ": " << error.message << " (" << error.detail << ")" << std::endl;
  return 1;
}

int Ask(device::KeyClient& client, const device::HostIdentity& host) {
  const auto info = client.ReadInfo();
  if (!info) return Complain("INFO", info.error());
  if (info->state == protocol::KeyState::kProvisioned) {
    std::cout << "key: empty" << std::endl;
    return 0;
  }
  const auto status = client.Handshake(host, std::nullopt);
  if (!status) return Complain("handshake", status.error());
  const SecureBytes pin = SecureBytes::CopyOf(test::kPowerCutPin);
  if (info->state == protocol::KeyState::kEnrolledNoPin) {
    const auto set = client.PinSet(SecureBytes::CopyOf("ACTIVATE-ME"), pin);
    if (!set) return Complain("PIN_SET", set.error());
  }
  const auto verified = client.PinVerify(pin);
  if (!verified) return Complain("PIN_VERIFY", verified.error());
  if (!verified->accepted()) {
    std::cout << "the PIN was refused, " << int{verified->tries} << " tries left" << std::endl;
    return 1;
  }
  protocol::Id account{};
  const auto receipt = client.GetReceipt(0);
  if (!receipt) return Complain("GET_RECEIPT", receipt.error());
  account = receipt->account_id;
  const auto released = client.Release(account, 0, {});
  if (!released) {
    if (released.error().key_status == static_cast<int>(protocol::Status::kNoPassword)) {
      std::cout << "key: no password" << std::endl;
      return 0;
    }
    return Complain("RELEASE", released.error());
  }
  if (released->password.view() != test::PowerCutPassword(released->seq)) {
    std::cout << "the key releases a password that job " << released->seq << " never brought"
              << std::endl;
    return 1;
  }
  std::cout << "key: releases " << released->seq << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::ifstream file(argv[2], std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  device::HostIdentity host;
  if (bytes.size() != host.noise_key.bytes.size() + host.certificate.size()) return 2;
  const auto middle = bytes.begin() + static_cast<std::ptrdiff_t>(host.noise_key.bytes.size());
  std::copy(bytes.begin(), middle, host.noise_key.bytes.begin());
  std::copy(middle, bytes.end(), host.certificate.begin());
  auto transport = device::OpenSocketTransport(argv[1]);
  if (!transport) return Complain("open", transport.error());
  const auto port = device::HidPort::Start(*std::move(transport), {});
  auto link = port->OpenLink({});
  if (!link) return Complain("INIT", link.error());
  device::KeyClient client(*std::move(link));
  return Ask(client, host);
}
