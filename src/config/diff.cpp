#include "config/diff.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <tuple>

#include <fmt/format.h>

namespace qanat::config {

namespace {

using model::Config;
using model::Tunnel;

// The keys of one object, by what their change does.
class Keys {
 public:
  void add(Effect effect, std::string_view key) { by_[static_cast<std::size_t>(effect)].emplace_back(key); }
  template <typename Object, typename Member>
  void compare(const Object& old, const Object& now, Member Object::* member, Effect effect, std::string_view key) {
    if (!(old.*member == now.*member)) add(effect, key);
  }
  void take(Change::Kind kind, const std::string& name, std::vector<Change>& out) {
    for (std::size_t i = 0; i < by_.size(); ++i) {
      if (!by_[i].empty()) out.push_back({kind, name, std::move(by_[i]), static_cast<Effect>(i)});
    }
  }

 private:
  std::array<std::vector<std::string>, static_cast<std::size_t>(Effect::Restart) + 1> by_;
};

bool lost_one(const std::vector<Bytes>& old, const std::vector<Bytes>& now) {
  return std::any_of(old.begin(), old.end(),
                     [&](const Bytes& one) { return std::find(now.begin(), now.end(), one) == now.end(); });
}

bool has_inner_v6(const Tunnel& t) {
  return t.interface6.has_value() ||
         std::any_of(t.routes.begin(), t.routes.end(), [](const Prefix& p) { return !p.is_v4(); });
}

Prefix everything(bool v4) {
  return *Prefix::parse(v4 ? "0.0.0.0/0" : "::/0");
}

void compare_identity(const Tunnel& old, const Tunnel& now, Keys& keys) {
  keys.compare(old, now, &Tunnel::local, Effect::NewIkeSa, "local");
  keys.compare(old, now, &Tunnel::peer, Effect::NewIkeSa, "peer");
  keys.compare(old, now, &Tunnel::peer_port, Effect::NewIkeSa, "peer_port");
  keys.compare(old, now, &Tunnel::local_id, Effect::NewIkeSa, "local_id");
  keys.compare(old, now, &Tunnel::remote_id, Effect::NewIkeSa, "remote_id");
  keys.compare(old, now, &Tunnel::psk, Effect::NewIkeSa, "psk");
  const Tunnel::Credentials& before = old.credentials;
  const Tunnel::Credentials& after = now.credentials;
  if (before.certificates != after.certificates) keys.add(Effect::NewIkeSa, "cert_file");
  Tunnel::Credentials same_files = after;
  same_files.private_key = before.private_key;
  if (!(same_files == after)) keys.add(Effect::NewIkeSa, "key_file");
  if (before.trust_anchors != after.trust_anchors) {
    // Who came in by an anchor that is gone, or by a PSK where an anchor is wanted now, must not stay.
    const bool tighter = !after.trust_anchors.empty() &&
                         (before.trust_anchors.empty() || lost_one(before.trust_anchors, after.trust_anchors));
    keys.add(tighter ? Effect::Enforced : after.trust_anchors.empty() ? Effect::NewIkeSa : Effect::InPlace, "ca_files");
  }
  if (before.crls != after.crls)
    keys.add(lost_one(after.crls, before.crls) ? Effect::Enforced : Effect::InPlace, "crl_files");
}

void compare_safety(const Tunnel& old, const Tunnel& now, Keys& keys) {
  using model::DowngradePolicy;
  using model::PpkPolicy;
  using model::PqPolicy;
  if (old.pq != now.pq) {
    // From and to "off" the proposals change; classical SAs break "require", and "pin" when the peer has been hybrid.
    const bool tighter = now.pq == PqPolicy::Require || (now.pq == PqPolicy::Pin && old.pq != PqPolicy::Require);
    const bool other_offer = old.pq == PqPolicy::Off || now.pq == PqPolicy::Off;
    if (other_offer) keys.add(Effect::NewIkeSa, "pq");
    if (tighter) keys.add(Effect::Enforced, "pq");
    if (!other_offer && !tighter) keys.add(Effect::InPlace, "pq");
  }
  if (old.pq_auth != now.pq_auth)
    keys.add(now.pq_auth == model::PqAuthPolicy::Require ? Effect::Enforced : Effect::InPlace, "pq_auth");
  if (old.downgrade != now.downgrade) {
    keys.add(now.downgrade == DowngradePolicy::Require ? Effect::Enforced
             : old.downgrade == DowngradePolicy::Off   ? Effect::NewIkeSa
                                                       : Effect::InPlace,
             "downgrade_prevention");
  }
  if (old.ppk_policy != now.ppk_policy) {
    keys.add(now.ppk_policy == PpkPolicy::Require                                   ? Effect::Enforced
             : old.ppk_policy == PpkPolicy::Off || now.ppk_policy == PpkPolicy::Off ? Effect::NewIkeSa
                                                                                    : Effect::InPlace,
             "ppk");
  }
  keys.compare(old, now, &Tunnel::ppk_id, Effect::NewIkeSa, "ppk_id");
  keys.compare(old, now, &Tunnel::ppk, Effect::NewIkeSa, "ppk_file");
  keys.compare(old, now, &Tunnel::ike_proposals, Effect::NewIkeSa, "ike");
  keys.compare(old, now, &Tunnel::encap, Effect::NewIkeSa, "encap");
}

void compare_renewal(const Tunnel& old, const Tunnel& now, Keys& keys) {
  keys.compare(old, now, &Tunnel::esp_proposals, Effect::ChildRekey, "esp");
  keys.compare(old, now, &Tunnel::ike_lifetime, Effect::ChildRekey, "ike_lifetime");
  keys.compare(old, now, &Tunnel::child_lifetime, Effect::ChildRekey, "child_lifetime");
  keys.compare(old, now, &Tunnel::rekey_bytes, Effect::ChildRekey, "rekey_bytes");
  keys.compare(old, now, &Tunnel::rekey_packets, Effect::ChildRekey, "rekey_packets");
  keys.compare(old, now, &Tunnel::reauth, Effect::ChildRekey, "reauth");
  keys.compare(old, now, &Tunnel::pfs, Effect::ChildRekey, "pfs");
  keys.compare(old, now, &Tunnel::esn, Effect::ChildRekey, "esn");
  keys.compare(old, now, &Tunnel::replay_window, Effect::ChildRekey, "replay_window");
}

void compare_scope(const Tunnel& old, const Tunnel& now, Keys& keys) {
  const Scope before = scope_of(old);
  const Scope after = scope_of(now);
  const bool same = is_within(before.local, after.local) && is_within(before.remote, after.remote);
  const bool wider = !is_within(after.local, before.local) || !is_within(after.remote, before.remote);
  if (!same) keys.add(Effect::Enforced, "selectors");
  if (wider) keys.add(Effect::NewIkeSa, "selectors");  // a rekey offers the selectors that are in use
  const bool written = old.selectors == now.selectors && old.selector_list == now.selector_list;
  if (same && !wider && !written) keys.add(Effect::InPlace, "selectors");
}

void compare_in_place(const Tunnel& old, const Tunnel& now, Keys& keys) {
  const auto in_place = [&](auto member, std::string_view key) {
    keys.compare(old, now, member, Effect::InPlace, key);
  };
  in_place(&Tunnel::start, "start");
  in_place(&Tunnel::old_keys, "old_keys");
  in_place(&Tunnel::childless, "childless");
  if (std::tie(old.interface4, old.interface4_length) != std::tie(now.interface4, now.interface4_length))
    keys.add(Effect::InPlace, "interface");
  if (std::tie(old.interface6, old.interface6_length) != std::tie(now.interface6, now.interface6_length))
    keys.add(Effect::InPlace, "interface6");
  in_place(&Tunnel::routes, "routes");
  in_place(&Tunnel::classical_penalty, "classical_penalty");
  in_place(&Tunnel::health, "health");
  in_place(&Tunnel::source_check, "source_check");
  in_place(&Tunnel::dscp, "dscp");
  in_place(&Tunnel::df, "df");
  in_place(&Tunnel::mtu, "mtu");
  in_place(&Tunnel::clamp_mss, "mss");
  if (old.dpd_idle != now.dpd_idle || old.dpd_timeout != now.dpd_timeout) keys.add(Effect::InPlace, "dpd");
  in_place(&Tunnel::mobike, "mobike");
  in_place(&Tunnel::more_children, "child_on_demand");
  in_place(&Tunnel::ike_fragment_size, "ike_fragment_size");
}

void diff_gateway(const model::Gateway& old, const model::Gateway& now, std::vector<Change>& out) {
  using model::Gateway;
  Keys keys;
  const auto restart = [&](auto member, std::string_view key) { keys.compare(old, now, member, Effect::Restart, key); };
  if (old.address4 != now.address4 || old.address6 != now.address6) keys.add(Effect::Restart, "address");
  restart(&Gateway::tun_name, "tun");
  keys.compare(old, now, &Gateway::outer_mtu, Effect::InPlace, "outer_mtu");
  restart(&Gateway::route_table, "route_table");
  restart(&Gateway::fwmark, "fwmark");
  restart(&Gateway::control_socket, "control_socket");
  restart(&Gateway::control_group, "control_group");
  restart(&Gateway::state_dir, "state_dir");
  restart(&Gateway::store_key, "store_key_file");
  restart(&Gateway::user, "user");
  restart(&Gateway::metrics, "metrics");
  restart(&Gateway::api, "api");
  // While there is no listener there is nothing to show it on.
  const Effect shown = old.api ? Effect::InPlace : Effect::Restart;
  keys.compare(old, now, &Gateway::api_credentials, shown, "api_certificate");
  restart(&Gateway::webhooks, "webhooks");
  restart(&Gateway::webhook_allow, "webhook_allow");
  restart(&Gateway::webhook_ca, "webhook_ca");
  restart(&Gateway::half_open_limit, "half_open_limit");
  restart(&Gateway::cookie_threshold, "cookie_threshold");
  restart(&Gateway::prefix_limit, "prefix_limit");
  restart(&Gateway::puzzle_difficulty, "puzzle_difficulty");
  restart(&Gateway::puzzle_limit, "puzzle_limit");
  restart(&Gateway::ike_threads, "ike_threads");
  restart(&Gateway::data_workers, "data_workers");
  restart(&Gateway::log_level, "log.level");
  restart(&Gateway::log_json, "log.json");
  keys.take(Change::Kind::Gateway, "", out);
}

// Objects of a list that have a name of their own.
template <typename Object, typename NameOf>
std::map<std::string, const Object*> by_name(const std::vector<Object>& list, const NameOf& name_of) {
  std::map<std::string, const Object*> out;
  for (const Object& one : list) out.emplace(name_of(one), &one);
  return out;
}

// `changed` tells what has changed of an object that both have.
template <typename Object, typename NameOf, typename Changed>
void diff_lists(const std::vector<Object>& old, const std::vector<Object>& now, Change::Kind kind,
                const NameOf& name_of, const Changed& changed, std::vector<Change>& out) {
  const auto before = by_name(old, name_of);
  const auto after = by_name(now, name_of);
  for (const Object& one : now) {
    const std::string name = name_of(one);
    const auto found = before.find(name);
    if (found == before.end()) {
      out.push_back({kind, name, {}, Effect::Added});
    } else if (!(*found->second == one)) {
      changed(name, *found->second, one);
    }
  }
  for (const Object& one : old) {
    if (!after.contains(name_of(one))) out.push_back({kind, name_of(one), {}, Effect::Removed});
  }
}

void diff_tunnels(const Config& old, const Config& now, std::vector<Change>& out) {
  const auto changed = [&](const std::string& name, const Tunnel& before, const Tunnel& after) {
    if (before.vrf != after.vrf) {  // another world: nothing of it can go on
      out.push_back({Change::Kind::Tunnel, name, {"vrf"}, Effect::Removed});
      out.push_back({Change::Kind::Tunnel, name, {"vrf"}, Effect::Added});
      return;
    }
    Keys keys;
    compare_identity(before, after, keys);
    compare_safety(before, after, keys);
    compare_renewal(before, after, keys);
    compare_scope(before, after, keys);
    compare_in_place(before, after, keys);
    keys.take(Change::Kind::Tunnel, name, out);
  };
  diff_lists(old.tunnels, now.tunnels, Change::Kind::Tunnel, [](const Tunnel& t) { return t.name; }, changed, out);
}

void diff_routes(const Config& old, const Config& now, std::vector<Change>& out) {
  using model::Route;
  const auto changed = [&](const std::string& name, const Route& before, const Route& after) {
    Keys keys;
    keys.compare(before, after, &Route::priority, Effect::InPlace, "priority");
    keys.compare(before, after, &Route::weight, Effect::InPlace, "weight");
    keys.compare(before, after, &Route::pq, Effect::InPlace, "pq");
    keys.compare(before, after, &Route::description, Effect::InPlace, "description");
    keys.take(Change::Kind::Route, name, out);
  };
  // A tunnel is in one VRF: its name says which.
  diff_lists(
      old.routes, now.routes, Change::Kind::Route,
      [](const Route& r) { return fmt::format("{} via {}", r.prefix.to_string(), r.tunnel); }, changed, out);
}

void diff_policy(const Config& old, const Config& now, std::vector<Change>& out) {
  using model::PolicyRule;
  const auto changed = [&](const std::string& name, const PolicyRule& before, const PolicyRule& after) {
    Keys keys;
    const auto in_place = [&](auto member, std::string_view key) {
      keys.compare(before, after, member, Effect::InPlace, key);
    };
    in_place(&PolicyRule::vrf, "vrf");
    in_place(&PolicyRule::from, "from");
    in_place(&PolicyRule::to, "to");
    in_place(&PolicyRule::protocol, "protocol");
    in_place(&PolicyRule::from_ports, "from_ports");
    in_place(&PolicyRule::to_ports, "to_ports");
    in_place(&PolicyRule::icmp_type, "icmp_type");
    in_place(&PolicyRule::from_tunnel, "from_tunnel");
    in_place(&PolicyRule::to_tunnel, "to_tunnel");
    in_place(&PolicyRule::action, "action");
    keys.take(Change::Kind::Policy, name, out);
  };
  const auto name_of = [](const PolicyRule& r) { return r.name; };
  const std::size_t before = out.size();
  diff_lists(old.policy, now.policy, Change::Kind::Policy, name_of, changed, out);
  const bool same_order = std::equal(old.policy.begin(), old.policy.end(), now.policy.begin(), now.policy.end(),
                                     [](const PolicyRule& a, const PolicyRule& b) { return a.name == b.name; });
  const bool same_names = std::none_of(out.begin() + static_cast<std::ptrdiff_t>(before), out.end(),
                                       [](const Change& c) { return c.effect != Effect::InPlace; });
  if (!same_order && same_names) out.push_back({Change::Kind::Policy, "", {"order"}, Effect::InPlace});
}

}  // namespace

Scope scope_of(const Tunnel& tunnel) {
  Scope out;
  if (tunnel.selectors == model::SelectorMode::List) {
    for (const model::SelectorPair& pair : tunnel.selector_list) {
      out.local.push_back(pair.local);
      out.remote.push_back(pair.remote);
    }
    return out;
  }
  out.local = {everything(true)};
  if (has_inner_v6(tunnel)) out.local.push_back(everything(false));
  if (tunnel.selectors == model::SelectorMode::Any) {
    out.remote = out.local;
    return out;
  }
  out.remote = tunnel.routes;
  if (tunnel.peer_interface4) out.remote.push_back(Prefix::masked(*tunnel.peer_interface4, 32));
  if (tunnel.peer_interface6) out.remote.push_back(Prefix::masked(*tunnel.peer_interface6, 128));
  return out;
}

bool is_within(const std::vector<Prefix>& inner, const std::vector<Prefix>& outer) {
  return std::all_of(inner.begin(), inner.end(), [&](const Prefix& one) {
    return std::any_of(outer.begin(), outer.end(), [&](const Prefix& other) { return other.contains(one); });
  });
}

std::vector<Change> diff(const Config& old, const Config& now) {
  std::vector<Change> out;
  diff_gateway(old.gateway, now.gateway, out);
  if (old.vrfs != now.vrfs) {
    const std::size_t before = out.size();
    const auto restart = [&](const std::string& name, const model::Vrf&, const model::Vrf&) {
      out.push_back({Change::Kind::Vrf, name, {}, Effect::Restart});
    };
    diff_lists(old.vrfs, now.vrfs, Change::Kind::Vrf, [](const model::Vrf& v) { return v.name; }, restart, out);
    for (std::size_t i = before; i < out.size(); ++i) {
      if (out[i].effect == Effect::Added || out[i].effect == Effect::Removed) out[i].keys = {"name"};
      out[i].effect = Effect::Restart;
    }
  }
  diff_tunnels(old, now, out);
  diff_routes(old, now, out);
  diff_policy(old, now, out);
  if (old.nat != now.nat) out.push_back({Change::Kind::Nat, "", {}, Effect::InPlace});
  return out;
}

Config without_restart(const Config& old, const Config& now) {
  Config out = now;
  out.gateway = old.gateway;
  out.gateway.outer_mtu = now.gateway.outer_mtu;
  // The listener stays; with what it shows. Taken out of the file, it goes on as it was until the restart.
  if (old.gateway.api && now.gateway.api) out.gateway.api_credentials = now.gateway.api_credentials;
  out.vrfs = old.vrfs;
  return out;
}

std::string_view to_string(Change::Kind kind) {
  switch (kind) {
    case Change::Kind::Gateway:
      return "gateway";
    case Change::Kind::Vrf:
      return "vrf";
    case Change::Kind::Tunnel:
      return "tunnel";
    case Change::Kind::Route:
      return "route";
    case Change::Kind::Policy:
      return "policy";
    case Change::Kind::Nat:
      return "nat";
  }
  return "unknown";
}

std::string_view to_string(Effect effect) {
  switch (effect) {
    case Effect::InPlace:
      return "in place";
    case Effect::ChildRekey:
      return "child rekey";
    case Effect::NewIkeSa:
      return "new ike sa";
    case Effect::Enforced:
      return "enforced";
    case Effect::Added:
      return "added";
    case Effect::Removed:
      return "removed";
    case Effect::Restart:
      return "restart";
  }
  return "unknown";
}

std::string_view meaning(Effect effect) {
  switch (effect) {
    case Effect::InPlace:
      return "in place, live SAs go on";
    case Effect::ChildRekey:
      return "new keys at once, inside the IKE SA, nothing is lost";
    case Effect::NewIkeSa:
      return "new IKE SA before the old one goes, at most 60 s later";
    case Effect::Enforced:
      return "SAs that break the new rule are deleted at once";
    case Effect::Added:
      return "added";
    case Effect::Removed:
      return "removed: Delete, then its routes and filter go";
    case Effect::Restart:
      return "needs a restart of qanatd; stays as it is until then";
  }
  return "unknown";
}

}  // namespace qanat::config
