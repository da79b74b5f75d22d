#include "server/directory/group_members.h"

#include <ldap.h>

#include <algorithm>
#include <utility>

#include "server/directory/answers.h"
#include "server/directory/openldap_person.h"
#include "server/directory/person.h"
#include "server/directory/server_group.h"
#include "server/directory/text.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMaxDn = 1024;

// A group that is not there would have no members: a wrong name must not look like an empty group.
Result<void> CheckGroup(const Session& session, std::string_view group_dn, bool openldap) {
  LdapSearch group;
  group.base = std::string(group_dn);
  group.scope = LdapSearch::Scope::kBase;
  group.filter = openldap ? "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames))"
                          : "(objectClass=group)";
  group.attributes = {"cn"};
  bool there = false;
  const LdapAnswer answer =
      session.connection.Search(group, session.deadline, [&](LdapEntry&&) { there = true; });
  if (answer.ok() && there) return {};
  if (!answer.ok() && answer.rc != LDAP_NO_SUCH_OBJECT && answer.rc != LDAP_INVALID_DN_SYNTAX) {
    return tl::unexpected<Error>(ExplainRead(answer, session.endpoint));
  }
  return Fail(ErrorCode::kNotFound,
              "There is no group with this distinguished name in the directory.");
}

class LdapGroupReader final : public GroupReader {
 public:
  explicit LdapGroupReader(LdapConfig config) : config_(std::move(config)), servers_(config_) {}

  Result<GroupMembers> Members(std::string_view group_dn, std::size_t limit) override {
    if (group_dn.empty() || group_dn.size() > kMaxDn || HasControl(group_dn)) {
      return Fail(ErrorCode::kInvalidArgument, "The group must be a distinguished name.");
    }
    return servers_.Read(
        Turn::kPage, [&](const Session& session) { return MembersOn(session, group_dn, limit); });
  }

 private:
  bool openldap() const { return config_.kind == DirectoryKind::kOpenLdap; }

  Result<GroupMembers> MembersOn(const Session& session, std::string_view group_dn,
                                 std::size_t limit) const {
    if (auto there = CheckGroup(session, group_dn, openldap()); !there) {
      return tl::unexpected(std::move(there.error()));
    }
    LdapSearch search;
    search.base = config_.people_dn;
    const std::string people(openldap() ? std::string_view(kOpenLdapPeople) : kUserFilter);
    search.filter = "(&" + people + "(memberOf" +
                    (openldap() ? "=" : ":1.2.840.113556.1.4.1941:=") + EscapeFilter(group_dn) +
                    "))";
    search.attributes = openldap() ? OpenLdapPersonAttributes() : PersonAttributes();
    search.attributes.push_back(openldap() ? "pwdChangedTime" : "pwdLastSet");
    search.limit = limit;
    GroupMembers out;
    const LdapAnswer answer =
        session.connection.Search(search, session.deadline, [&](LdapEntry&& entry) {
          auto person = openldap() ? ReadOpenLdapPerson(entry) : ReadPerson(entry);
          if (!person) return;
          const std::int64_t set =
              openldap() ? ReadOpenLdapStamp(entry, {}).last_set : ReadInteger(entry, "pwdlastset");
          out.members.push_back({*std::move(person), set});
        });
    if (!answer.ok() && answer.rc != LDAP_SIZELIMIT_EXCEEDED) {
      return tl::unexpected<Error>(ExplainRead(answer, session.endpoint));
    }
    out.complete = answer.ok();
    std::sort(out.members.begin(), out.members.end(), [](const auto& a, const auto& b) {
      return a.person.display_name < b.person.display_name;
    });
    return out;
  }

  const LdapConfig config_;
  ServerGroup servers_;
};

}  // namespace

Result<std::unique_ptr<GroupReader>> MakeGroupReader(LdapConfig config) {
  if (auto good = CheckLdapConfig(&config); !good) return tl::unexpected<Error>(good.error());
  return std::make_unique<LdapGroupReader>(std::move(config));
}

}  // namespace keyferry::server
