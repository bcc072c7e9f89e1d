// /client/v4/accounts/{account}/magic/routes: all verbs (wan.md 4.2, 4.3).
#include <fmt/format.h>

#include "base/text.hpp"
#include "control/object_api_impl.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;
using Route = ObjectSet<ApiRoute>::Item;

std::string list_of(const std::vector<Route>& routes) {
  std::string out = "[";
  for (const Route& route : routes) {
    if (out.size() > 1) out += ',';
    out += route->text;
  }
  return out + "]";
}

std::string title(const ApiRoute& route) {
  return fmt::format("{} via {}", route.model.prefix.to_string(),
                     route.nexthop ? route.nexthop->to_string() : route.model.tunnel);
}

Reply no_such_route(const std::string& id) {
  return failure_reply(404, ApiCode::NotFound, fmt::format("there is no route {} in this account", printable(id, 64)));
}

ApiFault owned_by_file(const ApiRoute& route, const std::string& place, const std::string& pointer) {
  return {ApiCode::FileOwned,
          fmt::format("route {} belongs to the configuration file: change it in {} and reload", title(route), place),
          pointer};
}

void store_route(Draft& draft, std::shared_ptr<ApiRoute> route, const Route& before, const std::string& file_name) {
  render(*route, file_name);
  draft.operations.push_back(store::Operation::put(store_key(ApiRoute::kKind, *route), to_stored(*route)));
  draft.audit.push_back({before ? "update route" : "create route", route->account, route->id, title(*route),
                         before ? before->document : "", route->document});
  draft.objects.routes.put(std::move(route));
}

void erase_route(Draft& draft, const ApiRoute& route) {
  draft.operations.push_back(store::Operation::erase(store_key(ApiRoute::kKind, route)));
  draft.audit.push_back({"delete route", route.account, route.id, title(route), route.document, ""});
}

std::shared_ptr<ApiRoute> changed(const Call& call, const ApiRoute& before, const json& change,
                                  const ReadContext& context, ApiFaults& faults) {
  const json document = merged_document(json::parse(before.document, nullptr, false), change);
  auto route = std::make_shared<ApiRoute>(read_route(document, before.id, context, faults));
  route->created = before.created;
  route->order = before.order;
  route->modified = call.situation.now;
  return route;
}

}  // namespace

Reply ObjectApi::Impl::list_routes(const Call& call) const {
  std::vector<Route> all;
  for (const auto* set : {&from_file.routes, &stored.routes}) {
    for (const Route& route : set->items()) {
      if (route->account == call.account) all.push_back(route);
    }
  }
  return success_reply(R"({"routes":)" + list_of(all) + "}");
}

Reply ObjectApi::Impl::get_route(const Call& call, const std::string& id) const {
  const Route route = find_route(call, id);
  return route ? success_reply(R"({"route":)" + route->text + "}") : no_such_route(id);
}

Reply ObjectApi::Impl::create_routes(Call& call) {
  ParsedBody body = parse_body(call.request.body);
  ApiFaults& faults = body.faults;
  const bool many = body.value.contains("routes");
  std::vector<json> documents;
  if (many) {
    documents = elements_of(body.value, "routes", faults);
  } else if (faults.empty()) {
    documents.push_back(std::move(body.value));
  }
  if (stored.routes.items().size() + documents.size() > kMaxApiRoutes)
    faults.push_back({ApiCode::TooLarge, fmt::format("at most {} routes can be made by the API", kMaxApiRoutes)});
  Draft draft{stored};
  std::vector<Route> made;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const std::string pointer = many ? fmt::format("/routes/{}", i) : "";
    auto route = std::make_shared<ApiRoute>(read_route(merged_document(json::object(), documents[i]),
                                                       new_id(*call.situation.rng),
                                                       {*file->config, call.account, pointer}, faults));
    route->created = route->modified = call.situation.now;
    route->order = next_order++;
    if (!faults.empty()) continue;
    made.push_back(route);
    store_route(draft, std::move(route), nullptr, file->name);
  }
  if (!faults.empty()) return failure_reply(status_of(faults), faults);
  if (auto refusal = commit(call, std::move(draft))) return *std::move(refusal);
  const std::string list = list_of(made);
  if (many) return success_reply(fmt::format(R"({{"routes":{}}})", list));
  std::string flat = made[0]->text;
  flat.pop_back();
  return success_reply(fmt::format(R"({},"routes":{}}})", flat, list));
}

Reply ObjectApi::Impl::update_route(Call& call, const std::string& id) {
  const Route before = find_route(call, id);
  if (!before) return no_such_route(id);
  if (before->line) return failure_reply(409, {owned_by_file(*before, file_place(*before), "")});
  ParsedBody body = parse_body(call.request.body);
  if (!body.faults.empty()) return failure_reply(400, body.faults);
  auto route = changed(call, *before, body.value, {*file->config, call.account}, body.faults);
  if (!body.faults.empty()) return failure_reply(status_of(body.faults), body.faults);
  const Route after = route;
  Draft draft{stored};
  store_route(draft, std::move(route), before, file->name);
  if (auto refusal = commit(call, std::move(draft))) return *std::move(refusal);
  return success_reply(R"({"modified":true,"modified_route":)" + after->text + "}");
}

Reply ObjectApi::Impl::update_routes(Call& call) {
  ParsedBody body = parse_body(call.request.body);
  ApiFaults& faults = body.faults;
  if (faults.empty() && !body.value.contains("routes"))
    faults.push_back({ApiCode::MissingField, "routes is missing: an array of objects, each with its id", "/routes"});
  if (!faults.empty()) return failure_reply(400, faults);
  const std::vector<json> changes = elements_of(body.value, "routes", faults);
  Draft draft{stored};
  std::vector<Route> made;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const std::string pointer = fmt::format("/routes/{}", i);
    const auto id = changes[i].find("id");
    if (id == changes[i].end() || !id->is_string()) {
      faults.push_back({ApiCode::MissingField, fmt::format("routes[{}].id is missing", i), pointer + "/id"});
      continue;
    }
    const Route before = find_route(call, id->get_ref<const std::string&>());
    if (!before) {
      faults.push_back(
          {ApiCode::NotFound, fmt::format("there is no route {} in this account", shown(*id)), pointer + "/id"});
      continue;
    }
    if (before->line) {
      faults.push_back(owned_by_file(*before, file_place(*before), pointer));
      continue;
    }
    if (draft.objects.routes.find(before->id) != before) {
      faults.push_back({ApiCode::Conflict, fmt::format("route {} is listed twice", before->id), pointer + "/id"});
      continue;
    }
    auto route = changed(call, *before, changes[i], {*file->config, call.account, pointer}, faults);
    if (!faults.empty()) continue;
    made.push_back(route);
    store_route(draft, std::move(route), before, file->name);
  }
  if (faults.size() > kMaxFaults) faults.resize(kMaxFaults);
  if (!faults.empty()) return failure_reply(status_of(faults), faults);
  if (auto refusal = commit(call, std::move(draft))) return *std::move(refusal);
  return success_reply(R"({"modified":true,"modified_routes":)" + list_of(made) + "}");
}

Reply ObjectApi::Impl::delete_route(Call& call, const std::string& id) {
  const Route route = find_route(call, id);
  if (!route) return no_such_route(id);
  if (route->line) return failure_reply(409, {owned_by_file(*route, file_place(*route), "")});
  Draft draft{stored};
  draft.objects.routes.remove(id);
  erase_route(draft, *route);
  if (auto refusal = commit(call, std::move(draft))) return *std::move(refusal);
  return success_reply(R"({"deleted":true,"deleted_route":)" + route->text + "}");
}

// All of the account, or those that the body lists: {"routes":[{"id":...}]}. What the file owns stays.
Reply ObjectApi::Impl::delete_routes(Call& call) {
  ApiFaults faults;
  std::vector<Route> gone;
  json body = json::object();
  if (!call.request.body.empty()) {
    ParsedBody parsed = parse_body(call.request.body);
    faults = std::move(parsed.faults);
    body = std::move(parsed.value);
  }
  if (body.contains("routes")) {
    for (const json& one : elements_of(body, "routes", faults)) {
      const std::string id = one.contains("id") && one["id"].is_string() ? one["id"].get<std::string>() : "";
      const Route route = find_route(call, id);
      if (!route) {
        faults.push_back(
            {ApiCode::NotFound, fmt::format("there is no route {} in this account", printable(id, 64)), "/routes"});
      } else if (route->line) {
        faults.push_back(owned_by_file(*route, file_place(*route), "/routes"));
      } else {
        gone.push_back(route);
      }
    }
  } else {
    Fields{body, "", "", faults}.finish();
    for (const Route& route : stored.routes.items()) {
      if (route->account == call.account) gone.push_back(route);
    }
    for (const Route& route : from_file.routes.items()) {
      if (route->account != call.account) continue;
      call.messages.push_back("routes of the configuration file stay: remove them in " + file->name + " and reload");
      break;
    }
  }
  if (faults.size() > kMaxFaults) faults.resize(kMaxFaults);
  if (!faults.empty()) return failure_reply(status_of(faults), faults);
  Draft draft{stored};
  ObjectSet<ApiRoute> left;
  for (const Route& route : gone) {
    if (left.find(route->id)) continue;  // listed twice
    left.put(route);
    erase_route(draft, *route);
  }
  ObjectSet<ApiRoute> kept;
  for (const Route& route : stored.routes.items()) {
    if (!left.find(route->id)) kept.put(route);
  }
  draft.objects.routes = std::move(kept);
  const std::string list = list_of(left.items());
  if (auto refusal = commit(call, std::move(draft))) return *std::move(refusal);
  return success_reply(R"({"deleted":true,"deleted_routes":)" + list + "}", call.messages);
}

}  // namespace qanat::control
