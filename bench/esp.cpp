// One packet, in memory: the raw packet cipher, and the whole outbound and inbound trips beside it, so that what the
// trips add is the difference of two numbers.
#include <benchmark/benchmark.h>

#include "crypto/packet_cipher.hpp"
#include "ipsec/selectors.hpp"
#include "wan/packet_path.hpp"

namespace {

using namespace qanat;

constexpr CipherSuite kGcm256{EncrId::ENCR_AES_GCM_16, 256, IntegId::NONE};

void raw_seal(benchmark::State& state) {
  const Bytes keymat(36, 7);
  auto cipher = crypto::PacketCipher::create(kGcm256, keymat);
  Bytes packet(static_cast<std::size_t>(state.range(0)), 1);
  Bytes out(packet.size());
  std::array<std::uint8_t, 8> iv{};
  std::array<std::uint8_t, 16> icv{};
  std::uint64_t sequence = 1;
  for (auto _ : state) {
    (*cipher)->seal({1000, sequence++, true}, iv, packet, out, icv);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(raw_seal)->Arg(64)->Arg(1420);

// Keeps what leaves a path, so that it can be fed to another.
class Keep final : public wan::CopyingSink {
 public:
  void send_esp(const ipsec::OuterPath&, std::uint8_t, wan::DfBit, ByteView esp) override {
    last.assign(esp.begin(), esp.end());
  }
  void write_tun(VrfId, ByteView) override { ++delivered; }
  Bytes last;
  std::uint64_t delivered = 0;
};

ipsec::SaDirection direction(ipsec::EspSpi spi) {
  ipsec::SaDirection sa;
  sa.child = ChildSaId{1};
  sa.tunnel = TunnelId{1};
  sa.spi = spi;
  sa.suite = kGcm256;
  sa.esn = true;
  sa.keymat = SecretBytes::copy_of(Bytes(36, 7));
  sa.local_ts = {ipsec::any_selector_v4()};
  sa.remote_ts = {ipsec::any_selector_v4()};
  sa.path = {{IpAddress::v4(1), 4500}, {IpAddress::v4(2), 4500}, ipsec::Encapsulation::Udp};
  return sa;
}

Bytes inner(std::size_t size) {
  Bytes p(size);
  p[0] = 0x45;
  store_be16(&p[2], static_cast<std::uint16_t>(size));
  p[8] = 64;
  p[9] = 17;
  store_be32(&p[12], 0x0a010005);
  store_be32(&p[16], 0x0a020005);
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < 20; i += 2) sum += load_be16(&p[i]);
  sum = (sum & 0xffff) + (sum >> 16);
  store_be16(&p[10], static_cast<std::uint16_t>(~((sum & 0xffff) + (sum >> 16))));
  return p;
}

struct Path {
  explicit Path(const char* route) : path({}, rng) {
    ipsec::TunnelPlan plan;
    plan.tunnel = TunnelId{1};
    plan.routes = {*Prefix::parse(route)};
    path.post({}, ipsec::SetTunnel{plan});
  }
  SeededRng rng{1};
  wan::PacketPath path;
};

ipsec::EspSpi reserve(wan::PacketPath& path) {
  path.post({}, ipsec::ReserveSpi{RequestId{1}, TunnelId{1}});
  ipsec::EspSpi spi = 0;
  while (auto event = path.poll_event()) {
    if (const auto* done = std::get_if<ipsec::Done>(&*event)) spi = done->spi;
  }
  return spi;
}

void trip_out(benchmark::State& state) {
  Path out{"10.2.0.0/16"};
  out.path.post({}, ipsec::InstallOutbound{RequestId{2}, direction(4242)});
  out.path.post({}, ipsec::SwitchOutbound{TunnelId{1}, ChildSaId{1}});
  const Bytes packet = inner(static_cast<std::size_t>(state.range(0)));
  const ByteView view{packet};
  Keep sink;
  for (auto _ : state) out.path.handle_tun({}, VrfId{}, {&view, 1}, sink);
  if (sink.last.empty()) state.SkipWithError("nothing left");
}
BENCHMARK(trip_out)->Arg(64)->Arg(1420);

void trip_out_and_in(benchmark::State& state) {
  Path out{"10.2.0.0/16"};
  Path in{"10.1.0.0/16"};
  const ipsec::EspSpi spi = reserve(in.path);
  out.path.post({}, ipsec::InstallOutbound{RequestId{2}, direction(spi)});
  out.path.post({}, ipsec::SwitchOutbound{TunnelId{1}, ChildSaId{1}});
  in.path.post({}, ipsec::InstallInbound{RequestId{3}, direction(spi)});
  const Bytes packet = inner(static_cast<std::size_t>(state.range(0)));
  const ByteView view{packet};
  const ipsec::OuterPath arrived{{IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500}, ipsec::Encapsulation::Udp};
  Keep sink;
  for (auto _ : state) {
    out.path.handle_tun({}, VrfId{}, {&view, 1}, sink);
    const MutableByteView esp{sink.last};
    in.path.handle_esp({}, arrived, 0, {&esp, 1}, sink);
  }
  if (sink.delivered != static_cast<std::uint64_t>(state.iterations())) state.SkipWithError("packets were lost");
}
BENCHMARK(trip_out_and_in)->Arg(64)->Arg(1420);

}  // namespace
