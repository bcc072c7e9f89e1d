#include "ike/negotiation.hpp"

#include <gtest/gtest.h>

#include "crypto/prf.hpp"
#include "ike/task_queue.hpp"

namespace qanat::ike {
namespace {

SecretBytes secret(std::uint8_t value) {
  return SecretBytes::adopt(Bytes(3, value));
}

TEST(KeRounds, TheNoncesStandBehindTheFirstSecret) {
  KeRounds rounds;
  rounds.begin(KeId::CURVE25519, {KeId::ML_KEM_768, KeId::ECP_384});
  EXPECT_EQ(rounds.next(), KeId::CURVE25519);
  rounds.add(secret(1));
  EXPECT_EQ(rounds.next(), KeId::ML_KEM_768);
  rounds.add(secret(2));
  EXPECT_FALSE(rounds.complete());
  rounds.add(secret(3));
  EXPECT_TRUE(rounds.complete());
  EXPECT_TRUE(rounds.has_ml_kem());
  const SecretBytes seed = rounds.seed(Bytes{0xa, 0xb}, Bytes{0xc});
  EXPECT_EQ(to_bytes(seed.expose()), (Bytes{1, 1, 1, 0xa, 0xb, 0xc, 2, 2, 2, 3, 3, 3}));
}

TEST(KeRounds, WithoutKeyExchangeTheSeedIsTheNonces) {
  for (const std::optional<KeId> none : {std::optional<KeId>{}, std::optional{KeId::NONE}}) {
    KeRounds rounds;
    rounds.begin(none, {});
    EXPECT_TRUE(rounds.complete());
    EXPECT_FALSE(rounds.has_ml_kem());
    EXPECT_EQ(to_bytes(rounds.seed(Bytes{1}, Bytes{2}).expose()), (Bytes{1, 2}));
  }
}

TEST(LowerNonce, ComparesOctetsAndABeginningIsLower) {
  const Bytes a{1, 2, 3};
  const Bytes b{1, 2};
  const Bytes c{0, 9, 9, 9};
  EXPECT_EQ(&lower_nonce(a, b), &b);
  EXPECT_EQ(&lower_nonce(b, a), &b);
  EXPECT_EQ(&lower_nonce(a, c), &c);
  EXPECT_EQ(&lower_nonce(c, b), &c);
}

// RFC 7296 2.17, 2.18: written out, not by the functions under test.
TEST(RekeyedKeys, FollowTheRfc) {
  const SecretBytes sk_d = SecretBytes::adopt(Bytes(48, 0x11));
  const SecretBytes seed = SecretBytes::adopt(Bytes{1, 2, 3, 4});
  const CipherSuite suite{EncrId::ENCR_AES_GCM_16, 256, IntegId::NONE};
  const ChildKeys child = derive_child_keys(PrfId::PRF_HMAC_SHA2_384, sk_d, seed, suite);
  const SecretBytes keymat = crypto::prf_plus(PrfId::PRF_HMAC_SHA2_384, sk_d.expose(), {seed.expose()}, 72);
  EXPECT_EQ(to_bytes(child.initiator.expose()), to_bytes(keymat.expose().first(36)));
  EXPECT_EQ(to_bytes(child.responder.expose()), to_bytes(keymat.expose().subspan(36)));

  KeyContext fresh;
  fresh.suite = suite;
  fresh.prf = PrfId::PRF_HMAC_SHA2_256;  // another one than the old SA's
  fresh.nonce_i = Bytes(32, 5);
  fresh.nonce_r = Bytes(32, 6);
  fresh.spi_i = 0x0102030405060708;
  fresh.spi_r = 0x1112131415161718;
  const KeySet keys = derive_rekeyed_keys(PrfId::PRF_HMAC_SHA2_384, sk_d, seed, fresh);
  const SecretBytes skeyseed = crypto::prf(PrfId::PRF_HMAC_SHA2_384, sk_d.expose(), {seed.expose()});
  const Bytes spis{1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18};
  const SecretBytes all =
      crypto::prf_plus(PrfId::PRF_HMAC_SHA2_256, skeyseed.expose(), {fresh.nonce_i, fresh.nonce_r, spis}, 32);
  EXPECT_EQ(to_bytes(keys.sk_d.expose()), to_bytes(all.expose()));
}

TunnelConfig tunnel() {
  TunnelConfig t;
  t.ike = ipsec::default_hybrid_proposals();
  t.esp = ipsec::default_esp_proposals();
  return t;
}

TEST(EspWithPfs, RepeatsTheIkeSasExchangesThenLess) {
  ipsec::ChosenIke ike;
  ike.ke = KeId::CURVE25519;
  ike.addke[0] = KeId::ML_KEM_768;
  ike.addke[1] = KeId::NONE;
  TunnelConfig t = tunnel();
  const auto full = esp_with_pfs(t, ike, {});
  ASSERT_EQ(full.size(), t.esp.size());
  EXPECT_EQ(full[0].ke, std::vector{KeId::CURVE25519});
  EXPECT_EQ(full[0].addke[0], std::vector{KeId::ML_KEM_768});
  EXPECT_TRUE(full[0].addke[1].empty());
  EXPECT_EQ(first_ke(full), KeId::CURVE25519);
  const auto classical = esp_with_pfs(t, ike, {Pfs::Classical, std::nullopt});
  EXPECT_EQ(classical[0].ke, std::vector{KeId::CURVE25519});
  EXPECT_TRUE(classical[0].addke[0].empty());
  EXPECT_EQ(first_ke(esp_with_pfs(t, ike, {Pfs::None, std::nullopt})), std::nullopt);
  EXPECT_EQ(first_ke(esp_with_pfs(t, ike, {Pfs::Full, KeId::ECP_384})), KeId::ECP_384);
  t.pfs = false;
  EXPECT_EQ(first_ke(esp_with_pfs(t, ike, {})), std::nullopt);
}

TEST(EspWithPfs, WhatTheProposalsNameGoesFirst) {
  TunnelConfig t = tunnel();
  t.esp = {*ipsec::parse_esp_proposal("aes256gcm16-ecp384-ke1_mlkem1024")};
  ipsec::ChosenIke ike;
  ike.ke = KeId::CURVE25519;
  const auto offer = esp_with_pfs(t, ike, {});
  EXPECT_EQ(first_ke(offer), KeId::ECP_384);
  EXPECT_EQ(offer[0].addke[0], std::vector{KeId::ML_KEM_1024});
}

TEST(ChildChoice, TakesAnyListedExchangeOrNone) {
  const TunnelConfig t = tunnel();
  const auto choose = [&](const char* text, std::optional<KeId> sent) {
    return ipsec::choose_esp(
        ipsec::offer_esp({*ipsec::parse_esp_proposal(text)}, 0x1234, {EsnId::ESN}, ipsec::KeyExchanges::Offered), t.esp,
        {EsnId::ESN}, child_choice_rules(t, sent));
  };
  const auto hybrid = choose("aes256gcm16-x25519-ke1_mlkem768", KeId::CURVE25519);
  ASSERT_TRUE(hybrid.has_value());
  EXPECT_EQ(hybrid->key_exchanges(), (std::vector{KeId::CURVE25519, KeId::ML_KEM_768}));
  EXPECT_TRUE(choose("aes256gcm16", std::nullopt)->key_exchanges().empty());
  ipsec::EspProposal pure = *ipsec::parse_esp_proposal("aes256gcm16");
  pure.ke = {KeId::ML_KEM_768};
  const auto alone = ipsec::choose_esp(ipsec::offer_esp({pure}, 0x1234, {EsnId::ESN}, ipsec::KeyExchanges::Offered),
                                       t.esp, {EsnId::ESN}, child_choice_rules(t, KeId::ML_KEM_768));
  ASSERT_TRUE(alone.has_value());
  EXPECT_EQ(alone->key_exchanges(), std::vector{KeId::ML_KEM_768});
  // No algorithm twice (RFC 9370 2.2.2).
  EXPECT_EQ(choose("aes256gcm16-x25519-ke1_mlkem768-ke2_mlkem768-ke2_mlkem512", KeId::CURVE25519)->key_exchanges(),
            (std::vector{KeId::CURVE25519, KeId::ML_KEM_768, KeId::ML_KEM_512}));
  EXPECT_FALSE(choose("aes256gcm16-x25519-ke1_mlkem768-ke2_mlkem768", KeId::CURVE25519).has_value());
  EXPECT_FALSE(choose("aes256gcm16-modp4096", KeId::MODP_4096).has_value());  // named by no proposal of the tunnel
}

TEST(IkeSpis, AreOfEightOctets) {
  const wire::SaPayload bare = ipsec::offer_ike({*ipsec::parse_ike_proposal("aes256gcm16-prfsha384-x25519")});
  const wire::SaPayload with = with_ike_spi(bare, 0x0102030405060708);
  EXPECT_EQ(ike_spi_of(with, 1), 0x0102030405060708U);
  EXPECT_EQ(ike_spi_of(with, 2), std::nullopt);
  EXPECT_EQ(ike_spi_of(bare, 1), std::nullopt);
  EXPECT_EQ(ike_spi_of(with_ike_spi(bare, 0), 1), std::nullopt);
  EXPECT_EQ(without_spis(with), bare);
}

TEST(TaskQueue, DeletesGoFirstAndNothingBeforeItsTime) {
  TaskQueue queue;
  const Instant now = Instant::from_ns(0) + 100s;
  queue.enqueue(task::RekeyIke{}, now);
  queue.enqueue(task::Liveness{}, now + 5s);
  queue.enqueue(task::DeleteChild{ChildSaId{1}}, now);
  queue.enqueue(task::DeleteChild{ChildSaId{1}}, now);
  EXPECT_TRUE(std::holds_alternative<task::DeleteChild>(queue.take(now)->task));
  EXPECT_TRUE(std::holds_alternative<task::RekeyIke>(queue.take(now)->task));
  EXPECT_FALSE(queue.take(now).has_value());
  EXPECT_EQ(queue.next_due(), now + 5s);
  queue.enqueue(task::Liveness{}, now + 1s);
  EXPECT_EQ(queue.next_due(), now + 1s);
  EXPECT_TRUE(queue.remove(task::Liveness{}));
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace qanat::ike
