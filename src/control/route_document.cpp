// A route's document in Cloudflare's fields (wan.md 4.3), and a packet rule's in ours.
#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "control/api_objects.hpp"
#include "control/posture.hpp"

namespace qanat::control {

namespace {

using model::RoutePq;
using model::RuleAction;
using nlohmann::json;

constexpr auto kRoutePqs =
    std::to_array<std::pair<std::string_view, RoutePq>>({{"any", RoutePq::Any}, {"require", RoutePq::Require}});
constexpr auto kActions = std::to_array<std::pair<std::string_view, RuleAction>>(
    {{"allow", RuleAction::Allow}, {"drop", RuleAction::Drop}, {"log", RuleAction::Log}});
constexpr auto kReadOnly = std::to_array<std::string_view>({"id", "created_on", "modified_on", "managed_by"});

constexpr std::int64_t kMaxPriority = 2147483647;  // penalties are added to it
constexpr std::int64_t kMaxWeight = 256;
constexpr std::size_t kMaxDescription = 256;
constexpr std::size_t kMaxPrefixText = 64;
constexpr std::size_t kMaxPrefixes = 10'000;
constexpr std::size_t kMaxName = 63;

// A route that holds for some regions only would be dropped in the others: one gateway is in one place.
void read_scope(Fields& fields) {
  auto scope = fields.object("scope");
  if (!scope) return;
  for (const char* name : {"colo_names", "colo_regions"}) {
    const auto names = scope->texts(name, kMaxPrefixes, "text");
    if (names && !names->empty())
      scope->refuse(name, "regions are not offered: the route holds for the whole gateway; leave it out",
                    ApiCode::NotOffered);
  }
  scope->finish();
}

void read_prefix(Fields& fields, ApiRoute& out) {
  if (!fields.has("prefix")) fields.missing("prefix", "what lies behind the peer, like \"10.100.0.0/24\"");
  const auto text = fields.text("prefix", kMaxPrefixText, "a prefix like \"10.100.0.0/24\"");
  if (!text) return;
  const auto prefix = Prefix::parse(*text);
  if (!prefix) {
    fields.refuse("prefix", "is no prefix: " + prefix.error().detail);
  } else if (prefix->address().is_multicast()) {
    fields.refuse("prefix", "is a multicast prefix, and only unicast is routed");
  } else {
    out.model.prefix = *prefix;
  }
}

std::optional<std::uint16_t> port_of(std::string_view text) {
  std::uint16_t out = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), out);
  return fault == std::errc{} && end == text.data() + text.size() ? std::optional{out} : std::nullopt;
}

std::optional<model::PortRange> read_ports(Fields& fields, std::string_view name) {
  const auto text = fields.text(name, 16, "a port or a range in quotes, like \"443\" or \"1000-2000\"");
  if (!text) return std::nullopt;
  const std::size_t dash = text->find('-');
  const auto first = port_of(std::string_view{*text}.substr(0, dash));
  const auto last = dash == std::string::npos ? first : port_of(std::string_view{*text}.substr(dash + 1));
  if (first && last && *first <= *last) return model::PortRange{*first, *last};
  fields.refuse(name, "must be a port or a range in quotes, like \"443\" or \"1000-2000\", the lower one first");
  return std::nullopt;
}

std::vector<Prefix> read_prefixes(Fields& fields, std::string_view name) {
  std::vector<Prefix> out;
  const auto texts = fields.texts(name, kMaxPrefixes, "prefixes like \"10.1.0.0/16\"");
  if (!texts) return out;
  for (const std::string& text : *texts) {
    const auto prefix = Prefix::parse(text);
    if (!prefix) {
      fields.refuse(name, fmt::format("{} is no prefix: {}", shown(text), prefix.error().detail));
      return out;
    }
    out.push_back(*prefix);
  }
  return out;
}

template <typename T>
std::string dated(const T& object, std::string_view file_name) {
  json out = json::parse(object.document, nullptr, false);
  out["id"] = object.id;
  out["created_on"] = date_text(object.created);
  out["modified_on"] = date_text(object.modified);
  if (object.line) out["managed_by"] = {{"file", file_name}, {"line", *object.line}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

ApiRoute read_route(const json& document, std::string id, const ReadContext& context, ApiFaults& faults) {
  ApiRoute out;
  out.id = std::move(id);
  out.account = context.account;
  Fields fields{document, "", context.pointer, faults};
  read_prefix(fields, out);
  if (!fields.has("nexthop"))
    fields.missing("nexthop", "the peer's interface address: with interface_address 10.255.0.0/31 it is 10.255.0.1");
  if (const auto text = fields.text("nexthop", kMaxPrefixText, "an IP address")) {
    const auto address = IpAddress::parse(*text);
    if (address) {
      out.nexthop = *address;
    } else {
      fields.refuse("nexthop", "is no IP address");
    }
  }
  if (!fields.has("priority")) fields.missing("priority", "a whole number, 100 is usual; the lowest wins");
  if (const auto number = fields.integer("priority", 0, kMaxPriority))
    out.model.priority = static_cast<std::uint32_t>(*number);
  if (const auto number = fields.integer("weight", 1, kMaxWeight))
    out.model.weight = static_cast<std::uint32_t>(*number);
  if (const auto text = fields.text("description", kMaxDescription, "text")) out.model.description = *text;
  if (const auto pq = fields.choice("pq", kRoutePqs)) out.model.pq = *pq;
  read_scope(fields);
  fields.read_only(kReadOnly);
  fields.finish();
  out.document = document.dump(-1, ' ', false, json::error_handler_t::replace);
  return out;
}

ApiRule read_rule(const json& document, std::string id, const ReadContext& context, ApiFaults& faults) {
  ApiRule out;
  out.id = std::move(id);
  out.account = context.account;
  Fields fields{document, "", context.pointer, faults};
  model::PolicyRule& rule = out.model;
  if (!fields.has("name")) fields.missing("name", "its counter is shown under it, like \"block-telnet\"");
  if (const auto name = fields.text("name", kMaxName, "text")) rule.name = *name;
  rule.from = read_prefixes(fields, "from");
  rule.to = read_prefixes(fields, "to");
  if (const auto number = fields.integer("protocol", 0, 255)) rule.protocol = static_cast<std::uint8_t>(*number);
  rule.from_ports = read_ports(fields, "from_ports");
  rule.to_ports = read_ports(fields, "to_ports");
  if (const auto type = fields.integer("icmp_type", 0, 255)) rule.icmp_type = static_cast<std::uint8_t>(*type);
  rule.from_tunnel = fields.text("from_tunnel", kMaxName, "the name of a tunnel, or \"@host\"");
  rule.to_tunnel = fields.text("to_tunnel", kMaxName, "the name of a tunnel, or \"@host\"");
  if (!fields.has("action")) fields.missing("action", "allow, drop or log");
  if (const auto action = fields.choice("action", kActions)) rule.action = *action;
  fields.read_only(kReadOnly);
  fields.finish();
  if (faults.empty()) {
    if (const Status good = check(rule); !good)
      fields.report(ApiCode::BadField, good.error().where + ": " + good.error().detail, "");
  }
  out.document = document.dump(-1, ' ', false, json::error_handler_t::replace);
  return out;
}

void render(ApiRoute& route, std::string_view file_name) {
  route.text = dated(route, file_name);
}
void render(ApiRule& rule, std::string_view file_name) {
  rule.text = dated(rule, file_name);
}

}  // namespace qanat::control
