#include <windows.h>

#include <catch2/catch.hpp>

#include "protocol/secure/locked_memory.h"
#include "protocol/secure/secure_bytes.h"

using keyferry::AllocateLocked;
using keyferry::FreeLocked;

namespace {

DWORD ProtectionOf(const void* address) {
  MEMORY_BASIC_INFORMATION info{};
  REQUIRE(VirtualQuery(address, &info, sizeof info) != 0);
  return info.State == MEM_COMMIT ? info.Protect : 0;
}

}  // namespace

TEST_CASE("a locked block ends at a guard page, begins behind one, and is gone when freed") {
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{16}, std::size_t{4080}, std::size_t{4096}, std::size_t{9000}}) {
    auto* data = static_cast<char*>(AllocateLocked(size));
    data[0] = data[size - 1] = 1;
    CHECK(ProtectionOf(data) == PAGE_READWRITE);
    CHECK(ProtectionOf(data + size) == PAGE_NOACCESS);
    MEMORY_BASIC_INFORMATION info{};
    REQUIRE(VirtualQuery(data, &info, sizeof info) != 0);
    CHECK(ProtectionOf(static_cast<char*>(info.AllocationBase) + 4096) == PAGE_NOACCESS);
    CHECK(ProtectionOf(static_cast<char*>(info.AllocationBase) + 8192) == PAGE_READWRITE);
    FreeLocked(data);
    CHECK(ProtectionOf(data) == 0);
  }
}

TEST_CASE("a hardened process may be ended by its user, not read or opened up") {
  keyferry::HardenProcess();
  CHECK((GetErrorMode() & SEM_NOGPFAULTERRORBOX) != 0);
  const auto may = [](DWORD access) {
    const HANDLE process = OpenProcess(access, FALSE, GetCurrentProcessId());
    if (process != nullptr) CloseHandle(process);
    return process != nullptr;
  };
  CHECK(may(PROCESS_TERMINATE));
  CHECK_FALSE(may(PROCESS_VM_READ));
  CHECK_FALSE(may(PROCESS_VM_WRITE));
  CHECK_FALSE(may(PROCESS_DUP_HANDLE));
  CHECK_FALSE(may(PROCESS_CREATE_THREAD));
}
