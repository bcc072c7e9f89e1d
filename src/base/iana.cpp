#include "base/iana.hpp"

#include <fmt/format.h>

namespace qanat {

std::string to_string(EncrId id, std::uint16_t key_bits) {
  switch (id) {
    case EncrId::NONE:
      return "none";
    case EncrId::ENCR_3DES:
      return "3des";
    case EncrId::ENCR_NULL:
      return "null";
    case EncrId::ENCR_AES_CBC:
      return fmt::format("aes{}", key_bits);
    case EncrId::ENCR_AES_GCM_16:
      return fmt::format("aes{}gcm16", key_bits);
    case EncrId::ENCR_CHACHA20_POLY1305:
      return "chacha20poly1305";
  }
  return fmt::format("encr-{}{}", static_cast<unsigned>(id), key_bits == 0 ? "" : fmt::format("-{}", key_bits));
}

std::string to_string(PrfId id) {
  switch (id) {
    case PrfId::NONE:
      return "prf-none";
    case PrfId::PRF_HMAC_SHA1:
      return "prfsha1";
    case PrfId::PRF_HMAC_SHA2_256:
      return "prfsha256";
    case PrfId::PRF_HMAC_SHA2_384:
      return "prfsha384";
    case PrfId::PRF_HMAC_SHA2_512:
      return "prfsha512";
  }
  return fmt::format("prf-{}", static_cast<unsigned>(id));
}

std::string to_string(IntegId id) {
  switch (id) {
    case IntegId::NONE:
      return "none";
    case IntegId::AUTH_HMAC_SHA1_96:
      return "sha1";
    case IntegId::AUTH_HMAC_SHA2_256_128:
      return "sha256";
    case IntegId::AUTH_HMAC_SHA2_384_192:
      return "sha384";
    case IntegId::AUTH_HMAC_SHA2_512_256:
      return "sha512";
  }
  return fmt::format("integ-{}", static_cast<unsigned>(id));
}

namespace {

// Private numbers seen in the field, so that "why is this not hybrid" can name what the peer offers.
const char* private_ke_name(unsigned id) {
  switch (id) {
    case 1035:
      return "sntrup761x25519";
    case 1080:
      return "kyber512";
    case 1081:
      return "kyber768";
    case 1082:
      return "kyber1024";
    case 1083:
      return "frodo-a-l1";
    case 1084:
      return "frodo-a-l3";
    case 1085:
      return "frodo-a-l5";
    case 1086:
      return "frodo-s-l1";
    case 1087:
      return "frodo-s-l3";
    case 1088:
      return "frodo-s-l5";
    case 1089:
      return "bike-l1";
    case 1090:
      return "bike-l3";
    case 1091:
      return "bike-l5";
    case 1092:
      return "hqc-128";
    case 1093:
      return "hqc-192";
    case 1094:
      return "hqc-256";
    default:
      return nullptr;
  }
}

}  // namespace

std::string to_string(KeId id) {
  switch (id) {
    case KeId::NONE:
      return "none";
    case KeId::MODP_1024:
      return "modp1024";
    case KeId::MODP_1536:
      return "modp1536";
    case KeId::MODP_2048:
      return "modp2048";
    case KeId::MODP_3072:
      return "modp3072";
    case KeId::MODP_4096:
      return "modp4096";
    case KeId::ECP_256:
      return "ecp256";
    case KeId::ECP_384:
      return "ecp384";
    case KeId::ECP_521:
      return "ecp521";
    case KeId::CURVE25519:
      return "x25519";
    case KeId::CURVE448:
      return "x448";
    case KeId::ML_KEM_512:
      return "mlkem512";
    case KeId::ML_KEM_768:
      return "mlkem768";
    case KeId::ML_KEM_1024:
      return "mlkem1024";
  }
  const auto number = static_cast<unsigned>(id);
  const char* name = private_ke_name(number);
  return name == nullptr ? fmt::format("ke-{}", number) : fmt::format("ke-{} ({})", number, name);
}

std::string to_string(const CipherSuite& suite) {
  const std::string encr = to_string(suite.encr, suite.key_bits);
  return suite.integ == IntegId::NONE ? encr : encr + "-" + to_string(suite.integ);
}

}  // namespace qanat
