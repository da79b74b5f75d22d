#include "fake_services.h"

#include <algorithm>
#include <stdexcept>

#include "server/http/target.h"

namespace keyferry::server::fake {

Result<SignedIn> FakeSessions::SignIn(std::string_view name, const SecureBytes& password,
                                      std::string_view, std::string_view) {
  ++sign_ins;
  if (sign_in_error) return tl::unexpected(*sign_in_error);
  if (name != "alice.admin" || password.view() != "right") {
    return Fail(ErrorCode::kUnauthenticated, "The user name or the password is wrong.");
  }
  return SignedIn{World::kToken, sessions.at(World::kToken)};
}

Result<SignedInByTicket> FakeSessions::SignInByTicket(std::span<const std::uint8_t> token,
                                                      std::string_view, std::string_view) {
  ++sign_ins;
  if (sign_in_error) return tl::unexpected(*sign_in_error);
  if (std::string(token.begin(), token.end()) != kTicket) {
    return Fail(ErrorCode::kUnauthenticated,
                "Your Windows ticket was not accepted. Try again, or sign in with your password.",
                "a secret detail");
  }
  SignedInByTicket signed_in{{World::kToken, sessions.at(World::kToken)}, {1, 2, 3}};
  if (incomplete) signed_in.signed_in.session.stage = SessionStage::kCodeOwed;
  return signed_in;
}

Result<Session> FakeSessions::Find(std::string_view token, std::string_view) {
  const auto found = sessions.find(token);
  if (found == sessions.end() || incomplete) {
    return Fail(ErrorCode::kUnauthenticated, "Please sign in.");
  }
  return found->second;
}

Result<Session> FakeSessions::FindIncomplete(std::string_view token, std::string_view) {
  const auto found = sessions.find(token);
  if (found == sessions.end() || !incomplete) {
    return Fail(ErrorCode::kUnauthenticated, "Please sign in.");
  }
  Session session = found->second;
  session.stage = SessionStage::kCodeOwed;
  return session;
}

Result<std::vector<Session>> FakeSessions::List() {
  std::vector<Session> all;
  for (const auto& [unused, session] : sessions) all.push_back(session);
  return all;
}

Result<void> FakeSessions::End(const Actor& actor, const SessionId& id) {
  calls.push_back("end " + id.Hex() + " by " + actor.login);
  return {};
}

Result<std::size_t> FakeSessions::EndOthers(const Actor& actor, const SessionId& kept) {
  calls.push_back("end all but " + kept.Hex() + " by " + actor.login);
  return 1;
}

Result<FactorProposal> FakeSecondFactor::Propose(const Session&) {
  calls.emplace_back("propose");
  return FactorProposal{SecureBytes::CopyOf(std::string_view(kSecret)),
                        SecureBytes::CopyOf(std::string_view("otpauth://totp/Keyferry:a?secret="))};
}

Result<FactorConfirmed> FakeSecondFactor::Confirm(std::string_view token, const Session& session,
                                                  const SecureBytes& first,
                                                  const SecureBytes& second) {
  if (first.view() == second.view()) {
    return Fail(ErrorCode::kUnauthenticated, "These are not two codes in a row.");
  }
  auto signed_in = Prove(token, session, second);
  if (!signed_in) return tl::unexpected(signed_in.error());
  FactorConfirmed confirmed;
  confirmed.signed_in = *std::move(signed_in);
  confirmed.recovery.push_back(SecureBytes::CopyOf(std::string_view(kRecovery)));
  return confirmed;
}

Result<SignedIn> FakeSecondFactor::Prove(std::string_view token, const Session& session,
                                         const SecureBytes& code) {
  calls.emplace_back("prove");
  if (code.view() != kCode) {
    return Fail(ErrorCode::kUnauthenticated, "This code is not right.");
  }
  SignedIn renewed{World::kRenewedToken, session};
  renewed.session.stage = SessionStage::kComplete;
  sessions.sessions.erase(std::string(token));
  sessions.sessions[renewed.token] = renewed.session;
  sessions.incomplete = false;
  stale = false;
  return renewed;
}

Result<std::vector<SecureBytes>> FakeSecondFactor::NewRecovery(const Session&) {
  calls.emplace_back("recovery");
  std::vector<SecureBytes> codes;
  codes.push_back(SecureBytes::CopyOf(std::string_view(kRecovery)));
  return codes;
}

Result<void> FakeSecondFactor::Reset(const Actor& actor, const AccountId& account) {
  calls.push_back("reset " + account.Hex() + " by " + actor.login);
  if (reset_error) return tl::unexpected(*reset_error);
  return {};
}

void FakeSessions::SignOut(std::string_view token) {
  const auto found = sessions.find(token);
  if (found != sessions.end()) sessions.erase(found);
}

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

Result<std::vector<KeyView>> FakeKeys::OfAccount(const AccountId& account) {
  std::vector<KeyView> own;
  for (const KeyView& key : keys) {
    if (key.account == account) own.push_back(key);
  }
  return own;
}

Result<KeyView> FakeKeys::Get(const DeviceId& device) {
  for (const KeyView& key : keys) {
    if (key.device == device) return key;
  }
  return Fail(ErrorCode::kNotFound, "This key is not enrolled here.");
}

Result<KeyView> FakeKeys::Step(const Actor& actor, const DeviceId& device, KeyStep step,
                               std::string_view reason) {
  calls.push_back("step " + actor.login + " " + device.Hex() + " " +
                  std::to_string(static_cast<int>(step)) + " " + std::string(reason));
  return Get(device);
}

Result<EnrolmentStarted> FakeKeys::BeginEnrolment(const Actor& actor, const AccountId&,
                                                  const DeviceId& device, const WorkstationId&,
                                                  const std::optional<DeviceId>& replaces) {
  calls.push_back("begin " + actor.login + " " + device.Hex() +
                  (replaces ? " for " + replaces->Hex() : std::string()));
  enrolment.device = device;
  enrolment.replaces = replaces;
  return EnrolmentStarted{enrolment.id, "7KQM-2XWD-94TB-ZR6H"};
}

Result<EnrolmentView> FakeKeys::Enrolment(const EnrolmentId& id) {
  if (id != enrolment.id) return Fail(ErrorCode::kNotFound, "There is no such enrolment.");
  return enrolment;
}

Result<EnrolmentView> FakeKeys::ClearEnrolment(const Actor& actor, const EnrolmentId& id,
                                               std::string_view reason) {
  if (id != enrolment.id) return Enrolment(id);
  if (clear_error) return tl::unexpected(*clear_error);
  calls.push_back("clear " + actor.login + " " + id.Hex() + " " + std::string(reason));
  return enrolment;
}

Result<std::vector<std::uint8_t>> FakeKeys::AcceptStatement(const WorkstationId&,
                                                            const EnrolmentId&,
                                                            std::span<const std::uint8_t>,
                                                            std::span<const std::uint8_t>) {
  calls.push_back("statement");
  return std::vector<std::uint8_t>(204, 1);
}

Result<ReceiptVerdict> FakeKeys::FinishEnrolment(const WorkstationId&, const EnrolmentId&,
                                                 std::span<const std::uint8_t>) {
  calls.push_back("finish");
  return ReceiptVerdict{ReceiptVerdict::kStored, ""};
}

Result<void> FakeKeys::EnrolmentProblem(const WorkstationId&, const EnrolmentId&,
                                        std::string_view code, std::string_view) {
  calls.push_back("problem " + std::string(code));
  return {};
}

Result<ReceiptVerdict> FakeKeys::AcceptReceipt(const WorkstationId&, const DeviceId&,
                                               std::span<const std::uint8_t>) {
  calls.push_back("receipt");
  return ReceiptVerdict{ReceiptVerdict::kDuplicate, "seen before"};
}

Result<void> FakeKeys::Used(const WorkstationId&, const DeviceId&, std::uint64_t seq) {
  calls.push_back("used " + std::to_string(seq));
  return {};
}

Result<WorkstationRegistered> FakeWorkstations::Register(const WorkstationRequest& request) {
  registered.push_back(request);
  return WorkstationRegistered{MakeId<WorkstationId>(7), "poll-token", "AB12 CD34"};
}

Result<WorkstationEnrolment> FakeWorkstations::Enrolment(const WorkstationId&,
                                                         std::string_view token) {
  if (token != "poll-token") return Fail(ErrorCode::kUnauthenticated, "Unknown token.");
  WorkstationEnrolment enrolment;
  enrolment.state = WorkstationState::kApproved;
  enrolment.certificates.emplace();
  enrolment.certificates->certificate_pem = "PEM";
  enrolment.certificates->deliver_cert.assign(144, 2);
  return enrolment;
}

Result<void> FakeWorkstations::Approve(const Actor& actor, const WorkstationId& id) {
  calls.push_back("approve " + actor.login + " " + id.Hex());
  return {};
}

Result<void> FakeWorkstations::Revoke(const Actor& actor, const WorkstationId& id) {
  calls.push_back("revoke " + actor.login + " " + id.Hex());
  return {};
}

Result<std::array<std::uint8_t, 32>> FakeWorkstations::LoginChallenge(
    const WorkstationId&, const std::array<std::uint8_t, 32>& login_noise_pub) {
  return login_noise_pub;
}

Result<std::vector<std::uint8_t>> FakeWorkstations::CertifyLogin(
    const WorkstationId&, const std::array<std::uint8_t, 32>&, const std::array<std::uint8_t, 32>&,
    const std::array<std::uint8_t, 32>& proof) {
  if (proof[0] != 0) return Fail(ErrorCode::kPermissionDenied, "No proof.");
  return std::vector<std::uint8_t>(144, 1);
}

Result<void> FakeWorkstations::AllowLogin(const Actor& actor, const WorkstationId& id) {
  calls.push_back("allow-login " + actor.login + " " + id.Hex());
  return {};
}

Result<WorkstationId> FakeWorkstations::Authenticate(const std::array<std::uint8_t, 32>&) {
  if (!caller) return Fail(ErrorCode::kPermissionDenied, "This workstation is not approved.");
  return *caller;
}

// Of those that wait, the ones with a computer account match.
Result<std::vector<WorkstationMatch>> FakeWorkstations::Matches(const Actor&) {
  std::vector<WorkstationMatch> out;
  for (const WorkstationView& view : workstations) {
    if (view.state != WorkstationState::kPending) continue;
    const bool good = !view.computer.empty();
    out.push_back({view, good ? "CN=" + view.computer + ",DC=corp,DC=example" : std::string(),
                   good ? "" : "It says that it is in no domain."});
  }
  return out;
}

Result<std::vector<WorkstationDecision>> FakeWorkstations::ApproveMatching(
    const Actor& actor, std::span<const WorkstationId> ids) {
  std::vector<WorkstationDecision> out;
  for (const WorkstationId& id : ids) {
    calls.push_back("approve-matching " + actor.login + " " + id.Hex());
    out.push_back({id, "pc", std::nullopt});
    if (id == refused) out.back().refused = Error{ErrorCode::kConflict, "It is gone.", {}, 0};
  }
  return out;
}

Result<std::string> FakeWorkstations::RenewCertificate(const WorkstationId&, std::string_view csr) {
  return "certificate for " + std::string(csr);
}

Result<std::vector<WorkstationEvent>> FakeWorkstations::Connected(
    const WorkstationId&, const WorkstationGreeting& greeting) {
  calls.push_back("connected");
  greetings.push_back(greeting);
  return std::vector<WorkstationEvent>{{"hello", "{\"protocol\":1}"}};
}

void FakeWorkstations::Disconnected(const WorkstationId&) { calls.push_back("disconnected"); }

Result<void> FakeWorkstations::SeenKeys(const WorkstationId&, std::span<const SeenKey> keys) {
  calls.push_back("keys " + std::to_string(keys.size()));
  return {};
}

Result<void> FakeWorkstations::Spooled(const WorkstationId&, const JobId& job) {
  calls.push_back("spooled " + job.Hex());
  return {};
}

Result<void> FakeWorkstations::JobProblem(const WorkstationId&, const JobId&, std::string_view code,
                                          std::string_view message) {
  calls.push_back("problem " + std::string(code) + " " + std::string(message));
  return {};
}

Result<TokenView> FakeTokens::Get(const TokenId& id) {
  for (const TokenView& token : tokens) {
    if (token.id == id) return token;
  }
  return Fail(ErrorCode::kNotFound, "There is no such token.");
}

Result<TokenIssued> FakeTokens::Create(const Actor& actor, const TokenRequest& request) {
  calls.push_back("create " + actor.login + " " + request.name + " " +
                  std::to_string(request.days) + " " + std::to_string(request.scopes.size()));
  if (request.name.empty() || request.days < 1) {
    return Fail(ErrorCode::kInvalidArgument, "The token needs a name and days.");
  }
  TokenView view;
  view.id = MakeId<TokenId>(static_cast<std::uint8_t>(0x70 + tokens.size()));
  view.name = request.name;
  view.scopes = request.scopes;
  view.creator = actor.login;
  view.created = 1795243680000;
  view.expires = view.created + request.days * 86'400'000;
  tokens.insert(tokens.begin(), view);
  return TokenIssued{view, kSecret};
}

Result<TokenView> FakeTokens::Revoke(const Actor& actor, const TokenId& id) {
  calls.push_back("revoke " + actor.login + " " + id.Hex());
  for (TokenView& token : tokens) {
    if (token.id != id) continue;
    token.revoked = 1795243690000;
    token.revoked_by = actor.login;
    return token;
  }
  return Fail(ErrorCode::kNotFound, "There is no such token.");
}

Result<TokenVerdict> FakeTokens::Judge(std::string_view secret, std::string_view scope,
                                       std::string_view what, std::string_view address) {
  TokenVerdict out;
  if (secret != kSecret) return out;
  calls.push_back("judge " + std::string(what));
  out.kind = verdict;
  out.token.id = MakeId<TokenId>(0x77);
  out.token.name = "robot";
  if (verdict == TokenVerdict::kAllowed && !scope.empty() &&
      std::find(scopes.begin(), scopes.end(), scope) == scopes.end()) {
    out.kind = TokenVerdict::kMissingScope;
  }
  out.retry_seconds = 7;
  out.actor = {MakeId<AccountId>(0xAA), "token robot", "robot", roles, std::string(address)};
  return out;
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
               /*own_passwords=*/true} {
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
