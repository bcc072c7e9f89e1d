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

constexpr std::string_view kCaptures = "/client/v4/accounts/{account_id}/pcaps";
constexpr std::string_view kCapture = "/client/v4/accounts/{account_id}/pcaps/{id}";
constexpr std::string_view kDownload = "/client/v4/accounts/{account_id}/pcaps/{id}/download";
constexpr std::string_view kStop = "/client/v4/accounts/{account_id}/pcaps/{id}/stop";

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
    {"GET", kCaptures, "Every capture of an account", "capture", "", "", "Capture", true},
    {"POST", kCaptures, "Start a capture of inner packets", "capture", "NewCapture", "", "Capture", false},
    {"GET", kCapture, "One capture and its state", "capture", "", "", "Capture", false},
    {"DELETE", kCapture, "Stop a capture and wipe its packets", "capture", "", "", "CaptureId", false},
    {"GET", kDownload, "Its packets as pcapng; ?follow=true while it runs", "capture", "", "", "CaptureFile", false},
    {"PUT", kStop, "Stop a capture; its packets stay for an hour", "capture", "", "", "Capture", false},
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
  if (e.method != "GET" && !own && (e.scope != "capture" || e.method == "POST"))
    out["parameters"].push_back({{"name", "validate_only"}, {"in", "query"}, {"schema", {{"type", "boolean"}}}});
  if (!e.body.empty())
    out["requestBody"] = {{"required", true}, {"content", {{"application/json", {{"schema", ref(e.body)}}}}}};
  const bool is_file = e.object == "CaptureFile";
  if (is_file) out["parameters"].push_back({{"name", "follow"}, {"in", "query"}, {"schema", {{"type", "boolean"}}}});
  out["responses"] = {{"200", is_file ? answer("done", "application/x-pcapng", ref(e.object))
                                      : answer("done", "application/json", std::move(whole))},
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
