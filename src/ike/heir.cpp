// The IKE SA that a rekey makes: what it takes over from its predecessor, and what becomes of that (RFC
// 7296 2.8, 2.18).
//
// Both ends may rekey at once; then two heirs stand for a moment, and neither takes over before the nonces have
// decided. An heir that may still lose, and a predecessor whose heir has taken over, are Superseded: they answer, and
// do nothing else.
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ike/ike_sa.hpp"

namespace qanat::ike {

namespace {

constexpr Duration kDeletePatience = 120s;  // for the peer's DELETE of what it should delete

}  // namespace

IkeSa& IkeSa::make_heir(Instant now, HeirPlan plan) {
  const bool ours = plan.began == WhoBegan::Us;
  std::unique_ptr<IkeSa> sa{new IkeSa(env_, env_.tunnels.new_sa_id(), ours)};
  sa->tunnel_ = tunnel_;
  inherit_path(*sa);
  sa->cookie_verified_ = cookie_verified_;
  sa->begun_ = now;
  sa->since_ = now;
  sa->origin_ = origin_;
  sa->last_heard_ = last_heard_;
  sa->was_established_ = true;
  sa->authenticated_ = authenticated_;
  sa->agreed_ = agreed_.for_heir();
  sa->peer_fragments_ = peer_fragments_;
  sa->peer_intermediate_ = peer_intermediate_;
  sa->peer_id_ = peer_id_;
  sa->handshake_ = handshake_;
  sa->more_selectors_ = more_selectors_;
  sa->chosen_ = plan.chosen;
  sa->key_exchanges_ = plan.rounds->all();
  sa->verdict_ = rekeyed_verdict(*plan.rounds);
  sa->context_.spi_i = ours ? plan.our_spi : plan.peer_spi;
  sa->context_.spi_r = ours ? plan.peer_spi : plan.our_spi;
  sa->context_.nonce_i = plan.nonce_i;
  sa->context_.nonce_r = plan.nonce_r;
  sa->context_.suite = plan.chosen.suite;
  sa->context_.prf = plan.chosen.prf;
  const SecretBytes seed = plan.rounds->seed(plan.nonce_i, plan.nonce_r);
  sa->install_keys(derive_rekeyed_keys(context_.prf, sk_d(), seed, sa->context_));
  sa->forget_handshake();
  if (const auto at = timers_.at(Timer::Reauth)) sa->timers_.set(Timer::Reauth, *at);
  sa->state_ = Superseded{};
  sa->timers_.set(Timer::Linger, now + kDeletePatience);
  IkeSa& out = *sa;
  env_.tunnels.adopt(std::move(sa));
  return out;
}

SafetyVerdict IkeSa::rekeyed_verdict(const KeRounds& rounds) const {
  SafetyVerdict out = verdict_;
  if (rounds.has_ml_kem()) {
    out.hybrid = true;
    out.inherited = false;
    out.code = {};
    out.reason =
        fmt::format("{}{}", ml_kem_reason(rounds.all()), out.ppk ? ", and a PPK into those that they come from" : "");
  } else if (out.hybrid) {
    out.inherited = true;
    out.reason = "by the keys before: the last rekey of the IKE SA had no ML-KEM of its own";
  } else if (out.ppk) {
    out.inherited = true;
  }
  return out;
}

// The heir takes over: Child SAs and what is still to be done, without a word to anybody above.
void IkeSa::bequeath(Instant now, IkeSa& heir) {
  heir.children_ = std::move(children_);
  children_.clear();
  for (const auto& [id, child] : heir.children_) {
    if (child.inbound_in_plane) env_.children[id] = heir.our_spi();
  }
  heir.tasks_ = std::move(tasks_);
  tasks_ = {};
  heir.tasks_.remove(task::RekeyIke{});
  heir.tasks_.remove(task::Liveness{});
  if (env_.config.crash_secret) heir.tasks_.enqueue(task::CrashToken{}, now);  // RFC 6290 4.3
  heir.tunnel_ = tunnel_;  // it may have changed since the heir was made
  heir.rekey_again_ = rekey_again_;
  heir.next_acquire_ = next_acquire_;
  heir.next_selectors_notice_ = next_selectors_notice_;
  heir.next_selectors_report_ = next_selectors_report_;
  env_.tunnels.succeed(our_spi(), heir.our_spi());
  inherit_path(heir);
  if (const auto* asked = std::get_if<AddressExchange>(&active()))
    heir.tasks_.enqueue(task::AddressTask{asked->what}, now);
  const bool weakened = heir.verdict_.hybrid && heir.verdict_.inherited && !verdict_.inherited;
  heir.timers_.stop(Timer::Linger);
  heir.state_ = Established{};
  heir.since_ = now;
  heir.start_timers(now);
  heir.report(Report::What::IkeRekeyed, fmt::format("{} has new keys for the IKE SA", peer_text()));
  if (weakened) {
    heir.report(Report::What::Weakened,
                fmt::format("{} rekeyed the IKE SA without ML-KEM: its keys are hybrid by those before only; set pq = "
                            "\"require\" to refuse that",
                            peer_text()));
  }
  heir.pump(now);
}

// Our own rekey is not answered yet, and the peer goes on in the IKE SA that its rekey made: it has decided.
void IkeSa::claim_inheritance(Instant now) {
  IkeSa* old = env_.tunnels.find_sa(std::exchange(rival_of_, 0));
  const auto* own = old != nullptr ? std::get_if<OwnIke>(&old->active()) : nullptr;
  if (own == nullptr || !own->rival || own->rival->spi != our_spi()) return;
  old->bequeath(now, *this);
  old->become_superseded(now);
}

// As responder of the rekey: the peer deletes this one.
void IkeSa::become_superseded(Instant now) {
  drop_tasks();
  timers_ = {};
  state_ = Superseded{};
  timers_.set(Timer::Linger, now + kDeletePatience);
  if (outstanding_) timers_.set(Timer::Retransmit, now + 1s);
}

// As its initiator, or when patience is over: this one goes.
void IkeSa::delete_superseded(Instant now) {
  drop_tasks();
  timers_ = {};
  state_ = Deleting{};
  timers_.set(Timer::Linger, now + 30s);
  if (outstanding_) timers_.set(Timer::Retransmit, now + 1s);
  leave(now);
}

}  // namespace qanat::ike
