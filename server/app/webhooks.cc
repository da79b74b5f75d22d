#include "server/app/webhooks.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <utility>

#include "protocol/secure/system_random.h"
#include "server/app/files.h"
#include "server/core/encoding.h"
#include "server/outbound/https_poster.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kLeastSecret = 32;  // bytes
// Longer than a delivery takes: nobody else has it in hand meanwhile.
constexpr std::chrono::milliseconds kWebhookLease{120'000};
constexpr const char* kWebhookTask = "webhooks";

class DefaultWebhookDelivery final : public Webhooks {
 public:
  DefaultWebhookDelivery(const ServerConfig& config, Store& store, const Clock& clock, Log& log,
                         SecureBytes secret)
      : store_(store),
        shared_(config.postgres.has_value()),
        poster_(MakeHttpsPoster(
            {config.webhook.ca_file.string(), static_cast<long>(config.webhook.timeout_seconds)})),
        holder_(std::to_string(getpid())) {
    std::array<std::uint8_t, 16> name{};
    if (OsRandom().Fill(name)) holder_ = ToHex(name);
    WebhookConfig settings;
    settings.targets = config.webhook.targets;
    settings.secret = std::move(secret);
    service_ = MakeWebhookService(
        {store, *poster_, clock, [&log](std::string_view line) { log.Warning(line); }},
        std::move(settings));
  }
  ~DefaultWebhookDelivery() override {
    if (shared_) (void)store_.EndLease(kWebhookTask, holder_);
  }

  WebhookService& service() override { return *service_; }
  void Tick() override {
    service_->Tick([this] { return IsMine(); });
  }

 private:
  bool IsMine() {
    const auto now = std::chrono::steady_clock::now();
    if (!shared_ || now < renew_) return true;
    const auto taken = store_.TakeLease(kWebhookTask, holder_, kWebhookLease.count());
    const bool mine = taken && *taken;
    if (mine) renew_ = now + kWebhookLease / 3;
    return mine;
  }

  Store& store_;
  const bool shared_;
  const std::unique_ptr<HttpPoster> poster_;
  std::string holder_;
  std::unique_ptr<WebhookService> service_;
  std::chrono::steady_clock::time_point renew_{};
};

}  // namespace

Result<std::unique_ptr<Webhooks>> Webhooks::Make(const ServerConfig& config, Store& store,
                                                 const Clock& clock, Log& log) {
  if (config.webhook.targets.empty()) return std::unique_ptr<Webhooks>();
  auto secret = ReadSecretLine(config.webhook.secret_file);
  if (!secret) return tl::unexpected(std::move(secret.error()));
  if (secret->size() < kLeastSecret) {
    return Fail(ErrorCode::kInvalidArgument,
                config.webhook.secret_file.string() +
                    " must hold at least 32 characters, like those of: openssl rand -hex 32");
  }
  return std::make_unique<DefaultWebhookDelivery>(config, store, clock, log, *std::move(secret));
}

}  // namespace keyferry::server
