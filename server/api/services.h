#pragma once

#include <functional>
#include <string>

#include "server/core/activation_mail.h"
#include "server/core/attributes.h"
#include "server/core/audit.h"
#include "server/core/audit_filters.h"
#include "server/core/changes.h"
#include "server/core/clock.h"
#include "server/core/directory.h"
#include "server/core/event_bus.h"
#include "server/core/finding.h"
#include "server/core/keys.h"
#include "server/core/people.h"
#include "server/core/reports.h"
#include "server/core/request_journal.h"
#include "server/core/rotation.h"
#include "server/core/second_factor.h"
#include "server/core/session.h"
#include "server/core/tokens.h"
#include "server/core/warnings.h"
#include "server/core/workstations.h"
#include "server/http/message.h"

namespace keyferry::server {

class AccountSteps;
class AlarmService;
class FidoKeys;
class FourEyes;
class HelpDeskService;
class WebhookService;
class NoticeService;
class SecurityQuestions;

// What API and pages may call. Everything outlives the routers that were built from it.
struct Services {
  SessionService& sessions;
  ChangeService& changes;
  KeyService& keys;
  WorkstationService& workstations;
  AuditService& audit;
  Directory& directory;
  EventBus& bus;
  Clock& clock;
  std::string version;
  std::string daemon_url;  // https://name:port of the workstation listener
  // Writes an error with its detail and the request's id to the log.
  std::function<void(const Request&, const Error&)> report;
  CheckUp& check_up;
  TokenService& tokens;
  RequestJournal& journal;
  // Checks the whole audit log against the checkpoints: what it found, in words; the error says
  // what is wrong with the log. Reads all of it.
  std::function<Result<std::string>()> verify_audit;
  PeopleService& people;
  RotationService* rotation = nullptr;          // null: no policies here
  ActivationMail* activation_mail = nullptr;    // null: codes go on paper only
  HelpDeskService* help_desk = nullptr;         // null: no help desk here
  SecondFactor* factors = nullptr;              // null where nobody signs in
  ReportService* reports = nullptr;             // null: no reports here
  AuditFilterService* audit_filters = nullptr;  // null where there are no pages
  AttributeService* attributes = nullptr;       // null: none are configured
  WarningService* warnings = nullptr;           // null where there are no reports
  FourEyes* four_eyes = nullptr;                // null where nobody needs a second person
  AlarmService* alarm = nullptr;                // null: none can be raised here
  WebhookService* webhooks = nullptr;           // null: nobody is told of the help desk's requests
  FidoKeys* fido = nullptr;                     // null: no FIDO2 keys here
  NoticeService* notices = nullptr;             // null: nobody is told of anything here
  bool self_service = false;                    // whether there is the page /me
  SecurityQuestions* questions = nullptr;       // null: none are asked here
  bool own_passwords = false;                   // whether employees change their own there
  AccountSteps* account_steps = nullptr;        // null where nobody does them
};

}  // namespace keyferry::server
