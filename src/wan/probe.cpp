#include "wan/probe.hpp"

#include "crypto/prf.hpp"
#include "esp/checksum.hpp"

namespace qanat::wan {

namespace {

constexpr std::uint8_t kEchoReply = 0;  // RFC 792
constexpr std::uint8_t kEchoRequest = 8;
constexpr std::uint8_t kEchoRequestV6 = 128;  // RFC 4443 4
constexpr std::uint8_t kEchoReplyV6 = 129;
constexpr std::uint8_t kTtl = 64;
constexpr std::size_t kIcmpHeader = 8;  // type, code, checksum, identifier, sequence
// Data: "qanatprb", the tunnel, the sequence number again (some routers write their own into replies), the token.
constexpr std::uint64_t kMagic = 0x71616e6174707262;
constexpr std::size_t kNamed = 8 + 4 + 2 + 2;

std::uint8_t echo_reply(bool v6) {
  return v6 ? kEchoReplyV6 : kEchoReply;
}

Flow flow_of(const IpAddress& local, const IpAddress& remote, std::uint8_t type) {
  const auto port = static_cast<std::uint16_t>(type << 8);
  return {.local = local,
          .remote = remote,
          .protocol = local.is_v6() ? esp::kProtocolIcmpv6 : esp::kProtocolIcmp,
          .ports = Flow::PortState::Known,
          .local_port = port,
          .remote_port = port};
}

void put_ip_header(ByteWriter& out, const IpAddress& from, const IpAddress& to, std::size_t content) {
  if (from.is_v6()) {
    out.u32(6U << 28);
    out.u16(static_cast<std::uint16_t>(content));
    out.u8(esp::kProtocolIcmpv6);
    out.u8(kTtl);
    out.bytes(from.bytes());
    out.bytes(to.bytes());
    return;
  }
  out.u16(0x4500);
  out.u16(static_cast<std::uint16_t>(20 + content));
  out.u32(0x4000);  // DF, so without an identification (RFC 6864)
  out.u8(kTtl);
  out.u8(esp::kProtocolIcmp);
  out.u16(0);
  out.bytes(from.bytes());
  out.bytes(to.bytes());
  out.patch_u16(10, esp::checksum(out.view()));
}

}  // namespace

std::variant<ProbePath, HealthCode> probe_path(const model::HealthCheck& check, const ProbeAddresses& addresses) {
  if (!check.enabled) return HealthCode::Disabled;
  const bool both_ways = check.direction == model::ProbeDirection::Bidirectional;
  struct Pair {
    std::optional<IpAddress> local;
    std::optional<IpAddress> remote;
  };
  const Pair inner4{addresses.interface4, addresses.peer_interface4};
  const Pair inner6{addresses.interface6, addresses.peer_interface6};
  const Pair outer{addresses.outer_local, addresses.outer_peer};
  for (Pair pair : both_ways ? std::vector{inner4, inner6} : std::vector{outer}) {
    if (check.target) pair.remote = check.target;
    if (!pair.local || !pair.remote || pair.local->is_v6() != pair.remote->is_v6() || pair.local->is_unspecified())
      continue;
    return ProbePath{.local = *pair.local, .remote = *pair.remote, .type = check.type, .direction = check.direction};
  }
  return HealthCode::NoAddress;
}

bool selectors_carry(const ProbePath& path, SelectorView local, SelectorView remote) {
  const bool v6 = path.local.is_v6();
  // A reply that we send comes from the peer's address: it leaves as the answer will come, with both ends swapped.
  const Flow probe = path.type == model::ProbeType::Request
                         ? flow_of(path.local, path.remote, v6 ? kEchoRequestV6 : kEchoRequest)
                         : flow_of(path.remote, path.local, echo_reply(v6));
  if (fits(local, remote, probe) != Fit::Yes) return false;
  if (path.direction == model::ProbeDirection::Unidirectional) return true;
  return fits(local, remote, flow_of(path.local, path.remote, echo_reply(v6))) == Fit::Yes;
}

bool is_peers_reply_probe(ByteView packet, const esp::InnerPacket& p, const IpAddress& interface,
                          const IpAddress& peer_interface) {
  return !p.fragment && p.source == interface && p.destination == peer_interface &&
         p.protocol == (p.is_v6() ? esp::kProtocolIcmpv6 : esp::kProtocolIcmp) &&
         p.size >= p.transport_offset + kIcmpHeader && packet[p.transport_offset] == echo_reply(p.is_v6());
}

ProbeCodec::ProbeCodec(Rng& rng) : key_(32) {
  rng.fill(key_.expose_mutable());
}

SecretBytes ProbeCodec::token(ByteView what) const {
  return crypto::prf(PrfId::PRF_HMAC_SHA2_256, key_.expose(), {what});
}

Bytes ProbeCodec::make(TunnelId tunnel, const ProbePath& path, std::uint16_t sequence) const {
  const bool request = path.type == model::ProbeType::Request;
  const bool v6 = path.local.is_v6();
  const IpAddress& from = request ? path.local : path.remote;
  const IpAddress& to = request ? path.remote : path.local;

  ByteWriter icmp;
  icmp.u8(request ? (v6 ? kEchoRequestV6 : kEchoRequest) : echo_reply(v6));
  icmp.u8(0);
  icmp.u16(0);
  icmp.u16(static_cast<std::uint16_t>(tunnel.value()));  // identifier: only stateful firewalls look at it
  icmp.u16(sequence);
  ByteWriter named;
  named.u64(kMagic);
  named.u32(tunnel.value());
  named.u16(sequence);
  named.u16(0);
  icmp.bytes(named.view());
  icmp.bytes(token(named.view()).expose().first(kTokenSize));
  icmp.zeros(4);
  icmp.patch_u16(
      2, v6 ? esp::transport_checksum(from, to, esp::kProtocolIcmpv6, icmp.view()) : esp::checksum(icmp.view()));

  ByteWriter out;
  put_ip_header(out, from, to, icmp.size());
  out.bytes(icmp.view());
  return std::move(out).take();
}

std::optional<ProbeAnswer> ProbeCodec::read(ByteView packet, const esp::InnerPacket& p) const {
  if (p.fragment || p.protocol != (p.is_v6() ? esp::kProtocolIcmpv6 : esp::kProtocolIcmp)) return std::nullopt;
  const ByteView icmp = packet.subspan(p.transport_offset, static_cast<std::size_t>(p.size - p.transport_offset));
  if (icmp.size() < kIcmpHeader + kNamed + kTokenSize || icmp[0] != echo_reply(p.is_v6()) || icmp[1] != 0)
    return std::nullopt;
  const ByteView named = icmp.subspan(kIcmpHeader, kNamed);
  if (load_be64(named.data()) != kMagic) return std::nullopt;
  if (!constant_time_equal(token(named).expose().first(kTokenSize), icmp.subspan(kIcmpHeader + kNamed, kTokenSize)))
    return std::nullopt;
  return ProbeAnswer{.tunnel = TunnelId{load_be32(&named[8])}, .sequence = load_be16(&named[12])};
}

}  // namespace qanat::wan
