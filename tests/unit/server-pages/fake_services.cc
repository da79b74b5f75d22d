#include "fake_services.h"

#include <algorithm>
#include <stdexcept>

#include "server/http/target.h"

namespace keyferry::server::fake {

Result<PersonPage> FakeDirectory::Search(std::string_view query, std::size_t limit,
                                         std::string_view cursor) {
  if (down) return tl::unexpected(*down);
  PersonPage page;
  std::size_t skip = cursor.empty() ? 0 : 20;
  const std::size_t most = std::min<std::size_t>(limit, 20);
  for (const PersonDetail& detail : people) {
    if (detail.person.display_name.find(query) == std::string::npos &&
        detail.person.login.find(query) == std::string::npos) {
      continue;
    }
    if (skip > 0) {
      --skip;
      continue;
    }
    if (page.people.size() == most) {
      page.next = "cursor&2";
      break;
    }
    page.people.push_back(detail.person);
  }
  return page;
}

Result<PersonDetail> FakeDirectory::Get(const AccountId& id) {
  if (down) return tl::unexpected(*down);
  for (const PersonDetail& detail : people) {
    if (detail.person.id == id) return detail;
  }
  return Fail(ErrorCode::kNotFound, "This person is not in Active Directory.");
}

Result<SignInFacts> FakeDirectory::SignIn(std::string_view, const SecureBytes&) {
  return SignInFacts{};
}
Result<ChangeTarget> FakeDirectory::Pin(const AccountId&, const AccountId&) {
  return ChangeTarget{};
}
Result<void> FakeDirectory::SetPassword(const ChangeTarget&, const AccountId&, const SecureBytes&,
                                        SetOptions) {
  return {};
}
Result<PasswordStamp> FakeDirectory::Stamp(const ChangeTarget&, const AccountId&) {
  return PasswordStamp{};
}
Result<BindOutcome> FakeDirectory::TryPassword(const ChangeTarget&, const AccountId&,
                                               const SecureBytes&) {
  return BindOutcome::kWrong;
}
Result<void> FakeDirectory::Ping() {
  ++pings;
  if (down) return tl::unexpected(*down);
  return {};
}

Result<Preflight> FakeChanges::Check(const Actor&, const AccountId&) { return preflight; }

Result<ChangeView> FakeChanges::Start(const Actor& actor, ChangeRequest request) {
  started.push_back({actor.login, request.reason, request.idempotency_key,
                     std::string(request.typed.view()), request.generate, request.mode,
                     request.sources});
  if (start_error) return tl::unexpected(*start_error);
  ChangeView view;
  view.account = request.account;
  view.state = ChangeState::kConfirmed;
  view.job_state = JobState::kReady;
  return view;
}

Result<std::vector<ChangeView>> FakeChanges::History(const AccountId& account, std::size_t limit) {
  std::vector<ChangeView> views = history[account];
  if (views.size() > limit) views.resize(limit);
  return views;
}

Result<ChangeView> FakeChanges::Get(const ChangeId& id) {
  for (const auto& [unused, views] : history) {
    for (const ChangeView& view : views) {
      if (view.id == id) return view;
    }
  }
  return Fail(ErrorCode::kNotFound, "There is no such change.");
}

Result<GroupMembers> FakeGroups::Members(std::string_view group_dn, std::size_t) {
  const auto found = groups.find(group_dn);
  if (found == groups.end()) return Fail(ErrorCode::kNotFound, "There is no such group.");
  GroupMembers out;
  for (const AccountId& id : found->second) {
    GroupMember member;
    member.person.id = id;
    out.members.push_back(member);
  }
  return out;
}

Result<RequestJournal::Begun> FakeJournal::Begin(std::string_view principal, std::string_view key,
                                                 const Hash32& request) {
  Begun begun;
  const auto [place, fresh] = kept.try_emplace({std::string(principal), std::string(key)},
                                               std::pair(request, StoredAnswer{}));
  if (fresh) return begun;
  begun.kind = place->second.first != request     ? Begun::kOther
               : place->second.second.status == 0 ? Begun::kRunning
                                                  : Begun::kAnswered;
  begun.answer = place->second.second;
  return begun;
}

Result<void> FakeJournal::Finish(std::string_view principal, std::string_view key,
                                 const StoredAnswer& answer) {
  kept[{std::string(principal), std::string(key)}].second = answer;
  return {};
}

Result<void> FakeJournal::Forget(std::string_view principal, std::string_view key) {
  kept.erase({std::string(principal), std::string(key)});
  return {};
}

Result<RotationPolicy> FakeRotation::Put(const Actor& actor, RotationPolicy policy) {
  calls.push_back("put " + actor.login + " " + policy.name);
  if (policy.id == PolicyId{}) {
    policy.id = MakeId<PolicyId>(static_cast<std::uint8_t>(0x90 + policies.size()));
    policies.push_back(policy);
    return policy;
  }
  for (RotationPolicy& known : policies) {
    if (known.id == policy.id) return known = policy;
  }
  return Fail(ErrorCode::kNotFound, "There is no such policy.");
}

Result<void> FakeRotation::Remove(const Actor& actor, const PolicyId& id) {
  calls.push_back("remove " + actor.login + " " + id.Hex());
  const auto gone = std::remove_if(policies.begin(), policies.end(),
                                   [&](const RotationPolicy& known) { return known.id == id; });
  if (gone == policies.end()) return Fail(ErrorCode::kNotFound, "There is no such policy.");
  policies.erase(gone, policies.end());
  return {};
}

Result<RotationPreview> FakeRotation::Preview(const Actor& actor, const RotationPolicy& policy) {
  calls.push_back("preview " + actor.login + " " + policy.name);
  return preview;
}

Result<std::string> FakeActivationMail::Send(const Actor& actor, const AccountId& account,
                                             std::string_view code) {
  calls.push_back("mail " + actor.login + " " + account.Hex() + " " + std::string(code));
  if (refused) return tl::unexpected(*refused);
  return "employee@corp.example";
}

namespace {
struct FakeSubscription final : EventBus::Subscription {
  FakeSubscription(FakeBus& owner, int number) : bus(owner), id(number) {}
  ~FakeSubscription() override {
    const std::lock_guard lock(bus.mutex);
    bus.subscribers.erase(id);
  }
  FakeBus& bus;
  int id;
};
}  // namespace

std::unique_ptr<EventBus::Subscription> FakeBus::Subscribe(std::string topic, Callback callback) {
  const std::lock_guard lock(mutex);
  const int id = next++;
  subscribers[id] = {std::move(topic), std::move(callback)};
  return std::make_unique<FakeSubscription>(*this, id);
}

void FakeBus::Publish(std::string_view topic, BusEvent event) {
  const std::lock_guard lock(mutex);
  for (const auto& [unused, subscriber] : subscribers) {
    if (subscriber.first == topic) subscriber.second(event);
  }
}

bool FakeStream::Send(std::string_view name, std::string_view data) {
  if (closed) return false;
  sent.push_back(std::string(name) + " " + std::string(data));
  return true;
}

void FakeStream::Close() {
  if (closed) return;
  closed = true;
  if (on_closed) on_closed();
}

void FakeStream::OnClosed(std::function<void()> callback) {
  on_closed = std::move(callback);
  if (closed) on_closed();
}

World::World(const std::string& web_directory, PeopleConfig people_config)
    : people(MakePeopleService(directory, groups, clock, std::move(people_config))),
      services{sessions,
               changes,
               keys,
               workstations,
               audit,
               directory,
               bus,
               clock,
               "0.1.0",
               "https://localhost:8444",
               [this](const Request&, const Error& error) {
                 const std::lock_guard lock(reported_mutex);
                 reported.push_back(error);
               },
               check_up,
               tokens,
               journal,
               [this]() -> Result<std::string> {
                 if (audit_damage) return tl::unexpected(*audit_damage);
                 return "The audit log is whole.";
               },
               *people,
               &rotation,
               &activation_mail,
               &help_desk,
               &factors,
               &reports,
               &audit_filters,
               &attributes,
               &warnings,
               &four_eyes,
               &alarm,
               &webhooks,
               &fido,
               &notices,
               /*self_service=*/true,
               &questions,
               /*own_passwords=*/true,
               &account_steps} {
  auto loaded = Catalog::Load(web_directory);
  if (!loaded) throw std::runtime_error(loaded.error().message);
  catalog = std::move(*loaded);
  Session session;
  session.actor = {MakeId<AccountId>(0xAA), "alice.admin", "Alice Admin", Role::kAdministrator,
                   "127.0.0.1"};
  session.csrf = kCsrf;
  sessions.sessions[kToken] = session;
  session.actor = {MakeId<AccountId>(0xAB), "henry.desk", "Henry Desk", Role::kHelpDesk,
                   "127.0.0.1"};
  sessions.sessions[kHelpDeskToken] = session;
  changes.preflight.allowed = true;
  changes.preflight.typing_allowed = true;
  changes.preflight.device = MakeId<DeviceId>(0xD1);
  keys.enrolment.id = MakeId<EnrolmentId>(0xE1);
  attributes.directory = &directory;
  account_steps.directory = &directory;

  for (const auto& router : {browser, workstation}) {
    const auto page = MakeErrorPage(services, *catalog);
    auto guard = std::make_shared<Guard>(services, page, MakeStepUpPage(services, *catalog));
    router->SetErrorPage(page);
    router->SetGuard(
        [guard](Request& request, const Route& route) { return guard->Check(request, route); });
  }
  AddEnrolmentRoutes(*browser, services);
  AddAdminRoutes(*browser, services, streams);
  AddPageRoutes(*browser, services, *catalog, streams);
  AddWorkstationRoutes(*workstation, services, streams);
}

Request World::Get(const std::string& target) const {
  Request request;
  request.id = "0123456789abcdef";
  request.address = "127.0.0.1";
  auto parsed = ParseTarget(target);
  if (!parsed) throw std::runtime_error("bad target " + target);
  request.path = parsed->path;
  request.query = parsed->query;
  request.headers["host"] = "localhost:8443";
  request.headers["cookie"] = std::string(kSessionCookie) + "=" + kToken;
  return request;
}

Request World::Post(const std::string& target, const std::string& form) const {
  Request request = Get(target);
  request.method = Method::kPost;
  request.headers["content-type"] = "application/x-www-form-urlencoded";
  request.headers["origin"] = "https://localhost:8443";
  request.headers["sec-fetch-site"] = "same-origin";
  request.body = SecureBytes::CopyOf(std::string_view(form));
  return request;
}

}  // namespace keyferry::server::fake
