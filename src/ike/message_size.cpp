// How large the datagrams of IKE messages are, and what to do when large ones do not get through: a request that stays
// without an answer is sent again in smaller fragments, under the same Message ID, and so is a response that is asked
// for again and again (RFC 7383 2.5.2). What has got through is remembered for the IKE SA.
#include <algorithm>
#include <utility>

#include "crypto/digest.hpp"
#include "ike/ike_sa.hpp"

namespace qanat::ike {

namespace {

constexpr std::size_t kMarkerSize = 4;
constexpr Duration kElsewhereInterval = 1s;
constexpr std::size_t kDefaultFragmentV4 = 1400;
constexpr std::size_t kDefaultFragmentV6 = 1280;
// Octets of IP datagrams to come down to, step by step. What every path lets through is the last.
constexpr std::size_t kStepsV4[] = {1200, 576};
constexpr std::size_t kStepsV6[] = {1280};

std::size_t next_step(std::size_t datagram, bool v6) {
  if (v6) return datagram > kStepsV6[0] ? kStepsV6[0] : 0;
  for (const std::size_t step : kStepsV4) {
    if (step < datagram) return step;
  }
  return 0;
}

}  // namespace

std::size_t IkeSa::largest_datagram() const {
  const bool v6 = path_.remote.address.is_v6();
  const std::size_t configured = tunnel_ ? tunnel_->fragment_size : smallest_fragment_;
  const std::size_t datagram = configured != 0 ? configured : (v6 ? kDefaultFragmentV6 : kDefaultFragmentV4);
  return path_size_ == 0 ? datagram : std::min(datagram, path_size_);
}

// Octets of the IKE message that fits an IP datagram of that size.
std::size_t IkeSa::room_in(std::size_t datagram) const {
  const bool v6 = path_.remote.address.is_v6();
  const std::size_t headers = (v6 ? 40U : 20U) + 8U + (path_.local.port == env_.config.nat_port ? kMarkerSize : 0U);
  return datagram > headers + 200 ? datagram - headers : 200;
}

std::size_t IkeSa::max_message() const {
  return peer_fragments_ ? room_in(largest_datagram()) : 0;
}

// nullopt: it is small enough for every path, or the peer takes no fragments.
std::optional<Unsealed> IkeSa::keep_unsealed(const wire::IkeHeader& header, SealedMessage& sealed,
                                             wire::Payloads clear) const {
  const bool v6 = path_.remote.address.is_v6();
  const std::size_t everywhere = room_in(v6 ? kStepsV6[0] : kStepsV4[1]);
  if (!peer_fragments_ || sealed.datagrams.front().size() <= everywhere) return std::nullopt;
  return Unsealed{header,           sealed.first, SecretBytes::copy_of(sealed.plaintext),
                  std::move(clear), generation_,  sealed.datagrams.size()};
}

// One step down, or more while the number of fragments, by which the peer tells the sizes apart, stays the same.
void IkeSa::cut_smaller(Unsealed& text, std::vector<Bytes>& datagrams) {
  SkSealer* sealer = nullptr;
  if (text.generation == generation_ && sealer_) sealer = &*sealer_;
  if (text.generation + 1 == generation_ && previous_sealer_) sealer = &*previous_sealer_;
  if (sealer == nullptr) return;
  const bool v6 = path_.remote.address.is_v6();
  for (std::size_t size = next_step(largest_datagram(), v6); size != 0; size = next_step(size, v6)) {
    auto smaller =
        sealer->seal_chain(text.header, text.first, text.chain.expose(), room_in(size), env_.rng, text.clear);
    if (!smaller) return;
    if (smaller->size() <= text.datagrams) continue;
    path_size_ = size;
    text.datagrams = smaller->size();
    datagrams = std::move(*smaller);
    env_.counters.add(Counter::refragmented);
    return;
  }
}

// The last response again, bit by bit, unless it seems to be too large to arrive. One datagram asks for all of it, and
// whoever has seen that can send it from anywhere: the peer may have moved, but no other place gets more than one a
// second.
void IkeSa::repeat_response(Instant now, const Path& arrived) {
  if (arrived != peer_slot_.path) {
    if (now < peer_slot_.next_elsewhere) {
      env_.counters.add(Counter::repeated_elsewhere);
      return;
    }
    peer_slot_.next_elsewhere = now + kElsewhereInterval;
  }
  env_.counters.add(Counter::retransmission);
  ++peer_slot_.repeats;
  const unsigned sends = env_.config.retransmit.sends_of_a_size;
  if (peer_slot_.text && sends != 0 && peer_slot_.repeats % sends == 0)
    cut_smaller(*peer_slot_.text, peer_slot_.response);
  transmit(arrived, peer_slot_.response);
}

// The last request again in more fragments than before: its first fragment asks for the response. It is no copy of what
// was seen, so it has to be authentic.
bool IkeSa::repeats_in_smaller_fragments(ByteView datagram, const wire::ClearMessage& message) {
  if (!message.encrypted || message.encrypted->fragment_number != 1 ||
      message.encrypted->total_fragments <= peer_slot_.request_datagrams)
    return false;
  crypto::SkCipher* opener = nullptr;
  if (peer_slot_.generation == generation_ && opener_) opener = &*opener_;
  if (peer_slot_.generation + 1 == generation_ && previous_opener_) opener = &*previous_opener_;
  if (opener == nullptr) return false;
  auto text = open_encrypted(*opener, datagram, *message.encrypted);
  if (!text) return false;
  wipe(*text);
  peer_slot_.request_hash = crypto::sha256({datagram});
  peer_slot_.request_datagrams = message.encrypted->total_fragments;
  return true;
}

// The peer may have found out that larger datagrams do not get through: ours are no larger, within reason.
void IkeSa::note_size_of(const Verified& message) {
  if (message.largest == 0) return;
  const bool v6 = path_.remote.address.is_v6();
  const std::size_t overhead = largest_datagram() - std::min(largest_datagram(), room_in(largest_datagram()));
  const std::size_t seen = std::max<std::size_t>(message.largest + overhead, v6 ? kStepsV6[0] : kStepsV4[1]);
  if (seen < largest_datagram()) path_size_ = seen;
}

}  // namespace qanat::ike
