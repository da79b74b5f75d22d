// LINKS: keyferry_firmware_bench
// Random commands and power cuts against a model of what an employee's key must know. Each byte
// pair of the input is one command; a cut command is one whose flash steps are replayed up to a
// point, the last one torn.

#include <cstdio>
#include <cstdlib>

#include "firmware-sim/flash/power_cut.h"
#include "tests/unit/firmware-sim/bench.h"

namespace {

using namespace keyferry::sim;
using namespace keyferry::sim::test;
using keyferry::protocol::JobType;

constexpr std::size_t kMaxCommands = 8;

void Must(bool ok, int line = __builtin_LINE()) {
  if (ok) return;
  std::fprintf(stderr, "firmware_stateful.cc:%d does not hold\n", line);
  std::abort();
}

struct Model {
  std::string slots[3];  // empty: none
  keyferry::protocol::Id pending_job{};
  std::uint64_t last_seq = 0;
  int tries = 8;
  int wrong = 0;  // in this power cycle
  void Promote(const std::string& password) {
    slots[kPrevious] = slots[kCurrent];
    slots[kCurrent] = password;
    slots[kPending].clear();
  }
};

// A key with its owner, in the state after enrolment and PIN_SET; made once.
struct Start {
  FlashImage image;
  keyferry::protocol::Statement statement;
  keyferry::protocol::Receipt receipt;
  Blob receipt_bytes;
};
const Start& Prepared() {
  static const Start start = [] {
    Bench bench;
    bench.PowerOn();
    Owner owner(bench);
    owner.Enrol();
    Host login = owner.Login();
    Must(login.Connect() && login.Request(Op::kPinSet, owner.PinSetBody(kPin)).ok());
    return Start{bench.flash().image(), owner.statement, owner.last, owner.last_bytes};
  }();
  return start;
}

class Run {
 public:
  Run() : bench_(Prepared().image), owner_(bench_) {
    owner_.statement = Prepared().statement;
    owner_.last = Prepared().receipt;
    owner_.last_bytes = Prepared().receipt_bytes;
    bench_.PowerOn();
  }

  void Command(std::uint8_t op, std::uint8_t argument) {
    const bool cut = (op & 0x80) != 0;
    const FlashImage before = bench_.flash().image();
    const Model old_model = model_;
    std::vector<FlashStep> steps;
    if (cut) bench_.flash().Record(&steps);
    Do(op & 0x7F);
    bench_.flash().Record(nullptr);
    Must(bench_.flash().violations() == 0);
    if (cut) {
      Cut(before, old_model, steps, argument);
      Check();
    }
  }

  // What a login finds: every password where the model has it.
  void Check() {
    Host login = Connected(owner_.Login());
    Must(login.status().last_seq == model_.last_seq);
    for (std::size_t i = 0; i < kSlots; ++i) {
      Must(((login.status().slots >> i & 1) != 0) == !model_.slots[i].empty());
    }
    if (model_.tries == 0 || model_.wrong >= 3) return;
    for (const std::uint8_t slot : {std::uint8_t{0}, std::uint8_t{1}}) {
      Must(owner_.Release(login, kPin, slot) == model_.slots[slot]);
    }
    model_.tries = 8;
    model_.wrong = 0;
  }

 private:
  Host Connected(Host host) {
    Must(host.Connect());
    bench_.Pass(2'000);  // fewer than eleven hellos in ten seconds
    return host;
  }

  void PutJob(const Blob& job) {
    Host daemon = Connected(owner_.Daemon());
    job_ = job;
    Must(owner_.Put(daemon, job).ok());
    model_.last_seq = owner_.seq;
  }

  void Do(int op) {
    job_.clear();
    const std::string password = "password-" + std::to_string(++passwords_);
    switch (op % 8) {
      case 0:
        PutJob(owner_.SealPassword(password));
        model_.Promote(password);
        break;
      case 1:
        PutJob(owner_.SealPassword(password, keyferry::protocol::kFlagHold));
        model_.slots[kPending] = password;
        model_.pending_job = owner_.header.job_id;
        break;
      case 2:
        if (model_.slots[kPending].empty()) break;
        PutJob(owner_.Seal(JobType::kCommit, model_.pending_job));
        model_.Promote(std::string(model_.slots[kPending]));
        break;
      case 3:
        if (model_.slots[kPending].empty()) break;
        PutJob(owner_.Seal(JobType::kDrop, model_.pending_job));
        model_.slots[kPending].clear();
        break;
      case 4:
        Verify("000000", false);
        break;
      case 5:
        Verify(kPin, true);
        break;
      case 6: {
        Host login = Connected(owner_.Login());
        Blob body = Copy(owner_.account);
        body.insert(body.end(), 8, 0x7F);
        const Reply reply = login.Request(Op::kConfirmLogin, body);
        Must(reply.status == (model_.slots[kCurrent].empty() ? Status::kNoPassword : Status::kOk));
        model_.slots[kPrevious].clear();
        break;
      }
      default:
        PowerCycle();
        break;
    }
  }

  void Verify(const char* pin, bool right) {
    Host login = Connected(owner_.Login());
    const Reply reply = login.Request(Op::kPinVerify, Owner::PinBody(pin));
    if (model_.tries == 0) return Must(reply.status == Status::kPinLocked);
    if (model_.wrong >= 3) return Must(reply.status == Status::kPinBlocked);
    Must(reply.status == (right ? Status::kOk : Status::kPinWrong));
    model_.tries = right ? 8 : model_.tries - 1;
    model_.wrong = right ? 0 : model_.wrong + 1;
    Must(reply.body == Blob{static_cast<std::uint8_t>(model_.tries)});
  }

  void PowerCycle() {
    bench_.PowerCycle();
    model_.wrong = 0;
  }

  // The command did not end: the power went at one of its flash steps. What is left is the old
  // model or the new one.
  void Cut(const FlashImage& before, const Model& old_model, const std::vector<FlashStep>& steps,
           std::uint8_t where) {
    if (steps.empty()) return;
    bench_.PowerOff();
    MemoryFlash flash(before);
    const std::size_t last = where % steps.size();
    bool answered = true;
    for (std::size_t i = last; i < steps.size(); ++i)
      answered = answered && steps[i].kind != FlashStep::Kind::kSend;
    for (std::size_t i = 0; i < last; ++i) Replay(steps[i], flash);
    ReplayTorn(steps[last], static_cast<Torn>(where % 7), where, flash);
    const Model new_model = model_;
    bench_.flash() = flash;
    bench_.PowerOn();
    const KeyView view = bench_.key().View();
    Must(view.state != keyferry::protocol::KeyState::kTampered);
    const bool is_new = view.last_seq == new_model.last_seq;
    Must(is_new || (view.last_seq == old_model.last_seq && !answered));
    model_ = is_new ? new_model : old_model;
    model_.wrong = 0;
    Host login = Connected(owner_.Login());
    // A right PIN whose answer was never sent may have cost a try; nothing gives one.
    const int tries = login.status().tries;
    Must(tries == new_model.tries || tries == old_model.tries || tries == old_model.tries - 1);
    if (answered) Must(tries == new_model.tries);
    model_.tries = tries;
    // The confirmation's only trace is the empty slot.
    if (job_.empty() && !answered) {
      const bool kept = (login.status().slots & 2) != 0;
      model_.slots[kPrevious] = kept ? old_model.slots[kPrevious] : new_model.slots[kPrevious];
      Must(kept == !model_.slots[kPrevious].empty());
    }
    if (job_.empty()) return;
    // Sending it again brings the new state, and the same receipt if it was there already.
    Host daemon = Connected(owner_.Daemon());
    const Reply again = daemon.Request(Op::kPutJob, job_);
    Must(again.ok());
    if (is_new) {
      Must(again.body == owner_.last_bytes);
    } else {
      // The receipt that nobody saw was never made.
      owner_.last_bytes = again.body;
      owner_.last = *keyferry::protocol::Receipt::Parse(again.body);
      Must(owner_.last.VerifySignature(owner_.statement.sig_pub));
    }
    const int wrong = model_.wrong;
    model_ = new_model;
    model_.wrong = wrong;
    model_.tries = tries;
  }

  Bench bench_;
  Owner owner_;
  Model model_;
  Blob job_;
  int passwords_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Run run;
  for (std::size_t i = 0; i + 1 < size && i / 2 < kMaxCommands; i += 2)
    run.Command(data[i], data[i + 1]);
  run.Check();
  return 0;
}
