#pragma once

#include "server/core/encoding.h"
#include "server/core/records.h"

namespace keyferry::server {

inline KeyDelivery DeliveryOf(const JobRecord& job) {
  KeyDelivery out;
  out.device = job.device;
  out.job = job.id;
  out.seq = job.seq;
  out.state = job.state;
  out.last_error = job.last_error;
  out.attempts = job.attempts;
  out.next_try = job.next_try;
  out.queued = job.queued;
  out.spooled = job.spooled;
  out.workstation = job.workstation_name;
  // The receipt of a HOLD proves that the key is prepared, not that it has the password.
  if (job.type == JobType::kHold && job.state == JobState::kDelivered) {
    out.state = JobState::kHeld;
    return out;
  }
  out.delivered = job.delivered;
  out.receipt_ctr = job.receipt_ctr;
  if (job.receipt_hash) out.receipt_hash = ToHex(*job.receipt_hash);
  out.used = job.used;
  return out;
}

inline ChangeView ViewOf(const ChangeRow& row) {
  const ChangeRecord& change = row.change;
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
  // Confirmed, and in doubt: an older change may have written after it.
  view.incident = change.doubt || (change.state == ChangeState::kSuperseded &&
                                   change.error_code == ErrorCode::kOutcomeUnknown);
  view.prepared = change.prepared;
  view.expires = change.expires;
  view.device = change.device;
  view.job = change.job;
  const KeyDelivery lead = DeliveryOf(row.job);
  view.seq = lead.seq;
  view.job_state = lead.state;
  view.last_error = lead.last_error;
  view.attempts = lead.attempts;
  view.next_try = lead.next_try;
  view.queued = lead.queued;
  view.spooled = lead.spooled;
  view.workstation = lead.workstation;
  view.delivered = lead.delivered;
  view.receipt_ctr = lead.receipt_ctr;
  view.receipt_hash = lead.receipt_hash;
  view.used = lead.used;
  for (const KeyJob& key : row.keys) {
    view.keys.push_back(DeliveryOf(key.job));
    view.keys.back().in_use = key.in_use;
  }
  return view;
}

}  // namespace keyferry::server
