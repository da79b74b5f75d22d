#include <windows.h>
// After windows.h
#include <aclapi.h>
#include <sddl.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "client-daemon/core/files.h"
#include "tests/unit/client-daemon/temp_dir.h"

using namespace keyferry;
using namespace keyferry::daemon;

namespace {

void SetList(const std::string& path, const wchar_t* list) {
  PSECURITY_DESCRIPTOR descriptor = nullptr;
  REQUIRE(ConvertStringSecurityDescriptorToSecurityDescriptorW(list, SDDL_REVISION_1, &descriptor,
                                                               nullptr));
  REQUIRE(
      SetFileSecurityW(std::filesystem::path(path).c_str(), DACL_SECURITY_INFORMATION, descriptor));
  LocalFree(descriptor);
}

// True when an entry of the list lets everybody in.
bool OpenToEverybody(const std::string& path) {
  PACL list = nullptr;
  PSECURITY_DESCRIPTOR descriptor = nullptr;
  REQUIRE(GetNamedSecurityInfoW(std::filesystem::path(path).c_str(), SE_FILE_OBJECT,
                                DACL_SECURITY_INFORMATION, nullptr, nullptr, &list, nullptr,
                                &descriptor) == ERROR_SUCCESS);
  bool open = list == nullptr;
  for (DWORD i = 0; list != nullptr && i < list->AceCount; ++i) {
    void* entry = nullptr;
    REQUIRE(GetAce(list, i, &entry));
    auto* allowed = static_cast<ACCESS_ALLOWED_ACE*>(entry);
    if (allowed->Header.AceType == ACCESS_ALLOWED_ACE_TYPE &&
        IsWellKnownSid(&allowed->SidStart, WinWorldSid) && allowed->Mask != 0) {
      open = true;
    }
  }
  LocalFree(descriptor);
  return open;
}

}  // namespace

TEST_CASE("what is made is for its owner alone") {
  const test::TempDir dir;
  REQUIRE(MakePrivateDirectory(dir / "a/b"));
  REQUIRE(WriteDurably(dir / "a/b/file", Bytes{1}));
  const auto lock = FileLock::Take(dir / "a/b/lock");
  REQUIRE(lock);
  for (const char* name : {"a", "a/b", "a/b/file", "a/b/lock"}) {
    INFO(name);
    CHECK_FALSE(OpenToEverybody(dir / name));
  }
  std::ofstream(dir / "open") << "x";
  SetList(dir / "open", L"D:P(A;;FA;;;WD)");
  CHECK(OpenToEverybody(dir / "open"));  // so the check above can fail
}

TEST_CASE("a directory that others may enter is refused with the remedy") {
  const test::TempDir dir;
  REQUIRE(MakePrivateDirectory(dir / "a"));
  REQUIRE(MakePrivateDirectory(dir / "a"));
  SetList(dir / "a", L"D:P(A;OICI;FA;;;BA)(A;OICI;FA;;;WD)");
  const auto refused = MakePrivateDirectory(dir / "a");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("icacls") != std::string::npos);
  std::ofstream(dir / "file") << "x";
  CHECK(MakePrivateDirectory(dir / "file").error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("the holder of a lock is named by its process id, and others may read it") {
  const test::TempDir dir;
  const auto held = FileLock::Take(dir / "lock");
  REQUIRE(held);
  CHECK(FileLock::Take(dir / "lock").error().detail == std::to_string(GetCurrentProcessId()));
}

TEST_CASE("a device name is no file") {
  CHECK_FALSE(ReadBounded("NUL", 10));
  CHECK_FALSE(ReadBounded("CON", 10));
}
