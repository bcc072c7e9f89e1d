// File and stored objects as one: what the file says in the API's shapes, what is stored as records, and both together
// as the configuration that is wanted.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/text.hpp"
#include "control/api_objects.hpp"
#include "crypto/digest.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;

constexpr std::string_view kDefaultVrf = "default";
constexpr std::size_t kIdDigits = 32;

std::string hash_id(std::string_view text) {
  const Bytes octets = to_bytes(text);
  return to_hex(crypto::sha256({octets})).substr(0, kIdDigits);
}

std::string vrf_name(const model::Config& file, VrfId id) {
  const auto it = std::find_if(file.vrfs.begin(), file.vrfs.end(), [&](const model::Vrf& v) { return v.id == id; });
  return it == file.vrfs.end() ? std::string{kDefaultVrf} : it->name;
}

std::optional<unsigned> line_of(const LoadedFile& file, const std::string& object) {
  const auto it = file.lines.find(object);
  return it == file.lines.end() ? 0 : it->second;
}

IpAddress endpoint_of(const model::Gateway& gateway, const model::Tunnel& tunnel) {
  if (tunnel.local) return *tunnel.local;
  const bool v6 = tunnel.peer ? tunnel.peer->is_v6() : !gateway.address4;
  return (v6 ? gateway.address6 : gateway.address4).value_or(IpAddress{});
}

json ports_text(const model::PortRange& ports) {
  return ports.first == ports.last ? fmt::format("{}", ports.first) : fmt::format("{}-{}", ports.first, ports.last);
}

template <typename T>
T owned_by_file(const LoadedFile& file, VrfId vrf, const std::string& name) {
  T out;
  out.account = vrf_name(*file.config, vrf);
  out.id = file_object_id(out.account, T::kKind, name);
  out.created = file.loaded;
  out.modified = file.loaded;
  out.line = line_of(file, fmt::format("{} {}", T::kKind, name));
  return out;
}

json document_of(const model::Route& route, const std::optional<IpAddress>& nexthop) {
  json out{{"prefix", route.prefix.to_string()},
           {"nexthop", nexthop ? nexthop->to_string() : ""},
           {"priority", route.priority},
           {"weight", route.weight},
           {"tunnel", route.tunnel}};
  if (!route.description.empty()) out["description"] = route.description;
  if (route.pq == model::RoutePq::Require) out["pq"] = to_string(route.pq);
  return out;
}

// Tunnels by what routes of the API call them by.
class Hops {
 public:
  explicit Hops(const std::vector<model::Tunnel>& tunnels) {
    for (std::size_t i = 0; i < tunnels.size(); ++i) {
      const model::Tunnel& t = tunnels[i];
      for (const auto& hop : {t.peer_interface4, t.peer_interface6}) {
        if (hop) theirs_.emplace(std::pair{t.vrf, *hop}, i);
      }
      for (const auto& hop : {t.interface4, t.interface6}) {
        if (hop) ours_.emplace(std::pair{t.vrf, *hop}, i);
      }
    }
  }
  [[nodiscard]] std::optional<std::size_t> peer_at(VrfId vrf, const IpAddress& address) const {
    return find(theirs_, vrf, address);
  }
  [[nodiscard]] std::optional<std::size_t> ours_at(VrfId vrf, const IpAddress& address) const {
    return find(ours_, vrf, address);
  }

 private:
  using Map = std::map<std::pair<VrfId, IpAddress>, std::size_t>;
  [[nodiscard]] static std::optional<std::size_t> find(const Map& map, VrfId vrf, const IpAddress& address) {
    const auto it = map.find({vrf, address});
    return it == map.end() ? std::nullopt : std::optional{it->second};
  }
  Map theirs_;
  Map ours_;
};

class Merger {
 public:
  Merger(const LoadedFile& file, const Objects& stored) : file_(file), stored_(stored), out_(*file.config) {}

  [[nodiscard]] std::expected<model::Config, std::vector<Fault>> run() {
    for (const auto& tunnel : stored_.tunnels.items()) add(*tunnel);
    const Hops hops{out_.tunnels};
    for (const auto& route : stored_.routes.items()) add(*route, hops);
    std::map<std::string_view, VrfId> names;
    for (const model::Tunnel& tunnel : out_.tunnels) names.emplace(tunnel.name, tunnel.vrf);
    for (const auto& rule : stored_.rules.items()) add(*rule, names);
    if (!faults_.empty()) return std::unexpected(std::move(faults_));
    return std::move(out_);
  }

 private:
  std::optional<VrfId> vrf(const ApiObject& object, std::string_view what) {
    const auto id = vrf_of(*file_.config, object.account);
    if (!id)
      faults_.push_back(
          {fmt::format("{} is of the account {}, and there is no [[vrf]] of that name", what, object.account),
           "bring the [[vrf]] back, or delete the account's objects first"});
    return id;
  }

  void add(const ApiTunnel& tunnel) {
    const auto id = vrf(tunnel, "tunnel " + tunnel.model.name);
    if (!id) return;
    const model::Gateway& gateway = file_.config->gateway;
    model::Tunnel& t = out_.tunnels.emplace_back(tunnel.model);
    t.vrf = *id;
    const auto& usual = t.peer ? (t.peer->is_v4() ? gateway.address4 : gateway.address6)
                               : (tunnel.endpoint.is_v4() ? gateway.address4 : gateway.address6);
    // A peer that calls in may call either of two addresses: then ours has to be said.
    const bool both = !t.peer && gateway.address4 && gateway.address6;
    if (usual != tunnel.endpoint || both) t.local = tunnel.endpoint;
  }

  void add(const ApiRoute& route, const Hops& hops) {
    const std::string what = fmt::format("route {} via {}", route.model.prefix.to_string(), route.nexthop->to_string());
    const auto id = vrf(route, what);
    if (!id) return;
    const auto at = hops.peer_at(*id, *route.nexthop);
    if (!at) {
      const auto ours = hops.ours_at(*id, *route.nexthop);
      faults_.push_back(
          {fmt::format("{} (id {}): nexthop = \"{}\": is no peer's interface address", what, route.id,
                       route.nexthop->to_string()),
           ours ? fmt::format("it is our own side of tunnel {}: the peer's is the other host of that pair",
                              out_.tunnels[*ours].name)
                : "it is the other host of a tunnel's interface_address; delete the route before its tunnel"});
      return;
    }
    model::Route& r = out_.routes.emplace_back(route.model);
    r.vrf = *id;
    r.tunnel = out_.tunnels[*at].name;
    out_.tunnels[*at].routes.push_back(r.prefix);
  }

  void add(const ApiRule& rule, const std::map<std::string_view, VrfId>& names) {
    const auto id = vrf(rule, "policy rule " + rule.model.name);
    if (!id) return;
    for (const auto& side : {rule.model.from_tunnel, rule.model.to_tunnel}) {
      if (!side || *side == model::kHostSide) continue;
      // A tunnel of another account is as unknown as one that is not there.
      const auto known = names.find(*side);
      if (known != names.end() && known->second == *id) continue;
      faults_.push_back({fmt::format("policy rule {}: there is no tunnel {}", rule.model.name, printable(*side, 64)),
                         "delete the rule before its tunnel"});
      return;
    }
    model::PolicyRule& r = out_.policy.emplace_back(rule.model);
    r.vrf = *id;
  }

  const LoadedFile& file_;
  const Objects& stored_;
  model::Config out_;
  std::vector<Fault> faults_;
};

}  // namespace

std::string account_id(std::string_view vrf_name) {
  return hash_id(fmt::format("qanat account\n{}", vrf_name));
}
std::string file_object_id(std::string_view vrf_name, std::string_view kind, std::string_view name) {
  return hash_id(fmt::format("qanat object\n{}\n{}\n{}", vrf_name, kind, name));
}

std::optional<VrfId> vrf_of(const model::Config& file, std::string_view account) {
  if (account == kDefaultVrf) return VrfId{};
  const auto it =
      std::find_if(file.vrfs.begin(), file.vrfs.end(), [&](const model::Vrf& v) { return v.name == account; });
  return it == file.vrfs.end() ? std::nullopt : std::optional{it->id};
}

json tunnel_document(const model::Tunnel& t, const IpAddress& endpoint) {
  json out{{"name", t.name}, {"cloudflare_endpoint", endpoint.to_string()}};
  if (t.peer) out["customer_endpoint"] = t.peer->to_string();
  if (t.interface4) out["interface_address"] = fmt::format("{}/{}", t.interface4->to_string(), t.interface4_length);
  if (t.interface6) out["interface_address6"] = fmt::format("{}/{}", t.interface6->to_string(), t.interface6_length);
  if (t.remote_id && t.remote_id->type == wire::IdType::ID_FQDN)
    out["custom_remote_identities"] = {{"fqdn_id", std::string{t.remote_id->data.begin(), t.remote_id->data.end()}}};
  return out;
}

json rule_document(const model::PolicyRule& rule) {
  json out{{"name", rule.name}, {"action", to_string(rule.action)}};
  const auto prefixes = [&](const char* name, const std::vector<Prefix>& list) {
    for (const Prefix& prefix : list) out[name].push_back(prefix.to_string());
  };
  prefixes("from", rule.from);
  prefixes("to", rule.to);
  if (rule.protocol) out["protocol"] = *rule.protocol;
  if (rule.from_ports) out["from_ports"] = ports_text(*rule.from_ports);
  if (rule.to_ports) out["to_ports"] = ports_text(*rule.to_ports);
  if (rule.icmp_type) out["icmp_type"] = *rule.icmp_type;
  if (rule.from_tunnel) out["from_tunnel"] = *rule.from_tunnel;
  if (rule.to_tunnel) out["to_tunnel"] = *rule.to_tunnel;
  return out;
}

Objects file_objects(const LoadedFile& file) {
  Objects out;
  const model::Config& config = *file.config;
  std::map<std::string_view, const model::Tunnel*> tunnels;
  for (const model::Tunnel& t : config.tunnels) {
    tunnels.emplace(t.name, &t);
    auto made = std::make_shared<ApiTunnel>(owned_by_file<ApiTunnel>(file, t.vrf, t.name));
    made->model = t;
    made->endpoint = endpoint_of(config.gateway, t);
    made->document = tunnel_document(t, made->endpoint).dump(-1, ' ', false, json::error_handler_t::replace);
    render(*made, file.name);
    out.tunnels.put(std::move(made));
  }
  for (const model::Route& r : config.routes) {
    const std::string name = fmt::format("{} via {}", r.prefix.to_string(), r.tunnel);
    auto made = std::make_shared<ApiRoute>(owned_by_file<ApiRoute>(file, r.vrf, name));
    made->model = r;
    if (const auto it = tunnels.find(r.tunnel); it != tunnels.end())
      made->nexthop =
          r.prefix.is_v4() || !it->second->peer_interface6 ? it->second->peer_interface4 : it->second->peer_interface6;
    made->document = document_of(r, made->nexthop).dump(-1, ' ', false, json::error_handler_t::replace);
    render(*made, file.name);
    out.routes.put(std::move(made));
  }
  for (const model::PolicyRule& rule : config.policy) {
    auto made = std::make_shared<ApiRule>(owned_by_file<ApiRule>(file, rule.vrf, rule.name));
    made->model = rule;
    made->document = rule_document(rule).dump(-1, ' ', false, json::error_handler_t::replace);
    render(*made, file.name);
    out.rules.put(std::move(made));
  }
  return out;
}

std::expected<model::Config, std::vector<Fault>> merged(const LoadedFile& file, const Objects& stored) {
  return Merger{file, stored}.run();
}

std::string to_stored(const ApiObject& object) {
  const json out{{"created", object.created.seconds},
                 {"modified", object.modified.seconds},
                 {"order", object.order},
                 {"document", json::parse(object.document, nullptr, false)}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string to_stored(const ApiTunnel& tunnel) {
  json out = json::parse(to_stored(static_cast<const ApiObject&>(tunnel)), nullptr, false);
  if (tunnel.psk_made) out["psk_made"] = tunnel.psk_made->seconds;
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<StoredObject> object_from_stored(std::string_view key, std::string_view text) {
  const auto wrong = [&] {
    return fail(ErrorKind::Malformed, std::string{key}, "the stored object is damaged: restore the store from a copy");
  };
  const std::size_t last = key.rfind('/');
  const std::size_t first = key.find('/');
  if (last == std::string_view::npos || last == first) return wrong();
  try {
    const json in = json::parse(text);
    StoredObject out;
    out.object.id = key.substr(last + 1);
    out.object.account = key.substr(first + 1, last - first - 1);
    out.object.created = {in.at("created").get<std::int64_t>()};
    out.object.modified = {in.at("modified").get<std::int64_t>()};
    out.object.order = in.at("order").get<std::uint64_t>();
    out.object.document = in.at("document").dump();
    if (in.contains("psk_made")) out.psk_made = WallTime{in.at("psk_made").get<std::int64_t>()};
    return out;
  } catch (const json::exception&) {
    return wrong();
  }
}

}  // namespace qanat::control
