#include "crypto/cipher_sizes.hpp"

#include <algorithm>

#include "crypto/availability.hpp"

namespace qanat::crypto {

namespace {

struct IntegSizes {
  std::size_t key = 0;
  std::size_t icv = 0;
};

// RFC 4868 2.6: the key is as long as the hash, the ICV half of it.
IntegSizes integ_sizes(IntegId id) {
  switch (id) {
    case IntegId::AUTH_HMAC_SHA2_256_128:
      return {.key = 32, .icv = 16};
    case IntegId::AUTH_HMAC_SHA2_384_192:
      return {.key = 48, .icv = 24};
    case IntegId::AUTH_HMAC_SHA2_512_256:
      return {.key = 64, .icv = 32};
    case IntegId::NONE:
    case IntegId::AUTH_HMAC_SHA1_96:
      break;
  }
  return {};
}

bool is_aes_key(std::uint16_t bits) {
  return bits == 128 || bits == 192 || bits == 256;
}

}  // namespace

CipherSizes cipher_sizes(const CipherSuite& suite) {
  constexpr std::size_t kSalt = 4;  // RFC 4106 8.1, RFC 7634 2
  const std::size_t key = suite.key_bits / 8U;
  switch (suite.encr) {
    case EncrId::ENCR_AES_GCM_16:
      if (!is_aes_key(suite.key_bits) || suite.integ != IntegId::NONE) return {};
      return {.encr_key = key + kSalt, .integ_key = 0, .iv = 8, .block = 1, .icv = 16};
    case EncrId::ENCR_CHACHA20_POLY1305:
      if (suite.key_bits != 256 || suite.integ != IntegId::NONE) return {};
      return {.encr_key = key + kSalt, .integ_key = 0, .iv = 8, .block = 1, .icv = 16};
    case EncrId::ENCR_AES_CBC: {
      const IntegSizes integ = integ_sizes(suite.integ);
      if (!is_aes_key(suite.key_bits) || integ.key == 0) return {};
      return {.encr_key = key, .integ_key = integ.key, .iv = 16, .block = 16, .icv = integ.icv};
    }
    case EncrId::NONE:
    case EncrId::ENCR_3DES:
    case EncrId::ENCR_NULL:
      break;
  }
  return {};
}

bool cipher_available(const CipherSuite& suite) {
  const auto& suites = availability().suites;
  return std::find(suites.begin(), suites.end(), suite) != suites.end();
}

}  // namespace qanat::crypto
