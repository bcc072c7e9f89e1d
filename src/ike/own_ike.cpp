// Our rekey of the IKE SA: CREATE_CHILD_SA with the tunnel's IKE proposals, ML-KEM among them, and its IKE_FOLLOWUP_KEs
// (RFC 7296 1.3.2, 2.8, 2.18; RFC 9370 2.2.4).
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ike/ike_sa.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyPayload;
using wire::NotifyType;

namespace {

constexpr unsigned kMaxRefusals = 3;

}  // namespace

void IkeSa::rekey_ike(Instant now) {
  if (!is_established()) return;
  tasks_.enqueue(task::RekeyIke{}, now);
  pump(now);
}

void IkeSa::begin_own_ike(Instant now, QueuedTask task) {
  OwnIke own;
  own.task = std::move(task);
  own.spi = env_.tunnels.new_spi();
  // The key exchange that both took last time saves a round trip, if it may stand alone in front.
  own.group = chosen_->ke;
  const auto names = [&](const ipsec::IkeProposal& p) {
    return std::find(p.ke.begin(), p.ke.end(), own.group) != p.ke.end();
  };
  if (std::none_of(tunnel_->ike.begin(), tunnel_->ike.end(), names)) own.group = tunnel_->ike.front().ke.front();
  send_own_ike(now, std::move(own));
}

void IkeSa::send_own_ike(Instant now, OwnIke own) {
  own.stage = OwnIke::Stage::Create;
  own.offer = ipsec::offer_ike(tunnel_->ike);
  own.nonce_i = env_.rng.bytes(kNonceSize);
  auto ke = crypto::KeyExchange::create(own.group, env_.rng);
  if (!ke) return put_off(now, std::move(own.task));
  own.ke = std::move(*ke);
  const wire::Payloads payloads{with_ike_spi(own.offer, own.spi), wire::NoncePayload{own.nonce_i},
                                wire::KePayload{own.group, to_bytes(own.ke->public_value())}};
  active() = std::move(own);
  send_request(now, ExchangeType::CREATE_CHILD_SA, payloads);
}

// It came to nothing. Where the peer's own rekey stands, that one takes over.
void IkeSa::end_own_ike(Instant now, OwnIke own, bool again) {
  IkeSa* rival = own.rival && own.rival->spi != 0 ? env_.tunnels.find_sa(own.rival->spi) : nullptr;
  if (rival != nullptr && std::holds_alternative<Superseded>(rival->state_)) {
    bequeath(now, *rival);
    become_superseded(now);
  } else if (again) {
    put_off(now, std::move(own.task));
  } else {
    report(Report::What::RenewWanted, "the peer does not rekey the IKE SA");
  }
}

// What the CREATE_CHILD_SA response has chosen; false: it is no answer to our offer.
bool IkeSa::take_ike_answer(OwnIke& own, const Verified& message) {
  const auto* sa = wire::find<wire::SaPayload>(message.payloads);
  const auto* nonce = wire::find<wire::NoncePayload>(message.payloads);
  if (sa == nullptr || nonce == nullptr) return false;
  const auto chosen = ipsec::check_ike_answer(without_spis(*sa), own.offer);
  const auto spi = chosen ? ike_spi_of(*sa, chosen->number) : std::nullopt;
  if (!chosen || !spi || (keeps_ml_kem(verdict_) && !chosen->has_ml_kem())) return false;
  own.chosen = *chosen;
  own.peer_spi = *spi;
  own.nonce_r = nonce->data;
  own.rounds.begin(chosen->ke, chosen->rounds());
  return true;
}

Status IkeSa::take_ike_secret(OwnIke& own, const Verified& message) {
  const auto* ke = wire::find<wire::KePayload>(message.payloads);
  const KeId expected = own.rounds.next();
  if (ke == nullptr || ke->method != expected || own.ke->id() != expected)
    return fail(ErrorKind::PeerMisbehaved, "KE", "is not of the agreed key exchange");
  QANAT_ASSIGN(SecretBytes secret, own.ke->finish(ke->data));
  own.rounds.add(std::move(secret));
  return {};
}

void IkeSa::on_own_ike_response(Instant now, OwnIke own, const Verified& message) {
  const NotifyPayload* error = first_error(message.payloads);
  if (error != nullptr) {
    env_.counters.add(Counter::create_refused);
    if (error->type == NotifyType::INVALID_KE_PAYLOAD && own.stage == OwnIke::Stage::Create && !own.rival &&
        error->data.size() == 2 && own.refusals < kMaxRefusals) {
      const auto named = static_cast<KeId>(load_be16(error->data.data()));
      const bool offered = std::any_of(tunnel_->ike.begin(), tunnel_->ike.end(), [&](const ipsec::IkeProposal& p) {
        return std::find(p.ke.begin(), p.ke.end(), named) != p.ke.end();
      });
      if (offered && named != own.group) {
        ++own.refusals;
        own.group = named;
        return send_own_ike(now, std::move(own));
      }
    }
    const bool final = error->type == NotifyType::NO_ADDITIONAL_SAS || error->type == NotifyType::NO_PROPOSAL_CHOSEN;
    return end_own_ike(now, std::move(own), !final);
  }
  if (own.stage == OwnIke::Stage::Create && !take_ike_answer(own, message)) {
    env_.counters.add(Counter::bad_create_answer);
    return end_own_ike(now, std::move(own), true);
  }
  const KeId expected = own.rounds.next();
  if (const Status good = take_ike_secret(own, message); !good) {
    // No notification about a bad response; the IKE SA is deleted by an exchange of its own (RFC 6989 2.5).
    env_.counters.add(Counter::bad_key_exchange);
    return close(
        now, fmt::format("the {} value of {} is invalid: {}", to_string(expected), peer_text(), good.error().detail));
  }
  if (own.stage == OwnIke::Stage::Create && own.rival) {
    const Bytes& ours = lower_nonce(own.nonce_i, own.nonce_r);
    if (&lower_nonce(ours, own.rival->lowest_nonce) == &ours) return lose_own_ike(now, std::move(own));
  }
  if (!own.rounds.complete()) {
    const NotifyPayload* link = wire::find_notify(message.payloads, NotifyType::ADDITIONAL_KEY_EXCHANGE);
    auto next = crypto::KeyExchange::create(own.rounds.next(), env_.rng);
    if (link == nullptr || !next) {
      env_.counters.add(Counter::bad_create_answer);
      return end_own_ike(now, std::move(own), true);
    }
    own.ke = std::move(*next);
    own.stage = OwnIke::Stage::Followup;
    const wire::Payloads request{
        wire::KePayload{own.ke->id(), to_bytes(own.ke->public_value())},
        NotifyPayload{wire::ProtocolId::None, {}, NotifyType::ADDITIONAL_KEY_EXCHANGE, link->data}};
    active() = std::move(own);
    return send_request(now, ExchangeType::IKE_FOLLOWUP_KE, request);
  }
  IkeSa& heir =
      make_heir(now, {WhoBegan::Us, own.spi, own.peer_spi, own.chosen, own.nonce_i, own.nonce_r, &own.rounds});
  heir.note_crash_token(ExchangeType::INFORMATIONAL, message.payloads);  // RFC 6290 4.3: it is of the new IKE SA
  bequeath(now, heir);
  delete_superseded(now);  // what the peer made by its own rekey, if it did, it deletes itself
}

// The IKE SA was closed while our request was on its way: if the peer has made a successor, that one goes, too.
void IkeSa::undo_own_ike(Instant now, OwnIke own, const Verified& message) {
  if (first_error(message.payloads) != nullptr) return;
  if (own.stage == OwnIke::Stage::Create && !take_ike_answer(own, message)) return;
  if (!take_ike_secret(own, message) || !own.rounds.complete()) return;
  make_heir(now, {WhoBegan::Us, own.spi, own.peer_spi, own.chosen, own.nonce_i, own.nonce_r, &own.rounds})
      .delete_superseded(now);
}

// Ours had the lowest nonce: whoever made it deletes it, and the peer's takes over (RFC 7296 2.8.1).
void IkeSa::lose_own_ike(Instant now, OwnIke own) {
  if (own.rounds.complete()) {
    IkeSa& loser =
        make_heir(now, {WhoBegan::Us, own.spi, own.peer_spi, own.chosen, own.nonce_i, own.nonce_r, &own.rounds});
    loser.delete_superseded(now);
  }
  end_own_ike(now, std::move(own), true);
}

}  // namespace qanat::ike
