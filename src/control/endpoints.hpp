// Every path of the API, once: dispatch (api.cpp, object_api.cpp), access over HTTPS (access.cpp), the OpenAPI document
// (openapi.cpp) and docs/api.md come from this table. A new path is a row here, an Action, and a case where it is
// served.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qanat::control {

enum class Scope : std::uint8_t {
  None,     // nobody needs a token
  Read,     //
  Write,    //
  Capture,  // of packets
  Local,    // the Unix socket only
};
[[nodiscard]] std::string_view to_string(Scope scope);  // "none", "read", "write", "capture", "local"

// What a token of one account is answered.
enum class View : std::uint8_t {
  Same,     // what everybody is: nothing of it is anybody's
  Account,  // its account's part alone
  Refused,  // it is about the whole gateway
};

enum class Action : std::uint8_t {
  // api.cpp
  ShowPaths,
  ShowOpenApi,
  ShowHealth,
  ShowStatus,
  ShowTunnel,
  ShowVersion,
  ShowEvents,
  StreamEvents,
  ShowPosture,
  ShowRoutes,
  RouteTo,
  ShowRules,
  ShowMetrics,
  Up,
  Down,
  RekeyChild,
  RekeyIke,
  Reauthenticate,
  Ping,
  ForgetPin,
  Reload,
  CheckReload,
  Purge,
  // object_api.cpp
  ListTunnels,
  CreateTunnels,
  UpdateTunnels,
  GetTunnel,
  UpdateTunnel,
  DeleteTunnel,
  GeneratePsk,
  ListRoutes,
  CreateRoutes,
  UpdateRoutes,
  DeleteRoutes,
  GetRoute,
  UpdateRoute,
  DeleteRoute,
  ListCaptures,
  StartCapture,
  GetCapture,
  DeleteCapture,
  DownloadCapture,
  StopCapture,
  Alerting,  // all below alerting/v3: object_alerts.cpp looks which
  ListAccounts,
  GetAccount,
  WhoAmI,
  ListTokens,
  CreateToken,
  DeleteToken,
  ShowAudit,
  Export,
  ExportSecrets,
  Import,
  ListPolicy,
  CreatePolicy,
  GetPolicy,
  UpdatePolicy,
  DeletePolicy,
};
inline constexpr Action kFirstObjectAction = Action::ListTunnels;

// The schemas of a path of objects, for OpenAPI.
struct Schemas {
  std::string_view body = {};     // below components; empty: it takes none
  std::string_view wrapper = {};  // of `result`: "ipsec_tunnels"; empty: the object itself
  std::string_view object = {};   // of what is answered; empty: any object
  bool list = false;              // an array of them
};

struct Endpoint {
  Action action;
  std::string_view method;
  std::string_view path;  // "{name}" stands for any one segment
  Scope scope;
  View view;
  std::string_view does;             // one line
  std::string_view parameters = {};  // of the query, separated by blanks
  Schemas schemas = {};
  [[nodiscard]] constexpr bool is_object() const { return action >= kFirstObjectAction; }
};
[[nodiscard]] std::span<const Endpoint> endpoints();

struct FoundEndpoint {
  const Endpoint* endpoint = nullptr;  // null: none of this method
  std::string allowed = {};            // "GET, PUT, DELETE": the methods of the path; empty: there is no such path
};
// `path`: decoded segments (target.hpp). Of Cloudflare's, "magic" may be left out, and PATCH is PUT.
[[nodiscard]] FoundEndpoint find_endpoint(std::string_view method, std::span<const std::string> path);

}  // namespace qanat::control
