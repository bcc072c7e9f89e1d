// Why a packet was not delivered: the one list that makes the enumeration, the metric's label and its help text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qanat::esp {

// X(enumerator, name, help). Names are public: metrics and `qanat status` show them, so they are never renamed.
// clang-format off
#define QANAT_DROP_REASONS(X)                                                                                        \
  /* An ESP datagram, before its key is used */                                                                      \
  X(NotEsp, "not_esp", "UDP payload that is a keepalive or an IKE message, not ESP")                                 \
  X(TooShort, "too_short", "ESP datagram shorter than its header, IV, trailer and ICV")                              \
  X(Alignment, "alignment", "ESP datagram whose ciphertext does not end on 4 octets, or on a cipher block")           \
  X(NoSa, "no_sa", "ESP datagram for an SPI that we did not hand out, or no longer know")                            \
  X(KeyHoldFull, "key_hold_full", "too many ESP datagrams wait for the key of their SPI")                             \
  X(KeyTimeout, "key_timeout", "ESP datagram whose SPI did not get its key in time")                                 \
  X(Replay, "replay", "sequence number seen before, or older than the replay window")                                \
  X(AuthFailed, "auth_failed", "integrity check value does not verify")                                              \
  /* Authenticated, and still wrong */                                                                               \
  X(PadLength, "pad_length", "pad length larger than the payload")                                                   \
  X(Padding, "padding", "padding that is not 1, 2, 3, ... (RFC 4303 2.4)")                                           \
  X(NextHeader, "next_header", "next header that is neither IPv4, IPv6 nor a dummy")                                 \
  X(EcnCe, "ecn_ce", "outer header marked CE around a packet that is not ECN-capable (RFC 6040 4.2)")                \
  X(WrongTunnel, "wrong_tunnel", "inner source that is not routed to the tunnel that it came from")                  \
  /* An inner packet, either way */                                                                                  \
  X(NotIp, "not_ip", "packet that is neither IPv4 nor IPv6, or not the one that was announced")                      \
  X(BadInnerLength, "bad_inner_length", "IP length that is larger than the packet or smaller than its header")       \
  X(Malformed, "malformed", "IP header that contradicts itself")                                                     \
  X(FragmentTiny, "fragment_tiny", "first fragment without its whole transport header")                              \
  X(FragmentOverlap, "fragment_overlap", "fragment that overlaps another of its datagram")                           \
  X(FragmentUnknown, "fragment_unknown", "fragment whose first fragment we have not seen, where ports decide")       \
  X(TsMismatch, "ts_mismatch", "packet outside the traffic selectors of the tunnel's SAs")                           \
  X(NoRoute, "no_route", "destination that no tunnel has a route for")                                               \
  X(PqRequired, "pq_required", "packet to a prefix that requires hybrid keys, and no tunnel to it has them")         \
  X(Policy, "policy", "packet that a rule of the packet policy drops")                                               \
  X(TtlExpired, "ttl_expired", "TTL or hop limit used up")                                                           \
  X(Mtu, "mtu", "packet larger than the tunnel's MTU that may not be fragmented")                                    \
  X(LocalAddress, "local_address", "packet for a tunnel's own interface address, other than an echo request")        \
  /* On its way out */                                                                                               \
  X(NoOutboundSa, "no_outbound_sa", "tunnel or SA went away while the packet was held")                              \
  X(HoldFull, "hold_full", "too many packets wait for an SA")                                                        \
  X(HoldTimeout, "hold_timeout", "packet waited too long for an SA")                                                 \
  X(HandoverFull, "handover_full", "too many packets wait for the data worker that has their tunnel")                \
  X(SeqExhausted, "seq_exhausted", "sequence number of the outbound SA used up")                                     \
  X(HardLimit, "hard_limit", "SA reached its limit of packets or bytes")                                             \
  X(TooBig, "too_big", "packet larger than any IP packet")                                                           \
  /* Taken in, and no loss */                                                                                        \
  X(Dummy, "dummy", "dummy packets (next header 59), accepted and discarded")                                        \
  X(Answered, "answered", "echo requests for a tunnel's interface address, answered by us")                   \
  X(Probe, "probe", "answers to our own health probes")
// clang-format on

enum class DropReason : std::uint8_t {
#define QANAT_DROP_ENUM(enumerator, name, help) enumerator,
  QANAT_DROP_REASONS(QANAT_DROP_ENUM)
#undef QANAT_DROP_ENUM
      kCount
};

inline constexpr std::size_t kDropReasons = static_cast<std::size_t>(DropReason::kCount);

struct DropText {
  std::string_view name;
  std::string_view help;
};
inline constexpr std::array<DropText, kDropReasons> kDropTexts = {{
#define QANAT_DROP_TEXT(enumerator, name, help) {name, help},
    QANAT_DROP_REASONS(QANAT_DROP_TEXT)
#undef QANAT_DROP_TEXT
}};

[[nodiscard]] constexpr std::string_view to_string(DropReason reason) {
  return kDropTexts[static_cast<std::size_t>(reason)].name;
}
[[nodiscard]] constexpr std::string_view help(DropReason reason) {
  return kDropTexts[static_cast<std::size_t>(reason)].help;
}
// False for what is counted here but is no loss.
[[nodiscard]] constexpr bool is_loss(DropReason reason) {
  return reason != DropReason::Dummy && reason != DropReason::Answered && reason != DropReason::Probe;
}

// How often each reason was met.
class DropCounters {
 public:
  void count(DropReason reason, std::uint64_t packets = 1) { counts_[static_cast<std::size_t>(reason)] += packets; }
  [[nodiscard]] std::uint64_t operator[](DropReason reason) const { return counts_[static_cast<std::size_t>(reason)]; }
  [[nodiscard]] std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t c : counts_) sum += c;
    return sum;
  }
  // Those above zero, as ipsec::Counters carries them.
  [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> nonzero() const {
    std::vector<std::pair<std::string, std::uint64_t>> out;
    for (std::size_t i = 0; i < kDropReasons; ++i) {
      if (counts_[i] != 0) out.emplace_back(kDropTexts[i].name, counts_[i]);
    }
    return out;
  }

 private:
  std::array<std::uint64_t, kDropReasons> counts_{};
};

}  // namespace qanat::esp
