// /v1/export and /v1/import: everything as a configuration file, and back.
//
//   GET  /v1/export   the file's text, with psk_file references and no secret
//   POST /v1/export   {"key":"qpsk1-..."}: the same with all secrets, as an encrypted bundle; Unix socket only
//   POST /v1/import   control/transfer.hpp: its tunnels, routes and rules become objects of the API, and a bundle's
//                     notification policies, webhooks and silences; Unix socket only
//
// An import is one change: it adds, and replaces what the API has made under the same name; it takes nothing away. What
// the file of this gateway says in the same words is passed over.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.hpp"
#include "control/object_api_impl.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;

std::string_view vrf_name(const model::Config& config, VrfId id) {
  const auto it = std::find_if(config.vrfs.begin(), config.vrfs.end(), [&](const model::Vrf& v) { return v.id == id; });
  return it == config.vrfs.end() ? "default" : std::string_view{it->name};
}

// The fields of the API that say what a tunnel of a file says.
json document_of(const model::Tunnel& t, const IpAddress& endpoint) {
  json out = tunnel_document(t, endpoint);
  out["health_check"] = {{"enabled", t.health.enabled},
                         {"type", to_string(t.health.type)},
                         {"direction", to_string(t.health.direction)},
                         {"rate", to_string(t.health.rate)}};
  if (t.health.target) out["health_check"]["target"] = t.health.target->to_string();
  out["pq"] = {{"policy", to_string(t.pq)},
               {"downgrade_protection", t.downgrade == model::DowngradePolicy::Off    ? "off"
                                        : t.downgrade == model::DowngradePolicy::Auto ? "auto"
                                                                                      : "require"}};
  return out;
}

template <typename T>
std::shared_ptr<const T> same_name(const ObjectSet<T>& set, std::string_view account, std::string_view name) {
  for (const auto& item : set.items()) {
    if (item->account == account && item->model.name == name) return item;
  }
  return nullptr;
}

}  // namespace

Reply ObjectApi::Impl::export_text() {
  const auto config = merged(*file, stored);
  if (!config) return error_reply(409, "conflict", config.error().front().message);
  const auto alerts = exported_alerts(store);
  if (!alerts) return error_reply(500, "store", alerts.error().detail);
  std::string text = rooms.write(*config).config;
  if (!alerts->empty())
    text += fmt::format(
        "\n# {} more are in this gateway's store: notification policies, webhooks, silences. A file cannot say them; a "
        "bundle does: qanat export --with-secrets.\n",
        alerts->size());
  return {200, {{"Content-Type", "text/plain; charset=utf-8"}, {"Cache-Control", "no-store"}}, std::move(text)};
}

Reply ObjectApi::Impl::export_secrets(Call& call) {
  if (!call.request.principal.local || !call.request.principal.root)
    return error_reply(403, "forbidden",
                       "secrets leave by the Unix socket only, for root: qanat export --with-secrets");
  ParsedBody body = parse_body(call.request.body);
  Fields fields{body.value, "", "", body.faults};
  if (!body.faults.empty()) return error_reply(400, "bad_request", body.faults.front().message);
  const json* key = fields.find("key");
  fields.finish();
  if (!body.faults.empty()) return error_reply(400, "bad_request", body.faults.front().message);
  if (!key || !key->is_string())
    return error_reply(400, "bad_request", "key is missing: a key of qanat genpsk, which opens the bundle again");
  const auto config = merged(*file, stored);
  if (!config) return error_reply(409, "conflict", config.error().front().message);
  auto alerts = exported_alerts(store);
  if (!alerts) return error_reply(500, "store", alerts.error().detail);
  Transfer whole = rooms.write(*config);
  whole.alerts = *std::move(alerts);
  const auto bundle =
      seal_bundle(whole, to_bytes(key->get_ref<const std::string&>()), *call.situation.rng);
  if (!bundle) return error_reply(400, "bad_request", "key " + bundle.error().detail);
  if (const auto refusal = write(call, {}, {{"export with secrets", "", "", "", "", ""}})) return own_refusal(*refusal);
  return {200,
          {{"Content-Type", "application/octet-stream"}, {"Cache-Control", "no-store"}},
          std::string{bundle->begin(), bundle->end()}};
}

namespace {

// The objects of an import, made one by one into a draft.
class Importer {
 public:
  Importer(const Call& call, const Rooms& rooms, const LoadedFile& file, const Objects& from_file,
           const Objects& stored, std::uint64_t& next_order)
      : call_(call), rooms_(rooms), file_(file), from_file_(from_file), draft_{stored}, next_order_(next_order) {}

  void add(const model::Config& from) {
    for (const model::Tunnel& tunnel : from.tunnels) add(from, tunnel);
    for (const model::Route& route : from.routes) add(from, route);
    for (const model::PolicyRule& rule : from.policy) add(from, rule);
    if (!from.nat.empty()) report("[[nat]] has no counterpart in the API: keep it in the file");
  }
  [[nodiscard]] Status add(store::ObjectStore& store, const std::vector<TransferAlert>& alerts) {
    return import_alerts(call_, store, *file_.config, alerts, draft_, faults_);
  }
  [[nodiscard]] const ApiFaults& faults() const { return faults_; }
  [[nodiscard]] std::size_t count() const { return draft_.audit.size(); }
  [[nodiscard]] Draft take() && { return std::move(draft_); }

 private:
  void report(std::string message) {
    if (faults_.size() < kMaxFaults) faults_.push_back({ApiCode::BadField, std::move(message)});
  }
  template <typename T>
  void date(T& made, const std::shared_ptr<const T>& before) {
    made.created = before ? before->created : call_.situation.now;
    made.modified = call_.situation.now;
    made.order = before ? before->order : next_order_++;
    render(made, file_.name);
  }
  template <typename T>
  void put(std::shared_ptr<T> made, const std::shared_ptr<const T>& before, const std::string& name,
           ObjectSet<T>& into) {
    draft_.operations.push_back(store::Operation::put(store_key(T::kKind, *made), to_stored(*made)));
    draft_.audit.push_back({fmt::format("import {}", T::kKind), made->account, made->id, name,
                            before ? without_secrets(before->document) : "", without_secrets(made->document)});
    into.put(std::move(made));
  }

  void add(const model::Config& from, const model::Tunnel& t) {
    const std::string account{vrf_name(from, t.vrf)};
    if (const auto owned = same_name(from_file_.tunnels, account, t.name)) {
      if (!differences(owned->model, t).empty())
        report(fmt::format("tunnel {} belongs to the configuration file of this gateway, and differs in {}", t.name,
                           fmt::join(differences(owned->model, t), ", ")));
      return;
    }
    const model::Gateway& gateway = file_.config->gateway;
    const bool v6 = t.peer ? t.peer->is_v6() : !gateway.address4;
    const IpAddress endpoint = t.local.value_or((v6 ? gateway.address6 : gateway.address4).value_or(IpAddress{}));
    const auto before = same_name(draft_.objects.tunnels, account, t.name);
    ApiFaults faults;
    auto made = std::make_shared<ApiTunnel>(read_tunnel(document_of(t, endpoint),
                                                        before ? before->id : new_id(*call_.situation.rng),
                                                        {*file_.config, account}, faults));
    for (const ApiFault& fault : faults) report(fmt::format("tunnel {}: {}", t.name, fault.message));
    if (!faults.empty()) return;
    set_psk(*made, std::make_shared<const SecretBytes>(SecretBytes::copy_of(t.psk.expose())), call_.situation.now);
    if (const auto lost = differences(made->model, t); !lost.empty())
      return report(fmt::format("tunnel {}: {} cannot be said by the API: keep the tunnel in the file", t.name,
                                fmt::join(lost, ", ")));
    date(*made, before);
    draft_.operations.push_back(store::Operation::put_secret(store_key("psk", *made), made->psk));
    put(std::move(made), before, t.name, draft_.objects.tunnels);
  }

  // What the file's keys say of two tunnels, without what follows from elsewhere.
  [[nodiscard]] std::vector<std::string> differences(model::Tunnel one, const model::Tunnel& other) const {
    one.vrf = other.vrf;
    one.local = other.local;
    one.routes = other.routes;
    return rooms_.differences(one, other);
  }

  void add(const model::Config& from, const model::Route& r) {
    const std::string name = fmt::format("{} via {}", r.prefix.to_string(), r.tunnel);
    const std::string account{vrf_name(from, r.vrf)};
    if (from_file_.routes.find(file_object_id(account, ApiRoute::kKind, name))) return;
    const auto tunnel = std::find_if(from.tunnels.begin(), from.tunnels.end(),
                                     [&](const model::Tunnel& t) { return t.name == r.tunnel; });
    const bool v4 = tunnel != from.tunnels.end() && (r.prefix.is_v4() || !tunnel->peer_interface6);
    const auto hop = tunnel == from.tunnels.end() ? std::nullopt
                     : v4                         ? tunnel->peer_interface4
                                                  : tunnel->peer_interface6;
    if (!hop)
      return report(
          fmt::format("route {}: tunnel {} has no interface, and the API names tunnels by the peer's "
                      "interface address",
                      name, r.tunnel));
    json document{{"prefix", r.prefix.to_string()},
                  {"nexthop", hop->to_string()},
                  {"priority", r.priority},
                  {"weight", r.weight}};
    if (!r.description.empty()) document["description"] = r.description;
    if (r.pq == model::RoutePq::Require) document["pq"] = "require";
    std::shared_ptr<const ApiRoute> before;
    for (const auto& item : draft_.objects.routes.items()) {
      if (item->account == account && item->model.prefix == r.prefix && item->nexthop == hop) before = item;
    }
    ApiFaults faults;
    auto made = std::make_shared<ApiRoute>(
        read_route(document, before ? before->id : new_id(*call_.situation.rng), {*file_.config, account}, faults));
    for (const ApiFault& fault : faults) report(fmt::format("route {}: {}", name, fault.message));
    if (!faults.empty()) return;
    date(*made, before);
    put(std::move(made), before, name, draft_.objects.routes);
  }

  void add(const model::Config& from, const model::PolicyRule& rule) {
    const std::string account{vrf_name(from, rule.vrf)};
    if (same_name(from_file_.rules, account, rule.name)) return;
    const auto before = same_name(draft_.objects.rules, account, rule.name);
    ApiFaults faults;
    auto made = std::make_shared<ApiRule>(read_rule(
        rule_document(rule), before ? before->id : new_id(*call_.situation.rng), {*file_.config, account}, faults));
    for (const ApiFault& fault : faults) report(fmt::format("rule {}: {}", rule.name, fault.message));
    if (!faults.empty()) return;
    date(*made, before);
    put(std::move(made), before, rule.name, draft_.objects.rules);
  }

  const Call& call_;
  const Rooms& rooms_;
  const LoadedFile& file_;
  const Objects& from_file_;
  Draft draft_;
  std::uint64_t& next_order_;
  ApiFaults faults_;
};

std::string all_of(const ApiFaults& faults) {
  std::string out;
  for (const ApiFault& fault : faults) out += (out.empty() ? "" : "; ") + fault.message;
  return out;
}

}  // namespace

Reply ObjectApi::Impl::import_all(Call& call) {
  if (!call.request.principal.local)
    return error_reply(403, "forbidden", "an import has secrets: it comes by the Unix socket only, qanat import");
  const auto transfer = transfer_from_json(call.request.body);
  if (!transfer) return error_reply(400, "bad_request", transfer.error().detail);
  const auto config = rooms.read(*transfer);
  if (!config) {
    std::string message;
    for (const Fault& fault : config.error()) message += (message.empty() ? "" : "; ") + fault.message;
    return error_reply(400, "bad_request", std::move(message));
  }
  Importer importer{call, rooms, *file, from_file, stored, next_order};
  importer.add(*config);
  if (const Status read = importer.add(store, transfer->alerts); !read)
    return error_reply(500, "store", read.error().detail);
  if (!importer.faults().empty()) return error_reply(409, "conflict", all_of(importer.faults()));
  const std::size_t count = importer.count();
  if (const auto refusal = commit(call, std::move(importer).take())) return own_refusal(*refusal);
  return {200, {{"Content-Type", "application/json"}}, fmt::format(R"({{"imported":{}}})", count)};
}

}  // namespace qanat::control
