#include <cstdio>

#include "fake_services.h"

namespace keyferry::server::fake {
namespace {

struct Sample {
  const char* name;
  const char* login;
  const char* title;
  const char* department;
};

constexpr Sample kPeople[] = {
    {"Anna Kovalenko", "anna.kovalenko", "Accountant", "Finance"},
    {"Ben Okafor", "ben.okafor", "Service technician", "Field service"},
    {"Chiara Rossi", "chiara.rossi", "Head of purchasing", "Purchasing"},
    {"Dmytro Shevchuk", "dmytro.shevchuk", "Developer", "Engineering"},
    {"Elif Yılmaz", "elif.yilmaz", "Nurse", "Ward 3"},
    {"Freya Lindqvist", "freya.lindqvist", "Designer", "Marketing"},
    {"Georgi Petrov", "georgi.petrov", "Warehouse lead", "Logistics"},
    {"Hannah Weiß", "hannah.weiss", "Assistant", "Management"},
    {"Ines Moreau", "ines.moreau", "Lawyer", "Legal"},
    {"Jonas Berg", "jonas.berg", "Electrician", "Maintenance"},
    {"Katarzyna Nowak-Wiśniewska", "k.nowak", "Payroll specialist", "Human resources"},
    {"Luis Fernández", "luis.fernandez", "Sales", "Sales"},
    {"Mei Tanaka", "mei.tanaka", "Data analyst", "Controlling"},
    {"Nikhil Rao", "nikhil.rao", "Support engineer", "IT"},
    {"Olena Bondar", "olena.bondar", "Receptionist", "Front desk"},
    {"Pavel Novák", "pavel.novak", "Driver", "Logistics"},
    {"Quinn Murphy", "quinn.murphy", "Trainee", ""},
    {"Rosa Marques", "rosa.marques", "Cook", "Canteen"},
    {"Samuel Adeyemi", "samuel.adeyemi", "Physician", "Ward 1"},
    {"Tove Hansen", "tove.hansen", "Librarian", "Archive"},
    {"Ugo Bianchi", "ugo.bianchi", "Machinist", "Production"},
    {"Vera Horvat", "vera.horvat", "Quality manager", "Production"},
};

constexpr std::int64_t kNow = 1795243680000;  // 21 Nov 2026, 06:48 UTC

ChangeView Change(const AccountId& account, const std::string& login, std::uint8_t number) {
  ChangeView change;
  change.id = MakeId<ChangeId>(number);
  change.account = account;
  change.login = login;
  change.state = ChangeState::kConfirmed;
  change.actor_login = "alice.admin";
  change.reason = "INC-20417: forgot the password";
  change.created = kNow - 60000;
  change.ad_set = change.created + 240;
  change.queued = change.ad_set + 12;
  change.server = "dc1.demo.test";
  change.device = MakeId<DeviceId>(0xD1);
  change.job = MakeId<JobId>(number);
  change.seq = 3;
  change.job_state = JobState::kReady;
  SourceView lab;
  lab.name = "Laboratory";
  lab.login = login;
  lab.state = SourceState::kConfirmed;
  lab.server = "ldaps://ldap.lab.test";
  lab.attempted = change.ad_set + 20;
  lab.confirmed = change.ad_set + 60;
  change.sources.push_back(std::move(lab));
  return change;
}

ChangeView Delivered(ChangeView change) {
  change.state = ChangeState::kDone;
  change.job_state = JobState::kDelivered;
  change.spooled = change.queued + 40;
  change.delivered = change.queued + 620;
  change.workstation = "front-desk-2";
  change.receipt_ctr = 5;
  change.receipt_hash = "9f2c4e7ab1d05568c3e1f0472b9a8d6e5c70a1b2c3d4e5f60718293a4b5c6d7e";
  return change;
}

KeyView Key(std::uint8_t device, const PersonDetail& owner) {
  KeyView key;
  key.device = MakeId<DeviceId>(device);
  key.device.bytes[0] = static_cast<std::uint8_t>(device * 7);
  key.device.bytes[1] = 0x3c;
  key.device.bytes[2] = static_cast<std::uint8_t>(device + 0x91);
  key.state = KeyState::kActive;
  key.account = owner.person.id;
  key.login = owner.person.login;
  key.display_name = owner.person.display_name;
  key.pin_set = true;
  key.last_seq = 2;
  key.enrolled = kNow - 90000000;
  key.last_seen = kNow - 7200000;
  return key;
}

void AddWorkstations(World& world) {
  const auto add = [&world](std::uint8_t number, const char* name, WorkstationState state) {
    WorkstationView view;
    view.id = MakeId<WorkstationId>(number);
    view.name = name;
    view.os = "Debian GNU/Linux 12";
    view.version = "0.1.0";
    view.fingerprint =
        "3F2A 91C4 77B0 1E5D 0C88 A6F3 52D9 4B17 E0A1 6C3B 98F4 2D70 5BE6 13CA 84F9 07D2";
    view.state = state;
    view.address = "10.20.4." + std::to_string(number);
    view.created = kNow - 400000;
    view.last_seen = kNow - 30000;
    view.connected = state == WorkstationState::kApproved;
    view.keys_seen = 1;
    world.workstations.workstations.push_back(view);
  };
  add(11, "reception-1", WorkstationState::kPending);
  add(12, "front-desk-2", WorkstationState::kApproved);
  add(13, "ward-3-left", WorkstationState::kApproved);
  add(14, "old-laptop", WorkstationState::kRevoked);
  world.workstations.workstations[2].connected = false;
}

void AddHelpDesk(World& world) {
  Approval approval;
  approval.id = MakeId<ApprovalId>(0xA9);
  approval.account = world.directory.people[0].person.id;
  approval.login = world.directory.people[0].person.login;
  approval.display_name = world.directory.people[0].person.display_name;
  approval.asker = MakeId<AccountId>(0xAF);
  approval.asker_login = "olga.officer";
  approval.reason = "INC-7: forgot it";
  approval.facts = {{"mode", "now"}, {"must_change", "false"}, {"unlock", "true"}};
  approval.why = "This is a privileged person.";
  approval.created = 1795243680000;
  approval.expires = approval.created + 3'600'000;
  approval.hash = HashOf(approval);
  world.four_eyes.approvals = {approval};
  WebhookRecord webhook;
  webhook.id = MakeId<WebhookId>(0xB1);
  webhook.place = "https://itsm.corp.example";
  webhook.ticket = "INC-3";
  webhook.outcome = "blocked";
  webhook.state = WebhookState::kFailed;
  webhook.attempts = 51;
  webhook.created = webhook.since = approval.created;
  webhook.next_try = approval.created + 3 * 86'400'000;
  webhook.last_error = "The receiver does not answer.";
  world.webhooks.rows = {webhook, webhook, webhook};
  webhook.id = MakeId<WebhookId>(0xB2);
  webhook.ticket = "INC-2";
  webhook.outcome = "done";
  webhook.state = WebhookState::kQueued;
  webhook.attempts = 2;
  webhook.last_error = "The receiver answered with status 503.";
  world.webhooks.rows[1] = webhook;
  webhook.id = MakeId<WebhookId>(0xB3);
  webhook.ticket = "INC-1";
  webhook.state = WebhookState::kSent;
  webhook.sent = approval.created + 1200;
  webhook.last_error.clear();
  world.webhooks.rows[2] = webhook;
  HelpDeskView& view = world.help_desk.view;
  HelpDeskRequest& request = view.request;
  const Person& person = world.directory.people[0].person;
  request.id = MakeId<HelpDeskId>(0xD5);
  request.agent_login = "henry.desk";
  request.account = person.id;
  request.login = person.login;
  request.display_name = person.display_name;
  request.process = HelpDeskProcess::kReset;
  request.reason = "forgot it on holiday";
  request.ticket = "INC-1";
  request.state = HelpDeskState::kVerifying;
  request.version = 3;
  request.opened = world.clock.UnixMillis();
  request.expires = request.opened + 600'000;
  view.processes = {HelpDeskProcess::kReset, HelpDeskProcess::kUnlock,
                    HelpDeskProcess::kMustChange};
  view.needed_points = 2;
  view.needed_methods = 1;
  for (int i = 0; i <= static_cast<int>(kLastHelpDeskMethod); ++i) {
    HelpDeskOffer offer;
    offer.method = static_cast<HelpDeskMethod>(i);
    offer.points = 1;
    offer.left = 3;
    offer.sends_left = 3;
    view.offers.push_back(offer);
  }
  view.offers[1].shown = person.phone;
  view.offers[2].shown = person.mail;
  view.offers[2].sent = request.opened;
  view.offers[2].sent_until = request.expires;
  view.offers[4].shown = "front-desk-2";
  view.offers[4].sent = request.opened;
  view.offers[4].sent_until = request.opened + 180'000;
  view.offers[4].read_out = "047";
  view.offers[5].shown = "Maria Manager (maria.manager)";
  view.offers[5].sent = request.opened;
  view.offers[5].sent_until = request.expires;
  view.offers[5].read_out = "048213";
  view.offers[6].shown = "••• 42";
  view.offers[6].sent = request.opened;
  view.offers[6].sent_until = request.expires;
  view.offers[static_cast<std::size_t>(HelpDeskMethod::kQuestions)].questions = {
      world.questions.offered.offered[2], world.questions.offered.offered[0]};
  view.offers[3].fields = {PersonalField::kEmployeeId, PersonalField::kDepartment};
}

void AddAudit(World& world) {
  constexpr const char* kActions[][4] = {
      {"alice.admin", "password.set", "anna.kovalenko", "New password set in Active Directory."},
      {"workstation front-desk-2", "key.receipt", "anna.kovalenko", "Receipt verified."},
      {"alice.admin", "workstation.approve", "front-desk-2", ""},
      {"alice.admin", "signin", "alice.admin", ""},
      {"system", "signin", "mallory", "Wrong name or password."},
  };
  for (std::uint64_t number = 60; number > 0; --number) {
    const auto& action = kActions[number % 5];
    AuditView row;
    row.number = number;
    row.time = kNow - static_cast<std::int64_t>(60 - number) * 90000;
    row.actor = action[0];
    row.action = action[1];
    row.target = action[2];
    row.detail = action[3];
    row.outcome = number % 5 == 4 ? "unauthenticated" : "ok";
    row.address = "10.20.4.7";
    row.hash = "9f2c4e7ab1d05568c3e1f0472b9a8d6e5c70a1b2c3d4e5f60718293a4b5c6d7e";
    world.audit.rows.push_back(row);
  }
}

}  // namespace

void AddReports(World& world) {
  ReportFigures& figures = world.reports.figures;
  figures.at = world.clock.UnixMillis();
  figures.since = figures.at - figures.at % kDayMillis - (kReportDays - 1) * kDayMillis;
  figures.pending = 12;
  figures.long_pending = 2;
  figures.ahead = 9;
  figures.failed_verifications = 5;
  figures.keys = {0, 41, 3, 1, 4, 2};
  figures.keys_alarmed = 1;
  world.attributes.attributes = {{"mobile", {"+380 67 555 01 02"}},
                                 {"physicalDeliveryOfficeName", {"4.12", "4.13"}},
                                 {"info", {}}};
  world.audit_filters.filters = {
      {MakeId<AuditFilterId>(0xF1), {}, "Help desk today", "period=day&action=help_desk.%2A"}};
  world.warnings.warning =
      Warning{MakeId<WarningId>(0xF2), 12, figures.at - 3'600'000, figures.at, 0, {}};
  NoticeRecord notice;
  notice.number = 7;
  notice.account = world.directory.people[2].person.id;
  notice.login = world.directory.people[2].person.login;
  notice.by = "henry.desk";
  notice.address = "10.1.2.3";
  notice.reason = "INC-9: forgot it <b>again</b>";
  notice.created = figures.at - 7'200'000;
  notice.person = NoticeRecord::Mail::kSent;
  notice.manager = NoticeRecord::Mail::kNone;
  notice.mailed = notice.created + 4'000;
  world.notices.notices = {notice};
  notice.number = 8;
  notice.kind = NoticeKind::kKeyAdded;
  notice.account = world.directory.people[8].person.id;
  notice.login = world.directory.people[8].person.login;
  notice.device = MakeId<DeviceId>(0x18);
  notice.objected = figures.at - 600'000;
  notice.objected_from = "link, 192.0.2.9";
  world.notices.notices.push_back(notice);
  figures.workstations = {2, 18, 1};
  for (int i = 0; i < kReportDays; ++i) {
    figures.set.push_back(
        {figures.since + i * kDayMillis, static_cast<std::uint64_t>(i % 7 < 5 ? (i * 5) % 13 : 0)});
  }
  figures.processes = {{HelpDeskProcess::kReset, 31, 4, 2}, {HelpDeskProcess::kUnlock, 12, 1, 0}};
  const auto& people = world.directory.people;
  for (std::size_t i = 0; i < 5; ++i) {
    ReportChange change;
    change.number = 50 - i;
    change.account = people[i].person.id;
    change.login = people[i].person.login;
    change.actor_login = "alice.admin";
    change.reason = "Forgotten";
    change.state = static_cast<ChangeState>(i);
    change.ahead = change.state == ChangeState::kConfirmed;
    change.created = figures.at - static_cast<std::int64_t>(i) * kDayMillis;
    change.confirmed = change.ahead ? change.created + 900 : 0;
    world.reports.changes.push_back(change);
  }
}

void Populate(World& world) {
  std::uint8_t number = 1;
  for (const Sample& sample : kPeople) {
    PersonDetail detail;
    detail.person.id = MakeId<AccountId>(number++);
    detail.person.display_name = sample.name;
    detail.person.login = sample.login;
    detail.person.upn = std::string(sample.login) + "@demo.test";
    detail.person.title = sample.title;
    detail.person.department = sample.department;
    detail.person.mail = std::string(sample.login) + "@demo.test";
    detail.person.phone = "+380 44 555 01 " + std::to_string(number + 10);
    detail.person.employee_id = std::to_string(40000 + number * 13);
    world.directory.people.push_back(detail);
  }
  auto& people = world.directory.people;
  people[3].state.locked = true;
  people[6].state.is_protected = true;
  people[6].state.protected_reason = "Member of Domain Admins";
  for (const std::size_t index : {0u, 1u, 2u, 3u, 6u, 8u}) {
    world.keys.keys.push_back(Key(static_cast<std::uint8_t>(0x10 + index), people[index]));
  }
  world.keys.keys[0].seen_at = "front-desk-2";
  world.keys.keys[3].state = KeyState::kSuspended;
  world.keys.keys[4].alarm = "The key's counter went back: it may be a copy.";

  const auto history = [&](std::size_t index) -> std::vector<ChangeView>& {
    return world.changes.history[people[index].person.id];
  };
  ChangeView first = Delivered(Change(people[0].person.id, people[0].person.login, 1));
  first.device = world.keys.keys[0].device;
  ChangeView earlier = first;
  earlier.created -= 86400000 * 20LL;
  earlier.job_state = JobState::kUsed;
  earlier.reason = "First password on the new key";
  ChangeView failed = earlier;
  failed.state = ChangeState::kFailed;
  failed.created -= 86400000;
  failed.generated = false;
  history(0) = {first, earlier, failed};

  ChangeView ahead = Change(people[1].person.id, people[1].person.login, 2);
  ahead.last_error = "The key was unplugged during the delivery.";
  ahead.device = world.keys.keys[1].device;
  history(1) = {ahead, earlier};
  ChangeView unknown = Change(people[2].person.id, people[2].person.login, 3);
  unknown.state = ChangeState::kUnknown;
  unknown.ad_set = unknown.queued = 0;
  history(2) = {unknown};
  ChangeView refused = failed;
  refused.error = "The domain's password policy refused it: it is in the password history.";
  refused.ad_set = refused.queued = refused.spooled = refused.delivered = 0;
  refused.job_state = JobState::kCancelled;
  history(3) = {refused};

  NewKeyView fresh;
  fresh.device = MakeId<DeviceId>(0xF4);
  fresh.device.bytes[1] = 0x2a;
  fresh.workstation = MakeId<WorkstationId>(12);
  fresh.workstation_name = "front-desk-2";
  fresh.transport = "hid";
  fresh.simulator = true;
  world.keys.unassigned.push_back(fresh);
  world.keys.enrolment.account = people[4].person.id;
  SourceChoice lab{"Laboratory", "openldap", PersonKey::kMail, true, "anna", {}};
  SourceChoice archive{"Archive", "openldap", PersonKey::kLogin, false, {}, "No account there."};
  world.changes.preflight.sources = {lab, archive};
  world.changes.preflight.key_seen = true;
  world.changes.preflight.seen_at = "front-desk-2";
  AddWorkstations(world);
  AddAudit(world);
  AddHelpDesk(world);
  AddReports(world);
  world.check_up.report.at = world.clock.UnixMillis();
  world.check_up.report.findings = {
      {Finding::Status::kOk, "database: whole", "", ""},
      {Finding::Status::kWarning, "service account: password", "It ends in 9 days.",
       "Set a new one in Active Directory and in directory.password_file."},
      {Finding::Status::kProblem, "right Reset Password on OU=Branch,DC=corp,DC=example",
       "The service account may not reset passwords of people there.",
       "On a domain controller, as a domain administrator:\ndsacls "
       "\"OU=Branch,DC=corp,DC=example\" /I:S /G \"CORP\\svc-keyferry:CA;Reset "
       "Password;user\"\nor, on Samba:\nsamba-tool dsacl set "
       "--objectdn=\"OU=Branch,DC=corp,DC=example\" "
       "--sddl=\"(OA;CIIO;CR;00299570-246d-11d0-a768-00aa006e0529;bf967aba-0de6-11d0-a285-"
       "00aa003049e2;S-1-5-21-1-2-3-1105)\""}};
}

}  // namespace keyferry::server::fake
