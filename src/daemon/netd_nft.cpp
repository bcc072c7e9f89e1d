#include "daemon/netd_nft.hpp"

#include "daemon/nft_filter.hpp"
#include "io/datagram.hpp"

namespace qanat::daemon {

using namespace nft;

namespace {

Json chain(const char* name, const char* hook) {
  return add({{"chain",
               in_table(kFilterTable,
                        {{"name", name}, {"type", "filter"}, {"hook", hook}, {"prio", -300}, {"policy", "accept"}})}});
}
// Where an answer to the packet would go.
Json way_back(const char* result, Marked marked) {
  Json out = fib(result, "saddr");
  if (marked == Marked::Yes) out["fib"]["flags"].push_back("mark");
  return out;
}
Json neighbour_discovery() {
  return {match("==", payload("ip6", "hoplimit"), 255),
          match("==", payload("icmpv6", "type"),
                any_of({"nd-router-solicit", "nd-router-advert", "nd-neighbor-solicit", "nd-neighbor-advert"})),
          accept()};
}

std::vector<std::string> all_tuns(const gateway::SetProtection& protection) {
  std::vector<std::string> out = {protection.tun, "lo"};
  for (const gateway::AccountProtection& a : protection.accounts) out.push_back(a.tun);
  return out;
}

// What belongs to the outer network and may come from anywhere, also from inside a protected prefix: IKE and ESP
// addressed to this host, their fragments (useless without a first one, which must have passed), and the link's own
// packets, which routers do not forward. IKE and ESP get our mark: the reverse path filter (with src_valid_mark) then
// looks the peer up where our answers go, past our own tables, and a route that covers the peer does not make it a
// martian.
void add_outer_exemptions(Json& commands, std::uint32_t fwmark) {
  commands.push_back(rule(
      kIn, "IKE and ESP in UDP",
      {match("==", payload("udp", "dport"), any_of({io::kIkePort, io::kNatPort})), to_us(), mark(fwmark), accept()}));
  commands.push_back(rule(kIn, "ESP", {match("==", meta("l4proto"), "esp"), to_us(), mark(fwmark), accept()}));
  const Json offset = {{"&", {payload("ip", "frag-off"), 0x1fff}}};
  commands.push_back(rule(kIn, "later fragments", {match("!=", offset, 0), to_us(), accept()}));
  const Json offset6 = {{"exthdr", {{"name", "frag"}, {"field", "frag-off"}}}};
  commands.push_back(rule(kIn, "later fragments", {match("!=", offset6, 0), to_us(), accept()}));
  commands.push_back(rule(kIn, "neighbour discovery", neighbour_discovery()));
  commands.push_back(rule(kIn, "link-local", {match("==", payload("ip6", "saddr"), prefix("fe80::", 10)), accept()}));
}

// The routing rules keep protected packets inside. This holds where they are passed by: a socket bound to an interface
// (the kernel then skips the routes of others, and IPv4 assumes its destination on the link), or another's rule before
// ours. For a default there is no list, and `fib` cannot be asked on the way out: IPv6 is held by a routing rule, but
// an IPv4 socket of a process on this host that is bound to an interface still reaches whoever answers ARP for its
// destination there.
void add_exit_rules(Json& commands, const gateway::SetProtection& protection, const Exceptions& exceptions) {
  commands.push_back(
      rule(kOut, "to the inside", {match("==", meta("oifname"), names(all_tuns(protection))), accept()}));
  commands.push_back(rule(kOut, "our own outer packets", {match("==", meta("mark"), protection.fwmark), accept()}));
  commands.push_back(rule(kOut, "neighbour discovery", neighbour_discovery()));
  commands.push_back(
      rule(kOut, "link-local",
           {match("==", payload("ip6", "daddr"), any_of({prefix("fe80::", 10), prefix("ff00::", 8)})), accept()}));
  commands.push_back(rule(kOut, "broadcast and multicast",
                          {match("==", fib("type", "daddr"), any_of({"broadcast", "multicast"})), accept()}));
  add_account_exit_rules(commands, protection);
  add_exceptions(commands, kOut, exceptions, VrfId{}, "daddr", "oifname", accept());
  add_prefix_drops(commands, kOut, "protected destination", "protected", "daddr");
}

constexpr const char* kLeaving = "leaving";
constexpr const char* kUntracked = "untracked";

// One rule for each family that its sources have. What connection tracking does not know (the late end of a connection)
// is not translated, and must not leave under its own address either.
void add_nat_rule(Json& commands, const gateway::NatRule& r) {
  const auto add_one = [&](const std::optional<Json>& source) {
    Json whose = Json::array({match("==", meta("iifname"), names(r.in))});
    if (r.out_interface.empty()) {
      std::vector<std::string> inside = r.in;
      inside.emplace_back("lo");
      whose.push_back(match("!=", meta("oifname"), names(inside)));
    } else {
      whose.push_back(match("==", meta("oifname"), r.out_interface));
    }
    if (source) whose.push_back(*source);
    Json untracked = whose;
    untracked.push_back(match("in", ct("state"), "invalid"));
    untracked.push_back(counted());
    untracked.push_back(drop());
    commands.push_back(rule_in(kNatTable, kUntracked, "belongs to no connection", std::move(untracked)));
    whose.push_back(counted());
    if (r.translate) {
      whose.push_back(
          {{"snat", {{"family", r.translate->is_v6() ? "ip6" : "ip"}, {"addr", r.translate->to_string()}}}});
    } else {
      whose.push_back({{"masquerade", nullptr}});
    }
    commands.push_back(rule_in(kNatTable, kLeaving, "source NAT", std::move(whose)));
  };
  if (r.sources.empty() && !r.translate) return add_one(std::nullopt);
  for (const bool v6 : {false, true}) {
    const auto of_family = [&](const Prefix& p) { return p.is_v4() != v6; };
    const bool all = (r.sources.empty() && r.translate->is_v6() == v6) ||
                     std::ranges::any_of(r.sources, [&](const Prefix& p) { return of_family(p) && p.length() == 0; });
    if (all) {
      add_one(match("==", meta("nfproto"), v6 ? "ipv6" : "ipv4"));
    } else if (std::ranges::any_of(r.sources, of_family)) {
      add_one(match("==", payload(v6 ? "ip6" : "ip", "saddr"), any_of(prefix_list(without_nested(r.sources, v6)))));
    }
  }
}

Json of_vrf(const std::vector<Learnt>& learnt, VrfId vrf, bool v6) {
  const auto found = std::ranges::find(learnt, vrf, &Learnt::vrf);
  return found == learnt.end() ? Json::array() : prefix_list(without_nested(found->prefixes, v6));
}

std::vector<VrfId> vrfs_of(const gateway::SetProtection& protection) {
  std::vector<VrfId> out = {VrfId{}};
  for (const gateway::AccountProtection& a : protection.accounts) out.push_back(a.vrf);
  return out;
}

}  // namespace

namespace nft {

void add_exceptions(Json& commands, const std::string& chain, const Exceptions& exceptions, VrfId vrf,
                    const char* field, const char* key, const Json& verdict) {
  for (const gateway::Exception& e : exceptions) {
    if (e.vrf != vrf) continue;
    const Json address = payload(e.prefix.is_v4() ? "ip" : "ip6", field);
    Json rule_of_it = {match("==", meta(key), e.interface),
                       match("==", address, prefix(e.prefix.address().to_string().c_str(), e.prefix.length()))};
    if (!e.but.empty())
      rule_of_it.push_back(match("!=", address, any_of(prefix_list(without_nested(e.but, !e.prefix.is_v4())))));
    rule_of_it.push_back(verdict);
    commands.push_back(rule(chain, "a network of the host's", std::move(rule_of_it)));
  }
}

std::string learnt_set(VrfId vrf) {
  return "learnt_" + std::to_string(vrf.value()) + "_";
}

// The list alone would drop what a longer route leads elsewhere; the question alone costs every packet from outside.
void add_learnt_drops(Json& commands, const std::string& chain, VrfId vrf, const std::string& tun, Marked marked) {
  for (const bool v6 : {false, true}) {
    const Json listed = match("==", payload(v6 ? "ip6" : "ip", "saddr"), "@" + learnt_set(vrf) + (v6 ? "6" : "4"));
    commands.push_back(rule(chain, "source behind a tunnel, by the kernel's routes",
                            {listed, match("==", way_back("oifname", marked), tun), counted(), drop()}));
    commands.push_back(rule(chain, "likewise, of a tunnel that is down",
                            {listed, match("==", way_back("oif", marked), false), counted(), drop()}));
  }
}

void add_prefix_sets(Json& commands, const std::string& name, const std::vector<Prefix>& prefixes) {
  for (const bool v6 : {false, true}) {
    Json elements = prefix_list(without_nested(prefixes, v6));
    Json set = in_table(kFilterTable, {{"name", name + (v6 ? "6" : "4")},
                                       {"type", v6 ? "ipv6_addr" : "ipv4_addr"},
                                       {"flags", Json::array({"interval"})}});
    if (!elements.empty()) set["elem"] = std::move(elements);
    commands.push_back(add({{"set", std::move(set)}}));
  }
}

void add_prefix_drops(Json& commands, const std::string& chain, const char* comment, const std::string& name,
                      const char* field) {
  for (const bool v6 : {false, true}) {
    commands.push_back(
        rule(chain, comment,
             {match("==", payload(v6 ? "ip6" : "ip", field), "@" + name + (v6 ? "6" : "4")), counted(), drop()}));
  }
}

// With a default route through the tunnel every source that has no route of its own belongs behind it. A list cannot
// say that, the routing table can: dropped is what we would answer through the TUN, or (when the TUN is gone) could not
// answer. Not "fib saddr . iif": with an interface given, IPv6 skips the TUN's route and may find the main table's
// default (measured, Linux 6.18).
void add_default_drops(Json& commands, const std::string& chain, const std::vector<Prefix>& prefixes,
                       const std::string& tun, Marked marked) {
  for (const bool v6 : {false, true}) {
    const bool has_default =
        std::ranges::any_of(prefixes, [&](const Prefix& x) { return x.length() == 0 && x.is_v4() != v6; });
    if (!has_default) continue;
    const Json family = match("==", meta("nfproto"), v6 ? "ipv6" : "ipv4");
    commands.push_back(
        rule(chain, "no source", {match("==", payload(v6 ? "ip6" : "ip", "saddr"), v6 ? "::" : "0.0.0.0"), accept()}));
    const Json errors = v6 ? Json{"destination-unreachable", "packet-too-big", "time-exceeded", "parameter-problem"}
                           : Json{"destination-unreachable", "time-exceeded", "parameter-problem"};
    commands.push_back(rule(chain, "ICMP errors",
                            {match("==", payload(v6 ? "icmpv6" : "icmp", "type"), any_of(errors)), to_us(), accept()}));
    commands.push_back(rule(chain, "source behind a tunnel",
                            {family, match("==", way_back("oifname", marked), tun), counted(), drop()}));
    commands.push_back(rule(chain, "source behind a tunnel that is down",
                            {family, match("==", way_back("oif", marked), false), counted(), drop()}));
  }
}

}  // namespace nft

std::string filter_json(const gateway::SetProtection& protection, const std::vector<gateway::Exception>& exceptions,
                        const std::vector<Learnt>& learnt) {
  Json commands = Json::array();
  // Add, so that delete cannot fail; then all anew, in the same transaction.
  commands.push_back(add(table(kFilterTable)));
  commands.push_back({{"delete", table(kFilterTable)}});
  commands.push_back(add(table(kFilterTable)));
  add_prefix_sets(commands, "protected", protection.prefixes);
  for (const VrfId vrf : vrfs_of(protection)) {
    const auto found = std::ranges::find(learnt, vrf, &Learnt::vrf);
    add_prefix_sets(commands, learnt_set(vrf), found == learnt.end() ? std::vector<Prefix>{} : found->prefixes);
  }
  commands.push_back(chain(kIn, "prerouting"));
  commands.push_back(chain(kOut, "postrouting"));
  add_account_chains(commands, protection, exceptions);
  commands.push_back(
      rule(kIn, "from inside", {match("==", meta("iifname"), any_of({protection.tun, "lo"})), accept()}));
  add_account_tun_rules(commands, protection);
  add_outer_exemptions(commands, protection.fwmark);
  add_account_interface_rules(commands, protection);
  add_exceptions(commands, kIn, exceptions, VrfId{}, "saddr", "iifname", accept());
  add_prefix_drops(commands, kIn, "protected source", "protected", "saddr");
  add_learnt_drops(commands, kIn, VrfId{}, protection.tun, Marked::No);
  add_default_drops(commands, kIn, protection.prefixes, protection.tun, Marked::No);
  add_exit_rules(commands, protection, exceptions);
  return Json{{"nftables", std::move(commands)}}.dump();
}

std::string learnt_json(const gateway::SetProtection& protection, const std::vector<Learnt>& learnt) {
  Json commands = Json::array();
  for (const VrfId vrf : vrfs_of(protection)) {
    for (const bool v6 : {false, true}) {
      const std::string name = learnt_set(vrf) + (v6 ? "6" : "4");
      commands.push_back({{"flush", {{"set", in_table(kFilterTable, {{"name", name}})}}}});
      Json elements = of_vrf(learnt, vrf, v6);
      if (elements.empty()) continue;
      commands.push_back(add({{"element", in_table(kFilterTable, {{"name", name}, {"elem", std::move(elements)}})}}));
    }
  }
  return Json{{"nftables", std::move(commands)}}.dump();
}

std::string nat_json(const gateway::SetNat& nat) {
  constexpr int kSrcNat = 100;  // the kernel's priority of source NAT
  constexpr int kFilter = 0;
  const auto base_chain = [](const char* name, const char* type, const char* hook, int priority) {
    return add(
        {{"chain",
          in_table(kNatTable,
                   {{"name", name}, {"type", type}, {"hook", hook}, {"prio", priority}, {"policy", "accept"}})}});
  };
  Json commands = {add(table(kNatTable)), {{"delete", table(kNatTable)}}};
  if (!nat.rules.empty()) {
    commands.push_back(add(table(kNatTable)));
    commands.push_back(base_chain(kLeaving, "nat", "postrouting", kSrcNat));
    commands.push_back(base_chain(kUntracked, "filter", "forward", kFilter));
    for (const gateway::NatRule& r : nat.rules) add_nat_rule(commands, r);
  }
  return Json{{"nftables", std::move(commands)}}.dump();
}

std::string purge_json() {
  Json commands = Json::array();
  for (const char* name : {kFilterTable, kNatTable}) {
    commands.push_back(add(table(name)));
    commands.push_back({{"delete", table(name)}});
  }
  return Json{{"nftables", std::move(commands)}}.dump();
}

}  // namespace qanat::daemon
