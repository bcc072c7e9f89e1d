// Several IKE_SA_INIT answers to one request: all but one are forged, and nothing in them tells which. The first usable
// one is taken; when another came and the one that was taken never says anything authentic, the attempt begins anew
// with fresh keys, now waits a moment for all answers, and takes one of them at random (RFC 7296 2.21.1, 2.4). An
// observer who can inject but not hold back messages delays a tunnel by seconds, and cannot prevent it.
#include <algorithm>

#include "ike/ike_sa.hpp"

namespace qanat::ike {

namespace {

constexpr unsigned kSendsBeforeDoubt = 3;   // without an authentic answer: about 5 s
constexpr Duration kWaitForRivals = 300ms;  // after the first answer of a later try
constexpr std::size_t kMaxAnswers = 4;

}  // namespace

// Until the first protected answer of the peer, who may be nobody.
bool IkeSa::is_unconfirmed() const {
  return initiator_ && making().int_auth_r.empty() &&
         (std::holds_alternative<AwaitIntermediate>(state_) || std::holds_alternative<AwaitSpi>(state_) ||
          std::holds_alternative<AwaitSignature>(state_) || std::holds_alternative<AwaitAuth>(state_));
}

void IkeSa::note_rival(const wire::ClearMessage& message) {
  if (is_unconfirmed() && message.header.spi_r != 0 && message.header.spi_r != context_.spi_r &&
      wire::find<wire::SaPayload>(message.payloads) != nullptr)
    making().rivals.seen = true;
}

// True: the retransmission that was due is not sent any more.
bool IkeSa::begin_anew(Instant now) {
  if (!making().rivals.seen || !is_unconfirmed() || outstanding_->sends < kSendsBeforeDoubt) return false;
  env_.counters.add(Counter::rival_answer);
  release_spi();
  timers_.stop(Timer::Install);
  timers_.stop(Timer::Worker);
  const std::uint64_t spi_i = context_.spi_i;
  context_ = {};
  context_.spi_i = spi_i;
  context_.nonce_i = env_.rng.bytes(kNonceSize);
  chosen_.reset();
  key_exchanges_.clear();
  making().keys = {};
  sealer_.reset();
  opener_.reset();
  making().without_ppk = {};
  making().int_auth_i = {};
  making().init_request.clear();
  making().init_response.clear();
  making().earlier_init_requests.clear();
  making().other_answers.clear();
  agreed_ = {};
  verdict_ = {};
  handshake_.clear();
  for (Reassembly& r : reassembly_) r.clear();
  restart_reassembly_timer();
  outstanding_.reset();
  peer_fragments_ = peer_intermediate_ = nat_local_ = nat_remote_ = false;
  auto path = first_path(*tunnel_, env_);
  if (!path) {
    fail_attempt(path.error().detail);
    return true;
  }
  path_ = *path;
  making().rivals.seen = false;
  making().rivals.waits = true;
  AwaitInit state;
  state.offer = ipsec::offer_ike(tunnel_->ike);
  if (const Status sent = send_init(now, state, tunnel_->ike.front().ke.front()); !sent) {
    fail_attempt(sent.error().detail);
    return true;
  }
  state_ = std::move(state);
  return true;
}

// True: the answer is kept until the others have come.
bool IkeSa::hold_answer(Instant now, const Path& arrived, ByteView datagram, const wire::ClearMessage& message) {
  if (!making().rivals.waits || message.header.spi_r == 0 || wire::find<wire::SaPayload>(message.payloads) == nullptr)
    return false;
  const bool known = std::any_of(making().rivals.held.begin(), making().rivals.held.end(),
                                 [&](const HeldAnswer& a) { return std::ranges::equal(a.datagram, datagram); });
  if (known) return true;
  if (making().rivals.held.empty()) timers_.set(Timer::Rivals, now + kWaitForRivals);
  if (making().rivals.held.size() == kMaxAnswers) {
    // Whoever sends the most shall not push the others out: each has the same chance to stay.
    making().rivals.held[env_.rng.below(kMaxAnswers)] = {arrived, to_bytes(datagram)};
  } else {
    making().rivals.held.push_back({arrived, to_bytes(datagram)});
  }
  return true;
}

void IkeSa::choose_answer(Instant now) {
  std::vector<HeldAnswer> held = std::exchange(making().rivals.held, {});
  making().rivals.waits = false;
  const bool doubt = held.size() > 1;
  while (!held.empty() && std::holds_alternative<AwaitInit>(state_)) {
    const auto chosen = held.begin() + static_cast<std::ptrdiff_t>(env_.rng.below(held.size()));
    const HeldAnswer answer = std::move(*chosen);
    held.erase(chosen);
    if (const auto message = wire::parse_message(answer.datagram)) {
      on_init_response(now, answer.path, answer.datagram, *message);
    }
  }
  making().rivals.waits = std::holds_alternative<AwaitInit>(state_);
  making().rivals.seen = making().rivals.seen || doubt;
}

}  // namespace qanat::ike
