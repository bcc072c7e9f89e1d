// /client/v4/accounts/{account}/magic/ipsec_tunnels: all verbs (wan.md 4.2, 4.3).
#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "base/text.hpp"
#include "control/object_api_impl.hpp"
#include "control/posture.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;
using Tunnel = ObjectSet<ApiTunnel>::Item;

constexpr std::size_t kGoodPsk = 20;  // octets; shorter ones fall to a dictionary
constexpr std::size_t kPskOctets = 32;

// The status of tunnels by their names.
class States {
 public:
  explicit States(const Snapshot* snapshot) {
    if (!snapshot) return;
    by_name_.reserve(snapshot->tunnels.size());
    for (const TunnelStatus& status : snapshot->tunnels) by_name_.emplace(status.name, &status);
  }
  [[nodiscard]] const TunnelStatus* of(const ApiTunnel& tunnel) const {
    const auto it = by_name_.find(tunnel.model.name);
    return it == by_name_.end() ? nullptr : it->second;
  }

 private:
  std::unordered_map<std::string_view, const TunnelStatus*> by_name_;
};

void add_text(std::string& out, const Call& call, const ApiTunnel& tunnel, const States& states) {
  out += call.target_object ? tunnel.text_target : tunnel.text_plain;
  add_tunnel_tail(out, states.of(tunnel));
}
std::string text_of(const Call& call, const ApiTunnel& tunnel) {
  std::string out;
  add_text(out, call, tunnel, States{call.situation.snapshot.get()});
  return out;
}
// Between `before` and `after`: one text, in which each octet is written once. There may be many tunnels.
std::string list_of(const Call& call, const std::vector<Tunnel>& tunnels, std::string_view before,
                    std::string_view after) {
  constexpr std::size_t kTail = 256;  // about what add_tunnel_tail() adds
  const States states{call.situation.snapshot.get()};
  std::size_t size = before.size() + after.size() + 2;
  for (const Tunnel& tunnel : tunnels) size += tunnel->text_target.size() + kTail;
  std::string out;
  out.reserve(size);
  out.append(before).append("[");
  for (const Tunnel& tunnel : tunnels) {
    if (out.back() != '[') out += ',';
    add_text(out, call, *tunnel, states);
  }
  return out.append("]").append(after);
}

Reply no_such_tunnel(const std::string& id) {
  return failure_reply(404, ApiCode::NotFound,
                       fmt::format("there is no IPsec tunnel {} in this account", printable(id, 64)));
}

ApiFault owned_by_file(const ApiTunnel& tunnel, const std::string& place, const std::string& pointer) {
  return {
      ApiCode::FileOwned,
      fmt::format("tunnel {} belongs to the configuration file: change it in {} and reload", tunnel.model.name, place),
      pointer};
}

// What was taken and does not do what the client may think.
void add_messages(Call& call, const ApiTunnel& tunnel, const json& document) {
  const auto say = [&](const std::string& what) {
    if (call.messages.size() < kMaxFaults) call.messages.push_back(tunnel.model.name + ": " + what);
  };
  if (document.contains("bgp")) say("bgp is stored and shown; no BGP session is made");
  if (document.contains("replay_protection") && document["replay_protection"] == true)
    say("replay_protection is stored and shown; packets are numbered for every peer, and replays to us are always "
        "refused");
  if (tunnel.model.health.enabled && tunnel.model.health.direction == model::ProbeDirection::Unidirectional)
    say("health_check.direction = \"unidirectional\" is not measured: liveness alone decides; \"bidirectional\" is");
  if (tunnel.psk_made && tunnel.psk->size() < kGoodPsk)
    say(
        fmt::format("the PSK has only {} octets and can be guessed from a recorded handshake; psk_generate makes a "
                    "good one",
                    tunnel.psk->size()));
  if (!tunnel.psk_made) say("there is no PSK yet: the tunnel comes up when one is set, or made by psk_generate");
}

std::string logged(const ApiTunnel& tunnel) {
  return without_secrets(tunnel.document);
}

void store_tunnel(Draft& draft, std::shared_ptr<ApiTunnel> tunnel, const Tunnel& before, const std::string& file_name) {
  render(*tunnel, file_name);
  draft.operations.push_back(store::Operation::put(store_key(ApiTunnel::kKind, *tunnel), to_stored(*tunnel)));
  if (!before || before->psk != tunnel->psk)
    draft.operations.push_back(store::Operation::put_secret(store_key("psk", *tunnel), tunnel->psk));
  draft.audit.push_back({before ? "update tunnel" : "create tunnel", tunnel->account, tunnel->id, tunnel->model.name,
                         before ? logged(*before) : "", logged(*tunnel)});
  if (before && before->psk != tunnel->psk)
    draft.audit.push_back({"change psk of tunnel", tunnel->account, tunnel->id, tunnel->model.name, "", ""});
  draft.objects.tunnels.put(std::move(tunnel));
}

}  // namespace

Reply ObjectApi::Impl::list_tunnels(const Call& call) const {
  std::vector<Tunnel> all;
  for (const auto* set : {&from_file.tunnels, &stored.tunnels}) {
    for (const Tunnel& tunnel : set->items()) {
      if (tunnel->account == call.account) all.push_back(tunnel);
    }
  }
  return success_reply(list_of(call, all, R"({"ipsec_tunnels":)", "}"));
}

Reply ObjectApi::Impl::get_tunnel(const Call& call, const std::string& id) const {
  const Tunnel tunnel = find_tunnel(call, id);
  return tunnel ? success_reply(R"({"ipsec_tunnel":)" + text_of(call, *tunnel) + "}") : no_such_tunnel(id);
}

// One tunnel, or as many as `ipsec_tunnels` has: all or none.
Reply ObjectApi::Impl::create_tunnels(Call& call) {
  ParsedBody body = parse_body(call.request.body);
  ApiFaults& faults = body.faults;
  const bool many = body.value.contains("ipsec_tunnels");
  std::vector<json> documents;
  if (many) {
    documents = elements_of(body.value, "ipsec_tunnels", faults);
  } else if (faults.empty()) {
    documents.push_back(std::move(body.value));
  }
  if (stored.tunnels.items().size() + documents.size() > kMaxApiTunnels)
    faults.push_back({ApiCode::TooLarge, fmt::format("at most {} tunnels can be made by the API", kMaxApiTunnels)});
  Draft draft{stored};
  std::vector<Tunnel> made;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const std::string pointer = many ? fmt::format("/ipsec_tunnels/{}", i) : "";
    store::Secret psk = take_psk(documents[i], pointer, faults);
    const json document = merged_document(json::object(), documents[i]);
    auto tunnel = std::make_shared<ApiTunnel>(
        read_tunnel(document, new_id(*call.situation.rng), {*file->config, call.account, pointer}, faults));
    tunnel->created = tunnel->modified = call.situation.now;
    tunnel->order = next_order++;
    const std::optional<WallTime> said = psk ? std::optional{call.situation.now} : std::nullopt;
    if (!psk) psk = std::make_shared<const SecretBytes>(SecretBytes::adopt(call.situation.rng->bytes(kPskOctets)));
    set_psk(*tunnel, std::move(psk), said);
    if (!faults.empty()) continue;
    add_messages(call, *tunnel, document);
    made.push_back(tunnel);
    store_tunnel(draft, std::move(tunnel), nullptr, file->name);
  }
  if (!faults.empty()) return failure_reply(status_of(faults), faults);
  if (auto refusal = commit(call, std::move(draft))) return *std::move(refusal);
  const std::string list = list_of(call, made, "", "");
  if (many) return success_reply(fmt::format(R"({{"ipsec_tunnels":{}}})", list), call.messages);
  // Flat for today's clients, and the array for yesterday's.
  std::string flat = text_of(call, *made[0]);
  flat.pop_back();
  return success_reply(fmt::format(R"({},"ipsec_tunnels":{}}})", flat, list), call.messages);
}

namespace {

// A changed tunnel of `before`; faults go to `faults`.
std::shared_ptr<ApiTunnel> changed(const Call& call, const ApiTunnel& before, json& change, const ReadContext& context,
                                   ApiFaults& faults) {
  store::Secret psk = take_psk(change, context.pointer, faults);
  const json document = merged_document(json::parse(before.document, nullptr, false), change);
  auto tunnel = std::make_shared<ApiTunnel>(read_tunnel(document, before.id, context, faults));
  tunnel->created = before.created;
  tunnel->order = before.order;
  tunnel->modified = call.situation.now;
  const bool new_key = psk != nullptr;
  set_psk(*tunnel, new_key ? std::move(psk) : before.psk,
          new_key ? std::optional{call.situation.now} : before.psk_made);
  return tunnel;
}

}  // namespace

Reply ObjectApi::Impl::update_tunnel(Call& call, const std::string& id) {
  const Tunnel before = find_tunnel(call, id);
  if (!before) return no_such_tunnel(id);
  if (before->line) return failure_reply(409, {owned_by_file(*before, file_place(*before), "")});
  ParsedBody body = parse_body(call.request.body);
  if (!body.faults.empty()) return failure_reply(400, body.faults);
  auto tunnel = changed(call, *before, body.value, {*file->config, call.account}, body.faults);
  if (!body.faults.empty()) return failure_reply(status_of(body.faults), body.faults);
  add_messages(call, *tunnel, json::parse(tunnel->document, nullptr, false));
  const Tunnel after = tunnel;
  Draft draft{stored};
  store_tunnel(draft, std::move(tunnel), before, file->name);
  if (auto refusal = commit(call, std::move(draft))) return *std::move(refusal);
  return success_reply(R"({"modified":true,"modified_ipsec_tunnel":)" + text_of(call, *after) + "}", call.messages);
}

Reply ObjectApi::Impl::update_tunnels(Call& call) {
  ParsedBody body = parse_body(call.request.body);
  ApiFaults& faults = body.faults;
  if (faults.empty() && !body.value.contains("ipsec_tunnels"))
    faults.push_back(
        {ApiCode::MissingField, "ipsec_tunnels is missing: an array of objects, each with its id", "/ipsec_tunnels"});
  if (!faults.empty()) return failure_reply(400, faults);
  std::vector<json> changes = elements_of(body.value, "ipsec_tunnels", faults);
  Draft draft{stored};
  std::vector<Tunnel> made;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const std::string pointer = fmt::format("/ipsec_tunnels/{}", i);
    const auto id = changes[i].find("id");
    if (id == changes[i].end() || !id->is_string()) {
      faults.push_back({ApiCode::MissingField, fmt::format("ipsec_tunnels[{}].id is missing", i), pointer + "/id"});
      continue;
    }
    const Tunnel before = find_tunnel(call, id->get_ref<const std::string&>());
    if (!before) {
      faults.push_back(
          {ApiCode::NotFound, fmt::format("there is no IPsec tunnel {} in this account", shown(*id)), pointer + "/id"});
      continue;
    }
    if (before->line) {
      faults.push_back(owned_by_file(*before, file_place(*before), pointer));
      continue;
    }
    if (draft.objects.tunnels.find(before->id) != before) {
      faults.push_back({ApiCode::Conflict, fmt::format("tunnel {} is listed twice", before->id), pointer + "/id"});
      continue;
    }
    auto tunnel = changed(call, *before, changes[i], {*file->config, call.account, pointer}, faults);
    if (!faults.empty()) continue;
    add_messages(call, *tunnel, json::parse(tunnel->document, nullptr, false));
    made.push_back(tunnel);
    store_tunnel(draft, std::move(tunnel), before, file->name);
  }
  if (faults.size() > kMaxFaults) faults.resize(kMaxFaults);
  if (!faults.empty()) return failure_reply(status_of(faults), faults);
  if (auto refusal = commit(call, std::move(draft))) return *std::move(refusal);
  return success_reply(list_of(call, made, R"({"modified":true,"modified_ipsec_tunnels":)", "}"), call.messages);
}

Reply ObjectApi::Impl::delete_tunnel(Call& call, const std::string& id) {
  const Tunnel tunnel = find_tunnel(call, id);
  if (!tunnel) return no_such_tunnel(id);
  if (tunnel->line) return failure_reply(409, {owned_by_file(*tunnel, file_place(*tunnel), "")});
  std::string routes;
  for (const auto& route : stored.routes.items()) {
    const auto& hop = route->nexthop;
    if (route->account != tunnel->account || !hop) continue;
    if (hop == tunnel->model.peer_interface4 || hop == tunnel->model.peer_interface6)
      routes += (routes.empty() ? "" : ", ") + route->model.prefix.to_string();
  }
  if (!routes.empty())
    return failure_reply(409, ApiCode::Conflict,
                         fmt::format("tunnel {} still has routes: {}: delete them first", tunnel->model.name,
                                     routes.size() > 200 ? routes.substr(0, 200) + "..." : routes));
  Draft draft{stored};
  draft.objects.tunnels.remove(id);
  draft.operations.push_back(store::Operation::erase(store_key(ApiTunnel::kKind, *tunnel)));
  draft.operations.push_back(store::Operation::erase(store_key("psk", *tunnel)));
  draft.audit.push_back({"delete tunnel", tunnel->account, tunnel->id, tunnel->model.name, logged(*tunnel), ""});
  const std::string text = text_of(call, *tunnel);
  if (auto refusal = commit(call, std::move(draft))) return *std::move(refusal);
  return success_reply(R"({"deleted":true,"deleted_ipsec_tunnel":)" + text + "}");
}

Reply ObjectApi::Impl::generate_psk(Call& call, const std::string& id) {
  const Tunnel before = find_tunnel(call, id);
  if (!before) return no_such_tunnel(id);
  if (before->line) return failure_reply(409, {owned_by_file(*before, file_place(*before), "")});
  if (!call.request.body.empty()) {
    ParsedBody body = parse_body(call.request.body);
    Fields{body.value, "", "", body.faults}.finish();
    if (!body.faults.empty()) return failure_reply(400, body.faults);
  }
  std::string key = model::generated_psk_text(call.situation.rng->bytes(kPskOctets));
  auto tunnel = std::make_shared<ApiTunnel>(*before);
  tunnel->modified = call.situation.now;
  set_psk(*tunnel, std::make_shared<const SecretBytes>(SecretBytes::adopt(to_bytes(key))), call.situation.now);
  Draft draft{stored};
  store_tunnel(draft, std::move(tunnel), before, file->name);
  if (auto refusal = commit(call, std::move(draft))) return *std::move(refusal);
  // `ipsec_id` is what Cloudflare's pages show, `ipsec_tunnel_id` what its clients read.
  Reply reply = success_reply(fmt::format(
      R"({{"ipsec_id":"{}","ipsec_tunnel_id":"{}","psk":"{}","psk_metadata":{{"last_generated_on":"{}"}}}})",
      before->id, before->id, key, date_text(call.situation.now)));
  wipe(key.data(), key.size());
  return reply;
}

}  // namespace qanat::control
