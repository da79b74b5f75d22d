#include "server/app/token_desk.h"

#include <utility>

#include "protocol/secure/system_random.h"
#include "server/app/open.h"
#include "server/app/settings.h"
#include "server/core/services.h"

namespace keyferry::server {
namespace {

class Desk final : public TokenDesk {
 public:
  Desk(const ServerConfig& config, std::unique_ptr<Store> store,
       std::unique_ptr<Directory> directory)
      : store_(std::move(store)),
        directory_(std::move(directory)),
        tokens_(MakeTokenService({*store_, *directory_, clock_, OsRandom()}, TokensOf(config),
                                 SessionsOf(config))) {
    console_.login = "console";
    console_.roles = Role::kAdministrator;
  }
  TokenService& tokens() override { return *tokens_; }
  const Actor& console() const override { return console_; }

 private:
  SystemClock clock_;
  Actor console_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<TokenService> tokens_;
};

}  // namespace

Result<std::unique_ptr<TokenDesk>> TokenDesk::Open(const ServerConfig& config) {
  auto store = OpenStore(config);
  if (!store) return tl::unexpected(store.error());
  auto directory = OpenDirectory(config.directory, kFirstSection);
  if (!directory) return tl::unexpected(directory.error());
  return std::make_unique<Desk>(config, std::move(*store), std::move(*directory));
}

}  // namespace keyferry::server
