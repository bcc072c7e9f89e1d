// The small answers of status_json.hpp: events, errors, outcomes, versions.
#include "control/json_text.hpp"
#include "control/status_json.hpp"

namespace qanat::control {

namespace {

Json json_of(const Event& event) {
  Json fields = Json::object();
  for (const auto& [key, value] : event.fields) fields[key] = value;
  return {{"number", event.number},
          {"time", date_text(event.at)},
          {"level", to_string(event.level)},
          {"event", event.name},
          {"fields", std::move(fields)}};
}

}  // namespace

std::string events_to_json(const Events& events, std::uint64_t last) {
  Json list = Json::array();
  for (const auto& event : events) list.push_back(json_of(*event));
  return text_of({{"events", std::move(list)}, {"last", last}});
}

std::string to_json(const Event& event) {
  return json_of(event).dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<std::vector<EventLine>> events_from_json(std::string_view text) {
  try {
    std::vector<EventLine> out;
    const Json document = Json::parse(text);  // lives longer than the loop
    for (const Json& event : document.at("events")) {
      EventLine& line = out.emplace_back();
      line.number = event.at("number").get<std::uint64_t>();
      line.time = event.at("time").get<std::string>();
      line.level = event.at("level").get<std::string>();
      line.name = event.at("event").get<std::string>();
      for (const auto& [key, value] : event.at("fields").items())
        line.fields.emplace_back(key, value.get<std::string>());
    }
    return out;
  } catch (const Json::exception& e) {
    return fail(ErrorKind::Malformed, "JSON reply", e.what());
  }
}

std::string to_json(const ApiError& error) {
  return text_of({{"error", {{"code", error.code}, {"message", error.message}}}});
}

std::optional<ApiError> error_from_json(std::string_view text) {
  const Json json = parse_object(text);
  const auto it = json.find("error");
  if (it == json.end() || !it->is_object()) return std::nullopt;
  return ApiError{text_member(*it, "code"), text_member(*it, "message")};
}

std::string to_json(const Outcome& outcome) {
  Json json = {{"ok", true}, {"command", outcome.command}};
  if (!outcome.tunnel.empty()) json["tunnel"] = outcome.tunnel;
  json["message"] = outcome.message;
  return text_of(json);
}

std::optional<Outcome> outcome_from_json(std::string_view text) {
  const Json json = parse_object(text);
  if (json.is_null() || !json.contains("message")) return std::nullopt;
  return Outcome{text_member(json, "command"), text_member(json, "tunnel"), text_member(json, "message")};
}

std::string to_json(const Version& version) {
  return text_of({{"version", version.version}, {"crypto", version.crypto}});
}

std::optional<Version> version_from_json(std::string_view text) {
  const Json json = parse_object(text);
  if (json.is_null() || !json.contains("version")) return std::nullopt;
  return Version{text_member(json, "version"), text_member(json, "crypto")};
}

std::string to_json(const std::vector<PathHelp>& paths) {
  Json list = Json::array();
  for (const PathHelp& path : paths)
    list.push_back({{"method", path.method}, {"path", path.path}, {"does", path.does}});
  return text_of({{"paths", std::move(list)}});
}

}  // namespace qanat::control
