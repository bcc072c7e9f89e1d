// How a tunnel is shown: what was sent, the defaults beside it, and how its keys are.
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/api_objects.hpp"
#include "control/envelope.hpp"
#include "control/posture.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;

std::string_view word(model::DowngradePolicy policy) {
  return policy == model::DowngradePolicy::Off ? "off" : policy == model::DowngradePolicy::Auto ? "auto" : "require";
}

// What is probed: the address that was saved, else by the direction (wan.md 4.4).
std::optional<IpAddress> effective_target(const model::Tunnel& tunnel) {
  if (tunnel.health.target) return tunnel.health.target;
  if (tunnel.health.direction == model::ProbeDirection::Unidirectional) return tunnel.peer;
  return tunnel.peer_interface4 ? tunnel.peer_interface4 : tunnel.peer_interface6;
}

enum class TargetForm : std::uint8_t { Text, Object };

json health_of(const model::Tunnel& tunnel, TargetForm form) {
  const model::HealthCheck& health = tunnel.health;
  json out{{"enabled", health.enabled},
           {"direction", to_string(health.direction)},
           {"rate", to_string(health.rate)},
           {"type", to_string(health.type)}};
  const auto effective = effective_target(tunnel);
  const std::string text = effective ? effective->to_string() : "";
  if (form == TargetForm::Text) {
    out["target"] = text;
    return out;
  }
  out["target"] = json::object();
  if (effective) out["target"]["effective"] = text;
  if (health.target) out["target"]["saved"] = health.target->to_string();
  return out;
}

std::string rendered(const ApiTunnel& tunnel, std::string_view file_name, TargetForm form) {
  json out = json::parse(tunnel.document, nullptr, false);
  const bool said = out.contains("health_check") && out["health_check"].contains("target") &&
                    out["health_check"]["target"].is_string();
  const std::string target = said ? out["health_check"]["target"].get<std::string>() : "";
  out["id"] = tunnel.id;
  out["created_on"] = date_text(tunnel.created);
  out["modified_on"] = date_text(tunnel.modified);
  for (const char* flag : {"replay_protection", "automatic_return_routing"}) {
    if (!out.contains(flag)) out[flag] = false;
  }
  out["allow_null_cipher"] = false;
  out["health_check"] = health_of(tunnel.model, form);
  // A client finds again what it has written, in its own spelling.
  if (!target.empty() && form == TargetForm::Text) out["health_check"]["target"] = target;
  json pq = out.contains("pq") ? out["pq"] : json::object();
  pq["policy"] = to_string(tunnel.model.pq);
  pq["downgrade_protection"] = word(tunnel.model.downgrade);
  pq["auth"] = tunnel.model.credentials.trust_anchors.empty() ? "psk" : "certificate";
  out["pq"] = std::move(pq);
  if (tunnel.psk_made) out["psk_metadata"] = {{"last_generated_on", date_text(*tunnel.psk_made)}};
  if (!tunnel.model.peer && tunnel.model.remote_id && !out.contains("custom_remote_identities")) {
    const std::string identity = tunnel.model.remote_id->to_string();
    out["remote_identities"] = {{"fqdn_id", identity.starts_with("fqdn:") ? identity.substr(5) : identity}};
  }
  if (tunnel.line) out["managed_by"] = {{"file", file_name}, {"line", *tunnel.line}};
  std::string text = out.dump(-1, ' ', false, json::error_handler_t::replace);
  text.pop_back();  // the brace: pq_status follows
  return text;
}

std::string time_or_null(const std::string& time) {
  return time.empty() ? "null" : "\"" + time + "\"";
}

}  // namespace

void render(ApiTunnel& tunnel, std::string_view file_name) {
  tunnel.text_plain = rendered(tunnel, file_name, TargetForm::Text);
  tunnel.text_target = rendered(tunnel, file_name, TargetForm::Object);
}

void add_tunnel_tail(std::string& out, const TunnelStatus* status) {
  if (!status) {
    out += R"(,"pq_status":{"state":"none","ke":[],"full_transcript":false,"first_hybrid_at":null,)"
           R"("last_classical_at":null,"reason":"","harvestable_bytes":0}})";
    return;
  }
  const std::string keys = weakest_keys(*status);
  out.append(R"(,"pq_status":{"state":")")
      .append(keys == "none"        ? "none"
              : keys == "classical" ? "classical"
                                    : "hybrid")
      .append(R"(","ke":[)");
  const std::string* reason = &status->reason;
  if (status->ike) {
    for (const std::string& exchange : status->ike->key_exchanges)
      out.append(&exchange == &status->ike->key_exchanges.front() ? "" : ",").append(json_text(exchange));
    if (!status->ike->verdict.reason.empty()) reason = &status->ike->verdict.reason;
  }
  fmt::format_to(
      std::back_inserter(out),
      R"(],"full_transcript":{},"first_hybrid_at":{},"last_classical_at":{},"reason":{},"harvestable_bytes":{}}}}})",
      status->ike && status->ike->downgrade_excluded, time_or_null(status->posture.first_hybrid_at),
      time_or_null(status->posture.last_classical_at), json_text(*reason), status->posture.classical_bytes);
}

}  // namespace qanat::control
