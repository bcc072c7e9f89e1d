// IKE_SA_INIT as responder: what is judged before an IKE SA exists.
#include <algorithm>

#include <fmt/format.h>

#include "crypto/digest.hpp"
#include "crypto/prf.hpp"
#include "ike/endpoint.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyPayload;
using wire::NotifyType;

namespace {

std::string init_key(const Path& arrived, ByteView datagram) {
  const auto hash = crypto::sha256({arrived.remote.address.bytes(), datagram});
  return {hash.begin(), hash.end()};
}

}  // namespace

void IkeEndpoint::answer_in_clear(const Path& arrived, const wire::IkeHeader& request, NotifyPayload notify) {
  wire::IkeHeader header;
  header.spi_i = request.spi_i;
  header.spi_r = 0;  // no IKE SA was made
  header.exchange = request.exchange;
  header.flags = static_cast<std::uint8_t>(wire::kFlagResponse | (request.from_initiator() ? 0 : wire::kFlagInitiator));
  header.message_id = request.message_id;
  Bytes out;
  if (arrived.local.port == config_.nat_port) out.resize(4);
  append(out, wire::write_clear_message(header, {std::move(notify)}));
  actions_.emplace_back(Transmit{arrived, std::move(out)});
}

// For whoever reads the log; strangers do not get to fill it.
void IkeEndpoint::refuse(Instant now, const Path& arrived, std::string why) {
  constexpr unsigned kRefusalsPerPeriod = 20;
  if (now >= refusals_since_ + 10s) {
    refusals_since_ = now;
    refusals_ = 0;
  }
  if (++refusals_ > kRefusalsPerPeriod) return;
  actions_.emplace_back(
      Report{Report::What::PeerRefused, TunnelId{}, IkeSaId{}, fmt::format("{}: {}", arrived.remote.to_string(), why)});
}

void IkeEndpoint::handle_init_request(Instant now, const Path& arrived, ByteView datagram, wire::ClearMessage message) {
  const wire::IkeHeader header = message.header;
  if (const Status fits = check_payloads(ExchangeType::IKE_SA_INIT, Direction::Request, message.payloads); !fits) {
    counters_.add(Counter::malformed);
    if (fits.error().notify == static_cast<std::uint16_t>(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD)) {
      answer_in_clear(
          arrived, header,
          {wire::ProtocolId::None, {}, NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, {unknown_critical(message.payloads)}});
    }
    return;
  }
  if (const auto own = sas_.find(header.spi_i); own != sas_.end() && own->second.sa->is_initiator()) {
    counters_.add(Counter::wrong_role);  // our own request, reflected
    return;
  }
  const std::string key = init_key(arrived, datagram);
  if (const auto known = init_requests_.find(key); known != init_requests_.end()) {
    sas_.at(known->second).sa->repeat_init_response(arrived);
    return;
  }
  const auto& nonce = *wire::find<wire::NoncePayload>(message.payloads);
  bool cookie_verified = false;
  if (unverified_ >= config_.cookie_threshold) {
    // Only the first payload counts as the cookie (RFC 7296 2.6).
    const auto* first = std::get_if<NotifyPayload>(&message.payloads.front());
    const bool has_cookie = first != nullptr && first->type == NotifyType::COOKIE;
    cookie_verified = has_cookie && cookies_.check(now, first->data, nonce.data, arrived.remote, header.spi_i);
    if (!cookie_verified) {
      counters_.add(has_cookie ? Counter::cookie_bad : Counter::cookie_demanded);
      answer_in_clear(arrived, header,
                      {wire::ProtocolId::None,
                       {},
                       NotifyType::COOKIE,
                       cookies_.make(now, nonce.data, arrived.remote, header.spi_i)});
      return;
    }
  }
  if (half_open_ >= config_.half_open_limit) {
    counters_.add(Counter::half_open_limit);
    return;
  }
  auto request = judge_init_request(now, arrived, datagram, std::move(message));
  if (!request) return;
  request->cookie_verified = cookie_verified;
  const std::uint64_t spi = new_spi();
  auto sa = IkeSa::respond(env_, now, IkeSaId{next_sa_++}, spi, arrived, std::move(*request));
  if (!sa) return;
  Entry& entry = sas_[spi];
  entry.sa = std::move(*sa);
  entry.init_key = key;
  init_requests_[key] = spi;
  touch(now, spi);
}

std::optional<InitRequest> IkeEndpoint::judge_init_request(Instant now, const Path& arrived, ByteView datagram,
                                                           wire::ClearMessage message) {
  const wire::IkeHeader& header = message.header;
  const auto& offered = *wire::find<wire::SaPayload>(message.payloads);
  const auto& ke = *wire::find<wire::KePayload>(message.payloads);
  const std::vector<TunnelRef> fitting = by_addresses(arrived.local.address, arrived.remote.address);
  if (fitting.empty()) {
    counters_.add(Counter::no_tunnel);
    refuse(now, arrived,
           fmt::format("no tunnel is configured between {} and {}: add one with peer = \"{}\" or \"any\"",
                       arrived.local.address.to_string(), arrived.remote.address.to_string(),
                       arrived.remote.address.to_string()));
    answer_in_clear(arrived, header, {wire::ProtocolId::None, {}, NotifyType::NO_PROPOSAL_CHOSEN, {}});
    return std::nullopt;
  }
  const bool intermediate = wire::find_notify(message.payloads, NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED) != nullptr;
  const auto rules_of = [&](const TunnelConfig& t) {
    ipsec::IkeChoiceRules rules;
    rules.intermediate = intermediate && t.pq != model::PqPolicy::Off;
    rules.hybrid_first = t.pq == model::PqPolicy::Prefer;
    rules.hybrid_only = t.pq == model::PqPolicy::Require;
    rules.sent_ke = ke.method;
    return rules;
  };
  // The identity is not known yet: the first tunnel whose choice is hybrid decides, else the first that accepts.
  std::optional<ipsec::ChosenIke> chosen;
  std::string why;
  for (const TunnelRef& t : fitting) {
    auto choice = ipsec::choose_ike(offered, t->ike, rules_of(*t));
    if (!choice) {
      if (why.empty()) why = fmt::format("tunnel {}: {}: {}", t->name, choice.error().where, choice.error().detail);
    } else if (!chosen || (choice->has_ml_kem() && !chosen->has_ml_kem())) {
      chosen = *choice;
    }
  }
  if (!chosen) {
    counters_.add(Counter::no_proposal);
    refuse(now, arrived, why);
    answer_in_clear(arrived, header, {wire::ProtocolId::None, {}, NotifyType::NO_PROPOSAL_CHOSEN, {}});
    return std::nullopt;
  }
  if (chosen->ke != ke.method) {
    counters_.add(Counter::invalid_ke);
    Bytes group(2);
    store_be16(group.data(), static_cast<std::uint16_t>(chosen->ke));
    answer_in_clear(arrived, header, {wire::ProtocolId::None, {}, NotifyType::INVALID_KE_PAYLOAD, std::move(group)});
    return std::nullopt;
  }
  if (wire::find<wire::NoncePayload>(message.payloads)->data.size() * 2 < crypto::prf_size(chosen->prf)) {
    counters_.add(Counter::malformed);
    refuse(now, arrived, "its nonce is shorter than half the key of the PRF (RFC 7296 2.10)");
    answer_in_clear(arrived, header, {wire::ProtocolId::None, {}, NotifyType::INVALID_SYNTAX, {}});
    return std::nullopt;
  }
  auto reply = crypto::respond(chosen->ke, ke.data, rng_);
  if (!reply) {
    counters_.add(Counter::bad_key_exchange);  // RFC 6989 2.5: drop; an attacker could have sent it
    return std::nullopt;
  }
  InitRequest out;
  out.datagram = to_bytes(datagram);
  out.header = header;
  out.chosen = *chosen;
  for (const TunnelRef& t : fitting) {
    if (ipsec::choose_ike(ipsec::accept_ike(*chosen), t->ike, rules_of(*t))) out.candidates.push_back(t);
  }
  out.ke = std::move(*reply);
  out.payloads = std::move(message.payloads);
  return out;
}

}  // namespace qanat::ike
