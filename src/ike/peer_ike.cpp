// The peer's rekey of the IKE SA (RFC 7296 1.3.2, 2.25.2; RFC 9370 2.2.4).
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ike/ike_sa.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyPayload;
using wire::NotifyType;

namespace {

constexpr std::size_t kLinkSize = 8;
constexpr Duration kFollowupPatience = 20s;

// What IKE_SA_INIT cannot carry stands alone in CREATE_CHILD_SA, which is fragmented: ML-KEM as the only key exchange.
std::vector<ipsec::IkeProposal> rekey_proposals(const TunnelConfig& tunnel) {
  std::vector<ipsec::IkeProposal> out = tunnel.ike;
  for (const ipsec::IkeProposal& p : tunnel.ike) {
    ipsec::IkeProposal alone = p;
    alone.ke.clear();
    alone.addke = {};
    for (const auto& round : p.addke) {
      std::copy_if(round.begin(), round.end(), std::back_inserter(alone.ke), is_ml_kem);
    }
    if (!alone.ke.empty()) out.push_back(std::move(alone));
  }
  return out;
}

}  // namespace

void IkeSa::on_rekey_ike_request(Instant now, const Verified& message) {
  constexpr ExchangeType kExchange = ExchangeType::CREATE_CHILD_SA;
  const auto& offered = *wire::find<wire::SaPayload>(message.payloads);
  const auto* nonce = wire::find<wire::NoncePayload>(message.payloads);
  const auto* ke = wire::find<wire::KePayload>(message.payloads);
  const auto* own = std::get_if<OwnIke>(&active());
  // We are creating, rekeying or closing a Child SA, or our own rekey has gone too far to be undone.
  if (std::holds_alternative<OwnChild>(active()) || std::holds_alternative<task::DeleteChild>(active()) ||
      (own != nullptr && own->stage == OwnIke::Stage::Followup))
    return refuse_create(now, kExchange, NotifyType::TEMPORARY_FAILURE, Counter::temporary_failure, {});
  for (Parked& p : parked_) p.deadline = now;  // the peer has given up what it began before
  drop_parked(now);

  ipsec::IkeChoiceRules rules;
  rules.intermediate = true;
  rules.hybrid_first = tunnel_->pq != model::PqPolicy::Off;
  rules.hybrid_only = keeps_ml_kem(verdict_);
  if (ke != nullptr) rules.sent_ke = ke->method;
  const auto chosen = ipsec::choose_ike(without_spis(offered), rekey_proposals(*tunnel_), rules);
  const auto spi = chosen ? ike_spi_of(offered, chosen->number) : std::nullopt;
  if (!chosen || !spi) {
    return refuse_create(
        now, kExchange, NotifyType::NO_PROPOSAL_CHOSEN, Counter::child_no_proposal,
        fmt::format("no rekey of the IKE SA: {}",
                    chosen ? std::string{"its proposal has no SPI of 8 octets"} : chosen.error().detail));
  }
  if (ke == nullptr || ke->method != chosen->ke) {
    Bytes group(2);
    store_be16(group.data(), static_cast<std::uint16_t>(chosen->ke));
    return refuse_create(now, kExchange, NotifyType::INVALID_KE_PAYLOAD, Counter::child_invalid_ke, {},
                         std::move(group));
  }
  auto reply = crypto::respond(ke->method, ke->data, env_.rng);
  if (!reply) {
    return refuse_bad_ke(now, kExchange,
                         fmt::format("its {} value is invalid: {}", to_string(ke->method), reply.error().detail));
  }
  PeerIke peer;
  peer.exchange = kExchange;
  peer.spi = env_.tunnels.new_spi();
  peer.peer_spi = *spi;
  peer.chosen = *chosen;
  peer.nonce_i = nonce->data;
  peer.nonce_r = env_.rng.bytes(kNonceSize);
  peer.rounds.begin(chosen->ke, chosen->rounds());
  peer.rounds.add(std::move(reply->secret));
  // Both rekey: whose IKE SA stays is decided when our own answer comes.
  if (auto* mine = std::get_if<OwnIke>(&active())) mine->rival = IkeRival{lower_nonce(peer.nonce_i, peer.nonce_r), 0};
  wire::Payloads answer{with_ike_spi(ipsec::accept_ike(peer.chosen), peer.spi), wire::NoncePayload{peer.nonce_r},
                        wire::KePayload{ke->method, std::move(reply->public_value)}};
  next_peer_ike_step(now, std::move(peer), std::move(answer));
}

void IkeSa::on_ike_followup(Instant now, PeerIke peer, const wire::KePayload* ke) {
  constexpr ExchangeType kExchange = ExchangeType::IKE_FOLLOWUP_KE;
  const auto* own = std::get_if<OwnIke>(&active());
  if (std::holds_alternative<OwnChild>(active()) || std::holds_alternative<task::DeleteChild>(active()) ||
      (own != nullptr && own->stage == OwnIke::Stage::Followup))
    return refuse_create(now, kExchange, NotifyType::TEMPORARY_FAILURE, Counter::temporary_failure, {});
  const KeId expected = peer.rounds.next();
  if (ke == nullptr || ke->method != expected)
    return refuse_bad_ke(now, kExchange, fmt::format("it sent no {} value where one was agreed", to_string(expected)));
  auto reply = crypto::respond(expected, ke->data, env_.rng);
  if (!reply) {
    return refuse_bad_ke(now, kExchange,
                         fmt::format("its {} value is invalid: {}", to_string(expected), reply.error().detail));
  }
  peer.exchange = kExchange;
  peer.rounds.add(std::move(reply->secret));
  next_peer_ike_step(now, std::move(peer), {wire::KePayload{expected, std::move(reply->public_value)}});
}

void IkeSa::next_peer_ike_step(Instant now, PeerIke peer, wire::Payloads answer) {
  const ExchangeType exchange = peer.exchange;
  if (!peer.rounds.complete()) {
    Bytes link = env_.rng.bytes(kLinkSize);
    answer.emplace_back(NotifyPayload{wire::ProtocolId::None, {}, NotifyType::ADDITIONAL_KEY_EXCHANGE, link});
    parked_.push_back({std::move(link), now + kFollowupPatience, std::move(peer)});
    return send_response(now, exchange, answer);
  }
  send_response(now, exchange, answer);
  if (is_closed()) return;
  IkeSa& heir =
      make_heir(now, {WhoBegan::Peer, peer.spi, peer.peer_spi, peer.chosen, peer.nonce_i, peer.nonce_r, &peer.rounds});
  if (auto* own = std::get_if<OwnIke>(&active()); own != nullptr && own->rival) {
    own->rival->spi = heir.our_spi();
    heir.rival_of_ = our_spi();
    return;
  }
  bequeath(now, heir);
  become_superseded(now);
}

}  // namespace qanat::ike
