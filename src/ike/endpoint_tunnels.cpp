// How IKE SAs and tunnels belong together: the indexes, what a new IKE SA means for the older ones, INITIAL_CONTACT.
#include <algorithm>
#include <utility>

#include "ike/endpoint.hpp"

namespace qanat::ike {

namespace {

// How long the side that began a superfluous IKE SA has to delete it before the other does.
constexpr Duration kDuplicatePatience = 10s;
constexpr Duration kLongestAttempt = 600s;  // no peer of ours begins, and goes on with it for longer

// Which of two established IKE SAs goes: the one that was there long before the other began, for that is a renewal; of
// two that may have been under way together the one with the higher SPIi.
bool loses(const IkeSa& one, const IkeSa& other) {
  if (other.begun() > one.origin().established + kLongestAttempt) return true;
  if (one.begun() > other.origin().established + kLongestAttempt) return false;
  return one.origin().spi_i > other.origin().spi_i;
}

}  // namespace

void IkeEndpoint::remove_tunnel(Instant now, TunnelId tunnel) {
  terminate(now, tunnel, "the tunnel was removed");
  tunnels_.remove(tunnel);
  contacted_.erase(tunnel);
  memories_.erase(tunnel);
}

void IkeEndpoint::remove(std::uint64_t spi) {
  const auto found = sas_.find(spi);
  const Entry& entry = found->second;
  if (entry.init_key) init_requests_.erase(*entry.init_key);
  if (const auto list = by_tunnel_.find(entry.tunnel); list != by_tunnel_.end()) {
    list->second.erase(spi);
    if (list->second.empty()) by_tunnel_.erase(list);
  }
  sas_.erase(found);
}

// An IKE SA that a rekey made: for the tunnel nothing begins or ends with it.
void IkeEndpoint::adopt(std::unique_ptr<IkeSa> sa) {
  const std::uint64_t spi = sa->our_spi();
  Entry& entry = sas_[spi];
  entry.sa = std::move(sa);
  entry.announced = true;
  affected_.push_back(spi);
}

IkeSa* IkeEndpoint::find_sa(std::uint64_t our_spi) {
  const auto found = sas_.find(our_spi);
  if (found == sas_.end()) return nullptr;
  affected_.push_back(our_spi);
  return found->second.sa.get();
}

void IkeEndpoint::succeed(std::uint64_t old, std::uint64_t heir) {
  decltype(duplicates_) renamed;
  for (const auto& [due, spi] : duplicates_) renamed.insert({due, spi == old ? heir : spi});
  duplicates_ = std::move(renamed);
}

void IkeEndpoint::touch(Instant now, std::uint64_t spi) {
  for (const std::uint64_t other : std::exchange(affected_, {})) {
    if (other != spi && sas_.contains(other)) touch(now, other);
  }
  Entry& entry = sas_.at(spi);
  IkeSa& sa = *entry.sa;
  if (entry.tunnel == TunnelId{} && sa.tunnel()) {
    entry.tunnel = sa.tunnel()->id;
    by_tunnel_[entry.tunnel].insert(spi);
  }
  if (sa.is_established() && !entry.announced) {
    entry.announced = true;
    on_established(now, sa);
  }
  if (!sa.carrying_child() && entry.tunnel != TunnelId{}) let_next_carry(entry.tunnel);
  sa.settle();
  half_open_.update(entry.standing, sa.is_half_open(), sa.cookie_verified());
  if (entry.timeout) timeouts_.erase({*entry.timeout, spi});
  if (sa.is_closed()) {
    remove(spi);
    return;
  }
  entry.timeout = sa.next_timeout();
  if (entry.timeout) timeouts_.insert({*entry.timeout, spi});
}

// What a newly established IKE SA means for the tunnel's others.
void IkeEndpoint::on_established(Instant now, IkeSa& fresh) {
  for (const std::uint64_t spi : sas_of(fresh.tunnel()->id)) {
    IkeSa& old = *sas_.at(spi).sa;
    // One whose configuration was replaced goes, too, when the peer has another name by now.
    const bool outdated = old.tunnel() != fresh.tunnel();
    if (&old == &fresh || !old.is_established() || (!outdated && !old.peer_id().matches(fresh.peer_id()))) continue;
    const bool at_once = old.origin().established >= fresh.begun();  // both were under way together
    if (fresh.initial_contact_received() && !at_once) {
      // The peer has authenticated and says that it knows no other SA (RFC 7296 2.4). One that was being made at the
      // same time may have escaped it.
      old.abandon("the peer began anew (INITIAL_CONTACT)");
    } else if (!fresh.carrying_child()) {
      continue;  // it carries nothing, so it replaces nothing
    } else if (fresh.origin().ours && (outdated || !at_once)) {
      fresh.take_over_selectors(now, old);
      old.close(now, "", IkeSa::Ending::Graceful);  // we renewed it: make before break
    } else if (outdated) {
      continue;  // the peer began the new one, and ends the old one, or we do when its time is over
    } else if (at_once) {
      // Both sides began. Both can see both: the SA with the lower SPIi stays.
      const bool fresh_loses = old.origin().spi_i < fresh.origin().spi_i;
      resolve_duplicate(now, fresh_loses ? fresh : old, fresh_loses ? old : fresh);
    } else if (old.origin().ours) {
      // The peer renews, and will delete the old one; or it began before it knew that ours was made, and then it
      // counts on us.
      duplicates_.insert({now + kDuplicatePatience, (loses(fresh, old) ? fresh : old).our_spi()});
    }
    touch(now, spi);
  }
}

bool IkeEndpoint::is_carried_beside(const IkeSa& asking) const {
  const auto sas = sas_of(asking.tunnel()->id);
  return std::any_of(sas.begin(), sas.end(), [&](std::uint64_t spi) {
    const IkeSa& other = *sas_.at(spi).sa;
    return &other != &asking && other.is_established() && other.carries_our_packets() &&
           other.peer_id().matches(asking.peer_id());
  });
}

void IkeEndpoint::let_next_carry(TunnelId tunnel) {
  const auto found = by_tunnel_.find(tunnel);
  if (found == by_tunnel_.end() || found->second.size() < 2) return;
  const auto carries = [&](std::uint64_t spi) { return sas_.at(spi).sa->carries_our_packets(); };
  if (std::any_of(found->second.begin(), found->second.end(), carries)) return;
  for (const std::uint64_t spi : found->second) sas_.at(spi).sa->carry_our_packets();
}

// Whoever began the loser deletes it; the other side only sees to it that this happens. A winner that the peer began
// may not stand there yet: our answer can be lost. Until it is certain, the loser carries the peer's traffic.
void IkeEndpoint::resolve_duplicate(Instant now, IkeSa& loser, IkeSa& winner) {
  if (!loser.origin().ours || !winner.origin().ours) {
    duplicates_.insert({now + kDuplicatePatience, loser.our_spi()});
    return;
  }
  winner.carry_our_packets();
  loser.close(now, "", IkeSa::Ending::Graceful);
}

// Patience is over: the loser goes if a better one still stands.
void IkeEndpoint::handle_duplicate(Instant now, std::uint64_t spi) {
  const auto found = sas_.find(spi);
  if (found == sas_.end() || !found->second.sa->is_established()) return;
  IkeSa& loser = *found->second.sa;
  for (const std::uint64_t other : sas_of(loser.tunnel()->id)) {
    IkeSa& winner = *sas_.at(other).sa;
    if (other == spi || !winner.is_established() || !winner.carrying_child() || !loses(loser, winner) ||
        !winner.peer_id().matches(loser.peer_id()))
      continue;
    winner.carry_our_packets();
    loser.close(now, "", IkeSa::Ending::Graceful);
    touch(now, spi);
    return;
  }
}

bool IkeEndpoint::claim_first_contact(const TunnelConfig& tunnel, IkeSaId asking) {
  if (contacted_.contains(tunnel.id)) return false;
  const auto sas = sas_of(tunnel.id);
  if (std::any_of(sas.begin(), sas.end(),
                  [&](std::uint64_t spi) { return sas_.at(spi).sa->id() != asking && !sas_.at(spi).sa->is_ending(); }))
    return false;
  return !tunnels_.shares_identities(tunnel) && contacted_.insert(tunnel.id).second;
}

}  // namespace qanat::ike
