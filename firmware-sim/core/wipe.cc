#include "firmware-sim/core/key.h"

namespace keyferry::sim {

using protocol::Status;

// Ends the enrolment. The receipt (the job's, filled in up to its counter, or null for one that
// nobody ordered) is signed and durable before the keys go. A tampered key whose record is lost can
// sign none.
Key::Status Key::Wipe(protocol::Receipt* receipt) {
  protocol::Receipt local;
  if (receipt == nullptr) {
    local = ReceiptOf(storage_.state());
    local.result = Status::kWiped;
    receipt = &local;
  }
  receipt->flags = 0;
  receipt->epoch = 0;
  receipt->recipient_pub = {};
  Persistent& draft = storage_.Draft();
  const bool signable = Enrolled();
  if (signable && !AppendReceipt(draft, *receipt)) return Status::kInternal;
  const std::uint64_t receipt_ctr = signable ? draft.receipt_ctr : 0;
  Renew(draft);
  draft.phase = Phase::kWiped;
  draft.era = storage_.NextEra();
  draft.receipt_ctr = receipt_ctr;
  if (signable) draft.journal[receipt_ctr % protocol::kJournalSize] = receipt->Encode();
  const Status status = FromStore(storage_.Wipe());
  if (status != Status::kOk) return status;
  NewColdStatic();
  wrong_pins_ = 0;
  sessions_.ForgetPins();
  return Status::kOk;
}

void Key::WipeLocal() {
  const Status status = Wipe(nullptr);
  if (status != Status::kOk) return Respond(status);
  after_ = After::kEndAllSessions;
  const auto& state = storage_.state();
  Respond(Status::kOk, state.journal[state.receipt_ctr % protocol::kJournalSize]);
}

}  // namespace keyferry::sim
