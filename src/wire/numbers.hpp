// Numbers of IKEv2 messages, in RFC spelling (IANA "IKEv2 Parameters"). Open enumerations: a peer may send any value.
#pragma once

#include <cstdint>
#include <string>

namespace qanat::wire {

enum class ExchangeType : std::uint8_t {
  IKE_SA_INIT = 34,
  IKE_AUTH = 35,
  CREATE_CHILD_SA = 36,
  INFORMATIONAL = 37,
  IKE_SESSION_RESUME = 38,
  IKE_INTERMEDIATE = 43,
  IKE_FOLLOWUP_KE = 44,
};

enum class PayloadType : std::uint8_t {
  None = 0,
  SA = 33,
  KE = 34,
  IDi = 35,
  IDr = 36,
  CERT = 37,
  CERTREQ = 38,
  AUTH = 39,
  Nonce = 40,
  N = 41,
  D = 42,
  V = 43,
  TSi = 44,
  TSr = 45,
  SK = 46,
  CP = 47,
  EAP = 48,
  SKF = 53,
  PS = 54,
};

enum class ProtocolId : std::uint8_t { None = 0, IKE = 1, AH = 2, ESP = 3 };

enum class TransformType : std::uint8_t {
  ENCR = 1,
  PRF = 2,
  INTEG = 3,
  KE = 4,
  ESN = 5,
  ADDKE1 = 6,
  ADDKE2 = 7,
  ADDKE3 = 8,
  ADDKE4 = 9,
  ADDKE5 = 10,
  ADDKE6 = 11,
  ADDKE7 = 12,
};

enum class IdType : std::uint8_t {
  ID_IPV4_ADDR = 1,
  ID_FQDN = 2,
  ID_RFC822_ADDR = 3,
  ID_IPV6_ADDR = 5,
  ID_DER_ASN1_DN = 9,
  ID_DER_ASN1_GN = 10,
  ID_KEY_ID = 11,
  ID_NULL = 13,
};

enum class AuthMethod : std::uint8_t {
  RsaDigitalSignature = 1,
  SharedKeyMic = 2,
  EcdsaSha256P256 = 9,
  EcdsaSha384P384 = 10,
  EcdsaSha512P521 = 11,
  NullAuthentication = 13,
  DigitalSignature = 14,
};

// Every notify of protocol.md 3.8: errors below 16384, status from there.
enum class NotifyType : std::uint16_t {
  None = 0,
  UNSUPPORTED_CRITICAL_PAYLOAD = 1,
  INVALID_IKE_SPI = 4,
  INVALID_MAJOR_VERSION = 5,
  INVALID_SYNTAX = 7,
  INVALID_MESSAGE_ID = 9,
  INVALID_SPI = 11,
  NO_PROPOSAL_CHOSEN = 14,
  INVALID_KE_PAYLOAD = 17,
  AUTHENTICATION_FAILED = 24,
  SINGLE_PAIR_REQUIRED = 34,
  NO_ADDITIONAL_SAS = 35,
  INTERNAL_ADDRESS_FAILURE = 36,
  FAILED_CP_REQUIRED = 37,
  TS_UNACCEPTABLE = 38,
  INVALID_SELECTORS = 39,
  UNACCEPTABLE_ADDRESSES = 40,
  UNEXPECTED_NAT_DETECTED = 41,
  USE_ASSIGNED_HoA = 42,
  TEMPORARY_FAILURE = 43,
  CHILD_SA_NOT_FOUND = 44,
  INVALID_GROUP_ID = 45,
  AUTHORIZATION_FAILED = 46,
  STATE_NOT_FOUND = 47,
  TS_MAX_QUEUE = 48,
  REGISTRATION_FAILED = 49,

  INITIAL_CONTACT = 16384,
  SET_WINDOW_SIZE = 16385,
  ADDITIONAL_TS_POSSIBLE = 16386,
  IPCOMP_SUPPORTED = 16387,
  NAT_DETECTION_SOURCE_IP = 16388,
  NAT_DETECTION_DESTINATION_IP = 16389,
  COOKIE = 16390,
  USE_TRANSPORT_MODE = 16391,
  HTTP_CERT_LOOKUP_SUPPORTED = 16392,
  REKEY_SA = 16393,
  ESP_TFC_PADDING_NOT_SUPPORTED = 16394,
  NON_FIRST_FRAGMENTS_ALSO = 16395,
  MOBIKE_SUPPORTED = 16396,
  ADDITIONAL_IP4_ADDRESS = 16397,
  ADDITIONAL_IP6_ADDRESS = 16398,
  NO_ADDITIONAL_ADDRESSES = 16399,
  UPDATE_SA_ADDRESSES = 16400,
  COOKIE2 = 16401,
  NO_NATS_ALLOWED = 16402,
  AUTH_LIFETIME = 16403,
  MULTIPLE_AUTH_SUPPORTED = 16404,
  ANOTHER_AUTH_FOLLOWS = 16405,
  REDIRECT_SUPPORTED = 16406,
  REDIRECT = 16407,
  REDIRECTED_FROM = 16408,
  TICKET_LT_OPAQUE = 16409,
  TICKET_REQUEST = 16410,
  TICKET_ACK = 16411,
  TICKET_NACK = 16412,
  TICKET_OPAQUE = 16413,
  USE_WESP_MODE = 16415,
  ROHC_SUPPORTED = 16416,
  EAP_ONLY_AUTHENTICATION = 16417,
  CHILDLESS_IKEV2_SUPPORTED = 16418,
  QUICK_CRASH_DETECTION = 16419,
  IKEV2_MESSAGE_ID_SYNC_SUPPORTED = 16420,
  IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED = 16421,
  IKEV2_MESSAGE_ID_SYNC = 16422,
  IPSEC_REPLAY_COUNTER_SYNC = 16423,
  SECURE_PASSWORD_METHODS = 16424,
  PSK_PERSIST = 16425,
  PSK_CONFIRM = 16426,
  ERX_SUPPORTED = 16427,
  IFOM_CAPABILITY = 16428,
  IKEV2_FRAGMENTATION_SUPPORTED = 16430,
  SIGNATURE_HASH_ALGORITHMS = 16431,
  CLONE_IKE_SA_SUPPORTED = 16432,
  CLONE_IKE_SA = 16433,
  PUZZLE = 16434,
  USE_PPK = 16435,
  PPK_IDENTITY = 16436,
  NO_PPK_AUTH = 16437,
  INTERMEDIATE_EXCHANGE_SUPPORTED = 16438,
  IP4_ALLOWED = 16439,
  IP6_ALLOWED = 16440,
  ADDITIONAL_KEY_EXCHANGE = 16441,
  USE_AGGFRAG = 16442,
  SUPPORTED_AUTH_METHODS = 16443,
  SA_RESOURCE_INFO = 16444,
  USE_PPK_INT = 16445,
  PPK_IDENTITY_KEY = 16446,
  IKE_SA_INIT_FULL_TRANSCRIPT_AUTH = 16447,
};

[[nodiscard]] constexpr bool is_error(NotifyType type) {
  return static_cast<std::uint16_t>(type) < 16384;
}

// RFC names; a value without one becomes "exchange-99", "payload-99", "notify-99".
[[nodiscard]] std::string to_string(ExchangeType type);
[[nodiscard]] std::string to_string(PayloadType type);
[[nodiscard]] std::string to_string(NotifyType type);
[[nodiscard]] std::string to_string(IdType type);
[[nodiscard]] std::string to_string(AuthMethod method);
[[nodiscard]] std::string to_string(TransformType type);

}  // namespace qanat::wire
