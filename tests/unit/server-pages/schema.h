#pragma once

#include <boost/json/value.hpp>
#include <string>

// As much of JSON Schema as openapi.json uses. (The same file is read by a whole implementation in
// tests/e2e, against the real server.)
namespace keyferry::server::test {

class Schemas {
 public:
  explicit Schemas(boost::json::value document) : document_(std::move(document)) {}

  const boost::json::object& paths() const { return document_.at("paths").as_object(); }
  // Follows {"$ref": "#/…"}.
  const boost::json::value& Resolve(const boost::json::value& schema) const;
  // Empty when `value` is as `schema` says, else where and why not.
  std::string Judge(const boost::json::value& schema, const boost::json::value& value,
                    const std::string& where = "$") const;
  // Some value that is as `schema` says. Optional members are given too.
  boost::json::value Example(const boost::json::value& schema) const;

 private:
  std::string JudgeObject(const boost::json::object& schema, const boost::json::object& value,
                          const std::string& where) const;
  std::string JudgeText(const boost::json::object& schema, const std::string& text,
                        const std::string& where) const;

  boost::json::value document_;
};

}  // namespace keyferry::server::test
