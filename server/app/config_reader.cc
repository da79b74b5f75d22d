#include "server/app/config_reader.h"

#include <algorithm>

namespace keyferry::server {
namespace {

std::string TablePart(const char* key) {
  const std::string_view text(key);
  return std::string(text.substr(0, text.find('.')));
}

std::string NamePart(const char* key) {
  const std::string_view text(key);
  return std::string(text.substr(text.find('.') + 1));
}

// How many single-character edits lie between two short words.
std::size_t Distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string Nearest(const std::string& wrong, const std::vector<std::string>& known) {
  std::string best;
  std::size_t least = 4;
  for (const std::string& key : known) {
    const std::size_t distance = Distance(wrong, key);
    if (distance < least) {
      least = distance;
      best = key;
    }
  }
  return best;
}

}  // namespace

void ConfigReader::ComplainAt(std::uint32_t line, const std::string& what) {
  if (complaint_.empty()) complaint_ = file_name_ + ":" + std::to_string(line) + ": " + what;
}

const toml::node* ConfigReader::Find(const char* key) {
  const auto* const table = document_.get_as<toml::table>(TablePart(key));
  return table == nullptr ? nullptr : table->get(NamePart(key));
}

void ConfigReader::Complain(const char* key, const std::string& what) {
  const toml::node* const node = Find(key);
  const auto* const table = document_.get_as<toml::table>(TablePart(key));
  const std::uint32_t line = node != nullptr    ? node->source().begin.line
                             : table != nullptr ? table->source().begin.line
                                                : 1;
  ComplainAt(line, std::string(key) + " " + what);
}

std::string ConfigReader::Text(const char* key, bool required) {
  const toml::node* const node = Find(key);
  if (node == nullptr) {
    if (required) {
      Complain(key, "is missing. Add " + NamePart(key) + " = \"…\" to [" + TablePart(key) + "].");
    }
    return {};
  }
  const auto text = node->value_exact<std::string>();
  if (!text || (required && text->empty())) {
    Complain(key, "must be text in quotes" + std::string(required ? ", not empty." : "."));
    return {};
  }
  return *text;
}

std::string ConfigReader::OneOf(const char* key, std::string fallback,
                                const std::vector<std::string>& allowed) {
  if (Find(key) == nullptr) return fallback;
  std::string value = Text(key, true);
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
  std::string list;
  for (const std::string& word : allowed) list += (list.empty() ? "" : ", ") + word;
  Complain(key, "must be one of: " + list + ".");
  return fallback;
}

std::vector<std::string> ConfigReader::Texts(const char* key, bool required) {
  std::vector<std::string> values;
  const toml::node* const node = Find(key);
  if (node == nullptr) {
    if (required) {
      Complain(key, "is missing. Add " + NamePart(key) + " = [\"…\"] to [" + TablePart(key) + "].");
    }
    return values;
  }
  const auto* const list = node->as_array();
  if (list != nullptr) {
    for (const toml::node& element : *list) {
      const auto text = element.value_exact<std::string>();
      if (!text || text->empty()) break;
      values.push_back(*text);
    }
  }
  if (list == nullptr || values.size() != list->size() || (required && values.empty())) {
    Complain(key, "must be a list of texts: [\"…\", \"…\"]" +
                      std::string(required ? ", at least one." : "."));
    return {};
  }
  return values;
}

std::int64_t ConfigReader::Number(const char* key, std::int64_t fallback, std::int64_t least,
                                  std::int64_t most) {
  const toml::node* const node = Find(key);
  if (node == nullptr) return fallback;
  const auto number = node->value_exact<std::int64_t>();
  if (!number || *number < least || *number > most) {
    Complain(key, "must be a whole number from " + std::to_string(least) + " to " +
                      std::to_string(most) + ".");
    return fallback;
  }
  return *number;
}

bool ConfigReader::Flag(const char* key, bool fallback) {
  const toml::node* const node = Find(key);
  if (node == nullptr) return fallback;
  const auto flag = node->value_exact<bool>();
  if (!flag) Complain(key, "must be true or false.");
  return flag.value_or(fallback);
}

Result<void> ConfigReader::Finish(const std::vector<std::string>& known) {
  for (const auto& [table_key, node] : document_) {
    const std::string table_name(table_key.str());
    const auto* const table = node.as_table();
    const std::uint32_t line = table_key.source().begin.line;
    const bool any = std::any_of(known.begin(), known.end(), [&](const std::string& key) {
      return key.compare(0, table_name.size() + 1, table_name + ".") == 0;
    });
    if (table == nullptr || !any) {
      ComplainAt(line, (table == nullptr ? "the key " : "the table ") + table_name +
                           " is not known. Remove it, or see docs/configuration.md.");
      continue;
    }
    for (const auto& [key, unused] : *table) {
      const std::string name = table_name + "." + std::string(key.str());
      if (std::find(known.begin(), known.end(), name) != known.end()) continue;
      const std::string meant = Nearest(name, known);
      ComplainAt(key.source().begin.line,
                 name + " is not known. " +
                     (meant.empty() ? "Remove it, or see docs/configuration.md."
                                    : "Did you mean " + meant + "?"));
    }
  }
  if (!complaint_.empty()) return Fail(ErrorCode::kInvalidArgument, complaint_);
  return {};
}

}  // namespace keyferry::server
