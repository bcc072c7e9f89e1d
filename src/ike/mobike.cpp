// Addresses that change under an IKE SA (MOBIKE, RFC 4555). "Initiator" in its sense is who began the first IKE SA of a
// series of rekeys (began_first_): it decides on the path; the responder follows UPDATE_SA_ADDRESSES.
//
// When a local address is gone, the initiator moves at once: to the address from which the host's routing reaches the
// peer, else to another of those that are configured for peers. A tunnel whose `local` is pinned stays. When a request
// has no answer, it also goes out on the other paths, one with each retransmission, and where the answer comes from is
// the new path. As responder we move at once and check afterwards that the peer is there: a peer that has proved who it
// is could have asked for the same packets from its old address.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ike/ike_sa.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyPayload;
using wire::NotifyType;

namespace {

constexpr std::size_t kCookieSize = 16;
constexpr std::size_t kMaxAddresses = 16;  // of a peer's that are remembered
constexpr unsigned kSendsBeforeProbing = 3;
constexpr unsigned kMaxRefused = 8;
constexpr Duration kKeepaliveInterval = 20s;

NotifyPayload notify(NotifyType type, Bytes data = {}) {
  return {wire::ProtocolId::None, {}, type, std::move(data)};
}

bool contains(const std::vector<IpAddress>& list, const IpAddress& a) {
  return std::find(list.begin(), list.end(), a) != list.end();
}

void add_once(std::vector<IpAddress>& list, const IpAddress& a) {
  if (!contains(list, a)) list.push_back(a);
}

}  // namespace

bool says_another_path(const wire::Payloads& payloads, const Path& arrived) {
  const NotifyPayload* no_nats = wire::find_notify(payloads, NotifyType::NO_NATS_ALLOWED);
  if (no_nats == nullptr) return false;
  Bytes expected = to_bytes(arrived.remote.address.bytes());
  append(expected, arrived.local.address.bytes());
  std::array<std::uint8_t, 4> ports{};
  store_be16(ports.data(), arrived.remote.port);
  store_be16(ports.data() + 2, arrived.local.port);
  append(expected, ports);
  return no_nats->data != expected;
}

// ---- what is said ------------------------------------------------------------------------------------------------

// Ours that the peer may use as well: of those that are meant for peers, the ones that the host has.
std::vector<IpAddress> IkeSa::additional_addresses() const {
  std::vector<IpAddress> out;
  for (const IpAddress& a : tunnel_->outer_addresses) {
    const bool there = env_.host.all.empty() || contains(env_.host.all, a);
    if (there && a != path_.local.address) add_once(out, a);
  }
  return out;
}

void IkeSa::append_addresses(wire::Payloads& payloads) const {
  for (const IpAddress& a : additional_addresses()) {
    payloads.emplace_back(notify(a.is_v6() ? NotifyType::ADDITIONAL_IP6_ADDRESS : NotifyType::ADDITIONAL_IP4_ADDRESS,
                                 to_bytes(a.bytes())));
  }
}

// In IKE_AUTH (3.2, 3.4).
wire::Payloads IkeSa::mobike_offer() const {
  wire::Payloads out;
  out.emplace_back(notify(NotifyType::MOBIKE_SUPPORTED));
  append_addresses(out);
  return out;
}

// The peer's IKE_AUTH message.
void IkeSa::note_mobike(const wire::Payloads& payloads) {
  mobike_.on = tunnel_->mobike && wire::find_notify(payloads, NotifyType::MOBIKE_SUPPORTED) != nullptr;
  if (!mobike_.on) return;
  note_addresses(payloads, path_);
  mobike_.announced = additional_addresses();
}

// A list replaces the one before (3.6). The address of the IP header belongs to it.
void IkeSa::note_addresses(const wire::Payloads& payloads, const Path& arrived) {
  std::vector<IpAddress> list;
  for (const wire::Payload& p : payloads) {
    const auto* n = std::get_if<NotifyPayload>(&p);
    if (n == nullptr || list.size() >= kMaxAddresses) continue;
    const bool v4 = n->type == NotifyType::ADDITIONAL_IP4_ADDRESS && n->data.size() == 4;
    const bool v6 = n->type == NotifyType::ADDITIONAL_IP6_ADDRESS && n->data.size() == 16;
    if (v4 || v6) add_once(list, IpAddress::from_bytes(n->data));
  }
  if (arrived.remote.address != path_.remote.address) add_once(list, arrived.remote.address);
  mobike_.peer_addresses = std::move(list);
}

// ---- paths -------------------------------------------------------------------------------------------------------

std::optional<IpAddress> choose_local(const TunnelConfig& tunnel, const HostAddresses& host, const IpAddress& now,
                                      const IpAddress& remote) {
  const auto usable = [&](const IpAddress& a) {
    return a.is_v6() == remote.is_v6() && (host.all.empty() || contains(host.all, a));
  };
  if (usable(now)) return now;
  if (tunnel.pinned_local) return std::nullopt;
  for (const auto& [to, from] : host.sources) {
    if (to == remote && usable(from)) return from;
  }
  for (const IpAddress& a : tunnel.outer_addresses) {
    if (usable(a)) return a;
  }
  if (!host.sources.empty()) return std::nullopt;  // the host's routing knows of none
  const auto any = std::find_if(host.all.begin(), host.all.end(), usable);
  return any == host.all.end() ? std::nullopt : std::optional{*any};
}

std::optional<IpAddress> IkeSa::local_for(const IpAddress& remote) const {
  return choose_local(*tunnel_, env_.host, path_.local.address, remote);
}

// Where an attempt begins: at the configured address, and when that is gone where MOBIKE would move to.
Result<Path> IkeSa::first_path(const TunnelConfig& tunnel, const Env& env) {
  const bool on_nat_port = tunnel.peer_port == env.config.nat_port;
  Path out{{tunnel.local, on_nat_port ? env.config.nat_port : env.config.ike_port}, {*tunnel.peer, tunnel.peer_port}};
  const HostAddresses& host = env.host;
  if (tunnel.local.is_unspecified() || host.all.empty() || contains(host.all, tunnel.local) ||
      contains(host.rest, tunnel.local))
    return out;
  const auto other = tunnel.mobike ? choose_local(tunnel, host, tunnel.local, *tunnel.peer) : std::nullopt;
  if (!other)
    return fail(ErrorKind::Resource, "tunnel " + tunnel.name,
                fmt::format("no interface has {} any more, and {}: give the host that address again, or change it in "
                            "the configuration",
                            tunnel.local.to_string(),
                            tunnel.pinned_local ? "the tunnel's 'local' lets it begin from no other"
                            : !tunnel.mobike    ? "with mobike = false the tunnel begins from no other"
                                                : "no other leads to the peer"));
  out.local.address = *other;
  return out;
}

// Those that could be tried beside the one in use, the likely ones first.
std::vector<Path> IkeSa::other_paths() const {
  std::vector<Path> out;
  const auto add = [&](const IpAddress& local, const Endpoint& remote) {
    const Path path{{local, env_.config.nat_port}, remote};
    const bool used = local == path_.local.address && remote.address == path_.remote.address;
    if (!used && local.is_v6() == remote.address.is_v6() && std::find(out.begin(), out.end(), path) == out.end())
      out.push_back(path);
  };
  std::vector<Endpoint> remotes{path_.remote};
  if (remotes.front().port == 500) remotes.front().port = 4500;
  if (!nat_remote_) {  // else they are the addresses behind the NAT
    for (const IpAddress& a : mobike_.peer_addresses) remotes.push_back({a, 4500});
  }
  for (const Endpoint& remote : remotes) {
    if (!tunnel_->pinned_local) {
      for (const auto& [to, from] : env_.host.sources) {
        if (to == remote.address) add(from, remote);
      }
    }
    if (const auto local = local_for(remote.address)) add(*local, remote);
    if (tunnel_->pinned_local) continue;
    for (const IpAddress& local : additional_addresses()) add(local, remote);
  }
  return out;
}

// From now on everything takes this path, the Child SAs as well.
void IkeSa::change_path(Path path, std::string what) {
  path_ = std::move(path);
  const bool keepalives = nat_local_ && path_.local.port == env_.config.nat_port && is_established();
  if (!keepalives) {
    timers_.stop(Timer::Keepalive);
  } else if (!timers_.is_set(Timer::Keepalive)) {
    timers_.set(Timer::Keepalive, last_heard_ + kKeepaliveInterval);
  }
  if (!is_established() || children_.empty()) return;
  const ipsec::OuterPath outer = outer_path();
  for (auto& [id, child] : children_) child.info.encapsulation = outer.encapsulation;
  env_.actions.emplace_back(PlaneCommand{ipsec::UpdatePeer{tunnel_->id, outer}});
  if (!what.empty()) report(Report::What::PeerMoved, std::move(what));
}

// We decide (3.5): the SAs move, and the peer is told as soon as the window allows.
void IkeSa::move_to(Instant now, const Path& path) {
  if (path == path_) return;
  change_path(path, fmt::format("we are at {} now: {} at {}", path.local.to_string(), peer_id_.to_string(),
                                path.remote.to_string()));
  if (outstanding_) transmit(path_, outstanding_->datagrams);
  tasks_.enqueue(task::AddressTask{AddressExchange::What::Update}, now);
}

// Both sides agree on `path`. The payloads of NAT detection tell what stands between; encapsulation follows.
void IkeSa::settle_path(const wire::Payloads& payloads, const Path& path, std::string what) {
  wire::IkeHeader header;
  header.spi_i = context_.spi_i;
  header.spi_r = context_.spi_r;
  const auto encapsulation = outer_path().encapsulation;
  const bool nat_before_us = nat_local_;
  if (wire::find_notify(payloads, NotifyType::NAT_DETECTION_SOURCE_IP) != nullptr &&
      wire::find_notify(payloads, NotifyType::NAT_DETECTION_DESTINATION_IP) != nullptr)
    detect_nat(payloads, header, path);
  if (path != path_ || outer_path().encapsulation != encapsulation || nat_local_ != nat_before_us)
    change_path(path, path != path_ ? std::move(what) : std::string{});
}

// We have begun, and the peer has installed nothing that we know of.
bool IkeSa::is_attempt() const {
  return initiator_ && !was_established_ && !is_ending() && !std::holds_alternative<Installing>(state_);
}

void IkeSa::handle_addresses(Instant now) {
  const std::vector<IpAddress>& all = env_.host.all;
  if (is_attempt()) {
    const auto better = first_path(*tunnel_, env_);
    if (better && contains(all, better->local.address) && !contains(all, path_.local.address) &&
        !contains(env_.host.rest, path_.local.address))
      fail_attempt(fmt::format("our address {} is gone: the next attempt begins from {}",
                               path_.local.address.to_string(), better->local.address.to_string()));
    return;
  }
  if (!is_established() || !mobike_.on || all.empty()) return;
  if (!contains(all, path_.local.address)) {
    std::vector<Endpoint> remotes{path_.remote};
    if (began_first_ && !nat_remote_) {
      for (const IpAddress& a : mobike_.peer_addresses) remotes.push_back({a, 4500});
    }
    for (Endpoint remote : remotes) {
      const auto local = local_for(remote.address);
      if (!local) continue;
      if (remote.port == 500) remote.port = 4500;
      const Path path{{*local, env_.config.nat_port}, remote};
      if (began_first_) {
        move_to(now, path);
      } else {
        // The one case in which the responder moves by itself: its address is gone (3.5, 3.6).
        change_path(path, fmt::format("we are at {} now: {} is told", path.local.to_string(), peer_id_.to_string()));
        if (outstanding_) transmit(path_, outstanding_->datagrams);
        tasks_.enqueue(task::AddressTask{AddressExchange::What::Announce}, now);
      }
      break;
    }
  } else if (additional_addresses() != mobike_.announced) {
    tasks_.enqueue(task::AddressTask{AddressExchange::What::Announce}, now);
  }
  pump(now);
}

// A request has no answer: is it the path? (3.10)
void IkeSa::probe_paths() {
  if (!mobike_.on || !began_first_ || !is_established() || outstanding_->sends < kSendsBeforeProbing) return;
  const std::vector<Path> others = other_paths();
  if (others.empty()) return;
  outstanding_->probing = true;
  env_.counters.add(Counter::path_probe);
  transmit(others[(outstanding_->sends - kSendsBeforeProbing) % others.size()], outstanding_->datagrams);
}

// ---- our requests ------------------------------------------------------------------------------------------------

void IkeSa::start_address_task(Instant now, AddressExchange::What what) {
  AddressExchange exchange{what, path_, env_.rng.bytes(kCookieSize)};
  wire::Payloads payloads;
  if (what == AddressExchange::What::Update) {
    payloads.emplace_back(notify(NotifyType::UPDATE_SA_ADDRESSES));
    for (wire::Payload& p : nat_notifies(path_, context_.spi_i, context_.spi_r, tunnel_->force_encap))
      payloads.push_back(std::move(p));
  }
  if (what != AddressExchange::What::Check) {
    const std::size_t before = payloads.size();
    append_addresses(payloads);
    if (payloads.size() == before) payloads.emplace_back(notify(NotifyType::NO_ADDITIONAL_ADDRESSES));
    mobike_.announced = additional_addresses();
  }
  payloads.emplace_back(notify(NotifyType::COOKIE2, exchange.cookie));
  active() = std::move(exchange);
  send_request(now, ExchangeType::INFORMATIONAL, payloads);
}

void IkeSa::on_address_response(Instant now, const AddressExchange& asked, const Verified& message) {
  const NotifyPayload* cookie = wire::find_notify(message.payloads, NotifyType::COOKIE2);
  const NotifyPayload* error = first_error(message.payloads);
  if (cookie != nullptr ? cookie->data != asked.cookie : error == nullptr) {
    // Whoever answered has not seen the request: RFC 4555 3.7 has the IKE SA closed.
    return close(now, fmt::format("{} answered with another COOKIE2", peer_text()));
  }
  if (asked.path != path_) {
    // Meanwhile the path has changed: the answer says nothing about the new one.
    tasks_.enqueue(task::AddressTask{asked.what}, now);
    return;
  }
  if (error != nullptr) return on_refused_path(now, asked);
  mobike_.refused = 0;
  if (asked.what != AddressExchange::What::Update) return;
  settle_path(message.payloads, path_, {});
  if (const auto* seen = wire::find_notify(message.payloads, NotifyType::NAT_DETECTION_DESTINATION_IP))
    mobike_.seen_as = seen->data;
}

// UNACCEPTABLE_ADDRESSES, or UNEXPECTED_NAT_DETECTED, which we never ask for: another path, a bounded number of times.
void IkeSa::on_refused_path(Instant now, const AddressExchange& asked) {
  env_.counters.add(Counter::address_refused);
  const std::vector<Path> others = other_paths();
  if (asked.what != AddressExchange::What::Update || others.empty() || mobike_.refused >= kMaxRefused) return;
  move_to(now, others[mobike_.refused++ % others.size()]);
}

// A NAT before us may have forgotten its mapping (3.8): then the peer sees us elsewhere, and has to be told.
void IkeSa::on_liveness_response(Instant now, const Verified& message) {
  const auto* seen = wire::find_notify(message.payloads, NotifyType::NAT_DETECTION_DESTINATION_IP);
  if (!mobike_.on || !began_first_ || seen == nullptr || seen->data == mobike_.seen_as) return;
  tasks_.enqueue(task::AddressTask{AddressExchange::What::Update}, now);
}

// ---- the peer's --------------------------------------------------------------------------------------------------

// What goes into the response to an INFORMATIONAL request.
wire::Payloads IkeSa::answer_mobike(Instant now, const Verified& message) {
  wire::Payloads out;
  const auto has = [&](NotifyType type) { return wire::find_notify(message.payloads, type) != nullptr; };
  const Path& arrived = message.arrived;
  const NotifyPayload* cookie = wire::find_notify(message.payloads, NotifyType::COOKIE2);
  const auto answer = [&] {
    if (cookie != nullptr) out.emplace_back(notify(NotifyType::COOKIE2, cookie->data));
    return std::move(out);
  };
  if (!mobike_.on) return answer();
  if (says_another_path(message.payloads, arrived)) {
    env_.counters.add(Counter::address_refused);
    out.emplace_back(notify(NotifyType::UNEXPECTED_NAT_DETECTED));
    return answer();
  }
  const bool update = has(NotifyType::UPDATE_SA_ADDRESSES) && !began_first_;
  // The host's own address as the peer's would make a loop.
  if (update && contains(env_.host.all, arrived.remote.address)) {
    env_.counters.add(Counter::address_refused);
    out.emplace_back(notify(NotifyType::UNACCEPTABLE_ADDRESSES));
    return answer();
  }
  if (has(NotifyType::NAT_DETECTION_SOURCE_IP) || has(NotifyType::NAT_DETECTION_DESTINATION_IP))
    out = nat_notifies(arrived, context_.spi_i, context_.spi_r, tunnel_->force_encap);
  if (update && is_established()) {
    const bool moved = arrived != path_;
    settle_path(message.payloads, arrived,
                fmt::format("{} now at {}", peer_id_.to_string(), arrived.remote.to_string()));
    if (moved) {
      tasks_.enqueue(task::AddressTask{AddressExchange::What::Check}, now);
      if (outstanding_) transmit(path_, outstanding_->datagrams);
    }
  }
  if (has(NotifyType::ADDITIONAL_IP4_ADDRESS) || has(NotifyType::ADDITIONAL_IP6_ADDRESS) ||
      has(NotifyType::NO_ADDITIONAL_ADDRESSES)) {
    note_addresses(message.payloads, arrived);
    // The responder's address that we use is gone: it is where it speaks from (3.5, 3.6).
    const bool gone = arrived.remote.address != path_.remote.address &&
                      std::none_of(message.payloads.begin(), message.payloads.end(), [&](const wire::Payload& p) {
                        const auto* n = std::get_if<NotifyPayload>(&p);
                        return n != nullptr && n->data == to_bytes(path_.remote.address.bytes());
                      });
    if (began_first_ && is_established() && gone) move_to(now, arrived);
  }
  return answer();
}

// ---- rekeys ------------------------------------------------------------------------------------------------------

// What the IKE SA that a rekey has made must know when it takes over. An update whose answer has not come may have been
// missed: it is made again.
void IkeSa::inherit_path(IkeSa& heir) const {
  heir.path_ = path_;
  heir.nat_local_ = nat_local_;
  heir.nat_remote_ = nat_remote_;
  heir.path_size_ = path_size_;
  heir.mobike_ = mobike_;
  heir.mobike_.seen_as.clear();  // the hash is over SPIs, which are others now
  heir.began_first_ = began_first_;
}

}  // namespace qanat::ike
