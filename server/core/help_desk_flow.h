#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/core/audit_entry.h"
#include "server/core/help_desk.h"

namespace keyferry::server {

// The flow over the ports. help_desk_service.cc: the request from its opening to its end;
// help_desk_verify.cc: what the caller has proven; help_desk_manager.cc: what their manager says;
// help_desk_act.cc: what was asked for is carried out.
class HelpDeskFlow final : public HelpDeskService {
 public:
  HelpDeskFlow(const HelpDeskPorts& ports, HelpDeskConfig config);
  Result<HelpDeskRequest> Open(const Actor& actor, const HelpDeskOpening& opening) override;
  Result<HelpDeskView> Get(const Actor& actor, const HelpDeskId& id) override;
  Result<std::vector<HelpDeskRequest>> Mine(const Actor& actor) override;
  Result<void> Choose(const Actor& actor, const HelpDeskId& id, std::uint64_t version,
                      HelpDeskProcess process) override;
  Result<void> SendCode(const Actor& actor, const HelpDeskId& id, std::uint64_t version) override;
  Result<void> SendSms(const Actor& actor, const HelpDeskId& id, std::uint64_t version) override;
  Result<void> AskForTouch(const Actor& actor, const HelpDeskId& id,
                           std::uint64_t version) override;
  Result<ShownPersonalData> ShowPersonalData(const Actor& actor, const HelpDeskId& id,
                                             std::uint64_t version) override;
  Result<KeyTouchVerdict> AnswerTouch(
      const WorkstationId& from, const HelpDeskId& id,
      const std::optional<std::vector<std::uint8_t>>& assertion) override;
  Result<void> AskManager(const Actor& actor, const HelpDeskId& id, std::uint64_t version) override;
  Result<ManagerQuestion> LookAtManager(std::string_view token) override;
  Result<ManagerVerdict> AnswerAsManager(std::string_view token, bool knows,
                                         std::string_view number,
                                         std::string_view address) override;
  Result<bool> Verify(const Actor& actor, const HelpDeskId& id, std::uint64_t version,
                      HelpDeskAnswer answer) override;
  Result<SecureBytes> Act(const Actor& actor, const HelpDeskId& id, std::uint64_t version) override;
  Result<void> MailInstructions(const Actor& actor, const HelpDeskId& id,
                                std::uint64_t version) override;
  Result<void> Confirm(const Actor& actor, const HelpDeskId& id, std::uint64_t version) override;
  Result<void> Cancel(const Actor& actor, const HelpDeskId& id, std::uint64_t version) override;
  void CloseOverdue() override;
  void SetUrl(std::string url) override { url_ = std::move(url); }

 private:
  struct Standing {
    std::uint32_t points = 0, methods = 0;
    bool strong_missing = false;
    bool reached = false;
    bool enough() const { return reached && !strong_missing; }
  };
  struct Prepared {
    PersonDetail person;
    std::vector<HelpDeskAttempt> attempts;
    std::int64_t now = 0;
  };
  // How many attempts of a method are in a state.
  static std::size_t Count(const std::vector<HelpDeskAttempt>& attempts, HelpDeskMethod method,
                           HelpDeskAttemptState state);
  // For the audit log.
  static const char* WordsOf(HelpDeskProcess process);
  // kConflict with kMovedDetail.
  static tl::unexpected<Error> Moved();
  const HelpDeskVerification& Of(HelpDeskMethod method) const {
    return *methods_[static_cast<std::size_t>(method)];
  }
  std::uint32_t PointsOf(HelpDeskMethod method) const {
    return config_.points[static_cast<std::size_t>(method)];
  }
  // `words`, then ticket and reason.
  static std::string DetailOf(const HelpDeskRequest& request, std::string_view words);
  AuditEntry Entry(const Actor& actor, const HelpDeskRequest& request, std::string_view action,
                   std::string_view outcome, std::string_view words) const;
  // The agent's own request.
  Result<HelpDeskRequest> Load(const Actor& actor, const HelpDeskId& id);
  // … that is where a step begins.
  Result<HelpDeskRequest> At(const Actor& actor, const HelpDeskId& id, std::uint64_t version,
                             HelpDeskState state);
  // What has to stand when it is carried out; of a new password the change itself sees to that.
  Result<Precondition> Guard(const Actor& actor, const HelpDeskRequest& row);
  // A request that waits for a second person has as long as that one has.
  std::int64_t ExpiresAfter(const HelpDeskRequest& row, const Error& error);
  // It was not begun; the request says why.
  Result<void> Await(const Actor& actor, const HelpDeskRequest& row, const Error& error);
  // Whom the agent reaches may have changed since the request was opened, and the person may have
  // said that it is not them.
  Result<void> StillReached(const Actor& actor, const HelpDeskRequest& row);
  // Closes what has run out of time. True: it is closed now, by this call or another.
  Result<bool> CloseIfOver(const HelpDeskRequest& row);
  // What the person is told was done. (A new password is told of by the change itself.)
  static void AddNotice(const HelpDeskRequest& row, const std::string& address, AuditEntry& entry);
  static HelpDeskStore::Step StepOf(const HelpDeskRequest& row, HelpDeskState to);
  // Takes the step; what ends the request is told to the webhooks.
  Result<HelpDeskStore::Stepped> Write(HelpDeskStore::Step step);
  Result<void> Take(const HelpDeskStore::Step& step);
  // Tells pages and workstations of a step that was taken.
  void Follow(const HelpDeskStore::Step& step);
  tl::unexpected<Error> Quota(const Actor& actor, const HelpDeskRequest& row);
  // What a method may be used with now; `begun`: it was used, and what it needed then may be gone.
  Result<Prepared> Prepare(const HelpDeskRequest& row, HelpDeskMethod method, bool begun = false);
  // An audit row of who answered: action, outcome, words.
  using EntryOf = std::function<AuditEntry(std::string_view, std::string_view, std::string_view)>;
  // Whether the answer is right; the attempt, and what follows from it, are stored before anybody
  // is told.
  Result<bool> Judge(const HelpDeskRequest& row, const Prepared& prepared,
                     const HelpDeskAnswer& answer, const EntryOf& entry);
  HelpDeskStore::Step StepOfAnswer(const HelpDeskRequest& row, const Prepared& prepared,
                                   const HelpDeskAnswer& answer, const EntryOf& entry,
                                   bool right) const;
  // What was sent could not be: it is out no more. `row` is as it was before it was sent.
  void TakeBack(const Actor& actor, const HelpDeskRequest& row, HelpDeskMethod method,
                const char* action, const Error& error);
  // The row and the attempt that the link is of, with the person whose word is waited for.
  struct Asked {
    HelpDeskRequest request;
    HelpDeskAttempt attempt;
    Person manager;
  };
  Result<Asked> FindAsked(std::string_view token);
  // What a method that sends or asks something begins with: the row as the agent's page showed it,
  // and what the method may be used with. kRateLimited: all that one request may send is out.
  struct Sending {
    HelpDeskRequest row;
    Prepared prepared;
    // Until the request's time is over, whole ones and at least one, for the mail.
    std::string minutes() const;
  };
  Result<Sending> BeginSending(const Actor& actor, const HelpDeskId& id, std::uint64_t version,
                               HelpDeskMethod method);
  // What a method has sent and waits for.
  static std::vector<std::uint64_t> Waiting(const std::vector<HelpDeskAttempt>& attempts,
                                            HelpDeskMethod method);
  std::uint32_t SendsLeft(const std::vector<HelpDeskAttempt>& attempts,
                          HelpDeskMethod method) const;
  // `also` counts as passed.
  Standing StandingOf(const HelpDeskRequest& row, const std::vector<HelpDeskAttempt>& attempts,
                      const HelpDeskMethod* also) const;
  Result<HelpDeskView> ViewOf(const HelpDeskRequest& row);
  // Whether this person's new password may be read out, by the policy and by who they are now.
  Result<void> MayReadOut(const HelpDeskRequest& row) const;
  struct Done {
    ChangeId change;       // zero = none
    SecureBytes read_out;  // for the agent, once
    bool unseen = false;   // it was to be read out, and nobody can see it any more
  };
  // `resumed`: another server, or this one before it died, had begun it. `done` is filled as far as
  // it goes, also with an error.
  Result<void> CarryOut(const Actor& actor, const HelpDeskRequest& row, bool resumed, Done& done);
  Result<void> NewPassword(const Actor& actor, const HelpDeskRequest& row, bool resumed,
                           Done& done);

  const HelpDeskPorts ports_;
  const CorePorts& core_ = ports_.core;
  const HelpDeskConfig config_;
  std::string url_;
  std::array<std::unique_ptr<HelpDeskVerification>,
             static_cast<std::size_t>(kLastHelpDeskMethod) + 1>
      methods_;
};

}  // namespace keyferry::server
