// /v1/tokens, /v1/audit, /v1/policy, /v1/whoami: in our own shapes.
#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/text.hpp"
#include "control/object_api_impl.hpp"
#include "control/posture.hpp"
#include "control/tokens.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxTokens = 10'000;
constexpr std::size_t kMaxTokenName = 64;
constexpr std::int64_t kMaxTokenDays = 3650;
constexpr std::int64_t kDay = 86'400;
constexpr std::size_t kAuditPage = 1000;

Reply json_reply(int status, const json& body) {
  return {status,
          {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}},
          body.dump(-1, ' ', false, json::error_handler_t::replace)};
}

Reply refusal_of(const ApiFaults& faults) {
  std::string message;
  for (const ApiFault& fault : faults) message += (message.empty() ? "" : "; ") + fault.message;
  const int status = status_of(faults);
  return error_reply(status,
                     status == 409   ? "conflict"
                     : status == 404 ? "not_found"
                                     : "bad_request",
                     std::move(message));
}

json shown_token(const Token& token) {
  json scopes = json::array();
  if (token.read) scopes.push_back("read");
  if (token.write) scopes.push_back("write");
  if (token.capture) scopes.push_back("capture");
  json out{{"id", token.id}, {"name", token.name}, {"scopes", scopes}, {"created_on", date_text(token.created)}};
  out["account"] = token.account ? json(*token.account) : json();
  out["expires_on"] = token.expires ? json(date_text(*token.expires)) : json();
  return out;
}

struct Scopes {
  bool read = false;
  bool write = false;
  bool capture = false;
};
std::optional<Scopes> read_scopes(Fields& fields) {
  if (!fields.has("scopes")) fields.missing("scopes", "an array of read, write and capture");
  const auto words = fields.texts("scopes", 3, "read, write and capture");
  if (!words) return std::nullopt;
  Scopes out;
  for (const std::string& word : *words) {
    bool* scope = word == "read"      ? &out.read
                  : word == "write"   ? &out.write
                  : word == "capture" ? &out.capture
                                      : nullptr;
    if (!scope) {
      fields.refuse("scopes", shown(word) + " is none of read, write, capture");
      return std::nullopt;
    }
    *scope = true;
  }
  if (words->empty()) fields.refuse("scopes", "must name at least one of read, write, capture");
  return out;
}

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t out = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), out);
  return fault == std::errc{} && end == text.data() + text.size() ? std::optional{out} : std::nullopt;
}

Token read_new_token(const Call& call, const json& body, const model::Config& config, ApiFaults& faults) {
  Token out;
  Fields fields{body, "", "", faults};
  if (!fields.has("name")) fields.missing("name", "who will use it, like \"terraform\"");
  if (const auto name = fields.text("name", kMaxTokenName, "text")) {
    out.name = *name;
    if (name->empty()) fields.refuse("name", "must not be empty: the audit log names it");
  }
  if (const auto account = fields.text("account", 64, "an account's name")) {
    out.account = *account;
    if (!vrf_of(config, *account)) fields.refuse("account", "there is no such account: an account is a [[vrf]]");
  }
  const Principal& who = call.request.principal;
  if (const auto scopes = read_scopes(fields)) {
    out.read = scopes->read;
    out.write = scopes->write;
    out.capture = scopes->capture;
    if ((out.read && !who.read) || (out.write && !who.write) || (out.capture && !who.capture))
      fields.refuse("scopes", "nobody can give more than they have");
  }
  if (const auto days = fields.integer("days", 1, kMaxTokenDays))
    out.expires = WallTime{call.situation.now.seconds + *days * kDay};
  fields.finish();
  return out;
}

}  // namespace

Reply own_refusal(const Reply& reply) {
  const json body = json::parse(reply.body, nullptr, false);
  std::string message;
  for (const json& one : body["errors"]) message += (message.empty() ? "" : "; ") + one["message"].get<std::string>();
  return error_reply(reply.status, reply.status == 409 ? "conflict" : "failed", std::move(message));
}

Reply ObjectApi::Impl::own(Call& call) {
  const FoundEndpoint found = find_endpoint(call.request.method, call.target.path);
  if (found.allowed.empty())
    return error_reply(404, "not_found", fmt::format("there is no path '{}'", printable(call.request.target, 128)));
  if (!found.endpoint) {
    Reply reply = error_reply(
        405, "method_not_allowed",
        fmt::format("{} is not allowed on this path; use {}", printable(call.request.method, 16), found.allowed));
    reply.headers.emplace_back("Allow", found.allowed);
    return reply;
  }
  // Whoever may make tokens, read what others did or take everything out is of no single account.
  if (call.request.principal.account && found.endpoint->view == View::Refused)
    return error_reply(403, "forbidden", "this token is of one account; it takes one of all accounts");
  // A token that only reads must not learn whose tokens there are to steal.
  if (found.endpoint->scope == Scope::Write && !call.request.principal.write)
    return error_reply(403, "forbidden", "it takes a token with the scope write");
  return act(call, found.endpoint->action, "");
}

Reply ObjectApi::Impl::whoami(const Call& call) const {
  const Principal& who = call.request.principal;
  return json_reply(200, {{"name", who.name},
                          {"account", who.account ? json(*who.account) : json()},
                          {"read", who.read},
                          {"write", who.write},
                          {"capture", who.capture},
                          {"local", who.local}});
}

Reply ObjectApi::Impl::list_tokens() {
  const auto listing = store.list(kTokenPrefix);
  if (!listing) return error_reply(500, "store_failed", listing.error().detail);
  json list = json::array();
  for (const store::Entry& entry : listing->entries) {
    if (const auto token = token_from_stored(entry.value)) list.push_back(shown_token(*token));
  }
  return json_reply(200, {{"tokens", std::move(list)}});
}

Reply ObjectApi::Impl::create_token(Call& call) {
  const auto listing = store.list(kTokenPrefix);
  if (!listing) return error_reply(500, "store_failed", listing.error().detail);
  ParsedBody body = parse_body(call.request.body);
  if (!body.faults.empty()) return refusal_of(body.faults);
  const Token wish = read_new_token(call, body.value, *file->config, body.faults);
  if (!body.faults.empty()) return refusal_of(body.faults);
  if (listing->entries.size() >= kMaxTokens) return error_reply(409, "conflict", "there are 10000 tokens: delete some");
  NewToken made = make_token(wish.name, call.situation.now, *call.situation.rng);
  made.token.account = wish.account;
  made.token.read = wish.read;
  made.token.write = wish.write;
  made.token.capture = wish.capture;
  made.token.expires = wish.expires;
  const json shown_one = shown_token(made.token);
  std::vector<store::Operation> operations{
      store::Operation::put(std::string{kTokenPrefix} + made.token.id, to_stored(made.token))};
  const Draft::Line line{"create token",
                         made.token.account.value_or(""),
                         made.token.id,
                         made.token.name,
                         "",
                         shown_one.dump(-1, ' ', false, json::error_handler_t::replace)};
  if (const auto refusal = write(call, std::move(operations), {line})) return own_refusal(*refusal);
  return json_reply(201, {{"token", shown_one}, {"secret", made.bearer}});
}

Reply ObjectApi::Impl::delete_token(Call& call) {
  const std::vector<std::string>& path = call.target.path;
  const auto listing = store.list(kTokenPrefix);
  if (!listing) return error_reply(500, "store_failed", listing.error().detail);
  const std::string key = std::string{kTokenPrefix} + path[2];
  const auto found = std::find_if(listing->entries.begin(), listing->entries.end(),
                                  [&](const store::Entry& entry) { return entry.key == key; });
  if (found == listing->entries.end())
    return error_reply(404, "not_found", fmt::format("there is no token {}", printable(path[2], 32)));
  const auto token = token_from_stored(found->value);
  const json before = token ? shown_token(*token) : json{{"id", path[2]}};
  const Draft::Line line{"delete token",
                         "",
                         path[2],
                         token ? token->name : "",
                         before.dump(-1, ' ', false, json::error_handler_t::replace),
                         ""};
  if (const auto refusal = write(call, {store::Operation::erase(key)}, {line})) return own_refusal(*refusal);
  return json_reply(200, {{"deleted", before}});
}

// ?since=N: the lines after number N, at most a thousand.
Reply ObjectApi::Impl::audit_log(const Call& call) {
  std::uint64_t since = 0;
  for (const auto& [name, value] : call.target.query) {
    const auto number = name == "since" ? number_of(value) : std::nullopt;
    if (!number) return error_reply(400, "bad_request", "known is since=N, a number");
    since = *number;
  }
  const auto listing =
      store.list("audit/", {.after = since == 0 ? "" : fmt::format("audit/{:020}", since), .most = kAuditPage});
  if (!listing) return error_reply(500, "store_failed", listing.error().detail);
  std::string list;
  for (const store::Entry& entry : listing->entries) list += (list.empty() ? "" : ",") + entry.value;
  const std::uint64_t last =
      listing->entries.empty() ? since : number_of(listing->entries.back().key.substr(6)).value_or(since);
  return {200,
          {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}},
          fmt::format(R"({{"audit":[{}],"last":{}}})", list, last)};
}

namespace {

std::string rules_text(const std::vector<ObjectSet<ApiRule>::Item>& rules) {
  std::string list;
  for (const auto& rule : rules) list += (list.empty() ? "" : ",") + rule->text;
  return list;
}

}  // namespace

// The rules of one account in their order, those of the file first. ?account=NAME, "default" without it.
Reply ObjectApi::Impl::rules(Call& call, Action action) {
  const std::vector<std::string>& path = call.target.path;
  call.account = call.request.principal.account.value_or("default");
  for (const auto& [name, value] : call.target.query) {
    if (name != "account" || !vrf_of(*file->config, value))
      return error_reply(400, "bad_request", "known is account=NAME: \"default\" or the name of a [[vrf]]");
    if (call.request.principal.account && *call.request.principal.account != value)
      return error_reply(403, "forbidden", "this token is of another account");
    call.account = value;
  }
  std::vector<ObjectSet<ApiRule>::Item> all;
  for (const auto* set : {&from_file.rules, &stored.rules}) {
    for (const auto& rule : set->items()) {
      if (rule->account == call.account) all.push_back(rule);
    }
  }
  if (action == Action::ListPolicy) {
    return {200,
            {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}},
            fmt::format(R"({{"policy":[{}]}})", rules_text(all))};
  }
  ObjectSet<ApiRule>::Item before;
  if (path.size() == 3) {
    const auto found = std::find_if(
        all.begin(), all.end(), [&](const auto& rule) { return rule->id == path[2] || rule->model.name == path[2]; });
    if (found == all.end())
      return error_reply(404, "not_found",
                         fmt::format("there is no rule '{}' in this account", printable(path[2], 64)));
    before = *found;
    if (action == Action::GetPolicy)
      return {200, {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}}, before->text};
    if (before->line)
      return error_reply(409, "file_owned",
                         fmt::format("rule {} belongs to the configuration file: change it in {} and reload",
                                     before->model.name, file_place(*before)));
  }
  Draft draft{stored};
  if (action == Action::DeletePolicy) {
    draft.objects.rules.remove(before->id);
    draft.operations.push_back(store::Operation::erase(store_key(ApiRule::kKind, *before)));
    draft.audit.push_back(
        {"delete policy rule", before->account, before->id, before->model.name, before->document, ""});
    if (const auto refusal = commit(call, std::move(draft))) return own_refusal(*refusal);
    return json_reply(200, {{"deleted", json::parse(before->text, nullptr, false)}});
  }
  ParsedBody body = parse_body(call.request.body);
  if (!body.faults.empty()) return refusal_of(body.faults);
  const json old = before ? json::parse(before->document, nullptr, false) : json::object();
  auto rule = std::make_shared<ApiRule>(read_rule(merged_document(old, body.value),
                                                  before ? before->id : new_id(*call.situation.rng),
                                                  {*file->config, call.account}, body.faults));
  if (!body.faults.empty()) return refusal_of(body.faults);
  if (!before && stored.rules.items().size() >= kMaxApiRules)
    return error_reply(409, "conflict", fmt::format("at most {} rules can be made by the API", kMaxApiRules));
  rule->created = before ? before->created : call.situation.now;
  rule->order = before ? before->order : next_order++;
  rule->modified = call.situation.now;
  render(*rule, file->name);
  const std::string text = rule->text;
  draft.operations.push_back(store::Operation::put(store_key(ApiRule::kKind, *rule), to_stored(*rule)));
  draft.audit.push_back({before ? "update policy rule" : "create policy rule", rule->account, rule->id,
                         rule->model.name, before ? before->document : "", rule->document});
  draft.objects.rules.put(std::move(rule));
  if (const auto refusal = commit(call, std::move(draft))) return own_refusal(*refusal);
  return {before ? 200 : 201, {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}}, text};
}

}  // namespace qanat::control
