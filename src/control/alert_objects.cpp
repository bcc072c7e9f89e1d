#include "control/alert_objects.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "control/webhook_url.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxName = 128;
constexpr std::size_t kMaxDescription = 1024;
constexpr std::size_t kMaxFilterValues = 1000;
constexpr std::int64_t kMaxDays = 3650;

constexpr auto kNoMechanism = std::to_array<std::pair<std::string_view, std::string_view>>(
    {{"email", "is not offered: the gateway sends no mail; use a webhook"},
     {"pagerduty", "is not offered: give PagerDuty's own URL for webhooks to a webhook destination"}});

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t out = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), out);
  return fault == std::errc{} && end == text.data() + text.size() ? std::optional{out} : std::nullopt;
}

// "30m", "24h", "7d".
std::optional<std::chrono::seconds> parse_interval(std::string_view text) {
  if (text.size() < 2) return std::nullopt;
  const std::int64_t unit = text.back() == 'm' ? 60 : text.back() == 'h' ? 3600 : text.back() == 'd' ? 86'400 : 0;
  const auto count = whole_number(text.substr(0, text.size() - 1));
  if (unit == 0 || !count || *count < 1 || *count > 10'080) return std::nullopt;
  const std::chrono::seconds out{*count * unit};
  return out >= std::chrono::minutes{5} && out <= std::chrono::hours{7 * 24} ? std::optional{out} : std::nullopt;
}

void read_mechanisms(Fields& all, AlertPolicy& out) {
  constexpr std::string_view kMust = "{\"webhooks\": [{\"id\": ...}]} with the id of at least one webhook";
  if (!all.has("mechanisms")) return all.missing("mechanisms", kMust);
  auto fields = all.object("mechanisms");
  if (!fields) return;
  for (const auto& [name, why] : kNoMechanism) {
    const json* list = fields->find(name);
    if (list != nullptr && !(list->is_array() && list->empty())) fields->refuse(name, why, ApiCode::NotOffered);
  }
  const json* hooks = fields->find("webhooks");
  fields->finish();
  if (hooks == nullptr) return all.refuse("mechanisms", "must be " + std::string{kMust});
  const auto has_id = [](const json& one) { return one.is_object() && one.contains("id") && one["id"].is_string(); };
  if (!hooks->is_array() || !std::all_of(hooks->begin(), hooks->end(), has_id))
    return fields->refuse("webhooks", "must be an array of objects with an id each");
  if (hooks->empty() || hooks->size() > kMaxPolicyWebhooks)
    return fields->refuse("webhooks", fmt::format("must name 1 to {} webhooks", kMaxPolicyWebhooks));
  for (const json& one : *hooks) {
    auto id = one["id"].get<std::string>();
    if (std::find(out.webhooks.begin(), out.webhooks.end(), id) == out.webhooks.end())
      out.webhooks.push_back(std::move(id));
  }
}

void read_new_health(Fields& fields, AlertPolicy& out) {
  constexpr std::string_view kMust = "healthy, degraded and down";
  const auto words = fields.texts("new_health", 3, kMust);
  if (!words) return;
  out.new_health = {words->begin(), words->end()};
  for (const std::string& word : *words) {
    if (word != "healthy" && word != "degraded" && word != "down")
      fields.refuse("new_health", "must be an array of " + std::string{kMust});
  }
  if (words->empty()) fields.refuse("new_health", "must not be empty: leave it out for all three");
}

void read_slo(Fields& fields, AlertPolicy& out) {
  const auto texts = fields.texts("slo", 1, "one text like \"99.9\"");
  if (!texts) return;
  double value = -1;
  if (texts->size() == 1) {
    const std::string& text = texts->front();
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (fault != std::errc{} || end != text.data() + text.size()) value = -1;
  }
  if (!(value >= 0 && value <= 99.99))
    return fields.refuse("slo", "must be an array of one text from \"0\" to \"99.99\"");
  out.slo = value;
}

void read_days(Fields& fields, AlertPolicy& out) {
  const auto texts = fields.texts("days_before", 10, "texts like \"30\"");
  if (!texts) return;
  out.days.clear();
  for (const std::string& text : *texts) {
    const auto days = whole_number(text);
    if (!days || *days < 1 || *days > kMaxDays)
      return fields.refuse("days_before", fmt::format("must be an array of texts from \"1\" to \"{}\"", kMaxDays));
    out.days.push_back(*days);
  }
  if (out.days.empty()) return fields.refuse("days_before", "must not be empty: leave it out for 30, 7 and 1");
  std::sort(out.days.rbegin(), out.days.rend());
  out.days.erase(std::unique(out.days.begin(), out.days.end()), out.days.end());
}

void read_filters(Fields& all, const AlertKind& kind, AlertPolicy& out) {
  auto fields = all.object("filters");
  if (!fields) return;
  const auto takes = [&](std::string_view name) {
    return std::find(kind.filters.begin(), kind.filters.end(), name) != kind.filters.end();
  };
  const auto names_of = [&](std::string_view name, std::set<std::string>& into) {
    if (!takes(name)) return;
    if (const auto texts = fields->texts(name, kMaxFilterValues, "texts")) {
      into = {texts->begin(), texts->end()};
      if (texts->empty()) fields->refuse(name, "must not be empty: leave it out for all tunnels");
    }
  };
  names_of("tunnel_name", out.tunnel_names);
  names_of("tunnel_id", out.tunnel_ids);
  if (takes("new_health")) read_new_health(*fields, out);
  if (takes("slo")) read_slo(*fields, out);
  if (takes("days_before")) read_days(*fields, out);
  if (out.slo && fields->has("new_health"))
    fields->refuse("slo", "cannot stand beside new_health: one says by figures what the other says by states");
  fields->finish();
}

}  // namespace

const std::vector<AlertKind>& alert_kinds() {
  constexpr auto kHealthText = "A tunnel's health has changed: its probes are lost, or it is down.";
  static const std::vector<AlertKind> kKinds = {
      {AlertType::TunnelHealth,
       "magic_tunnel_health_check_event",
       "Tunnel health",
       kHealthText,
       false,
       {"tunnel_name", "tunnel_id", "new_health", "slo"}},
      {AlertType::TunnelHealth,
       "magic_wan_tunnel_health",
       "Tunnel health",
       kHealthText,
       false,
       {"tunnel_name", "tunnel_id", "new_health", "slo"}},
      {AlertType::ClassicalKeys,
       "qanat_classical_keys",
       "A tunnel fell to classical keys",
       "A peer that once came up with hybrid keys came up with classical ones.",
       true,
       {"tunnel_name", "tunnel_id"}},
      {AlertType::CertificateExpiry,
       "qanat_certificate_expiration",
       "A certificate expires",
       "A certificate of our own, or one that a peer showed, expires within so many days.",
       true,
       {"tunnel_name", "tunnel_id", "days_before"}},
  };
  return kKinds;
}

AlertPolicy read_alert_policy(const json& document, ApiFaults& faults) {
  constexpr auto kReadOnly = std::to_array<std::string_view>({"id", "created", "modified"});
  AlertPolicy out;
  out.days = {30, 7, 1};
  out.new_health = {"healthy", "degraded", "down"};
  Fields fields{document, "", "", faults};
  fields.read_only(kReadOnly);
  if (!fields.has("name")) fields.missing("name", "what people call it");
  if (auto name = fields.text("name", kMaxName, "text")) {
    out.name = std::move(*name);
    if (out.name.empty()) fields.refuse("name", "must not be empty");
  }
  if (auto text = fields.text("description", kMaxDescription, "text")) out.description = std::move(*text);
  if (const auto enabled = fields.boolean("enabled")) out.enabled = *enabled;
  std::string words;
  for (const AlertKind& kind : alert_kinds()) words += (words.empty() ? "" : ", ") + std::string{kind.word};
  const AlertKind* chosen = nullptr;
  if (!fields.has("alert_type")) fields.missing("alert_type", "one of " + words);
  if (auto word = fields.text("alert_type", kMaxName, "one of " + words)) {
    const auto& kinds = alert_kinds();
    const auto found = std::find_if(kinds.begin(), kinds.end(), [&](const AlertKind& k) { return k.word == *word; });
    if (found == kinds.end()) {
      fields.refuse("alert_type", "is not offered; it must be one of " + words, ApiCode::NotOffered);
    } else {
      chosen = &*found;
      out.type = chosen->type;
      out.type_word = *std::move(word);
    }
  }
  if (const auto text = fields.text("alert_interval", 16, "a time like \"30m\", \"24h\" or \"7d\"")) {
    out.interval = parse_interval(*text);
    if (!out.interval)
      fields.refuse("alert_interval", "must be a time like \"30m\", \"24h\" or \"7d\", from 5 minutes to 7 days");
  }
  read_mechanisms(fields, out);
  if (chosen != nullptr) {
    read_filters(fields, *chosen, out);
  } else {
    (void)fields.find("filters");  // what they mean nobody knows
  }
  fields.finish();
  return out;
}

void read_webhook(const json& document, std::span<const Prefix> allowed, ApiFaults& faults) {
  constexpr auto kReadOnly =
      std::to_array<std::string_view>({"id", "type", "created_at", "last_success", "last_failure"});
  Fields fields{document, "", "", faults};
  fields.read_only(kReadOnly);
  if (!fields.has("name")) fields.missing("name", "what people call it");
  if (const auto name = fields.text("name", kMaxName, "text"); name && name->empty())
    fields.refuse("name", "must not be empty");
  if (!fields.has("url")) fields.missing("url", "where to send, like \"https://hooks.example.com/qanat\"");
  if (const auto text = fields.text("url", kMaxWebhookUrl, "a URL")) {
    const auto url = parse_webhook_url(*text);
    if (!url) {
      fields.refuse("url", url.error().detail);
    } else if (const auto address = IpAddress::parse(url->host); address && !is_webhook_address(*address, allowed)) {
      fields.refuse("url", fmt::format("leads to {}, which is no public address: [gateway] webhook_allow names those "
                                       "that webhooks may reach nevertheless",
                                       address->to_string()));
    }
  }
  fields.finish();
}

std::string alert_key(std::string_view kind, std::string_view account, std::string_view id) {
  return fmt::format("{}/{}/{}", kind, account, id);
}

std::string to_stored(const StoredAlert& object) {
  return json{{"document", object.document}, {"created", object.created.seconds}, {"modified", object.modified.seconds}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<std::vector<StoredAlert>> stored_alerts(store::ObjectStore& store, std::string_view kind,
                                               std::string_view account) {
  const std::string prefix = account.empty() ? std::string{kind} + "/" : alert_key(kind, account, "");
  QANAT_ASSIGN(const store::Listing listing, store.list(prefix));
  std::vector<StoredAlert> out;
  for (const store::Entry& entry : listing.entries) {
    const std::string_view rest = std::string_view{entry.key}.substr(kind.size() + 1);
    const std::size_t slash = rest.find('/');
    json in = json::parse(entry.value, nullptr, false);
    if (slash == std::string_view::npos || !in.is_object() || !in.contains("document") || !in["document"].is_object() ||
        !in.value("created", json{}).is_number_integer() || !in.value("modified", json{}).is_number_integer())
      return fail(ErrorKind::Malformed, entry.key, "is damaged in the store: remove it and make another");
    out.push_back({std::string{rest.substr(slash + 1)}, std::string{rest.substr(0, slash)}, std::move(in["document"]),
                   WallTime{in["created"].get<std::int64_t>()}, WallTime{in["modified"].get<std::int64_t>()}});
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const StoredAlert& a, const StoredAlert& b) { return a.created < b.created; });
  return out;
}

Result<AlertRules> alert_rules(store::ObjectStore& store) {
  AlertRules out;
  QANAT_ASSIGN(const auto webhooks, stored_alerts(store, kWebhookKind, ""));
  for (const StoredAlert& one : webhooks) {
    QANAT_ASSIGN(const auto secret, store.get(alert_key(kWebhookSecretKind, one.account, one.id)));
    out.webhooks[one.id] = {one.id, one.account, one.document.value("name", ""), one.document.value("url", ""),
                            secret ? secret->secret : nullptr};
  }
  QANAT_ASSIGN(const auto silences, stored_alerts(store, kSilenceKind, ""));
  QANAT_ASSIGN(const auto policies, stored_alerts(store, kPolicyKind, ""));
  for (const StoredAlert& one : policies) {
    ApiFaults faults;
    AlertPolicy policy = read_alert_policy(one.document, faults);
    if (!faults.empty()) return fail(ErrorKind::Malformed, one.id, faults.front().message);
    policy.id = one.id;
    policy.account = one.account;
    for (const StoredAlert& silence : silences) {
      if (silence.document.value("policy_id", "") != one.id) continue;
      const auto from = parse_date_time(silence.document.value("start_time", ""));
      const auto to = parse_date_time(silence.document.value("end_time", ""));
      if (from && to) policy.silences.emplace_back(*from, *to);
    }
    out.policies.push_back(std::move(policy));
  }
  return out;
}

std::optional<WallTime> parse_date_time(std::string_view text) {
  const auto digits = [&](std::size_t at, std::size_t count) -> std::int64_t {
    std::int64_t out = 0;
    for (std::size_t i = at; i < at + count; ++i) {
      if (i >= text.size() || text[i] < '0' || text[i] > '9') return -1;
      out = out * 10 + (text[i] - '0');
    }
    return out;
  };
  const auto is = [&](std::size_t at, char c) { return at < text.size() && text[at] == c; };
  const std::int64_t hour = digits(11, 2);
  const std::int64_t minute = digits(14, 2);
  const std::int64_t second = digits(17, 2);
  const std::chrono::year_month_day day{std::chrono::year{static_cast<int>(digits(0, 4))},
                                        std::chrono::month{static_cast<unsigned>(digits(5, 2))},
                                        std::chrono::day{static_cast<unsigned>(digits(8, 2))}};
  if (!is(4, '-') || !is(7, '-') || !(is(10, 'T') || is(10, 't')) || !is(13, ':') || !is(16, ':') || digits(0, 4) < 0 ||
      !day.ok() || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
    return std::nullopt;
  std::size_t at = 19;
  if (is(at, '.')) {
    const std::size_t begin = ++at;
    while (digits(at, 1) >= 0) ++at;
    if (at == begin) return std::nullopt;
  }
  std::int64_t offset = 0;
  if (is(at, 'Z') || is(at, 'z')) {
    ++at;
  } else if (is(at, '+') || is(at, '-')) {
    const std::int64_t hours = digits(at + 1, 2);
    const std::int64_t minutes = digits(at + 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || !is(at + 3, ':')) return std::nullopt;
    offset = (hours * 60 + minutes) * (text[at] == '-' ? -60 : 60);
    at += 6;
  } else {
    return std::nullopt;
  }
  if (at != text.size()) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days{day}.time_since_epoch().count();
  return WallTime{days * 86'400 + hour * 3600 + minute * 60 + second - offset};
}

}  // namespace qanat::control
