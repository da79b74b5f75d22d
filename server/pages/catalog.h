#pragma once

#include <filesystem>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/pages/data.h"
#include "server/pages/texts.h"

namespace keyferry::server {

// Templates, texts and assets of the pages, from a directory with templates/, strings/ and assets/.
// strings/en.toml has every text; each other file there is a language that is laid over it
// (texts.h). Templates are logic-less and may be edited by administrators: Load checks them.
// Thread-safe.
//
// In templates, besides mustache: {{t.some.key}} is a text, {{> name}} another template,
// {{asset:file}} the address of an asset. In texts @directory@ is the name of the employees'
// source. {{{…}}}, {{&…}} and {{=…=}} are refused: nothing is written without escaping.
//
// An organisation's own folder may hold templates/ and strings/ too: a template there stands in for
// the one of that name, a text for the one of that key, and strings/TAG.toml of a language that is
// not shipped adds it. So what an upgrade brings in other places comes through.
class Catalog {
  struct Language;
  struct Content;

 public:
  struct Asset {
    std::string content_type;
    std::shared_ptr<const std::string> body;
  };
  struct LanguageName {
    std::string tag;   // "uk"
    std::string name;  // "Українська"
  };

  // kInvalidArgument names file and line; kIo names the file. `source`: where the employees come
  // from, as people call it. `own`: the organisation's folder, or empty; one that is not good is
  // left out, and problem() says why.
  static Result<std::unique_ptr<Catalog>> Load(const std::filesystem::path& directory,
                                               std::string_view source = "Active Directory",
                                               const std::filesystem::path& own = {});
  ~Catalog();
  // Reads everything anew; after an error what was there before stays.
  Result<void> Reload();
  // Why the organisation's folder was left out by Load.
  const std::optional<Error>& problem() const { return problem_; }

  // The language of everything that this thread asks the catalog for, while it lives: one request.
  class Speaking {
   public:
    Speaking(const Catalog& catalog, std::string_view chosen, std::string_view accept_language);
    ~Speaking();
    Speaking(const Speaking&) = delete;
    Speaking& operator=(const Speaking&) = delete;

   private:
    friend class Catalog;
    const Catalog* catalog_;
    std::shared_ptr<const Content> content_;
    const Language* language_;
    const Speaking* before_;
  };

  // English first.
  std::vector<LanguageName> Languages() const;

  // The text of a key with %1 … %9 replaced; the key itself when there is no such text.
  std::string Text(std::string_view key, std::initializer_list<std::string_view> values = {}) const;
  bool HasText(std::string_view key) const;
  // An English sentence of the server (Error::message and its like).
  std::string Say(std::string_view sentence) const;

  // A whole page: template `page` inside the layout.
  Result<std::string> Render(std::string_view page, const Data& data) const;

  // Nothing unless both parts are right. `version` changes with every change of an asset, so that
  // browsers may keep them for ever.
  std::optional<Asset> FindAsset(std::string_view version, std::string_view file) const;
  std::string AssetUrl(std::string_view file) const;
  bool HasAsset(std::string_view file) const;

 private:
  // What a thread reads: `content` keeps `language` alive.
  struct View {
    std::shared_ptr<const Content> content;
    const Language* language;
  };
  Catalog(std::filesystem::path directory, std::string source, std::filesystem::path own);
  Result<std::shared_ptr<const Content>> Read(const std::filesystem::path& own) const;
  View Now() const;

  const std::filesystem::path directory_;
  const std::string source_;
  const std::filesystem::path own_;
  std::optional<Error> problem_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Content> content_;
};

}  // namespace keyferry::server
