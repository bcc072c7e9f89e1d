// The exchange slots of an IKE SA: what arrives is matched, opened and checked; what leaves is sealed and kept.
#include "ike/ike_sa.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "crypto/digest.hpp"
#include "ike/retransmit.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyType;

namespace {

// Fragments of a peer that has proved who it is wait for the rest: late sends are 60 s apart, and two may be
// lost.
constexpr Duration kFragmentPatience = 200s;
constexpr std::size_t kMarkerSize = 4;  // four zero octets before IKE on the NAT port (RFC 3948 2.2)

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};

}  // namespace

IkeSa::~IkeSa() = default;

bool IkeSa::is_established() const {
  return std::holds_alternative<Established>(state_);
}
bool IkeSa::is_closed() const {
  return std::holds_alternative<Closed>(state_);
}
// Every IKE SA that a stranger made us keep counts, the refused ones that still linger, too.
bool IkeSa::is_half_open() const {
  return !initiator_ && !was_established_ && !is_closed();
}
bool IkeSa::is_ending() const {
  return std::holds_alternative<Deleting>(state_) || std::holds_alternative<Superseded>(state_) ||
         std::holds_alternative<Lingering>(state_) || is_closed();
}

const Making& IkeSa::making() const {
  static const Making kNothing;
  return making_ ? *making_ : kNothing;
}

SaInfo IkeSa::info() const {
  SaInfo out;
  out.id = id_;
  out.tunnel = tunnel_ ? tunnel_->id : TunnelId{};
  out.state = std::visit(
      Overloaded{[](const Established&) { return SaState::Established; },
                 [](const Installing&) { return SaState::Installing; },
                 [](const Deleting&) { return SaState::Deleting; }, [](const Superseded&) { return SaState::Deleting; },
                 [](const Lingering&) { return SaState::Closed; }, [](const Closed&) { return SaState::Closed; },
                 [](const auto&) { return SaState::Handshake; }},
      state_);
  out.initiator = initiator_;
  out.spi_i = context_.spi_i;
  out.spi_r = context_.spi_r;
  out.path = path_;
  if (tunnel_) out.local_id = tunnel_->local_id;
  out.remote_id = peer_id_;
  out.chosen = chosen_;
  out.key_exchanges = key_exchanges_;
  out.verdict = verdict_;
  out.psk_generated = tunnel_ && tunnel_->psk.is_generated();
  out.authenticated_by = agreed_.proved_by;
  out.auth_quantum_safe = agreed_.quantum_safe;
  out.downgrade_excluded = authenticated_ && agreed_.full_transcript();
  out.nat_local = nat_local_;
  out.nat_remote = nat_remote_;
  out.fragmentation = peer_fragments_;
  out.mobike = mobike_.on;
  out.peer_addresses = mobike_.peer_addresses;
  out.since = since_;
  out.renew_at = timers_.at(Timer::Renew).value_or(Instant{});
  out.handshake = handshake_;
  if (offered_) out.offered = *offered_;
  for (const auto& [id, child] : children_) out.children.push_back(child.info);
  out.hint = making().hint;
  return out;
}

void IkeSa::report(Report::What what, std::string detail, ChildSaId child) {
  auto handshake = what == Report::What::AttemptFailed ? handshake_ : std::vector<ExchangeRecord>{};
  env_.actions.emplace_back(
      Report{what, tunnel_ ? tunnel_->id : TunnelId{}, id_, std::move(detail), child, std::move(handshake)});
}

std::string IkeSa::peer_text() const {
  return peer_id_.data.empty() ? path_.remote.to_string()
                               : fmt::format("{} ({})", path_.remote.to_string(), peer_id_.to_string());
}

// ---- what arrives ----------------------------------------------------------------------------------------------

void IkeSa::handle_message(Instant now, const Path& arrived, ByteView datagram, const wire::ClearMessage& message) {
  if (awaits_plane() && must_wait(message.header)) return hold(arrived, datagram);
  judge_message(now, arrived, datagram, message);
  pump(now);
}

void IkeSa::judge_message(Instant now, const Path& arrived, ByteView datagram, const wire::ClearMessage& message) {
  if (is_closed()) {
    env_.counters.add(Counter::unknown_spi);
    return;
  }
  if (message.header.from_initiator() == initiator_) {
    env_.counters.add(Counter::wrong_role);  // our own message, reflected, or a confused peer
    return;
  }
  if (message.header.is_response()) {
    receive_response(now, arrived, datagram, message);
  } else {
    receive_request(now, arrived, datagram, message);
  }
}

void IkeSa::receive_request(Instant now, const Path& arrived, ByteView datagram, const wire::ClearMessage& message) {
  const std::uint32_t mid = message.header.message_id;
  if (mid + 1 == peer_slot_.next_message_id) {
    // The last request again: the stored bytes answer it, and only its first fragment asks for them (RFC 7383 2.6.1).
    if (peer_slot_.in_progress) {
      env_.counters.add(Counter::in_progress);
      return;
    }
    if (crypto::sha256({datagram}) != peer_slot_.request_hash && !repeats_in_smaller_fragments(datagram, message)) {
      env_.counters.add(message.encrypted && message.encrypted->fragment_number > 1 ? Counter::fragment_duplicate
                                                                                    : Counter::not_a_retransmission);
      return;
    }
    repeat_response(now, arrived);
    return;
  }
  if (mid != peer_slot_.next_message_id) {
    env_.counters.add(Counter::message_id);
    return;
  }
  const ExchangeType exchange = message.header.exchange;
  const auto* waiting = std::get_if<AwaitRequest>(&state_);
  const bool rounds_left = waiting != nullptr && waiting->rounds_done < chosen_->rounds().size();
  const bool legal =
      (waiting != nullptr && exchange == (rounds_left ? ExchangeType::IKE_INTERMEDIATE : ExchangeType::IKE_AUTH)) ||
      ((is_established() || std::holds_alternative<Deleting>(state_) || std::holds_alternative<Superseded>(state_)) &&
       (exchange == ExchangeType::INFORMATIONAL || exchange == ExchangeType::CREATE_CHILD_SA ||
        exchange == ExchangeType::IKE_FOLLOWUP_KE));
  if (!legal) {
    env_.counters.add(Counter::exchange_not_allowed);
    return;
  }
  if (peer_slot_.in_progress) {  // our window is 1: the peer may not ask again before it has been answered
    env_.counters.add(Counter::in_progress);
    return;
  }
  auto verified = open(now, datagram, message, Direction::Request);
  if (!verified) {
    return;
  }
  peer_slot_.next_message_id = mid + 1;
  peer_slot_.in_progress = true;
  peer_slot_.path = arrived;
  peer_slot_.response.clear();
  peer_slot_.text.reset();
  peer_slot_.repeats = 0;
  peer_slot_.request_hash = verified->first_hash;
  peer_slot_.request_datagrams = verified->datagrams;
  peer_slot_.generation = generation_;
  previous_sealer_.reset();
  previous_opener_.reset();
  verified->arrived = arrived;
  note_size_of(*verified);
  if (waiting != nullptr) timers_.set(Timer::Handshake, now + 2 * patience_);  // it has shown our keys
  follow_peer(arrived);
  peer_alive(now);
  for (auto& [id, child] : children_) child.unconfirmed = false;  // its window is 1: our last answer has reached it
  if (verified->fault) {
    env_.counters.add(Counter::malformed);
    refuse_request(now, exchange, *verified->fault, 0);
    return;
  }
  if (const Status fits = check_payloads(exchange, Direction::Request, verified->payloads); !fits) {
    refuse_request(now, exchange, fits.error(), unknown_critical(verified->payloads));
    return;
  }
  note_crash_token(exchange, verified->payloads);
  const auto ends_it = [](const wire::Payload& p) {
    const auto* d = std::get_if<wire::DeletePayload>(&p);
    return d != nullptr && d->protocol == wire::ProtocolId::IKE;
  };
  if (rival_of_ != 0 && std::none_of(verified->payloads.begin(), verified->payloads.end(), ends_it))
    claim_inheritance(now);
  switch (exchange) {
    case ExchangeType::IKE_INTERMEDIATE:
      on_intermediate_request(now, std::move(*verified));
      break;
    case ExchangeType::IKE_AUTH:
      on_auth_request(now, std::move(*verified));
      break;
    case ExchangeType::INFORMATIONAL:
      on_informational_request(now, std::move(*verified));
      break;
    case ExchangeType::IKE_FOLLOWUP_KE:
      on_followup_request(now, *verified);
      break;
    default:
      on_create_child_request(now, *verified);
      break;
  }
}

void IkeSa::refuse_request(Instant now, ExchangeType exchange, const Error& fault, std::uint8_t critical) {
  const auto type = static_cast<NotifyType>(fault.notify);
  const bool live = is_established();
  send_error_response(now, exchange, type,
                      type == NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD ? Bytes{critical} : Bytes{});
  // RFC 7296 2.21.2, 2.21.3: INVALID_SYNTAX is fatal for both sides; before AUTH every error is.
  if (is_closed() || (type != NotifyType::INVALID_SYNTAX && live)) return;
  remove_children();
  report(live ? Report::What::Down : Report::What::PeerRefused,
         fmt::format("{}: {} {} {}", peer_text(), wire::to_string(exchange), fault.where, fault.detail));
  linger(now);
}

void IkeSa::receive_response(Instant now, const Path& arrived, ByteView datagram, const wire::ClearMessage& message) {
  if (!outstanding_ || message.header.message_id != outstanding_->message_id ||
      message.header.exchange != outstanding_->exchange) {
    env_.counters.add(Counter::unexpected_response);
    return;
  }
  if (std::holds_alternative<AwaitInit>(state_)) {
    on_init_response(now, arrived, datagram, message);
    return;
  }
  if (!message.encrypted && making_ && wire::find_notify(message.payloads, NotifyType::INVALID_IKE_SPI) != nullptr &&
      message.header.spi_r == context_.spi_r) {
    env_.counters.add(Counter::error_hint);
    take_hint(now, fmt::format("{} answered INVALID_IKE_SPI: it does not know this attempt, or not any more",
                               path_.remote.to_string()));
    return;
  }
  auto verified = open(now, datagram, message, Direction::Response);
  if (!verified) return;
  record_response(now, verified->octets, verified->datagrams);
  verified->arrived = arrived;
  const bool elsewhere = outstanding_->probing && arrived != path_;
  outstanding_.reset();
  timers_.stop(Timer::Retransmit);
  timers_.stop(Timer::LivenessDeadline);
  peer_alive(now);
  if (elsewhere && is_established()) move_to(now, arrived);  // that is a path which works
  if (wire::find_notify(verified->payloads, NotifyType::ADDITIONAL_TS_POSSIBLE) != nullptr) more_selectors_ = true;
  Status usable = check_payloads(verified->exchange, Direction::Response, verified->payloads);
  if (verified->fault) {
    env_.counters.add(Counter::malformed);
    usable = std::unexpected(*verified->fault);
  }
  if (!usable && !is_ending()) {
    // RFC 7296 2.21.2: a bad response gets no answer; the SA cannot go on.
    const std::string why = fmt::format("bad {} response of {}: {} {}", wire::to_string(verified->exchange),
                                        peer_text(), usable.error().where, usable.error().detail);
    if (is_established()) {
      close(now, why);
    } else if (std::holds_alternative<AwaitAuth>(state_)) {
      refuse_peer(now, why);
    } else {
      fail_attempt(why);
    }
    return;
  }
  if (usable) note_crash_token(verified->exchange, verified->payloads);
  if (auto* intermediate = std::get_if<AwaitIntermediate>(&state_)) {
    on_intermediate_response(now, std::move(*intermediate), std::move(*verified));
  } else if (auto* auth = std::get_if<AwaitAuth>(&state_)) {
    on_auth_response(now, std::move(*auth), std::move(*verified));
  } else if (is_established()) {
    on_task_response(now, *verified);
  } else {
    on_deleting_response(now, *verified);
  }
}

std::optional<Verified> IkeSa::open(Instant now, ByteView datagram, const wire::ClearMessage& message,
                                    Direction direction) {
  if (!message.encrypted || !opener_) {
    env_.counters.add(Counter::not_encrypted);
    return std::nullopt;
  }
  const wire::EncryptedPart& part = *message.encrypted;
  const std::uint32_t mid = message.header.message_id;
  Reassembly& reassembly = reassembly_[direction == Direction::Request ? 0 : 1];
  if (part.is_fragment()) {
    if (!peer_fragments_) {
      env_.counters.add(Counter::fragment_not_negotiated);
      return std::nullopt;
    }
    switch (reassembly.check(mid, part)) {
      case FragmentVerdict::Duplicate:
        env_.counters.add(Counter::fragment_duplicate);
        return std::nullopt;
      case FragmentVerdict::Stale:
        env_.counters.add(Counter::fragment_stale);
        return std::nullopt;
      case FragmentVerdict::TooLarge:
        env_.counters.add(Counter::fragment_too_large);
        return std::nullopt;
      case FragmentVerdict::Stored:
      case FragmentVerdict::Complete:
        break;
    }
  }
  auto plaintext = open_encrypted(*opener_, datagram, part);
  // PeerMisbehaved: authentic, and its padding is wrong all the same.
  if (!plaintext && (plaintext.error().kind != ErrorKind::PeerMisbehaved || part.is_fragment())) {
    env_.counters.add(plaintext.error().kind == ErrorKind::AuthFailed ? Counter::icv_failed : Counter::malformed);
    return std::nullopt;
  }
  Verified out;
  out.exchange = message.header.exchange;
  if (!plaintext) {
    out.first_hash = crypto::sha256({datagram});
    out.fault = plaintext.error();
    return out;
  }
  wire::PayloadType first = part.first_inner;
  if (part.is_fragment()) {
    const Duration patience = was_established_ ? kFragmentPatience : env_.config.half_open_patience;
    const FragmentVerdict verdict = reassembly.add(now, mid, part, datagram, std::move(*plaintext), patience);
    if (verdict == FragmentVerdict::TooLarge) env_.counters.add(Counter::fragment_too_large);
    restart_reassembly_timer();
    if (verdict != FragmentVerdict::Complete) return std::nullopt;
    Reassembly::Complete whole = reassembly.take();
    restart_reassembly_timer();
    first = whole.first_inner;
    out.plaintext = SecretBytes::adopt(std::move(whole.plaintext));
    out.auth_header = int_auth_header(whole.first_datagram, whole.first, out.plaintext.size());
    out.first_hash = whole.first_hash;
    out.octets = whole.octets;
    out.largest = whole.largest;
    out.datagrams = whole.total;
  } else {
    reassembly.clear();
    restart_reassembly_timer();
    out.plaintext = SecretBytes::adopt(std::move(*plaintext));
    out.auth_header = int_auth_header(datagram, part, out.plaintext.size());
    out.first_hash = crypto::sha256({datagram});
    out.octets = static_cast<std::uint32_t>(datagram.size());
  }
  auto payloads = wire::parse_chain(first, out.plaintext.expose());
  if (payloads) {
    out.payloads = std::move(*payloads);
  } else {
    out.fault = payloads.error();
  }
  return out;
}

void IkeSa::restart_reassembly_timer() {
  timers_.stop(Timer::Reassembly);
  for (const Reassembly& r : reassembly_) {
    const auto deadline = r.deadline();
    const auto set = timers_.at(Timer::Reassembly);
    if (deadline && (!set || *deadline < *set)) timers_.set(Timer::Reassembly, *deadline);
  }
}

// ---- what leaves -----------------------------------------------------------------------------------------------

void IkeSa::transmit(const Path& path, const std::vector<Bytes>& datagrams) {
  for (const Bytes& d : datagrams) {
    Bytes out;
    out.reserve(d.size() + kMarkerSize);
    if (path.local.port == env_.config.nat_port) out.resize(kMarkerSize);
    append(out, d);
    env_.actions.emplace_back(Transmit{path, std::move(out)});
  }
}

void IkeSa::send_request(Instant now, ExchangeType exchange, const wire::Payloads& payloads) {
  ensure(!outstanding_, "one request at a time (window 1)");
  wire::IkeHeader header;
  header.spi_i = context_.spi_i;
  header.spi_r = context_.spi_r;
  header.exchange = exchange;
  header.flags = initiator_ ? wire::kFlagInitiator : 0;
  header.message_id = next_message_id_++;
  // The solution of a puzzle stands where it can be checked before anything else is (RFC 8019 7.2.2).
  wire::Payloads clear;
  if (exchange == ExchangeType::IKE_AUTH && !making().auth_solution.empty())
    clear.emplace_back(wire::PuzzleSolutionPayload{std::exchange(making().auth_solution, {})});
  auto sealed = sealer_->seal(header, payloads, max_message(), env_.rng, clear);
  if (!sealed) {
    fail_attempt(fmt::format("cannot send {}: {}", wire::to_string(exchange), sealed.error().detail));
    return;
  }
  if (exchange == ExchangeType::IKE_INTERMEDIATE) {
    making().int_auth_i.add(context_.prf, making().keys.sk_pi, sealed->auth_header, sealed->plaintext);
  }
  auto text = keep_unsealed(header, *sealed, std::move(clear));
  wipe(sealed->plaintext);
  outstanding_ = Outstanding{header.message_id, exchange, std::move(sealed->datagrams), 1, now, std::move(text)};
  transmit(path_, outstanding_->datagrams);
  timers_.set(Timer::Retransmit, now + retransmit_delay(1, env_.rng, env_.config.retransmit));
}

void IkeSa::send_response(Instant now, ExchangeType exchange, const wire::Payloads& payloads) {
  wire::IkeHeader header;
  header.spi_i = context_.spi_i;
  header.spi_r = context_.spi_r;
  header.exchange = exchange;
  header.flags = static_cast<std::uint8_t>((initiator_ ? wire::kFlagInitiator : 0) | wire::kFlagResponse);
  header.message_id = peer_slot_.next_message_id - 1;
  auto sealed = sealer_->seal(header, payloads, max_message(), env_.rng);
  if (!sealed) {
    report(Report::What::Down, fmt::format("cannot answer {}: {}", wire::to_string(exchange), sealed.error().detail));
    to_closed();
    return;
  }
  if (exchange == ExchangeType::IKE_INTERMEDIATE) {
    making().int_auth_r.add(context_.prf, making().keys.sk_pr, sealed->auth_header, sealed->plaintext);
  }
  peer_slot_.text = keep_unsealed(header, *sealed, {});
  wipe(sealed->plaintext);
  peer_slot_.in_progress = false;
  peer_slot_.response = std::move(sealed->datagrams);
  std::uint32_t octets = 0;
  for (const Bytes& d : peer_slot_.response) octets += static_cast<std::uint32_t>(d.size());
  record_response(now, octets, static_cast<std::uint32_t>(peer_slot_.response.size()));
  transmit(peer_slot_.path, peer_slot_.response);
}

void IkeSa::send_error_response(Instant now, ExchangeType exchange, NotifyType type, Bytes data) {
  send_response(now, exchange, {wire::NotifyPayload{wire::ProtocolId::None, {}, type, std::move(data)}});
}

void IkeSa::install_keys(KeySet keys) {
  making().keys = std::move(keys);
  auto seal =
      crypto::SkCipher::create(context_.suite, (initiator_ ? making().keys.sk_ei : making().keys.sk_er).expose(),
                               (initiator_ ? making().keys.sk_ai : making().keys.sk_ar).expose());
  auto open =
      crypto::SkCipher::create(context_.suite, (initiator_ ? making().keys.sk_er : making().keys.sk_ei).expose(),
                               (initiator_ ? making().keys.sk_ar : making().keys.sk_ai).expose());
  ensure(seal.has_value() && open.has_value(), "a negotiated suite has a cipher");
  if (!initiator_) {
    previous_sealer_ = std::move(sealer_);
    previous_opener_ = std::move(opener_);
  }
  sealer_.emplace(std::move(*seal), context_.suite);
  opener_.emplace(std::move(*open));
  if (env_.config.key_log) {
    env_.actions.emplace_back(KeyLog{context_.spi_i, context_.spi_r, generation_, context_.suite,
                                     making().keys.sk_ei.clone(), making().keys.sk_er.clone(),
                                     making().keys.sk_ai.clone(), making().keys.sk_ar.clone()});
  }
  ++generation_;
}

// ---- the handshake's record, for `qanat status NAME` -----------------------------------------------------------

void IkeSa::record_request(Instant now, ExchangeType exchange, std::string note, std::uint32_t octets,
                           std::uint32_t datagrams) {
  peer_slot_.first_seen = now;
  if (is_established() || handshake_.size() >= kMaxSteps) return;
  ExchangeRecord& step = handshake_.emplace_back();
  step.exchange = exchange;
  step.note = std::move(note);
  step.request_octets = octets;
  step.request_datagrams = static_cast<std::uint16_t>(datagrams);
}

void IkeSa::note_time(std::uint32_t KeyTimes::* what, std::uint32_t microseconds) {
  if (!handshake_.empty() && !is_established()) handshake_.back().times.*what += microseconds;
}

void IkeSa::record_response(Instant now, std::uint32_t octets, std::uint32_t datagrams) {
  if (handshake_.empty() || handshake_.back().response_datagrams != 0) return;
  ExchangeRecord& step = handshake_.back();
  step.response_octets = octets;
  step.response_datagrams = static_cast<std::uint16_t>(datagrams);
  step.took = now - (outstanding_ ? outstanding_->first_sent : peer_slot_.first_seen);
  if (outstanding_) step.retransmissions = static_cast<std::uint16_t>(outstanding_->sends - 1);
}

}  // namespace qanat::ike
