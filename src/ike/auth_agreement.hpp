// What IKE_SA_INIT and IKE_AUTH say about how each side proves who it is: the notifications and CERTREQ payloads that
// carry it, written and read, and what both sides have agreed on. Pure values; ike/auth.cpp acts upon them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ike/config.hpp"
#include "wire/payloads.hpp"

namespace qanat::ike {

inline constexpr std::uint8_t kX509Signature = 4;  // certificate encodings (RFC 7296 3.6)
inline constexpr std::uint8_t kHashAndUrlCertificate = 12;
inline constexpr std::uint8_t kHashAndUrlBundle = 13;
inline constexpr std::size_t kMaxCertificates =
    8;  // that a peer's chain may have; their size is bounded by the message
inline constexpr std::size_t kMaxAuthorities = 64;     // of a peer's CERTREQ payloads; the others are not looked at
inline constexpr std::size_t kMaxOwnAuthorities = 16;  // in an IKE_SA_INIT response, which cannot be fragmented
inline constexpr std::size_t kMaxAnnounced = 32;       // algorithms in SUPPORTED_AUTH_METHODS

// SIGNATURE_HASH_ALGORITHMS: 16-bit numbers in a row (RFC 7427 4).
[[nodiscard]] Bytes write_signature_hashes(const std::vector<std::uint16_t>& hashes);
[[nodiscard]] std::vector<std::uint16_t> read_signature_hashes(ByteView data);

// SUPPORTED_AUTH_METHODS (RFC 9593 3.2): announcements one after the other, each with its length in front:
//   2 | method                                 PSK
//   3 | method | Cert Link                     a method of RFC 7296 or 4754
//   3 + n | 14 | Cert Link | AlgorithmIdentifier of n octets
// Cert Link 0: no particular CA. RFC 9593's text was not at hand; the layout was checked against libreswan's
// ikev2_supported_auth.c (2026). Other announcements are skipped; a broken one ends the list.
[[nodiscard]] Bytes write_auth_methods(const std::vector<Bytes>& algorithms, bool psk);
[[nodiscard]] std::vector<Bytes> read_auth_methods(ByteView data);  // the AlgorithmIdentifiers of method 14

// CERTREQ of encoding 4: SHA-1 hashes of trust anchors' SubjectPublicKeyInfo in a row (RFC 7296 3.7).
[[nodiscard]] wire::CertReqPayload write_authorities(const std::vector<Bytes>& authorities);

// The X.509 certificates of an IKE_AUTH message, as they came. Error{AuthFailed} for hash-and-URL, which would make us
// fetch what a stranger names, and for more than kMaxCertificates. Other encodings (CRLs, raw keys) are left out.
[[nodiscard]] Result<std::vector<wire::CertPayload>> certificates_of(const wire::Payloads& payloads);

// PPK_IDENTITY (RFC 8784 5.1): type 2 (FIXED) and the configured id.
[[nodiscard]] Bytes write_ppk_identity(const Ppk& ppk);
[[nodiscard]] const Ppk* find_ppk(const std::vector<Ppk>& ppks, ByteView identity);

struct AuthAgreement {
  // What we have said in IKE_SA_INIT,
  bool hashes_sent = false;
  bool transcript_sent = false;
  bool ppk_sent = false;
  // and what the peer has.
  std::vector<std::uint16_t> peer_hashes;
  std::vector<Bytes> peer_announced;
  std::vector<Bytes> peer_authorities;
  bool peer_transcript = false;
  bool peer_ppk = false;
  bool peer_childless = false;
  bool ppk_used = false;  // IKE_AUTH: a PPK is in the keys
  std::string proved_by;  // what proved the peer's identity; empty before
  bool quantum_safe = false;

  [[nodiscard]] bool digital_signature() const { return hashes_sent && !peer_hashes.empty(); }  // RFC 7427 3
  [[nodiscard]] bool full_transcript() const { return transcript_sent && peer_transcript; }
  [[nodiscard]] bool ppk() const { return ppk_sent && peer_ppk; }

  // What the IKE SA that a rekey makes goes on with: the proofs and what they covered, no keys.
  [[nodiscard]] AuthAgreement for_heir() const {
    AuthAgreement out;
    out.transcript_sent = transcript_sent;
    out.peer_transcript = peer_transcript;
    out.ppk_used = ppk_used;
    out.proved_by = proved_by;
    out.quantum_safe = quantum_safe;
    return out;
  }

  // What a message of the peer says: IKE_SA_INIT, and the encrypted ones after it.
  void note_init(const wire::Payloads& payloads);
  void note_encrypted(const wire::Payloads& payloads);
  // Our side of IKE_SA_INIT. As responder `tunnels` are the candidates, and note_init has been called before.
  [[nodiscard]] wire::Payloads init_payloads(const std::vector<TunnelRef>& tunnels, bool initiator);
};

}  // namespace qanat::ike
