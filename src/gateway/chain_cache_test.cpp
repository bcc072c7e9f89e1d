#include "gateway/chain_cache.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/auth_service.hpp"
#include "pki/issue.hpp"

namespace qanat::gateway {
namespace {

using ::testing::HasSubstr;

constexpr WallTime kNow{1'790'000'000};
constexpr std::int64_t kDay = 86'400;
const wire::Identity kBerlin = wire::Identity::parse("fqdn:berlin.example.com").value();

WallTime after(std::int64_t days) {
  return {kNow.seconds + days * kDay};
}

class ChainCacheTest : public ::testing::Test {
 protected:
  ChainCacheTest() {
    tunnel.name = "berlin";
    tunnel.credentials.certificates = {leaf.certificate.der()};
    tunnel.credentials.private_key = std::make_shared<const SecretBytes>(leaf.key.to_pkcs8().value());
    tunnel.credentials.trust_anchors = {ca.certificate.der()};
    reload();
  }
  void reload() { credentials = AuthCredentials::of(tunnel).value(); }
  [[nodiscard]] ike::VerifyAnswer judge(WallTime now, const wire::Identity& who = kBerlin) {
    ike::SignQuestion sign;
    sign.octets = to_bytes("the signed octets");
    sign.digital_signature = true;
    sign.peer_hashes = {5, 2, 3, 4};
    const auto made = credentials->answer(sign);
    ike::VerifyQuestion q;
    q.peer_id = who;
    q.certificates = made.certificates;
    q.auth = made.auth;
    if (forge) q.auth.data.back() ^= 1;
    q.octets = sign.octets;
    q.digital_signature = true;
    return credentials->answer(q, now, chains);
  }

  static constexpr pki::KeyChoice kKey{crypto::KeyKind::EcP256, 2048};
  SeededRng rng{7};
  pki::Authority ca = [this] {
    auto made = pki::make_ca("Example CA", kKey, kNow, 3650, rng).value();
    return pki::Authority{made.certificate, made.key};
  }();
  pki::Issued leaf = pki::issue(ca, std::vector{kBerlin}, kKey, kNow, 365, rng).value();
  model::Tunnel tunnel;
  std::shared_ptr<const AuthCredentials> credentials;
  ChainCache chains;
  bool forge = false;
};

TEST_F(ChainCacheTest, a_chain_is_verified_once_and_the_signature_every_time) {
  const auto first = judge(kNow);
  ASSERT_TRUE(first.status.has_value()) << first.status.error().detail;
  EXPECT_EQ(chains.size(), 1U);
  const auto second = judge(after(1));
  ASSERT_TRUE(second.status.has_value());
  EXPECT_EQ(second.described, first.described);
  EXPECT_EQ(second.quantum_safe, first.quantum_safe);
  EXPECT_EQ(chains.size(), 1U);
  forge = true;
  EXPECT_THAT(judge(after(1)).status.error().detail, HasSubstr("does not verify"));
}

TEST_F(ChainCacheTest, what_it_knows_is_what_the_trust_store_found) {
  ASSERT_TRUE(judge(kNow).status.has_value());
  const auto trust = pki::TrustStore::create(tunnel.credentials.trust_anchors, {}).value();
  const std::vector<Bytes> presented{leaf.certificate.der()};
  const auto key = ChainCache::key_of(trust, presented, kBerlin, {});
  const pki::Verified* known = chains.find(key, kNow);
  ASSERT_NE(known, nullptr);
  EXPECT_EQ(known->until, leaf.certificate.not_after());
  EXPECT_EQ(known->described, trust.validate(presented, kBerlin, kNow).value().described);
}

TEST_F(ChainCacheTest, time_ends_it_and_a_clock_that_goes_back_does_too) {
  ASSERT_TRUE(judge(after(10)).status.has_value());
  EXPECT_THAT(judge(after(400)).status.error().detail, HasSubstr("expired"));
  EXPECT_EQ(chains.size(), 0U);
  ASSERT_TRUE(judge(after(10)).status.has_value());
  EXPECT_THAT(judge(after(-10)).status.error().detail, HasSubstr("valid only from"));
  EXPECT_EQ(chains.size(), 0U);
}

TEST_F(ChainCacheTest, a_revocation_list_is_heeded_at_once_and_ends_what_relies_on_it) {
  ASSERT_TRUE(judge(kNow).status.has_value());
  tunnel.credentials.crls = {pki::make_crl(ca, std::nullopt, {}, kNow, 30).value()};
  reload();
  ASSERT_TRUE(judge(kNow).status.has_value());
  EXPECT_EQ(chains.size(), 2U);
  EXPECT_THAT(judge(after(31)).status.error().detail, HasSubstr("revocation list"));
  tunnel.credentials.crls = {pki::make_crl(ca, std::nullopt, std::vector{leaf.certificate}, kNow, 30).value()};
  reload();
  EXPECT_THAT(judge(kNow).status.error().detail, HasSubstr("revoked"));
}

TEST_F(ChainCacheTest, other_anchors_identities_and_demands_find_nothing) {
  ASSERT_TRUE(judge(kNow).status.has_value());
  EXPECT_THAT(judge(kNow, wire::Identity::parse("fqdn:paris.example.com").value()).status.error().detail,
              HasSubstr("calls itself"));
  tunnel.pq_auth = model::PqAuthPolicy::Require;
  reload();
  EXPECT_THAT(judge(kNow).status.error().detail, HasSubstr("not quantum-safe"));
  tunnel.pq_auth = {};
  auto other = pki::make_ca("Other CA", kKey, kNow, 3650, rng).value();
  tunnel.credentials.trust_anchors = {other.certificate.der()};
  reload();
  EXPECT_THAT(judge(kNow).status.error().detail, HasSubstr("no way leads"));
  EXPECT_EQ(chains.size(), 1U) << "refusals are not kept";
}

TEST(ChainCache, is_bounded_and_forgets_the_longest_unused) {
  ChainCache cache{2};
  const auto key = [](std::uint8_t n) { return ChainCache::Key{n}; };
  pki::Verified verified;
  verified.until = after(1);
  cache.keep(key(1), kNow, verified);
  cache.keep(key(2), kNow, verified);
  EXPECT_NE(cache.find(key(1), kNow), nullptr);
  cache.keep(key(3), kNow, verified);
  EXPECT_EQ(cache.size(), 2U);
  EXPECT_NE(cache.find(key(1), kNow), nullptr);
  EXPECT_EQ(cache.find(key(2), kNow), nullptr);
  EXPECT_NE(cache.find(key(3), kNow), nullptr);
  ChainCache none{0};
  none.keep(key(1), kNow, verified);
  EXPECT_EQ(none.find(key(1), kNow), nullptr);
}

}  // namespace
}  // namespace qanat::gateway
