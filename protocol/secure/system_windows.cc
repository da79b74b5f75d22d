// What locked_memory.h, secure_bytes.h and system_random.h ask of Windows.
#include <windows.h>
// After windows.h
#include <bcrypt.h>
#include <sddl.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <string>

#include "protocol/secure/locked_memory.h"
#include "protocol/secure/secure_bytes.h"
#include "protocol/secure/system_random.h"
#include "protocol/secure/system_windows.h"

namespace keyferry {
namespace {

// header (read only) | guard | data pages, the block at their very end | guard
// so that a write past the end faults at once; one before the start is seen by the canary.
constexpr std::size_t kPage = 4096;
constexpr std::size_t kCanarySize = 16;
// How much the working set grows when it has no room for more locked pages.
constexpr std::size_t kGrowth = 1 << 20;
using Canary = std::array<std::uint8_t, kCanarySize>;

struct Header {
  std::size_t data_size;  // of the data pages, bytes
};

bool FillRandom(void* data, std::size_t size) {
  auto* at = static_cast<std::uint8_t*>(data);
  while (size > 0) {
    const auto part = static_cast<ULONG>(std::min<std::size_t>(size, 1 << 20));
    if (BCryptGenRandom(nullptr, at, part, BCRYPT_USE_SYSTEM_PREFERRED_RNG) != 0) return false;
    at += part;
    size -= part;
  }
  return true;
}

const Canary& TheCanary() {
  static const Canary canary = [] {
    Canary out{};
    if (!FillRandom(out.data(), out.size())) std::abort();  // no entropy: nothing secret here
    return out;
  }();
  return canary;
}

bool Lock(void* data, std::size_t size) {
  if (VirtualLock(data, size)) return true;
  SIZE_T least = 0;
  SIZE_T most = 0;
  const HANDLE self = GetCurrentProcess();
  return GetProcessWorkingSetSize(self, &least, &most) &&
         SetProcessWorkingSetSize(self, least + kGrowth + size, most + kGrowth + size) &&
         VirtualLock(data, size);
}

bool Protect(void* page, std::size_t size, DWORD how) {
  DWORD before = 0;
  return VirtualProtect(page, size, how, &before) != 0;
}

}  // namespace

std::wstring OwnSid() {
  HANDLE token = nullptr;
  if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) return {};
  alignas(TOKEN_USER) std::array<std::uint8_t, sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE> user{};
  DWORD size = 0;
  LPWSTR text = nullptr;
  std::wstring out;
  if (GetTokenInformation(token, TokenUser, user.data(), static_cast<DWORD>(user.size()), &size) &&
      ConvertSidToStringSidW(reinterpret_cast<TOKEN_USER*>(user.data())->User.Sid, &text)) {
    out = text;
    LocalFree(text);
  }
  CloseHandle(token);
  return out;
}

void* AllocateLocked(std::size_t size) {
  if (size > std::numeric_limits<std::size_t>::max() / 2) throw std::bad_alloc();
  const std::size_t data_size = (size + kCanarySize + kPage - 1) / kPage * kPage;
  auto* base = static_cast<std::uint8_t*>(
      VirtualAlloc(nullptr, data_size + 3 * kPage, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
  if (base == nullptr) throw std::bad_alloc();
  std::uint8_t* pages = base + 2 * kPage;
  const Header header{data_size};
  std::memcpy(base, &header, sizeof header);
  if (!Lock(pages, data_size) || !Protect(base, kPage, PAGE_READONLY) ||
      !Protect(base + kPage, kPage, PAGE_NOACCESS) ||
      !Protect(pages + data_size, kPage, PAGE_NOACCESS)) {
    VirtualFree(base, 0, MEM_RELEASE);
    throw std::bad_alloc();
  }
  std::uint8_t* data = pages + data_size - size;
  std::memcpy(data - kCanarySize, TheCanary().data(), kCanarySize);
  return data;
}

void FreeLocked(void* data) {
  MEMORY_BASIC_INFORMATION info{};
  if (VirtualQuery(data, &info, sizeof info) == 0) std::abort();
  auto* base = static_cast<std::uint8_t*>(info.AllocationBase);
  Header header{};
  std::memcpy(&header, base, sizeof header);
  if (std::memcmp(static_cast<std::uint8_t*>(data) - kCanarySize, TheCanary().data(),
                  kCanarySize) != 0) {
    std::abort();
  }
  SecureZeroMemory(base + 2 * kPage, header.data_size);
  VirtualUnlock(base + 2 * kPage, header.data_size);
  VirtualFree(base, 0, MEM_RELEASE);
}

void Wipe(void* data, std::size_t size) {
  if (size != 0) SecureZeroMemory(data, size);
}

// No error report with a dump, no other program of the same user that reads our memory (the system
// itself and administrators who take the debug privilege still can), no DLL from the folder the
// user happens to stand in. Files are closed where they are made (client-daemon/core/files.h).
void HardenProcess() {
  SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX);
  SetDllDirectoryW(L"");
  // SYSTEM may do everything; our user may see that we run and end us, and as the owner (OW) he may
  // not change this list, which owners else may.
  const std::wstring list = L"D:P(A;;0x1FFFFF;;;SY)(A;;RC;;;OW)(A;;0x101001;;;" + OwnSid() + L")";
  PSECURITY_DESCRIPTOR descriptor = nullptr;
  if (ConvertStringSecurityDescriptorToSecurityDescriptorW(list.c_str(), SDDL_REVISION_1,
                                                           &descriptor, nullptr)) {
    SetKernelObjectSecurity(GetCurrentProcess(), DACL_SECURITY_INFORMATION, descriptor);
    LocalFree(descriptor);
  }
}

bool SystemRandom::Fill(protocol::MutableBytes out) { return FillRandom(out.data(), out.size()); }

}  // namespace keyferry
