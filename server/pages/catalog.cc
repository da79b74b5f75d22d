#include "server/pages/catalog.h"

#include <sodium.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "server/pages/language.h"

namespace keyferry::server {
namespace {

namespace fs = std::filesystem;

std::string Escape(std::string_view text) {
  return kainjow::mustache::html_escape(std::string(text));
}

std::string ContentType(const fs::path& path) {
  const std::string extension = path.extension().string();
  if (extension == ".css") return "text/css; charset=utf-8";
  if (extension == ".js") return "text/javascript; charset=utf-8";
  if (extension == ".svg") return "image/svg+xml; charset=utf-8";
  if (extension == ".png") return "image/png";
  if (extension == ".woff2") return "font/woff2";
  return {};
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

tl::unexpected<Error> Bad(std::string_view name, std::string_view source, std::size_t at,
                          const std::string& what) {
  const auto line = 1 + std::count(source.begin(), source.begin() + static_cast<long>(at), '\n');
  return Fail(ErrorCode::kInvalidArgument,
              "templates/" + std::string(name) + ".mustache:" + std::to_string(line) + ": " + what);
}

}  // namespace

struct Catalog::Language {
  struct Page {
    kainjow::mustache::mustache compiled;
    std::mutex mutex;  // rendering writes to the compiled template
    explicit Page(const std::string& text) : compiled(text) {}
  };
  Texts texts;
  std::map<std::string, std::unique_ptr<Page>, std::less<>> pages;
};

struct Catalog::Content {
  std::vector<std::unique_ptr<Language>> languages;  // English first
  std::map<std::string, Asset, std::less<>> assets;
  std::string asset_version;

  std::string AssetUrl(std::string_view file) const {
    return "/assets/" + asset_version + "/" + std::string(file);
  }
};

namespace {

using Sources = std::map<std::string, std::string, std::less<>>;

thread_local const Catalog::Speaking* speaking = nullptr;

// Adds the files of a folder that end in `extension`, by their name without it. A folder that is
// not there has none when `may_miss`.
Result<void> ReadFolder(const fs::path& folder, std::string_view extension, bool may_miss,
                        std::map<std::string, fs::path>& out) {
  std::error_code ec;
  if (may_miss && !fs::exists(folder, ec) && !ec) return {};
  for (fs::directory_iterator entry(folder, ec), end; !ec && entry != end; entry.increment(ec)) {
    if (entry->path().extension() == extension) {
      out[entry->path().stem().string()] = entry->path();
    }
  }
  if (ec) return Fail(ErrorCode::kIo, "Cannot read " + folder.string() + ".", ec.message());
  return {};
}

bool IsTag(std::string_view tag) {
  return !tag.empty() && tag.size() <= 35 && std::all_of(tag.begin(), tag.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  });
}

// Replaces what is known at load time; what is left is plain mustache.
struct Expansion {
  const Sources& sources;
  const TextMap& texts;
  const std::function<std::string(std::string_view)>& asset_url;  // empty = there is no such asset

  Result<std::string> Expand(std::string_view name, std::string_view content, int depth) const;
};

Result<std::string> Expansion::Expand(std::string_view name, std::string_view content,
                                      int depth) const {
  const auto source = sources.find(name);
  const std::string& text = source->second;
  std::string out;
  std::size_t at = 0;
  for (;;) {
    const std::size_t open = text.find("{{", at);
    out.append(text, at, open == std::string::npos ? open : open - at);
    if (open == std::string::npos) return out;
    const std::size_t close = text.find("}}", open);
    if (close == std::string::npos) return Bad(name, text, open, "\"{{\" is never closed.");
    const std::string_view tag = Trim(std::string_view(text).substr(open + 2, close - open - 2));
    if (tag.empty() || tag[0] == '{' || tag[0] == '&' || tag[0] == '=') {
      return Bad(name, text, open, "only escaped values are allowed: use {{name}}.");
    }
    at = close + 2;
    if (tag[0] == '>') {
      const std::string_view wanted = Trim(tag.substr(1));
      const std::string_view part = wanted == "content" ? content : wanted;
      if (depth > 8 || sources.find(part) == sources.end()) {
        return Bad(name, text, open, "there is no template \"" + std::string(part) + "\".");
      }
      auto inner = Expand(part, content, depth + 1);
      if (!inner) return inner;
      if (!inner->empty() && inner->back() == '\n') inner->pop_back();
      out += *inner;
    } else if (tag.substr(0, 2) == "t.") {
      const auto found = texts.find(tag.substr(2));
      if (found == texts.end()) {
        return Bad(name, text, open, "there is no text \"" + std::string(tag.substr(2)) + "\".");
      }
      if (found->second.find("{{") != std::string::npos) {
        return Bad(name, text, open, "a text may not hold \"{{\".");
      }
      out += Escape(found->second);
    } else if (tag.substr(0, 6) == "asset:") {
      const std::string_view file = tag.substr(6);
      const std::string url = asset_url(file);
      if (url.empty()) {
        return Bad(name, text, open, "there is no asset \"" + std::string(file) + "\".");
      }
      out += url;
    } else {
      out += "{{" + std::string(tag) + "}}";
    }
  }
}

Result<std::map<std::string, Catalog::Asset, std::less<>>> ReadAssets(const fs::path& directory,
                                                                      std::string& version) {
  crypto_hash_sha256_state state;
  crypto_hash_sha256_init(&state);
  std::error_code ec;
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(directory, ec), end; !ec && entry != end; entry.increment(ec)) {
    if (!ContentType(entry->path()).empty()) files.push_back(entry->path());
  }
  if (ec) return Fail(ErrorCode::kIo, "Cannot read " + directory.string() + ".", ec.message());
  std::sort(files.begin(), files.end());
  std::map<std::string, Catalog::Asset, std::less<>> assets;
  for (const fs::path& path : files) {
    auto body = ReadPageFile(path);
    if (!body) return tl::unexpected(body.error());
    const std::string name = path.filename().string();
    crypto_hash_sha256_update(&state, reinterpret_cast<const unsigned char*>(name.data()),
                              name.size() + 1);
    crypto_hash_sha256_update(&state, reinterpret_cast<const unsigned char*>(body->data()),
                              body->size());
    assets[name] = {ContentType(path), std::make_shared<const std::string>(std::move(*body))};
  }
  unsigned char hash[crypto_hash_sha256_BYTES];
  crypto_hash_sha256_final(&state, hash);
  char hex[13];
  sodium_bin2hex(hex, sizeof hex, hash, 6);
  version = hex;
  return assets;
}

Result<Sources> ReadTemplates(const fs::path& directory, const fs::path& own) {
  std::map<std::string, fs::path> files;
  if (auto done = ReadFolder(directory / "templates", ".mustache", false, files); !done) {
    return tl::unexpected(done.error());
  }
  if (files.find("layout") == files.end()) {
    return Fail(ErrorCode::kIo,
                "There is no layout.mustache in " + (directory / "templates").string() + ".");
  }
  if (!own.empty()) {
    std::map<std::string, fs::path> other;
    if (auto done = ReadFolder(own / "templates", ".mustache", true, other); !done) {
      return tl::unexpected(done.error());
    }
    for (const auto& [name, path] : other) {
      if (files.find(name) == files.end()) {
        return Fail(ErrorCode::kInvalidArgument,
                    path.string() + ": there is no template of this name to stand in for.");
      }
      files[name] = path;
    }
  }
  Sources sources;
  for (const auto& [name, path] : files) {
    auto text = ReadPageFile(path);
    if (!text) return tl::unexpected(text.error());
    sources[name] = *std::move(text);
  }
  return sources;
}

// The texts of every language, English first; what a language does not have it says in English.
Result<std::vector<Texts>> ReadLanguages(const fs::path& directory, const fs::path& own,
                                         std::string_view source) {
  std::map<std::string, fs::path> shipped, other;
  if (auto done = ReadFolder(directory / "strings", ".toml", false, shipped); !done) {
    return tl::unexpected(done.error());
  }
  if (!own.empty()) {
    if (auto done = ReadFolder(own / "strings", ".toml", true, other); !done) {
      return tl::unexpected(done.error());
    }
  }
  auto english = ReadTexts(directory / "strings" / "en.toml", source);
  if (!english) return tl::unexpected(english.error());
  std::vector<std::string> tags{"en"};
  for (const auto* files : {&shipped, &other}) {
    for (const auto& [tag, path] : *files) {
      if (!IsTag(tag)) {
        return Fail(ErrorCode::kInvalidArgument,
                    path.string() + ": a file of texts is named by its language, like uk.toml.");
      }
      if (std::find(tags.begin(), tags.end(), tag) == tags.end()) tags.push_back(tag);
    }
  }
  std::vector<Texts> out;
  for (const std::string& tag : tags) {
    Texts texts = *english;
    for (const auto* files : {&shipped, &other}) {
      const auto file = files->find(tag);
      if (file == files->end() || (tag == "en" && files == &shipped)) continue;
      const auto over = ReadTexts(file->second, source);
      if (!over) return tl::unexpected(over.error());
      if (auto done = Overlay(texts, *over, file->second.string()); !done) {
        return tl::unexpected(done.error());
      }
    }
    if (texts.entries["lang"] != tag) {
      return Fail(ErrorCode::kInvalidArgument,
                  tag + ".toml: `lang` must be \"" + tag + "\", as the file is named.");
    }
    if (texts.entries["dir"] != "ltr" && texts.entries["dir"] != "rtl") {
      return Fail(ErrorCode::kInvalidArgument, tag + ".toml: `dir` must be \"ltr\" or \"rtl\".");
    }
    out.push_back(std::move(texts));
  }
  return out;
}

}  // namespace

Catalog::Catalog(fs::path directory, std::string source, fs::path own)
    : directory_(std::move(directory)), source_(std::move(source)), own_(std::move(own)) {}

Catalog::~Catalog() = default;

Result<std::unique_ptr<Catalog>> Catalog::Load(const fs::path& directory, std::string_view source,
                                               const fs::path& own) {
  std::unique_ptr<Catalog> catalog(new Catalog(directory, std::string(source), own));
  auto content = catalog->Read(own);
  if (!content && !own.empty()) {
    catalog->problem_ = std::move(content.error());
    content = catalog->Read({});
  }
  if (!content) return tl::unexpected(content.error());
  catalog->content_ = *std::move(content);
  return catalog;
}

Result<void> Catalog::Reload() {
  auto content = Read(own_);
  if (!content) return tl::unexpected(content.error());
  const std::lock_guard lock(mutex_);
  content_ = *std::move(content);
  return {};
}

Result<std::shared_ptr<const Catalog::Content>> Catalog::Read(const fs::path& own) const {
  auto content = std::make_shared<Content>();
  auto assets = ReadAssets(directory_ / "assets", content->asset_version);
  if (!assets) return tl::unexpected(assets.error());
  content->assets = *std::move(assets);
  const auto sources = ReadTemplates(directory_, own);
  if (!sources) return tl::unexpected(sources.error());
  auto languages = ReadLanguages(directory_, own, source_);
  if (!languages) return tl::unexpected(languages.error());
  const std::function<std::string(std::string_view)> asset_url = [&](std::string_view file) {
    return content->assets.find(file) == content->assets.end() ? std::string()
                                                               : content->AssetUrl(file);
  };
  for (Texts& texts : *languages) {
    auto language = std::make_unique<Language>();
    language->texts = std::move(texts);
    const Expansion expansion{*sources, language->texts.entries, asset_url};
    for (const auto& [name, unused] : *sources) {
      if (name == "layout") continue;
      const auto text = expansion.Expand("layout", name, 0);
      if (!text) return tl::unexpected(text.error());
      auto page = std::make_unique<Language::Page>(*text);
      if (!page->compiled.is_valid()) {
        return Fail(ErrorCode::kInvalidArgument,
                    "templates/" + name + ".mustache: " + page->compiled.error_message());
      }
      language->pages[name] = std::move(page);
    }
    content->languages.push_back(std::move(language));
  }
  return content;
}

Catalog::Speaking::Speaking(const Catalog& catalog, std::string_view chosen,
                            std::string_view accept_language)
    : catalog_(&catalog), before_(speaking) {
  {
    const std::lock_guard lock(catalog.mutex_);
    content_ = catalog.content_;
  }
  std::vector<std::string> tags;
  for (const auto& language : content_->languages) tags.push_back(language->texts.tag);
  const std::string tag = ChooseLanguage(tags, chosen, accept_language);
  const auto at = std::find(tags.begin(), tags.end(), tag) - tags.begin();
  language_ = content_->languages[static_cast<std::size_t>(at)].get();
  speaking = this;
}

Catalog::Speaking::~Speaking() { speaking = before_; }

Catalog::View Catalog::Now() const {
  if (speaking != nullptr && speaking->catalog_ == this) {
    return {speaking->content_, speaking->language_};
  }
  const std::lock_guard lock(mutex_);
  return {content_, content_->languages.front().get()};
}

std::vector<Catalog::LanguageName> Catalog::Languages() const {
  std::vector<LanguageName> out;
  const View view = Now();
  for (const auto& language : view.content->languages) {
    out.push_back({language->texts.tag, language->texts.entries.find("language")->second});
  }
  return out;
}

std::string Catalog::Text(std::string_view key,
                          std::initializer_list<std::string_view> values) const {
  const View view = Now();
  const auto found = view.language->texts.entries.find(key);
  if (found == view.language->texts.entries.end()) return std::string(key);
  return Fill(found->second, values.begin(), values.size());
}

bool Catalog::HasText(std::string_view key) const {
  const View view = Now();
  const TextMap& texts = view.language->texts.entries;
  return texts.find(key) != texts.end();
}

std::string Catalog::Say(std::string_view sentence) const {
  const View view = Now();
  return Translate(view.language->texts, sentence);
}

Result<std::string> Catalog::Render(std::string_view page, const Data& data) const {
  const View view = Now();
  const auto found = view.language->pages.find(page);
  if (found == view.language->pages.end()) {
    return Fail(ErrorCode::kInternal, "This page cannot be shown.",
                "no template " + std::string(page));
  }
  const std::lock_guard lock(found->second->mutex);
  std::string html = found->second->compiled.render(data);
  if (!found->second->compiled.error_message().empty()) {
    return Fail(ErrorCode::kInternal, "This page cannot be shown.",
                std::string(page) + ": " + found->second->compiled.error_message());
  }
  return html;
}

std::optional<Catalog::Asset> Catalog::FindAsset(std::string_view version,
                                                 std::string_view file) const {
  const View view = Now();
  if (version != view.content->asset_version) return std::nullopt;
  const auto found = view.content->assets.find(file);
  if (found == view.content->assets.end()) return std::nullopt;
  return found->second;
}

std::string Catalog::AssetUrl(std::string_view file) const { return Now().content->AssetUrl(file); }

bool Catalog::HasAsset(std::string_view file) const {
  const View view = Now();
  return view.content->assets.find(file) != view.content->assets.end();
}

}  // namespace keyferry::server
