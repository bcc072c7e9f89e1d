// One packet, in memory. The raw AEAD (intel-ipsec-mb and OpenSSL, called directly) stands beside what ESP makes of it
// and beside the whole trips, so that every layer's cost is the difference of two numbers of one table:
//
//   raw_*          the AEAD alone over the octets of the inner packet, with 12 octets of associated data
//   sa_*           OutboundSa::seal and InboundSa::open: sequence number, replay window, trailer, limits, copy
//   trip_*/N/S     PacketPath with N tunnels of one SA each, S octets: parse, route, selectors, MTU, TTL, ECN and the
//   same
//                  seal or open; every packet belongs to a random tunnel. _expanded: a key cache that holds them all
//   route_*/N      destinations drawn at random from N routes; _same: the same one again
//   idle_memory    what SAs cost that carry nothing, in its counters
//
// Times of one row move with whatever else runs on the machine: compare rows of one run, medians of repetitions.
#include <cstring>
#include <fstream>

#include <benchmark/benchmark.h>
#include <malloc.h>
#include <openssl/evp.h>
#ifdef QANAT_HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

#include "crypto/packet_cipher.hpp"
#include "esp/open.hpp"
#include "esp/seal.hpp"
#include "ipsec/selectors.hpp"
#include "wan/plane_state.hpp"

namespace {

using namespace qanat;

constexpr CipherSuite kGcm256{EncrId::ENCR_AES_GCM_16, 256, IntegId::NONE};
constexpr std::size_t kBatch = 256;
constexpr std::size_t kPathBatch = 64;

// What one AEAD call needs; a nonce of its own for every message, as ESP has.
struct Message {
  explicit Message(std::size_t size) : text(size, 1), out(size) {}
  // Stored at once, as the packet path does: the library loads it whole.
  void next() {
    ++sequence;
    using Sixteen = std::uint64_t __attribute__((vector_size(16)));
    const Sixteen both{7 | (sequence << 32), sequence >> 32};
    std::memcpy(nonce.data(), &both, sizeof(both));
  }
  Bytes key = Bytes(32, 7);
  Bytes text;
  Bytes out;
  std::uint64_t sequence = 0;
  alignas(16) std::array<std::uint8_t, 16> nonce{};  // the first 12
  alignas(16) std::array<std::uint8_t, 16> aad{};
  std::array<std::uint8_t, 16> icv{};
};

#ifdef QANAT_HAVE_IPSEC_MB
IMB_MGR& manager() {
  static IMB_MGR* const kManager = [] {
    IMB_MGR* m = alloc_mb_mgr(0);
    init_mb_mgr_auto(m, nullptr);
    return m;
  }();
  return *kManager;
}
void raw_gcm(benchmark::State& state, aes_gcm_enc_dec_t call) {
  Message m(static_cast<std::size_t>(state.range(0)));
  alignas(64) gcm_key_data key;
  alignas(64) gcm_context_data context;
  manager().gcm256_pre(m.key.data(), &key);
  for (auto _ : state) {
    m.next();
    call(&key, &context, m.out.data(), m.text.data(), m.text.size(), m.nonce.data(), m.aad.data(), 12, m.icv.data(),
         16);
    benchmark::ClobberMemory();
  }
}
void raw_gcm_seal(benchmark::State& state) {
  raw_gcm(state, manager().gcm256_enc);
}
void raw_gcm_open(benchmark::State& state) {
  raw_gcm(state, manager().gcm256_dec);
}
void raw_gcm_expand(benchmark::State& state) {
  Message m(0);
  alignas(64) gcm_key_data key;
  for (auto _ : state) {
    manager().gcm256_pre(m.key.data(), &key);
    benchmark::ClobberMemory();
  }
}
// 68 and 80: the ciphertext of 64 octets with padding to 4 and to 16. 1,424 is both for 1,420.
BENCHMARK(raw_gcm_seal)->Arg(64)->Arg(68)->Arg(80)->Arg(1420)->Arg(1424);
BENCHMARK(raw_gcm_open)->Arg(64)->Arg(68)->Arg(80)->Arg(1420)->Arg(1424);
BENCHMARK(raw_gcm_expand);
#endif

void raw_openssl_seal(benchmark::State& state) {
  Message m(static_cast<std::size_t>(state.range(0)));
  EVP_CIPHER* const gcm = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  EVP_CIPHER_CTX* const ctx = EVP_CIPHER_CTX_new();
  EVP_EncryptInit_ex2(ctx, gcm, m.key.data(), m.nonce.data(), nullptr);
  for (auto _ : state) {
    m.next();
    int n = 0;
    EVP_EncryptInit_ex2(ctx, nullptr, nullptr, m.nonce.data(), nullptr);
    EVP_EncryptUpdate(ctx, nullptr, &n, m.aad.data(), 12);
    EVP_EncryptUpdate(ctx, m.out.data(), &n, m.text.data(), static_cast<int>(m.text.size()));
    EVP_EncryptFinal_ex(ctx, m.out.data(), &n);
    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, m.icv.data());
    benchmark::ClobberMemory();
  }
  EVP_CIPHER_CTX_free(ctx);
  EVP_CIPHER_free(gcm);
}
BENCHMARK(raw_openssl_seal)->Arg(64)->Arg(1420);

ipsec::SaDirection direction(ipsec::EspSpi spi, std::uint32_t tunnel = 1) {
  ipsec::SaDirection sa;
  sa.child = ChildSaId{tunnel};
  sa.tunnel = TunnelId{tunnel};
  sa.spi = spi;
  sa.suite = kGcm256;
  sa.esn = true;
  sa.keymat = SecretBytes::copy_of(Bytes(36, 7));
  sa.local_ts = {ipsec::any_selector_v4()};
  sa.remote_ts = {ipsec::any_selector_v4()};
  sa.path = {{IpAddress::v4(1), 4500}, {IpAddress::v4(2), 4500}, ipsec::Encapsulation::Udp};
  return sa;
}

void sa_seal(benchmark::State& state) {
  esp::KeyCache keys(2);
  auto sa = esp::OutboundSa::create(direction(4242), keys);
  SeededRng rng(1);
  const Bytes inner(static_cast<std::size_t>(state.range(0)), 1);
  Bytes out(inner.size() + 128);
  for (auto _ : state) {
    if (!sa->seal(inner, esp::kNextHeaderIpv4, out, rng)) state.SkipWithError("not sealed");
    benchmark::ClobberMemory();
  }
}
BENCHMARK(sa_seal)->Arg(64)->Arg(1420);

// The packets that are opened are sealed beforehand, while the clock stands.
void sa_open(benchmark::State& state) {
  esp::KeyCache keys(2);
  auto out = esp::OutboundSa::create(direction(4242), keys);
  auto in = esp::InboundSa::create(direction(4242), keys);
  SeededRng rng(1);
  const Bytes inner(static_cast<std::size_t>(state.range(0)), 1);
  const std::size_t size = out->layout().sealed_size(inner.size());
  std::vector<Bytes> packets(kBatch, Bytes(size));
  while (state.KeepRunningBatch(kBatch)) {
    state.PauseTiming();
    for (Bytes& p : packets) {
      if (!out->seal(inner, esp::kNextHeaderIpv4, p, rng)) state.SkipWithError("not sealed");
    }
    state.ResumeTiming();
    for (Bytes& p : packets) {
      if (!in->open(p)) state.SkipWithError("not opened");
    }
  }
}
BENCHMARK(sa_open)->Arg(64)->Arg(1420);

// Both, without the clock standing: minus sa_seal, it is the open of a packet that lies in the first cache.
void sa_seal_and_open(benchmark::State& state) {
  esp::KeyCache keys(2);
  auto out = esp::OutboundSa::create(direction(4242), keys);
  auto in = esp::InboundSa::create(direction(4242), keys);
  SeededRng rng(1);
  const Bytes inner(static_cast<std::size_t>(state.range(0)), 1);
  Bytes packet(out->layout().sealed_size(inner.size()));
  for (auto _ : state) {
    if (!out->seal(inner, esp::kNextHeaderIpv4, packet, rng) || !in->open(packet)) state.SkipWithError("not opened");
  }
}
BENCHMARK(sa_seal_and_open)->Arg(64)->Arg(1420);

// Keeps the ESP packets of one batch, so that they can be fed to another path.
class Keep final : public wan::CopyingSink {
 public:
  void send_esp(const ipsec::OuterPath&, std::uint8_t, wan::DfBit, ByteView esp) override {
    std::memcpy(room_[count].data(), esp.data(), esp.size());
    packets[count] = MutableByteView{room_[count]}.first(esp.size());
    ++count;
  }
  void write_tun(VrfId, ByteView) override { ++delivered; }

  std::array<MutableByteView, kPathBatch> packets;
  std::size_t count = 0;
  std::uint64_t delivered = 0;

 private:
  std::array<std::array<std::uint8_t, 1536>, kPathBatch> room_{};
};

constexpr std::uint32_t kSources = 0x0b000000;  // 11.x.y.5 sends to 10.x.y.5 through tunnel 256 x + y + 1
constexpr std::uint32_t kDestinations = 0x0a000000;

Bytes inner(std::size_t size, std::uint32_t tunnel) {
  Bytes p(size);
  p[0] = 0x45;
  store_be16(&p[2], static_cast<std::uint16_t>(size));
  p[8] = 64;
  p[9] = 17;
  store_be32(&p[12], kSources + (tunnel - 1) * 256 + 5);
  store_be32(&p[16], kDestinations + (tunnel - 1) * 256 + 5);
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < 20; i += 2) sum += load_be16(&p[i]);
  sum = (sum & 0xffff) + (sum >> 16);
  store_be16(&p[10], static_cast<std::uint16_t>(~((sum & 0xffff) + (sum >> 16))));
  return p;
}

// A gateway with `tunnels` tunnels, to the networks of `behind`.
struct Path {
  Path(std::uint32_t tunnels, std::uint32_t behind, std::size_t expanded_keys) : path(config(expanded_keys), rng) {
    for (std::uint32_t i = 1; i <= tunnels; ++i) {
      ipsec::TunnelPlan plan;
      plan.tunnel = TunnelId{i};
      path.post({}, ipsec::SetTunnel{plan});
      ipsec::RouteHop route;
      route.prefix = Prefix::masked(IpAddress::v4(behind + (i - 1) * 256), 24);
      route.tunnel = plan.tunnel;
      path.post({}, ipsec::SetRoutes{.vrf = {}, .add = {route}, .remove = {}});
    }
  }
  static wan::PacketPathConfig config(std::size_t expanded_keys) {
    wan::PacketPathConfig config;
    config.expanded_keys = expanded_keys;
    return config;
  }
  ipsec::EspSpi reserve(std::uint32_t tunnel) {
    path.post({}, ipsec::ReserveSpi{RequestId{1}, TunnelId{tunnel}});
    ipsec::EspSpi spi = 0;
    while (auto event = path.poll_event()) {
      if (const auto* done = std::get_if<ipsec::Done>(&*event)) spi = done->spi;
    }
    return spi;
  }
  void install_out(std::uint32_t tunnel, ipsec::EspSpi spi) {
    path.post({}, ipsec::InstallOutbound{RequestId{2}, direction(spi, tunnel)});
    path.post({}, ipsec::SwitchOutbound{TunnelId{tunnel}, ChildSaId{tunnel}});
    while (path.poll_event()) continue;
  }
  void install_in(std::uint32_t tunnel, ipsec::EspSpi spi) {
    path.post({}, ipsec::InstallInbound{RequestId{3}, direction(spi, tunnel)});
    while (path.poll_event()) continue;
  }
  SeededRng rng{1};
  wan::PacketPath path;
};

enum class Ways { Out, OutAndIn };

void trip(benchmark::State& state, Ways ways, std::size_t expanded_keys) {
  const auto tunnels = static_cast<std::uint32_t>(state.range(0));
  Path out{tunnels, kDestinations, expanded_keys};
  Path in{tunnels, kSources, expanded_keys};
  for (std::uint32_t i = 1; i <= tunnels; ++i) {
    const ipsec::EspSpi spi = in.reserve(i);
    out.install_out(i, spi);
    in.install_in(i, spi);
  }
  std::vector<Bytes> packets;
  std::vector<ByteView> views;
  SeededRng rng(2);
  for (std::size_t i = 0; i < (tunnels == 1 ? 1 : 64) * kPathBatch; ++i) {
    packets.push_back(
        inner(static_cast<std::size_t>(state.range(1)), 1 + static_cast<std::uint32_t>(rng.below(tunnels))));
  }
  views.assign(packets.begin(), packets.end());
  const ipsec::OuterPath arrived{{IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500}, ipsec::Encapsulation::Udp};
  Keep sink;
  std::size_t at = 0;
  while (state.KeepRunningBatch(kPathBatch)) {
    sink.count = 0;
    out.path.handle_tun({}, VrfId{}, std::span{views}.subspan(at, kPathBatch), sink);
    at = (at + kPathBatch) % views.size();
    if (sink.count != kPathBatch) state.SkipWithError("nothing left");
    if (ways == Ways::OutAndIn) in.path.handle_esp({}, arrived, 0, sink.packets, sink);
    while (in.path.poll_event()) continue;
  }
  if (ways == Ways::OutAndIn && sink.delivered != static_cast<std::uint64_t>(state.iterations()))
    state.SkipWithError("packets were lost");
}
void trip_out(benchmark::State& state) {
  trip(state, Ways::Out, 4096);
}
void trip_out_and_in(benchmark::State& state) {
  trip(state, Ways::OutAndIn, 4096);
}
void trip_out_expanded(benchmark::State& state) {
  trip(state, Ways::Out, 16384);
}
void trip_out_and_in_expanded(benchmark::State& state) {
  trip(state, Ways::OutAndIn, 16384);
}
BENCHMARK(trip_out)->Args({1, 64})->Args({1, 1420})->Args({10'000, 64})->Args({10'000, 1420});
BENCHMARK(trip_out_and_in)->Args({1, 64})->Args({1, 1420})->Args({10'000, 64})->Args({10'000, 1420});
BENCHMARK(trip_out_expanded)->Args({10'000, 64});
BENCHMARK(trip_out_and_in_expanded)->Args({10'000, 64});

enum class Family { V4, V6 };

// Prefixes as they are met: mostly /24 (/48), some shorter and longer.
Prefix some_prefix(Rng& rng, Family family) {
  const unsigned shift = rng.below(4) == 0 ? static_cast<unsigned>(rng.below(16)) : 8;
  if (family == Family::V4) return Prefix::masked(IpAddress::v4(rng.u32()), 16 + shift);
  Bytes octets = rng.bytes(16);
  octets[0] = 0x20;
  octets[1] = 0x01;
  return Prefix::masked(IpAddress::from_bytes(octets), 40 + shift);
}

void route(benchmark::State& state, Family family, std::size_t destinations) {
  wan::RouteTable routes;
  SeededRng rng(3);
  std::vector<IpAddress> inside;
  while (routes.size() < static_cast<std::size_t>(state.range(0))) {
    const Prefix prefix = some_prefix(rng, family);
    routes.add({}, prefix, {.kind = wan::Hop::Kind::Tunnel, .tunnel = TunnelId{rng.u32()}});
    inside.push_back(prefix.address());
  }
  std::vector<IpAddress> asked;
  for (std::size_t i = 0; i < destinations; ++i) asked.push_back(inside[rng.below(inside.size())]);
  std::size_t at = 0;
  for (auto _ : state) {
    if (++at == asked.size()) at = 0;
    benchmark::DoNotOptimize(routes.lookup({}, asked[at]));
  }
}
void route_v4(benchmark::State& state) {
  route(state, Family::V4, 65536);
}
void route_v6(benchmark::State& state) {
  route(state, Family::V6, 65536);
}
void route_same(benchmark::State& state) {
  route(state, Family::V4, 1);
}
void route_change(benchmark::State& state) {
  wan::RouteTable routes;
  SeededRng rng(3);
  const wan::Hop hop{.kind = wan::Hop::Kind::Tunnel, .tunnel = TunnelId{1}};
  while (routes.size() < static_cast<std::size_t>(state.range(0))) routes.add({}, some_prefix(rng, Family::V4), hop);
  for (auto _ : state) {
    const Prefix prefix = some_prefix(rng, Family::V4);
    routes.add({}, prefix, hop);
    routes.remove({}, prefix, hop);
  }
}
BENCHMARK(route_v4)->Arg(1)->Arg(1'000)->Arg(100'000);
BENCHMARK(route_v6)->Arg(1)->Arg(1'000)->Arg(100'000);
BENCHMARK(route_same)->Arg(100'000);
BENCHMARK(route_change)->Arg(100'000);

// Octets of the heap in use, and resident ones.
struct Memory {
  double heap = 0;
  double resident = 0;
  [[nodiscard]] static Memory now() {
    const auto heap = mallinfo2();
    std::ifstream statm("/proc/self/statm");
    double pages = 0;
    statm >> pages >> pages;
    return {.heap = static_cast<double>(heap.uordblks + heap.hblkhd), .resident = pages * 4096};
  }
};

// Ten thousand idle pairs of SAs (first), beside the tunnels that they belong to.
void idle_memory(benchmark::State& state) {
  constexpr std::uint32_t kTunnels = 10'000;
  for (auto _ : state) {
    malloc_trim(0);
    const Memory before = Memory::now();
    Path path{kTunnels, kDestinations, 4096};
    const Memory tunnels = Memory::now();
    for (std::uint32_t i = 1; i <= kTunnels; ++i) {
      const ipsec::EspSpi spi = path.reserve(i);
      path.install_in(i, spi);
      path.install_out(i, spi);
    }
    const Memory after = Memory::now();
    state.counters["pair_heap"] = (after.heap - tunnels.heap) / kTunnels;
    state.counters["pair_rss"] = (after.resident - tunnels.resident) / kTunnels;
    state.counters["tunnel_heap"] = (tunnels.heap - before.heap) / kTunnels;
    state.counters["tunnel_rss"] = (tunnels.resident - before.resident) / kTunnels;
    state.counters["sizeof_out"] = sizeof(wan::Outbound);
    state.counters["sizeof_in"] = sizeof(wan::Inbound);
    state.counters["sizeof_tunnel"] = sizeof(wan::Tunnel);
  }
}
BENCHMARK(idle_memory)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
