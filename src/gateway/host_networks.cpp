#include "gateway/host_networks.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace qanat::gateway {

namespace {

// The protected prefixes of a VRF.
class Covered {
 public:
  explicit Covered(const std::vector<Prefix>& prefixes) : sorted_(prefixes) {
    std::ranges::sort(sorted_);
    known_.insert(sorted_.begin(), sorted_.end());
  }
  [[nodiscard]] bool itself(const Prefix& prefix) const { return known_.contains(prefix); }
  // By one of a length above 0.
  [[nodiscard]] bool by_a_wider_one(const Prefix& prefix) const {
    for (unsigned length = 1; length < prefix.length(); ++length) {
      if (known_.contains(Prefix::masked(prefix.address(), length))) return true;
    }
    return false;
  }
  [[nodiscard]] std::vector<Prefix> within(const Prefix& prefix) const {
    std::vector<Prefix> out;
    for (const Prefix& p : sorted_) {
      if (p != prefix && p.is_v4() == prefix.is_v4() && prefix.contains(p)) out.push_back(p);
    }
    return out;
  }

 private:
  std::vector<Prefix> sorted_;
  std::set<Prefix> known_;
};

class World {
 public:
  explicit World(const SetProtection& protection) {
    ours_.insert(protection.tun);
    covered_.emplace(VrfId{}, Covered{protection.prefixes});
    for (const AccountProtection& a : protection.accounts) {
      ours_.insert(a.tun);
      covered_.emplace(a.vrf, Covered{a.prefixes});
      for (const std::string& name : a.interfaces) owners_.emplace(name, a.vrf);
    }
  }
  [[nodiscard]] bool is_ours(const HostNetwork& network) const { return ours_.contains(network.interface); }
  [[nodiscard]] VrfId owner(const HostNetwork& network) const {
    const auto found = owners_.find(network.interface);
    return found == owners_.end() ? VrfId{} : found->second;
  }
  [[nodiscard]] const Covered& covered(VrfId vrf) const { return covered_.at(vrf); }

 private:
  std::set<std::string> ours_;
  std::map<std::string, VrfId> owners_;
  std::map<VrfId, Covered> covered_;
};

}  // namespace

bool can_lie_behind_a_tunnel(const Prefix& prefix) {
  static const auto kReserved = [] {
    std::vector<Prefix> out;
    for (const char* text : {"127.0.0.0/8", "224.0.0.0/4", "::1/128", "fe80::/10", "ff00::/8"})
      out.push_back(*Prefix::parse(text));
    return out;
  }();
  return std::ranges::none_of(kReserved, [&](const Prefix& reserved) { return reserved.contains(prefix); });
}

std::vector<Exception> exceptions(std::span<const HostNetwork> networks, const SetProtection& protection) {
  const World world{protection};
  std::vector<Exception> out;
  for (const HostNetwork& network : networks) {
    if (network.kind != HostNetwork::Kind::Connected || world.is_ours(network)) continue;
    if (!can_lie_behind_a_tunnel(network.prefix)) continue;
    const VrfId vrf = world.owner(network);
    const Covered& covered = world.covered(vrf);
    if (covered.itself(network.prefix) || !covered.by_a_wider_one(network.prefix)) continue;
    out.push_back({vrf, network.prefix, network.interface, covered.within(network.prefix)});
  }
  const auto order = [](const Exception& e) {
    return std::tuple{e.vrf, 128U - e.prefix.length(), e.prefix, e.interface};
  };
  std::ranges::sort(out, {}, order);
  const auto twice = std::ranges::unique(out);
  out.erase(twice.begin(), twice.end());
  return out;
}

std::vector<ipsec::SetLocalPrefixes> local_prefixes(std::span<const HostNetwork> networks,
                                                    const SetProtection& protection) {
  const World world{protection};
  std::map<VrfId, std::set<Prefix>> found;
  for (const HostNetwork& network : networks) {
    if (world.is_ours(network) || !can_lie_behind_a_tunnel(network.prefix)) continue;
    const VrfId vrf = world.owner(network);
    if (!world.covered(vrf).itself(network.prefix)) found[vrf].insert(network.prefix);
  }
  std::vector<ipsec::SetLocalPrefixes> out;
  for (const auto& [vrf, prefixes] : found) out.push_back({vrf, {prefixes.begin(), prefixes.end()}});
  return out;
}

}  // namespace qanat::gateway
