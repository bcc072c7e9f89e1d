// A tunnel's document: Cloudflare's fields (wan.md 4.3) and our block `pq`, checked field by field.
#include <algorithm>

#include <fmt/format.h>

#include "control/api_objects.hpp"
#include "ipsec/proposal.hpp"
#include "model/interface_pair.hpp"

namespace qanat::control {

namespace {

using model::DowngradePolicy;
using model::PqPolicy;
using model::ProbeDirection;
using model::ProbeRate;
using model::ProbeType;
using nlohmann::json;

constexpr auto kDirections = std::to_array<std::pair<std::string_view, ProbeDirection>>(
    {{"unidirectional", ProbeDirection::Unidirectional}, {"bidirectional", ProbeDirection::Bidirectional}});
constexpr auto kTypes = std::to_array<std::pair<std::string_view, ProbeType>>(
    {{"reply", ProbeType::Reply}, {"request", ProbeType::Request}});
constexpr auto kRates = std::to_array<std::pair<std::string_view, ProbeRate>>(
    {{"low", ProbeRate::Low}, {"mid", ProbeRate::Mid}, {"high", ProbeRate::High}});
constexpr auto kPolicies = std::to_array<std::pair<std::string_view, PqPolicy>>(
    {{"require", PqPolicy::Require}, {"prefer", PqPolicy::Prefer}, {"off", PqPolicy::Off}, {"pin", PqPolicy::Pin}});
constexpr auto kDowngrade = std::to_array<std::pair<std::string_view, DowngradePolicy>>(
    {{"require", DowngradePolicy::Require}, {"auto", DowngradePolicy::Auto}, {"off", DowngradePolicy::Off}});
constexpr auto kKems = std::to_array<std::pair<std::string_view, KeId>>(
    {{"mlkem512", KeId::ML_KEM_512}, {"mlkem768", KeId::ML_KEM_768}, {"mlkem1024", KeId::ML_KEM_1024}});

// Fields that GET shows and nobody sets; clients send them back in a PUT.
constexpr auto kReadOnly =
    std::to_array<std::string_view>({"id", "created_on", "modified_on", "psk_metadata", "psk", "bgp_status",
                                     "pq_status", "remote_identities", "managed_by"});
// Blocks of which a client may send a part.
constexpr auto kBlocks = std::to_array<std::string_view>({"health_check", "pq", "custom_remote_identities"});

constexpr std::size_t kMaxDescription = 1024;
constexpr std::size_t kMaxAddress = 64;
constexpr std::size_t kMaxIdentity = 255;
constexpr std::size_t kMaxBgpPrefixes = 1000;
constexpr std::size_t kMaxPsk = 4096;
constexpr std::size_t kMaxName = 63;

bool is_name(std::string_view name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= kMaxName && plain(name[0]) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return plain(c) || c == '-' || c == '_'; });
}

// An address that one host can have.
std::optional<IpAddress> host_of(Fields& fields, std::string_view name) {
  const auto text = fields.text(name, kMaxAddress, "an IP address");
  if (!text) return std::nullopt;
  const auto address = IpAddress::parse(*text);
  if (!address) {
    fields.refuse(name, "is no IP address");
  } else if (address->is_unspecified() || address->is_multicast()) {
    fields.refuse(name, "is no address that a host can have");
  } else {
    return *address;
  }
  return std::nullopt;
}

// Our own addresses: the gateway's, and those that tunnels of the file use.
std::vector<IpAddress> our_addresses(const model::Config& file) {
  std::vector<IpAddress> out;
  const auto add = [&](const std::optional<IpAddress>& address) {
    if (address && std::find(out.begin(), out.end(), *address) == out.end()) out.push_back(*address);
  };
  add(file.gateway.address4);
  add(file.gateway.address6);
  for (const model::Tunnel& tunnel : file.tunnels) add(tunnel.local);
  return out;
}

void read_endpoints(Fields& fields, const model::Config& file, ApiTunnel& out) {
  const std::vector<IpAddress> ours = our_addresses(file);
  std::string listed;
  for (std::size_t i = 0; i < ours.size() && i < 4; ++i) listed += (i == 0 ? "" : " or ") + ours[i].to_string();
  if (!fields.has("cloudflare_endpoint")) fields.missing("cloudflare_endpoint", "this gateway's address, " + listed);
  if (const auto endpoint = host_of(fields, "cloudflare_endpoint")) {
    out.endpoint = *endpoint;
    if (std::find(ours.begin(), ours.end(), *endpoint) == ours.end())
      fields.refuse("cloudflare_endpoint", "must be this gateway's address, " + listed);
  }
  // "" is how clients say that there is none.
  const json* customer = fields.find("customer_endpoint");
  if (customer && *customer == "") return;
  out.model.peer = host_of(fields, "customer_endpoint");
  if (!out.model.peer) return;
  if (std::find(ours.begin(), ours.end(), *out.model.peer) != ours.end())
    fields.refuse("customer_endpoint", "is this gateway's own address: must be the other side's", ApiCode::Conflict);
  else if (out.endpoint != IpAddress{} && out.model.peer->is_v4() != out.endpoint.is_v4())
    fields.refuse("customer_endpoint", "is of another address family than cloudflare_endpoint", ApiCode::Conflict);
}

void read_interfaces(Fields& fields, ApiTunnel& out) {
  const auto read = [&](std::string_view name, model::InnerFamily family) -> std::optional<model::InterfacePair> {
    const auto text = fields.text(name, kMaxAddress, "an address and a prefix length in one text");
    if (!text || text->empty()) return std::nullopt;
    auto pair = model::parse_interface_pair(*text, family);
    if (!pair) {
      fields.refuse(name, pair.error().detail);
      return std::nullopt;
    }
    return *pair;
  };
  const json* first = fields.find("interface_address");
  if (!first || *first == "")
    fields.missing("interface_address", "our IPv4 address inside the tunnel and /31 or /30, like 10.255.0.0/31");
  if (const auto pair = read("interface_address", model::InnerFamily::V4)) {
    out.model.interface4 = pair->ours;
    out.model.peer_interface4 = pair->theirs;
    out.model.interface4_length = pair->length;
  }
  if (const auto pair = read("interface_address6", model::InnerFamily::V6)) {
    out.model.interface6 = pair->ours;
    out.model.peer_interface6 = pair->theirs;
    out.model.interface6_length = pair->length;
  }
}

void read_identity(Fields& fields, std::string_view account, ApiTunnel& out) {
  if (auto block = fields.object("custom_remote_identities")) {
    const auto text = block->text("fqdn_id", kMaxIdentity, "a name like berlin.example.com");
    if (text && !text->empty()) {
      auto identity = wire::Identity::parse("fqdn:" + *text);
      if (identity) {
        out.model.remote_id = *std::move(identity);
      } else {
        block->refuse("fqdn_id", identity.error().detail);
      }
    }
    block->finish();
  }
  // A peer that calls in from anywhere is known by a name alone; ours is shown in remote_identities.
  if (!out.model.remote_id && !out.model.peer)
    out.model.remote_id =
        wire::Identity::parse(fmt::format("fqdn:{}.{}.ipsec.qanat", out.id, account_id(account))).value();
}

void read_target(Fields& health, ApiTunnel& out) {
  const json* target = health.find("target");
  if (!target) return;
  const auto take = [&](Fields& from, std::string_view name) {
    const json* text = from.find(name);
    if (text && *text != "") out.model.health.target = host_of(from, name);
  };
  if (target->is_object()) {
    auto block = health.object("target");
    take(*block, "saved");
    block->read_only(std::to_array<std::string_view>({"effective"}));
    block->finish();
  } else {
    take(health, "target");
  }
}

void read_health(Fields& fields, ApiTunnel& out) {
  model::HealthCheck& health = out.model.health;
  // Cloudflare's defaults, which are not those of our file.
  health.type = ProbeType::Reply;
  health.direction = ProbeDirection::Unidirectional;
  auto block = fields.object("health_check");
  if (!block) return;
  if (const auto enabled = block->boolean("enabled")) health.enabled = *enabled;
  if (const auto direction = block->choice("direction", kDirections)) health.direction = *direction;
  if (const auto type = block->choice("type", kTypes)) health.type = *type;
  if (const auto rate = block->choice("rate", kRates)) health.rate = *rate;
  read_target(*block, out);
  block->finish();
}

// Stored and shown as it was sent: we make no BGP session, and say so (ObjectApi's messages).
void read_bgp(Fields& fields) {
  auto block = fields.object("bgp");
  if (!block) return;
  if (!block->has("customer_asn")) block->missing("customer_asn", "the peer's AS number");
  (void)block->integer("customer_asn", 0, 4294967295);
  if (const auto prefixes = block->texts("extra_prefixes", kMaxBgpPrefixes, "prefixes like \"10.0.0.0/24\"")) {
    for (const std::string& text : *prefixes) {
      const auto prefix = Prefix::parse(text);
      if (!prefix) {
        block->refuse("extra_prefixes", fmt::format("{} is no prefix: {}", shown(text), prefix.error().detail));
        break;
      }
    }
  }
  (void)block->text("md5_key", 80, "text");
  block->finish();
}

// An IKE proposal with these ML-KEM groups instead of all; a classical one behind it for peers that have none.
void use_kems(const std::vector<KeId>& kems, model::Tunnel& tunnel) {
  ipsec::IkeProposal hybrid = ipsec::default_hybrid_proposals().front();
  hybrid.addke[0] = kems;
  tunnel.ike_proposals = {ipsec::to_string(hybrid)};
  if (tunnel.pq == PqPolicy::Require) return;
  for (const ipsec::IkeProposal& classical : ipsec::default_classical_proposals())
    tunnel.ike_proposals.push_back(ipsec::to_string(classical));
}

void read_kems(Fields& block, model::Tunnel& tunnel) {
  const auto names = block.texts("kems", kKems.size(), "mlkem512, mlkem768, mlkem1024");
  if (!names) return;
  std::vector<KeId> kems;
  for (const std::string& name : *names) {
    const auto it = std::find_if(kKems.begin(), kKems.end(), [&](const auto& known) { return known.first == name; });
    if (it == kKems.end()) return block.refuse("kems", shown(name) + " is none of mlkem512, mlkem768, mlkem1024");
    if (std::find(kems.begin(), kems.end(), it->second) != kems.end())
      return block.refuse("kems", shown(name) + " is listed twice");
    kems.push_back(it->second);
  }
  if (kems.empty()) return block.refuse("kems", "must name at least one; leave it out for all");
  if (tunnel.pq == PqPolicy::Off)
    return block.refuse("kems", "cannot be had with pq.policy = \"off\"", ApiCode::Conflict);
  use_kems(kems, tunnel);
}

void read_pq(Fields& fields, ApiTunnel& out) {
  auto block = fields.object("pq");
  if (!block) return;
  if (const auto policy = block->choice("policy", kPolicies)) out.model.pq = *policy;
  if (const auto downgrade = block->choice("downgrade_protection", kDowngrade)) out.model.downgrade = *downgrade;
  read_kems(*block, out.model);
  const auto auth = block->text("auth", 64, "\"psk\"");
  if (auth && *auth != "psk")
    block->refuse("auth",
                  "must be \"psk\": tunnels with certificates are made in the configuration file, where their "
                  "keys are",
                  ApiCode::NotOffered);
  block->finish();
}

void read_flags(Fields& fields) {
  (void)fields.boolean("replay_protection");
  if (const auto symmetric = fields.boolean("automatic_return_routing"); symmetric && *symmetric)
    fields.refuse("automatic_return_routing", "is not offered: answers follow the routes; leave it out, or false",
                  ApiCode::NotOffered);
  if (const auto null_cipher = fields.boolean("allow_null_cipher"); null_cipher && *null_cipher)
    fields.refuse("allow_null_cipher", "is not offered: nothing leaves unencrypted", ApiCode::NotOffered);
}

}  // namespace

json merged_document(json old, const json& change) {
  for (const auto& [name, value] : change.items()) {
    const bool block = std::find(kBlocks.begin(), kBlocks.end(), name) != kBlocks.end();
    if (value.is_null()) {
      old.erase(name);
    } else if (block && value.is_object() && old.contains(name) && old[name].is_object()) {
      for (const auto& [field, inner] : value.items()) {
        if (inner.is_null()) {
          old[name].erase(field);
        } else {
          old[name][field] = inner;
        }
      }
    } else {
      old[name] = value;
    }
  }
  for (const std::string_view name : kReadOnly) old.erase(std::string{name});
  return old;
}

ApiTunnel read_tunnel(const json& document, std::string id, const ReadContext& context, ApiFaults& faults) {
  ApiTunnel out;
  out.id = std::move(id);
  out.account = context.account;
  Fields fields{document, "", context.pointer, faults};
  if (const auto name = fields.text("name", kMaxName, "text")) {
    out.model.name = *name;
    if (!is_name(*name))
      fields.refuse("name", "must be 1 to 63 letters, digits, '-' and '_', beginning with a letter or digit");
  }
  if (!fields.has("name")) fields.missing("name", "for example \"berlin\"");
  (void)fields.text("description", kMaxDescription, "text");
  read_endpoints(fields, context.file, out);
  read_interfaces(fields, out);
  read_identity(fields, context.account, out);
  read_flags(fields);
  read_health(fields, out);
  read_bgp(fields);
  read_pq(fields, out);
  fields.read_only(kReadOnly);
  fields.finish();
  out.document = document.dump(-1, ' ', false, json::error_handler_t::replace);
  return out;
}

store::Secret take_psk(json& body, const std::string& pointer, ApiFaults& faults) {
  const auto it = body.find("psk");
  if (it == body.end() || it->is_null()) return nullptr;
  // The value is shown in no message.
  const auto refuse = [&](std::string message) {
    if (faults.size() < kMaxFaults)
      faults.push_back({ApiCode::BadField, "psk: " + std::move(message), pointer + "/psk"});
    return nullptr;
  };
  if (!it->is_string()) return refuse("must be text");
  auto& text = it->get_ref<std::string&>();
  if (text.empty() || text.size() > kMaxPsk)
    return refuse(
        fmt::format("has {} octets, and 1 to {} are allowed; psk_generate makes a good one", text.size(), kMaxPsk));
  auto secret = std::make_shared<const SecretBytes>(SecretBytes::adopt(to_bytes(text)));
  wipe(text.data(), text.size());
  body.erase(it);
  return secret;
}

void set_psk(ApiTunnel& tunnel, store::Secret psk, std::optional<WallTime> made) {
  tunnel.psk = std::move(psk);
  tunnel.psk_made = made;
  tunnel.model.psk = model::PresharedKey{tunnel.psk->clone()};
  // Without a key that the other side can know, nothing would come of calling.
  tunnel.model.start = tunnel.model.peer && made ? model::StartMode::Initiate : model::StartMode::Respond;
}

}  // namespace qanat::control
