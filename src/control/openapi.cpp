#include "control/openapi.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "control/endpoints.hpp"
#include "control/target.hpp"

namespace qanat::control {

namespace {

using Json = nlohmann::ordered_json;

Json text(std::string_view description) {
  return {{"type", "string"}, {"description", description}};
}
Json typed(std::string_view type, std::string_view description) {
  return {{"type", type}, {"description", description}};
}
Json ref(std::string_view schema) {
  return {{"$ref", fmt::format("#/components/schemas/{}", schema)}};
}
Json list_of(std::string_view schema) {
  return {{"type", "array"}, {"items", ref(schema)}};
}
Json object(Json properties) {
  return {{"type", "object"}, {"properties", std::move(properties)}};
}

void add_alert_schemas(Json& out) {
  const Json texts = {{"type", "array"}, {"items", {{"type", "string"}}}};
  const Json id = object({{"id", text("of a webhook")}});
  out["AlertId"] = object({{"id", text("32 hexadecimal digits")}});
  out["AlertPolicy"] = object({{"id", text("32 hexadecimal digits; made by the gateway")},
                               {"name", text("for people")},
                               {"description", text("for people")},
                               {"enabled", typed("boolean", "default true")},
                               {"alert_type", text("as /available_alerts has it")},
                               {"alert_interval", text("tell again while it lasts: 5m to 7d")},
                               {"filters", object({{"tunnel_name", texts},
                                                   {"tunnel_id", texts},
                                                   {"new_health", texts},
                                                   {"slo", texts},
                                                   {"days_before", texts}})},
                               {"mechanisms", object({{"webhooks", Json{{"type", "array"}, {"items", id}}}})}});
  out["Webhook"] = object({{"id", text("32 hexadecimal digits; made by the gateway")},
                           {"name", text("for people")},
                           {"url", text("https; a public address, or one of [gateway] webhook_allow")},
                           {"secret", text("write only: sent as the header cf-webhook-auth")},
                           {"type", text("generic")},
                           {"last_success", text("RFC 3339")},
                           {"last_failure", text("RFC 3339")}});
  out["Silence"] = object({{"id", text("32 hexadecimal digits; made by the gateway")},
                           {"policy_id", text("whose")},
                           {"start_time", text("RFC 3339")},
                           {"end_time", text("RFC 3339")}});
  out["Silences"] = list_of("Silence");
  out["AlertHistory"] = object({{"id", text("x-qanat-notification-id")},
                                {"alert_body", text("what was sent")},
                                {"outcome", text("delivered, refused, given up or lost, and why")},
                                {"sent", text("RFC 3339: when it ended")}});
  out["AlertDestinations"] = Json{{"type", "object"}};
  out["AvailableAlerts"] = Json{{"type", "object"}};
}

Json schemas() {
  Json out;
  out["Error"] =
      object({{"error",
               object({{"code", text("one word for programs")}, {"message", text("what is wrong, and what to do")}})}});
  out["Envelope"] = object({{"result", Json::object()},
                            {"success", typed("boolean", "false: `errors` says why, and nothing was changed")},
                            {"errors", Json{{"type", "array"},
                                            {"items", object({{"code", typed("integer", "stable")},
                                                              {"message", text("field, value, what is "
                                                                               "allowed")}})}}},
                            {"messages", typed("array", "remarks")}});
  out["HealthCheck"] = object({{"enabled", typed("boolean", "default true")},
                               {"direction", text("unidirectional or bidirectional")},
                               {"rate", text("low, mid or high")},
                               {"type", text("reply or request")},
                               {"target", Json{{"description",
                                                "an address; with the header x-magic-new-hc-target: "
                                                "true an object of saved and effective"}}}});
  out["IpsecTunnel"] = object({
      {"id", text("32 hexadecimal digits; made by the gateway")},
      {"name", text("lower-case letters, digits, '-' and '_'")},
      {"cloudflare_endpoint", text("our address")},
      {"customer_endpoint", text("the peer's address; left out: it calls in")},
      {"interface_address", text("our address inside, a /31 or /30")},
      {"interface_address6", text("the same in IPv6, a /127")},
      {"psk", text("write only: it is never read back")},
      {"description", text("for people")},
      {"health_check", ref("HealthCheck")},
      {"pq", Json{{"type", "object"}, {"description", "ours: policy require, prefer, off or pin"}}},
      {"pq_status", Json{{"type", "object"}, {"readOnly", true}, {"description", "ours: how safe its keys are now"}}},
      {"created_on", typed("string", "RFC 3339")},
      {"modified_on", typed("string", "RFC 3339")},
  });
  out["IpsecTunnels"] = object({{"ipsec_tunnels", list_of("IpsecTunnel")}});
  out["PskGenerated"] = object({{"ipsec_tunnel_id", text("whose it is")},
                                {"psk", text("the key, this once")},
                                {"psk_metadata", object({{"last_generated_on", text("RFC 3339")}})}});
  out["Route"] = object({{"id", text("32 hexadecimal digits; made by the gateway")},
                         {"prefix", text("IPv4 or IPv6")},
                         {"nexthop", text("the peer's address inside a tunnel")},
                         {"priority", typed("integer", "the lowest wins")},
                         {"weight", typed("integer", "1 to 256: shares of equal priority")},
                         {"description", text("for people")},
                         {"created_on", typed("string", "RFC 3339")},
                         {"modified_on", typed("string", "RFC 3339")}});
  const Json scopes = {{"type", "array"}, {"items", {{"enum", {"read", "write", "capture"}}}}};
  out["Account"] = object({{"id", text("32 hexadecimal digits")}, {"name", text("of the [[vrf]]; default")}});
  out["Principal"] = object({{"name", text("of the token")},
                             {"account", Json{{"description", "the only one it may speak of; null: all"}}},
                             {"read", typed("boolean", "")},
                             {"write", typed("boolean", "")},
                             {"capture", typed("boolean", "")},
                             {"local", typed("boolean", "over the Unix socket")}});
  out["Token"] = object({{"id", text("16 hexadecimal digits")},
                         {"name", text("for the audit log")},
                         {"scopes", scopes},
                         {"account", Json{{"description", "the only one it may speak of; null: all"}}},
                         {"created_on", text("RFC 3339")},
                         {"expires_on", Json{{"description", "null: never"}}}});
  out["NewToken"] = object({{"name", text("who will use it")},
                            {"scopes", scopes},
                            {"account", text("left out: all of them")},
                            {"days", typed("integer", "how long it is good; left out: until it is deleted")}});
  out["MadeToken"] = object({{"token", ref("Token")}, {"secret", text("what to send as Bearer, this once")}});
  out["AuditLog"] = Json{{"type", "object"}};
  out["Export"] = text("a configuration file, or the octets of a bundle");
  out["ExportKey"] = object({{"key", text("as qanat genpsk makes it")}});
  out["Import"] = object(
      {{"config", text("a configuration file")},
       {"files", Json{{"type", "array"},
                      {"items", object({{"name", text("as the file calls it")}, {"octets", text("hexadecimal")}})}}}});
  out["Imported"] = object({{"imported", typed("integer", "objects that were made or changed")}});
  out["PolicyRule"] = Json{{"type", "object"}, {"description", "the keys of [[policy]]"}};
  out["PolicyRules"] = Json{{"type", "object"}};
  const Json filter = object({{"source_address", text("an address or a prefix")},
                              {"source_port", typed("integer", "1 to 65535")},
                              {"destination_address", text("an address or a prefix")},
                              {"destination_port", typed("integer", "1 to 65535")},
                              {"protocol", typed("integer", "its number: 6 is TCP")}});
  const Json wish = {{"type", text("simple or full")},
                     {"system", text("magic-transit")},
                     {"tunnel", text("ours: a tunnel's name or id; left out: every tunnel of the account")},
                     {"time_limit", typed("integer", "seconds: simple 1 to 300, full 1 to 86400")},
                     {"packet_limit", typed("integer", "simple 1 to 10000, full 1 to 500000")},
                     {"byte_limit", typed("integer", "octets, 1 to 67108864; left out: 16777216")},
                     {"snap_length", typed("integer", "ours: octets of one packet, 64 to 65535")},
                     {"filter_v1", filter}};
  Json shown = wish;
  shown["id"] = text("32 hexadecimal digits");
  shown["status"] = text("pending, running, success (simple), complete (full), failed, unknown");
  shown["submitted"] = text("RFC 3339");
  shown["stop_requested"] = text("RFC 3339");
  shown["finished_on"] = text("ours: RFC 3339");
  shown["packets_captured"] = typed("integer", "so far");
  shown["bytes_captured"] = typed("integer", "ours: octets so far");
  shown["error_message"] = text("why it failed, or why its packets are gone");
  out["NewCapture"] = object(wish);
  out["Capture"] = object(std::move(shown));
  out["CaptureId"] = object({{"id", text("whose packets were wiped")}});
  out["CaptureFile"] = text("pcapng");
  out["Routes"] = object({{"routes", list_of("Route")}});
  add_alert_schemas(out);
  return out;
}

Json path_parameters(std::string_view path) {
  Json out = Json::array();
  for (const std::string_view part : split(path.substr(1), '/')) {
    if (part.starts_with('{'))
      out.push_back({{"name", part.substr(1, part.size() - 2)},
                     {"in", "path"},
                     {"required", true},
                     {"schema", {{"type", "string"}}}});
  }
  return out;
}

// "get_v1_status_name": stable while the path is.
std::string operation_id(std::string_view method, std::string_view path) {
  std::string out;
  for (const char c : method) out.push_back(static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c));
  for (const char c : path) {
    if (c == '/' || c == '.') {
      if (out.back() != '_') out.push_back('_');
    } else if (c != '{' && c != '}') {
      out.push_back(c);
    }
  }
  while (out.ends_with('_')) out.pop_back();
  return out;
}

std::string key_of(std::string_view method) {
  return operation_id(method, "");
}

Json answer(std::string_view description, std::string_view type, Json schema) {
  return {{"description", description}, {"content", {{std::string{type}, {{"schema", std::move(schema)}}}}}};
}

void add_query(Json& parameters, std::string_view names) {
  if (names.empty()) return;
  for (const std::string_view name : split(names, ' '))
    parameters.push_back({{"name", name},
                          {"in", "query"},
                          {"schema", {{"type", name == "validate_only" || name == "follow" ? "boolean" : "string"}}}});
}

Json content_of(const Endpoint& e) {
  if (e.action == Action::StreamEvents) return answer("done", "text/event-stream", {{"type", "string"}});
  if (e.action == Action::DownloadCapture) return answer("done", "application/x-pcapng", ref(e.schemas.object));
  if (e.action == Action::ShowMetrics) return answer("done", "text/plain", {{"type", "string"}});
  const Schemas& s = e.schemas;
  Json result = s.object.empty() ? Json{{"type", "object"}} : s.list ? list_of(s.object) : ref(s.object);
  if (!s.wrapper.empty()) result = object({{std::string{s.wrapper}, std::move(result)}});
  if (!e.path.starts_with("/v1") && e.is_object())
    result = {{"allOf", {ref("Envelope"), object({{"result", std::move(result)}})}}};
  return answer("done", "application/json", std::move(result));
}

Json operation(const Endpoint& e) {
  Json parameters = path_parameters(e.path);
  add_query(parameters, e.parameters);
  Json out = {{"operationId", operation_id(e.method, e.path)}, {"summary", e.does}};
  if (!parameters.empty()) out["parameters"] = std::move(parameters);
  if (!e.schemas.body.empty())
    out["requestBody"] = {{"required", true}, {"content", {{"application/json", {{"schema", ref(e.schemas.body)}}}}}};
  const bool envelope = e.path.starts_with("/client/v4");
  out["responses"] = {{"200", content_of(e)},
                      {"default", answer("refused", "application/json", ref(envelope ? "Envelope" : "Error"))}};
  out["x-scope"] = to_string(e.scope);
  if (e.scope == Scope::None) out["security"] = Json::array();
  return out;
}

}  // namespace

std::string openapi_document(std::string_view version) {
  Json paths = Json::object();
  for (const Endpoint& e : endpoints()) paths[std::string{e.path}][key_of(e.method)] = operation(e);
  const Json document = {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "Qanat"},
        {"version", version},
        {"description",
         "Tunnels, routes and their state. Below /client/v4 in the shapes of Cloudflare's API, below /v1 in our own."},
        {"license", {{"name", "Apache-2.0"}}}}},
      {"security", {{{"bearer", Json::array()}}}},
      {"paths", std::move(paths)},
      {"components",
       {{"securitySchemes", {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}}}}, {"schemas", schemas()}}}};
  return document.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace qanat::control
