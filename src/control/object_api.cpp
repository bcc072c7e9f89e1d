#include "control/object_api.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "control/endpoints.hpp"
#include "control/object_api_impl.hpp"
#include "control/posture.hpp"
#include "store/bulk.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;

constexpr std::string_view kPskPrefix = "psk/";
constexpr std::string_view kAuditPrefix = "audit/";
constexpr std::size_t kIdDigits = 32;

bool is_id(std::string_view text) {
  return text.size() == kIdDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
         });
}

const std::string* header(const Request& request, std::string_view name) {
  const auto it =
      std::find_if(request.headers.begin(), request.headers.end(), [&](const auto& h) { return h.first == name; });
  return it == request.headers.end() ? nullptr : &it->second;
}

// The VRF that an account of a path means. Without [[vrf]] there is one account, and every id means it.
std::optional<std::string> account_of(const model::Config& file, std::string_view text) {
  if (text == "default" || text == account_id("default")) return "default";
  for (const model::Vrf& vrf : file.vrfs) {
    if (text == vrf.name || text == account_id(vrf.name)) return vrf.name;
  }
  if (file.vrfs.empty() && is_id(text)) return "default";
  return std::nullopt;
}

// What Cloudflare has and we do not, by what follows the account in the path.
struct Absent {
  std::string_view path;
  std::string_view what;
};
constexpr auto kAbsent = std::to_array<Absent>({
    {"magic/gre_tunnels", "GRE tunnels: nothing leaves unencrypted; make an IPsec tunnel"},
    {"magic/cf_interconnects", "network interconnects"},
    {"magic/sites", "sites of connector appliances"},
    {"magic/connectors", "connector appliances"},
    {"magic/apps", "application steering"},
    {"magic/cloud", "cloud on-ramps"},
    {"magic/bgp", "BGP: routes are made under magic/routes"},
    {"pcaps/ownership",
     "there is no bucket here whose owner could be asked; packets are downloaded with GET /pcaps/{id}/download"},
    {"alerting/v3/destinations/pagerduty", "give PagerDuty's own URL for webhooks to a webhook destination"},
    {"zerotrust", "Zero Trust settings"},
    {"rulesets", "rulesets: packet rules are made under /v1/policy, or as [[policy]] in the configuration file"},
    {"rules", "lists of rulesets"},
});

std::string joined(std::span<const std::string> path) {
  std::string out;
  for (const std::string& part : path) out += (out.empty() ? "" : "/") + part;
  return out;
}

Reply no_route(const Call& call) {
  return failure_reply(404, ApiCode::NoRoute,
                       fmt::format("there is no path {}; docs/api.md lists them", printable(call.request.target, 128)));
}

std::optional<Reply> check_rights(const Call& call) {
  const Principal& who = call.request.principal;
  // By the decoded path, whatever was made of the target before.
  if (const auto& path = call.target.path; path.size() > 4 && path[0] == "client" && path[4] == "pcaps") {
    if (who.capture) return std::nullopt;
    return failure_reply(
        403, ApiCode::Forbidden,
        fmt::format("{} may not capture: it takes a token with the scope capture", printable(who.name, 64)));
  }
  const bool reads = call.request.method == "GET" || call.request.method == "HEAD";
  if (reads ? who.read : who.write) return std::nullopt;
  return failure_reply(403, ApiCode::Forbidden,
                       fmt::format("{} may not {}: it takes a token with the scope {}", printable(who.name, 64),
                                   reads ? "read" : "change anything", reads ? "read" : "write"));
}

}  // namespace

std::string store_key(std::string_view kind, const ApiObject& object) {
  return fmt::format("{}/{}/{}", kind, object.account, object.id);
}

std::string new_id(Rng& rng) {
  return to_hex(rng.bytes(kIdDigits / 2));
}

int status_of(const ApiFaults& faults) {
  const auto all = [&](auto is) { return std::all_of(faults.begin(), faults.end(), is); };
  if (all([](const ApiFault& f) { return f.code == ApiCode::NotFound; })) return 404;
  return all([](const ApiFault& f) { return f.code == ApiCode::Conflict || f.code == ApiCode::FileOwned; }) ? 409 : 400;
}

Reply method_not_allowed(const Call& call, std::string_view allowed) {
  Reply reply =
      failure_reply(405, ApiCode::Method,
                    fmt::format("{} is not allowed on this path; use {}", printable(call.request.method, 16), allowed));
  reply.headers.emplace_back("Allow", allowed);
  return reply;
}

std::optional<Reply> check_query(const Call& call, const Endpoint& endpoint) {
  const auto known = split(endpoint.parameters, ' ');
  for (const auto& [name, value] : call.target.query) {
    if (!name.empty() && std::find(known.begin(), known.end(), name) != known.end()) continue;
    std::string list{endpoint.parameters};
    for (std::size_t at = 0; (at = list.find(' ', at)) != std::string::npos; at += 2) list.replace(at, 1, ", ");
    return failure_reply(400, ApiCode::BadParameter,
                         fmt::format("unknown parameter '{}'; {}", printable(name, 64),
                                     list.empty() ? "this path takes none" : "known is " + list));
  }
  return std::nullopt;
}

std::string without_secrets(std::string_view document) {
  json out = json::parse(document, nullptr, false);
  if (out.is_object() && out.contains("bgp") && out["bgp"].is_object() && out["bgp"].contains("md5_key"))
    out["bgp"]["md5_key"] = "(not shown)";
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::vector<json> elements_of(const json& body, const std::string& name, ApiFaults& faults) {
  const json& list = body.at(name);
  const auto refuse = [&](std::string must) {
    faults.push_back({ApiCode::BadField, fmt::format("{} {}", name, must), "/" + name});
    return std::vector<json>{};
  };
  if (!list.is_array() || !std::all_of(list.begin(), list.end(), [](const json& one) { return one.is_object(); }))
    return refuse("must be an array of objects");
  if (list.empty() || list.size() > kMaxBulk)
    return refuse(fmt::format("has {} objects, and 1 to {} are allowed in one request", list.size(), kMaxBulk));
  for (const auto& [field, value] : body.items()) {
    if (field != name)
      faults.push_back(
          {ApiCode::UnknownField, fmt::format("{}: cannot stand beside {}", printable(field, 64), name), "/" + field});
  }
  return list.get<std::vector<json>>();
}

ObjectApi::ObjectApi(store::ObjectStore& store, Rooms rooms)
    : impl_(std::make_unique<Impl>(Impl{store, std::move(rooms)})) {}
ObjectApi::~ObjectApi() = default;

Status ObjectApi::load() {
  return impl_->load();
}

Status ObjectApi::Impl::load() {
  loaded = false;
  QANAT_TRY(store::recover(store));
  QANAT_ASSIGN(generation, store::generation(store));
  QANAT_ASSIGN(const store::Listing log, store.list(kAuditPrefix));
  if (!log.entries.empty())
    next_audit = std::strtoull(log.entries.back().key.c_str() + kAuditPrefix.size(), nullptr, 10) + 1;
  file = nullptr;  // read again beside the file: fit()
  loaded = true;
  return {};
}

namespace {

// The objects of one kind, in the order in which they were made.
Result<std::vector<StoredObject>> read_kind(store::ObjectStore& store, std::string_view kind) {
  QANAT_ASSIGN(const store::Listing listing, store.list(std::string{kind} + "/"));
  std::vector<StoredObject> out;
  for (const store::Entry& entry : listing.entries) {
    QANAT_ASSIGN(StoredObject object, object_from_stored(entry.key, entry.value));
    out.push_back(std::move(object));
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const StoredObject& a, const StoredObject& b) { return a.object.order < b.object.order; });
  return out;
}

}  // namespace

std::optional<Reply> ObjectApi::handle(const Request& request, const Situation& situation) {
  if (!is_object_target(request.target)) return std::nullopt;
  if (request.body.size() > kMaxObjectBody)
    return failure_reply(
        413, ApiCode::TooLarge,
        fmt::format("the body has {} octets, and at most {} are allowed", request.body.size(), kMaxObjectBody));
  auto target = request.target.size() <= kMaxTarget ? parse_target(request.target) : std::nullopt;
  if (!target) return failure_reply(400, ApiCode::NoRoute, "the path is too long, or has a '%' without two digits");
  Call call{request, situation, *std::move(target)};
  if (auto refusal = check_rights(call)) return refusal;
  if (!impl_->loaded) {
    if (const Status again = impl_->load(); !again)
      return failure_reply(503, ApiCode::Store, fmt::format("{}: {}", again.error().where, again.error().detail));
  }
  if (situation.file != impl_->file) {
    if (const auto faults = impl_->fit(situation.file); !faults.empty())
      return failure_reply(503, ApiCode::Store, faults.front().message);
  }
  return call.target.path[0] == "client" ? impl_->cloudflare(call) : impl_->own(call);
}

Reply ObjectApi::Impl::cloudflare(Call& call) {
  const std::vector<std::string>& path = call.target.path;
  if (path.size() > 2 && path[2] == "graphql")
    return failure_reply(404, ApiCode::NotOffered,
                         "GraphQL is not offered: /v1/status and /v1/metrics have the figures");
  if (path.size() < 3 || path[2] != "accounts") return no_route(call);
  const FoundEndpoint found = find_endpoint(call.request.method, path);
  if (path.size() == 3) {
    if (!found.endpoint) return method_not_allowed(call, found.allowed);
    std::string list;
    const auto add = [&](const std::string& name) {
      if (call.request.principal.account && *call.request.principal.account != name) return;
      list += fmt::format(R"({}{{"id":"{}","name":{}}})", list.empty() ? "" : ",", account_id(name), json_text(name));
    };
    add("default");
    for (const model::Vrf& vrf : file->config->vrfs) add(vrf.name);
    return success_reply("[" + list + "]");
  }
  const auto account = account_of(*file->config, path[3]);
  if (call.request.principal.account && account != call.request.principal.account)
    return failure_reply(403, ApiCode::Forbidden, "this token is of another account");
  if (!account)
    return failure_reply(404, ApiCode::NoRoute,
                         fmt::format("there is no account {}: an account is a [[vrf]], by its name or its id (GET "
                                     "/client/v4/accounts)",
                                     printable(path[3], 64)));
  call.account = *account;
  const std::string* new_target = header(call.request, "x-magic-new-hc-target");
  call.target_object = new_target && *new_target == "true";
  for (const auto& [name, value] : call.target.query) {
    if (name != "validate_only") continue;
    if (value != "true" && value != "false")
      return failure_reply(400, ApiCode::BadParameter,
                           fmt::format("validate_only = '{}': must be true or false", printable(value, 64)));
    call.validate_only = value == "true";
  }
  std::span<const std::string> rest = std::span{path}.subspan(4);
  if (rest.empty()) {
    if (!found.endpoint) return method_not_allowed(call, found.allowed);
    return success_reply(fmt::format(R"({{"id":"{}","name":{}}})", account_id(call.account), json_text(call.account)));
  }
  const std::string below = joined(rest);
  for (const Absent& absent : kAbsent) {
    if (below == absent.path || below.starts_with(std::string{absent.path} + "/"))
      return failure_reply(404, ApiCode::NotOffered, fmt::format("{}: not offered: {}", absent.path, absent.what));
  }
  if (found.allowed.empty()) return no_route(call);
  if (!found.endpoint) return method_not_allowed(call, found.allowed);
  if (auto refusal = check_query(call, *found.endpoint)) return *std::move(refusal);
  if (found.endpoint->action == Action::Alerting) return alerting(call, rest.subspan(1));
  if (rest[0] == "magic") rest = rest.subspan(1);
  return act(call, found.endpoint->action, rest.size() > 1 ? rest[1] : std::string{});
}

Reply ObjectApi::Impl::act(Call& call, Action action, const std::string& id) {
  switch (action) {
    case Action::ListTunnels:
      return list_tunnels(call);
    case Action::CreateTunnels:
      return create_tunnels(call);
    case Action::UpdateTunnels:
      return update_tunnels(call);
    case Action::GetTunnel:
      return get_tunnel(call, id);
    case Action::UpdateTunnel:
      return update_tunnel(call, id);
    case Action::DeleteTunnel:
      return delete_tunnel(call, id);
    case Action::GeneratePsk:
      return generate_psk(call, id);
    case Action::ListRoutes:
      return list_routes(call);
    case Action::CreateRoutes:
      return create_routes(call);
    case Action::UpdateRoutes:
      return update_routes(call);
    case Action::DeleteRoutes:
      return delete_routes(call);
    case Action::GetRoute:
      return get_route(call, id);
    case Action::UpdateRoute:
      return update_route(call, id);
    case Action::DeleteRoute:
      return delete_route(call, id);
    case Action::ListCaptures:
    case Action::StartCapture:
    case Action::GetCapture:
    case Action::DeleteCapture:
    case Action::DownloadCapture:
    case Action::StopCapture:
      return pcaps(call, action, id);
    case Action::WhoAmI:
      return whoami(call);
    case Action::ListTokens:
      return list_tokens();
    case Action::CreateToken:
      return create_token(call);
    case Action::DeleteToken:
      return delete_token(call);
    case Action::ShowAudit:
      return audit_log(call);
    case Action::Export:
      return export_text();
    case Action::ExportSecrets:
      return export_secrets(call);
    case Action::Import:
      return import_all(call);
    case Action::ListPolicy:
    case Action::CreatePolicy:
    case Action::GetPolicy:
    case Action::UpdatePolicy:
    case Action::DeletePolicy:
      return rules(call, action);
    default:
      return no_route(call);
  }
}

std::vector<Fault> ObjectApi::Impl::fit(std::shared_ptr<const LoadedFile> now) {
  const auto fault = [](const Error& error) {
    return std::vector<Fault>{{fmt::format("{}: {}", error.where, error.detail), ""}};
  };
  Objects fresh;
  ApiFaults faults;
  const auto document_of = [](const StoredObject& one) { return json::parse(one.object.document, nullptr, false); };
  const auto dated = [this](ApiObject& out, const StoredObject& one) {
    out.order = one.object.order;
    next_order = std::max(next_order, out.order + 1);
    out.created = one.object.created;
    out.modified = one.object.modified;
  };
  const auto secrets = store.list(kPskPrefix);
  if (!secrets) return fault(secrets.error());
  std::unordered_map<std::string_view, const store::Entry*> psk_of;
  for (const store::Entry& entry : secrets->entries)
    psk_of[std::string_view{entry.key}.substr(kPskPrefix.size())] = &entry;
  const auto wrong = [&](const ApiObject& object) {
    return std::vector<Fault>{{fmt::format("{} {}: {}", object.account, object.id, faults.front().message),
                               "the stored object does not fit the configuration file any more"}};
  };
  const auto stored_tunnels = read_kind(store, ApiTunnel::kKind);
  if (!stored_tunnels) return fault(stored_tunnels.error());
  for (const StoredObject& one : *stored_tunnels) {
    auto made = std::make_shared<ApiTunnel>(
        read_tunnel(document_of(one), one.object.id, {*now->config, one.object.account}, faults));
    if (!faults.empty()) return wrong(*made);
    dated(*made, one);
    const auto psk = psk_of.find(fmt::format("{}/{}", one.object.account, one.object.id));
    if (psk == psk_of.end() || !psk->second->secret)
      return {{"tunnel " + made->model.name + ": its key is missing in the store", ""}};
    set_psk(*made, psk->second->secret, one.psk_made);
    render(*made, now->name);
    fresh.tunnels.put(std::move(made));
  }
  const auto stored_routes = read_kind(store, ApiRoute::kKind);
  if (!stored_routes) return fault(stored_routes.error());
  for (const StoredObject& one : *stored_routes) {
    auto made = std::make_shared<ApiRoute>(
        read_route(document_of(one), one.object.id, {*now->config, one.object.account}, faults));
    if (!faults.empty()) return wrong(*made);
    dated(*made, one);
    render(*made, now->name);
    fresh.routes.put(std::move(made));
  }
  const auto stored_rules = read_kind(store, ApiRule::kKind);
  if (!stored_rules) return fault(stored_rules.error());
  for (const StoredObject& one : *stored_rules) {
    auto made = std::make_shared<ApiRule>(
        read_rule(document_of(one), one.object.id, {*now->config, one.object.account}, faults));
    if (!faults.empty()) return wrong(*made);
    dated(*made, one);
    render(*made, now->name);
    fresh.rules.put(std::move(made));
  }
  stored = std::move(fresh);
  from_file = file_objects(*now);
  file = std::move(now);
  return {};
}

std::expected<model::Config, std::vector<Fault>> ObjectApi::wanted_with(const LoadedFile& file) {
  if (!impl_->loaded) {
    if (const Status again = impl_->load(); !again)
      return std::unexpected(
          std::vector<Fault>{{fmt::format("{}: {}", again.error().where, again.error().detail), ""}});
  }
  // With what is stored read beside this file, which may not be the one that is in force.
  const auto before = impl_->file;
  const auto asked = std::make_shared<const LoadedFile>(file);
  std::vector<Fault> faults = impl_->fit(asked);
  std::expected<model::Config, std::vector<Fault>> out = std::unexpected(faults);
  if (faults.empty()) out = merged(file, impl_->stored);
  if (out) {
    faults = impl_->rooms.judge(*out, file);
    if (!faults.empty()) out = std::unexpected(std::move(faults));
  }
  if (before) (void)impl_->fit(before);
  return out;
}

std::optional<model::Config> ObjectApi::poll_wanted() {
  return std::exchange(impl_->wanted, std::nullopt);
}

void ObjectApi::Impl::add_audit(const Call& call, const std::vector<Draft::Line>& lines,
                                std::vector<store::Operation>& operations) {
  const auto key_of = [](std::uint64_t number) { return fmt::format("{}{:020}", kAuditPrefix, number); };
  std::uint64_t number = next_audit;
  for (const Draft::Line& line : lines) {
    json entry{{"number", number},
               {"time", date_text(call.situation.now)},
               {"who", call.request.principal.name},
               {"what", line.what},
               {"account", line.account},
               {"id", line.id},
               {"name", line.name},
               {"old", line.before.empty() ? json{} : json::parse(line.before, nullptr, false)},
               {"new", line.after.empty() ? json{} : json::parse(line.after, nullptr, false)}};
    operations.push_back(
        store::Operation::put(key_of(number), entry.dump(-1, ' ', false, json::error_handler_t::replace)));
    if (number > kMaxAudit) operations.push_back(store::Operation::erase(key_of(number - kMaxAudit)));
    ++number;
  }
}

std::optional<Reply> ObjectApi::Impl::write(const Call& call, std::vector<store::Operation> operations,
                                            std::vector<Draft::Line> lines) {
  add_audit(call, lines, operations);
  const auto done = store::commit(store, generation, operations);
  if (done && *done) {
    generation = **done;
    next_audit += lines.size();
    return std::nullopt;
  }
  // Whatever has happened: what is stored is the truth, and is read again before the next request.
  loaded = false;
  if (!done) return failure_reply(500, ApiCode::Store, fmt::format("{}: {}", done.error().where, done.error().detail));
  return failure_reply(409, ApiCode::Changed,
                       "somebody else wrote at the same time, and nothing was changed: try again");
}

std::optional<Reply> ObjectApi::Impl::commit(const Call& call, Draft draft) {
  auto config = merged(*file, draft.objects);
  std::vector<Fault> faults = config ? rooms.judge(*config, *file) : std::move(config.error());
  if (!faults.empty()) {
    ApiFaults out;
    for (std::size_t i = 0; i < faults.size() && i < kMaxFaults; ++i)
      out.push_back({ApiCode::Conflict, faults[i].message + (faults[i].hint.empty() ? "" : ": " + faults[i].hint)});
    return failure_reply(409, out);
  }
  if (call.validate_only) return std::nullopt;
  if (auto refusal = write(call, std::move(draft.operations), std::move(draft.audit))) return refusal;
  stored = std::move(draft.objects);
  wanted = *std::move(config);
  return std::nullopt;
}

std::string ObjectApi::Impl::file_place(const ApiObject& object) const {
  return *object.line == 0 ? file->name : fmt::format("{} line {}", file->name, *object.line);
}

ObjectSet<ApiTunnel>::Item ObjectApi::Impl::find_tunnel(const Call& call, std::string_view id) const {
  auto found = stored.tunnels.find(id);
  if (!found) found = from_file.tunnels.find(id);
  return found && found->account == call.account ? found : nullptr;
}
ObjectSet<ApiRoute>::Item ObjectApi::Impl::find_route(const Call& call, std::string_view id) const {
  auto found = stored.routes.find(id);
  if (!found) found = from_file.routes.find(id);
  return found && found->account == call.account ? found : nullptr;
}

bool is_object_target(std::string_view target) {
  target = target.substr(0, target.find('?'));
  const auto below = [&](std::string_view path) {
    return target == path || (target.starts_with(path) && target[path.size()] == '/');
  };
  if (below("/client/v4")) return true;
  for (const Endpoint& endpoint : endpoints()) {
    if (endpoint.is_object() && below(endpoint.path.substr(0, endpoint.path.find("/{")))) return true;
  }
  return false;
}

}  // namespace qanat::control
