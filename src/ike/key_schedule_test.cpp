// The derivations, each computed a second time here from the RFCs' formulas with HMAC alone.
#include "ike/key_schedule.hpp"

#include <gtest/gtest.h>

#include "crypto/prf.hpp"

namespace qanat::ike {
namespace {

Bytes octets(std::size_t size, std::uint8_t first) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(first + i);
  return out;
}
Bytes join(std::initializer_list<Bytes> parts) {
  Bytes out;
  for (const Bytes& p : parts) append(out, p);
  return out;
}
Bytes hmac(PrfId id, const Bytes& key, const Bytes& text) {
  return to_bytes(crypto::prf(id, key, {text}).expose());
}
// T1 = prf(K, S | 1), Tn = prf(K, Tn-1 | S | n) (RFC 7296 2.13).
Bytes plus(PrfId id, const Bytes& key, const Bytes& seed, std::size_t size) {
  Bytes out;
  Bytes t;
  for (std::uint8_t n = 1; out.size() < size; ++n) {
    t = hmac(id, key, join({t, seed, Bytes{n}}));
    append(out, t);
  }
  out.resize(size);
  return out;
}

class KeySchedule : public ::testing::TestWithParam<std::pair<CipherSuite, PrfId>> {
 protected:
  KeyContext context() const {
    KeyContext c;
    c.suite = GetParam().first;
    c.prf = GetParam().second;
    c.nonce_i = octets(32, 0x10);
    c.nonce_r = octets(40, 0x80);
    c.spi_i = 0x0102030405060708;
    c.spi_r = 0x1112131415161718;
    return c;
  }
  const Bytes spis_ = {1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18};

  void expect_keys(const KeySet& keys, const Bytes& skeyseed) const {
    const KeyContext c = context();
    const auto sizes = crypto::cipher_sizes(c.suite);
    const std::size_t prf = crypto::prf_size(c.prf);
    const Bytes all =
        plus(c.prf, skeyseed, join({c.nonce_i, c.nonce_r, spis_}), 3 * prf + 2 * sizes.integ_key + 2 * sizes.encr_key);
    std::size_t at = 0;
    const auto next = [&](std::size_t size) {
      at += size;
      return Bytes{all.begin() + static_cast<std::ptrdiff_t>(at - size), all.begin() + static_cast<std::ptrdiff_t>(at)};
    };
    EXPECT_EQ(to_bytes(keys.sk_d.expose()), next(prf));
    EXPECT_EQ(to_bytes(keys.sk_ai.expose()), next(sizes.integ_key));
    EXPECT_EQ(to_bytes(keys.sk_ar.expose()), next(sizes.integ_key));
    EXPECT_EQ(to_bytes(keys.sk_ei.expose()), next(sizes.encr_key));
    EXPECT_EQ(to_bytes(keys.sk_er.expose()), next(sizes.encr_key));
    EXPECT_EQ(to_bytes(keys.sk_pi.expose()), next(prf));
    EXPECT_EQ(to_bytes(keys.sk_pr.expose()), next(prf));
    EXPECT_EQ(at, all.size());
  }
};

TEST_P(KeySchedule, InitialKeysAreThoseOfRfc7296) {
  const KeyContext c = context();
  const Bytes secret = octets(32, 0x33);
  const KeySet keys = derive_initial_keys(c, SecretBytes::copy_of(secret));
  expect_keys(keys, hmac(c.prf, join({c.nonce_i, c.nonce_r}), secret));
}

// RFC 9370 2.2.2: SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr); nonces and SPIs stay those of IKE_SA_INIT.
TEST_P(KeySchedule, KeysAfterARoundAreThoseOfRfc9370) {
  const KeyContext c = context();
  const Bytes sk_d = octets(crypto::prf_size(c.prf), 0x55);
  const Bytes secret = octets(32, 0x77);
  const KeySet keys = derive_next_keys(c, SecretBytes::copy_of(sk_d), SecretBytes::copy_of(secret));
  expect_keys(keys, hmac(c.prf, sk_d, join({secret, c.nonce_i, c.nonce_r})));
}

TEST_P(KeySchedule, ChildKeysAreTheInitiatorsThenTheResponders) {
  const KeyContext c = context();
  const Bytes sk_d = octets(crypto::prf_size(c.prf), 0x21);
  const auto sizes = crypto::cipher_sizes(c.suite);
  const std::size_t one = sizes.encr_key + sizes.integ_key;
  const ChildKeys keys = derive_first_child_keys(c, SecretBytes::copy_of(sk_d), c.suite);
  const Bytes all = plus(c.prf, sk_d, join({c.nonce_i, c.nonce_r}), 2 * one);
  EXPECT_EQ(to_bytes(keys.initiator.expose()), Bytes(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(one)));
  EXPECT_EQ(to_bytes(keys.responder.expose()), Bytes(all.begin() + static_cast<std::ptrdiff_t>(one), all.end()));
}

INSTANTIATE_TEST_SUITE_P(
    Suites, KeySchedule,
    ::testing::Values(
        std::pair{CipherSuite{EncrId::ENCR_AES_GCM_16, 256, IntegId::NONE}, PrfId::PRF_HMAC_SHA2_384},
        std::pair{CipherSuite{EncrId::ENCR_AES_GCM_16, 128, IntegId::NONE}, PrfId::PRF_HMAC_SHA2_256},
        std::pair{CipherSuite{EncrId::ENCR_CHACHA20_POLY1305, 256, IntegId::NONE}, PrfId::PRF_HMAC_SHA2_512},
        std::pair{CipherSuite{EncrId::ENCR_AES_CBC, 256, IntegId::AUTH_HMAC_SHA2_256_128}, PrfId::PRF_HMAC_SHA2_256},
        std::pair{CipherSuite{EncrId::ENCR_AES_CBC, 128, IntegId::AUTH_HMAC_SHA2_512_256}, PrfId::PRF_HMAC_SHA2_512}));

// RFC 9242 3.3.2: IntAuth_1 = prf(SK_p1, A | P), IntAuth_N = prf(SK_pN, IntAuth_(N-1) | A | P).
TEST(IntAuthChain, EachLinkCoversTheOneBefore) {
  const PrfId prf = PrfId::PRF_HMAC_SHA2_256;
  IntAuth chain;
  EXPECT_TRUE(chain.empty());
  const Bytes p1 = octets(32, 1);
  const Bytes p2 = octets(32, 2);
  chain.add(prf, SecretBytes::copy_of(p1), Bytes{1, 2}, Bytes{3});
  const Bytes first = hmac(prf, p1, {1, 2, 3});
  EXPECT_EQ(to_bytes(chain.value()), first);
  chain.add(prf, SecretBytes::copy_of(p2), Bytes{4}, Bytes{});
  EXPECT_EQ(to_bytes(chain.value()), hmac(prf, p2, join({first, {4}})));
}

TEST(SignedOctets, AreThoseOfRfc7296AndEndWithIntAuthOnlyWhenThereIsOne) {
  const PrfId prf = PrfId::PRF_HMAC_SHA2_384;
  const Bytes message = octets(100, 5);
  const Bytes nonce = octets(32, 9);
  const Bytes id{2, 0, 0, 0, 'a'};
  const SecretBytes sk_p = SecretBytes::copy_of(octets(48, 7));
  IntAuth i;
  IntAuth r;
  SignedOctetsInput in;
  in.prf = prf;
  in.init_message = message;
  in.peer_nonce = nonce;
  in.sk_p = &sk_p;
  in.id_body = id;
  in.int_auth_i = &i;
  in.int_auth_r = &r;
  in.auth_message_id = 0x01020304;
  const Bytes plain = join({message, nonce, hmac(prf, octets(48, 7), id)});
  EXPECT_EQ(signed_octets(in), plain);
  i.add(prf, sk_p, Bytes{1}, Bytes{});
  r.add(prf, sk_p, Bytes{2}, Bytes{});
  EXPECT_EQ(signed_octets(in), join({plain, to_bytes(i.value()), to_bytes(r.value()), {1, 2, 3, 4}}));
}

// draft-ietf-ipsecme-ikev2-downgrade-prevention: zeros, what the signer received, what it sent; the rest as ever.
TEST(SignedOctets, BeginWithBothMessagesWhenTheFullTranscriptWasNegotiated) {
  const Bytes mine = octets(40, 1);
  const Bytes theirs = octets(50, 2);
  const SecretBytes sk_p = SecretBytes::copy_of(octets(32, 7));
  const IntAuth none;
  SignedOctetsInput in;
  in.prf = PrfId::PRF_HMAC_SHA2_256;
  in.init_message = mine;
  in.peer_nonce = mine;
  in.sk_p = &sk_p;
  in.id_body = theirs;
  in.int_auth_i = &none;
  in.int_auth_r = &none;
  const Bytes plain = signed_octets(in);
  in.peer_init_message = theirs;
  EXPECT_EQ(signed_octets(in), join({Bytes(8), theirs, plain}));
}

// RFC 8784 3: SK_d = prf+(PPK, SK_d'), the same for SK_pi and SK_pr; for our PRFs one iteration: prf(PPK, SK' | 0x01).
TEST(PostQuantumKey, IsMixedIntoThreeKeysAndNoMore) {
  const PrfId prf = PrfId::PRF_HMAC_SHA2_384;
  const Bytes ppk = octets(40, 3);
  KeySet keys;
  keys.sk_d = SecretBytes::copy_of(octets(48, 1));
  keys.sk_pi = SecretBytes::copy_of(octets(48, 2));
  keys.sk_pr = SecretBytes::copy_of(octets(48, 3));
  keys.sk_ei = SecretBytes::copy_of(octets(36, 4));
  const KeysWithoutPpk before = apply_ppk(prf, ppk, keys);
  EXPECT_EQ(to_bytes(before.sk_d.expose()), octets(48, 1));
  EXPECT_EQ(to_bytes(before.sk_pi.expose()), octets(48, 2));
  EXPECT_EQ(to_bytes(before.sk_pr.expose()), octets(48, 3));
  EXPECT_EQ(to_bytes(keys.sk_d.expose()), hmac(prf, ppk, join({octets(48, 1), {1}})));
  EXPECT_EQ(to_bytes(keys.sk_pi.expose()), hmac(prf, ppk, join({octets(48, 2), {1}})));
  EXPECT_EQ(to_bytes(keys.sk_pr.expose()), hmac(prf, ppk, join({octets(48, 3), {1}})));
  EXPECT_EQ(to_bytes(keys.sk_ei.expose()), octets(36, 4));
}

TEST(PskAuth, UsesTheKeyPad) {
  const PrfId prf = PrfId::PRF_HMAC_SHA2_256;
  const Bytes psk = to_bytes("secret");
  EXPECT_EQ(to_bytes(psk_auth(prf, psk, Bytes{1, 2, 3}).expose()),
            hmac(prf, hmac(prf, psk, to_bytes("Key Pad for IKEv2")), {1, 2, 3}));
}

}  // namespace
}  // namespace qanat::ike
