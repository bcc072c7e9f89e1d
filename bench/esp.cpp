// One packet, in memory. The raw AEAD (intel-ipsec-mb and OpenSSL, called directly) stands beside what ESP makes of it
// and beside the whole trips, so that every layer's cost is the difference of two numbers of one table:
//
//   raw_*          the AEAD alone over the octets of the inner packet, with 12 octets of associated data
//   sa_*           OutboundSa::seal and InboundSa::open: sequence number, replay window, trailer, limits, copy
//   trip_*         PacketPath: parse, route, selectors, MTU, TTL, ECN and the same seal or open
//   route_lookup   destinations drawn from N routes; route_last_hit: one flow
//
// Times of one row move with whatever else runs on the machine: compare rows of one run, medians of repetitions.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>
#ifdef QANAT_HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

#include "crypto/packet_cipher.hpp"
#include "esp/open.hpp"
#include "esp/seal.hpp"
#include "ipsec/selectors.hpp"
#include "wan/packet_path.hpp"
#include "wan/route_table.hpp"

namespace {

using namespace qanat;

constexpr CipherSuite kGcm256{EncrId::ENCR_AES_GCM_16, 256, IntegId::NONE};
constexpr std::size_t kBatch = 256;

// What one AEAD call needs; a nonce of its own for every message, as ESP has.
struct Message {
  explicit Message(std::size_t size) : text(size, 1), out(size) {}
  void next() { store_be64(&nonce[4], ++sequence); }
  Bytes key = Bytes(32, 7);
  Bytes text;
  Bytes out;
  std::uint64_t sequence = 0;
  std::array<std::uint8_t, 12> nonce{};
  std::array<std::uint8_t, 12> aad{};
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
