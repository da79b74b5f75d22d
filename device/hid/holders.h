#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace keyferry::device {

// A process that has a device node open.
struct Holder {
  pid_t pid = 0;
  std::string name;  // printable

  std::string Text() const;  // "process 123 (name)"
};

// Who has `node` open, but for ourselves: /proc/*/fd, as far as this user may look (root: all).
std::vector<Holder> HoldersOf(const std::string& node);

// "process 12 (a) and process 13 (b)"; `nobody` when there are none.
std::string Text(const std::vector<Holder>& holders, const std::string& nobody);

}  // namespace keyferry::device
