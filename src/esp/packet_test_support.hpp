// For tests and fuzz targets: inner packets with right checksums, and SAs with keys from a seed.
#pragma once

#include "base/rng.hpp"
#include "crypto/cipher_sizes.hpp"
#include "esp/checksum.hpp"
#include "esp/inner_packet.hpp"
#include "ipsec/child_sa_params.hpp"

namespace qanat::esp::testing {

inline IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}
inline Prefix net(std::string_view text) {
  return *Prefix::parse(text);
}

inline constexpr CipherSuite kGcm256{.encr = EncrId::ENCR_AES_GCM_16, .key_bits = 256};
inline constexpr CipherSuite kGcm128{.encr = EncrId::ENCR_AES_GCM_16, .key_bits = 128};
inline constexpr CipherSuite kChaCha{.encr = EncrId::ENCR_CHACHA20_POLY1305, .key_bits = 256};
inline constexpr CipherSuite kCbc256{
    .encr = EncrId::ENCR_AES_CBC, .key_bits = 256, .integ = IntegId::AUTH_HMAC_SHA2_256_128};
inline constexpr CipherSuite kCbc128Sha384{
    .encr = EncrId::ENCR_AES_CBC, .key_bits = 128, .integ = IntegId::AUTH_HMAC_SHA2_384_192};
inline constexpr CipherSuite kCbc256Sha512{
    .encr = EncrId::ENCR_AES_CBC, .key_bits = 256, .integ = IntegId::AUTH_HMAC_SHA2_512_256};
inline constexpr CipherSuite kSuites[] = {kGcm256, kGcm128, kChaCha, kCbc256, kCbc128Sha384, kCbc256Sha512};

inline SecretBytes key_for(const CipherSuite& suite, std::uint64_t seed) {
  const auto sizes = crypto::cipher_sizes(suite);
  SeededRng rng(seed);
  return SecretBytes::adopt(rng.bytes(sizes.encr_key + sizes.integ_key));
}

inline wire::TrafficSelector any4() {
  return {.first = ip("0.0.0.0"), .last = ip("255.255.255.255")};
}
inline wire::TrafficSelector any6() {
  return {.first = ip("::"), .last = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")};
}

inline ipsec::SaDirection direction(const CipherSuite& suite, ipsec::EspSpi spi, std::uint64_t key_seed) {
  ipsec::SaDirection sa;
  sa.spi = spi;
  sa.suite = suite;
  sa.keymat = key_for(suite, key_seed);
  sa.local_ts = {any4(), any6()};
  sa.remote_ts = {any4(), any6()};
  return sa;
}

struct PacketSpec {
  IpAddress source;
  IpAddress destination;
  std::uint8_t protocol = kProtocolUdp;
  std::uint16_t source_port = 4000;
  std::uint16_t destination_port = 5000;
  std::size_t payload = 64;  // behind the transport header
  std::uint8_t tos = 0;
  std::uint8_t ttl = 64;
  bool dont_fragment = false;
  std::uint8_t fill = 0x5a;
};

// UDP, or TCP with flags and options, or any protocol with bare content; right checksums throughout.
inline Bytes transport_packet(const PacketSpec& s, Bytes transport) {
  const std::size_t checksum_at = s.protocol == kProtocolTcp ? 16 : s.protocol == kProtocolUdp ? 6 : 0;
  if (checksum_at != 0) {
    store_be16(&transport[checksum_at], 0);
    store_be16(&transport[checksum_at], transport_checksum(s.source, s.destination, s.protocol, transport));
  }
  ByteWriter out;
  if (s.source.is_v6()) {
    out.u32((6U << 28) | (std::uint32_t{s.tos} << 20));
    out.u16(static_cast<std::uint16_t>(transport.size()));
    out.u8(s.protocol);
    out.u8(s.ttl);
  } else {
    out.u8(0x45);
    out.u8(s.tos);
    out.u16(static_cast<std::uint16_t>(20 + transport.size()));
    out.u16(0x1234);
    out.u16(s.dont_fragment ? 0x4000 : 0);
    out.u8(s.ttl);
    out.u8(s.protocol);
    out.u16(0);
  }
  out.bytes(s.source.bytes());
  out.bytes(s.destination.bytes());
  if (!s.source.is_v6()) out.patch_u16(10, checksum(out.view()));
  out.bytes(transport);
  return std::move(out).take();
}

inline Bytes udp(const PacketSpec& s) {
  ByteWriter t;
  t.u16(s.source_port);
  t.u16(s.destination_port);
  t.u16(static_cast<std::uint16_t>(8 + s.payload));
  t.u16(0);
  for (std::size_t i = 0; i < s.payload; ++i) t.u8(static_cast<std::uint8_t>(s.fill + i));
  return transport_packet(s, std::move(t).take());
}

inline Bytes tcp_syn(PacketSpec s, ByteView options) {
  s.protocol = kProtocolTcp;
  ByteWriter t;
  t.u16(s.source_port);
  t.u16(s.destination_port);
  t.u32(1000);
  t.u32(0);
  t.u8(static_cast<std::uint8_t>((5 + options.size() / 4) << 4));
  t.u8(2);
  t.u16(65535);
  t.u32(0);
  t.bytes(options);
  return transport_packet(s, std::move(t).take());
}

inline Bytes echo_request(const IpAddress& source, const IpAddress& destination, std::uint16_t sequence = 1) {
  ByteWriter t;
  t.u8(source.is_v6() ? 128 : 8);
  t.u8(0);
  t.u16(0);
  t.u16(77);
  t.u16(sequence);
  t.bytes(to_bytes("abcdefgh"));
  Bytes content = std::move(t).take();
  const std::uint8_t protocol = source.is_v6() ? kProtocolIcmpv6 : kProtocolIcmp;
  store_be16(&content[2],
             source.is_v6() ? transport_checksum(source, destination, protocol, content) : checksum(content));
  PacketSpec s{.source = source, .destination = destination, .protocol = protocol};
  return transport_packet(s, std::move(content));
}

// True when the IPv4 header, and the transport of an unfragmented packet, sum up.
inline bool checksums_right(ByteView packet) {
  const auto p = parse_inner(packet);
  if (!p) return false;
  if (!p->is_v6() && checksum(packet.first(p->header_size)) != 0) return false;
  const ByteView content = packet.subspan(p->transport_offset, static_cast<std::size_t>(p->size - p->transport_offset));
  if (p->fragment) return true;
  if (p->protocol == kProtocolIcmp) return checksum(content) == 0;
  if (p->protocol == kProtocolTcp || p->protocol == kProtocolUdp || p->protocol == kProtocolIcmpv6) {
    return transport_checksum(p->source, p->destination, p->protocol, content) == 0;
  }
  return true;
}

}  // namespace qanat::esp::testing
