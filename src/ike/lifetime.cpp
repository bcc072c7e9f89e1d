// How time acts on an IKE SA, and how it ends.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ike/ike_sa.hpp"
#include "ike/retransmit.hpp"

namespace qanat::ike {

using wire::ExchangeType;

namespace {

constexpr Duration kLinger = 30s;
// An IKE SA's Delete takes its Child SAs with it at once, unlike a Child SA's at most peers: it must not overtake the
// packets that we sent under them, in the network or in the peer's queues.
constexpr Duration kPacketsUnderWay = 500ms;

}  // namespace

void IkeSa::handle_timeout(Instant now) {
  while (const auto timer = timers_.expire(now)) {
    switch (*timer) {
      case Timer::Retransmit: {
        if (!outstanding_ || begin_anew(now)) break;
        if (outstanding_->sends >= env_.config.retransmit.sends) {
          const std::string why =
              making().hint.empty()
                  ? fmt::format("no answer from {} to {} after {} tries", path_.remote.to_string(),
                                wire::to_string(outstanding_->exchange), env_.config.retransmit.sends)
                  : fmt::format("no acceptable answer from {}: {}", path_.remote.to_string(), making().hint);
          if (is_established() || is_ending()) {
            remove_children();
            if (is_established()) report(Report::What::Down, why);
            to_closed();
          } else {
            fail_attempt(why);
          }
          return;
        }
        if (const unsigned sends = env_.config.retransmit.sends_of_a_size;
            outstanding_->text && sends != 0 && outstanding_->sends % sends == 0)
          cut_smaller(*outstanding_->text, outstanding_->datagrams);
        ++outstanding_->sends;
        transmit(path_, outstanding_->datagrams);
        probe_paths();
        timers_.set(Timer::Retransmit, now + retransmit_delay(outstanding_->sends, env_.rng, env_.config.retransmit));
        break;
      }
      case Timer::Handshake:
        if (initiator_) {
          fail_attempt(making().hint.empty() ? fmt::format("no answer from {}", path_.remote.to_string())
                                             : making().hint);
        } else {
          env_.counters.add(Counter::half_open_timeout);
          to_closed();
        }
        return;
      case Timer::Install:
        on_install_failed(now, "the packet path did not confirm the keys within 2 s");
        return;
      case Timer::Rivals:
        choose_answer(now);
        break;
      case Timer::Worker:
        env_.counters.add(Counter::worker_timeout);
        on_worker_failed(now, "no worker has answered within 10 s");
        return;
      case Timer::Liveness:
        check_liveness(now);
        break;
      case Timer::LivenessDeadline:
        remove_children();
        report(Report::What::Down,
               fmt::format("{} has not answered for {} s", peer_text(),
                           std::chrono::duration_cast<std::chrono::seconds>(tunnel_->dpd_timeout).count()));
        to_closed();
        return;
      case Timer::Keepalive:
        env_.actions.emplace_back(Transmit{path_, Bytes{0xff}});  // RFC 3948 4
        timers_.set(Timer::Keepalive, now + 20s);
        break;
      case Timer::Renew:
        tasks_.enqueue(task::RekeyIke{}, now);
        break;
      case Timer::RenewAnew:
        report(Report::What::RenewWanted, "no rekey of the IKE SA has succeeded, and its lifetime is nearly over");
        break;
      case Timer::Reauth:
        report(Report::What::RenewWanted, "the peers are to authenticate again");
        break;
      case Timer::Expire:
        close(now, "the keys' lifetime is over");
        break;
      case Timer::Leave:
        leave(now);
        break;
      case Timer::Linger:
        if (std::holds_alternative<Superseded>(state_)) {
          delete_superseded(now);  // the peer should have done so
          break;
        }
        to_closed();
        return;
      case Timer::Reassembly:
        for (Reassembly& r : reassembly_) {
          if (r.empty() || now < *r.deadline()) continue;
          env_.counters.add(Counter::fragment_timeout);
          r.clear();
        }
        restart_reassembly_timer();
        break;
      case Timer::OwnSpi:
      case Timer::PeerSpi:
        on_spi_timeout(now, *timer);
        break;
      case Timer::Puzzle:
        solve_puzzle(now);
        break;
      case Timer::kCount:
        break;
    }
  }
  drop_parked(now);
  handle_child_timeouts(now);
  take_held(now);
  pump(now);
}

// The packet path gave no SPI in time.
void IkeSa::on_spi_timeout(Instant now, Timer timer) {
  const ipsec::Done late{RequestId{}, 0, fail(ErrorKind::Resource, "packet path", "gave no SPI within 2 s")};
  if (timer == Timer::OwnSpi) {
    on_own_spi(now, late);
  } else {
    on_peer_spi(now, late);
  }
}

void IkeSa::release_spi() {
  if (reserved_spi_ != 0) env_.actions.emplace_back(PlaneCommand{ipsec::ReleaseSpi{std::exchange(reserved_spi_, 0)}});
}

void IkeSa::to_closed() {
  remove_children();
  drop_tasks();
  release_spi();
  state_ = Closed{};
  timers_ = {};
  outstanding_.reset();
  if (making_) making_->keys = {};
  sk_d_.clear();
  sealer_.reset();
  opener_.reset();
  previous_sealer_.reset();
  previous_opener_.reset();
  peer_slot_.text.reset();
  held_.reset();
  for (Reassembly& r : reassembly_) r.clear();
}

// The SA is over, and the last response may have to be repeated for a while.
void IkeSa::linger(Instant now) {
  drop_tasks();
  release_spi();
  state_ = Lingering{};
  timers_ = {};
  outstanding_.reset();
  timers_.set(Timer::Linger, now + (is_half_open() ? std::min(kLinger, patience_) : kLinger));
}

void IkeSa::fail_attempt(std::string why) {
  remove_children();
  report(initiator_ ? Report::What::AttemptFailed : Report::What::PeerRefused, std::move(why));
  to_closed();
}

void IkeSa::abandon(std::string why) {
  remove_children();
  report(Report::What::Down, std::move(why));
  to_closed();
}

void IkeSa::close(Instant now, std::string why, Ending ending) {
  if (std::holds_alternative<Superseded>(state_)) return delete_superseded(now);
  if (is_ending()) {
    if (ending == Ending::Graceful) return;
    remove_children();  // the old inbound keys need not wait any longer
    if (timers_.at(Timer::Leave)) {
      timers_.stop(Timer::Leave);
      leave(now);
    }
    return;
  }
  // The peer's answer to IKE_AUTH has come, so it holds the SA for established: it is told.
  if (initiator_ && std::holds_alternative<Installing>(state_)) become_established(now);
  std::optional<OwnIke> rekey;
  if (is_established()) {
    timers_ = {};
    if (auto* own = std::get_if<OwnIke>(&active()); own != nullptr && outstanding_) {
      // The peer's rekey meets ours: with the IKE SA that it has made it would go on without us.
      IkeSa* rival = own->rival && own->rival->spi != 0 ? env_.tunnels.find_sa(own->rival->spi) : nullptr;
      if (rival != nullptr && std::holds_alternative<Superseded>(rival->state_)) rival->delete_superseded(now);
      rekey = std::move(*own);
    }
    drop_tasks();
    if (ending == Ending::AtOnce) remove_children();
    retire_children(now);
    if (!why.empty()) report(Report::What::Down, std::move(why));
  } else {
    remove_children();
    if (!why.empty()) report(initiator_ ? Report::What::AttemptFailed : Report::What::PeerRefused, std::move(why));
    // To the peer the SA is established as soon as it has our IKE_AUTH: it is told that it is not.
    const bool peer_may_hold_it =
        std::holds_alternative<AwaitAuth>(state_) || (initiator_ && std::holds_alternative<AwaitVerdict>(state_));
    if (!peer_may_hold_it) return to_closed();
    release_spi();
    timers_ = {};
  }
  state_ = Deleting{.rekey = std::move(rekey)};
  timers_.set(Timer::Linger, now + kLinger);
  if (ending == Ending::Graceful) timers_.set(Timer::Leave, now + kPacketsUnderWay);
  // The window is 1: the Delete follows when this request is answered, or never, if the peer is dead.
  if (outstanding_) timers_.set(Timer::Retransmit, now + retransmit_delay(1, env_.rng, env_.config.retransmit));
  leave(now);
}

// Our Delete, or our answer to the peer's, as soon as nothing stands before it.
void IkeSa::leave(Instant now) {
  if (timers_.at(Timer::Leave)) return;
  if (auto* deleting = std::get_if<Deleting>(&state_)) {
    if (deleting->sent || outstanding_) return;
    deleting->sent = true;
    send_request(now, ExchangeType::INFORMATIONAL, {wire::DeletePayload{wire::ProtocolId::IKE, {}}});
  } else if (std::holds_alternative<Lingering>(state_) && peer_slot_.in_progress) {
    send_response(now, ExchangeType::INFORMATIONAL, {});
  }
}

}  // namespace qanat::ike
