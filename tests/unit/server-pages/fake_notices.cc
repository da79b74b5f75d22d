// Notices that answer from memory.
#include "fake_services.h"

namespace keyferry::server::fake {

Result<NoticeRecord> FakeNotices::Look(std::string_view token) {
  if (error) return tl::unexpected(*error);
  if (token != kToken || notices.empty() || notices[0].objected != 0) {
    return Fail(ErrorCode::kNotFound, "This link is not good, or not any more.");
  }
  return notices[0];
}

Result<void> FakeNotices::Object(std::string_view token, std::string_view address) {
  const auto notice = Look(token);
  if (!notice) return tl::unexpected(notice.error());
  notices[0].objected = notices[0].created + 1;
  calls.push_back("object " + std::to_string(notice->number) + " from " + std::string(address));
  return {};
}

Result<void> FakeNotices::ObjectAt(const WorkstationId& from, std::uint64_t number) {
  if (error) return tl::unexpected(*error);
  calls.push_back("object " + std::to_string(number) + " at " + from.Hex());
  return {};
}

Result<std::vector<NoticeRecord>> FakeNotices::OfAccount(const AccountId& account, std::size_t) {
  std::vector<NoticeRecord> out;
  for (const NoticeRecord& notice : notices) {
    if (notice.account == account) out.push_back(notice);
  }
  return out;
}

Result<bool> FakeNotices::IsFrozen(const AccountId& account) {
  for (const NoticeRecord& notice : notices) {
    if (notice.account == account && notice.stands()) return true;
  }
  return false;
}

Result<std::vector<NoticeRecord>> FakeNotices::Standing(const Actor&) {
  if (error) return tl::unexpected(*error);
  std::vector<NoticeRecord> out;
  for (const NoticeRecord& notice : notices) {
    if (notice.stands()) out.push_back(notice);
  }
  return out;
}

Result<void> FakeNotices::Lift(const Actor& actor, std::uint64_t number) {
  if (error) return tl::unexpected(*error);
  calls.push_back("lift " + std::to_string(number) + " by " + actor.login);
  return {};
}

}  // namespace keyferry::server::fake
