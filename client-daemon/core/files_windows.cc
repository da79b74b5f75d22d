// files.h for Windows.
#include <windows.h>
// After windows.h
#include <aclapi.h>
#include <sddl.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "client-daemon/core/files.h"
#include "protocol/secure/system_windows.h"

namespace keyferry::daemon {
namespace {

namespace fs = std::filesystem;

constexpr DWORD kShareAll = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
// Virus scanners and indexers hold new files open for a moment.
constexpr int kTries = 20;
constexpr DWORD kBetweenTries = 50;  // ms
// The lock lies far behind the process id in the file, so that others may read that.
constexpr DWORD kLockAt = 1u << 30;

class Handle {
 public:
  explicit Handle(HANDLE handle) : handle_(handle) {}
  ~Handle() {
    if (ok()) CloseHandle(handle_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  HANDLE get() const { return handle_; }
  bool ok() const { return handle_ != INVALID_HANDLE_VALUE; }
  HANDLE Release() { return std::exchange(handle_, INVALID_HANDLE_VALUE); }
  bool Close() { return CloseHandle(Release()) != 0; }

 private:
  HANDLE handle_;
};

struct LocalDeleter {
  void operator()(void* memory) const { LocalFree(memory); }
};
using Descriptor = std::unique_ptr<void, LocalDeleter>;

std::wstring Wide(const std::string& text) {
  const int size = static_cast<int>(text.size());
  const int need =
      MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text.data(), size, nullptr, 0);
  std::wstring out(static_cast<std::size_t>(need), L'\0');
  if (need > 0) MultiByteToWideChar(CP_UTF8, 0, text.data(), size, out.data(), need);
  return out;  // empty, a path that does not exist, when it was no UTF-8
}

std::string Narrow(const wchar_t* text, DWORD length) {
  const int size = static_cast<int>(length);
  const int need = WideCharToMultiByte(CP_UTF8, 0, text, size, nullptr, 0, nullptr, nullptr);
  std::string out(static_cast<std::size_t>(need), '\0');
  WideCharToMultiByte(CP_UTF8, 0, text, size, out.data(), need, nullptr, nullptr);
  return out;
}

std::string Explain(DWORD error) {
  std::array<wchar_t, 256> text{};
  DWORD length = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, nullptr,
                                error, 0, text.data(), text.size(), nullptr);
  while (length > 0 && (text[length - 1] <= L' ' || text[length - 1] == L'.')) --length;
  if (length == 0) return "Windows error " + std::to_string(error);
  return Narrow(text.data(), length);
}

tl::unexpected<Error> IoError(const std::string& what, const std::string& path, DWORD error) {
  const std::string detail = "Windows error " + std::to_string(error);
  if (error == ERROR_DISK_FULL || error == ERROR_HANDLE_DISK_FULL ||
      error == ERROR_NOT_ENOUGH_QUOTA) {
    return Fail(ErrorCode::kIo,
                "The disk is full: " + path + " cannot be written. Free some space.", detail);
  }
  return Fail(ErrorCode::kIo, what + " " + path + " failed: " + Explain(error) + ".", detail);
}

bool IsMissing(DWORD error) {
  return error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND;
}

// Our user, SYSTEM and the administrators, and nobody by inheritance. `flags` are those of the
// entries ("OICI": files and folders within get the same).
Descriptor PrivateTo(const wchar_t* flags) {
  const std::wstring who[] = {L"SY", L"BA", OwnSid()};
  std::wstring list = L"D:P";
  for (const std::wstring& sid : who) list += L"(A;" + std::wstring(flags) + L";FA;;;" + sid + L")";
  PSECURITY_DESCRIPTOR descriptor = nullptr;
  if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(list.c_str(), SDDL_REVISION_1,
                                                            &descriptor, nullptr)) {
    return nullptr;
  }
  return Descriptor(descriptor);
}

SECURITY_ATTRIBUTES Attributes(const Descriptor& descriptor) {
  return {sizeof(SECURITY_ATTRIBUTES), descriptor.get(), FALSE};
}

bool IsOurs(PSID sid) {
  if (IsWellKnownSid(sid, WinLocalSystemSid) || IsWellKnownSid(sid, WinBuiltinAdministratorsSid)) {
    return true;
  }
  LPWSTR text = nullptr;
  if (!ConvertSidToStringSidW(sid, &text)) return false;
  const Descriptor free_text(text);
  return OwnSid() == text;
}

// True when the list lets nobody in but those of PrivateTo. Entries that are only for what is made
// within (inherit only) are not for the folder itself.
bool IsClosed(PACL list) {
  if (list == nullptr) return false;  // no list: open to everybody
  for (DWORD i = 0; i < list->AceCount; ++i) {
    void* entry = nullptr;
    if (!GetAce(list, i, &entry)) return false;
    const auto* head = static_cast<const ACE_HEADER*>(entry);
    if (head->AceType == ACCESS_DENIED_ACE_TYPE || (head->AceFlags & INHERIT_ONLY_ACE) != 0) {
      continue;
    }
    if (head->AceType != ACCESS_ALLOWED_ACE_TYPE) return false;
    auto* allowed = static_cast<ACCESS_ALLOWED_ACE*>(entry);
    PSID sid = &allowed->SidStart;
    if (allowed->Mask != 0 && !IsOurs(sid) && !IsWellKnownSid(sid, WinCreatorOwnerRightsSid)) {
      return false;
    }
  }
  return true;
}

Result<void> CheckPrivate(const std::string& path) {
  PSID owner = nullptr;
  PACL list = nullptr;
  PSECURITY_DESCRIPTOR raw = nullptr;
  const DWORD error = GetNamedSecurityInfoW(Wide(path).c_str(), SE_FILE_OBJECT,
                                            OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                                            &owner, nullptr, &list, nullptr, &raw);
  if (error != ERROR_SUCCESS) return IoError("Looking at", path, error);
  const Descriptor descriptor(raw);
  if (owner == nullptr || !IsOurs(owner)) {
    return Fail(
        ErrorCode::kPermissionDenied,
        path + " belongs to another user; give it to the user of keyferryd (icacls, /setowner).");
  }
  if (!IsClosed(list)) {
    const std::wstring sid = OwnSid();
    const std::string own = Narrow(sid.data(), static_cast<DWORD>(sid.size()));
    return Fail(ErrorCode::kPermissionDenied,
                path + " is open to other users; close it with: icacls \"" + path +
                    "\" /reset, then icacls \"" + path + "\" /inheritance:r /grant *" + own +
                    ":(OI)(CI)F *S-1-5-18:(OI)(CI)F *S-1-5-32-544:(OI)(CI)F");
  }
  return {};
}

DWORD MoveReplacing(const std::wstring& from, const std::wstring& to) {
  for (int i = 1;; ++i) {
    if (MoveFileExW(from.c_str(), to.c_str(), MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)) {
      return ERROR_SUCCESS;
    }
    const DWORD error = GetLastError();
    if ((error != ERROR_SHARING_VIOLATION && error != ERROR_ACCESS_DENIED) || i == kTries) {
      return error;
    }
    Sleep(kBetweenTries);
  }
}

DWORD WriteAll(HANDLE file, std::span<const std::uint8_t> data) {
  while (!data.empty()) {
    const auto part = static_cast<DWORD>(std::min<std::size_t>(data.size(), 1 << 20));
    DWORD done = 0;
    if (!WriteFile(file, data.data(), part, &done, nullptr)) return GetLastError();
    if (done == 0) return ERROR_WRITE_FAULT;
    data = data.subspan(done);
  }
  return FlushFileBuffers(file) ? ERROR_SUCCESS : GetLastError();
}

}  // namespace

Result<void> MakePrivateDirectory(const std::string& path) {
  const fs::path parent = fs::path(Wide(path)).parent_path();
  if (!parent.empty() && GetFileAttributesW(parent.c_str()) == INVALID_FILE_ATTRIBUTES) {
    const std::wstring wide = parent.wstring();
    auto made = MakePrivateDirectory(Narrow(wide.data(), static_cast<DWORD>(wide.size())));
    if (!made) return made;
  }
  const Descriptor descriptor = PrivateTo(L"OICI");
  SECURITY_ATTRIBUTES attributes = Attributes(descriptor);
  if (!descriptor) return IoError("Making the directory", path, GetLastError());
  if (CreateDirectoryW(Wide(path).c_str(), &attributes)) return {};
  const DWORD error = GetLastError();
  if (error != ERROR_ALREADY_EXISTS) return IoError("Making the directory", path, error);
  const DWORD kind = GetFileAttributesW(Wide(path).c_str());
  if (kind == INVALID_FILE_ATTRIBUTES) return IoError("Looking at", path, GetLastError());
  if ((kind & FILE_ATTRIBUTE_DIRECTORY) == 0 || (kind & FILE_ATTRIBUTE_REPARSE_POINT) != 0) {
    return Fail(ErrorCode::kInvalidArgument,
                path + " must be a directory; move away what is there.");
  }
  return CheckPrivate(path);
}

Result<void> WriteDurably(const std::string& path, std::span<const std::uint8_t> data) {
  const fs::path target(Wide(path));
  const std::wstring temporary =
      (target.parent_path() / (L"." + target.filename().wstring() + L".tmp")).wstring();
  DeleteFileW(temporary.c_str());  // left by a crash; it was never part of the state
  const Descriptor descriptor = PrivateTo(L"");
  if (!descriptor) return IoError("Writing", path, GetLastError());
  SECURITY_ATTRIBUTES attributes = Attributes(descriptor);
  Handle file(CreateFileW(temporary.c_str(), GENERIC_WRITE, 0, &attributes, CREATE_NEW,
                          FILE_ATTRIBUTE_NORMAL, nullptr));
  if (!file.ok()) return IoError("Writing", path, GetLastError());
  DWORD error = WriteAll(file.get(), data);
  if (!file.Close() && error == ERROR_SUCCESS) error = GetLastError();
  if (error == ERROR_SUCCESS) error = MoveReplacing(temporary, target.wstring());
  if (error == ERROR_SUCCESS) return {};
  DeleteFileW(temporary.c_str());
  return IoError("Writing", path, error);
}

// Through a write-through handle, so that NTFS has written the change of the folder when we return.
Result<void> RemoveDurably(const std::string& path) {
  Handle file(CreateFileW(Wide(path).c_str(), DELETE, kShareAll, nullptr, OPEN_EXISTING,
                          FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_WRITE_THROUGH, nullptr));
  if (!file.ok()) {
    if (IsMissing(GetLastError())) return {};
    return IoError("Removing", path, GetLastError());
  }
  FILE_DISPOSITION_INFO gone{TRUE};
  if (!SetFileInformationByHandle(file.get(), FileDispositionInfo, &gone, sizeof gone) ||
      !file.Close()) {
    return IoError("Removing", path, GetLastError());
  }
  return {};
}

Result<void> MoveDurably(const std::string& from, const std::string& to) {
  const DWORD error = MoveReplacing(Wide(from), Wide(to));
  if (error != ERROR_SUCCESS) return IoError("Moving", from, error);
  return {};
}

Result<Bytes> ReadBounded(const std::string& path, std::size_t max_size) {
  const Handle file(CreateFileW(Wide(path).c_str(), GENERIC_READ, kShareAll, nullptr, OPEN_EXISTING,
                                FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS,
                                nullptr));
  if (!file.ok()) {
    const DWORD error = GetLastError();
    if (IsMissing(error)) return Fail(ErrorCode::kNotFound, path + " does not exist.");
    return IoError("Reading", path, error);
  }
  BY_HANDLE_FILE_INFORMATION info{};
  if (GetFileType(file.get()) != FILE_TYPE_DISK || !GetFileInformationByHandle(file.get(), &info) ||
      (info.dwFileAttributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT)) != 0) {
    return Fail(ErrorCode::kInvalidArgument, path + " is not a regular file.");
  }
  Bytes data(max_size + 1);
  std::size_t size = 0;
  while (size < data.size()) {
    const auto part = static_cast<DWORD>(std::min<std::size_t>(data.size() - size, 1 << 20));
    DWORD n = 0;
    if (!ReadFile(file.get(), data.data() + size, part, &n, nullptr)) {
      return IoError("Reading", path, GetLastError());
    }
    if (n == 0) break;
    size += n;
  }
  if (size > max_size) return Fail(ErrorCode::kInvalidArgument, path + " is too long.");
  data.resize(size);
  return data;
}

FileLock::~FileLock() {
  if (file_ != kNone) CloseHandle(reinterpret_cast<HANDLE>(file_));
}

Result<FileLock> FileLock::Take(const std::string& path) {
  const Descriptor descriptor = PrivateTo(L"");
  SECURITY_ATTRIBUTES attributes = Attributes(descriptor);
  if (!descriptor) return IoError("Locking", path, GetLastError());
  Handle file(CreateFileW(Wide(path).c_str(), GENERIC_READ | GENERIC_WRITE,
                          FILE_SHARE_READ | FILE_SHARE_WRITE, &attributes, OPEN_ALWAYS,
                          FILE_FLAG_OPEN_REPARSE_POINT, nullptr));
  if (!file.ok()) return IoError("Locking", path, GetLastError());
  OVERLAPPED where{};
  where.Offset = kLockAt;
  if (!LockFileEx(file.get(), LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0,
                  &where)) {
    const DWORD error = GetLastError();
    if (error != ERROR_LOCK_VIOLATION && error != ERROR_IO_PENDING) {
      return IoError("Locking", path, error);
    }
    char holder[16] = {};
    DWORD size = 0;
    std::string pid;
    if (ReadFile(file.get(), holder, sizeof holder - 1, &size, nullptr)) {
      for (const char* c = holder; *c >= '0' && *c <= '9'; ++c) pid += *c;
    }
    return Fail(ErrorCode::kConflict, path + " is held by another process.", pid);
  }
  const std::string pid = std::to_string(GetCurrentProcessId()) + "\n";
  if (!SetEndOfFile(file.get())) return IoError("Locking", path, GetLastError());
  const DWORD error =
      WriteAll(file.get(), {reinterpret_cast<const std::uint8_t*>(pid.data()), pid.size()});
  if (error != ERROR_SUCCESS) return IoError("Locking", path, error);
  return FileLock(reinterpret_cast<std::intptr_t>(file.Release()));
}

}  // namespace keyferry::daemon
