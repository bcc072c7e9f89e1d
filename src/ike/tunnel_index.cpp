#include "ike/tunnel_index.hpp"

#include <algorithm>
#include <functional>

#include "crypto/digest.hpp"

namespace qanat::ike {

namespace {

// Lists in a row, each with its length in front, so that different ones give different octets.
class Settings {
 public:
  void number(std::uint64_t value) { out_.u64(value); }
  template <typename Id>
  void ids(const std::vector<Id>& list) {
    number(list.size());
    for (const Id id : list) number(static_cast<std::uint64_t>(id));
  }
  void octets(const std::vector<Bytes>& list) {
    number(list.size());
    for (const Bytes& b : list) {
      number(b.size());
      out_.bytes(b);
    }
  }
  [[nodiscard]] TunnelIndex::Terms digest() && {
    const Bytes octets = std::move(out_).take();
    const auto hash = crypto::sha256({octets});
    TunnelIndex::Terms out;
    std::copy_n(hash.begin(), out.size(), out.begin());
    return out;
  }

 private:
  ByteWriter out_;
};

TunnelIndex::Terms terms_of(const TunnelConfig& tunnel) {
  Settings out;
  out.number(static_cast<std::uint64_t>(tunnel.pq));
  for (const ipsec::IkeProposal& p : tunnel.ike) {
    out.number(p.encr.size());
    for (const ipsec::EncrChoice& e : p.encr) {
      out.number(static_cast<std::uint64_t>(e.id));
      out.number(e.key_bits);
    }
    out.ids(p.integ);
    out.ids(p.prf);
    out.ids(p.ke);
    for (const auto& round : p.addke) out.ids(round);
  }
  return std::move(out).digest();
}

// Everything that the responder's side of IKE_SA_INIT reads of a tunnel besides its terms: AuthAgreement's
// init_payloads(), and whether and how small it wants to send.
TunnelIndex::Terms answer_of(const TunnelConfig& tunnel) {
  Settings out;
  out.ids(tunnel.signature_hashes);
  out.number(static_cast<std::uint64_t>(tunnel.remote_auth));
  out.octets(tunnel.announced);
  out.octets(tunnel.authorities);
  out.number(tunnel.ppk_policy != model::PpkPolicy::Off && !tunnel.ppks.empty());
  out.number(tunnel.downgrade != model::DowngradePolicy::Off);
  out.number(tunnel.force_encap);
  out.number(tunnel.fragment_size);
  return std::move(out).digest();
}

std::uint64_t hash_of(const std::optional<IpAddress>& peer, const wire::Identity& remote) {
  std::string key = remote.key();
  if (peer) key.append(peer->bytes().begin(), peer->bytes().end());
  return std::hash<std::string>{}(key);
}

std::uint64_t hash_of(const wire::Identity& local, const wire::Identity& remote) {
  const std::string first = local.key();
  return std::hash<std::string>{}(std::to_string(first.size()) + first + remote.key());
}

bool takes(const IpAddress& configured, const IpAddress& local) {
  return configured == local || configured.is_unspecified();
}

}  // namespace

void TunnelIndex::set(TunnelRef tunnel) {
  remove(tunnel->id);
  const TunnelConfig& t = *tunnel;
  const Terms terms = terms_of(t);
  const Terms answer = answer_of(t);
  std::vector<Members>& groups = by_peer_[t.peer];
  auto group = std::find_if(groups.begin(), groups.end(), [&](const Members& g) {
    return g.terms == terms && g.answer == answer && g.local == t.local;
  });
  if (group == groups.end()) group = groups.insert(groups.end(), Members{t.local, terms, answer, {}});
  group->ids.insert(std::upper_bound(group->ids.begin(), group->ids.end(), t.id), t.id);
  by_identity_.emplace(hash_of(t.peer, t.remote_id), t.id);
  ++pairs_[hash_of(t.local_id, t.remote_id)];
  tunnels_[t.id] = std::move(tunnel);
}

void TunnelIndex::remove(TunnelId id) {
  const auto found = tunnels_.find(id);
  if (found == tunnels_.end()) return;
  const TunnelConfig& t = *found->second;
  const auto groups = by_peer_.find(t.peer);
  for (Members& group : groups->second) {
    const auto member = std::lower_bound(group.ids.begin(), group.ids.end(), id);
    if (member == group.ids.end() || *member != id) continue;
    group.ids.erase(member);
    break;
  }
  std::erase_if(groups->second, [](const Members& group) { return group.ids.empty(); });
  if (groups->second.empty()) by_peer_.erase(groups);
  const auto [first, last] = by_identity_.equal_range(hash_of(t.peer, t.remote_id));
  by_identity_.erase(std::find_if(first, last, [&](const auto& entry) { return entry.second == id; }));
  const auto pair = pairs_.find(hash_of(t.local_id, t.remote_id));
  if (--pair->second == 0) pairs_.erase(pair);
  tunnels_.erase(found);
}

TunnelRef TunnelIndex::find(TunnelId id) const {
  const auto found = tunnels_.find(id);
  return found == tunnels_.end() ? nullptr : found->second;
}

bool TunnelIndex::knows_peer(const IpAddress& remote) const {
  return by_peer_.contains(remote) || by_peer_.contains(std::nullopt);
}

std::vector<TunnelIndex::Group> TunnelIndex::by_addresses(const IpAddress& local, const IpAddress& remote) const {
  std::vector<Group> out;
  for (const Peer& peer : {Peer{remote}, Peer{}}) {
    const auto found = by_peer_.find(peer);
    if (found == by_peer_.end()) continue;
    const auto begin = static_cast<std::ptrdiff_t>(out.size());
    for (const Members& group : found->second) {
      if (takes(group.local, local)) out.push_back({group.terms, tunnels_.at(group.ids.front())});
    }
    std::sort(out.begin() + begin, out.end(),
              [](const Group& a, const Group& b) { return a.example->id < b.example->id; });
  }
  return out;
}

std::vector<TunnelRef> TunnelIndex::by_identities(const IpAddress& local, const IpAddress& remote,
                                                  const wire::Identity& idi, const wire::Identity* idr) const {
  std::vector<TunnelRef> out;
  for (const Peer& peer : {Peer{remote}, Peer{}}) {
    const auto begin = static_cast<std::ptrdiff_t>(out.size());
    const auto [first, last] = by_identity_.equal_range(hash_of(peer, idi));
    for (auto entry = first; entry != last; ++entry) {
      const TunnelRef& t = tunnels_.at(entry->second);
      if (t->peer == peer && takes(t->local, local) && idi.matches(t->remote_id) &&
          (idr == nullptr || idr->matches(t->local_id)))
        out.push_back(t);
    }
    std::sort(out.begin() + begin, out.end(), [](const TunnelRef& a, const TunnelRef& b) { return a->id < b->id; });
  }
  return out;
}

bool TunnelIndex::shares_identities(const TunnelConfig& tunnel) const {
  const std::uint64_t pair = hash_of(tunnel.local_id, tunnel.remote_id);
  const auto found = pairs_.find(pair);
  if (found == pairs_.end()) return false;
  const TunnelRef now = find(tunnel.id);
  const bool is_one_of_them = now && hash_of(now->local_id, now->remote_id) == pair;
  return found->second > (is_one_of_them ? 1U : 0U);
}

std::size_t TunnelIndex::size() const {
  std::size_t out = tunnels_.size() + by_identity_.size() + pairs_.size();
  for (const auto& [peer, groups] : by_peer_) {
    for (const Members& group : groups) out += 1 + group.ids.size();
  }
  return out;
}

}  // namespace qanat::ike
