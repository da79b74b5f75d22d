#pragma once

#include <kainjow/mustache.hpp>
#include <string>
#include <string_view>

namespace keyferry::server {

// What a template shows. Values are escaped when they are written out; templates have no way to
// switch that off (Catalog::Load refuses it).
using Data = kainjow::mustache::data;

inline Data List() { return Data(Data::type::list); }

// Sets a text that is always there.
inline void Put(Data& data, const char* name, std::string_view value) {
  data[name] = Data(std::string(value));
}
// Sets a text, or "false" when it is empty, so that {{#name}} hides what has no value. Without it
// the name would be looked up in the surrounding scope.
inline void PutMaybe(Data& data, const char* name, std::string_view value) {
  data[name] = value.empty() ? Data(false) : Data(std::string(value));
}
inline void PutFlag(Data& data, const char* name, bool value) { data[name] = Data(value); }

}  // namespace keyferry::server
