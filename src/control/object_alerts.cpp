// /client/v4/accounts/{account}/alerting/v3: policies, webhooks, what can be alerted of, history, silences. None of it
// is part of the configuration: AlertEngine reads it from the store.
#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/text.hpp"
#include "control/alert_objects.hpp"
#include "control/object_api_impl.hpp"
#include "control/posture.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;
using Path = std::span<const std::string>;

constexpr std::size_t kMaxSecret = 512;
constexpr std::size_t kHistoryPage = 25;
constexpr std::size_t kMaxHistoryPage = 1000;

std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

Reply store_failure(const Error& error) {
  return failure_reply(500, ApiCode::Store, fmt::format("{}: {}", error.where, error.detail));
}

Reply no_such(std::string_view what, const std::string& id) {
  return failure_reply(404, ApiCode::NotFound,
                       fmt::format("there is no {} {} in this account", what, printable(id, 64)));
}

Reply refused(const ApiFaults& faults) {
  return failure_reply(status_of(faults), faults);
}

// The objects of the call's account; their failure to be read is a reply.
using Listed = std::expected<std::vector<StoredAlert>, Reply>;
Listed listed(const Call& call, store::ObjectStore& store, std::string_view kind) {
  auto all = stored_alerts(store, kind, call.account);
  if (!all) return std::unexpected(store_failure(all.error()));
  return *std::move(all);
}
const StoredAlert* find_in(const std::vector<StoredAlert>& all, const std::string& id) {
  const auto it = std::find_if(all.begin(), all.end(), [&](const StoredAlert& one) { return one.id == id; });
  return it == all.end() ? nullptr : &*it;
}

json shown_policy(const StoredAlert& one) {
  json out = one.document;
  out["id"] = one.id;
  out["created"] = date_text(one.created);
  out["modified"] = date_text(one.modified);
  if (!out.contains("description")) out["description"] = "";
  if (!out.contains("filters")) out["filters"] = json::object();
  if (!out.contains("enabled")) out["enabled"] = true;
  return out;
}

json shown_webhook(const StoredAlert& one, store::ObjectStore& store) {
  json out = one.document;
  out["id"] = one.id;
  out["type"] = "generic";
  out["created_at"] = date_text(one.created);
  for (const char* what : {"success", "failure"}) {
    const auto entry = store.get(fmt::format("{}{}/{}", kWebhookResultPrefix, one.id, what));
    if (!entry || !*entry) continue;
    const json last = json::parse((*entry)->value, nullptr, false);
    if (last.is_object() && last.value("at", json{}).is_number_integer())
      out[std::string{"last_"} + what] = date_text(WallTime{last["at"].get<std::int64_t>()});
  }
  return out;
}

json shown_silence(const StoredAlert& one) {
  json out = one.document;
  out["id"] = one.id;
  out["created_at"] = date_text(one.created);
  out["updated_at"] = date_text(one.modified);
  return out;
}

// What a client sent over what is there: fields replace, null removes.
json over(json old, const json& change) {
  for (const auto& [name, value] : change.items()) {
    if (value.is_null()) {
      old.erase(name);
    } else {
      old[name] = value;
    }
  }
  for (const char* name : {"id", "created", "modified", "type", "created_at", "last_success", "last_failure"})
    old.erase(name);
  return old;
}

// Keeps no secret in the document. nullopt: none was sent; null: it is to be removed.
std::optional<store::Secret> take_secret(json& body, ApiFaults& faults) {
  const auto it = body.find("secret");
  if (it == body.end()) return std::nullopt;
  const json value = *it;
  body.erase(it);
  if (value.is_null()) return store::Secret{};
  const auto refuse = [&](std::string why) {
    faults.push_back({ApiCode::BadField, "secret " + std::move(why), "/secret"});
    return std::nullopt;
  };
  if (!value.is_string()) return refuse("must be text: it is sent as the header cf-webhook-auth");
  const auto& text = value.get_ref<const std::string&>();
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (text.empty() || text.size() > kMaxSecret || !plain)
    return refuse(
        fmt::format("must be 1 to {} printable ASCII characters without blanks: it is sent as the header "
                    "cf-webhook-auth; null removes it",
                    kMaxSecret));
  return std::make_shared<const SecretBytes>(SecretBytes::copy_of(to_bytes(text)));
}

Draft::Line audit_line(const char* what, const Call& call, const StoredAlert& one, const std::string& before,
                       const std::string& after) {
  return {what, call.account, one.id, one.document.value("name", one.id), before, after};
}

// ?page, ?per_page, ?since, ?before
struct HistoryWish {
  std::size_t page = 1;
  std::size_t per_page = kHistoryPage;
  std::optional<WallTime> since;
  std::optional<WallTime> before;
};
std::optional<HistoryWish> read_wish(const Call& call, ApiFaults& faults) {
  HistoryWish out;
  for (const auto& [name, value] : call.target.query) {
    const auto refuse = [&, &name = name, &value = value](std::string_view must) {
      faults.push_back({ApiCode::BadParameter, fmt::format("{} = '{}': must be {}", name, printable(value, 64), must)});
    };
    if (name == "page" || name == "per_page") {
      std::size_t number = 0;
      const auto [end, fault] = std::from_chars(value.data(), value.data() + value.size(), number);
      const std::size_t most = name == "page" ? kMaxAlertHistory : kMaxHistoryPage;
      if (fault != std::errc{} || end != value.data() + value.size() || number < 1 || number > most)
        refuse(fmt::format("a number from 1 to {}", most));
      (name == "page" ? out.page : out.per_page) = number;
    } else if (name == "since" || name == "before") {
      const auto time = parse_date_time(value);
      if (!time) refuse("a time like 2026-07-20T12:00:00Z");
      (name == "since" ? out.since : out.before) = time;
    }
  }
  return faults.empty() ? std::optional{out} : std::nullopt;
}

Reply available_alerts() {
  json out = json::object();
  for (const AlertKind& kind : alert_kinds()) {
    json filters = json::array();
    for (const std::string_view filter : kind.filters) filters.push_back({{"Key", filter}, {"Optional", true}});
    out[kind.ours ? "Qanat" : "Magic WAN"].push_back({{"type", kind.word},
                                                      {"display_name", kind.title},
                                                      {"description", kind.description},
                                                      {"filter_options", filters}});
  }
  return success_reply(text_of(out));
}

Reply eligible() {
  return success_reply(
      R"({"webhooks":[{"eligible":true,"ready":true,"type":"webhooks"}],"email":[{"eligible":false,"ready":false,"type":"email"}],"pagerduty":[{"eligible":false,"ready":false,"type":"pagerduty"}]})");
}

}  // namespace

Reply ObjectApi::Impl::alerting(Call& call, Path rest) {
  const std::string& what = rest[1];
  if (what == "policies") return alert_policies(call, rest.subspan(2));
  if (what == "silences") return alert_silences(call, rest.subspan(2));
  if (what == "available_alerts") return available_alerts();
  if (what == "history") return alert_history(call);
  return rest[2] == "webhooks" ? alert_webhooks(call, rest.subspan(3)) : eligible();
}

Reply ObjectApi::Impl::alert_policies(Call& call, Path rest) {
  const std::string& method = call.request.method;
  auto all = listed(call, store, kPolicyKind);
  if (!all) return std::move(all.error());
  if (rest.size() > 1) return failure_reply(404, ApiCode::NoRoute, "there is no such path below a policy");
  if (rest.empty() && method == "GET") {
    json out = json::array();
    for (const StoredAlert& one : *all) out.push_back(shown_policy(one));
    return success_reply(text_of(out));
  }
  if (rest.empty() && method != "POST") return method_not_allowed(call, "GET, POST");
  const StoredAlert* before = rest.empty() ? nullptr : find_in(*all, rest[0]);
  if (!rest.empty() && before == nullptr) return no_such("policy", rest[0]);
  if (before != nullptr && method == "GET") return success_reply(text_of(shown_policy(*before)));
  if (before != nullptr && method == "DELETE") {
    std::vector<store::Operation> operations = {
        store::Operation::erase(alert_key(kPolicyKind, call.account, before->id))};
    auto silences = listed(call, store, kSilenceKind);
    if (!silences) return std::move(silences.error());
    for (const StoredAlert& one : *silences) {
      if (one.document.value("policy_id", "") == before->id)
        operations.push_back(store::Operation::erase(alert_key(kSilenceKind, call.account, one.id)));
    }
    if (!call.validate_only) {
      if (auto refusal = write(call, std::move(operations),
                               {audit_line("delete alert policy", call, *before, text_of(before->document), "")}))
        return *std::move(refusal);
    }
    return success_reply(fmt::format(R"({{"id":"{}"}})", before->id));
  }
  if (before != nullptr && method != "PUT") return method_not_allowed(call, "GET, PUT, DELETE");
  ParsedBody body = parse_body(call.request.body);
  ApiFaults& faults = body.faults;
  if (!faults.empty()) return refused(faults);
  StoredAlert made{before != nullptr ? before->id : new_id(*call.situation.rng), call.account,
                   over(before != nullptr ? before->document : json::object(), body.value),
                   before != nullptr ? before->created : call.situation.now, call.situation.now};
  const AlertPolicy policy = read_alert_policy(made.document, faults);
  auto webhooks = listed(call, store, kWebhookKind);
  if (!webhooks) return std::move(webhooks.error());
  for (const std::string& id : policy.webhooks) {
    if (find_in(*webhooks, id) == nullptr)
      faults.push_back({ApiCode::BadField,
                        fmt::format("mechanisms.webhooks: there is no webhook {} in this account", printable(id, 64)),
                        "/mechanisms/webhooks"});
  }
  if (before == nullptr && all->size() >= kMaxAlertObjects)
    faults.push_back({ApiCode::TooLarge, fmt::format("an account can have at most {} policies", kMaxAlertObjects)});
  if (faults.size() > kMaxFaults) faults.resize(kMaxFaults);
  if (!faults.empty()) return refused(faults);
  if (!call.validate_only) {
    if (auto refusal =
            write(call, {store::Operation::put(alert_key(kPolicyKind, call.account, made.id), to_stored(made))},
                  {audit_line(before != nullptr ? "update alert policy" : "create alert policy", call, made,
                              before != nullptr ? text_of(before->document) : "", text_of(made.document))}))
      return *std::move(refusal);
  }
  return success_reply(fmt::format(R"({{"id":"{}"}})", made.id));
}

Reply ObjectApi::Impl::alert_webhooks(Call& call, Path rest) {
  const std::string& method = call.request.method;
  auto all = listed(call, store, kWebhookKind);
  if (!all) return std::move(all.error());
  if (rest.size() > 1) return failure_reply(404, ApiCode::NoRoute, "there is no such path below a webhook");
  if (rest.empty() && method == "GET") {
    json out = json::array();
    for (const StoredAlert& one : *all) out.push_back(shown_webhook(one, store));
    return success_reply(text_of(out));
  }
  if (rest.empty() && method != "POST") return method_not_allowed(call, "GET, POST");
  const StoredAlert* before = rest.empty() ? nullptr : find_in(*all, rest[0]);
  if (!rest.empty() && before == nullptr) return no_such("webhook", rest[0]);
  if (before != nullptr && method == "GET") return success_reply(text_of(shown_webhook(*before, store)));
  if (before != nullptr && method == "DELETE") return delete_webhook(call, before->id, text_of(before->document));
  if (before != nullptr && method != "PUT") return method_not_allowed(call, "GET, PUT, DELETE");
  const model::Gateway& gateway = file->config->gateway;
  ParsedBody body = parse_body(call.request.body);
  ApiFaults& faults = body.faults;
  if (!faults.empty()) return refused(faults);
  const auto secret = take_secret(body.value, faults);
  StoredAlert made{before != nullptr ? before->id : new_id(*call.situation.rng), call.account,
                   over(before != nullptr ? before->document : json::object(), body.value),
                   before != nullptr ? before->created : call.situation.now, call.situation.now};
  read_webhook(made.document, gateway.webhook_allow, faults);
  if (before == nullptr && all->size() >= kMaxAlertObjects)
    faults.push_back({ApiCode::TooLarge, fmt::format("an account can have at most {} webhooks", kMaxAlertObjects)});
  if (!faults.empty()) return refused(faults);
  if (!gateway.webhooks)
    return failure_reply(
        409, ApiCode::NotOffered,
        fmt::format("webhooks are off, and the gateway connects to nobody: write webhooks = true below "
                    "[gateway] in {} and restart qanatd",
                    file->name));
  const std::string secret_key = alert_key(kWebhookSecretKind, call.account, made.id);
  store::Secret kept = secret.value_or(nullptr);
  if (!secret && before != nullptr) {
    const auto entry = store.get(secret_key);
    if (!entry) return store_failure(entry.error());
    if (*entry) kept = (*entry)->secret;
  }
  if (!call.validate_only && !call.situation.tested) {
    test = WebhookTest{made.document.value("url", ""), kept, made.document.value("name", "")};
    return failure_reply(503, ApiCode::Store, "the webhook is being tested");  // nobody sees it: object_api.hpp
  }
  if (call.validate_only) return success_reply(fmt::format(R"({{"id":"{}"}})", made.id));
  if (!call.situation.tested->answered)
    return failure_reply(400, {{ApiCode::BadField,
                                fmt::format("url = {}: the test message was not accepted, and nothing was changed: {}",
                                            shown(made.document["url"]), call.situation.tested->detail),
                                "/url"}});
  std::vector<store::Operation> operations = {
      store::Operation::put(alert_key(kWebhookKind, call.account, made.id), to_stored(made))};
  if (secret)
    operations.push_back(kept ? store::Operation::put_secret(secret_key, kept) : store::Operation::erase(secret_key));
  if (auto refusal = write(call, std::move(operations),
                           {audit_line(before != nullptr ? "update webhook" : "create webhook", call, made,
                                       before != nullptr ? text_of(before->document) : "", text_of(made.document))}))
    return *std::move(refusal);
  return success_reply(fmt::format(R"({{"id":"{}"}})", made.id));
}

Reply ObjectApi::Impl::delete_webhook(Call& call, const std::string& id, const std::string& document) {
  auto policies = listed(call, store, kPolicyKind);
  if (!policies) return std::move(policies.error());
  for (const StoredAlert& one : *policies) {
    ApiFaults unused;
    const AlertPolicy policy = read_alert_policy(one.document, unused);
    if (std::find(policy.webhooks.begin(), policy.webhooks.end(), id) != policy.webhooks.end())
      return failure_reply(409, ApiCode::Conflict,
                           fmt::format("webhook {} is used by the policy {} ({}): change or delete that first", id,
                                       shown(one.document.value("name", json{})), one.id));
  }
  if (!call.validate_only) {
    std::vector<store::Operation> operations = {
        store::Operation::erase(alert_key(kWebhookKind, call.account, id)),
        store::Operation::erase(alert_key(kWebhookSecretKind, call.account, id)),
        store::Operation::erase(fmt::format("{}{}/success", kWebhookResultPrefix, id)),
        store::Operation::erase(fmt::format("{}{}/failure", kWebhookResultPrefix, id))};
    const std::string name = json::parse(document, nullptr, false).value("name", id);
    if (auto refusal = write(call, std::move(operations), {{"delete webhook", call.account, id, name, document, ""}}))
      return *std::move(refusal);
  }
  return success_reply(fmt::format(R"({{"id":"{}"}})", id));
}

// The bodies of POST and PUT are arrays.
Reply ObjectApi::Impl::alert_silences(Call& call, Path rest) {
  const std::string& method = call.request.method;
  auto all = listed(call, store, kSilenceKind);
  if (!all) return std::move(all.error());
  const auto list_of = [](const std::vector<StoredAlert>& silences) {
    json out = json::array();
    for (const StoredAlert& one : silences) out.push_back(shown_silence(one));
    return success_reply(text_of(out));
  };
  if (rest.size() > 1) return failure_reply(404, ApiCode::NoRoute, "there is no such path below a silence");
  if (!rest.empty()) {
    const StoredAlert* one = find_in(*all, rest[0]);
    if (one == nullptr) return no_such("silence", rest[0]);
    if (method == "GET") return success_reply(text_of(shown_silence(*one)));
    if (method != "DELETE") return method_not_allowed(call, "GET, DELETE");
    if (!call.validate_only) {
      if (auto refusal = write(call, {store::Operation::erase(alert_key(kSilenceKind, call.account, one->id))},
                               {audit_line("delete silence", call, *one, text_of(one->document), "")}))
        return *std::move(refusal);
    }
    return success_reply(fmt::format(R"({{"id":"{}"}})", one->id));
  }
  if (method == "GET") return list_of(*all);
  const bool changes = method == "PUT";
  if (!changes && method != "POST") return method_not_allowed(call, "GET, POST, PUT");
  if (call.request.body.find_first_not_of(" \t\r\n") != std::string::npos &&
      call.request.body[call.request.body.find_first_not_of(" \t\r\n")] != '[')
    return failure_reply(400, ApiCode::BadField, "the body must be an array of silences");
  ParsedBody body = parse_body(call.request.body.empty() ? "" : "{\"silences\":" + call.request.body + "}");
  ApiFaults& faults = body.faults;
  if (!faults.empty()) return refused(faults);
  const std::vector<json> elements = elements_of(body.value, "silences", faults);
  auto policies = listed(call, store, kPolicyKind);
  if (!policies) return std::move(policies.error());
  std::vector<StoredAlert> made;
  std::vector<store::Operation> operations;
  std::vector<Draft::Line> lines;
  for (std::size_t i = 0; i < elements.size() && faults.size() < kMaxFaults; ++i) {
    const std::string id = elements[i].value("id", json{}).is_string() ? elements[i]["id"].get<std::string>() : "";
    const StoredAlert* before = changes ? find_in(*all, id) : nullptr;
    const bool twice = find_in(made, id) != nullptr;
    if ((changes && before == nullptr) || twice) {
      faults.push_back({twice ? ApiCode::Conflict : ApiCode::NotFound,
                        twice ? fmt::format("silence {} is listed twice", id)
                              : fmt::format("there is no silence {} in this account", printable(id, 64)),
                        fmt::format("/{}/id", i)});
      continue;
    }
    json document = over(before != nullptr ? before->document : json::object(), elements[i]);
    document.erase("updated_at");
    Fields fields{document, fmt::format("[{}].", i), fmt::format("/{}", i), faults};
    if (!fields.has("policy_id")) fields.missing("policy_id", "the id of the policy that shall be silent");
    if (const auto policy = fields.text("policy_id", 64, "the id of a policy");
        policy && find_in(*policies, *policy) == nullptr)
      fields.refuse("policy_id", "there is no such policy in this account");
    std::optional<WallTime> times[2];
    constexpr const char* kNames[] = {"start_time", "end_time"};
    for (std::size_t t = 0; t < 2; ++t) {
      constexpr std::string_view kMust = "a time like \"2026-07-20T12:00:00Z\"";
      if (!fields.has(kNames[t])) fields.missing(kNames[t], kMust);
      const auto text = fields.text(kNames[t], 64, kMust);
      if (text) times[t] = parse_date_time(*text);
      if (text && !times[t]) fields.refuse(kNames[t], "must be " + std::string{kMust});
    }
    if (times[0] && times[1] && *times[1] <= *times[0]) fields.refuse("end_time", "must be after start_time");
    fields.finish();
    if (!faults.empty()) continue;
    StoredAlert one{before != nullptr ? before->id : new_id(*call.situation.rng), call.account, std::move(document),
                    before != nullptr ? before->created : call.situation.now, call.situation.now};
    operations.push_back(store::Operation::put(alert_key(kSilenceKind, call.account, one.id), to_stored(one)));
    lines.push_back(audit_line(changes ? "update silence" : "create silence", call, one,
                               before != nullptr ? text_of(before->document) : "", text_of(one.document)));
    made.push_back(std::move(one));
  }
  if (!changes && all->size() + made.size() > kMaxAlertObjects)
    faults.push_back({ApiCode::TooLarge, fmt::format("an account can have at most {} silences", kMaxAlertObjects)});
  if (!faults.empty()) return refused(faults);
  if (!call.validate_only) {
    if (auto refusal = write(call, std::move(operations), std::move(lines))) return *std::move(refusal);
  }
  return list_of(made);
}

// The last first.
Reply ObjectApi::Impl::alert_history(const Call& call) {
  ApiFaults faults;
  const auto wish = read_wish(call, faults);
  if (!wish) return refused(faults);
  const auto entries = store.list(kAlertHistoryPrefix);
  if (!entries) return store_failure(entries.error());
  json out = json::array();
  std::size_t total = 0;
  for (auto it = entries->entries.rbegin(); it != entries->entries.rend(); ++it) {
    json one = json::parse(it->value, nullptr, false);
    if (!one.is_object() || one.value("account", "") != call.account) continue;
    const WallTime sent{one.value("sent", std::int64_t{0})};
    if ((wish->since && sent < *wish->since) || (wish->before && sent >= *wish->before)) continue;
    ++total;
    if (total <= (wish->page - 1) * wish->per_page || out.size() == wish->per_page) continue;
    one.erase("account");
    one["sent"] = date_text(sent);
    out.push_back(std::move(one));
  }
  Reply reply = success_reply(text_of(out));
  reply.body.pop_back();
  reply.body += fmt::format(R"(,"result_info":{{"page":{},"per_page":{},"count":{},"total_count":{}}}}})", wish->page,
                            wish->per_page, out.size(), total);
  return reply;
}

std::optional<WebhookTest> ObjectApi::poll_test() {
  return std::exchange(impl_->test, std::nullopt);
}

std::vector<TunnelPlace> ObjectApi::tunnel_places() const {
  std::vector<TunnelPlace> out;
  for (const auto* set : {&impl_->from_file.tunnels, &impl_->stored.tunnels}) {
    for (const auto& one : set->items()) out.push_back({one->model.name, one->id, one->account});
  }
  return out;
}

bool is_alerting_target(std::string_view target) {
  return target.find("/alerting/") != std::string_view::npos;
}

Reply webhook_refusal(std::string why) {
  return failure_reply(503, ApiCode::Store, "the webhook was not tested, and nothing was changed: " + std::move(why));
}

std::string webhook_test_body(const std::string& name, WallTime now) {
  return text_of({{"name", name},
                  {"text", "Hello. This is the test message of a Qanat gateway: the webhook is configured properly."},
                  {"data", json::object()},
                  {"ts", now.seconds}});
}

}  // namespace qanat::control
