// The first Child SA: its keys, its installation in the packet path, its removal.
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ike/ike_sa.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyPayload;
using wire::NotifyType;

ipsec::OuterPath IkeSa::outer_path() const {
  const bool udp = nat_local_ || nat_remote_ || tunnel_->force_encap || !env_.config.native_esp;
  ipsec::OuterPath out{path_.local, path_.remote, udp ? ipsec::Encapsulation::Udp : ipsec::Encapsulation::Native};
  if (!udp) {
    out.local.port = 0;
    out.peer.port = 0;
  } else {
    // ESP in UDP never runs on the IKE port (RFC 7296 2.23).
    if (out.local.port != env_.config.nat_port) out.local.port = env_.config.nat_port;
    if (out.peer.port == 500) out.peer.port = 4500;
  }
  return out;
}

void IkeSa::install_child(Instant now, ChildPlan plan, wire::Payloads answer) {
  // The invariant that a Child SA follows only a verified AUTH is held here, where the keys are made.
  ensure(tunnel_ && authenticated_, "a Child SA belongs to an authenticated peer");
  ChildKeys keys = derive_first_child_keys(context_, keys_.sk_d, plan.esp.suite);
  ipsec::SaDirection inbound;
  inbound.child = ChildSaId{env_.next_child++};
  inbound.tunnel = tunnel_->id;
  inbound.vrf = tunnel_->vrf;
  inbound.spi = plan.spi_in;
  inbound.suite = plan.esp.suite;
  inbound.esn = plan.esp.esn;
  inbound.replay_window = tunnel_->replay_window;
  inbound.keymat = std::move(initiator_ ? keys.responder : keys.initiator);
  inbound.local_ts = plan.local_ts;
  inbound.remote_ts = plan.remote_ts;
  inbound.path = outer_path();
  ipsec::SaDirection outbound;
  outbound.child = inbound.child;
  outbound.tunnel = inbound.tunnel;
  outbound.vrf = inbound.vrf;
  outbound.spi = plan.esp.spi;
  outbound.suite = inbound.suite;
  outbound.esn = inbound.esn;
  outbound.replay_window = inbound.replay_window;
  outbound.keymat = std::move(initiator_ ? keys.initiator : keys.responder);
  outbound.local_ts = plan.local_ts;
  outbound.remote_ts = plan.remote_ts;
  outbound.path = inbound.path;

  ChildInfo info;
  info.id = inbound.child;
  info.spi_in = inbound.spi;
  info.spi_out = outbound.spi;
  info.suite = inbound.suite;
  info.esn = inbound.esn;
  info.encapsulation = inbound.path.encapsulation;
  info.local_ts = std::move(plan.local_ts);
  info.remote_ts = std::move(plan.remote_ts);
  info.replay_window = inbound.replay_window;
  info.since = now;
  info.verdict = verdict_;
  child_ = std::move(info);
  outbound_installed_ = true;
  reserved_spi_ = 0;  // it belongs to the Child SA from here on
  env_.children[child_->id] = our_spi();
  if (env_.config.key_log) {
    env_.actions.emplace_back(EspKeyLog{path_.remote.address, path_.local.address, inbound.spi, inbound.suite,
                                        inbound.esn, inbound.keymat.clone()});
    env_.actions.emplace_back(EspKeyLog{path_.local.address, path_.remote.address, outbound.spi, outbound.suite,
                                        outbound.esn, outbound.keymat.clone()});
  }
  Installing next;
  next.inbound = new_request();
  next.outbound = new_request();
  next.answer = std::move(answer);
  env_.actions.emplace_back(PlaneCommand{ipsec::InstallInbound{next.inbound, std::move(inbound)}});
  env_.actions.emplace_back(PlaneCommand{ipsec::InstallOutbound{next.outbound, std::move(outbound)}});
  state_ = std::move(next);
  timers_.set(Timer::Install, now + 2s);
}

RequestId IkeSa::new_request() {
  const RequestId request{env_.next_request++};
  env_.requests[request] = our_spi();
  return request;
}

void IkeSa::handle_done(Instant now, const ipsec::Done& done) {
  if (auto* spi = std::get_if<AwaitSpi>(&state_); spi != nullptr && spi->request == done.request) {
    on_spi_reserved(now, done);
  } else if (auto* reserving = std::get_if<ReservingSpi>(&state_);
             reserving != nullptr && reserving->request == done.request) {
    if (done.status) {
      on_responder_spi(now, std::move(*reserving), done);
    } else {
      on_install_failed(now, done.status.error().detail);
    }
  } else if (auto* installing = std::get_if<Installing>(&state_)) {
    on_installed(now, *installing, done);
  } else if (done.status && done.spi != 0) {
    env_.actions.emplace_back(PlaneCommand{ipsec::ReleaseSpi{done.spi}});  // the answer came too late
  }
}

void IkeSa::on_installed(Instant now, Installing& state, const ipsec::Done& done) {
  if (done.request != state.inbound && done.request != state.outbound) return;
  if (!done.status) return on_install_failed(now, done.status.error().detail);
  if (done.request == state.inbound) state.inbound_done = true;
  if (done.request == state.outbound) state.outbound_done = true;
  if (!state.inbound_done || !state.outbound_done) return;
  timers_.stop(Timer::Install);
  const wire::Payloads answer = std::move(state.answer);
  if (!initiator_) send_response(now, ExchangeType::IKE_AUTH, answer);
  if (is_closed()) return;
  env_.actions.emplace_back(PlaneCommand{ipsec::SwitchOutbound{tunnel_->id, child_->id}});
  become_established(now);
  std::vector<std::string> kes;
  for (const KeId id : key_exchanges_) kes.push_back(to_string(id));
  child_announced_ = true;
  report(Report::What::ChildUp,
         fmt::format("{} keys ({}), ESP {} {} with {}", verdict_.hybrid ? "hybrid" : "classical", fmt::join(kes, "+"),
                     to_string(child_->suite), child_->encapsulation == ipsec::Encapsulation::Udp ? "in UDP" : "native",
                     peer_text()));
}

// The packet path could not take the keys: the peer must not use them (design, "asynchronous and can fail").
void IkeSa::on_install_failed(Instant now, const std::string& why) {
  timers_.stop(Timer::Install);
  if (initiator_) {
    if (std::holds_alternative<Installing>(state_)) {
      report(Report::What::AttemptFailed, fmt::format("the packet path refused the keys: {}", why));
      close(now, "");
    } else {
      fail_attempt(fmt::format("the packet path gave no SPI: {}", why));
    }
    return;
  }
  wire::Payloads answer;
  if (auto* reserving = std::get_if<ReservingSpi>(&state_)) answer = std::move(reserving->answer);
  if (auto* installing = std::get_if<Installing>(&state_)) answer = std::move(installing->answer);
  std::erase_if(answer, [](const wire::Payload& p) {
    const wire::PayloadType type = wire::type_of(p);
    return type == wire::PayloadType::SA || type == wire::PayloadType::TSi || type == wire::PayloadType::TSr;
  });
  remove_child();
  release_spi();
  answer.emplace_back(NotifyPayload{wire::ProtocolId::None, {}, NotifyType::NO_ADDITIONAL_SAS, {}});
  send_response(now, ExchangeType::IKE_AUTH, answer);
  if (is_closed()) return;
  become_established(now);
  report(Report::What::PeerRefused,
         fmt::format("{}: no Child SA: the packet path refused the keys: {}", peer_text(), why));
}

// The Child SA carries no more, and says so before any report on its IKE SA.
void IkeSa::remove_outbound() {
  if (std::exchange(child_announced_, false)) report(Report::What::ChildGone, {});
  if (child_ && std::exchange(outbound_installed_, false))
    env_.actions.emplace_back(PlaneCommand{ipsec::RemoveOutbound{child_->id}});
}

void IkeSa::remove_child() {
  if (!child_) return;
  remove_outbound();
  env_.children.erase(child_->id);
  env_.actions.emplace_back(PlaneCommand{ipsec::RemoveInbound{child_->id}});
  child_.reset();
}

}  // namespace qanat::ike
