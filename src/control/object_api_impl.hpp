// The state of ObjectApi and its handlers, which stand in object_*.cpp. Internal to the object API.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "control/api_objects.hpp"
#include "control/endpoints.hpp"
#include "control/envelope.hpp"
#include "control/object_api.hpp"
#include "control/target.hpp"

namespace qanat::control {

// Lines of the audit log that are kept.
inline constexpr std::uint64_t kMaxAudit = 10'000;
inline constexpr std::size_t kMaxApiTunnels = 100'000;
inline constexpr std::size_t kMaxApiRoutes = 200'000;
inline constexpr std::size_t kMaxApiRules = 10'000;
inline constexpr std::size_t kMaxBulk = 10'000;  // objects of one request

// One request under way.
struct Call {
  const Request& request;
  const Situation& situation;
  Target target;
  std::string account = {};    // the VRF's name
  bool target_object = false;  // x-magic-new-hc-target: true
  bool validate_only = false;
  std::vector<std::string> messages = {};  // for people: what has no effect
};

// A change in the making: the objects as they will be, and what brings the store there.
struct Draft {
  Objects objects;
  std::vector<store::Operation> operations = {};
  struct Line {
    std::string what;  // "create tunnel"
    std::string account;
    std::string id;
    std::string name;
    std::string before;  // JSON text without secrets; empty: nothing
    std::string after;
  };
  std::vector<Line> audit = {};
};

struct ObjectApi::Impl {
  store::ObjectStore& store;
  Rooms rooms;
  Objects stored = {};
  std::uint64_t generation = 0;
  std::uint64_t next_audit = 1;
  std::uint64_t next_order = 1;
  bool loaded = false;
  std::shared_ptr<const LoadedFile> file = {};  // beside which `stored` was read
  Objects from_file = {};
  std::optional<model::Config> wanted = {};
  std::optional<WebhookTest> test = {};

  [[nodiscard]] Status load();
  // Reads the stored documents again when the file has changed: what they mean depends on its addresses.
  [[nodiscard]] std::vector<Fault> fit(std::shared_ptr<const LoadedFile> now);

  [[nodiscard]] Reply cloudflare(Call& call);
  [[nodiscard]] Reply own(Call& call);
  // `id`: of the object that a path of Cloudflare's names.
  [[nodiscard]] Reply act(Call& call, Action action, const std::string& id);

  // object_tunnels.cpp
  [[nodiscard]] Reply list_tunnels(const Call& call) const;
  [[nodiscard]] Reply get_tunnel(const Call& call, const std::string& id) const;
  [[nodiscard]] Reply create_tunnels(Call& call);
  [[nodiscard]] Reply update_tunnels(Call& call);
  [[nodiscard]] Reply update_tunnel(Call& call, const std::string& id);
  [[nodiscard]] Reply delete_tunnel(Call& call, const std::string& id);
  [[nodiscard]] Reply generate_psk(Call& call, const std::string& id);
  // object_routes.cpp
  [[nodiscard]] Reply list_routes(const Call& call) const;
  [[nodiscard]] Reply get_route(const Call& call, const std::string& id) const;
  [[nodiscard]] Reply create_routes(Call& call);
  [[nodiscard]] Reply update_routes(Call& call);
  [[nodiscard]] Reply update_route(Call& call, const std::string& id);
  [[nodiscard]] Reply delete_routes(Call& call);
  [[nodiscard]] Reply delete_route(Call& call, const std::string& id);
  // object_admin.cpp
  [[nodiscard]] Reply list_tokens();
  [[nodiscard]] Reply create_token(Call& call);
  [[nodiscard]] Reply delete_token(Call& call);
  [[nodiscard]] Reply audit_log(const Call& call);
  [[nodiscard]] Reply whoami(const Call& call) const;
  [[nodiscard]] Reply rules(Call& call, Action action);
  // object_captures.cpp
  CaptureRoom* captures = nullptr;
  [[nodiscard]] Reply pcaps(Call& call, Action action, std::string id);
  [[nodiscard]] Reply list_captures(const Call& call) const;
  [[nodiscard]] Reply start_capture(Call& call);
  [[nodiscard]] Reply stop_capture(Call& call, const std::string& id);
  [[nodiscard]] Reply delete_capture(Call& call, const std::string& id);
  [[nodiscard]] Reply download_capture(Call& call, const std::string& id);
  [[nodiscard]] std::optional<std::string> find_capture(const Call& call, const std::string& id) const;  // JSON text
  // object_transfer.cpp
  [[nodiscard]] Reply export_text();
  [[nodiscard]] Reply export_secrets(Call& call);
  [[nodiscard]] Reply import_all(Call& call);

  // object_alerts.cpp
  [[nodiscard]] Reply alerting(Call& call, std::span<const std::string> rest);
  [[nodiscard]] Reply alert_policies(Call& call, std::span<const std::string> rest);
  [[nodiscard]] Reply alert_webhooks(Call& call, std::span<const std::string> rest);
  [[nodiscard]] Reply delete_webhook(Call& call, const std::string& id, const std::string& document);
  [[nodiscard]] Reply alert_silences(Call& call, std::span<const std::string> rest);
  [[nodiscard]] Reply alert_history(const Call& call);

  // Judges and writes a draft. nullopt: done (or only judged, with validate_only).
  [[nodiscard]] std::optional<Reply> commit(const Call& call, Draft draft);
  // Writes what is no part of the configuration: tokens.
  [[nodiscard]] std::optional<Reply> write(const Call& call, std::vector<store::Operation> operations,
                                           std::vector<Draft::Line> lines);
  void add_audit(const Call& call, const std::vector<Draft::Line>& lines, std::vector<store::Operation>& operations);

  [[nodiscard]] ObjectSet<ApiTunnel>::Item find_tunnel(const Call& call, std::string_view id) const;
  [[nodiscard]] ObjectSet<ApiRoute>::Item find_route(const Call& call, std::string_view id) const;
  [[nodiscard]] std::string file_place(const ApiObject& object) const;  // "/etc/qanat/qanat.toml line 12"
};

// object_alert_transfer.cpp. Errors are the store's; what is wrong with an alert is a fault.
[[nodiscard]] Result<std::vector<TransferAlert>> exported_alerts(store::ObjectStore& store);
[[nodiscard]] Status import_alerts(const Call& call, store::ObjectStore& store, const model::Config& config,
                                   const std::vector<TransferAlert>& alerts, Draft& draft, ApiFaults& faults);

[[nodiscard]] std::string store_key(std::string_view kind, const ApiObject& object);  // "tunnel/default/0123..."
[[nodiscard]] std::string new_id(Rng& rng);
// The envelope's refusals as /v1 says them.
[[nodiscard]] Reply own_refusal(const Reply& reply);
// 409 when all that is wrong is a conflict, 404, 400.
[[nodiscard]] int status_of(const ApiFaults& faults);
[[nodiscard]] Reply method_not_allowed(const Call& call, std::string_view allowed);
// A reply when the query has parameters that the path does not take.
[[nodiscard]] std::optional<Reply> check_query(const Call& call, const Endpoint& endpoint);
// Without what must not stand in a log.
[[nodiscard]] std::string without_secrets(std::string_view document);
// [{...},{...}] of a body's array of objects. Faults: no array, not objects, too many.
[[nodiscard]] std::vector<nlohmann::json> elements_of(const nlohmann::json& body, const std::string& name,
                                                      ApiFaults& faults);

}  // namespace qanat::control
