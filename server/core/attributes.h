#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/core/services.h"

namespace keyferry::server {

// Whether agents may be shown an attribute of this name: it is one, and none
// that is known to hold a password, a hash or a key.
bool MayBeShown(std::string_view attribute);

// The configured attributes of a person, for an agent who makes sure who calls.
// Thread-safe; blocks.
class AttributeService {
 public:
  virtual ~AttributeService() = default;
  // Each look is in the audit log before anything is shown. kPermissionDenied;
  // kNotFound.
  virtual Result<std::vector<DirectoryAttribute>> Show(const Actor& actor, const AccountId& id) = 0;
};
std::unique_ptr<AttributeService> MakeAttributeService(const CorePorts& ports);

}  // namespace keyferry::server
