#include "control/openapi.hpp"

#include <array>

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "control/api.hpp"
#include "control/target.hpp"

namespace qanat::control {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kTunnels = "/client/v4/accounts/{account_id}/magic/ipsec_tunnels";
constexpr std::string_view kTunnel = "/client/v4/accounts/{account_id}/magic/ipsec_tunnels/{id}";
constexpr std::string_view kPsk = "/client/v4/accounts/{account_id}/magic/ipsec_tunnels/{id}/psk_generate";
constexpr std::string_view kRoutes = "/client/v4/accounts/{account_id}/magic/routes";
constexpr std::string_view kRoute = "/client/v4/accounts/{account_id}/magic/routes/{id}";

constexpr auto kObjects = std::to_array<ObjectEndpoint>({
    {"GET", kTunnels, "Every tunnel of an account", "read", "", "ipsec_tunnels", "IpsecTunnel", true},
    {"POST", kTunnels, "Make a tunnel; ?validate_only=true only judges it", "write", "IpsecTunnel", "", "IpsecTunnel",
     false},
    {"PUT", kTunnels, "Change several tunnels at once, all or none", "write", "IpsecTunnels", "modified_ipsec_tunnels",
     "IpsecTunnel", true},
    {"GET", kTunnel, "One tunnel", "read", "", "ipsec_tunnel", "IpsecTunnel", false},
    {"PUT", kTunnel, "Change a tunnel; what is left out stays", "write", "IpsecTunnel", "modified_ipsec_tunnel",
     "IpsecTunnel", false},
    {"DELETE", kTunnel, "Remove a tunnel: its peer is told, then its routes and barrier go", "write", "",
     "deleted_ipsec_tunnel", "IpsecTunnel", false},
    {"POST", kPsk, "A new pre-shared key of 256 random bits, shown this once", "write", "", "", "PskGenerated", false},
    {"GET", kRoutes, "Every static route of an account", "read", "", "routes", "Route", true},
    {"POST", kRoutes, "Make a route; ?validate_only=true only judges it", "write", "Route", "", "Route", false},
    {"PUT", kRoutes, "Change several routes at once, all or none", "write", "Routes", "modified_routes", "Route", true},
    {"DELETE", kRoutes, "Remove every stored route of an account", "write", "", "deleted_routes", "Route", true},
    {"GET", kRoute, "One route", "read", "", "route", "Route", false},
    {"PUT", kRoute, "Change a route; what is left out stays", "write", "Route", "modified_route", "Route", false},
    {"DELETE", kRoute, "Remove a route", "write", "", "deleted_route", "Route", false},
    {"GET", "/client/v4/accounts/{account_id}/alerting/v3/policies", "Every notification policy of an account", "read",
     "", "", "AlertPolicy", true},
    {"POST", "/client/v4/accounts/{account_id}/alerting/v3/policies", "Make a notification policy", "write",
     "AlertPolicy", "", "AlertId", false},
    {"GET", "/client/v4/accounts/{account_id}/alerting/v3/policies/{id}", "One notification policy", "read", "", "",
     "AlertPolicy", false},
    {"PUT", "/client/v4/accounts/{account_id}/alerting/v3/policies/{id}",
     "Change a notification policy; what is left out stays", "write", "AlertPolicy", "", "AlertId", false},
    {"DELETE", "/client/v4/accounts/{account_id}/alerting/v3/policies/{id}",
     "Remove a notification policy and its silences", "write", "", "", "AlertId", false},
    {"GET", "/client/v4/accounts/{account_id}/alerting/v3/destinations/webhooks",
     "Every webhook of an account, without its secret", "read", "", "", "Webhook", true},
    {"POST", "/client/v4/accounts/{account_id}/alerting/v3/destinations/webhooks",
     "Make a webhook; it must accept a test message", "write", "Webhook", "", "AlertId", false},
    {"GET", "/client/v4/accounts/{account_id}/alerting/v3/destinations/webhooks/{id}", "One webhook", "read", "", "",
     "Webhook", false},
    {"PUT", "/client/v4/accounts/{account_id}/alerting/v3/destinations/webhooks/{id}",
     "Change a webhook; it must accept a test message", "write", "Webhook", "", "AlertId", false},
    {"DELETE", "/client/v4/accounts/{account_id}/alerting/v3/destinations/webhooks/{id}",
     "Remove a webhook that no policy names", "write", "", "", "AlertId", false},
    {"GET", "/client/v4/accounts/{account_id}/alerting/v3/destinations/eligible", "Which ways of notifying there are",
     "read", "", "", "AlertDestinations", false},
    {"GET", "/client/v4/accounts/{account_id}/alerting/v3/available_alerts", "What can be alerted of, with its filters",
     "read", "", "", "AvailableAlerts", false},
    {"GET", "/client/v4/accounts/{account_id}/alerting/v3/history", "What was notified, the last first", "read", "", "",
     "AlertHistory", true},
    {"GET", "/client/v4/accounts/{account_id}/alerting/v3/silences", "Every silence of an account", "read", "", "",
     "Silence", true},
    {"POST", "/client/v4/accounts/{account_id}/alerting/v3/silences",
     "Make silences: their policies tell nothing from start_time to end_time", "write", "Silences", "", "Silence",
     true},
    {"PUT", "/client/v4/accounts/{account_id}/alerting/v3/silences", "Change silences, all or none", "write",
     "Silences", "", "Silence", true},
    {"GET", "/client/v4/accounts/{account_id}/alerting/v3/silences/{id}", "One silence", "read", "", "", "Silence",
     false},
    {"DELETE", "/client/v4/accounts/{account_id}/alerting/v3/silences/{id}", "Remove a silence", "write", "", "",
     "AlertId", false},
    {"GET", "/client/v4/accounts", "The accounts that the token may speak of: VRFs", "read", "", "", "Account", true},
    {"GET", "/client/v4/accounts/{account_id}", "One account", "read", "", "", "Account", false},
    {"GET", "/v1/whoami", "Whose token this is, and what it may do", "read", "", "", "Principal", false},
    {"GET", "/v1/tokens", "Every token, without its secret", "read", "", "tokens", "Token", true},
    {"POST", "/v1/tokens", "Make a token; its secret is shown this once", "write", "NewToken", "", "MadeToken", false},
    {"DELETE", "/v1/tokens/{id}", "Remove a token: it is refused from the next request on", "write", "", "deleted",
     "Token", false},
    {"GET", "/v1/audit", "Who changed what and when, without secrets", "read", "", "", "AuditLog", false},
    {"GET", "/v1/export", "Everything as a configuration file, keys as psk_file references", "read", "", "", "Export",
     false},
    {"POST", "/v1/export", "The same with all secrets, as a bundle encrypted with a key of qanat genpsk", "local",
     "ExportKey", "", "Export", false},
    {"POST", "/v1/import", "Tunnels, routes and rules of a file become objects of the API", "local", "Import", "",
     "Imported", false},
    {"GET", "/v1/policy", "Every packet rule", "read", "", "", "PolicyRules", false},
    {"POST", "/v1/policy", "Make a packet rule", "write", "PolicyRule", "", "PolicyRule", false},
    {"GET", "/v1/policy/{name}", "One packet rule", "read", "", "", "PolicyRule", false},
    {"PUT", "/v1/policy/{name}", "Change a packet rule; what is left out stays", "write", "PolicyRule", "",
     "PolicyRule", false},
    {"DELETE", "/v1/policy/{name}", "Remove a packet rule", "write", "", "deleted", "PolicyRule", false},
});

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

Json own_operation(const Endpoint& e) {
  Json parameters = path_parameters(e.path);
  if (!e.parameters.empty()) {
    for (const std::string_view name : split(e.parameters, ' '))
      parameters.push_back({{"name", name}, {"in", "query"}, {"schema", {{"type", "string"}}}});
  }
  const bool is_stream = e.path.ends_with("/stream");
  const bool is_metrics = e.path.ends_with("/metrics");
  const bool is_public = e.path == "/" || e.path == "/v1/health";
  Json out = {{"operationId", operation_id(e.method, e.path)}, {"summary", e.does}};
  if (!parameters.empty()) out["parameters"] = std::move(parameters);
  out["responses"] = {{"200", answer("done",
                                     is_stream    ? "text/event-stream"
                                     : is_metrics ? "text/plain"
                                                  : "application/json",
                                     is_stream || is_metrics ? Json{{"type", "string"}} : Json{{"type", "object"}})},
                      {"default", answer("refused", "application/json", ref("Error"))}};
  out["x-scope"] = is_public ? "none" : e.path == "/v1/purge" ? "local" : e.method == "GET" ? "read" : "write";
  if (is_public) out["security"] = Json::array();
  return out;
}

Json object_operation(const ObjectEndpoint& e) {
  Json result = e.list ? list_of(e.object) : ref(e.object);
  if (!e.wrapper.empty()) result = object({{std::string{e.wrapper}, std::move(result)}});
  const bool own = e.path.starts_with("/v1");
  Json whole = own ? std::move(result) : Json{{"allOf", {ref("Envelope"), object({{"result", std::move(result)}})}}};
  Json out = {{"operationId", operation_id(e.method, e.path)}, {"summary", e.does}};
  out["parameters"] = path_parameters(e.path);
  if (e.method != "GET" && !own)
    out["parameters"].push_back({{"name", "validate_only"}, {"in", "query"}, {"schema", {{"type", "boolean"}}}});
  if (!e.body.empty())
    out["requestBody"] = {{"required", true}, {"content", {{"application/json", {{"schema", ref(e.body)}}}}}};
  out["responses"] = {{"200", answer("done", "application/json", std::move(whole))},
                      {"default", answer("refused", "application/json", ref(own ? "Error" : "Envelope"))}};
  out["x-scope"] = e.scope;
  return out;
}

}  // namespace

std::span<const ObjectEndpoint> object_endpoints() {
  return kObjects;
}

std::string openapi_document(std::string_view version) {
  Json paths = Json::object();
  for (const Endpoint& e : endpoints()) paths[std::string{e.path}][key_of(e.method)] = own_operation(e);
  for (const ObjectEndpoint& e : object_endpoints()) paths[std::string{e.path}][key_of(e.method)] = object_operation(e);
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
