// A handshake as the responder pays for it, in memory, beside the bare OpenSSL operations that it cannot do without:
// the difference is ours. The same for the initiator; prf+, SK payloads; two shards on two threads.
#include <functional>
#include <thread>

#include <benchmark/benchmark.h>

#include "bare_openssl.hpp"
#include "crypto/key_exchange.hpp"
#include "crypto/prf.hpp"
#include "ike/sk_codec.hpp"
#include "ike_pair.hpp"

namespace {

using namespace qanat;
using bench::Pair;
using bench::Proof;
using bench::Who;

constexpr const char* kHybrid = "aes256gcm16-prfsha384-x25519-ke1_mlkem768";
constexpr std::size_t kTunnels = 500;  // of one pair; then a new pair is made, which is not timed

void bare(benchmark::State& state, const std::function<void()>& operation) {
  for (auto _ : state) operation();
}

void register_bare() {
  for (const bench::BareOperation& operation : bench::bare_operations()) {
    benchmark::RegisterBenchmark(("bare/" + operation.name).c_str(), bare, operation.run)
        ->Unit(benchmark::kMicrosecond);
  }
}

// ---- whole handshakes ------------------------------------------------------------------------------------------

// The bare operations of one handshake are done in turn with it: `of_bare` is the share of the rate that they alone
// would allow, and does not depend on what else the machine does.
void handshake(benchmark::State& state, Proof proof, const char* proposal, Who who) {
  std::unique_ptr<Pair> pair;
  double ours = 0;
  double bare_seconds = 0;
  for (auto _ : state) {
    if (!pair || pair->exhausted()) {
      pair = std::make_unique<Pair>(proof, proposal, kTunnels);
      if (!pair->handshake()) return state.SkipWithError("did not come up");
    }
    const auto spent = [&] { return who == Who::Responder ? pair->responder_seconds() : pair->initiator_seconds(); };
    const double before = spent();
    if (!pair->handshake()) return state.SkipWithError("did not come up");
    state.SetIterationTime(spent() - before);
    ours += spent() - before;
    if (proposal != kHybrid) continue;  // the sums are of that one
    const double begun = bench::cpu_seconds();
    bench::bare_sum(proof, who);
    bare_seconds += bench::cpu_seconds() - begun;
  }
  if (proposal != kHybrid) return;
  state.counters["bare_us"] = bare_seconds * 1e6 / static_cast<double>(state.iterations());
  state.counters["of_bare"] = bare_seconds / ours;
}
#define QANAT_HANDSHAKE(name, ...) \
  BENCHMARK_CAPTURE(handshake, name, __VA_ARGS__)->UseManualTime()->Unit(benchmark::kMicrosecond)
QANAT_HANDSHAKE(psk / responder, Proof::Psk, kHybrid, Who::Responder);
QANAT_HANDSHAKE(psk / initiator, Proof::Psk, kHybrid, Who::Initiator);
QANAT_HANDSHAKE(psk / classical / responder, Proof::Psk, "aes256gcm16-prfsha384-x25519", Who::Responder);
QANAT_HANDSHAKE(psk / cnsa / responder, Proof::Psk, "aes256gcm16-prfsha384-ecp384-ke1_mlkem1024", Who::Responder);
QANAT_HANDSHAKE(ecdsa / responder, Proof::EcdsaP256, kHybrid, Who::Responder);
QANAT_HANDSHAKE(ecdsa / initiator, Proof::EcdsaP256, kHybrid, Who::Initiator);
QANAT_HANDSHAKE(mldsa65 / responder, Proof::MlDsa65, kHybrid, Who::Responder);
QANAT_HANDSHAKE(mldsa65 / initiator, Proof::MlDsa65, kHybrid, Who::Initiator);

// Complete pairs (both ends' work) by one or two shards, each on a thread of its own and with endpoints of its own, as
// a gateway has them. Wall time; items are handshakes.
void shards(benchmark::State& state) {
  constexpr std::size_t kEach = 400;
  const auto threads = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<std::unique_ptr<Pair>> pairs;
    for (std::size_t i = 0; i < threads; ++i)
      pairs.push_back(std::make_unique<Pair>(Proof::Psk, kHybrid, kEach, static_cast<std::uint32_t>(i)));
    state.ResumeTiming();
    std::vector<std::thread> running;
    for (auto& pair : pairs) {
      running.emplace_back([&pair] {
        while (!pair->exhausted() && pair->handshake()) {
        }
      });
    }
    for (std::thread& t : running) t.join();
    for (const auto& pair : pairs) {
      if (pair->left->established != kEach) state.SkipWithError("did not come up");
    }
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(threads * kEach) * state.iterations());
}
BENCHMARK(shards)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

// ---- its parts -------------------------------------------------------------------------------------------------

void key_exchange(benchmark::State& state, KeId id) {
  crypto::SystemRng rng;
  for (auto _ : state) {
    auto ours = crypto::KeyExchange::create(id, rng);
    auto reply = crypto::respond(id, (*ours)->public_value(), rng);
    auto secret = (*ours)->finish(reply->public_value);
    benchmark::DoNotOptimize(secret);
  }
}
BENCHMARK_CAPTURE(key_exchange, x25519, KeId::CURVE25519)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(key_exchange, ecp384, KeId::ECP_384)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(key_exchange, mlkem768, KeId::ML_KEM_768)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(key_exchange, mlkem1024, KeId::ML_KEM_1024)->Unit(benchmark::kMicrosecond);

void prf_plus(benchmark::State& state) {
  const SecretBytes key{48};
  const Bytes nonces(64, 3);
  for (auto _ : state)
    benchmark::DoNotOptimize(crypto::prf_plus(PrfId::PRF_HMAC_SHA2_384, key.expose(), {nonces}, 3 * 48 + 2 * 36));
}
BENCHMARK(prf_plus);

constexpr CipherSuite kGcm{.encr = EncrId::ENCR_AES_GCM_16, .key_bits = 256, .integ = IntegId::NONE};

// An empty INFORMATIONAL sealed and opened, with ciphers that are keyed already.
void sk_seal_open(benchmark::State& state) {
  const SecretBytes key{36};
  ike::SkSealer sealer{*crypto::SkCipher::create(kGcm, key.expose(), {}), kGcm};
  crypto::SkCipher opener = *crypto::SkCipher::create(kGcm, key.expose(), {});
  crypto::SystemRng rng;
  wire::IkeHeader header;
  header.exchange = wire::ExchangeType::INFORMATIONAL;
  for (auto _ : state) {
    const auto sealed = sealer.seal(header, {}, 0, rng);
    const auto message = wire::parse_message(sealed->datagrams.front());
    benchmark::DoNotOptimize(ike::open_encrypted(opener, sealed->datagrams.front(), *message->encrypted));
  }
}
BENCHMARK(sk_seal_open);

void sk_key(benchmark::State& state) {
  const SecretBytes key{36};
  for (auto _ : state) benchmark::DoNotOptimize(crypto::SkCipher::create(kGcm, key.expose(), {}));
}
BENCHMARK(sk_key);

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  register_bare();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
