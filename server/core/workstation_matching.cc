#include "server/core/workstation_matching.h"

#include <algorithm>
#include <map>
#include <set>

namespace keyferry::server {
namespace {

std::string Folded(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// The domain that an account lies in, by its DN: "corp.example" from "CN=…,DC=corp,DC=example".
std::string DomainOf(std::string_view dn) {
  std::string out;
  const std::string folded = Folded(dn);
  for (std::size_t at = folded.find(",dc="); at != std::string::npos;
       at = folded.find(",dc=", at + 1)) {
    const std::size_t from = at + 4;
    out += (out.empty() ? "" : ".") + folded.substr(from, folded.find(',', from) - from);
  }
  return out;
}

}  // namespace

Result<std::vector<ComputerMatch>> MatchComputers(const CorePorts& ports) {
  auto records = ports.store.Workstations();
  if (!records) return tl::unexpected(std::move(records.error()));
  std::vector<ComputerMatch> out;
  std::set<AccountId> taken;           // by approved workstations
  std::map<std::string, int> claimed;  // by waiting ones
  std::set<std::string> asked;
  for (WorkstationRecord& record : *records) {
    if (record.state == WorkstationState::kApproved && record.computer_id != AccountId{}) {
      taken.insert(record.computer_id);
    }
    if (record.state != WorkstationState::kPending) continue;
    if (!record.computer.empty()) {
      ++claimed[Folded(record.computer)];
      asked.insert(record.computer);
    }
    out.push_back({std::move(record), {}, {}});
  }
  std::map<std::string, Computer> computers;
  if (!asked.empty()) {
    auto found =
        ports.directory.FindComputers(std::vector<std::string>(asked.begin(), asked.end()));
    if (!found) return tl::unexpected(std::move(found.error()));
    for (Computer& computer : *found) computers.emplace(Folded(computer.name), std::move(computer));
  }
  for (ComputerMatch& match : out) {
    const WorkstationRecord& record = match.record;
    const std::string name = Folded(record.computer);
    const auto found = computers.find(name);
    if (record.computer.empty()) {
      match.why_not = "It says that it is in no domain.";
    } else if (found == computers.end()) {
      match.why_not = "The directory has no computer account " + record.computer + ".";
    } else if (DomainOf(found->second.dn) != Folded(record.domain)) {
      match.why_not =
          "It says that it is in the domain " + record.domain + ", which is another one.";
    } else if (found->second.disabled) {
      match.why_not = "Its computer account is disabled.";
    } else if (found->second.controller) {
      match.why_not = "Its computer account is a domain controller's.";
    } else if (claimed[name] > 1) {
      match.why_not = "More than one workstation that waits says that it is " + record.computer +
                      "; compare fingerprints.";
    } else if (taken.count(found->second.id) != 0) {
      match.why_not = "An approved workstation is " + record.computer +
                      " already; revoke that one if it was set up anew.";
    } else {
      match.computer = found->second;
    }
  }
  return out;
}

}  // namespace keyferry::server
