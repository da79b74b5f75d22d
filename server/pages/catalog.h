#pragma once

#include <filesystem>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "server/pages/data.h"

namespace keyferry::server {

// Templates, texts and assets of the pages, read once at start from a directory with templates/,
// strings/en.toml and assets/. Templates are logic-less and may be edited by administrators; Load
// checks them. Thread-safe after Load.
//
// In templates, besides mustache: {{t.some.key}} is a text, {{> name}} another template,
// {{asset:file}} the address of an asset. In texts @directory@ is the name of the employees'
// source. {{{…}}}, {{&…}} and {{=…=}} are refused: nothing is written without escaping.
class Catalog {
 public:
  struct Asset {
    std::string content_type;
    std::shared_ptr<const std::string> body;
  };

  // kInvalidArgument names file and line; kIo names the file. `source`: where the employees come
  // from, as people call it.
  static Result<std::unique_ptr<Catalog>> Load(const std::filesystem::path& directory,
                                               std::string_view source = "Active Directory");

  // The text of a key with %1 … %9 replaced; the key itself when there is no such text.
  std::string Text(std::string_view key, std::initializer_list<std::string_view> values = {}) const;
  bool HasText(std::string_view key) const { return texts_.find(key) != texts_.end(); }

  // A whole page: template `page` inside the layout.
  Result<std::string> Render(std::string_view page, const Data& data) const;

  // Null unless both parts are right. `version` changes with every change of an asset, so that
  // browsers may keep them for ever.
  const Asset* FindAsset(std::string_view version, std::string_view file) const;
  std::string AssetUrl(std::string_view file) const;
  bool HasAsset(std::string_view file) const { return assets_.find(file) != assets_.end(); }

 private:
  struct Page {
    kainjow::mustache::mustache compiled;
    std::mutex mutex;  // rendering writes to the compiled template
    explicit Page(const std::string& text) : compiled(text) {}
  };

  Result<void> LoadTexts(const std::filesystem::path& file, std::string_view source);
  Result<void> LoadAssets(const std::filesystem::path& directory);
  Result<void> LoadTemplates(const std::filesystem::path& directory);
  Result<std::string> Expand(const std::map<std::string, std::string, std::less<>>& sources,
                             std::string_view name, std::string_view content, int depth) const;

  std::map<std::string, std::string, std::less<>> texts_;
  std::map<std::string, Asset, std::less<>> assets_;
  std::string asset_version_;
  std::map<std::string, std::unique_ptr<Page>, std::less<>> pages_;
};

}  // namespace keyferry::server
