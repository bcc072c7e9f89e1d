#include "ike/reassembly.hpp"

#include <algorithm>

#include "base/secret.hpp"
#include "crypto/digest.hpp"

namespace qanat::ike {

FragmentVerdict Reassembly::check(std::uint32_t message_id, const wire::EncryptedPart& part) const {
  if (part.total_fragments > kMaxTotalFragments) return FragmentVerdict::TooLarge;
  if (!partial_ || message_id != partial_->message_id || part.total_fragments > partial_->total)
    return FragmentVerdict::Stored;
  if (part.total_fragments < partial_->total) return FragmentVerdict::Stale;
  return partial_->parts.contains(part.fragment_number) ? FragmentVerdict::Duplicate : FragmentVerdict::Stored;
}

FragmentVerdict Reassembly::add(Instant now, std::uint32_t message_id, const wire::EncryptedPart& part,
                                ByteView datagram, Bytes plaintext, Duration patience) {
  const FragmentVerdict verdict = check(message_id, part);
  if (verdict != FragmentVerdict::Stored) return verdict;
  if (partial_ && (message_id != partial_->message_id || part.total_fragments > partial_->total)) clear();
  if (stored_octets() + plaintext.size() > limit_) {
    clear();
    return FragmentVerdict::TooLarge;
  }
  if (!partial_) {
    Partial& fresh = partial_.emplace();
    fresh.message_id = message_id;
    fresh.total = part.total_fragments;
    fresh.deadline = now + patience;
  }
  Partial& p = *partial_;
  p.octets += plaintext.size();
  p.wire_octets += static_cast<std::uint32_t>(datagram.size());
  p.largest = std::max(p.largest, static_cast<std::uint32_t>(datagram.size()));
  if (part.fragment_number == 1) {
    p.first_datagram = to_bytes(datagram.first(part.associated_size));
    p.first = part;
    p.first.body = {};
    p.first_hash = crypto::sha256({datagram});
  }
  p.parts.emplace(part.fragment_number, std::move(plaintext));
  return p.parts.size() == p.total ? FragmentVerdict::Complete : FragmentVerdict::Stored;
}

Reassembly::Complete Reassembly::take() {
  ensure(partial_ && partial_->parts.size() == partial_->total, "a message is taken when it is complete");
  Partial& p = *partial_;
  Complete out;
  out.first_inner = p.first.first_inner;
  out.first = p.first;
  out.first_datagram = std::move(p.first_datagram);
  out.total = p.total;
  out.octets = p.wire_octets;
  out.largest = p.largest;
  out.first_hash = p.first_hash;
  out.plaintext.reserve(p.octets);
  for (const auto& [number, text] : p.parts) append(out.plaintext, text);
  clear();
  return out;
}

void Reassembly::clear() {
  if (!partial_) return;
  for (auto& [number, part] : partial_->parts) wipe(part);
  partial_.reset();
}

}  // namespace qanat::ike
