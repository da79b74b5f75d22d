#pragma once

#include "server/core/encoding.h"
#include "server/core/records.h"

namespace keyferry::server {

inline ChangeView ViewOf(const ChangeRow& row) {
  const ChangeRecord& change = row.change;
  const JobRecord& job = row.job;
  ChangeView view;
  view.id = change.id;
  view.account = change.account;
  view.login = change.login;
  view.mode = change.mode;
  view.state = change.state;
  view.error = change.error;
  view.actor_login = change.actor_login;
  view.reason = change.reason;
  view.generated = change.generated;
  view.must_change = change.must_change;
  view.created = change.created;
  view.ad_set = change.confirmed;
  view.server = change.server;
  const bool over = change.state == ChangeState::kConfirmed || change.state == ChangeState::kDone;
  view.incident = (change.doubt && !over) || (change.state == ChangeState::kSuperseded &&
                                              change.error_code == ErrorCode::kOutcomeUnknown);
  view.prepared = change.prepared;
  view.expires = change.expires;
  view.device = change.device;
  view.job = change.job;
  view.seq = job.seq;
  view.job_state = job.state;
  view.last_error = job.last_error;
  view.queued = job.queued;
  view.spooled = job.spooled;
  view.workstation = job.workstation_name;
  view.attempts = job.attempts;
  view.next_try = job.next_try;
  // The receipt of a HOLD proves that the key is prepared, not that it has the password.
  if (job.type == JobType::kHold && job.state == JobState::kDelivered) {
    view.job_state = JobState::kHeld;
    return view;
  }
  view.delivered = job.delivered;
  view.receipt_ctr = job.receipt_ctr;
  if (job.receipt_hash) view.receipt_hash = ToHex(*job.receipt_hash);
  view.used = job.used;
  return view;
}

}  // namespace keyferry::server
