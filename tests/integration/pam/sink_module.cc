// A PAM module for tests: writes PAM_AUTHTOK, if it is set, to the file named by its one argument.
// Never asks.
#include <security/pam_modules.h>

#include <cstdio>

#define KEYFERRY_EXPORT extern "C" __attribute__((visibility("default")))

KEYFERRY_EXPORT int pam_sm_authenticate(pam_handle_t* pam, int, int argc, const char** argv) {
  const void* token = nullptr;
  if (argc != 1 || pam_get_item(pam, PAM_AUTHTOK, &token) != PAM_SUCCESS) return PAM_SERVICE_ERR;
  if (token == nullptr) return PAM_IGNORE;
  std::FILE* file = std::fopen(argv[0], "w");
  if (file == nullptr) return PAM_SERVICE_ERR;
  std::fputs(static_cast<const char*>(token), file);
  std::fclose(file);
  return PAM_IGNORE;
}

KEYFERRY_EXPORT int pam_sm_setcred(pam_handle_t*, int, int, const char**) { return PAM_IGNORE; }
