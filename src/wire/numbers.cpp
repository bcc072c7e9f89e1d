#include "wire/numbers.hpp"

#include <fmt/format.h>

namespace qanat::wire {

std::string to_string(ExchangeType type) {
  switch (type) {
    case ExchangeType::IKE_SA_INIT:
      return "IKE_SA_INIT";
    case ExchangeType::IKE_AUTH:
      return "IKE_AUTH";
    case ExchangeType::CREATE_CHILD_SA:
      return "CREATE_CHILD_SA";
    case ExchangeType::INFORMATIONAL:
      return "INFORMATIONAL";
    case ExchangeType::IKE_SESSION_RESUME:
      return "IKE_SESSION_RESUME";
    case ExchangeType::IKE_INTERMEDIATE:
      return "IKE_INTERMEDIATE";
    case ExchangeType::IKE_FOLLOWUP_KE:
      return "IKE_FOLLOWUP_KE";
  }
  return fmt::format("exchange-{}", static_cast<unsigned>(type));
}

std::string to_string(PayloadType type) {
  switch (type) {
    case PayloadType::None:
      return "none";
    case PayloadType::SA:
      return "SA";
    case PayloadType::KE:
      return "KE";
    case PayloadType::IDi:
      return "IDi";
    case PayloadType::IDr:
      return "IDr";
    case PayloadType::CERT:
      return "CERT";
    case PayloadType::CERTREQ:
      return "CERTREQ";
    case PayloadType::AUTH:
      return "AUTH";
    case PayloadType::Nonce:
      return "Nonce";
    case PayloadType::N:
      return "N";
    case PayloadType::D:
      return "D";
    case PayloadType::V:
      return "V";
    case PayloadType::TSi:
      return "TSi";
    case PayloadType::TSr:
      return "TSr";
    case PayloadType::SK:
      return "SK";
    case PayloadType::CP:
      return "CP";
    case PayloadType::EAP:
      return "EAP";
    case PayloadType::SKF:
      return "SKF";
    case PayloadType::PS:
      return "PS";
  }
  return fmt::format("payload-{}", static_cast<unsigned>(type));
}

std::string to_string(NotifyType type) {
  switch (type) {
    case NotifyType::None:
      return "none";
    case NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD:
      return "UNSUPPORTED_CRITICAL_PAYLOAD";
    case NotifyType::INVALID_IKE_SPI:
      return "INVALID_IKE_SPI";
    case NotifyType::INVALID_MAJOR_VERSION:
      return "INVALID_MAJOR_VERSION";
    case NotifyType::INVALID_SYNTAX:
      return "INVALID_SYNTAX";
    case NotifyType::INVALID_MESSAGE_ID:
      return "INVALID_MESSAGE_ID";
    case NotifyType::INVALID_SPI:
      return "INVALID_SPI";
    case NotifyType::NO_PROPOSAL_CHOSEN:
      return "NO_PROPOSAL_CHOSEN";
    case NotifyType::INVALID_KE_PAYLOAD:
      return "INVALID_KE_PAYLOAD";
    case NotifyType::AUTHENTICATION_FAILED:
      return "AUTHENTICATION_FAILED";
    case NotifyType::SINGLE_PAIR_REQUIRED:
      return "SINGLE_PAIR_REQUIRED";
    case NotifyType::NO_ADDITIONAL_SAS:
      return "NO_ADDITIONAL_SAS";
    case NotifyType::INTERNAL_ADDRESS_FAILURE:
      return "INTERNAL_ADDRESS_FAILURE";
    case NotifyType::FAILED_CP_REQUIRED:
      return "FAILED_CP_REQUIRED";
    case NotifyType::TS_UNACCEPTABLE:
      return "TS_UNACCEPTABLE";
    case NotifyType::INVALID_SELECTORS:
      return "INVALID_SELECTORS";
    case NotifyType::UNACCEPTABLE_ADDRESSES:
      return "UNACCEPTABLE_ADDRESSES";
    case NotifyType::UNEXPECTED_NAT_DETECTED:
      return "UNEXPECTED_NAT_DETECTED";
    case NotifyType::USE_ASSIGNED_HoA:
      return "USE_ASSIGNED_HoA";
    case NotifyType::TEMPORARY_FAILURE:
      return "TEMPORARY_FAILURE";
    case NotifyType::CHILD_SA_NOT_FOUND:
      return "CHILD_SA_NOT_FOUND";
    case NotifyType::INVALID_GROUP_ID:
      return "INVALID_GROUP_ID";
    case NotifyType::AUTHORIZATION_FAILED:
      return "AUTHORIZATION_FAILED";
    case NotifyType::STATE_NOT_FOUND:
      return "STATE_NOT_FOUND";
    case NotifyType::TS_MAX_QUEUE:
      return "TS_MAX_QUEUE";
    case NotifyType::REGISTRATION_FAILED:
      return "REGISTRATION_FAILED";
    case NotifyType::INITIAL_CONTACT:
      return "INITIAL_CONTACT";
    case NotifyType::SET_WINDOW_SIZE:
      return "SET_WINDOW_SIZE";
    case NotifyType::ADDITIONAL_TS_POSSIBLE:
      return "ADDITIONAL_TS_POSSIBLE";
    case NotifyType::IPCOMP_SUPPORTED:
      return "IPCOMP_SUPPORTED";
    case NotifyType::NAT_DETECTION_SOURCE_IP:
      return "NAT_DETECTION_SOURCE_IP";
    case NotifyType::NAT_DETECTION_DESTINATION_IP:
      return "NAT_DETECTION_DESTINATION_IP";
    case NotifyType::COOKIE:
      return "COOKIE";
    case NotifyType::USE_TRANSPORT_MODE:
      return "USE_TRANSPORT_MODE";
    case NotifyType::HTTP_CERT_LOOKUP_SUPPORTED:
      return "HTTP_CERT_LOOKUP_SUPPORTED";
    case NotifyType::REKEY_SA:
      return "REKEY_SA";
    case NotifyType::ESP_TFC_PADDING_NOT_SUPPORTED:
      return "ESP_TFC_PADDING_NOT_SUPPORTED";
    case NotifyType::NON_FIRST_FRAGMENTS_ALSO:
      return "NON_FIRST_FRAGMENTS_ALSO";
    case NotifyType::MOBIKE_SUPPORTED:
      return "MOBIKE_SUPPORTED";
    case NotifyType::ADDITIONAL_IP4_ADDRESS:
      return "ADDITIONAL_IP4_ADDRESS";
    case NotifyType::ADDITIONAL_IP6_ADDRESS:
      return "ADDITIONAL_IP6_ADDRESS";
    case NotifyType::NO_ADDITIONAL_ADDRESSES:
      return "NO_ADDITIONAL_ADDRESSES";
    case NotifyType::UPDATE_SA_ADDRESSES:
      return "UPDATE_SA_ADDRESSES";
    case NotifyType::COOKIE2:
      return "COOKIE2";
    case NotifyType::NO_NATS_ALLOWED:
      return "NO_NATS_ALLOWED";
    case NotifyType::AUTH_LIFETIME:
      return "AUTH_LIFETIME";
    case NotifyType::MULTIPLE_AUTH_SUPPORTED:
      return "MULTIPLE_AUTH_SUPPORTED";
    case NotifyType::ANOTHER_AUTH_FOLLOWS:
      return "ANOTHER_AUTH_FOLLOWS";
    case NotifyType::REDIRECT_SUPPORTED:
      return "REDIRECT_SUPPORTED";
    case NotifyType::REDIRECT:
      return "REDIRECT";
    case NotifyType::REDIRECTED_FROM:
      return "REDIRECTED_FROM";
    case NotifyType::TICKET_LT_OPAQUE:
      return "TICKET_LT_OPAQUE";
    case NotifyType::TICKET_REQUEST:
      return "TICKET_REQUEST";
    case NotifyType::TICKET_ACK:
      return "TICKET_ACK";
    case NotifyType::TICKET_NACK:
      return "TICKET_NACK";
    case NotifyType::TICKET_OPAQUE:
      return "TICKET_OPAQUE";
    case NotifyType::USE_WESP_MODE:
      return "USE_WESP_MODE";
    case NotifyType::ROHC_SUPPORTED:
      return "ROHC_SUPPORTED";
    case NotifyType::EAP_ONLY_AUTHENTICATION:
      return "EAP_ONLY_AUTHENTICATION";
    case NotifyType::CHILDLESS_IKEV2_SUPPORTED:
      return "CHILDLESS_IKEV2_SUPPORTED";
    case NotifyType::QUICK_CRASH_DETECTION:
      return "QUICK_CRASH_DETECTION";
    case NotifyType::IKEV2_MESSAGE_ID_SYNC_SUPPORTED:
      return "IKEV2_MESSAGE_ID_SYNC_SUPPORTED";
    case NotifyType::IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED:
      return "IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED";
    case NotifyType::IKEV2_MESSAGE_ID_SYNC:
      return "IKEV2_MESSAGE_ID_SYNC";
    case NotifyType::IPSEC_REPLAY_COUNTER_SYNC:
      return "IPSEC_REPLAY_COUNTER_SYNC";
    case NotifyType::SECURE_PASSWORD_METHODS:
      return "SECURE_PASSWORD_METHODS";
    case NotifyType::PSK_PERSIST:
      return "PSK_PERSIST";
    case NotifyType::PSK_CONFIRM:
      return "PSK_CONFIRM";
    case NotifyType::ERX_SUPPORTED:
      return "ERX_SUPPORTED";
    case NotifyType::IFOM_CAPABILITY:
      return "IFOM_CAPABILITY";
    case NotifyType::IKEV2_FRAGMENTATION_SUPPORTED:
      return "IKEV2_FRAGMENTATION_SUPPORTED";
    case NotifyType::SIGNATURE_HASH_ALGORITHMS:
      return "SIGNATURE_HASH_ALGORITHMS";
    case NotifyType::CLONE_IKE_SA_SUPPORTED:
      return "CLONE_IKE_SA_SUPPORTED";
    case NotifyType::CLONE_IKE_SA:
      return "CLONE_IKE_SA";
    case NotifyType::PUZZLE:
      return "PUZZLE";
    case NotifyType::USE_PPK:
      return "USE_PPK";
    case NotifyType::PPK_IDENTITY:
      return "PPK_IDENTITY";
    case NotifyType::NO_PPK_AUTH:
      return "NO_PPK_AUTH";
    case NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED:
      return "INTERMEDIATE_EXCHANGE_SUPPORTED";
    case NotifyType::IP4_ALLOWED:
      return "IP4_ALLOWED";
    case NotifyType::IP6_ALLOWED:
      return "IP6_ALLOWED";
    case NotifyType::ADDITIONAL_KEY_EXCHANGE:
      return "ADDITIONAL_KEY_EXCHANGE";
    case NotifyType::USE_AGGFRAG:
      return "USE_AGGFRAG";
    case NotifyType::SUPPORTED_AUTH_METHODS:
      return "SUPPORTED_AUTH_METHODS";
    case NotifyType::SA_RESOURCE_INFO:
      return "SA_RESOURCE_INFO";
    case NotifyType::USE_PPK_INT:
      return "USE_PPK_INT";
    case NotifyType::PPK_IDENTITY_KEY:
      return "PPK_IDENTITY_KEY";
    case NotifyType::IKE_SA_INIT_FULL_TRANSCRIPT_AUTH:
      return "IKE_SA_INIT_FULL_TRANSCRIPT_AUTH";
  }
  return fmt::format("notify-{}", static_cast<unsigned>(type));
}

std::string to_string(IdType type) {
  switch (type) {
    case IdType::ID_IPV4_ADDR:
      return "ID_IPV4_ADDR";
    case IdType::ID_FQDN:
      return "ID_FQDN";
    case IdType::ID_RFC822_ADDR:
      return "ID_RFC822_ADDR";
    case IdType::ID_IPV6_ADDR:
      return "ID_IPV6_ADDR";
    case IdType::ID_DER_ASN1_DN:
      return "ID_DER_ASN1_DN";
    case IdType::ID_DER_ASN1_GN:
      return "ID_DER_ASN1_GN";
    case IdType::ID_KEY_ID:
      return "ID_KEY_ID";
    case IdType::ID_NULL:
      return "ID_NULL";
  }
  return fmt::format("id-{}", static_cast<unsigned>(type));
}

std::string to_string(AuthMethod method) {
  switch (method) {
    case AuthMethod::RsaDigitalSignature:
      return "RSA Digital Signature";
    case AuthMethod::SharedKeyMic:
      return "Shared Key Message Integrity Code";
    case AuthMethod::EcdsaSha256P256:
      return "ECDSA with SHA-256 on the P-256 curve";
    case AuthMethod::EcdsaSha384P384:
      return "ECDSA with SHA-384 on the P-384 curve";
    case AuthMethod::EcdsaSha512P521:
      return "ECDSA with SHA-512 on the P-521 curve";
    case AuthMethod::NullAuthentication:
      return "NULL Authentication";
    case AuthMethod::DigitalSignature:
      return "Digital Signature";
  }
  return fmt::format("auth-{}", static_cast<unsigned>(method));
}

std::string to_string(TransformType type) {
  switch (type) {
    case TransformType::ENCR:
      return "ENCR";
    case TransformType::PRF:
      return "PRF";
    case TransformType::INTEG:
      return "INTEG";
    case TransformType::KE:
      return "KE";
    case TransformType::ESN:
      return "ESN";
    case TransformType::ADDKE1:
      return "ADDKE1";
    case TransformType::ADDKE2:
      return "ADDKE2";
    case TransformType::ADDKE3:
      return "ADDKE3";
    case TransformType::ADDKE4:
      return "ADDKE4";
    case TransformType::ADDKE5:
      return "ADDKE5";
    case TransformType::ADDKE6:
      return "ADDKE6";
    case TransformType::ADDKE7:
      return "ADDKE7";
  }
  return fmt::format("transform-{}", static_cast<unsigned>(type));
}

}  // namespace qanat::wire
