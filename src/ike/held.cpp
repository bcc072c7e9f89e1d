// A step towards new keys that arrives while the packet path still owes us an answer for another one of the same IKE SA
// waits for that answer: SPIs and installed keys come a moment later, and it must not be judged by half of the other.
// So two rekeys that cross are seen in one order on either side, whatever the packet path takes.
#include "ike/ike_sa.hpp"

namespace qanat::ike {

using wire::ExchangeType;

namespace {

constexpr std::size_t kMaxHeld = 64;  // datagrams: a message in fragments, and whatever else comes within microseconds

}  // namespace

bool IkeSa::awaits_plane() const {
  if (!is_established()) return false;
  if (peer_child_) return true;
  const auto* own = task_ ? std::get_if<OwnChild>(&*task_) : nullptr;
  return own != nullptr && (own->stage == OwnChild::Stage::Spi || own->stage == OwnChild::Stage::Install);
}

// Steps towards new keys. What was asked before is not judged again, and the peer may not ask for two things at once.
bool IkeSa::must_wait(const wire::IkeHeader& header) const {
  const bool asks_on =
      header.is_response() || (!peer_slot_.in_progress && header.message_id + 1 != peer_slot_.next_message_id);
  return asks_on &&
         (header.exchange == ExchangeType::CREATE_CHILD_SA || header.exchange == ExchangeType::IKE_FOLLOWUP_KE);
}

void IkeSa::hold(const Path& arrived, ByteView datagram) {
  if (!held_) held_.emplace();
  if (held_->size() == kMaxHeld) {
    env_.counters.add(Counter::in_progress);
    return;
  }
  held_->push_back({arrived, to_bytes(datagram)});
}

void IkeSa::take_held(Instant now) {
  while (held_ && !awaits_plane()) {
    const HeldDatagram next = std::move(held_->front());
    held_->pop_front();
    if (held_->empty()) held_.reset();
    if (const auto message = wire::parse_message(next.octets)) judge_message(now, next.arrived, next.octets, *message);
  }
}

}  // namespace qanat::ike
