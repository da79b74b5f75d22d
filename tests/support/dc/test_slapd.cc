#include "tests/support/dc/test_slapd.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <vector>

namespace keyferry::testing {
namespace {

namespace fs = std::filesystem;

std::string Configuration(const TestSlapd& slapd) {
  const std::string by_service = " by dn.exact=\"" + slapd.service_dn + "\" ";
  return "include /etc/ldap/schema/core.schema\n"
         "include /etc/ldap/schema/cosine.schema\n"
         "include /etc/ldap/schema/nis.schema\n"
         "include /etc/ldap/schema/inetorgperson.schema\n"
         "modulepath /usr/lib/ldap\n"
         "moduleload back_mdb\n"
         "moduleload back_monitor\n"
         "moduleload ppolicy\n"
         "moduleload argon2\n"
         "password-hash {ARGON2}\n"
         "pidfile " +
         slapd.folder + "/pid\nTLSCACertificateFile " + slapd.folder +
         "/ca.pem\nTLSCertificateFile " + slapd.folder + "/server.pem\nTLSCertificateKeyFile " +
         slapd.folder +
         "/server.key\n"
         "security simple_bind=112 update_ssf=112\n"
         "database mdb\nmaxsize 67108864\ndbnosync\ndirectory " +
         slapd.folder + "/db\nsuffix \"" + slapd.base_dn + "\"\nrootdn \"" + slapd.root_dn +
         "\"\nrootpw " + slapd.root_password +
         "\n"
         "index objectClass,entryUUID,uid,mail,member,uniqueMember eq\n"
         "access to dn.subtree=\"ou=frozen," +
         slapd.people_dn + "\" attrs=userPassword,pwdReset,pwdAccountLockedTime" + by_service +
         "read by anonymous auth by * none\n"
         "access to dn.subtree=\"" +
         slapd.people_dn + "\" attrs=userPassword" + by_service +
         "=w by self =xw by anonymous auth by * none\n"
         "access to attrs=userPassword by anonymous auth by * none\n"
         "access to dn.subtree=\"" +
         slapd.people_dn + "\" attrs=pwdReset,pwdAccountLockedTime" + by_service +
         "write by * none\n"
         "access to *" +
         by_service +
         "read by self read by * none\n"
         "limits dn.exact=\"" +
         slapd.service_dn +
         "\" size=unlimited\n"
         "overlay ppolicy\nppolicy_default \"" +
         slapd.default_policy +
         "\"\nppolicy_use_lockout\n"
         "database monitor\naccess to *" +
         by_service + "read\n";
}

std::string Policy(const std::string& name, const std::string& more) {
  return "dn: cn=" + name +
         ",ou=policies,dc=example,dc=org\nobjectClass: pwdPolicy\n"
         "objectClass: device\ncn: " +
         name +
         "\npwdAttribute: userPassword\npwdCheckQuality: 2\npwdInHistory: 3\npwdMaxFailure: 3\n"
         "pwdLockout: TRUE\npwdAllowUserChange: TRUE\n" +
         more + "\n";
}

std::string Entry(const std::string& uid, const std::string& dn, const std::string& name,
                  const std::string& more = {}) {
  // `more` first: slapadd wants all values of objectClass in a row.
  return "dn: " + dn + "\nobjectClass: inetOrgPerson\n" + more + "uid: " + uid + "\ncn: " + name +
         "\nsn: " + name.substr(name.rfind(' ') + 1) + "\nmail: " + uid +
         "@example.org\nuserPassword: " + uid + "-first-1\n\n";
}

std::string Data(const TestSlapd& slapd) {
  std::string out = "dn: dc=example,dc=org\nobjectClass: domain\ndc: example\n\n";
  for (const char* unit : {"people", "other", "services", "policies", "groups"}) {
    out += "dn: ou=" + std::string(unit) +
           ",dc=example,dc=org\nobjectClass: organizationalUnit\nou: " + unit + "\n\n";
  }
  out += "dn: ou=frozen," + slapd.people_dn + "\nobjectClass: organizationalUnit\nou: frozen\n\n";
  out += Policy("default", "pwdMinLength: 10\npwdMustChange: TRUE\npwdMaxAge: 8640000\n");
  out += Policy("strict", "pwdMinLength: 14\npwdMustChange: TRUE\npwdMinAge: 86400\n");
  out += Policy("lax", "pwdMustChange: FALSE\npwdLockoutDuration: 1\n");
  out += "dn: " + slapd.service_dn +
         "\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
         "cn: keyferry\nuserPassword: " +
         slapd.service_password + "\n\n";
  out += Entry("alice", slapd.Dn("alice"), "Alice Adler",
               "displayName: Alice A. Adler\ntelephoneNumber: +49 30 1\ntitle: Baker\n"
               "departmentNumber: Bread\nemployeeNumber: E-1\nmobile: +49 171 1234567\nmanager: " +
                   slapd.Dn("bob") + "\n");
  out += Entry(
      "bob", slapd.Dn("bob"), "Bob Becker",
      "mobile: 0171 1\nmobile: 0171 2\npager: 0171 3\nmanager: uid=gone," + slapd.people_dn + "\n");
  out += Entry("carol", slapd.Dn("carol"), "Carol Čapek");
  out += Entry("dave", slapd.Dn("dave"), "Dave Dorn");
  out += Entry("root", slapd.Dn("root"), "Rita Root",
               "objectClass: posixAccount\nuidNumber: 0\ngidNumber: 0\nhomeDirectory: /root\n");
  out += Entry("uma", "uid=uma,ou=other,dc=example,dc=org", "Uma Outside");
  out += Entry("strict", slapd.Dn("strict"), "Stan Strict",
               "pwdPolicySubentry: cn=strict,ou=policies,dc=example,dc=org\n");
  out += Entry("grace", slapd.Dn("grace"), "Grace Lax",
               "pwdPolicySubentry: cn=lax,ou=policies,dc=example,dc=org\n");
  out += Entry("frozen", "uid=frozen,ou=frozen," + slapd.people_dn, "Fritz Frozen");
  out +=
      "dn: " + slapd.administrators +
      "\nobjectClass: groupOfNames\ncn: admins\nmember: cn=staff,ou=groups,dc=example,dc=org\n\n";
  out +=
      "dn: cn=staff,ou=groups,dc=example,dc=org\nobjectClass: groupOfUniqueNames\ncn: staff\n"
      "uniqueMember: " +
      slapd.Dn("alice") + "\n\n";
  out +=
      "dn: " + slapd.guarded +
      "\nobjectClass: groupOfNames\ncn: guarded\nmember: cn=inner,ou=groups,dc=example,dc=org\n\n";
  // A ring: the groups hold each other.
  out +=
      "dn: cn=inner,ou=groups,dc=example,dc=org\nobjectClass: groupOfNames\ncn: inner\n"
      "member: " +
      slapd.Dn("dave") + "\nmember: " + slapd.guarded + "\n\n";
  return out;
}

// A port that nobody had a moment ago.
std::uint16_t FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no free port");
  }
  close(fd);
  return ntohs(address.sin_port);
}

bool Answers(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const bool answers = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return answers;
}

}  // namespace

TestSlapd& TestSlapd::Shared() {
  static TestSlapd slapd;
  return slapd;
}

std::string TestSlapd::Dn(std::string_view uid) {
  return "uid=" + std::string(uid) + ",ou=people,dc=example,dc=org";
}

TestSlapd::TestSlapd() {
  std::string name = (fs::temp_directory_path() / "keyferry-slapd-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
  folder = name;
  ca_file = folder + "/ca.pem";
  fs::create_directory(folder + "/db");
  MakeCertificates();
  Write("slapd.conf", Configuration(*this));
  Must(RunProcess({"slapadd", "-q", "-f", folder + "/slapd.conf"}, Data(*this)), "slapadd");
  port = FreePort();
  uri = "ldaps://127.0.0.1:" + std::to_string(port);
  Start();
}

TestSlapd::~TestSlapd() {
  Stop();
  std::error_code ignored;
  fs::remove_all(folder, ignored);
}

void TestSlapd::Write(const std::string& name, const std::string& text) const {
  std::ofstream(folder + "/" + name) << text;
}

void TestSlapd::MakeCertificates() const {
  Write("extensions",
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n"
        "extendedKeyUsage=serverAuth\n");
  const auto key = [](const char* file) {
    return std::vector<std::string>{"-newkey", "ec",      "-pkeyopt", "ec_paramgen_curve:P-256",
                                    "-noenc",  "-keyout", file};
  };
  const auto run = [&](std::vector<std::string> argv, std::vector<std::string> more) {
    argv.insert(argv.end(), more.begin(), more.end());
    Must(RunProcess(argv), "openssl");
  };
  const std::string at = folder + "/";
  run({"openssl", "req", "-x509", "-days", "30", "-subj", "/CN=Keyferry test CA", "-addext",
       "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
       "-out", at + "ca.pem"},
      key((at + "ca.key").c_str()));
  run({"openssl", "req", "-subj", "/CN=localhost", "-out", at + "server.csr"},
      key((at + "server.key").c_str()));
  run({"openssl", "x509", "-req", "-days", "30", "-in", at + "server.csr", "-CA", at + "ca.pem",
       "-CAkey", at + "ca.key", "-CAcreateserial", "-extfile", at + "extensions", "-out",
       at + "server.pem"},
      {});
}

void TestSlapd::Start() {
  const std::string configuration = folder + "/slapd.conf", log = folder + "/slapd.log";
  server_ = fork();
  if (server_ < 0) throw std::runtime_error("cannot fork");
  if (server_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dup2(out, 1);
    dup2(out, 2);
    // -d 0: stays in the foreground
    execl("/usr/sbin/slapd", "slapd", "-f", configuration.c_str(), "-h", uri.c_str(), "-d", "0",
          nullptr);
    _exit(127);
  }
  for (int i = 0; i < 2000; ++i) {
    if (Answers(port)) return;
    int status = 0;
    if (waitpid(server_, &status, WNOHANG) == server_) {
      server_ = -1;
      throw std::runtime_error("slapd ended at once; see " + log);
    }
    poll(nullptr, 0, 10);
  }
  throw std::runtime_error("slapd does not answer");
}

void TestSlapd::Stop() {
  if (server_ < 0) return;
  kill(server_, SIGTERM);
  while (waitpid(server_, nullptr, 0) < 0 && errno == EINTR) {
  }
  server_ = -1;
}

ProcessResult TestSlapd::Tool(std::initializer_list<std::string> argv, std::string_view input) {
  std::vector<std::string> whole{"env", "LDAPTLS_CACERT=" + ca_file, "LDAPTLS_REQCERT=demand"};
  whole.insert(whole.end(), argv.begin(), argv.end());
  whole.insert(whole.end(), {"-x", "-H", uri});
  return RunProcess(whole, input);
}

void TestSlapd::Apply(const std::string& ldif) {
  Must(Tool({"ldapmodify", "-a", "-e", "relax", "-D", root_dn, "-w", root_password}, ldif),
       "ldapmodify of\n" + ldif);
}

std::string TestSlapd::Attribute(const std::string& dn, const std::string& name) {
  std::vector<std::string> argv{"env",
                                "LDAPTLS_CACERT=" + ca_file,
                                "LDAPTLS_REQCERT=demand",
                                "ldapsearch",
                                "-x",
                                "-H",
                                uri,
                                "-LLL",
                                "-o",
                                "ldif-wrap=no",
                                "-D",
                                root_dn,
                                "-w",
                                root_password,
                                "-s",
                                "base",
                                "-b",
                                dn,
                                "(objectClass=*)",
                                name};
  const ProcessResult result = RunProcess(argv);
  Must(result, "ldapsearch");
  const std::string line = "\n" + name + ": ";
  const std::size_t at = result.output.find(line);
  if (at == std::string::npos) return {};
  const std::size_t from = at + line.size();
  return result.output.substr(from, result.output.find('\n', from) - from);
}

ProcessResult TestSlapd::Bind(const std::string& dn, const std::string& password) {
  return Tool({"ldapwhoami", "-e", "ppolicy", "-D", dn, "-w", password});
}

}  // namespace keyferry::testing
