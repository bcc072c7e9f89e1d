// What a reload has done, or would do: for the API, and for `qanat reload` and `qanat check --diff`.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/api.hpp"

namespace qanat::control {

struct ReloadChange {
  std::string kind;  // "tunnel"
  std::string name;  // "berlin"; empty of what there is once
  std::vector<std::string> keys;
  std::string effect;   // "child rekey"
  std::string meaning;  // the same for people
};

struct ReloadReport {
  std::string file;
  bool ok = false;       // the file can be used
  bool applied = false;  // and is in force
  std::string message;   // one line
  std::string problems;  // errors and warnings of the file, as `qanat check` shows them
  std::vector<ReloadChange> changes;
};

// "3 changes", "nothing changes", "2 changes, 1 of which needs a restart".
[[nodiscard]] std::string count_of(const ReloadReport& report);

// { "file", "ok", "applied", "message", "problems", "changes": [ { "kind", "name", "keys": [], "effect", "meaning" } ]
// }
[[nodiscard]] std::string to_json(const ReloadReport& report);
[[nodiscard]] std::optional<ReloadReport> reload_from_json(std::string_view text);
// 200, or 409 when nothing was applied because something is wrong; the body is the report in both cases.
[[nodiscard]] Reply reload_reply(const ReloadReport& report);

}  // namespace qanat::control
