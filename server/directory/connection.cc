#include "server/directory/connection.h"

#include <fcntl.h>
#include <ldap.h>
#include <openldap.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

#include "protocol/failpoint.h"
#include "server/directory/stack.h"
#include "server/directory/tcp.h"

namespace keyferry::server {
namespace {

constexpr ber_int_t kPageSize = 500;
constexpr ber_len_t kMaxAnswer = 8u << 20;  // bytes of one LDAP message; a page of ours is far less
constexpr std::uint32_t kNotBound = 0x4DC;  // Windows: "a successful bind must be completed"

timeval ToTimeval(std::chrono::milliseconds span) {
  const auto positive = std::max(span, std::chrono::milliseconds(1));
  timeval out{};
  out.tv_sec = static_cast<time_t>(positive.count() / 1000);
  out.tv_usec = static_cast<suseconds_t>(positive.count() % 1000 * 1000);
  return out;
}

std::chrono::milliseconds Left(Deadline deadline) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(deadline -
                                                               std::chrono::steady_clock::now());
}

berval View(std::string_view text) { return berval{text.size(), const_cast<char*>(text.data())}; }

// Splits "ldaps://host:port" with libldap's own parser.
struct HostPort {
  std::string host;
  std::uint16_t port = 636;
};
HostPort SplitUri(const std::string& uri) {
  HostPort out;
  LDAPURLDesc* parsed = nullptr;
  if (ldap_url_parse(uri.c_str(), &parsed) != LDAP_URL_SUCCESS) return out;
  if (parsed->lud_host != nullptr) out.host = parsed->lud_host;
  if (parsed->lud_port > 0 && parsed->lud_port <= 65535) {
    out.port = static_cast<std::uint16_t>(parsed->lud_port);
  }
  ldap_free_urldesc(parsed);
  return out;
}

// Asks for the password policy's answer (draft-behera-ldap-password-policy section 6).
LDAPControl& PolicyRequest() {
  static LDAPControl control{
      const_cast<char*>(LDAP_CONTROL_PASSWORDPOLICYREQUEST), {0, nullptr}, 0};
  return control;
}

void ReadPolicy(LDAP* handle, LDAPControl** controls, LdapAnswer::Policy* out) {
  LDAPControl* control = ldap_control_find(LDAP_CONTROL_PASSWORDPOLICYRESPONSE, controls, nullptr);
  ber_int_t expires = -1, grace = -1;
  LDAPPasswordPolicyError error = PP_noError;
  if (control == nullptr || ldap_parse_passwordpolicy_control(handle, control, &expires, &grace,
                                                              &error) != LDAP_SUCCESS) {
    return;
  }
  if (error != PP_noError) out->error = static_cast<int>(error);
  out->grace_left = grace;
}

LdapEntry ReadEntry(LDAP* handle, LDAPMessage* message) {
  LdapEntry entry;
  if (char* dn = ldap_get_dn(handle, message); dn != nullptr) {
    entry.dn = dn;
    ldap_memfree(dn);
  }
  BerElement* position = nullptr;
  for (char* name = ldap_first_attribute(handle, message, &position); name != nullptr;
       name = ldap_next_attribute(handle, message, position)) {
    std::string key = name;
    std::transform(key.begin(), key.end(), key.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (berval** values = ldap_get_values_len(handle, message, name); values != nullptr) {
      auto& out = entry.attributes[key];
      for (berval** value = values; *value != nullptr; ++value) {
        out.emplace_back((*value)->bv_val, (*value)->bv_len);
      }
      ldap_value_free_len(values);
    }
    ldap_memfree(name);
  }
  if (position != nullptr) ber_free(position, 0);
  return entry;
}

}  // namespace

std::string_view LdapEntry::Get(std::string_view lower_case_name) const {
  const auto& values = All(lower_case_name);
  return values.empty() ? std::string_view() : std::string_view(values.front());
}

const std::vector<std::string>& LdapEntry::All(std::string_view lower_case_name) const {
  static const std::vector<std::string> kNone;
  const auto found = attributes.find(lower_case_name);
  return found == attributes.end() ? kNone : found->second;
}

LdapConnection::LdapConnection(LdapEndpoint endpoint) : endpoint_(std::move(endpoint)) {}

LdapConnection::~LdapConnection() {
  if (handle_ == nullptr) return;
  io_.Set(std::chrono::steady_clock::now());  // the farewell goes out at once or not at all
  ldap_unbind_ext(handle_, nullptr, nullptr);
}

Result<void> LdapConnection::Configure() {
  // Each option is set here whatever ldap.conf or the environment says; the TLS context last.
  const int version = LDAP_VERSION3;
  const int demand = LDAP_OPT_X_TLS_DEMAND;
  const int minimum = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2;
  const int server_side = 0;
  const ber_len_t max_answer = kMaxAnswer;
  Sockbuf* socket_buffer = nullptr;
  const bool set = ldap_set_option(handle_, LDAP_OPT_PROTOCOL_VERSION, &version) == LDAP_SUCCESS &&
                   ldap_set_option(handle_, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) == LDAP_SUCCESS &&
                   ldap_set_option(handle_, LDAP_OPT_RESTART, LDAP_OPT_ON) == LDAP_SUCCESS &&
                   ldap_get_option(handle_, LDAP_OPT_SOCKBUF, &socket_buffer) == LDAP_SUCCESS &&
                   ber_sockbuf_ctrl(socket_buffer, LBER_SB_OPT_SET_MAX_INCOMING,
                                    const_cast<ber_len_t*>(&max_answer)) == 1 &&
                   io_.Attach(socket_buffer) &&
                   ldap_set_option(handle_, LDAP_OPT_X_TLS_CACERTDIR, nullptr) == LDAP_SUCCESS &&
                   ldap_set_option(handle_, LDAP_OPT_X_TLS_CACERTFILE, endpoint_.ca_file.c_str()) ==
                       LDAP_SUCCESS &&
                   ldap_set_option(handle_, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand) == LDAP_SUCCESS &&
                   ldap_set_option(handle_, LDAP_OPT_X_TLS_PROTOCOL_MIN, &minimum) == LDAP_SUCCESS;
  if (!set)
    return Fail(ErrorCode::kInternal, "libldap does not take the options that Keyferry needs.");
  const int rc = ldap_set_option(handle_, LDAP_OPT_X_TLS_NEWCTX, &server_side);
  if (rc != LDAP_SUCCESS) {
    return Fail(ErrorCode::kInvalidArgument,
                endpoint_.section + ".ca_file: \"" + endpoint_.ca_file +
                    "\" cannot be read or holds no PEM certificate.",
                Diagnostic());
  }
  return {};
}

Result<std::unique_ptr<LdapConnection>> LdapConnection::Create(const LdapEndpoint& endpoint) {
  std::unique_ptr<LdapConnection> out(new LdapConnection(endpoint));
  const int rc = ldap_initialize(&out->handle_, endpoint.uri.c_str());
  if (rc != LDAP_SUCCESS) {
    return Fail(ErrorCode::kInvalidArgument,
                endpoint.section + ".uris: \"" + endpoint.uri + "\" is not an LDAPS address.",
                ldap_err2string(rc));
  }
  if (auto done = out->Configure(); !done) return tl::unexpected<Error>(done.error());
  return out;
}

Result<std::unique_ptr<LdapConnection>> LdapConnection::Open(const LdapEndpoint& endpoint,
                                                             std::chrono::milliseconds budget) {
  using State = TcpConnection::State;
  const Deadline deadline = std::chrono::steady_clock::now() + budget;
  const std::string server = "The " + std::string(ServerNoun(endpoint.kind)) + " " + endpoint.uri;
  const HostPort target = SplitUri(endpoint.uri);
  TcpConnection tcp = ConnectTcp(target.host, target.port, deadline);
  std::string detail = endpoint.uri + ": " + tcp.detail;
  const auto silent = [&] {
    return Fail(ErrorCode::kDeadline,
                server +
                    " did not answer in time. Nothing was changed; check that it runs and that the "
                    "network allows LDAPS.",
                detail);
  };
  switch (tcp.state) {
    case State::kConnected:
      break;
    case State::kUnknownName:
      return Fail(ErrorCode::kUnavailable,
                  "The name of the " + std::string(ServerNoun(endpoint.kind)) + " " + endpoint.uri +
                      " cannot be resolved. Nothing was changed; check DNS and " +
                      endpoint.section + ".uris.",
                  std::move(detail));
    case State::kUnresolved:
      return Fail(ErrorCode::kDeadline,
                  "The name of the " + std::string(ServerNoun(endpoint.kind)) + " " + endpoint.uri +
                      " was not resolved in time. Nothing was changed; check that this machine's "
                      "DNS servers answer.",
                  std::move(detail));
    case State::kRefused:
      return Fail(ErrorCode::kUnavailable,
                  server +
                      " does not accept connections. Nothing was changed; check that it runs and "
                      "that the network allows LDAPS.",
                  std::move(detail));
    case State::kSilent:
      return silent();
  }
  std::unique_ptr<LdapConnection> out(new LdapConnection(endpoint));
  const int made = ldap_init_fd(tcp.fd, LDAP_PROTO_TCP, endpoint.uri.c_str(), &out->handle_);
  if (made != LDAP_SUCCESS) {
    close(tcp.fd);
    return Fail(ErrorCode::kInternal, "libldap does not take a connection.", ldap_err2string(made));
  }
  if (auto done = out->Configure(); !done) return tl::unexpected<Error>(done.error());
  const timeval limit = ToTimeval(Left(deadline));
  ldap_set_option(out->handle_, LDAP_OPT_NETWORK_TIMEOUT, &limit);
  out->io_.Set(deadline);
  const int rc = ldap_install_tls(out->handle_);
  if (rc == LDAP_SUCCESS) return out;
  out->broken_ = true;
  detail = endpoint.uri + ": rc " + std::to_string(rc) + " (" + ldap_err2string(rc) + "), " +
           out->Diagnostic();
  if (std::chrono::steady_clock::now() >= deadline - budget / 10) return silent();
  return Fail(ErrorCode::kUnavailable,
              server + " did not prove who it is: its certificate does not fit " +
                  endpoint.section +
                  ".ca_file "
                  "or its name, or the port does not speak TLS. Nothing was changed.",
              std::move(detail));
}

int LdapConnection::Descriptor() const {
  int fd = -1;
  ldap_get_option(handle_, LDAP_OPT_DESC, &fd);
  return fd;
}

std::string LdapConnection::Diagnostic() const {
  char* text = nullptr;
  ldap_get_option(handle_, LDAP_OPT_DIAGNOSTIC_MESSAGE, &text);
  std::string out = text == nullptr ? "no diagnostic" : text;
  ldap_memfree(text);
  return out;
}

std::string LdapConnection::PeerCertificate() const {
  std::string out;
  berval value{};
  if (ldap_get_option(handle_, LDAP_OPT_X_TLS_PEERCERT, &value) == LDAP_SUCCESS) {
    if (value.bv_val != nullptr) out.assign(value.bv_val, value.bv_len);
    ldap_memfree(value.bv_val);
  }
  return out;
}

bool LdapConnection::LooksAlive() const {
  pollfd wait{Descriptor(), POLLIN | POLLRDHUP, 0};
  return !broken_ && wait.fd >= 0 && poll(&wait, 1, 0) == 0;
}

// Closing with a zero linger time sends RST and drops what the kernel still holds. The descriptor
// number stays libldap's: it is pointed at /dev/null, where the farewell of ldap_unbind goes.
void LdapConnection::Reset() {
  broken_ = true;
  const int fd = Descriptor();
  if (fd < 0) return;
  const linger at_once{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  const int sink = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (sink < 0 || dup3(sink, fd, O_CLOEXEC) < 0) shutdown(fd, SHUT_RDWR);
  if (sink >= 0) close(sink);
}

LdapAnswer LdapConnection::SendFailure(int rc) {
  LdapAnswer answer;
  answer.delivery = LdapAnswer::Delivery::kNotSent;
  answer.rc = rc;
  answer.diagnostic = Diagnostic();
  // Encoding and parameter errors leave the connection as it was; everything else ends it.
  if (rc != LDAP_ENCODING_ERROR && rc != LDAP_PARAM_ERROR && rc != LDAP_FILTER_ERROR &&
      rc != LDAP_NO_MEMORY) {
    Reset();
  }
  return answer;
}

LdapAnswer LdapConnection::Withdrawn() {
  LdapAnswer answer;
  answer.delivery = LdapAnswer::Delivery::kNotSent;
  answer.rc = LDAP_USER_CANCELLED;
  answer.diagnostic = "withdrawn before it was sent";
  return answer;
}

LdapAnswer LdapConnection::Await(int message_id, Deadline deadline, std::string* cookie,
                                 const std::function<void(struct ldap*, void*)>& entry) {
  LdapAnswer answer;
  if (broken_) {  // by the answer before this one, of several
    answer.delivery = LdapAnswer::Delivery::kNoAnswer;
    answer.rc = LDAP_SERVER_DOWN;
    answer.diagnostic = "the connection was reset";
    return answer;
  }
  while (true) {
    timeval wait = ToTimeval(Left(deadline));
    LDAPMessage* message = nullptr;
    const int type = ldap_result(handle_, message_id, LDAP_MSG_ONE, &wait, &message);
    if (type <= 0) {
      answer.delivery = LdapAnswer::Delivery::kNoAnswer;
      answer.timed_out = type == 0 || std::chrono::steady_clock::now() >= deadline;
      ldap_get_option(handle_, LDAP_OPT_RESULT_CODE, &answer.rc);
      if (type == 0) answer.rc = LDAP_TIMEOUT;
      answer.diagnostic = Diagnostic();
      Reset();
      return answer;
    }
    if (type == LDAP_RES_SEARCH_ENTRY) {
      if (entry) entry(handle_, message);
      ldap_msgfree(message);
      continue;
    }
    if (type == LDAP_RES_SEARCH_REFERENCE || type == LDAP_RES_INTERMEDIATE) {
      ldap_msgfree(message);
      continue;
    }
    char* text = nullptr;
    LDAPControl** controls = nullptr;
    const int parsed =
        ldap_parse_result(handle_, message, &answer.rc, nullptr, &text, nullptr, &controls, 1);
    if (parsed != LDAP_SUCCESS) {
      answer.delivery = LdapAnswer::Delivery::kNoAnswer;
      answer.rc = parsed;
      answer.diagnostic = Diagnostic();
      Reset();
      return answer;
    }
    heard_ = std::chrono::steady_clock::now();
    if (text != nullptr) answer.diagnostic = text;
    ldap_memfree(text);
    // The server forgot the bind (Windows does after some changes of the account): as good as gone.
    if (WindowsCode(answer.diagnostic) == kNotBound) Reset();
    if (cookie != nullptr) cookie->clear();
    if (controls != nullptr) {
      LDAPControl* page = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, nullptr);
      berval value{};
      ber_int_t estimate = 0;
      if (cookie != nullptr && page != nullptr &&
          ldap_parse_pageresponse_control(handle_, page, &estimate, &value) == LDAP_SUCCESS) {
        cookie->assign(value.bv_val == nullptr ? "" : value.bv_val, value.bv_len);
        ber_memfree(value.bv_val);
      }
      ReadPolicy(handle_, controls, &answer.policy);
      ldap_controls_free(controls);
    }
    return answer;
  }
}

LdapAnswer LdapConnection::SendBind(const std::string& name, const SecureBytes& password,
                                    Deadline deadline, bool with_policy) {
  if (password.empty()) {
    LdapAnswer refused;
    refused.rc = LDAP_INVALID_CREDENTIALS;
    refused.diagnostic = "empty password, not sent";
    return refused;
  }
  berval secret = View(password.view());
  LDAPControl* controls[] = {with_policy ? &PolicyRequest() : nullptr, nullptr};
  io_.Set(deadline);
  int id = 0;
  const int rc =
      ldap_sasl_bind(handle_, name.c_str(), LDAP_SASL_SIMPLE, &secret, controls, nullptr, &id);
  ScrubStack();
  if (rc != LDAP_SUCCESS) return SendFailure(rc);
  return Await(id, deadline, nullptr, nullptr);
}

LdapAnswer LdapConnection::Bind(const std::string& name, const SecureBytes& password,
                                Deadline deadline) {
  return SendBind(name, password, deadline, false);
}

LdapAnswer LdapConnection::BindWithPolicy(const std::string& name, const SecureBytes& password,
                                          Deadline deadline) {
  return SendBind(name, password, deadline, true);
}

namespace {

void Told(const AroundSend& around) {
  try {
    if (around.sent) around.sent();
  } catch (const std::exception&) {
    // It has left: what the caller does meanwhile must not make it look as if it had not.
  }
}

}  // namespace

LdapAnswer LdapConnection::SetPassword(const std::string& dn, const SecureBytes& password,
                                       Deadline deadline, const AroundSend& around) {
  berval user = View(dn);
  berval secret = View(password.view());
  LDAPControl* controls[] = {&PolicyRequest(), nullptr};
  io_.Set(deadline);
  int id = 0;
  if (around.may && !around.may()) return Withdrawn();
  KEYFERRY_FAILPOINT("server.directory.before_send");
  const int rc = ldap_passwd(handle_, &user, nullptr, &secret, controls, nullptr, &id);
  KEYFERRY_FAILPOINT("server.directory.sent");
  ScrubStack();
  if (rc != LDAP_SUCCESS) return SendFailure(rc);
  Told(around);
  LdapAnswer answer = Await(id, deadline, nullptr, nullptr);
  KEYFERRY_FAILPOINT("server.directory.answered");
  return answer;
}

int LdapConnection::SendSearch(const LdapSearch& search, struct ldapcontrol* page,
                               int* message_id) {
  std::vector<char*> names;
  for (const std::string& name : search.attributes)
    names.push_back(const_cast<char*>(name.c_str()));
  if (names.empty()) names.push_back(const_cast<char*>(LDAP_NO_ATTRS));
  names.push_back(nullptr);
  const int scope = search.scope == LdapSearch::Scope::kBase ? LDAP_SCOPE_BASE : LDAP_SCOPE_SUBTREE;
  // SDFlagsRequestValue ::= SEQUENCE { Flags INTEGER (4) }, the DACL ([MS-ADTS] 3.1.1.3.4.1.11)
  char dacl_flags[] = {0x30, 0x03, 0x02, 0x01, 0x04};
  LDAPControl dacl{const_cast<char*>("1.2.840.113556.1.4.801"), {sizeof dacl_flags, dacl_flags}, 1};
  std::vector<LDAPControl*> controls;
  if (page != nullptr) controls.push_back(page);
  if (search.with_dacl) controls.push_back(&dacl);
  controls.push_back(nullptr);
  return ldap_search_ext(handle_, search.base.c_str(), scope, search.filter.c_str(), names.data(),
                         0, controls.data(), nullptr, nullptr, LDAP_NO_LIMIT, message_id);
}

std::vector<LdapConnection::Found> LdapConnection::SearchTogether(
    const std::vector<LdapSearch>& searches, Deadline deadline,
    const std::function<void()>& meanwhile) {
  std::vector<Found> found(searches.size());
  std::vector<int> ids(searches.size());
  io_.Set(deadline);
  std::size_t sent = 0;
  for (int rc = LDAP_SUCCESS; rc == LDAP_SUCCESS && sent < searches.size();) {
    rc = SendSearch(searches[sent], nullptr, &ids[sent]);
    if (rc == LDAP_SUCCESS) {
      ++sent;
      continue;
    }
    const LdapAnswer failure = SendFailure(rc);
    for (std::size_t i = sent; i < found.size(); ++i) found[i].answer = failure;
  }
  // What was asked is read all the same, or its answers would stay in the handle until it is
  // closed.
  std::exception_ptr thrown;
  try {
    if (meanwhile) meanwhile();
  } catch (...) {
    thrown = std::current_exception();
  }
  for (std::size_t i = 0; i < sent; ++i) {
    std::vector<LdapEntry>& entries = found[i].entries;
    found[i].answer = Await(ids[i], deadline, nullptr, [&](struct ldap* handle, void* message) {
      if (entries.size() < searches[i].limit) {
        entries.push_back(ReadEntry(handle, static_cast<LDAPMessage*>(message)));
      }
    });
  }
  if (thrown) std::rethrow_exception(thrown);
  return found;
}

LdapAnswer LdapConnection::Search(const LdapSearch& search, Deadline deadline,
                                  const std::function<void(LdapEntry&&)>& sink) {
  io_.Set(deadline);
  std::size_t count = 0;
  std::string cookie;
  LdapAnswer answer;
  do {
    LDAPControl* page = nullptr;
    if (search.scope == LdapSearch::Scope::kSubtree) {
      berval sent = View(cookie);
      if (const int rc = ldap_create_page_control(handle_, kPageSize, &sent, 0, &page);
          rc != LDAP_SUCCESS) {
        return SendFailure(rc);
      }
    }
    int id = 0;
    const int rc = SendSearch(search, page, &id);
    if (page != nullptr) ldap_control_free(page);
    if (rc != LDAP_SUCCESS) return SendFailure(rc);
    answer = Await(id, deadline, &cookie, [&](struct ldap* handle, void* message) {
      if (++count <= search.limit) sink(ReadEntry(handle, static_cast<LDAPMessage*>(message)));
    });
    if (answer.ok() && count > search.limit) {
      answer.rc = LDAP_SIZELIMIT_EXCEEDED;
      answer.diagnostic = "more than " + std::to_string(search.limit) + " entries";
    }
  } while (answer.ok() && !cookie.empty());
  return answer;
}

LdapAnswer LdapConnection::SendModify(const std::string& dn,
                                      const std::vector<LdapReplace>& replacements,
                                      Deadline deadline, struct ldapcontrol* control,
                                      const AroundSend& around) {
  struct Item {
    berval value;
    berval* values[2];
    LDAPMod mod;
  };
  std::vector<Item> items(replacements.size());
  std::vector<LDAPMod*> mods;
  for (std::size_t i = 0; i < items.size(); ++i) {
    Item& item = items[i];
    item.value = View(replacements[i].value);
    item.values[0] = &item.value;
    item.values[1] = nullptr;
    const bool remove = replacements[i].remove;
    item.mod.mod_op = (remove ? LDAP_MOD_DELETE : LDAP_MOD_REPLACE) | LDAP_MOD_BVALUES;
    item.mod.mod_type = const_cast<char*>(replacements[i].attribute);
    item.mod.mod_vals.modv_bvals = remove ? nullptr : item.values;
    mods.push_back(&item.mod);
  }
  mods.push_back(nullptr);
  io_.Set(deadline);
  int id = 0;
  LDAPControl* controls[] = {control, nullptr};
  if (around.may && !around.may()) return Withdrawn();
  KEYFERRY_FAILPOINT("server.directory.before_send");
  const int rc = ldap_modify_ext(handle_, dn.c_str(), mods.data(), controls, nullptr, &id);
  KEYFERRY_FAILPOINT("server.directory.sent");
  ScrubStack();
  if (rc != LDAP_SUCCESS) return SendFailure(rc);
  Told(around);
  LdapAnswer answer = Await(id, deadline, nullptr, nullptr);
  KEYFERRY_FAILPOINT("server.directory.answered");
  return answer;
}

LdapAnswer LdapConnection::Modify(const std::string& dn,
                                  const std::vector<LdapReplace>& replacements, Deadline deadline,
                                  const std::string& policy_hints, const AroundSend& around) {
  // PolicyHintsRequestValue ::= SEQUENCE { Flags INTEGER (1) } ([MS-ADTS] 3.1.1.3.4.1.27)
  char flags[] = {0x30, 0x03, 0x02, 0x01, 0x01};
  LDAPControl hints{const_cast<char*>(policy_hints.c_str()), {sizeof flags, flags}, 1};
  return SendModify(dn, replacements, deadline, policy_hints.empty() ? nullptr : &hints, around);
}

LdapAnswer LdapConnection::TryModify(const std::string& dn,
                                     const std::vector<LdapReplace>& replacements,
                                     Deadline deadline) {
  LDAPControl nothing{const_cast<char*>(LDAP_CONTROL_NOOP), {0, nullptr}, 1};
  return SendModify(dn, replacements, deadline, &nothing, {});
}

}  // namespace keyferry::server
