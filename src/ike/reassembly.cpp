#include "ike/reassembly.hpp"

#include <algorithm>

#include "base/secret.hpp"
#include "crypto/digest.hpp"

namespace qanat::ike {

FragmentVerdict Reassembly::check(std::uint32_t message_id, const wire::EncryptedPart& part) const {
  if (part.total_fragments > kMaxTotalFragments) return FragmentVerdict::TooLarge;
  if (parts_.empty() || message_id != message_id_ || part.total_fragments > total_) return FragmentVerdict::Stored;
  if (part.total_fragments < total_) return FragmentVerdict::Stale;
  return parts_.contains(part.fragment_number) ? FragmentVerdict::Duplicate : FragmentVerdict::Stored;
}

FragmentVerdict Reassembly::add(Instant now, std::uint32_t message_id, const wire::EncryptedPart& part,
                                ByteView datagram, Bytes plaintext, Duration patience) {
  const FragmentVerdict verdict = check(message_id, part);
  if (verdict != FragmentVerdict::Stored) return verdict;
  if (message_id != message_id_ || part.total_fragments > total_) clear();
  if (parts_.empty()) {
    message_id_ = message_id;
    total_ = part.total_fragments;
    deadline_ = now + patience;
  }
  if (octets_ + plaintext.size() > limit_) {
    clear();
    return FragmentVerdict::TooLarge;
  }
  octets_ += plaintext.size();
  wire_octets_ += static_cast<std::uint32_t>(datagram.size());
  largest_ = std::max(largest_, static_cast<std::uint32_t>(datagram.size()));
  if (part.fragment_number == 1) {
    first_datagram_ = to_bytes(datagram.first(part.associated_size));
    first_ = part;
    first_.body = {};
    first_hash_ = crypto::sha256({datagram});
  }
  parts_.emplace(part.fragment_number, std::move(plaintext));
  return parts_.size() == total_ ? FragmentVerdict::Complete : FragmentVerdict::Stored;
}

Reassembly::Complete Reassembly::take() {
  ensure(parts_.size() == total_ && total_ != 0, "a message is taken when it is complete");
  Complete out;
  out.first_inner = first_.first_inner;
  out.first = first_;
  out.first_datagram = std::move(first_datagram_);
  out.total = total_;
  out.octets = wire_octets_;
  out.largest = largest_;
  out.first_hash = first_hash_;
  out.plaintext.reserve(octets_);
  for (const auto& [number, part] : parts_) append(out.plaintext, part);
  clear();
  return out;
}

void Reassembly::clear() {
  for (auto& [number, part] : parts_) wipe(part);
  parts_.clear();
  first_datagram_.clear();
  first_ = {};
  total_ = 0;
  octets_ = 0;
  wire_octets_ = 0;
  largest_ = 0;
}

}  // namespace qanat::ike
