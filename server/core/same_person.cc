#include "server/core/same_person.h"

#include <algorithm>
#include <string>
#include <vector>

#include "server/core/dn.h"
#include "server/core/sources.h"

namespace keyferry::server {
namespace {

std::string Trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return LowerCase(text);
}

bool Share(const std::string& one, const std::string& other) {
  const std::string value = Trimmed(one);
  return !value.empty() && value == Trimmed(other);
}

std::string ValueOf(PersonKey key, const Person& person) {
  return key == PersonKey::kMail         ? person.mail
         : key == PersonKey::kEmployeeId ? person.employee_id
                                         : person.login;
}

}  // namespace

Result<bool> SamePerson(const CorePorts& ports, const AccountId& one, const AccountId& other) {
  if (one == other) return true;
  const auto a = ports.directory.Get(one);
  if (!a) return tl::unexpected(a.error());
  const auto b = ports.directory.Get(other);
  // They may be gone meanwhile; then it cannot be told that it is somebody else.
  if (!b && b.error().code == ErrorCode::kNotFound) return true;
  if (!b) return tl::unexpected(b.error());
  const Person &left = a->person, &right = b->person;
  if (Share(left.employee_id, right.employee_id) || Share(left.mail, right.mail) ||
      Share(left.upn, right.upn) || Share(left.sid, right.sid)) {
    return true;
  }
  for (const LinkedSource& source : ports.sources) {
    std::vector<AccountId> found[2];
    const Person* const both[] = {&left, &right};
    for (std::size_t i = 0; i < 2; ++i) {
      const std::string value = ValueOf(source.match, *both[i]);
      if (value.empty()) continue;
      const auto there = source.directory->FindBy(source.match, value);
      if (!there && there.error().code == ErrorCode::kUnsupported) continue;
      if (!there) return tl::unexpected(there.error());
      for (const Person& person : *there) found[i].push_back(person.id);
    }
    for (const AccountId& id : found[0]) {
      if (std::find(found[1].begin(), found[1].end(), id) != found[1].end()) return true;
    }
  }
  return false;
}

}  // namespace keyferry::server
