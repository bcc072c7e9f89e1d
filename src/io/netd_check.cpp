// Every range of a command to the helper, checked by the side that has the rights.
#include <algorithm>
#include <limits>
#include <set>

#include "io/netd_protocol.hpp"

namespace qanat::io {

namespace {

constexpr const char* kWhere = "helper command";

Status refuse(std::string detail) {
  return fail(ErrorKind::LocalPolicy, kWhere, std::move(detail));
}

Status check_table(std::uint32_t table) {
  // The table after it is used as well, and is no table of the host's either.
  if (table < kMinRouteTable || table >= 0xfffffffeU) return refuse("the routing table must be 256 or higher");
  return {};
}

Status check_mark(std::uint32_t mark) {
  if (mark == 0) return refuse("the mark must not be 0");
  return {};
}

Status check_mtu(std::uint16_t mtu) {
  if (mtu < kMinTunMtu) return refuse("the MTU must be at least 576");
  return {};
}

// Inside the host's own or the link's own address space no prefix can lie behind a tunnel.
Status check_prefix(const Prefix& prefix) {
  static const auto kReserved = [] {
    std::vector<Prefix> out;
    for (const char* text : {"127.0.0.0/8", "224.0.0.0/4", "::1/128", "fe80::/10", "ff00::/8"}) {
      out.push_back(*Prefix::parse(text));
    }
    return out;
  }();
  for (const Prefix& reserved : kReserved) {
    if (reserved.contains(prefix)) {
      return refuse("the prefix " + prefix.to_string() + " lies in " + reserved.to_string() + " and cannot be routed");
    }
  }
  return {};
}

Status check_prefixes(const std::vector<Prefix>& prefixes, std::size_t& total) {
  total += prefixes.size();
  if (total > kMaxPrefixes) return refuse("there are more than 100,000 prefixes");
  for (const Prefix& prefix : prefixes) QANAT_TRY(check_prefix(prefix));
  return {};
}

// What only one account may have.
struct Taken {
  std::set<std::string> names;
  std::set<std::uint32_t> tables;
  std::set<VrfId> vrfs;

  Status take(const std::string& name) {
    QANAT_TRY(check_interface_name(name));
    if (!names.insert(name).second) return refuse("the interface " + name + " is named twice");
    return {};
  }
  Status take(std::uint32_t table) {
    QANAT_TRY(check_table(table));
    if (!tables.insert(table).second || !tables.insert(table + 1).second) {
      return refuse("the routing table " + std::to_string(table) + " or the next one is another account's");
    }
    return {};
  }
};

Status check_account(const gateway::AccountProtection& a, std::uint32_t fwmark, Taken& taken, std::size_t& prefixes) {
  if (a.vrf.value() == 0 || a.vrf.value() > kMaxAccounts) return refuse("an account has a number from 1 to 255");
  if (!taken.vrfs.insert(a.vrf).second) return refuse("two accounts have the same number");
  if (fwmark > std::numeric_limits<std::uint32_t>::max() - a.vrf.value()) {
    return refuse("the mark leaves no room for those of the accounts, which follow it");
  }
  QANAT_TRY(taken.take(a.tun));
  QANAT_TRY(taken.take(a.route_table));
  QANAT_TRY(check_mtu(a.tun_mtu));
  if (a.interfaces.size() > kMaxInterfaces) return refuse("an account has more than 64 interfaces");
  for (const std::string& name : a.interfaces) QANAT_TRY(taken.take(name));
  return check_prefixes(a.prefixes, prefixes);
}

Status check_nat_rule(const gateway::NatRule& rule, std::size_t& prefixes) {
  if (rule.in.empty() || rule.in.size() > kMaxInterfaces + 1) {
    return refuse("a NAT rule is for the packets of 1 to 65 interfaces");
  }
  for (const std::string& name : rule.in) QANAT_TRY(check_interface_name(name));
  if (!rule.out_interface.empty()) QANAT_TRY(check_interface_name(rule.out_interface));
  prefixes += rule.sources.size();
  if (prefixes > kMaxPrefixes) return refuse("there are more than 100,000 prefixes");
  if (!rule.translate) return {};
  if (rule.translate->is_unspecified() || rule.translate->is_multicast()) {
    return refuse(rule.translate->to_string() + " is not the address of a host");
  }
  const auto other = [&](const Prefix& p) { return p.is_v4() == rule.translate->is_v6(); };
  if (std::ranges::any_of(rule.sources, other)) return refuse("a source and the address for it are of two families");
  return {};
}

Status check_barrier(const gateway::Barrier& barrier) {
  constexpr std::uint32_t kLocalTable = 255;
  if (barrier.table == 0 || barrier.table == kLocalTable) return refuse("no route of a tunnel stands in such a table");
  if (barrier.vrf.value() > kMaxAccounts) return refuse("an account has a number from 1 to 255");
  return check_prefix(barrier.prefix);
}

struct Checker {
  Status operator()(const OpenUdp& c) const {
    if (c.local.port != kIkePort && c.local.port != kNatPort) return refuse("only ports 500 and 4500 are opened");
    return {};
  }
  Status operator()(const OpenEsp&) const { return {}; }
  Status operator()(const OpenTun& c) const {
    QANAT_TRY(check_interface_name(c.name));
    return check_mtu(c.mtu);
  }
  Status operator()(const gateway::SetProtection& c) const {
    QANAT_TRY(check_interface_name(c.tun));
    QANAT_TRY(check_table(c.route_table));
    QANAT_TRY(check_mark(c.fwmark));
    QANAT_TRY(check_mtu(c.tun_mtu));
    if (c.accounts.size() > kMaxAccounts) return refuse("there are more than 255 accounts");
    Taken taken;
    std::size_t prefixes = 0;
    QANAT_TRY(taken.take(c.tun));
    QANAT_TRY(taken.take(c.route_table));
    QANAT_TRY(check_prefixes(c.prefixes, prefixes));
    for (const gateway::AccountProtection& a : c.accounts) QANAT_TRY(check_account(a, c.fwmark, taken, prefixes));
    return {};
  }
  Status operator()(const gateway::PurgeProtection& c) const {
    QANAT_TRY(check_table(c.route_table));
    return check_mark(c.fwmark);
  }
  Status operator()(const gateway::SetNat& c) const {
    if (c.rules.size() > kMaxNatRules) return refuse("there are more than 1,024 NAT rules");
    std::size_t prefixes = 0;
    for (const gateway::NatRule& rule : c.rules) QANAT_TRY(check_nat_rule(rule, prefixes));
    return {};
  }
  Status operator()(const gateway::ChangeBarriers& c) const {
    if (c.add.size() + c.remove.size() > kMaxPrefixes) return refuse("there are more than 100,000 barriers");
    for (const auto* list : {&c.add, &c.remove}) {
      for (const gateway::Barrier& barrier : *list) QANAT_TRY(check_barrier(barrier));
    }
    return {};
  }
};

}  // namespace

Status check_interface_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  };
  constexpr std::string_view kTaken[] = {"lo", "all", "default", ".", ".."};
  if (name.empty() || name.size() > 15 || name.front() == '-' || !std::ranges::all_of(name, allowed) ||
      std::ranges::find(kTaken, name) != std::end(kTaken)) {
    return refuse("an interface name has 1 to 15 of the characters A-Z a-z 0-9 . _ - and is no reserved word");
  }
  return {};
}

Status check_command(const NetdCommand& command) {
  return std::visit(Checker{}, command);
}

}  // namespace qanat::io
