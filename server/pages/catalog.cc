#include "server/pages/catalog.h"

#include <sodium.h>
#include <toml++/toml.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

namespace keyferry::server {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMostBytes = 1024 * 1024;

Result<std::string> ReadFile(const fs::path& path) {
  std::error_code ec;
  const auto size = fs::file_size(path, ec);
  std::ifstream in(path, std::ios::binary);
  if (ec || !in || size > kMostBytes) {
    return Fail(ErrorCode::kIo, "Cannot read " + path.string() + ".", ec.message());
  }
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

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

void Flatten(const toml::table& table, const std::string& prefix,
             std::map<std::string, std::string, std::less<>>& out) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    if (const auto* const inner = node.as_table()) {
      Flatten(*inner, name + ".", out);
    } else if (const auto text = node.value<std::string>()) {
      out.emplace(name, *text);
    }
  }
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

Result<std::unique_ptr<Catalog>> Catalog::Load(const fs::path& directory, std::string_view source) {
  auto catalog = std::make_unique<Catalog>();
  if (auto done = catalog->LoadTexts(directory / "strings" / "en.toml", source); !done) {
    return tl::unexpected(done.error());
  }
  if (auto done = catalog->LoadAssets(directory / "assets"); !done) {
    return tl::unexpected(done.error());
  }
  if (auto done = catalog->LoadTemplates(directory / "templates"); !done) {
    return tl::unexpected(done.error());
  }
  return catalog;
}

Result<void> Catalog::LoadTexts(const fs::path& file, std::string_view source) {
  auto text = ReadFile(file);
  if (!text) return tl::unexpected(text.error());
  try {
    Flatten(toml::parse(*text), "", texts_);
  } catch (const toml::parse_error& failure) {
    std::ostringstream where;
    where << file.filename().string() << ":" << failure.source().begin.line << ": "
          << failure.description();
    return Fail(ErrorCode::kInvalidArgument, where.str());
  }
  static constexpr std::string_view kSource = "@directory@";
  for (auto& [key, value] : texts_) {
    for (std::size_t at = 0; (at = value.find(kSource, at)) != std::string::npos;
         at += source.size()) {
      value.replace(at, kSource.size(), source);
    }
  }
  return {};
}

Result<void> Catalog::LoadAssets(const fs::path& directory) {
  crypto_hash_sha256_state state;
  crypto_hash_sha256_init(&state);
  std::error_code ec;
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(directory, ec), end; !ec && entry != end; entry.increment(ec)) {
    if (!ContentType(entry->path()).empty()) files.push_back(entry->path());
  }
  if (ec) return Fail(ErrorCode::kIo, "Cannot read " + directory.string() + ".", ec.message());
  std::sort(files.begin(), files.end());
  for (const fs::path& path : files) {
    auto body = ReadFile(path);
    if (!body) return tl::unexpected(body.error());
    const std::string name = path.filename().string();
    crypto_hash_sha256_update(&state, reinterpret_cast<const unsigned char*>(name.data()),
                              name.size() + 1);
    crypto_hash_sha256_update(&state, reinterpret_cast<const unsigned char*>(body->data()),
                              body->size());
    assets_[name] = {ContentType(path), std::make_shared<const std::string>(std::move(*body))};
  }
  unsigned char hash[crypto_hash_sha256_BYTES];
  crypto_hash_sha256_final(&state, hash);
  char hex[13];
  sodium_bin2hex(hex, sizeof hex, hash, 6);
  asset_version_ = hex;
  return {};
}

Result<void> Catalog::LoadTemplates(const fs::path& directory) {
  std::map<std::string, std::string, std::less<>> sources;
  std::error_code ec;
  for (fs::directory_iterator entry(directory, ec), end; !ec && entry != end; entry.increment(ec)) {
    if (entry->path().extension() != ".mustache") continue;
    auto text = ReadFile(entry->path());
    if (!text) return tl::unexpected(text.error());
    sources[entry->path().stem().string()] = std::move(*text);
  }
  if (ec) return Fail(ErrorCode::kIo, "Cannot read " + directory.string() + ".", ec.message());
  if (sources.find("layout") == sources.end()) {
    return Fail(ErrorCode::kIo, "There is no layout.mustache in " + directory.string() + ".");
  }
  for (const auto& [name, unused] : sources) {
    if (name == "layout") continue;
    auto text = Expand(sources, "layout", name, 0);
    if (!text) return tl::unexpected(text.error());
    auto page = std::make_unique<Page>(*text);
    if (!page->compiled.is_valid()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "templates/" + name + ".mustache: " + page->compiled.error_message());
    }
    pages_[name] = std::move(page);
  }
  return {};
}

// Replaces what is known at load time; what is left is plain mustache.
Result<std::string> Catalog::Expand(const std::map<std::string, std::string, std::less<>>& sources,
                                    std::string_view name, std::string_view content,
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
      auto inner = Expand(sources, part, content, depth + 1);
      if (!inner) return inner;
      if (!inner->empty() && inner->back() == '\n') inner->pop_back();
      out += *inner;
    } else if (tag.substr(0, 2) == "t.") {
      const auto found = texts_.find(tag.substr(2));
      if (found == texts_.end()) {
        return Bad(name, text, open, "there is no text \"" + std::string(tag.substr(2)) + "\".");
      }
      if (found->second.find("{{") != std::string::npos) {
        return Bad(name, text, open, "a text may not hold \"{{\".");
      }
      out += Escape(found->second);
    } else if (tag.substr(0, 6) == "asset:") {
      const std::string_view file = tag.substr(6);
      if (!HasAsset(file)) {
        return Bad(name, text, open, "there is no asset \"" + std::string(file) + "\".");
      }
      out += AssetUrl(file);
    } else {
      out += "{{" + std::string(tag) + "}}";
    }
  }
}

std::string Catalog::Text(std::string_view key,
                          std::initializer_list<std::string_view> values) const {
  const auto found = texts_.find(key);
  if (found == texts_.end()) return std::string(key);
  const std::string& text = found->second;
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 1 < text.size() && text[i + 1] >= '1' && text[i + 1] <= '9') {
      const auto index = static_cast<std::size_t>(text[i + 1] - '1');
      if (index < values.size()) out += values.begin()[index];
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

Result<std::string> Catalog::Render(std::string_view page, const Data& data) const {
  const auto found = pages_.find(page);
  if (found == pages_.end()) {
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

const Catalog::Asset* Catalog::FindAsset(std::string_view version, std::string_view file) const {
  if (version != asset_version_) return nullptr;
  const auto found = assets_.find(file);
  return found == assets_.end() ? nullptr : &found->second;
}

std::string Catalog::AssetUrl(std::string_view file) const {
  return "/assets/" + asset_version_ + "/" + std::string(file);
}

}  // namespace keyferry::server
