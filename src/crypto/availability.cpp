// self_test.hpp and availability.hpp. (A file self_test.cpp would be taken for a test program.)
#include "crypto/availability.hpp"

#include <algorithm>

#include <openssl/crypto.h>

#include "crypto/digest.hpp"
#include "crypto/prf.hpp"
#include "crypto/sk_cipher.hpp"
#include "crypto/unchecked.hpp"

namespace qanat::crypto {

namespace {

Bytes hex(const char* text) {
  auto octets = from_hex(text);
  ensure(octets.has_value(), "a known answer is hexadecimal");
  return *std::move(octets);
}

bool hashes_to(ByteView octets, const char* expected) {
  return equal(sha256({octets}), hex(expected));
}

bool passes(const KeKnownAnswer& known) {
  const Bytes initiator_random = hex(known.initiator_random);
  const Bytes responder_random = hex(known.responder_random);
  FixedRng initiator_rng{initiator_random};
  FixedRng responder_rng{responder_random};
  const auto initiator = create_key_exchange_unchecked(known.id, initiator_rng);
  if (!initiator || !hashes_to((*initiator)->public_value(), known.initiator_public_hash)) return false;
  const auto reply = respond_unchecked(known.id, (*initiator)->public_value(), responder_rng);
  if (!reply || !hashes_to(reply->public_value, known.responder_public_hash)) return false;
  const auto secret = (*initiator)->finish(reply->public_value);
  return secret && *secret == reply->secret && hashes_to(secret->expose(), known.secret_hash);
}

bool passes(const PrfKnownAnswer& known) {
  constexpr std::size_t kPlusSize = 200;
  const Bytes key = hex(known.key);
  const Bytes data = hex(known.data);
  return equal(prf(known.id, key, {data}).expose(), hex(known.output)) &&
         hashes_to(prf_plus(known.id, key, {data}, kPlusSize).expose(), known.plus_hash);
}

struct CipherOctets {
  Bytes key, associated, iv, plaintext, ciphertext, icv;
};

// Also that a changed ICV is refused: a cipher that accepts everything is worse than none.
bool passes_sk(const CipherSuite& suite, const CipherOctets& known) {
  const CipherSizes sizes = cipher_sizes(suite);
  auto cipher = SkCipher::create_unchecked(suite, ByteView{known.key}.first(sizes.encr_key),
                                           ByteView{known.key}.subspan(sizes.encr_key));
  if (!cipher) return false;
  Bytes text = known.plaintext;
  Bytes icv(sizes.icv);
  if (!cipher->seal(known.associated, known.iv, text, icv) || text != known.ciphertext || icv != known.icv)
    return false;
  if (!cipher->open(known.associated, known.iv, text, icv) || text != known.plaintext) return false;
  text = known.ciphertext;
  icv.back() ^= 1;
  return !cipher->open(known.associated, known.iv, text, icv).has_value();
}

bool passes_packet(const CipherSuite& suite, const CipherOctets& known, PacketBackend backend) {
  EspHeaderFields header{
      .spi = load_be32(known.associated.data()), .sequence = 0, .esn = known.associated.size() == 12};
  header.sequence = header.esn ? load_be64(known.associated.data() + 4) : load_be32(known.associated.data() + 4);
  auto cipher = create_packet_cipher_unchecked(suite, known.key, backend);
  if (!cipher) return false;
  Bytes text(known.plaintext.size());
  Bytes icv(cipher_sizes(suite).icv);
  (*cipher)->seal(header, known.iv, known.plaintext, text, icv);
  if (text != known.ciphertext || icv != known.icv) return false;
  if (!(*cipher)->open(header, known.iv, known.ciphertext, text, icv) || text != known.plaintext) return false;
  icv.back() ^= 1;
  return !(*cipher)->open(header, known.iv, known.ciphertext, text, icv);
}

bool passes(const CipherKnownAnswer& known) {
  const CipherOctets octets{.key = hex(known.key),
                            .associated = hex(known.associated),
                            .iv = hex(known.iv),
                            .plaintext = hex(known.plaintext),
                            .ciphertext = hex(known.ciphertext),
                            .icv = hex(known.icv)};
  // SK payloads have no ESN; with an AEAD its 12 octets are associated data like any other.
  const bool esp_only = !known.suite.is_aead() && octets.associated.size() == 12;
  if (!esp_only && !passes_sk(known.suite, octets)) return false;
  for (const PacketBackend backend : {PacketBackend::OpenSsl, PacketBackend::IpsecMb}) {
    if (backend_serves(backend, known.suite) && !passes_packet(known.suite, octets, backend)) return false;
  }
  return true;
}

bool passes(const SignatureKnownAnswer& known) {
  const auto key = PrivateKey::from_pkcs8(hex(known.private_key));
  if (!key) return false;
  Bytes message = hex(known.message);
  Bytes signature = hex(known.signature);
  if (signature.empty()) {
    const auto made = sign(*key, known.scheme, message, Signing::Repeatable);
    if (!made || !hashes_to(*made, known.signature_hash)) return false;
    signature = *made;
  }
  if (verify(key->public_key(), known.scheme, message, signature) != Verdict::Valid) return false;
  // Also what we sign ourselves, and that a change is seen: a verifier that accepts everything is worse than none.
  const auto ours = sign(*key, known.scheme, message);
  if (!ours || verify(key->public_key(), known.scheme, message, *ours) != Verdict::Valid) return false;
  message.back() ^= 1;
  if (verify(key->public_key(), known.scheme, message, signature) == Verdict::Valid) return false;
  message.back() ^= 1;
  signature.back() ^= 1;
  return verify(key->public_key(), known.scheme, message, signature) != Verdict::Valid;
}

// Runs a table whose rows for one algorithm stand together, and keeps the algorithms all of whose rows pass.
template <typename Row, typename Id, typename IdOf, typename Name>
void run(std::span<const Row> rows, std::vector<Id>& available, std::vector<SelfTestResult>& results, IdOf id_of,
         Name name) {
  for (std::size_t i = 0; i < rows.size();) {
    const Id id = id_of(rows[i]);
    bool all = true;
    for (; i < rows.size() && id_of(rows[i]) == id; ++i) all = passes(rows[i]) && all;
    if (all) available.push_back(id);
    results.push_back({.algorithm = name(id), .passed = all});
  }
}

// FIPS 180-4's "abc". SHA-1 and SHA-256 are not negotiated: the verdict is only shown.
void run_digests(std::vector<SelfTestResult>& results) {
  const Bytes abc = to_bytes("abc");
  results.push_back(
      {.algorithm = "digest sha1", .passed = equal(sha1({abc}), hex("a9993e364706816aba3e25717850c26c9cd0d89d"))});
  results.push_back({.algorithm = "digest sha256",
                     .passed = hashes_to(abc, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")});
}

}  // namespace

void FixedRng::fill(MutableByteView out) {
  ensure(out.size() <= octets_.size(), "a known answer has too little randomness");
  std::copy_n(octets_.begin(), out.size(), out.begin());
  octets_ = octets_.subspan(out.size());
}

Availability evaluate(std::span<const KeKnownAnswer> kes, std::span<const PrfKnownAnswer> prfs,
                      std::span<const CipherKnownAnswer> ciphers, std::span<const SignatureKnownAnswer> signatures) {
  Availability out;
  run_digests(out.results);
  run(
      prfs, out.prfs, out.results, [](const PrfKnownAnswer& k) { return k.id; },
      [](PrfId id) { return to_string(id); });
  run(
      ciphers, out.suites, out.results, [](const CipherKnownAnswer& k) { return k.suite; },
      [](const CipherSuite& s) { return to_string(s); });
  run(
      kes, out.key_exchanges, out.results, [](const KeKnownAnswer& k) { return k.id; },
      [](KeId id) { return to_string(id); });
  run(
      signatures, out.signatures, out.results, [](const SignatureKnownAnswer& k) { return k.scheme; },
      [](SignatureScheme scheme) { return to_string(scheme); });
  return out;
}

const Availability& availability() {
  static const Availability kVerdicts =
      evaluate(ke_known_answers(), prf_known_answers(), cipher_known_answers(), signature_known_answers());
  return kVerdicts;
}

const std::vector<SelfTestResult>& self_test_results() {
  return availability().results;
}

std::string library_version() {
  return std::string{"OpenSSL "} + OpenSSL_version(OPENSSL_VERSION_STRING);
}

}  // namespace qanat::crypto
