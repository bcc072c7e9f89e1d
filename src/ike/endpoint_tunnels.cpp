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
bool loses(const SaCard& one, const SaCard& other) {
  if (other.begun > one.established + kLongestAttempt) return true;
  if (one.begun > other.established + kLongestAttempt) return false;
  return one.spi_i > other.spi_i;
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
  const auto [first, last] = by_tunnel_.equal_range(entry.tunnel);
  const auto place = std::find_if(first, last, [&](const auto& one) { return one.second == spi; });
  if (place != last) {
    const TunnelId tunnel = entry.tunnel;
    by_tunnel_.erase(place);
    if (!by_tunnel_.contains(tunnel)) cross(Left{tunnel});
  }
  sas_.erase(found);
}

// One shard alone has nobody to tell.
void IkeEndpoint::cross(Crossing crossing) {
  if (config_.shards.count > 1) actions_.emplace_back(std::move(crossing));
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
    by_tunnel_.emplace(entry.tunnel, spi);
  }
  if (sa.is_established() && !entry.announced) {
    entry.announced = true;
    const SaCard card = card_of(sa);
    meet(now, card, &sa);
    cross(Met{card});
  }
  note_carrying(entry);
  sa.settle();
  if (half_open_.update(entry.standing, sa.is_half_open(), sa.cookie_verified()))
    cross(half_open_.news_of(entry.standing.source));
  if (entry.timeout) timeouts_.erase({*entry.timeout, spi});
  if (sa.is_closed()) {
    remove(spi);
    return;
  }
  entry.timeout = sa.next_timeout();
  if (entry.timeout) timeouts_.insert({*entry.timeout, spi});
}

SaCard IkeEndpoint::card_of(const IkeSa& sa) {
  const IkeSa::Origin& origin = sa.origin();
  return {sa.our_spi(),        sa.tunnel(),
          sa.peer_id(),        sa.begun(),
          origin.spi_i,        origin.ours,
          origin.established,  sa.initial_contact_received(),
          sa.carrying_child(), !sa.carries_our_packets()};
}

// What a newly established IKE SA means for the tunnel's others.
void IkeEndpoint::meet(Instant now, const SaCard& fresh, IkeSa* here) {
  for (const std::uint64_t spi : sas_of(fresh.tunnel->id)) {
    IkeSa& old = *sas_.at(spi).sa;
    // One whose configuration was replaced goes, too, when the peer has another name by now.
    const bool outdated = old.tunnel() != fresh.tunnel;
    if (&old == here || !old.is_established() || (!outdated && !old.peer_id().matches(fresh.peer_id))) continue;
    const bool at_once = old.origin().established >= fresh.begun;  // both were under way together
    if (fresh.initial_contact && !at_once) {
      // The peer has authenticated and says that it knows no other SA (RFC 7296 2.4). One that was being made at the
      // same time may have escaped it.
      old.abandon("the peer began anew (INITIAL_CONTACT)");
    } else if (!fresh.carrying) {
      continue;  // it carries nothing, so it replaces nothing
    } else if (fresh.ours && (outdated || !at_once)) {
      if (here != nullptr) {
        here->take_over_selectors(now, old.selectors_in_use());
      } else {
        cross(TakeOver{fresh.our_spi, old.selectors_in_use()});
      }
      old.close(now, "", IkeSa::Ending::Graceful);  // we renewed it: make before break
    } else if (outdated) {
      continue;  // the peer began the new one, and ends the old one, or we do when its time is over
    } else if (at_once) {
      // Both sides began. Both can see both: the SA with the lower SPIi stays, and whoever began the other deletes it;
      // we only see to it that this happens. A winner that the peer began may not stand there yet: our answer can be
      // lost. Until it is certain, the loser carries the peer's traffic.
      const bool fresh_loses = old.origin().spi_i < fresh.spi_i;
      if (here == nullptr || !fresh.ours || !old.origin().ours) {
        doubt(now, fresh_loses ? fresh.our_spi : spi);
      } else {
        replace(now, fresh_loses ? *here : old, fresh_loses ? old : *here);
      }
    } else if (old.origin().ours) {
      // The peer renews, and will delete the old one; or it began before it knew that ours was made, and then it
      // counts on us.
      doubt(now, loses(fresh, card_of(old)) ? fresh.our_spi : spi);
    }
    touch(now, spi);
  }
}

void IkeEndpoint::doubt(Instant now, std::uint64_t spi) {
  if (ShardMap::in_spi(spi) != config_.shard) return cross(Doubted{spi});
  duplicates_.insert({now + kDuplicatePatience, spi});
}

void IkeEndpoint::replace(Instant now, IkeSa& loser, IkeSa& winner) {
  winner.carry_our_packets();
  loser.close(now, "", IkeSa::Ending::Graceful);
}

bool IkeEndpoint::is_carried_here(TunnelId tunnel, const wire::Identity& peer, std::uint64_t besides) const {
  const auto sas = sas_of(tunnel);
  return std::any_of(sas.begin(), sas.end(), [&](std::uint64_t spi) {
    const IkeSa& other = *sas_.at(spi).sa;
    return spi != besides && other.is_established() && other.carries_our_packets() && other.peer_id().matches(peer);
  });
}

// Whether other shards have one is asked with Met; until they have said no (Unopposed), it counts as there.
bool IkeEndpoint::is_carried_beside(const IkeSa& asking) const {
  return config_.shards.count > 1 || is_carried_here(asking.tunnel()->id, asking.peer_id(), asking.our_spi());
}

bool IkeEndpoint::stands_beside(const IkeSa& leaving) const {
  const auto sas = sas_of(leaving.tunnel()->id);
  return std::any_of(sas.begin(), sas.end(), [&](std::uint64_t spi) {
    const IkeSa& other = *sas_.at(spi).sa;
    return &other != &leaving && other.is_established() && other.carrying_child();
  });
}

void IkeEndpoint::note_carrying(Entry& entry) {
  const bool did = std::exchange(entry.carries, entry.sa->carries_our_packets());
  if (entry.tunnel == TunnelId{} || entry.sa->carrying_child()) return;
  if (by_tunnel_.count(entry.tunnel) > 1) let_next_carry(entry.tunnel);
  if (!did || config_.shards.count == 1) return;
  const auto sas = sas_of(entry.tunnel);
  if (std::none_of(sas.begin(), sas.end(), [&](std::uint64_t spi) { return sas_.at(spi).sa->carries_our_packets(); }))
    cross(NobodyCarries{entry.tunnel});
}

void IkeEndpoint::let_next_carry(TunnelId tunnel) {
  const auto sas = sas_of(tunnel);
  const auto carries = [&](std::uint64_t spi) { return sas_.at(spi).sa->carries_our_packets(); };
  if (std::any_of(sas.begin(), sas.end(), carries)) return;
  for (const std::uint64_t spi : sas) {
    sas_.at(spi).sa->carry_our_packets();
    sas_.at(spi).carries = carries(spi);
  }
}

IkeSa* IkeEndpoint::winner_over(const SaCard& loser) {
  for (const std::uint64_t spi : sas_of(loser.tunnel->id)) {
    IkeSa& other = *sas_.at(spi).sa;
    if (spi != loser.our_spi && other.is_established() && other.carrying_child() && loses(loser, card_of(other)) &&
        other.peer_id().matches(loser.peer_id))
      return &other;
  }
  return nullptr;
}

// Patience is over: the loser goes if a better one still stands.
void IkeEndpoint::handle_duplicate(Instant now, std::uint64_t spi) {
  const auto found = sas_.find(spi);
  if (found == sas_.end() || !found->second.sa->is_established()) return;
  IkeSa& loser = *found->second.sa;
  SaCard card = card_of(loser);
  if (IkeSa* winner = winner_over(card)) {
    replace(now, loser, *winner);
    touch(now, spi);
  } else {
    cross(Outlived{std::move(card)});
  }
}

void IkeEndpoint::handle_crossing(Instant now, const Crossing& crossing) {
  const auto established = [&](std::uint64_t spi) -> IkeSa* {
    const auto found = sas_.find(spi);
    return found != sas_.end() && found->second.sa->is_established() ? found->second.sa.get() : nullptr;
  };
  if (const auto* met = std::get_if<Met>(&crossing)) {
    const SaCard& fresh = met->fresh;
    meet(now, fresh, nullptr);
    if (fresh.waits && !is_carried_here(fresh.tunnel->id, fresh.peer_id, 0)) cross(Unopposed{fresh.our_spi});
  } else if (const auto* outlived = std::get_if<Outlived>(&crossing)) {
    IkeSa* winner = winner_over(outlived->loser);
    if (winner == nullptr) return;
    winner->carry_our_packets();
    touch(now, winner->our_spi());
    cross(Replaced{outlived->loser.our_spi});
  } else if (const auto* doubted = std::get_if<Doubted>(&crossing)) {
    if (established(doubted->spi) != nullptr) doubt(now, doubted->spi);
  } else if (const auto* replaced = std::get_if<Replaced>(&crossing)) {
    IkeSa* loser = established(replaced->spi);
    if (loser == nullptr) return;
    loser->close(now, "", IkeSa::Ending::Graceful);
    touch(now, replaced->spi);
  } else if (const auto* unopposed = std::get_if<Unopposed>(&crossing)) {
    IkeSa* sa = established(unopposed->spi);
    if (sa == nullptr || is_carried_here(sa->tunnel()->id, sa->peer_id(), unopposed->spi)) return;
    sa->carry_our_packets();
    touch(now, unopposed->spi);
  } else if (const auto* nobody = std::get_if<NobodyCarries>(&crossing)) {
    let_next_carry(nobody->tunnel);
  } else if (const auto* taken = std::get_if<TakeOver>(&crossing)) {
    IkeSa* heir = established(taken->spi);
    if (heir == nullptr) return;
    heir->take_over_selectors(now, taken->selectors);
    touch(now, taken->spi);
  } else if (const auto* contacted = std::get_if<Contacted>(&crossing)) {
    contacted_.insert(contacted->tunnel);
  } else if (const auto* unknown = std::get_if<NotKnown>(&crossing)) {
    tell_invalid_spi(unknown->packet);
  } else if (const auto* there = std::get_if<NotKnownThere>(&crossing)) {
    doubt_senders(now, there->remote, there->spi);
  }
}

bool IkeEndpoint::claim_first_contact(const TunnelConfig& tunnel, IkeSaId asking) {
  // Only the tunnel's home knows whether the peer has been met before.
  if (config_.shards.home_of(tunnel.id.value()) != config_.shard || contacted_.contains(tunnel.id)) return false;
  const auto sas = sas_of(tunnel.id);
  if (std::any_of(sas.begin(), sas.end(),
                  [&](std::uint64_t spi) { return sas_.at(spi).sa->id() != asking && !sas_.at(spi).sa->is_ending(); }))
    return false;
  return !tunnels_.shares_identities(tunnel) && contacted_.insert(tunnel.id).second;
}

}  // namespace qanat::ike
