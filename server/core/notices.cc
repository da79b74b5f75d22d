#include "server/core/notices.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/notice_link.h"
#include "server/core/notice_mail.h"
#include "server/core/same_person.h"

namespace keyferry::server {
namespace {

constexpr const char* kNoLink =
    "This link is not good, or not any more: it works once, and only for a few days. If you have "
    "used it, all is stopped already. If not, call your help desk now.";
constexpr const char* kNotMine = "Objected: this was not me.";
constexpr std::int64_t kWindowMillis = 15 * 60 * 1000;  // of wrong links, and how long they block
constexpr std::size_t kShownAtWorkstation = 10;         // of one person

tl::unexpected<Error> NoLink() { return Fail(ErrorCode::kNotFound, kNoLink); }

class DefaultNoticeService final : public NoticeService {
 public:
  DefaultNoticeService(NoticePorts ports, NoticeConfig config)
      : ports_(std::move(ports)), config_(std::move(config)), mails_(ports_, config_) {}

  Result<NoticeRecord> Look(std::string_view token) override {
    const auto number = ClaimedNotice(token);
    if (!number) return NoLink();
    auto found = core_.store.FindNotice(*number);
    if (!found) return tl::unexpected(std::move(found.error()));
    if (!*found) return NoLink();
    const auto right = IsTokenOf(core_.issuer, **found, token);
    if (!right) return tl::unexpected(right.error());
    if (!*right || (*found)->objected != 0 || !IsFresh(**found)) return NoLink();
    return **std::move(found);
  }

  Result<void> Object(std::string_view token, std::string_view address) override {
    const std::string counter = "not-me/" + Presentable(address, 64);
    const auto count = core_.store.FindFailures(counter);
    if (!count) return tl::unexpected(count.error());
    if (count->blocked_until > core_.clock.UnixMillis()) {
      return Fail(ErrorCode::kRateLimited,
                  "Too many wrong links came from this address; try again in a quarter of an hour, "
                  "or call your help desk now.");
    }
    const auto notice = Look(token);
    if (!notice && notice.error().code != ErrorCode::kNotFound) {
      return tl::unexpected(notice.error());
    }
    Actor actor;
    actor.address = std::string(address);
    if (notice) {
      actor.login = notice->login;
      return Take(
          *notice, "link, " + Presentable(address, 64),
          AuditOf(core_.clock, actor, "notice.object", notice->login, "ok", WordsOf(*notice)));
    }
    const SessionStore::FailureRule rule = {counter, config_.wrong_links, kWindowMillis,
                                            kWindowMillis};
    const auto noted = core_.store.AddFailure(
        {rule}, core_.clock.UnixMillis(),
        AuditOf(core_.clock, actor, "notice.object", "", "not_found", "A link that is not good."));
    if (!noted) return noted;
    return tl::unexpected(notice.error());
  }

  Result<void> ObjectAt(const WorkstationId& from, std::uint64_t number) override {
    const auto host = core_.store.FindWorkstation(from);
    if (!host) return tl::unexpected(host.error());
    auto notices = At(from);
    if (!notices) return tl::unexpected(std::move(notices.error()));
    const auto found =
        std::find_if(notices->begin(), notices->end(),
                     [&](const NoticeRecord& notice) { return notice.number == number; });
    if (!*host || found == notices->end()) {
      return Fail(ErrorCode::kNotFound,
                  "There is no such notice for a key that this workstation sees; connect the key, "
                  "or use the link of the mail.");
    }
    if (found->objected != 0) return {};
    return Take(*found, "workstation " + (*host)->name,
                AuditByWorkstation(core_.clock, **host, "notice.object", found->login, "ok",
                                   WordsOf(*found)));
  }

  Result<std::vector<NoticeRecord>> At(const WorkstationId& from) override {
    std::vector<NoticeRecord> out;
    std::set<AccountId> people;
    for (const SeenKey& seen : core_.presence.KeysAt(from)) {
      const auto key = core_.store.FindKey(seen.device);
      if (!key) return tl::unexpected(key.error());
      if (!*key || IsOutOfUse((*key)->state) || !people.insert((*key)->account).second) continue;
      auto notices = core_.store.NoticesOf((*key)->account, kShownAtWorkstation);
      if (!notices) return tl::unexpected(std::move(notices.error()));
      for (NoticeRecord& notice : *notices) {
        if (IsFresh(notice)) out.push_back(std::move(notice));
      }
    }
    std::sort(out.begin(), out.end(),
              [](const NoticeRecord& a, const NoticeRecord& b) { return a.number > b.number; });
    return out;
  }

  Result<std::vector<NoticeRecord>> OfAccount(const AccountId& account,
                                              std::size_t limit) override {
    return core_.store.NoticesOf(account, limit);
  }

  Result<bool> IsFrozen(const AccountId& account) override { return core_.store.IsFrozen(account); }

  Result<std::vector<NoticeRecord>> Standing(const Actor& actor) override {
    auto standing = core_.store.StandingObjections();
    if (!standing || core_.people == nullptr) return standing;
    std::vector<AccountId> ids;
    for (const NoticeRecord& notice : *standing) ids.push_back(notice.account);
    const auto seen = core_.people->Among(actor, Right::kPeopleRead, ids);
    if (!seen) return tl::unexpected(seen.error());
    std::erase_if(*standing, [&](const NoticeRecord& notice) {
      return std::find(seen->begin(), seen->end(), notice.account) == seen->end();
    });
    return standing;
  }

  Result<void> Lift(const Actor& actor, std::uint64_t number) override {
    if (!May(actor.roles, Right::kWarningsWrite)) {
      return Fail(ErrorCode::kPermissionDenied, "Administrators look into this.");
    }
    const auto found = core_.store.FindNotice(number);
    if (!found) return tl::unexpected(found.error());
    if (!*found || (*found)->objected == 0) {
      return Fail(ErrorCode::kNotFound, "There is no such objection.");
    }
    const NoticeRecord& notice = **found;
    auto may = CheckReach(core_, actor, Right::kPeopleRead, notice.account);
    if (may) may = CheckImpartial(actor, notice);
    if (!may) {
      auto audited =
          core_.store.AppendAudit(AuditOf(core_.clock, actor, "objection.lift", notice.login,
                                          OutcomeName(may.error().code), may.error().message));
      return audited ? may : audited;
    }
    const auto lifted = core_.store.LiftObjection(
        number, actor.login, core_.clock.UnixMillis(),
        AuditOf(core_.clock, actor, "objection.lift", notice.login, "ok", WordsOf(notice)));
    if (!lifted) return tl::unexpected(lifted.error());
    if (!*lifted) return Fail(ErrorCode::kConflict, "Somebody else has looked into this already.");
    AnnounceAccount(core_, notice.account);
    return {};
  }

  void SetUrl(std::string url) override { url_ = std::move(url); }

  void Tick() override {
    const auto standing = core_.store.StandingObjections();
    if (!standing) {
      Log(core_, "objections", standing.error());
    } else {
      for (const NoticeRecord& notice : *standing) CarryOut(notice);
    }
    mails_.SendDue(url_);
    if (auto forgotten = core_.store.ForgetNotices(core_.clock.UnixMillis() - config_.keep);
        !forgotten) {
      Log(core_, "notices", forgotten.error());
    }
  }

 private:
  bool IsFresh(const NoticeRecord& notice) const {
    const std::int64_t age = core_.clock.UnixMillis() - notice.created;
    return age < config_.link_hours * 3'600'000;
  }

  static std::string WordsOf(const NoticeRecord& notice) {
    return std::string(Name(notice.kind)) + " by " + notice.by + ", entry " +
           std::to_string(notice.number) + ".";
  }

  Result<void> CheckImpartial(const Actor& actor, const NoticeRecord& notice) {
    const auto other = [](const char* why) { return Fail(ErrorCode::kPermissionDenied, why); };
    if (actor.id == notice.account) {
      return other("You cannot look into what was done to yourself; ask another administrator.");
    }
    constexpr const char* kOwnDoing =
        "This person objects to what you did; another administrator has to look into it.";
    if (actor.id == notice.actor || actor.login == notice.by) return other(kOwnDoing);
    for (const AccountId& party : {notice.account, notice.actor}) {
      if (party == AccountId{}) continue;
      // Whoever is gone is nobody's second account.
      const auto there = core_.directory.Get(party);
      if (!there && there.error().code == ErrorCode::kNotFound) continue;
      if (!there) return tl::unexpected(there.error());
      const auto same = SamePerson(core_, actor.id, party);
      if (!same) return tl::unexpected(same.error());
      if (*same) return other("This account is of one of the two whom it is about.");
    }
    return {};
  }

  Result<void> Take(NoticeRecord notice, std::string from, const AuditEntry& audit) {
    notice.objected = core_.clock.UnixMillis();
    notice.objected_from = std::move(from);
    const auto taken =
        core_.store.ObjectTo(notice.number, notice.objected_from, notice.objected, audit);
    if (!taken) return tl::unexpected(taken.error());
    if (!*taken) return NoLink();
    CarryOut(notice);
    return {};
  }

  // What the objection that stands still takes. What fails is tried again with the next Tick.
  void CarryOut(const NoticeRecord& notice) {
    const std::lock_guard lock(mutex_);
    const auto tried = [&](const Result<void>& done) {
      if (!done) Log(core_, "the objection of " + notice.login, done.error());
      return done.has_value();
    };
    bool moved = false;
    bool done = tried(SuspendKeys(notice, moved));
    done = tried(CloseWaiting(notice)) && done;
    done = tried(EndEnrolments(notice)) && done;
    if (told_.count(notice.number) == 0) {
      done = tried(EndSessions(notice)) && done;
      done = tried(mails_.TellAdministrators(notice, url_)) && done;
      if (done) told_.insert(notice.number);
      moved = true;
    }
    if (!moved) return;
    core_.bus.Publish("keys", {"change", "{}"});
    AnnounceAccount(core_, notice.account);
  }

  Result<void> SuspendKeys(const NoticeRecord& notice, bool& moved) {
    const auto keys = core_.store.KeysOf(notice.account);
    if (!keys) return tl::unexpected(keys.error());
    for (KeyRecord key : *keys) {
      if (key.state != KeyState::kActive) continue;
      const KeyStore::KeyMove move{key.device,           key.enrolment, KeyState::kActive,
                                   KeyState::kSuspended, kNotMine,      {}};
      const auto suspended =
          core_.store.MoveKey(move, AuditBySystem(core_.clock, "key.suspend", key.device.Hex(),
                                                  "ok", "Key of " + key.login + ": " + kNotMine));
      if (!suspended) return tl::unexpected(suspended.error());
      if (!*suspended) continue;  // somebody else moved it; the next look sees where to
      moved = true;
      key.state = KeyState::kSuspended;
      SendToSeers(core_, key.device, KeyEvent(key));
      // What is on a workstation already does not reach the key from there.
      const auto newest = core_.store.History(notice.account, 5);
      if (!newest) return tl::unexpected(newest.error());
      for (const ChangeRow& row : *newest) {
        for (const KeyJob& of : row.keys) {
          if (of.job.device != key.device) continue;
          if (of.job.state != JobState::kReady && of.job.state != JobState::kSpooled) continue;
          if (of.job.workstation != WorkstationId{}) {
            Send(core_, of.job.workstation, VoidEvent(of.job.id));
          }
          SendToSeers(core_, key.device, VoidEvent(of.job.id));
        }
      }
    }
    return {};
  }

  Result<void> CloseWaiting(const NoticeRecord& notice) {
    const auto open = core_.store.OpenChangeOf(notice.account);
    if (!open) return tl::unexpected(open.error());
    if (!*open || (*open)->change.mode != ChangeMode::kAtDelivery) return {};
    const ChangeState state = (*open)->change.state;
    if (state != ChangeState::kIntent && state != ChangeState::kHeld) return {};
    const Error reason{ErrorCode::kConflict,
                       "The person said that this was not them; nothing was changed.",
                       {},
                       0};
    const auto closed = core_.store.CloseChange(
        (*open)->change.id, ChangeStore::From::kWaiting, ChangeState::kFailed, reason,
        AuditBySystem(core_.clock, "password.set", notice.login, OutcomeName(reason.code),
                      reason.message));
    // kConflict: it went on meanwhile, as far as the store lets it.
    if (!closed && closed.error().code != ErrorCode::kConflict) {
      return tl::unexpected(closed.error());
    }
    return {};
  }

  // Those that were there when the person objected; what they begin themselves afterwards stays.
  Result<void> EndSessions(const NoticeRecord& notice) {
    const auto sessions = core_.store.Sessions(core_.clock.UnixSeconds());
    if (!sessions) return tl::unexpected(sessions.error());
    for (const Session& session : *sessions) {
      if (session.actor.id != notice.account || session.created > notice.objected / 1000) continue;
      const auto ended = core_.store.EndSessions(
          notice.account, session.id, std::nullopt,
          AuditBySystem(core_.clock, "session.end", notice.login, "ok", kNotMine));
      if (!ended) return tl::unexpected(ended.error());
    }
    return {};
  }

  Result<void> EndEnrolments(const NoticeRecord& notice) {
    const auto open = core_.store.OpenEnrolments(core_.clock.UnixMillis());
    if (!open) return tl::unexpected(open.error());
    for (const EnrolmentRecord& enrolment : *open) {
      if (enrolment.account != notice.account) continue;
      auto failed = core_.store.FailEnrolment(
          enrolment.id, kNotMine,
          AuditBySystem(core_.clock, "key.enrol", enrolment.device.Hex(), "conflict", kNotMine));
      if (!failed) return failed;
    }
    return {};
  }

  const NoticePorts ports_;
  const CorePorts& core_ = ports_.core;
  const NoticeConfig config_;
  NoticeMails mails_;
  std::string url_;
  std::mutex mutex_;              // carries out one at a time
  std::set<std::uint64_t> told_;  // objections whose sessions ended and that are told of
};

}  // namespace

std::unique_ptr<NoticeService> MakeNoticeService(NoticePorts ports, NoticeConfig config) {
  return std::make_unique<DefaultNoticeService>(std::move(ports), std::move(config));
}

}  // namespace keyferry::server
