#include "control/reload_json.hpp"

#include <algorithm>

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace qanat::control {

namespace {

using Json = nlohmann::ordered_json;

std::string text_member(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

bool flag_member(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_boolean() && found->get<bool>();
}

}  // namespace

std::string count_of(const ReloadReport& report) {
  if (report.changes.empty()) return "nothing changes";
  const auto restarts =
      std::count_if(report.changes.begin(), report.changes.end(), [](const auto& c) { return c.effect == "restart"; });
  std::string out = fmt::format("{} change{}", report.changes.size(), report.changes.size() == 1 ? "" : "s");
  if (restarts != 0) out += fmt::format(", {} of which only with a restart of qanatd", restarts);
  return out;
}

std::string to_json(const ReloadReport& report) {
  Json changes = Json::array();
  for (const ReloadChange& c : report.changes)
    changes.push_back(
        {{"kind", c.kind}, {"name", c.name}, {"keys", c.keys}, {"effect", c.effect}, {"meaning", c.meaning}});
  const Json json = {{"file", report.file},         {"ok", report.ok},
                     {"applied", report.applied},   {"message", report.message},
                     {"problems", report.problems}, {"changes", std::move(changes)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::optional<ReloadReport> reload_from_json(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("message") || !json.contains("changes")) return std::nullopt;
  ReloadReport out;
  out.file = text_member(json, "file");
  out.ok = flag_member(json, "ok");
  out.applied = flag_member(json, "applied");
  out.message = text_member(json, "message");
  out.problems = text_member(json, "problems");
  for (const Json& one : json["changes"]) {
    if (!one.is_object()) return std::nullopt;
    ReloadChange change{text_member(one, "kind"),
                        text_member(one, "name"),
                        {},
                        text_member(one, "effect"),
                        text_member(one, "meaning")};
    if (const auto keys = one.find("keys"); keys != one.end() && keys->is_array()) {
      for (const Json& key : *keys) {
        if (key.is_string()) change.keys.push_back(key.get<std::string>());
      }
    }
    out.changes.push_back(std::move(change));
  }
  return out;
}

Reply reload_reply(const ReloadReport& report) {
  return {report.ok ? 200 : 409, {{"Content-Type", "application/json"}}, to_json(report)};
}

}  // namespace qanat::control
