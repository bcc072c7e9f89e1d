// In place of crypto/availability.cpp: everything is available, and nothing is tested.
#include "crypto/availability.hpp"

namespace qanat::crypto {

const Availability& availability() {
  static const Availability kEverything = [] {
    Availability out;
    out.key_exchanges = {KeId::MODP_2048,  KeId::MODP_3072,  KeId::MODP_4096,  KeId::ECP_256,
                         KeId::ECP_384,    KeId::ECP_521,    KeId::CURVE25519, KeId::CURVE448,
                         KeId::ML_KEM_512, KeId::ML_KEM_768, KeId::ML_KEM_1024};
    out.prfs = {PrfId::PRF_HMAC_SHA2_256, PrfId::PRF_HMAC_SHA2_384, PrfId::PRF_HMAC_SHA2_512};
    for (const std::uint16_t bits : std::initializer_list<std::uint16_t>{128, 192, 256}) {
      out.suites.push_back({EncrId::ENCR_AES_GCM_16, bits, IntegId::NONE});
      for (const IntegId integ :
           {IntegId::AUTH_HMAC_SHA2_256_128, IntegId::AUTH_HMAC_SHA2_384_192, IntegId::AUTH_HMAC_SHA2_512_256})
        out.suites.push_back({EncrId::ENCR_AES_CBC, bits, integ});
    }
    out.suites.push_back({EncrId::ENCR_CHACHA20_POLY1305, 256, IntegId::NONE});
    return out;
  }();
  return kEverything;
}

const std::vector<SelfTestResult>& self_test_results() {
  return availability().results;
}

std::string library_version() {
  return "the double of tests/testcrypto";
}

}  // namespace qanat::crypto
