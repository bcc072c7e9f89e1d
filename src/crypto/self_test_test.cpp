#include "crypto/self_test.hpp"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "crypto/availability.hpp"
#include "crypto/cipher_sizes.hpp"
#include "crypto/key_exchange.hpp"
#include "crypto/prf.hpp"

namespace qanat::crypto {
namespace {

TEST(SelfTest, every_algorithm_passes_here) {
  for (const SelfTestResult& result : self_test_results()) EXPECT_TRUE(result.passed) << result.algorithm;
  const auto names = [](const char* name) {
    return std::any_of(self_test_results().begin(), self_test_results().end(),
                       [&](const SelfTestResult& r) { return r.algorithm == name; });
  };
  for (const char* name :
       {"x25519", "ecp521", "modp4096", "mlkem512", "mlkem768", "mlkem1024", "prfsha256", "prfsha512", "aes256gcm16",
        "chacha20poly1305", "aes128-sha256", "aes192-sha384", "aes256-sha512", "ML-DSA-65", "ECDSA with SHA-384"}) {
    EXPECT_TRUE(names(name)) << name;
  }
  EXPECT_EQ(self_test_results().size(), 2U + 3U + 13U + 10U + kSignatureSchemes);
}

TEST(SelfTest, is_run_once) {
  EXPECT_EQ(&self_test_results(), &self_test_results());
}

TEST(SelfTest, names_the_library) {
  EXPECT_TRUE(library_version().starts_with("OpenSSL 3.")) << library_version();
}

// One changed digit of an expected answer must make that algorithm, and no other, unavailable.
std::string changed(const char* hex) {
  std::string out{hex};
  out.front() = out.front() == '0' ? '1' : '0';
  return out;
}

TEST(SelfTest, a_failing_key_exchange_is_not_available) {
  for (std::size_t broken = 0; broken < ke_known_answers().size(); ++broken) {
    if (ke_known_answers()[broken].id == KeId::MODP_4096) continue;  // slow, and the same code as MODP-2048
    KeKnownAnswer row = ke_known_answers()[broken];
    const std::string wrong = changed(row.secret_hash);
    row.secret_hash = wrong.c_str();
    EXPECT_TRUE(evaluate({&row, 1}, {}, {}).key_exchanges.empty()) << to_string(row.id);
  }
}

TEST(SelfTest, a_failing_prf_is_not_available) {
  std::vector<PrfKnownAnswer> rows{prf_known_answers().begin(), prf_known_answers().end()};
  const std::string wrong = changed(rows[1].plus_hash);
  rows[1].plus_hash = wrong.c_str();
  const Availability verdicts = evaluate({}, rows, {});
  EXPECT_EQ(verdicts.prfs, (std::vector{PrfId::PRF_HMAC_SHA2_256, PrfId::PRF_HMAC_SHA2_512}));
  EXPECT_EQ(std::count_if(verdicts.results.begin(), verdicts.results.end(),
                          [](const SelfTestResult& r) { return !r.passed; }),
            1);
}

TEST(SelfTest, a_failing_cipher_is_not_available_even_if_another_of_its_answers_is_met) {
  for (std::size_t broken = 0; broken < cipher_known_answers().size(); ++broken) {
    std::vector<CipherKnownAnswer> rows{cipher_known_answers().begin(), cipher_known_answers().end()};
    const std::string wrong = changed(rows[broken].icv);
    rows[broken].icv = wrong.c_str();
    const auto suites = evaluate({}, {}, rows).suites;
    EXPECT_EQ(std::count(suites.begin(), suites.end(), rows[broken].suite), 0) << to_string(rows[broken].suite);
    EXPECT_EQ(suites.size(), 12U);
  }
}

TEST(SelfTest, what_has_no_known_answer_is_not_available) {
  EXPECT_FALSE(prf_available(PrfId::PRF_HMAC_SHA1));
  EXPECT_FALSE(prf_available(PrfId{99}));
  EXPECT_EQ(prf_size(PrfId::PRF_HMAC_SHA1), 0U);
  EXPECT_FALSE(ke_available(KeId::MODP_1024));
  const auto unknown = [](EncrId encr, std::uint16_t bits, IntegId integ) {
    const CipherSuite suite{.encr = encr, .key_bits = bits, .integ = integ};
    EXPECT_FALSE(cipher_available(suite)) << to_string(suite);
    EXPECT_EQ(cipher_sizes(suite).encr_key, 0U) << to_string(suite);
  };
  unknown(EncrId::ENCR_AES_GCM_16, 512, IntegId::NONE);
  unknown(EncrId::ENCR_AES_GCM_16, 0, IntegId::NONE);
  unknown(EncrId::ENCR_AES_GCM_16, 256, IntegId::AUTH_HMAC_SHA2_256_128);
  unknown(EncrId::ENCR_CHACHA20_POLY1305, 128, IntegId::NONE);
  unknown(EncrId::ENCR_AES_CBC, 256, IntegId::NONE);
  unknown(EncrId::ENCR_AES_CBC, 256, IntegId::AUTH_HMAC_SHA1_96);
  unknown(EncrId::ENCR_3DES, 192, IntegId::AUTH_HMAC_SHA2_256_128);
  unknown(EncrId::ENCR_NULL, 0, IntegId::AUTH_HMAC_SHA2_256_128);
  unknown(EncrId{77}, 256, IntegId::NONE);
}

}  // namespace
}  // namespace qanat::crypto
