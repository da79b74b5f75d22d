#include "company.h"

#include <stdexcept>

namespace keyferry::server::testing {
namespace {

template <typename T>
T Must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message + " " + result.error().detail);
  return *std::move(result);
}

void Must(Result<void> result) {
  if (!result) throw std::runtime_error(result.error().message + " " + result.error().detail);
}

}  // namespace

void TestWorkstation::Add(WorkstationEvent event) {
  const std::lock_guard lock(mutex);
  events.push_back(std::move(event));
}

std::vector<std::string> TestWorkstation::Named(const std::string& event_name) {
  const std::lock_guard lock(mutex);
  std::vector<std::string> out;
  for (const WorkstationEvent& event : events) {
    if (event.name == event_name) out.push_back(event.data);
  }
  return out;
}

void TestWorkstation::Forget() {
  const std::lock_guard lock(mutex);
  events.clear();
}

std::string Member(const std::string& json, const std::string& name) {
  const std::string start = "\"" + name + "\":\"";
  const std::size_t at = json.find(start);
  if (at == std::string::npos) throw std::runtime_error("no " + name + " in " + json);
  const std::size_t from = at + start.size();
  return json.substr(from, json.find('"', from) - from);
}

Blob Base64Member(const std::string& json, const std::string& name) {
  return FromBase64(Member(json, name)).value();
}

Company::Company(ChangeConfig config, KeyConfig keys_config)
    : maker("CN=Keys,O=Maker"),
      simulator_maker("CN=Simulated keys,O=Maker"),
      change_config(config),
      key_config(keys_config) {
  const std::int64_t now = clock.UnixSeconds();
  Authority authority = Must(MakeAuthority(OsRandom(), now - 10, now + 1'000'000'000));
  issuer = Must(Issuer::Load(std::move(authority.issuer_private), authority.issuer_cert,
                             authority.root_pub, now));
  attestation = MakeAttestationVerifier({{maker.ca_pem}, {simulator_maker.ca_pem}, false});
  session_config.administrator_groups = {"CN=Keyferry Admins,OU=Groups,DC=corp,DC=example"};
  session_config.second_factor = FactorPolicy::kOff;  // tests of it switch it on
  session_config.help_desk_groups = {"CN=Help Desk,OU=Groups,DC=corp,DC=example"};
  session_config.key_officer_groups = {"CN=Key Officers,OU=Groups,DC=corp,DC=example"};
  session_config.auditor_groups = {"CN=Auditors,OU=Groups,DC=corp,DC=example"};
  admin.id = directory.Add("boss");
  admin.login = "boss";
  admin.roles = Role::kAdministrator;
  admin.address = "192.0.2.1";
  alice = directory.Add("alice");
  Start();
}

Company::~Company() = default;

CorePorts Company::Ports() {
  return {*store,
          first != nullptr ? *first : directory,
          clock,
          OsRandom(),
          *bus,
          *issuer,
          ca,
          *attestation,
          waiter,
          *presence,
          [this](std::string_view line) { log.emplace_back(line); },
          sources,
          people};
}

void Company::Start() {
  bus = MakeEventBus();
  presence = std::make_unique<Presence>();
  store = Must(database.Open());
  CorePorts ports = Ports();
  if (eyes_config) eyes = MakeFourEyes(ports, *eyes_config);
  ports.four_eyes = eyes.get();
  sessions = MakeSessionService(ports, session_config, tickets);
  factors = MakeSecondFactor(ports, session_config);
  changes = MakeChangeService(ports, change_config);
  keys = MakeKeyService(ports, key_config);
  workstations = MakeWorkstationService(ports, {"1.0", 365, 200, 20});
  audit = MakeAuditService(*store);
}

void Company::StopStore() {
  sessions.reset();
  factors.reset();
  changes.reset();
  keys.reset();
  workstations.reset();
  audit.reset();
  eyes.reset();
  store.reset();
}

void Company::Restart() {
  StopStore();
  Start();
}

std::unique_ptr<TestWorkstation> Company::AddWorkstation(const std::string& name) {
  WorkstationRequest request;
  request.name = name;
  request.os = "Debian 12";
  request.version = "1.0";
  request.csr_pem = "request of " + name;
  request.deliver_noise_pub.fill(1);
  request.login_noise_pub.emplace().fill(2);
  request.address = "192.0.2.7";
  auto workstation = std::make_unique<TestWorkstation>();
  workstation->id = Must(workstations->Register(request)).id;
  workstation->name = name;
  Must(workstations->Approve(admin, workstation->id));
  Connect(*workstation);
  return workstation;
}

void Company::Connect(TestWorkstation& workstation) {
  workstation.subscription =
      bus->Subscribe("workstation/" + workstation.id.Hex(), [&workstation](const BusEvent& event) {
        workstation.Add({event.name, event.data});
      });
  for (WorkstationEvent& event :
       Must(workstations->Connected(workstation.id, {workstation.protocol, {}}))) {
    workstation.Add(std::move(event));
  }
}

void Company::Disconnect(TestWorkstation& workstation) {
  workstation.subscription.reset();
  workstations->Disconnected(workstation.id);
}

Result<void> Company::Sees(TestWorkstation& workstation, const std::vector<const TestKey*>& seen,
                           int state) {
  std::vector<SeenKey> list;
  for (const TestKey* key : seen) {
    list.push_back({DeviceId{key->device_id}, state, "socket", 0x00010000, key->simulator});
  }
  return workstations->SeenKeys(workstation.id, list);
}

void Company::Enrol(TestKey& key, const AccountId& account, TestWorkstation& workstation,
                    const TestKey* replaced) {
  Must(Sees(workstation, {&key}, 0));
  std::optional<DeviceId> old;
  if (replaced != nullptr) old = DeviceId{replaced->device_id};
  const auto started =
      Must(keys->BeginEnrolment(admin, account, DeviceId{key.device_id}, workstation.id, old));
  const auto answer = key.Begin(Base64Member(workstation.Named("enrol").back(), "begin"));
  const Blob grant =
      Must(keys->AcceptStatement(workstation.id, started.id, answer.statement, answer.attestation));
  const auto verdict = Must(keys->FinishEnrolment(workstation.id, started.id, key.Finish(grant)));
  if (verdict.kind != ReceiptVerdict::kStored) throw std::runtime_error(verdict.reason);
  Must(Sees(workstation, {&key}));
}

ChangeRequest Company::Request(const AccountId& account, const std::string& idempotency_key) const {
  ChangeRequest request;
  request.account = account;
  request.reason = "forgotten";
  request.idempotency_key = idempotency_key;
  return request;
}

Result<ChangeView> Company::Change(const AccountId& account, const std::string& idempotency_key) {
  return changes->Start(admin, Request(account, idempotency_key));
}

Blob Company::NewestJob(TestWorkstation& workstation) {
  return Base64Member(workstation.Named("job").back(), "sealed");
}

Result<ReceiptVerdict> Company::Return(TestWorkstation& workstation, const TestKey& key,
                                       const Blob& receipt) {
  return keys->AcceptReceipt(workstation.id, DeviceId{key.device_id}, receipt);
}

Result<ReceiptVerdict> Company::Deliver(TestWorkstation& workstation, TestKey& key) {
  return Return(workstation, key, key.Put(NewestJob(workstation)));
}

ChangeView Company::Newest(const AccountId& account) {
  auto history = Must(changes->History(account, 1));
  if (history.empty()) throw std::runtime_error("no change");
  return history.front();
}

KeyView Company::Key(const AccountId& account) {
  auto all = Must(keys->OfAccount(account));
  if (all.empty()) throw std::runtime_error("no key");
  return all.front();
}

}  // namespace keyferry::server::testing
