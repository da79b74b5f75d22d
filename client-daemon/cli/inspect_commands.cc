#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <memory>

#include "client-daemon/cli/commands.h"
#include "client-daemon/cli/inspect.h"
#include "client-daemon/core/files.h"

namespace keyferry::daemon::cli {
namespace {

constexpr std::size_t kMaxFile = 8192;

int ComplainOfFile(const Error& error) {
  std::fprintf(stderr, "keyferry: %s\n", error.message.c_str());
  return 2;
}

int ShowJob(const std::string& path) {
  const auto file = ReadBounded(path, kMaxFile);
  if (!file) return ComplainOfFile(file.error());
  const auto text = DescribeJob(*file);
  if (!text) return ComplainOfFile(text.error());
  std::fputs(text->c_str(), stdout);
  return 0;
}

int CheckReceipt(const std::string& path, const std::string& key_path) {
  const auto file = ReadBounded(path, kMaxFile);
  if (!file) return ComplainOfFile(file.error());
  const auto key = ReadBounded(key_path, kMaxFile);
  if (!key) return ComplainOfFile(key.error());
  const auto view = VerifyReceipt(*file, *key);
  if (!view) return ComplainOfFile(view.error());
  std::fputs(view->text.c_str(), stdout);
  return view->genuine ? 0 : 1;
}

}  // namespace

void AddJob(CLI::App& app, int& exit_code) {
  CLI::App* job = app.add_subcommand("job", "Look at sealed jobs");
  job->require_subcommand(1);
  auto path = std::make_shared<std::string>();
  CLI::App* show =
      job->add_subcommand("show", "Print a sealed job's header (what it holds stays sealed)");
  show->add_option("FILE", *path, "sealed job, or a file of the daemon's spool")->required();
  show->callback([path, &exit_code] { exit_code = ShowJob(*path); });
}

void AddReceipt(CLI::App& app, int& exit_code) {
  CLI::App* receipt = app.add_subcommand("receipt", "Look at receipts");
  receipt->require_subcommand(1);
  auto path = std::make_shared<std::string>();
  auto key = std::make_shared<std::string>();
  CLI::App* verify = receipt->add_subcommand(
      "verify", "Check a receipt's signature and print it; exit code 1 when it is not the key's");
  verify->add_option("FILE", *path, "receipt, or a file of the daemon's spool")->required();
  verify->add_option("--key", *key, "the key's signature key, statement or record")->required();
  verify->callback([path, key, &exit_code] { exit_code = CheckReceipt(*path, *key); });
}

}  // namespace keyferry::daemon::cli
