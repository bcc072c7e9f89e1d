#include "config/write.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "pki/pem.hpp"

namespace qanat::config {

namespace {

using model::Tunnel;

// Text in TOML's double quotes.
std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (octet < 0x20 || octet == 0x7f) {
      out += fmt::format("\\u{:04X}", octet);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

// The lines of one section.
class Lines {
 public:
  explicit Lines(std::string head) : text_(std::move(head) + "\n") {}
  void text(std::string_view key, std::string_view value) { raw(key, quote(value)); }
  void number(std::string_view key, std::uint64_t value) { raw(key, fmt::format("{}", value)); }
  void raw(std::string_view key, std::string_view value) { text_ += fmt::format("{} = {}\n", key, value); }
  template <typename T>
  void texts(std::string_view key, const T& list) {
    std::string all;
    for (const auto& one : list) all += (all.empty() ? "" : ", ") + quote(one);
    raw(key, "[" + all + "]");
  }
  void prefixes(std::string_view key, const std::vector<Prefix>& list) {
    if (list.empty()) return;
    std::vector<std::string> all;
    for (const Prefix& prefix : list) all.push_back(prefix.to_string());
    texts(key, all);
  }
  template <typename T>
  void unless(std::string_view key, const T& value, const T& usual) {
    if (value == usual) return;
    if constexpr (std::is_same_v<T, bool>) {
      raw(key, value ? "true" : "false");
    } else if constexpr (std::is_same_v<T, std::string>) {
      text(key, value);
    } else if constexpr (std::is_same_v<T, std::chrono::seconds>) {
      raw(key, fmt::format("{}", value.count()));
    } else {
      number(key, value);
    }
  }
  [[nodiscard]] std::string take() && { return std::move(text_); }

 private:
  std::string text_;
};

// What a configuration names files for.
class Files {
 public:
  // A key file ends with a line end, which is no part of the key.
  void key(Lines& lines, std::string_view key, const std::string& name, ByteView octets) {
    Bytes text = to_bytes(octets);
    text.push_back('\n');
    lines.text(key, name);
    files_.push_back({name, SecretBytes::adopt(std::move(text)), true});
  }
  void private_key(const std::string& name, const SecretBytes& pkcs8) {
    files_.push_back({name, pki::private_key_pem(pkcs8.expose()), true});
  }
  void pem(const std::string& name, const std::vector<Bytes>& objects, std::string (*form)(ByteView)) {
    std::string text;
    for (const Bytes& der : objects) text += form(der);
    files_.push_back({name, SecretBytes::copy_of(to_bytes(text)), false});
  }
  [[nodiscard]] std::vector<WrittenFile> take() && { return std::move(files_); }

 private:
  std::vector<WrittenFile> files_;
};

// The gateway's own files: no tunnel's name begins with this.
constexpr std::string_view kOwn = "_";

void write_credentials(Lines& out, Files& files, const model::Gateway& g) {
  const auto own = [](std::string_view name) { return std::string{kOwn} + std::string{name}; };
  if (g.api) out.text("api", g.api->to_string());
  if (g.api_credentials.private_key) {
    out.text("api_certificate", own("api.crt"));
    out.text("api_key", own("api.key"));
    files.pem(own("api.crt"), g.api_credentials.certificates, pki::certificate_pem);
    files.private_key(own("api.key"), *g.api_credentials.private_key);
  }
  if (!g.store_key.empty()) files.key(out, "store_key_file", own("store.key"), g.store_key.expose());
  if (!g.store_key_before.empty())
    files.key(out, "store_key_file_before", own("store-before.key"), g.store_key_before.expose());
}

std::string gateway_text(const model::Gateway& g, Files& files) {
  const model::Gateway usual;
  Lines out{"[gateway]"};
  std::vector<std::string> addresses;
  if (g.address4) addresses.push_back(g.address4->to_string());
  if (g.address6) addresses.push_back(g.address6->to_string());
  if (addresses.size() == 1) {
    out.text("address", addresses[0]);
  } else {
    out.texts("address", addresses);
  }
  out.unless("tun", g.tun_name, usual.tun_name);
  out.unless("outer_mtu", g.outer_mtu, usual.outer_mtu);
  out.unless("route_table", g.route_table, usual.route_table);
  out.unless("fwmark", g.fwmark, usual.fwmark);
  out.unless("control_socket", g.control_socket, usual.control_socket);
  out.unless("control_group", g.control_group, usual.control_group);
  out.unless("state_dir", g.state_dir, usual.state_dir);
  out.unless("user", g.user, usual.user);
  out.unless("half_open_limit", g.half_open_limit, usual.half_open_limit);
  out.unless("cookie_threshold", g.cookie_threshold, usual.cookie_threshold);
  out.unless("prefix_limit", g.prefix_limit, usual.prefix_limit);
  out.unless("ike_threads", g.ike_threads, usual.ike_threads);
  out.unless("data_workers", g.data_workers, usual.data_workers);
  out.unless("puzzle_difficulty", g.puzzle_difficulty, usual.puzzle_difficulty);
  out.unless("puzzle_limit", g.puzzle_limit, usual.puzzle_limit);
  if (g.metrics) out.text("metrics", g.metrics->to_string());
  write_credentials(out, files, g);
  out.unless("webhooks", g.webhooks, usual.webhooks);
  std::vector<std::string> allowed;
  for (const Prefix& prefix : g.webhook_allow) allowed.push_back(prefix.to_string());
  if (!allowed.empty()) out.texts("webhook_allow", allowed);
  if (!g.webhook_ca.empty()) {
    const std::string name = std::string{kOwn} + "webhook-ca.crt";
    out.text("webhook_ca", name);
    files.pem(name, g.webhook_ca, pki::certificate_pem);
  }
  std::string text = std::move(out).take();
  if (g.log_level == usual.log_level && g.log_json == usual.log_json) return text;
  Lines log{"\n[log]"};
  log.unless("level", g.log_level, usual.log_level);
  log.unless("json", g.log_json, usual.log_json);
  return text + std::move(log).take();
}

class Writer {
 public:
  explicit Writer(const model::Config& config) : config_(config) {
    for (const model::Route& route : config.routes) {
      model::Route plain;
      plain.vrf = route.vrf;
      plain.prefix = route.prefix;
      plain.tunnel = route.tunnel;
      if (!(route == plain)) steered_.insert(route.tunnel);
    }
  }

  Written run() && {
    out_.text = gateway_text(config_.gateway, files_);
    for (const model::Vrf& vrf : config_.vrfs) {
      Lines lines{"\n[[vrf]]"};
      lines.text("name", vrf.name);
      lines.text("tun", vrf.tun_name);
      lines.number("route_table", vrf.route_table);
      out_.text += std::move(lines).take();
    }
    for (const Tunnel& tunnel : config_.tunnels) write(tunnel);
    for (const model::Route& route : config_.routes) write(route);
    for (const model::PolicyRule& rule : config_.policy) write(rule);
    for (const model::NatRule& rule : config_.nat) write(rule);
    out_.files = std::move(files_).take();
    return std::move(out_);
  }

 private:
  [[nodiscard]] std::string_view vrf_name(VrfId id) const {
    const auto it =
        std::find_if(config_.vrfs.begin(), config_.vrfs.end(), [&](const model::Vrf& v) { return v.id == id; });
    return it == config_.vrfs.end() ? "default" : std::string_view{it->name};
  }
  void vrf(Lines& lines, VrfId id) const {
    if (id != VrfId{}) lines.text("vrf", vrf_name(id));
  }

  void write_credentials(Lines& lines, const Tunnel& t) {
    if (!t.psk.empty()) files_.key(lines, "psk_file", t.name + ".psk", t.psk.expose());
    const Tunnel::Credentials& c = t.credentials;
    if (c.private_key) {
      lines.text("cert_file", t.name + ".crt");
      lines.text("key_file", t.name + ".key");
      files_.pem(t.name + ".crt", c.certificates, pki::certificate_pem);
      files_.private_key(t.name + ".key", *c.private_key);
    }
    if (!c.trust_anchors.empty()) {
      lines.texts("ca_files", std::vector{t.name + "-ca.crt"});
      files_.pem(t.name + "-ca.crt", c.trust_anchors, pki::certificate_pem);
    }
    if (!c.crls.empty()) {
      lines.texts("crl_files", std::vector{t.name + ".crl"});
      files_.pem(t.name + ".crl", c.crls, pki::crl_pem);
    }
    if (t.pq_auth == model::PqAuthPolicy::Require) lines.text("pq_auth", "require");
    if (!t.ppk.empty()) {
      files_.key(lines, "ppk_file", t.name + ".ppk", t.ppk.expose());
      lines.text("ppk_id", t.ppk_id);
      if (t.ppk_policy != model::PpkPolicy::Prefer)
        lines.text("ppk", t.ppk_policy == model::PpkPolicy::Require ? "require" : "off");
    }
  }

  static void write_keys(Lines& lines, const Tunnel& t) {
    const Tunnel usual;
    if (t.pq != usual.pq) lines.text("pq", to_string(t.pq));
    if (!t.ike_proposals.empty()) lines.texts("ike", t.ike_proposals);
    if (!t.esp_proposals.empty()) lines.texts("esp", t.esp_proposals);
    if (t.downgrade != usual.downgrade)
      lines.text("downgrade_prevention", t.downgrade == model::DowngradePolicy::Require ? "require" : "off");
    lines.unless("ike_lifetime", t.ike_lifetime, usual.ike_lifetime);
    lines.unless("child_lifetime", t.child_lifetime, usual.child_lifetime);
    lines.unless("reauth", t.reauth, usual.reauth);
    lines.unless("rekey_bytes", t.rekey_bytes, usual.rekey_bytes);
    lines.unless("rekey_packets", t.rekey_packets, usual.rekey_packets);
    lines.unless("old_keys", t.old_keys, usual.old_keys);
    lines.unless("pfs", t.pfs, usual.pfs);
    lines.unless("childless", t.childless, usual.childless);
    lines.unless("mobike", t.mobike, usual.mobike);
    lines.unless("child_on_demand", t.more_children, usual.more_children);
  }

  void write_inside(Lines& lines, const Tunnel& t) const {
    if (t.interface4) lines.text("interface", fmt::format("{}/{}", t.interface4->to_string(), t.interface4_length));
    if (t.interface6) lines.text("interface6", fmt::format("{}/{}", t.interface6->to_string(), t.interface6_length));
    if (!steered_.contains(t.name)) lines.prefixes("routes", t.routes);
    lines.unless("classical_penalty", t.classical_penalty, 0U);
    if (t.selectors == model::SelectorMode::Routes) lines.text("selectors", "routes");
    if (t.selectors != model::SelectorMode::List) return;
    std::string pairs;
    for (const model::SelectorPair& pair : t.selector_list)
      pairs += fmt::format("{}{{ local = \"{}\", remote = \"{}\" }}", pairs.empty() ? "" : ", ", pair.local.to_string(),
                           pair.remote.to_string());
    lines.raw("selectors", "[" + pairs + "]");
  }

  static void write_packets(Lines& lines, const Tunnel& t) {
    const Tunnel usual;
    if (t.source_check == model::SourceCheck::Off) lines.text("source_check", "off");
    if (t.encap == model::EncapMode::Force) lines.text("encap", "force");
    if (t.esn == model::EsnMode::Off) lines.text("esn", "off");
    lines.unless("replay_window", t.replay_window, usual.replay_window);
    if (t.dscp) lines.number("dscp", *t.dscp);
    if (t.df != usual.df) lines.text("df", t.df == model::DfMode::Set ? "set" : "clear");
    lines.unless("mtu", t.mtu, usual.mtu);
    if (!t.clamp_mss) lines.text("mss", "off");
    if (t.dpd_idle != usual.dpd_idle || t.dpd_timeout != usual.dpd_timeout)
      lines.raw("dpd", fmt::format("{{ idle = {}, timeout = {} }}", t.dpd_idle.count(), t.dpd_timeout.count()));
    lines.unless("ike_fragment_size", t.ike_fragment_size, usual.ike_fragment_size);
    if (t.health == usual.health) return;
    std::string health = fmt::format("enabled = {}, type = \"{}\", direction = \"{}\", rate = \"{}\"", t.health.enabled,
                                     to_string(t.health.type), to_string(t.health.direction), to_string(t.health.rate));
    if (t.health.target) health += fmt::format(", target = \"{}\"", t.health.target->to_string());
    lines.raw("health", "{ " + health + " }");
  }

  void write(const Tunnel& t) {
    Lines lines{"\n[[tunnel]]"};
    lines.text("name", t.name);
    vrf(lines, t.vrf);
    lines.text("peer", t.peer ? t.peer->to_string() : "any");
    lines.unless("peer_port", t.peer_port, Tunnel{}.peer_port);
    if (t.local) lines.text("local", t.local->to_string());
    if (t.local_id) lines.text("local_id", t.local_id->to_string());
    if (t.remote_id) lines.text("remote_id", t.remote_id->to_string());
    if (t.peer && t.start == model::StartMode::Respond) lines.text("start", "respond");
    write_credentials(lines, t);
    write_keys(lines, t);
    write_inside(lines, t);
    write_packets(lines, t);
    out_.text += std::move(lines).take();
  }

  void write(const model::Route& route) {
    if (!steered_.contains(route.tunnel)) return;  // in the tunnel's own list
    const model::Route usual;
    Lines lines{"\n[[route]]"};
    lines.text("prefix", route.prefix.to_string());
    lines.text("tunnel", route.tunnel);
    lines.unless("priority", route.priority, usual.priority);
    lines.unless("weight", route.weight, usual.weight);
    if (route.pq == model::RoutePq::Require) lines.text("pq", "require");
    lines.unless("description", route.description, usual.description);
    out_.text += std::move(lines).take();
  }

  void write(const model::PolicyRule& rule) {
    Lines lines{"\n[[policy]]"};
    lines.text("name", rule.name);
    vrf(lines, rule.vrf);
    lines.prefixes("from", rule.from);
    lines.prefixes("to", rule.to);
    if (rule.protocol) lines.number("protocol", *rule.protocol);
    const auto ports = [&](const char* key, const std::optional<model::PortRange>& range) {
      if (range) lines.text(key, fmt::format("{}-{}", range->first, range->last));
    };
    ports("from_ports", rule.from_ports);
    ports("to_ports", rule.to_ports);
    if (rule.icmp_type) lines.number("icmp_type", *rule.icmp_type);
    if (rule.from_tunnel) lines.text("from_tunnel", *rule.from_tunnel);
    if (rule.to_tunnel) lines.text("to_tunnel", *rule.to_tunnel);
    lines.text("action", to_string(rule.action));
    out_.text += std::move(lines).take();
  }

  void write(const model::NatRule& rule) {
    Lines lines{"\n[[nat]]"};
    vrf(lines, rule.vrf);
    lines.prefixes("sources", rule.sources);
    lines.unless("out_interface", rule.out_interface, std::string{});
    lines.text("translate", rule.translate ? rule.translate->to_string() : "masquerade");
    out_.text += std::move(lines).take();
  }

  const model::Config& config_;
  std::set<std::string_view> steered_;  // tunnels with a route that says more than its prefix
  Written out_;
  Files files_;
};

}  // namespace

Written write(const model::Config& config) {
  return Writer{config}.run();
}

}  // namespace qanat::config
