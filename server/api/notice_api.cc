// What people were told of, and who said that it was not them.
#include "server/api/handlers.h"
#include "server/api/once.h"
#include "server/core/notices.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMostNotices = 1000;  // of one person

std::string NoticeNumberOf(const NoticeRecord& notice) { return std::to_string(notice.number); }

Result<std::vector<NoticeRecord>> NoticesOf(Services& services, const Request& request,
                                            const AccountId& id) {
  const auto seen = services.people.Check(request.session->actor, Right::kChangesRead, id);
  if (!seen) return tl::unexpected(seen.error());
  return services.notices->OfAccount(id, kMostNotices);
}

Response LiftObjection(Services& services, Request& request) {
  const auto number = ReadNumber(request.captures[0], "number");
  if (!number) return NoSuchThing(request);
  const auto lifted = services.notices->Lift(request.session->actor, *number);
  if (!lifted) return Answer(services, request, lifted.error());
  return Response::NoContent();
}

}  // namespace

boost::json::object ToJson(const NoticeRecord& notice) {
  return {{"number", notice.number},
          {"kind", Name(notice.kind)},
          {"employee", notice.account.Hex()},
          {"login", notice.login},
          {"by", notice.by},
          {"address", notice.address},
          {"key", notice.device == DeviceId{} ? std::string() : notice.device.Hex()},
          {"reason", notice.reason},
          {"created", notice.created},
          {"mail", Name(notice.person)},
          {"manager_mail", Name(notice.manager)},
          {"sms", Name(notice.sms)},
          {"mailed", notice.mailed},
          {"error", notice.last_error},
          {"objected", notice.objected},
          {"objected_from", notice.objected_from},
          {"lifted", notice.lifted},
          {"lifted_by", notice.lifted_by}};
}

void AddNoticeRoutes(Router& router, Services& services) {
  router.Add(Reading("/employees/{id}/notices", Right::kChangesRead,
                     WithId<AccountId>(services,
                                       [](Services& all, Request& request, const AccountId& id) {
                                         return PageInOrder(all, request, "notices",
                                                            NoticesOf(all, request, id),
                                                            NoticeNumberOf);
                                       }),
                     {"cursor", "limit"}));
  router.Add(Reading("/objections", Right::kReportsRead,
                     [&services](Request& request) {
                       return PageInOrder(services, request, "objections",
                                          services.notices->Standing(request.session->actor),
                                          NoticeNumberOf);
                     },
                     {"cursor", "limit"}));
  Route lift = Writing(
      "/objections/{number}/lift", Right::kWarningsWrite, Body::kNone,
      Once(services, [&services](Request& request) { return LiftObjection(services, request); }));
  lift.step_up = true;
  router.Add(std::move(lift));
}

}  // namespace keyferry::server
