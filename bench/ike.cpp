// A handshake as the responder pays for it, in memory, beside the bare OpenSSL operations that it cannot do without:
// the difference is ours. The same for the initiator; prf+, SK payloads; two shards on two threads.
#include <array>
#include <functional>
#include <thread>

#include <benchmark/benchmark.h>
#include <openssl/evp.h>

#include "crypto/key_exchange.hpp"
#include "crypto/prf.hpp"
#include "ike/sk_codec.hpp"
#include "ike_pair.hpp"

namespace {

using namespace qanat;
using bench::Pair;
using bench::Proof;

constexpr const char* kHybrid = "aes256gcm16-prfsha384-x25519-ke1_mlkem768";
constexpr std::size_t kTunnels = 500;  // of one pair; then a new pair is made, which is not timed

// ---- bare operations: OpenSSL's, with contexts made as its manual has it ----------------------------------------

using Pkey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using PkeyCtx = std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)>;
using MdCtx = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

Pkey make_key(const char* type) {
  return {std::string_view{type} == "P-256" ? EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", type)
                                            : EVP_PKEY_Q_keygen(nullptr, nullptr, type),
          EVP_PKEY_free};
}
Bytes public_of(const Pkey& key) {
  Bytes out(2048);
  std::size_t size = out.size();
  EVP_PKEY_get_raw_public_key(key.get(), out.data(), &size);
  out.resize(size);
  return out;
}

struct Bare {
  Pkey x25519 = make_key("X25519");
  Bytes x25519_peer = public_of(make_key("X25519"));
  Pkey mlkem = make_key("ML-KEM-768");
  Bytes mlkem_public = public_of(mlkem);
  Bytes ciphertext = Bytes(1088);
  std::array<std::uint8_t, 32> secret{};

  void keygen(const char* type) { benchmark::DoNotOptimize(make_key(type)); }
  void x25519_derive() {
    const Pkey peer{EVP_PKEY_new_raw_public_key_ex(nullptr, "X25519", nullptr, x25519_peer.data(), x25519_peer.size()),
                    EVP_PKEY_free};
    const PkeyCtx context{EVP_PKEY_CTX_new_from_pkey(nullptr, x25519.get(), nullptr), EVP_PKEY_CTX_free};
    EVP_PKEY_derive_init(context.get());
    EVP_PKEY_derive_set_peer_ex(context.get(), peer.get(), 0);
    std::size_t size = secret.size();
    EVP_PKEY_derive(context.get(), secret.data(), &size);
  }
  void mlkem_encaps() {
    const Pkey peer{
        EVP_PKEY_new_raw_public_key_ex(nullptr, "ML-KEM-768", nullptr, mlkem_public.data(), mlkem_public.size()),
        EVP_PKEY_free};
    const PkeyCtx context{EVP_PKEY_CTX_new_from_pkey(nullptr, peer.get(), nullptr), EVP_PKEY_CTX_free};
    EVP_PKEY_encapsulate_init(context.get(), nullptr);
    std::size_t size = ciphertext.size();
    std::size_t secret_size = secret.size();
    EVP_PKEY_encapsulate(context.get(), ciphertext.data(), &size, secret.data(), &secret_size);
  }
  void mlkem_decaps() {
    const PkeyCtx context{EVP_PKEY_CTX_new_from_pkey(nullptr, mlkem.get(), nullptr), EVP_PKEY_CTX_free};
    EVP_PKEY_decapsulate_init(context.get(), nullptr);
    std::size_t size = secret.size();
    EVP_PKEY_decapsulate(context.get(), secret.data(), &size, ciphertext.data(), ciphertext.size());
  }
};

struct BareSigner {
  explicit BareSigner(Proof proof)
      : key(make_key(proof == Proof::MlDsa65 ? "ML-DSA-65" : "P-256")),
        digest(proof == Proof::MlDsa65 ? nullptr : "SHA256") {
    sign();
  }
  Pkey key;
  const char* digest;
  Bytes message = Bytes(600, 7);
  Bytes signature;

  void sign() {
    const MdCtx context{EVP_MD_CTX_new(), EVP_MD_CTX_free};
    EVP_DigestSignInit_ex(context.get(), nullptr, digest, nullptr, nullptr, key.get(), nullptr);
    signature.resize(4096);
    std::size_t size = signature.size();
    EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size());
    signature.resize(size);
  }
  void verify() {
    const MdCtx context{EVP_MD_CTX_new(), EVP_MD_CTX_free};
    EVP_DigestVerifyInit_ex(context.get(), nullptr, digest, nullptr, nullptr, key.get(), nullptr);
    const int good =
        EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size());
    benchmark::DoNotOptimize(good);
  }
};

// What one handshake cannot do without. A peer's chain that was verified before is not verified again.
struct Sums {
  Bare ke;
  BareSigner ecdsa{Proof::EcdsaP256};
  BareSigner mldsa{Proof::MlDsa65};

  void of(Proof proof, bool initiator) {
    ke.keygen("X25519");
    ke.x25519_derive();
    if (initiator) {
      ke.keygen("ML-KEM-768");
      ke.mlkem_decaps();
    } else {
      ke.mlkem_encaps();
    }
    if (proof == Proof::Psk) return;
    BareSigner& signer = proof == Proof::EcdsaP256 ? ecdsa : mldsa;
    signer.sign();
    signer.verify();
  }
};
Sums& sums() {
  static Sums all;
  return all;
}

void bare(benchmark::State& state, const std::function<void()>& operation) {
  for (auto _ : state) operation();
}

void register_bare() {
  static Bare& ke = sums().ke;
  static BareSigner& ecdsa = sums().ecdsa;
  static BareSigner& mldsa = sums().mldsa;
  ke.mlkem_encaps();
  const auto add = [](const char* name, std::function<void()> operation) {
    benchmark::RegisterBenchmark((std::string{"bare/"} + name).c_str(), bare, std::move(operation))
        ->Unit(benchmark::kMicrosecond);
  };
  add("x25519_keygen", [] { ke.keygen("X25519"); });
  add("x25519_derive", [] { ke.x25519_derive(); });
  add("mlkem768_keygen", [] { ke.keygen("ML-KEM-768"); });
  add("mlkem768_encaps", [] { ke.mlkem_encaps(); });
  add("mlkem768_decaps", [] { ke.mlkem_decaps(); });
  add("ecdsa_p256_sign", [] { ecdsa.sign(); });
  add("ecdsa_p256_verify", [] { ecdsa.verify(); });
  add("mldsa65_sign", [] { mldsa.sign(); });
  add("mldsa65_verify", [] { mldsa.verify(); });
  add("sum/psk/responder", [] { sums().of(Proof::Psk, false); });
  add("sum/psk/initiator", [] { sums().of(Proof::Psk, true); });
  add("sum/ecdsa/responder", [] { sums().of(Proof::EcdsaP256, false); });
  add("sum/mldsa65/responder", [] { sums().of(Proof::MlDsa65, false); });
}

// ---- whole handshakes ------------------------------------------------------------------------------------------

// The bare operations of one handshake are done in turn with it: `of_bare` is the share of the rate that they alone
// would allow, and does not depend on what else the machine does.
enum class Who : std::uint8_t { Initiator, Responder };
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
    sums().of(proof, who == Who::Initiator);
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
