#include "tests/support/dc/test_domain.h"

#include <fcntl.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace keyferry::testing {
namespace {

const std::string kScript = std::string(KEYFERRY_SOURCE_DIR) + "/scripts/dc";

}  // namespace

TestDomain& TestDomain::Shared() {
  static TestDomain domain;
  return domain;
}

TestDomain::TestDomain() {
  std::string name = (std::filesystem::temp_directory_path() / "keyferry-dc-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
  directory = name;
  Start();
  ReadFacts();
}

TestDomain::~TestDomain() {
  RunProcess({kScript, "wipe", directory});
  if (lifeline_ >= 0) close(lifeline_);
}

void TestDomain::Start() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  const ProcessResult result =
      RunProcessOn({kScript, "start", "--follow-stdin", directory}, ends[0]);
  close(ends[0]);
  lifeline_ = ends[1];
  Must(result, "scripts/dc start");
}

void TestDomain::Stop() {
  Must(RunProcess({kScript, "stop", directory}), "scripts/dc stop");
  if (lifeline_ >= 0) close(lifeline_);
  lifeline_ = -1;
}

void TestDomain::ReadFacts() {
  const ProcessResult result = RunProcess({kScript, "facts", "--json", directory});
  Must(result, "scripts/dc facts");
  const boost::json::object facts = boost::json::parse(result.output).as_object();
  const auto text = [](const boost::json::object& from, const char* key) {
    return std::string(from.at(key).as_string());
  };
  ip = text(facts, "ip");
  ldaps_uri = text(facts, "ldaps_uri");
  ca_file = text(facts, "ca_file");
  base_dn = text(facts, "base_dn");
  people_dn = text(facts, "people_dn");
  groups_dn = text(facts, "groups_dn");
  service_dn = text(facts, "service_dn");
  service_upn = text(facts, "service_upn");
  service_password = text(facts, "service_password");
  administrators_group = text(facts, "administrators_group");
  help_desk_group = text(facts, "help_desk_group");
  admin_upn = text(facts, "domain_admin_upn");
  admin_password = text(facts, "domain_admin_password");
  smb_conf = text(facts, "smb_conf");
  sam_ldb = text(facts, "sam_ldb");
  for (const auto& value : facts.at("people").as_array()) {
    const auto& person = value.as_object();
    people_.push_back({text(person, "role"), text(person, "login"), text(person, "upn"),
                       text(person, "display_name"), text(person, "dn"), text(person, "password"),
                       text(person, "id")});
  }
}

const SamplePerson& TestDomain::Person(std::string_view role) const {
  for (const SamplePerson& person : people_) {
    if (person.role == role) return person;
  }
  throw std::runtime_error("no sample person of role " + std::string(role));
}

ProcessResult TestDomain::Ldap(std::vector<std::string> argv, std::string_view input) {
  argv.insert(argv.begin(), {"env", "LDAPTLS_CACERT=" + ca_file, "LDAPTLS_REQCERT=demand"});
  argv.insert(argv.end(), {"-x", "-H", ldaps_uri});
  return RunProcess(argv, input);
}

std::string TestDomain::Line(const std::string& name, std::string_view value) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out = name + ":: ";
  for (std::size_t at = 0; at < value.size(); at += 3) {
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8 | (at + i < value.size() ? static_cast<std::uint8_t>(value[at + i]) : 0u);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      out += at + i > value.size() ? '=' : kDigits[group >> (18 - 6 * i) & 63];
    }
  }
  return out + "\n";
}

void TestDomain::Apply(const std::string& ldif) {
  Must(Ldap({"ldapmodify", "-a", "-D", admin_upn, "-w", admin_password}, ldif),
       "ldapmodify of\n" + ldif);
}

void TestDomain::Offline(const std::string& ldif, bool raw) {
  std::vector<std::string> argv{"ldbmodify", "--configfile=" + smb_conf, "-H", sam_ldb};
  if (raw) {
    std::string partition = base_dn;
    for (char& c : partition) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    argv.back() = directory + "/private/sam.ldb.d/" + partition + ".ldb";
  }
  Must(RunProcess(argv, ldif), "ldbmodify of\n" + ldif);
}

void TestDomain::AddAces(const std::string& dn, const std::string& sddl) {
  Must(RunProcess({"samba-tool", "dsacl", "set", "-s", smb_conf, "-H", sam_ldb, "--objectdn=" + dn,
                   "--sddl=" + sddl}),
       "samba-tool dsacl set");
}

std::string TestDomain::Listing(const std::string& base, const std::string& filter,
                                const std::vector<std::string>& attributes) {
  std::vector<std::string> argv{"ldapsearch",   "-LLL", "-o", "ldif-wrap=no", "-D", admin_upn, "-w",
                                admin_password, "-b",   base, filter};
  argv.insert(argv.end(), attributes.begin(), attributes.end());
  ProcessResult result = Ldap(argv, {});
  Must(result, "ldapsearch");
  return result.output;
}

bool TestDomain::Binds(const std::string& name, const std::string& password) {
  const ProcessResult result = Ldap(
      {"ldapsearch", "-LLL", "-D", name, "-w", password, "-s", "base", "-b", base_dn, "1.1"}, {});
  if (result.status != 0 && result.status != 49) Must(result, "ldapsearch");
  return result.status == 0;
}

std::string TestDomain::Attribute(const std::string& dn, const std::string& name) {
  const ProcessResult result = Ldap({"ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-D", admin_upn,
                                     "-w", admin_password, "-s", "base", "-b", dn, name},
                                    {});
  Must(result, "ldapsearch");
  const std::string line = "\n" + name + ": ";
  const std::size_t at = result.output.find(line);
  if (at == std::string::npos) return {};
  const std::size_t from = at + line.size();
  return result.output.substr(from, result.output.find('\n', from) - from);
}

}  // namespace keyferry::testing
