#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "client-daemon/app/config.h"
#include "client-daemon/cli/doctor.h"
#include "client-daemon/core/encoding.h"
#include "client-daemon/core/files.h"
#include "client-daemon/ipc/ask.h"
#include "client-daemon/uplink/http_client.h"
#include "device/hid/permissions.h"

namespace keyferry::daemon::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxPamFile = 64 * 1024;
constexpr std::size_t kMaxPamFiles = 256;
constexpr std::size_t kMaxDeviceRules = 256;

std::string OwnerName(uid_t user) {
  std::array<char, 16384> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    return found->pw_name;
  }
  return std::to_string(user);
}

FileFacts LookAt(const std::string& path, mode_t kind) {
  FileFacts out;
  out.path = path;
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) {
    out.looked = errno != EACCES;
    return out;
  }
  out.exists = true;
  out.kind_right = (info.st_mode & S_IFMT) == kind;
  out.mode = info.st_mode & 07777;
  out.owner = OwnerName(info.st_uid);
  return out;
}

bool Answers(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const bool good = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return good;
}

// ActiveState of a unit, as systemd has it: "active", "failed" … Empty when it does not say.
std::string UnitState(const char* unit) {
  sd_bus* bus = nullptr;
  char* object = nullptr;
  char* state = nullptr;
  std::string out;
  if (sd_bus_open_system(&bus) >= 0 &&
      sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &object) >= 0 &&
      sd_bus_get_property_string(bus, "org.freedesktop.systemd1", object,
                                 "org.freedesktop.systemd1.Unit", "ActiveState", nullptr,
                                 &state) >= 0) {
    out = Printable(state, 32);
  }
  std::free(state);
  std::free(object);
  sd_bus_flush_close_unref(bus);
  return out;
}

// DevicePolicy, PrivateDevices and DeviceAllow of a service, as systemd has them after drop-ins.
UnitDevices LookAtUnitDevices(const char* unit) {
  constexpr const char* kSystemd = "org.freedesktop.systemd1";
  constexpr const char* kService = "org.freedesktop.systemd1.Service";
  constexpr const char* kUnit = "org.freedesktop.systemd1.Unit";
  sd_bus* bus = nullptr;
  sd_bus_message* reply = nullptr;
  char *object = nullptr, *load = nullptr, *policy = nullptr;
  int hidden = 0;
  UnitDevices out;
  if (sd_bus_open_system(&bus) >= 0 &&
      sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &object) >= 0 &&
      sd_bus_get_property_string(bus, kSystemd, object, kUnit, "LoadState", nullptr, &load) >= 0 &&
      std::strcmp(load, "loaded") == 0 &&
      sd_bus_get_property_string(bus, kSystemd, object, kService, "DevicePolicy", nullptr,
                                 &policy) >= 0 &&
      sd_bus_get_property_trivial(bus, kSystemd, object, kService, "PrivateDevices", nullptr, 'b',
                                  &hidden) >= 0 &&
      sd_bus_get_property(bus, kSystemd, object, kService, "DeviceAllow", nullptr, &reply,
                          "a(ss)") >= 0 &&
      sd_bus_message_enter_container(reply, 'a', "(ss)") >= 0) {
    out.looked = true;
    out.policy = Printable(policy, 32);
    out.private_devices = hidden != 0;
    const char *what = nullptr, *rights = nullptr;
    while (out.allow.size() < kMaxDeviceRules &&
           sd_bus_message_read(reply, "(ss)", &what, &rights) > 0) {
      out.allow.emplace_back(Printable(what, 200), Printable(rights, 8));
    }
  }
  sd_bus_message_unref(reply);
  std::free(policy);
  std::free(load);
  std::free(object);
  sd_bus_flush_close_unref(bus);
  return out;
}

void LookAtPam(const std::string& root, DoctorFacts& facts) {
  std::error_code error;
  std::size_t files = 0;
  for (fs::directory_iterator it(root + "/etc/pam.d", error), end; !error && it != end;
       it.increment(error)) {
    if (++files > kMaxPamFiles) break;
    const auto text = ReadBounded(it->path().string(), kMaxPamFile);
    if (!text) continue;
    const auto lines =
        ReadPam(it->path().string(), {reinterpret_cast<const char*>(text->data()), text->size()});
    facts.pam_lines.insert(facts.pam_lines.end(), lines.begin(), lines.end());
  }
  facts.pam_module.path = "pam_keyferry.so";
  for (fs::directory_iterator it(root + "/usr/lib", error), end; !error && it != end;
       it.increment(error)) {
    const FileFacts module = LookAt(it->path().string() + "/security/pam_keyferry.so", S_IFREG);
    if (module.exists) facts.pam_module = module;
  }
}

void LookAtServer(const Config& config, DoctorFacts& facts) {
  HttpClient client;
  client.SetTls({config.server_ca, {}, {}});
  HttpRequest request;
  request.url = config.server_url + "/";
  facts.server_asked = true;
  const auto answer = client.Send(request, std::chrono::seconds(5));
  facts.now = std::time(nullptr);
  // Any answer will do, even a page that is too long for us: it came over a proven connection.
  if (answer) {
    facts.server_date = answer->date;
  } else if (answer.error().code != ErrorCode::kProtocol) {
    facts.server_error = answer.error();
  }
}

}  // namespace

DoctorFacts LookAround(const DoctorPlaces& places, const std::string& version) {
  DoctorFacts facts;
  facts.version = version;
  facts.now = std::time(nullptr);
  facts.config_path = places.config;
  facts.config_hidden =
      access(places.config.c_str(), R_OK) != 0 && (errno == EACCES || errno == EPERM);
  std::optional<Config> config;
  if (!facts.config_hidden) {
    auto loaded = LoadConfig(places.config);
    if (loaded) {
      config = *std::move(loaded);
    } else {
      facts.config_error = loaded.error().message;
    }
  }
  if (fs::exists("/run/systemd/system")) {
    facts.unit_state = UnitState("keyferryd.service");
    facts.agent_unit_state = UnitState("keyferry-agent.service");
    facts.unit_devices = LookAtUnitDevices("keyferryd.service");
  }
  const std::string socket = config ? config->socket : places.socket;
  facts.socket = LookAt(socket, S_IFSOCK);
  facts.socket_folder = LookAt(fs::path(socket).parent_path().string(), S_IFDIR);
  const auto answer = AskDaemon(socket, R"({"op":"status"})", std::chrono::seconds(5));
  if (answer) {
    facts.answer = *answer;
    facts.daemon_user = facts.socket.owner;
  } else {
    facts.daemon_error = answer.error().message;
  }
  facts.agent_socket = LookAt(places.agent_socket, S_IFSOCK);
  facts.agent_socket.kind_right = facts.agent_socket.kind_right && Answers(places.agent_socket);
  if (config) {
    facts.state_folder = LookAt(config->state_dir, S_IFDIR);
    LookAtServer(*config, facts);
    facts.usb = config->keys.usb != KeyWays::kOff;
    facts.usb_raw = config->keys.usb != KeyWays::kLibusb;
    facts.bluetooth = config->keys.bluetooth;
  }
  if (facts.usb) {
    const auto ids = config ? config->keys.usb_ids : device::HidMatch{};
    for (const device::HidFinding& found : device::CheckHidPermissions(ids)) {
      facts.usb_findings.push_back({Finding::kWarning, found.what, found.cause, found.cure});
    }
  }
  // Where the administrator's own may stand, and the package's.
  for (const char* folder : {"/etc/dbus-1/system.d", "/usr/share/dbus-1/system.d"}) {
    if (!facts.bus_policy.exists) {
      facts.bus_policy = LookAt(places.root + folder + "/keyferryd.conf", S_IFREG);
    }
  }
  LookAtPam(places.root, facts);
  return facts;
}

}  // namespace keyferry::daemon::cli
