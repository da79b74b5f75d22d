#include "device/hid/windows_discovery.h"

#include <windows.h>
// After windows.h
extern "C" {  // mingw-w64's header does not say so itself
#include <hidsdi.h>
}
#include <cfgmgr32.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <utility>

namespace keyferry::device {
namespace {

constexpr std::chrono::seconds kLookAgain{2};
constexpr std::size_t kMaxChanges = 256;  // more at once: forgotten, and everything looked at again

class SystemSource final : public HidSource {
 public:
  ~SystemSource() override {
    if (notification_ != nullptr) unregister_(notification_);
  }

  std::vector<WindowsHid> List(const HidMatch& match) override { return ListWindowsHid(match); }

  bool Subscribe(OnChange on_change) override {
    // Asked for by name: Wine's library lacks them. It stays loaded.
    const HMODULE library = LoadLibraryExW(L"cfgmgr32.dll", nullptr, LOAD_LIBRARY_SEARCH_SYSTEM32);
    if (library == nullptr) return false;
    const auto begin = reinterpret_cast<Register>(
        reinterpret_cast<void*>(GetProcAddress(library, "CM_Register_Notification")));
    unregister_ = reinterpret_cast<Unregister>(
        reinterpret_cast<void*>(GetProcAddress(library, "CM_Unregister_Notification")));
    if (begin == nullptr || unregister_ == nullptr) return false;
    on_change_ = std::move(on_change);
    CM_NOTIFY_FILTER filter{};
    filter.cbSize = sizeof filter;
    filter.FilterType = CM_NOTIFY_FILTER_TYPE_DEVICEINTERFACE;
    HidD_GetHidGuid(&filter.u.DeviceInterface.ClassGuid);
    return begin(&filter, this, &SystemSource::Told, &notification_) == CR_SUCCESS;
  }

 private:
  using Register = CONFIGRET(WINAPI*)(PCM_NOTIFY_FILTER, PVOID, PCM_NOTIFY_CALLBACK,
                                      PHCMNOTIFICATION);
  using Unregister = CONFIGRET(WINAPI*)(HCMNOTIFICATION);

  static DWORD CALLBACK Told(HCMNOTIFICATION, PVOID context, CM_NOTIFY_ACTION action,
                             PCM_NOTIFY_EVENT_DATA data, DWORD) {
    const bool came = action == CM_NOTIFY_ACTION_DEVICEINTERFACEARRIVAL;
    if (!came && action != CM_NOTIFY_ACTION_DEVICEINTERFACEREMOVAL) return ERROR_SUCCESS;
    std::string path;
    for (const wchar_t* c = data->u.DeviceInterface.SymbolicLink; *c != 0; ++c) {
      path += *c > 0 && *c <= '~' ? static_cast<char>(*c) : ' ';
    }
    static_cast<SystemSource*>(context)->on_change_(came, path);
    return ERROR_SUCCESS;
  }

  OnChange on_change_;
  HCMNOTIFICATION notification_ = nullptr;
  Unregister unregister_ = nullptr;
};

class WindowsDiscovery final : public Discovery {
 public:
  WindowsDiscovery(HidMatch match, HidNote note, std::unique_ptr<HidSource> source)
      : match_(std::move(match)), note_(std::move(note)), source_(std::move(source)) {}

  void Begin() {
    told_ = source_->Subscribe([this](bool came, const std::string& path) { Told(came, path); });
    if (!told_) {
      Note("This Windows does not tell when devices come and go; looking every 2 seconds.");
    }
    Compare();
  }

  Result<DiscoveryEvent> Next() override {
    while (events_.empty()) {
      std::deque<Change> changes;
      {
        std::unique_lock lock(mutex_);
        const auto ready = [this] { return stopped_ || !changes_.empty(); };
        if (told_) {
          changed_.wait(lock, ready);
        } else {
          changed_.wait_for(lock, kLookAgain, ready);
        }
        if (stopped_) return Fail(ErrorCode::kUnavailable, "Stopped.");
        changes.swap(changes_);
      }
      for (const Change& change : changes) {
        if (!change.came) Remove(change.path);
      }
      Compare();
    }
    DiscoveryEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

  void Stop() override {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

 private:
  struct Change {
    bool came = false;
    std::string path;
  };

  void Told(bool came, const std::string& path) {
    const auto ours = WindowsHidPath(path);
    if (!ours) return;
    const std::scoped_lock lock(mutex_);
    if (changes_.size() < kMaxChanges) changes_.push_back({came, *ours});
    changed_.notify_all();
  }

  void Note(const std::string& line) {
    if (note_) note_(line);
  }

  // What is there now against what was told.
  void Compare() {
    const std::vector<WindowsHid> present = source_->List(match_);
    std::vector<std::string> gone;
    for (const auto& [path, is_key] : known_) {
      bool still = false;
      for (const WindowsHid& one : present) still = still || one.path == path;
      if (!still) gone.push_back(path);
    }
    for (const std::string& path : gone) Remove(path);
    for (const WindowsHid& one : present) Add(one);
  }

  void Add(const WindowsHid& found) {
    if (known_.contains(found.path)) return;
    const auto key = found.CheckKey();
    known_.emplace(found.path, key.has_value());
    const std::string words = found.path + " (" + found.id.Text() + " \"" + found.product + "\")";
    if (key) {
      Note("A security key came: " + words + ".");
      events_.push_back({DiscoveryEvent::kAppeared, {TransportKind::kHid, found.path}});
    } else {
      Note("The device at " + words + " is not a Keyferry key: " + key.error().message + ".");
    }
  }

  void Remove(const std::string& path) {
    const auto known = known_.find(path);
    if (known == known_.end()) return;
    if (known->second) {
      events_.push_back({DiscoveryEvent::kVanished, {TransportKind::kHid, path}});
    }
    known_.erase(known);
  }

  const HidMatch match_;
  const HidNote note_;

  std::mutex mutex_;  // these three
  std::condition_variable changed_;
  std::deque<Change> changes_;
  bool stopped_ = false;

  bool told_ = false;                  // these are Next's alone
  std::map<std::string, bool> known_;  // by path: is it a key
  std::deque<DiscoveryEvent> events_;

  const std::unique_ptr<HidSource> source_;  // the first to go: it calls Told
};

}  // namespace

Result<std::unique_ptr<Discovery>> WatchWindowsHid(HidMatch match, HidNote note,
                                                   std::unique_ptr<HidSource> source) {
  if (!source) source = std::make_unique<SystemSource>();
  auto out =
      std::make_unique<WindowsDiscovery>(std::move(match), std::move(note), std::move(source));
  out->Begin();
  return out;
}

}  // namespace keyferry::device
