// A tunnel's configuration changes while its SAs live (rules.md "What a reload does to live SAs").
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ike/endpoint.hpp"

namespace qanat::ike {

namespace {

constexpr Duration kOutdatedPatience = 60s;  // for the new IKE SA to stand

}  // namespace

void IkeEndpoint::update_tunnel(Instant now, TunnelRef tunnel, const TunnelChange& change) {
  const TunnelRef before = current(tunnel->id);
  set_tunnel(tunnel);
  if (change.renew && before) outdated_.emplace(now + kOutdatedPatience, before);
  if (change.renew || change.rekey) memories_.erase(tunnel->id);  // what the peer took may be different now
  for (const std::uint64_t spi : sas_of(tunnel->id)) {
    const auto found = sas_.find(spi);  // one that has ended may have taken another with it
    if (found == sas_.end() || found->second.sa->is_ending()) continue;
    IkeSa& sa = *found->second.sa;
    if (!sa.is_established() && (change.renew || change.enforce)) {
      sa.close(now, "");  // it was begun under rules that do not hold any more
    } else if (const auto why = change.enforce ? sa.breach(*tunnel, change) : std::nullopt) {
      sa.close(now, *why);
    } else {
      if (change.enforce) sa.delete_breaking_children(now, *tunnel);
      // One that is to be replaced goes on as it was made; so does one that waits for its end since an earlier change.
      if (!change.renew && sa.tunnel() == before) sa.take_config(now, tunnel, change.rekey);
    }
    touch(now, spi);
  }
}

// The new IKE SA has had its time, whether it stands or not.
void IkeEndpoint::close_outdated(Instant now) {
  while (!outdated_.empty() && outdated_.begin()->first <= now) {
    const TunnelRef old = outdated_.begin()->second;
    outdated_.erase(outdated_.begin());
    for (const std::uint64_t spi : sas_of(old->id)) {
      const auto found = sas_.find(spi);
      if (found == sas_.end() || found->second.sa->tunnel() != old) continue;
      found->second.sa->close(now, "its configuration was replaced, and 60 s are over");
      touch(now, spi);
    }
  }
}

void IkeSa::take_config(Instant now, TunnelRef tunnel, bool rekey) {
  const TunnelRef old = std::exchange(tunnel_, std::move(tunnel));
  if (!is_established()) return;
  if (old->dpd_idle != tunnel_->dpd_idle) timers_.set(Timer::Liveness, std::max(now, last_heard_ + tunnel_->dpd_idle));
  if (timers_.is_set(Timer::LivenessDeadline)) timers_.set(Timer::LivenessDeadline, liveness_deadline());
  if (old->reauth != tunnel_->reauth) {
    timers_.stop(Timer::Reauth);
    if (tunnel_->reauth > 0s)
      timers_.set(Timer::Reauth, std::max(now, origin_.established + tunnel_->reauth / 100 * 90));
  }
  if (old->ike_lifetime != tunnel_->ike_lifetime) {
    const auto no_later = [&](Timer timer, Duration in) {
      const auto at = timers_.at(timer);
      timers_.set(timer, at ? std::min(*at, now + in) : now + in);
    };
    no_later(Timer::RenewAnew, tunnel_->ike_lifetime / 100 * 90);
    no_later(Timer::Expire, tunnel_->ike_lifetime);
    tasks_.enqueue(task::RekeyIke{}, now);
  }
  if (!rekey) return pump(now);
  // A Child SA that is being made was asked for on the old terms.
  rekey_again_ = std::holds_alternative<OwnChild>(active()) || peer_child_.has_value();
  rekey_children(now);
}

std::optional<std::string> IkeSa::breach(const TunnelConfig& rules, const TunnelChange& change) const {
  const std::string end = ", and the configuration demands it now";
  if (rules.hybrid_only() && !verdict_.hybrid) return "its keys have no ML-KEM" + end;
  if (rules.ppk_policy == model::PpkPolicy::Require && !verdict_.ppk) return "its keys have no PPK" + end;
  if (rules.downgrade == model::DowngradePolicy::Require && !agreed_.full_transcript())
    return "the proofs do not cover both IKE_SA_INIT messages" + end;
  if (change.safe_auth && !agreed_.quantum_safe)
    return "the peer's authentication is not quantum-safe, and the configuration demands that now";
  if (change.distrust) return "the trust anchors or revocation lists that let the peer in were changed";
  // What is being made now was agreed upon under the old rules.
  if (std::holds_alternative<OwnChild>(active()) || peer_child_.has_value())
    return "its configuration was tightened while a Child SA was being made";
  return std::nullopt;
}

void IkeSa::delete_breaking_children(Instant now, const TunnelConfig& rules) {
  for (auto& [id, child] : children_) {
    const ChildInfo& info = child.info;
    const bool fits =
        ipsec::contains(rules.local_ts, info.local_ts) && ipsec::contains(rules.remote_ts, info.remote_ts);
    const bool safe = !rules.hybrid_only() || info.verdict.hybrid;
    if (fits && safe) continue;
    delete_child(now, child,
                 fits ? "its keys have no ML-KEM, and the configuration demands it now"
                      : "its traffic selectors are wider than the configuration allows now");
    if (child.unwanted) continue;
    // Nothing that the peer sent on it before it has our Delete is taken any more.
    if (std::exchange(child.inbound_in_plane, false)) env_.actions.emplace_back(PlaneCommand{ipsec::RemoveInbound{id}});
  }
  pump(now);
}

}  // namespace qanat::ike
