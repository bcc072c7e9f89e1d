#include "ike/endpoint.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace qanat::ike {

using wire::ExchangeType;

namespace {

constexpr std::size_t kMarkerSize = 4;
constexpr std::uint64_t kShardMask = kMaxShards - 1;
constexpr Duration kIdle = 5ms;  // without a datagram: time to make keys ahead

}  // namespace

std::string to_string(Report::What what) {
  switch (what) {
    case Report::What::ChildUp:
      return "child-up";
    case Report::What::ChildGone:
      return "child-gone";
    case Report::What::IkeUp:
      return "ike-up";
    case Report::What::AttemptFailed:
      return "attempt-failed";
    case Report::What::PeerRefused:
      return "peer-refused";
    case Report::What::Hint:
      return "hint";
    case Report::What::Down:
      return "down";
    case Report::What::RenewWanted:
      return "renew-wanted";
    case Report::What::PeerMoved:
      return "peer-moved";
    case Report::What::IkeRekeyed:
      return "ike-rekeyed";
    case Report::What::Weakened:
      return "weakened";
    case Report::What::PeerRestarted:
      return "peer-restarted";
    case Report::What::PinRefused:
      return "pin-refused";
    case Report::What::SelectorsRefused:
      return "selectors-refused";
  }
  return "unknown";
}

IkeEndpoint::IkeEndpoint(EndpointConfig config, Rng& rng)
    : config_(config),
      rng_(rng),
      keys_(rng_),
      env_{config_, *this, rng_, counters_, actions_, keys_},
      cookies_(rng_),
      half_open_(config_) {
  ensure(config_.shard < config_.shards.count && config_.shards.count <= kMaxShards, "an SPI has room for its shard");
  const std::uint64_t first = (std::uint64_t{config_.shard} << kShardShift) + 1;
  env_.next_request = env_.next_child = next_sa_ = first;
}

IkeEndpoint::~IkeEndpoint() = default;

std::optional<Action> IkeEndpoint::poll_action() {
  if (actions_.empty()) return std::nullopt;
  std::optional<Action> out{std::move(actions_.front())};
  actions_.pop_front();
  return out;
}

std::optional<Instant> IkeEndpoint::next_timeout() const {
  std::optional<Instant> next;
  if (!timeouts_.empty()) next = timeouts_.begin()->first;
  if (!duplicates_.empty() && (!next || duplicates_.begin()->first < *next)) next = duplicates_.begin()->first;
  if (!outdated_.empty() && (!next || outdated_.begin()->first < *next)) next = outdated_.begin()->first;
  if (idle_at_ && (!next || *idle_at_ < *next)) next = idle_at_;
  return next;
}

void IkeEndpoint::handle_datagram(Instant now, const Path& arrived, ByteView payload) {
  judge_datagram(now, arrived, payload);
  if (!keys_.is_full()) idle_at_ = now + kIdle;
}

void IkeEndpoint::judge_datagram(Instant now, const Path& arrived, ByteView payload) {
  if (arrived.local.port == config_.nat_port) {
    if (payload.size() == 1 && payload[0] == 0xff) {
      counters_.add(Counter::keepalive);
      return;
    }
    if (payload.size() < kMarkerSize || load_be32(payload.data()) != 0) {
      counters_.add(Counter::malformed);
      return;
    }
    payload = payload.subspan(kMarkerSize);
  }
  const auto header = wire::parse_header(payload);
  if (!header) {
    counters_.add(Counter::malformed);
    return;
  }
  if (header->major_version != 2) {
    counters_.add(Counter::bad_version);
    if (header->major_version > 2 && !header->is_response()) {
      answer_notify(arrived, *header, wire::NotifyType::INVALID_MAJOR_VERSION);
    }
    return;
  }
  if (header->exchange == ExchangeType::IKE_SA_INIT && header->from_initiator() && !header->is_response()) {
    auto message = wire::parse_message(payload);
    if (!message || header->spi_r != 0 || header->message_id != 0 || header->spi_i == 0 || message->encrypted) {
      counters_.add(Counter::malformed);
      return;
    }
    handle_init_request(now, arrived, payload, std::move(*message));
    return;
  }
  const std::uint64_t spi = header->from_initiator() ? header->spi_r : header->spi_i;
  const auto found = sas_.find(spi);
  if (found != sas_.end() && found->second.sa->is_initiator() && found->second.sa->peer_spi() != 0 &&
      header->exchange == ExchangeType::IKE_SA_INIT) {
    const auto answer = wire::parse_message(payload);
    if (answer && header->is_response() && header->message_id == 0) {
      found->second.sa->handle_other_init_response(*answer);
    } else {
      counters_.add(Counter::malformed);
    }
    return;
  }
  // The peer's SPI must fit too, once it is known: an SA is named by both.
  if (found == sas_.end() ||
      (found->second.sa->peer_spi() != 0 &&
       found->second.sa->peer_spi() != (header->from_initiator() ? header->spi_i : header->spi_r))) {
    if (take_invalid_spi(now, arrived, *header, payload)) return;
    handle_unknown_spi(now, arrived, *header);
    return;
  }
  const auto message = wire::parse_message(payload);
  if (!message) {
    counters_.add(Counter::malformed);
    return;
  }
  if (found->second.sa->is_established() && is_trouble_notice(*message)) {
    if (found->second.sa->is_proof_of_crash(message->payloads)) {
      counters_.add(Counter::crash_proved);
      found->second.sa->discard_after_crash();
    } else {
      counters_.add(Counter::error_hint);
      found->second.sa->hint_of_trouble(now);
    }
    touch(now, spi);
    return;
  }
  found->second.sa->handle_message(now, arrived, payload, *message);
  touch(now, spi);
}

void IkeEndpoint::handle_plane(Instant now, const ipsec::Event& event) {
  if (const auto* done = std::get_if<ipsec::Done>(&event)) {
    const auto asked = env_.requests.extract(done->request);
    const auto found = asked.empty() ? sas_.end() : sas_.find(asked.mapped());
    if (found != sas_.end()) {
      const std::uint64_t spi = found->first;
      found->second.sa->handle_done(now, *done);
      touch(now, spi);
    } else if (done->status && done->spi != 0) {
      actions_.emplace_back(PlaneCommand{ipsec::ReleaseSpi{done->spi}});
    }
  } else if (const auto* counters = std::get_if<ipsec::Counters>(&event)) {
    for (const ipsec::SaCounters& c : counters->sas) {
      IkeSa* sa = c.last_in ? owner_of(c.child) : nullptr;
      if (sa == nullptr) continue;
      sa->handle_esp_activity(*c.last_in);
      touch(now, sa->our_spi());
    }
  } else if (const auto* moved = std::get_if<ipsec::PeerMoved>(&event)) {
    for (const std::uint64_t spi : sas_of(moved->tunnel)) {
      sas_.at(spi).sa->handle_esp_moved(moved->from);
      touch(now, spi);
    }
  } else if (const auto* soft = std::get_if<ipsec::SoftLimit>(&event)) {
    if (IkeSa* sa = owner_of(soft->child)) {
      sa->handle_soft_limit(now, soft->child);
      touch(now, sa->our_spi());
    }
  } else if (const auto* hard = std::get_if<ipsec::HardLimit>(&event)) {
    if (IkeSa* sa = owner_of(hard->child)) {
      sa->handle_hard_limit(now, hard->child);
      touch(now, sa->our_spi());
    }
  } else if (const auto* outside = std::get_if<ipsec::OutsideSelectors>(&event)) {
    if (IkeSa* sa = owner_of(outside->child)) {
      sa->handle_outside_selectors(now, outside->child, outside->packet);
      touch(now, sa->our_spi());
    }
  } else if (const auto* first = std::get_if<ipsec::FirstInbound>(&event)) {
    if (IkeSa* sa = owner_of(first->child)) sa->handle_first_inbound(first->child);
  } else if (const auto* unknown = std::get_if<ipsec::UnknownSpi>(&event)) {
    judge_unknown_spi(now, *unknown);
  } else if (const auto* acquire = std::get_if<ipsec::Acquire>(&event)) {
    IkeSa* newest = nullptr;
    for (const std::uint64_t spi : sas_of(acquire->tunnel)) {
      IkeSa& sa = *sas_.at(spi).sa;
      if (sa.is_established() && sa.carrying_child() && (newest == nullptr || sa.id() > newest->id())) newest = &sa;
    }
    if (newest != nullptr) {
      newest->handle_acquire(now, acquire->local, acquire->remote);
      touch(now, newest->our_spi());
    }
  }
}

template <typename Answer>
void IkeEndpoint::give_answer(Instant now, Answer answer) {
  const auto asked = env_.requests.extract(answer.request);
  const auto found = asked.empty() ? sas_.end() : sas_.find(asked.mapped());
  if (found == sas_.end()) return;  // it came too late
  const std::uint64_t spi = found->first;
  found->second.sa->handle_auth(now, std::move(answer));
  touch(now, spi);
}

void IkeEndpoint::handle_auth(Instant now, SignAnswer answer) {
  give_answer(now, std::move(answer));
}

void IkeEndpoint::handle_auth(Instant now, VerifyAnswer answer) {
  give_answer(now, std::move(answer));
}

IkeSa* IkeEndpoint::owner_of(ChildSaId child) {
  const auto spi = env_.children.find(child);
  if (spi == env_.children.end()) return nullptr;
  const auto found = sas_.find(spi->second);
  return found == sas_.end() ? nullptr : found->second.sa.get();
}

// What comes next waits for a few key pairs at most.
void IkeEndpoint::make_keys_ahead(Instant now) {
  constexpr int kPairs = 4;
  idle_at_.reset();
  for (int i = 0; i < kPairs && keys_.make_one(); ++i) counters_.add(Counter::keys_made_ahead);
  if (!keys_.is_full()) idle_at_ = now + kIdle;
}

void IkeEndpoint::handle_timeout(Instant now) {
  if (idle_at_ && *idle_at_ <= now) make_keys_ahead(now);
  while (!timeouts_.empty() && timeouts_.begin()->first <= now) {
    const std::uint64_t spi = timeouts_.begin()->second;
    sas_.at(spi).sa->handle_timeout(now);
    touch(now, spi);
  }
  while (!duplicates_.empty() && duplicates_.begin()->first <= now) {
    const std::uint64_t spi = duplicates_.begin()->second;
    duplicates_.erase(duplicates_.begin());
    handle_duplicate(now, spi);
  }
  close_outdated(now);
}

Status IkeEndpoint::initiate(Instant now, TunnelId id) {
  const TunnelRef tunnel = tunnels_.find(id);
  if (tunnel == nullptr) return {};  // it was removed while this was on its way from another shard
  if (!tunnel->peer) {
    return fail(ErrorKind::LocalPolicy, "tunnel " + tunnel->name,
                "has peer = \"any\": it comes up when the peer calls");
  }
  const bool needs_psk = tunnel->local_auth == AuthKind::Psk || tunnel->remote_auth == AuthKind::Psk;
  if (needs_psk && tunnel->psk.empty())
    return fail(ErrorKind::LocalPolicy, "tunnel " + tunnel->name, "has no PSK: set psk_file");
  for (const std::uint64_t spi : sas_of(id)) {
    const IkeSa& sa = *sas_.at(spi).sa;
    if (sa.is_initiator() && !sa.is_established() && !sa.is_ending()) return {};
  }
  if (complete(now, id)) return {};
  const std::uint64_t spi = new_spi();
  QANAT_ASSIGN(std::unique_ptr<IkeSa> sa, IkeSa::initiate(env_, now, IkeSaId{next_sa_++}, spi, tunnel));
  sas_[spi].sa = std::move(sa);
  touch(now, spi);
  return {};
}

bool IkeEndpoint::complete(Instant now, TunnelId tunnel) {
  for (const std::uint64_t spi : sas_of(tunnel)) {
    IkeSa& sa = *sas_.at(spi).sa;
    if (!sa.is_established() || sa.carrying_child()) continue;
    sa.create_child(now);
    touch(now, spi);
    return true;
  }
  return false;
}

void IkeEndpoint::rekey(Instant now, TunnelId tunnel) {
  for (const std::uint64_t spi : sas_of(tunnel)) {
    sas_.at(spi).sa->rekey_ike(now);
    touch(now, spi);
  }
}

void IkeEndpoint::rekey_children(Instant now, TunnelId tunnel) {
  for (const std::uint64_t spi : sas_of(tunnel)) {
    sas_.at(spi).sa->rekey_children(now);
    touch(now, spi);
  }
}

void IkeEndpoint::terminate(Instant now, TunnelId tunnel, const std::string& why) {
  for (const std::uint64_t spi : sas_of(tunnel)) {
    sas_.at(spi).sa->close(now, why);
    touch(now, spi);
  }
}

std::vector<std::uint64_t> IkeEndpoint::sas_of(TunnelId tunnel) const {
  std::vector<std::uint64_t> out;
  const auto [first, last] = by_tunnel_.equal_range(tunnel);
  for (auto entry = first; entry != last; ++entry) out.push_back(entry->second);
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<SaInfo> IkeEndpoint::sas() const {
  std::vector<SaInfo> out;
  out.reserve(sas_.size());
  for (const auto& [spi, entry] : sas_) out.push_back(entry.sa->info());
  std::sort(out.begin(), out.end(), [](const SaInfo& a, const SaInfo& b) { return a.id < b.id; });
  return out;
}

std::vector<SaInfo> IkeEndpoint::sas(TunnelId tunnel) const {
  std::vector<SaInfo> out;
  for (const std::uint64_t spi : sas_of(tunnel)) out.push_back(sas_.at(spi).sa->info());
  std::sort(out.begin(), out.end(), [](const SaInfo& a, const SaInfo& b) { return a.id < b.id; });
  return out;
}

std::uint64_t IkeEndpoint::new_spi() {
  std::uint64_t spi = 0;
  do {
    spi = (rng_.u64() & ~kShardMask) | config_.shard;
  } while (spi == 0 || config_.shards.of_new(spi) != config_.shard || sas_.contains(spi));
  return spi;
}

}  // namespace qanat::ike
