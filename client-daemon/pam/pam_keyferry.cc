// pam_keyferry.so: asks for the PIN, has keyferry-agent do the rest, hands the released password to
// the next module.
//
// Runs inside login programs, so: no exceptions and no run-time type information (compiled
// without), no globals, no threads, no heap but libpam's own and one small block in pam_set_data,
// nothing linked but libpam and libc. It opens no file, dialog or program. Every way out of
// pam_sm_authenticate that is not a proven key is PAM_AUTH_ERR, PAM_AUTHINFO_UNAVAIL or
// PAM_USER_UNKNOWN; docs/login.md says which is when.
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "client-daemon/agent/agent_client.h"
#include "client-daemon/agent/agent_protocol.h"
#include "client-daemon/agent/wiped_buffer.h"
#include "client-daemon/pam/options.h"

namespace keyferry::daemon::login {
namespace {

constexpr const char* kDataName = "keyferry_login";

// What authenticate leaves for setcred, in pam_set_data.
struct Proven {
  std::uint64_t seq = 0;  // 0: nothing to confirm
  char user[kMaxLogin + 1] = {};
};

void FreeProven(pam_handle_t*, void* data, int) { std::free(data); }

// One call of the module.
struct Call {
  pam_handle_t* pam;
  Options options;
  bool silent;
};

// Shows `text` (already free of control characters) to the person, unless the program asked for
// silence.
void Tell(const Call& call, int style, std::string_view text) {
  if (call.silent) return;
  pam_prompt(call.pam, style, nullptr, "%.*s", static_cast<int>(text.size()), text.data());
}

void TellTouch(void* call) {
  Tell(*static_cast<const Call*>(call), PAM_TEXT_INFO, "Touch your security key");
}

std::string_view Item(const Call& call, int item) {
  const void* value = nullptr;
  if (pam_get_item(call.pam, item, &value) != PAM_SUCCESS || value == nullptr) return {};
  return static_cast<const char*>(value);
}

const char* Sentence(AgentClient::Outcome outcome) {
  switch (outcome) {
    case AgentClient::Outcome::kDown:
      return "The login service of the security key stopped answering.";
    case AgentClient::Outcome::kTimeout:
      return "The security key did not answer in time.";
    case AgentClient::Outcome::kGarbage:
    case AgentClient::Outcome::kAnswer:
      break;
  }
  return "The login service of the security key gave an answer that makes no sense.";
}

// An attempt that ended before the PIN: the next module asks as it always does. Quiet where the
// person need not have a key at all.
int NotAsked(const Call& call, const AgentClient::Answer& answer, const Buffer& buffer) {
  if (answer.outcome != AgentClient::Outcome::kAnswer) {
    pam_syslog(call.pam, LOG_WARNING, "%s", Sentence(answer.outcome));
    return PAM_AUTHINFO_UNAVAIL;
  }
  const auto refusal = ParseRefusal(buffer.first(answer.size));
  if (!refusal) {
    pam_syslog(call.pam, LOG_WARNING, "%s", Sentence(AgentClient::Outcome::kGarbage));
    return PAM_AUTHINFO_UNAVAIL;
  }
  if (refusal->problem == Problem::kNoKey) {
    if (call.options.debug) pam_syslog(call.pam, LOG_DEBUG, "no key of this person is here");
    return PAM_USER_UNKNOWN;
  }
  pam_syslog(call.pam, LOG_NOTICE, "%.*s", static_cast<int>(refusal->sentence.size()),
             refusal->sentence.data());
  if (refusal->problem != Problem::kUnavailable && refusal->problem != Problem::kDenied) {
    Tell(call, PAM_ERROR_MSG, refusal->sentence);
  }
  return PAM_AUTHINFO_UNAVAIL;
}

// An attempt that ended after the PIN was sent.
int Refused(const Call& call, const AgentClient::Answer& answer, const Buffer& buffer) {
  std::string_view sentence = Sentence(answer.outcome);
  int result = PAM_AUTHINFO_UNAVAIL;
  const auto refusal = answer.outcome == AgentClient::Outcome::kAnswer
                           ? ParseRefusal(buffer.first(answer.size))
                           : std::nullopt;
  if (refusal) {
    sentence = refusal->sentence;
    switch (refusal->problem) {
      case Problem::kNoKey:
      case Problem::kUnavailable:
      case Problem::kBusy:
      case Problem::kNoPin:
      case Problem::kNoPassword:
      case Problem::kFailed:
      case Problem::kAlarm:
        break;
      default:
        result = PAM_AUTH_ERR;
    }
  }
  pam_syslog(call.pam, LOG_NOTICE, "%.*s", static_cast<int>(sentence.size()), sentence.data());
  Tell(call, PAM_ERROR_MSG, sentence);
  return result;
}

// HELLO. READY is left in `buffer`; anything else is in the answer too.
AgentClient::Answer Greet(const Call& call, AgentClient& agent, Purpose purpose,
                          std::string_view user, Buffer& buffer) {
  if (!agent.Connect(call.options.socket)) return {AgentClient::Outcome::kDown};
  const Hello hello{purpose, user, Item(call, PAM_SERVICE), Item(call, PAM_TTY)};
  return agent.Ask(buffer, Write(hello, buffer.span()), nullptr, nullptr);
}

bool IsReady(const AgentClient::Answer& answer, const Buffer& buffer) {
  return answer.outcome == AgentClient::Outcome::kAnswer &&
         ParseReady(buffer.first(answer.size)).has_value();
}

// Asks for the PIN and writes it, as a message, to `buffer`. Returns its size, or 0: not a PIN that
// a key could have.
std::size_t AskPin(const Call& call, Buffer& buffer) {
  char* typed = nullptr;
  if (pam_prompt(call.pam, PAM_PROMPT_ECHO_OFF, &typed, "%s", call.options.prompt) != PAM_SUCCESS ||
      typed == nullptr) {
    return 0;
  }
  const std::size_t size = strnlen(typed, PAM_MAX_RESP_SIZE);
  const bool fits = size >= kMinPin && size <= kMaxPin;
  const std::size_t message = fits ? WritePin({typed, size}, buffer.span()) : 0;
  explicit_bzero(typed, size);
  std::free(typed);
  return message;
}

// Leaves `password` (if any) for the next module and (seq, user) for setcred.
int Succeed(const Call& call, std::string_view user, std::uint64_t seq, std::string_view password) {
  auto* proven = static_cast<Proven*>(std::calloc(1, sizeof(Proven)));
  if (proven == nullptr) return PAM_AUTHINFO_UNAVAIL;
  proven->seq = seq;
  std::memcpy(proven->user, user.data(), user.size() < kMaxLogin ? user.size() : kMaxLogin);
  if (pam_set_data(call.pam, kDataName, proven, FreeProven) != PAM_SUCCESS) {
    std::free(proven);
    return PAM_AUTHINFO_UNAVAIL;
  }
  if (!password.empty()) {
    WipedBuffer<kMaxPassword + 1> terminated;
    std::memcpy(terminated.data(), password.data(), password.size());
    if (pam_set_item(call.pam, PAM_AUTHTOK, terminated.data()) != PAM_SUCCESS) {
      pam_set_data(call.pam, kDataName, nullptr, nullptr);
      return PAM_AUTHINFO_UNAVAIL;
    }
  }
  if (call.options.debug) pam_syslog(call.pam, LOG_DEBUG, "the key proved its person");
  return PAM_SUCCESS;
}

int Authenticate(const Call& call) {
  pam_set_data(call.pam, kDataName, nullptr, nullptr);  // of an earlier attempt in the same handle
  if (call.options.bad != nullptr) {
    pam_syslog(call.pam, LOG_ERR, "option not understood: %.100s", call.options.bad);
    return PAM_AUTHINFO_UNAVAIL;
  }
  const char* user = nullptr;
  if (pam_get_user(call.pam, &user, nullptr) != PAM_SUCCESS || user == nullptr || user[0] == '\0') {
    return PAM_AUTHINFO_UNAVAIL;
  }

  Buffer buffer;
  AgentClient agent(call.options.timeout_ms);
  const Purpose purpose = geteuid() == 0 ? Purpose::kLogin : Purpose::kUnlock;
  AgentClient::Answer answer = Greet(call, agent, purpose, user, buffer);
  if (!IsReady(answer, buffer)) return NotAsked(call, answer, buffer);

  buffer.Wipe();
  const std::size_t size = AskPin(call, buffer);
  if (size == 0) {
    Tell(call, PAM_ERROR_MSG, "That is no PIN: it has 4 to 63 characters.");
    return PAM_AUTH_ERR;
  }
  Call told = call;
  answer = agent.Ask(buffer, size, TellTouch, &told);
  if (answer.outcome == AgentClient::Outcome::kAnswer) {
    if (purpose == Purpose::kLogin && answer.type == Type::kReleased) {
      if (const auto released = ParseReleased(buffer.first(answer.size))) {
        return Succeed(call, user, released->seq, released->password);
      }
    }
    if (purpose == Purpose::kUnlock && answer.type == Type::kYes) return Succeed(call, user, 0, {});
    if (answer.type != Type::kError) answer.outcome = AgentClient::Outcome::kGarbage;
  }
  return Refused(call, answer, buffer);
}

// The login succeeded with the released password: the key may forget the one before it.
void Confirm(const Call& call, Proven& proven) {
  Buffer buffer;
  AgentClient agent(call.options.timeout_ms);
  AgentClient::Answer answer = Greet(call, agent, Purpose::kConfirm, proven.user, buffer);
  if (IsReady(answer, buffer)) {
    answer = agent.Ask(buffer, WriteConfirm(proven.seq, buffer.span()), nullptr, nullptr);
    if (answer.outcome == AgentClient::Outcome::kAnswer && answer.type == Type::kDone) {
      proven.seq = 0;
      return;
    }
  }
  std::string_view why = Sentence(answer.outcome);
  const auto refusal = answer.outcome == AgentClient::Outcome::kAnswer
                           ? ParseRefusal(buffer.first(answer.size))
                           : std::nullopt;
  if (refusal) why = refusal->sentence;
  pam_syslog(call.pam, LOG_WARNING, "the login was not confirmed to the key: %.*s",
             static_cast<int>(why.size()), why.data());
}

int SetCredentials(const Call& call, unsigned flags) {
  const void* data = nullptr;
  if (pam_get_data(call.pam, kDataName, &data) != PAM_SUCCESS || data == nullptr) return PAM_IGNORE;
  // libpam hands out as const what this module itself gave it.
  auto* proven = static_cast<Proven*>(const_cast<void*>(data));
  if ((flags & PAM_DELETE_CRED) == 0 && proven->seq != 0) Confirm(call, *proven);
  return PAM_SUCCESS;
}

Call MakeCall(pam_handle_t* pam, unsigned flags, int argc, const char** argv) {
  return {pam, Options::Parse(argc, argv), (flags & PAM_SILENT) != 0};
}

}  // namespace
}  // namespace keyferry::daemon::login

namespace login = keyferry::daemon::login;

#define KEYFERRY_EXPORT extern "C" __attribute__((visibility("default")))

KEYFERRY_EXPORT int pam_sm_authenticate(pam_handle_t* pam, int flags, int argc, const char** argv) {
  return login::Authenticate(login::MakeCall(pam, static_cast<unsigned>(flags), argc, argv));
}

KEYFERRY_EXPORT int pam_sm_setcred(pam_handle_t* pam, int flags, int argc, const char** argv) {
  return login::SetCredentials(login::MakeCall(pam, static_cast<unsigned>(flags), argc, argv),
                               static_cast<unsigned>(flags));
}

// The key says nothing about whether an account may be used, about sessions, or about passwords to
// be changed: these are another module's, and PAM_IGNORE alone never lets anybody in.
KEYFERRY_EXPORT int pam_sm_acct_mgmt(pam_handle_t*, int, int, const char**) { return PAM_IGNORE; }
KEYFERRY_EXPORT int pam_sm_open_session(pam_handle_t*, int, int, const char**) {
  return PAM_IGNORE;
}
KEYFERRY_EXPORT int pam_sm_close_session(pam_handle_t*, int, int, const char**) {
  return PAM_IGNORE;
}
KEYFERRY_EXPORT int pam_sm_chauthtok(pam_handle_t*, int, int, const char**) { return PAM_IGNORE; }
