#include "control/endpoints.hpp"

#include <algorithm>
#include <array>

#include "control/target.hpp"

namespace qanat::control {

namespace {

constexpr std::string_view kTunnels = "/client/v4/accounts/{account_id}/magic/ipsec_tunnels";
constexpr std::string_view kTunnel = "/client/v4/accounts/{account_id}/magic/ipsec_tunnels/{id}";
constexpr std::string_view kPsk = "/client/v4/accounts/{account_id}/magic/ipsec_tunnels/{id}/psk_generate";
constexpr std::string_view kRoutes = "/client/v4/accounts/{account_id}/magic/routes";
constexpr std::string_view kRoute = "/client/v4/accounts/{account_id}/magic/routes/{id}";
constexpr std::string_view kCaptures = "/client/v4/accounts/{account_id}/pcaps";
constexpr std::string_view kCapture = "/client/v4/accounts/{account_id}/pcaps/{id}";
constexpr std::string_view kJudge = "validate_only";

using enum Scope;
using Do = Action;

// clang-format off: rows, not columns
constexpr auto kEndpoints = std::to_array<Endpoint>({
    {Do::ShowPaths, "GET", "/", None, View::Same, "what there is"},
    {Do::ShowPaths, "GET", "/v1", Read, View::Same, "what there is"},
    {Do::ShowOpenApi, "GET", "/v1/openapi.json", Read, View::Same,
     "every path, its parameters and its answers, as OpenAPI 3.1"},
    {Do::ShowHealth, "GET", "/v1/health", None, View::Same, "that the daemon answers; needs no token"},
    {Do::ShowStatus, "GET", "/v1/status", Read, View::Account, "every configured tunnel, wanted and actual"},
    {Do::ShowTunnel, "GET", "/v1/status/{name}", Read, View::Account, "one tunnel"},
    {Do::ShowVersion, "GET", "/v1/version", Read, View::Same, "versions of the daemon and of its cryptography"},
    {Do::ShowEvents, "GET", "/v1/events", Read, View::Account,
     "the last 1,000 events; ?since=N for those after number N, ?tunnel=NAME for one tunnel", "since tunnel"},
    {Do::StreamEvents, "GET", "/v1/events/stream", Read, View::Account,
     "events as they happen, as server-sent events; Last-Event-ID or ?since=N goes on after one, "
     "?tunnel=NAME for one tunnel", "since tunnel"},
    {Do::ShowPosture, "GET", "/v1/posture", Read, View::Account,
     "how safe the keys of every tunnel are, and what was carried under keys that are not"},
    {Do::ShowRoutes, "GET", "/v1/routes", Read, View::Account,
     "every route, and what the state of its tunnel adds to its priority"},
    {Do::RouteTo, "GET", "/v1/routes/{name}", Read, View::Account,
     "which tunnel takes a packet to this address, and why; ?from=ADDRESS, ?vrf=NAME", "from vrf"},
    {Do::ShowRules, "GET", "/v1/rules", Read, View::Account,
     "every rule of the packet policy, in order, and what fitted it"},
    {Do::ShowMetrics, "GET", "/v1/metrics", Read, View::Refused,
     "everything that is counted, in Prometheus' text format"},
    {Do::Up, "POST", "/v1/tunnels/{name}/up", Write, View::Account, "bring a tunnel up; ?wait=0 answers at once",
     "wait"},
    {Do::Down, "POST", "/v1/tunnels/{name}/down", Write, View::Account,
     "take a tunnel down and keep it down; ?wait=0 answers at once", "wait"},
    {Do::RekeyChild, "POST", "/v1/tunnels/{name}/rekey/child", Write, View::Account,
     "new keys for packets now, before their lifetime ends", "wait"},
    {Do::RekeyIke, "POST", "/v1/tunnels/{name}/rekey/ike", Write, View::Account, "new keys for IKE now", "wait"},
    {Do::Reauthenticate, "POST", "/v1/tunnels/{name}/rekey/reauth", Write, View::Account,
     "a whole new IKE SA now, made before the old one goes", "wait"},
    {Do::Ping, "POST", "/v1/tunnels/{name}/ping", Write, View::Account,
     "one echo request to the peer's interface address, inside the tunnel"},
    {Do::ForgetPin, "POST", "/v1/posture/{name}/forget", Write, View::Account,
     "forget that a tunnel's peer has ever had hybrid keys (pq = \"pin\"); ?confirm=NAME", "confirm"},
    {Do::Reload, "POST", "/v1/reload", Write, View::Refused, "read the configuration again and apply what has changed"},
    {Do::CheckReload, "POST", "/v1/reload/check", Write, View::Refused,
     "what a reload would change, and what that does to live SAs"},
    {Do::Purge, "POST", "/v1/purge", Local, View::Refused,
     "remove the routes and rules that protect against plaintext leaks"},

    {Do::ListTunnels, "GET", kTunnels, Read, View::Account, "Every tunnel of an account", kJudge,
     {.wrapper = "ipsec_tunnels", .object = "IpsecTunnel", .list = true}},
    {Do::CreateTunnels, "POST", kTunnels, Write, View::Account, "Make a tunnel; ?validate_only=true only judges it",
     kJudge, {.body = "IpsecTunnel", .object = "IpsecTunnel"}},
    {Do::UpdateTunnels, "PUT", kTunnels, Write, View::Account, "Change several tunnels at once, all or none", kJudge,
     {.body = "IpsecTunnels", .wrapper = "modified_ipsec_tunnels", .object = "IpsecTunnel", .list = true}},
    {Do::GetTunnel, "GET", kTunnel, Read, View::Account, "One tunnel", kJudge,
     {.wrapper = "ipsec_tunnel", .object = "IpsecTunnel"}},
    {Do::UpdateTunnel, "PUT", kTunnel, Write, View::Account, "Change a tunnel; what is left out stays", kJudge,
     {.body = "IpsecTunnel", .wrapper = "modified_ipsec_tunnel", .object = "IpsecTunnel"}},
    {Do::DeleteTunnel, "DELETE", kTunnel, Write, View::Account,
     "Remove a tunnel: its peer is told, then its routes and barrier go", kJudge,
     {.wrapper = "deleted_ipsec_tunnel", .object = "IpsecTunnel"}},
    {Do::GeneratePsk, "POST", kPsk, Write, View::Account, "A new pre-shared key of 256 random bits, shown this once",
     kJudge, {.object = "PskGenerated"}},
    {Do::ListRoutes, "GET", kRoutes, Read, View::Account, "Every static route of an account", kJudge,
     {.wrapper = "routes", .object = "Route", .list = true}},
    {Do::CreateRoutes, "POST", kRoutes, Write, View::Account, "Make a route; ?validate_only=true only judges it",
     kJudge, {.body = "Route", .object = "Route"}},
    {Do::UpdateRoutes, "PUT", kRoutes, Write, View::Account, "Change several routes at once, all or none", kJudge,
     {.body = "Routes", .wrapper = "modified_routes", .object = "Route", .list = true}},
    {Do::DeleteRoutes, "DELETE", kRoutes, Write, View::Account, "Remove every stored route of an account", kJudge,
     {.wrapper = "deleted_routes", .object = "Route", .list = true}},
    {Do::GetRoute, "GET", kRoute, Read, View::Account, "One route", kJudge, {.wrapper = "route", .object = "Route"}},
    {Do::UpdateRoute, "PUT", kRoute, Write, View::Account, "Change a route; what is left out stays", kJudge,
     {.body = "Route", .wrapper = "modified_route", .object = "Route"}},
    {Do::DeleteRoute, "DELETE", kRoute, Write, View::Account, "Remove a route", kJudge,
     {.wrapper = "deleted_route", .object = "Route"}},
    {Do::ListCaptures, "GET", kCaptures, Capture, View::Account, "Every capture of an account", "",
     {.object = "Capture", .list = true}},
    {Do::StartCapture, "POST", kCaptures, Capture, View::Account, "Start a capture of inner packets", kJudge,
     {.body = "NewCapture", .object = "Capture"}},
    {Do::GetCapture, "GET", kCapture, Capture, View::Account, "One capture and its state", "", {.object = "Capture"}},
    {Do::DeleteCapture, "DELETE", kCapture, Capture, View::Account, "Stop a capture and wipe its packets", "",
     {.object = "CaptureId"}},
    {Do::DownloadCapture, "GET", "/client/v4/accounts/{account_id}/pcaps/{id}/download", Capture, View::Account,
     "Its packets as pcapng; ?follow=true while it runs", "follow", {.object = "CaptureFile"}},
    {Do::StopCapture, "PUT", "/client/v4/accounts/{account_id}/pcaps/{id}/stop", Capture, View::Account,
     "Stop a capture; its packets stay for an hour", "", {.object = "Capture"}},
    {Do::Alerting, "GET", "/client/v4/accounts/{account_id}/alerting/v3/policies", Read, View::Account,
     "Every notification policy of an account", kJudge, {.object = "AlertPolicy", .list = true}},
    {Do::Alerting, "POST", "/client/v4/accounts/{account_id}/alerting/v3/policies", Write, View::Account,
     "Make a notification policy", kJudge, {.body = "AlertPolicy", .object = "AlertId"}},
    {Do::Alerting, "GET", "/client/v4/accounts/{account_id}/alerting/v3/policies/{id}", Read, View::Account,
     "One notification policy", kJudge, {.object = "AlertPolicy"}},
    {Do::Alerting, "PUT", "/client/v4/accounts/{account_id}/alerting/v3/policies/{id}", Write, View::Account,
     "Change a notification policy; what is left out stays", kJudge, {.body = "AlertPolicy", .object = "AlertId"}},
    {Do::Alerting, "DELETE", "/client/v4/accounts/{account_id}/alerting/v3/policies/{id}", Write, View::Account,
     "Remove a notification policy and its silences", kJudge, {.object = "AlertId"}},
    {Do::Alerting, "GET", "/client/v4/accounts/{account_id}/alerting/v3/destinations/webhooks", Read, View::Account,
     "Every webhook of an account, without its secret", kJudge, {.object = "Webhook", .list = true}},
    {Do::Alerting, "POST", "/client/v4/accounts/{account_id}/alerting/v3/destinations/webhooks", Write,
     View::Account, "Make a webhook; it must accept a test message", kJudge,
     {.body = "Webhook", .object = "AlertId"}},
    {Do::Alerting, "GET", "/client/v4/accounts/{account_id}/alerting/v3/destinations/webhooks/{id}", Read,
     View::Account, "One webhook", kJudge, {.object = "Webhook"}},
    {Do::Alerting, "PUT", "/client/v4/accounts/{account_id}/alerting/v3/destinations/webhooks/{id}", Write,
     View::Account, "Change a webhook; it must accept a test message", kJudge,
     {.body = "Webhook", .object = "AlertId"}},
    {Do::Alerting, "DELETE", "/client/v4/accounts/{account_id}/alerting/v3/destinations/webhooks/{id}", Write,
     View::Account, "Remove a webhook that no policy names", kJudge, {.object = "AlertId"}},
    {Do::Alerting, "GET", "/client/v4/accounts/{account_id}/alerting/v3/destinations/eligible", Read, View::Account,
     "Which ways of notifying there are", kJudge, {.object = "AlertDestinations"}},
    {Do::Alerting, "GET", "/client/v4/accounts/{account_id}/alerting/v3/available_alerts", Read, View::Account,
     "What can be alerted of, with its filters", kJudge, {.object = "AvailableAlerts"}},
    {Do::Alerting, "GET", "/client/v4/accounts/{account_id}/alerting/v3/history", Read, View::Account,
     "What was notified, the last first", "since before page per_page", {.object = "AlertHistory", .list = true}},
    {Do::Alerting, "GET", "/client/v4/accounts/{account_id}/alerting/v3/silences", Read, View::Account,
     "Every silence of an account", kJudge, {.object = "Silence", .list = true}},
    {Do::Alerting, "POST", "/client/v4/accounts/{account_id}/alerting/v3/silences", Write, View::Account,
     "Make silences: their policies tell nothing from start_time to end_time", kJudge,
     {.body = "Silences", .object = "Silence", .list = true}},
    {Do::Alerting, "PUT", "/client/v4/accounts/{account_id}/alerting/v3/silences", Write, View::Account,
     "Change silences, all or none", kJudge, {.body = "Silences", .object = "Silence", .list = true}},
    {Do::Alerting, "GET", "/client/v4/accounts/{account_id}/alerting/v3/silences/{id}", Read, View::Account,
     "One silence", kJudge, {.object = "Silence"}},
    {Do::Alerting, "DELETE", "/client/v4/accounts/{account_id}/alerting/v3/silences/{id}", Write, View::Account,
     "Remove a silence", kJudge, {.object = "AlertId"}},
    {Do::ListAccounts, "GET", "/client/v4/accounts", Read, View::Account,
     "The accounts that the token may speak of: VRFs", "", {.object = "Account", .list = true}},
    {Do::GetAccount, "GET", "/client/v4/accounts/{account_id}", Read, View::Account, "One account", "",
     {.object = "Account"}},
    {Do::WhoAmI, "GET", "/v1/whoami", Read, View::Same, "Whose token this is, and what it may do", "",
     {.object = "Principal"}},
    {Do::ListTokens, "GET", "/v1/tokens", Write, View::Refused, "Every token, without its secret", "",
     {.wrapper = "tokens", .object = "Token", .list = true}},
    {Do::CreateToken, "POST", "/v1/tokens", Write, View::Refused, "Make a token; its secret is shown this once", "",
     {.body = "NewToken", .object = "MadeToken"}},
    {Do::DeleteToken, "DELETE", "/v1/tokens/{id}", Write, View::Refused,
     "Remove a token: it is refused from the next request on", "", {.wrapper = "deleted", .object = "Token"}},
    {Do::ShowAudit, "GET", "/v1/audit", Read, View::Refused, "Who changed what and when, without secrets", "since",
     {.object = "AuditLog"}},
    {Do::Export, "GET", "/v1/export", Read, View::Refused,
     "Everything as a configuration file, keys as psk_file references", "", {.object = "Export"}},
    {Do::ExportSecrets, "POST", "/v1/export", Local, View::Refused,
     "The same with all secrets, as a bundle encrypted with a key of qanat genpsk", "",
     {.body = "ExportKey", .object = "Export"}},
    {Do::Import, "POST", "/v1/import", Local, View::Refused,
     "Tunnels, routes and rules of a file become objects of the API", "", {.body = "Import", .object = "Imported"}},
    {Do::ListPolicy, "GET", "/v1/policy", Read, View::Account, "Every packet rule", "account",
     {.object = "PolicyRules"}},
    {Do::CreatePolicy, "POST", "/v1/policy", Write, View::Account, "Make a packet rule", "account",
     {.body = "PolicyRule", .object = "PolicyRule"}},
    {Do::GetPolicy, "GET", "/v1/policy/{name}", Read, View::Account, "One packet rule", "account",
     {.object = "PolicyRule"}},
    {Do::UpdatePolicy, "PUT", "/v1/policy/{name}", Write, View::Account,
     "Change a packet rule; what is left out stays", "account", {.body = "PolicyRule", .object = "PolicyRule"}},
    {Do::DeletePolicy, "DELETE", "/v1/policy/{name}", Write, View::Account, "Remove a packet rule", "account",
     {.wrapper = "deleted", .object = "PolicyRule"}},
});
// clang-format on

constexpr bool objects_come_last() {
  return std::is_partitioned(kEndpoints.begin(), kEndpoints.end(), [](const Endpoint& e) { return !e.is_object(); });
}
static_assert(objects_come_last());

bool fits(std::string_view pattern, std::span<const std::string> path) {
  pattern.remove_prefix(1);
  for (const std::string& part : path) {
    if (pattern.empty()) return false;
    const std::size_t end = std::min(pattern.find('/'), pattern.size());
    const std::string_view want = pattern.substr(0, end);
    if (want.starts_with('{') ? part.empty() : want != part) return false;
    pattern.remove_prefix(std::min(end + 1, pattern.size()));
  }
  return pattern.empty();
}

}  // namespace

std::string_view to_string(Scope scope) {
  switch (scope) {
    case None:
      return "none";
    case Read:
      return "read";
    case Write:
      return "write";
    case Capture:
      return "capture";
    case Local:
      return "local";
  }
  return "unknown";
}

std::span<const Endpoint> endpoints() {
  return kEndpoints;
}

FoundEndpoint find_endpoint(std::string_view method, std::span<const std::string> path) {
  constexpr std::size_t kBehindAccount = 4;  // client, v4, accounts, {account_id}
  const bool theirs = !path.empty() && path[0] == "client";
  std::vector<std::string> whole;
  if (theirs && path.size() > kBehindAccount &&
      (path[kBehindAccount] == "ipsec_tunnels" || path[kBehindAccount] == "routes")) {
    whole.assign(path.begin(), path.end());
    whole.insert(whole.begin() + kBehindAccount, "magic");
    path = whole;
  }
  if (theirs && method == "PATCH") method = "PUT";
  FoundEndpoint out;
  for (const Endpoint& endpoint : kEndpoints) {
    if (!fits(endpoint.path, path)) continue;
    if (endpoint.method == method) out.endpoint = &endpoint;
    out.allowed.append(out.allowed.empty() ? "" : ", ").append(endpoint.method);
  }
  return out;
}

}  // namespace qanat::control
