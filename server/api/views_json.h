#pragma once

#include <boost/json/object.hpp>

#include "server/core/alarm.h"
#include "server/core/audit.h"
#include "server/core/changes.h"
#include "server/core/directory.h"
#include "server/core/fido_keys.h"
#include "server/core/four_eyes.h"
#include "server/core/keys.h"
#include "server/core/notice_store.h"
#include "server/core/rotation.h"
#include "server/core/session.h"
#include "server/core/tokens.h"
#include "server/core/webhook_records.h"
#include "server/core/workstations.h"

namespace keyferry::server {

// The services' views as the REST API shows them (docs/api.md). Times are Unix milliseconds, 0 =
// not yet; identifiers are 32 hex digits.
boost::json::object ToJson(const Person& person);
boost::json::object ToJson(const PersonDetail& detail);
boost::json::object ToJson(const SourceChoice& source);
boost::json::object ToJson(const SourceView& source);
boost::json::object ToJson(const ChangeView& change);
boost::json::object ToJson(const KeyView& key);
boost::json::object ToJson(const NewKeyView& key);
boost::json::object ToJson(const EnrolmentView& enrolment);
boost::json::object ToJson(const WorkstationView& workstation);
boost::json::object ToJson(const WorkstationMatch& match);
boost::json::object ToJson(const AuditView& row);
boost::json::object ToJson(const TokenView& token);
boost::json::object ToJson(const FidoKeyView& view);
boost::json::object ToJson(const AlarmView& view);
boost::json::object ToJson(const RotationPolicy& policy);
boost::json::object ToJson(const ApprovalView& view);
boost::json::object ToJson(const NoticeRecord& notice);
boost::json::object ToJson(const RotationCandidate& member);
boost::json::object ToJson(const WebhookRecord& one);
const char* EnrolmentName(EnrolmentState state);

}  // namespace keyferry::server
