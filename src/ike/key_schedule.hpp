// The keys of an IKE SA (RFC 7296 2.13, 2.14, 2.17; RFC 9370 2.2.2; RFC 9242 3.3.2): pure derivations.
//
//   IKE_SA_INIT:      SKEYSEED    = prf(Ni | Nr, g^ir)           {SK_*} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr)
//   IKE_INTERMEDIATE: SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr), then prf+ as above; nonces and SPIs of IKE_SA_INIT
//   first Child SA:   KEYMAT      = prf+(SK_d, Ni | Nr)
#pragma once

#include "base/iana.hpp"
#include "base/secret.hpp"
#include "crypto/cipher_sizes.hpp"

namespace qanat::ike {

struct KeySet {
  SecretBytes sk_d, sk_ai, sk_ar, sk_ei, sk_er, sk_pi, sk_pr;
};

// What every derivation of one IKE SA shares.
struct KeyContext {
  CipherSuite suite;
  PrfId prf{};
  Bytes nonce_i;
  Bytes nonce_r;
  std::uint64_t spi_i = 0;
  std::uint64_t spi_r = 0;
};

[[nodiscard]] KeySet derive_initial_keys(const KeyContext& context, const SecretBytes& shared_secret);
// After one additional key exchange: the previous SK_d and the new shared secret make all keys anew.
[[nodiscard]] KeySet derive_next_keys(const KeyContext& context, const SecretBytes& previous_sk_d,
                                      const SecretBytes& shared_secret);

// KEYMAT of the first Child SA, in the order of RFC 7296 2.17: everything of the initiator's direction (encryption
// key, integrity key), then the responder's.
struct ChildKeys {
  SecretBytes initiator;  // protects initiator -> responder
  SecretBytes responder;
};
[[nodiscard]] ChildKeys derive_first_child_keys(const KeyContext& context, const SecretBytes& sk_d,
                                                const CipherSuite& child);

// A post-quantum pre-shared key in the keys of a new IKE SA (RFC 8784 3), after the last IKE_INTERMEDIATE: SK_d, SK_pi
// and SK_pr become prf+(PPK, themselves). What they were is returned: an AUTH without the PPK is made with it. Never
// for a rekey.
struct KeysWithoutPpk {
  SecretBytes sk_d, sk_pi, sk_pr;
};
[[nodiscard]] KeysWithoutPpk apply_ppk(PrfId prf, ByteView ppk, KeySet& keys);
// KEYMAT of a Child SA made by CREATE_CHILD_SA (RFC 7296 2.17, RFC 9370 2.2.4): prf+(SK_d, seed), where the seed is
// SK(0) | Ni | Nr | SK(1) | .. of that exchange, and "initiator" whoever began it.
[[nodiscard]] ChildKeys derive_child_keys(PrfId prf, const SecretBytes& sk_d, const SecretBytes& seed,
                                          const CipherSuite& child);
// The keys of an IKE SA that a rekey made (RFC 7296 2.18): SKEYSEED = prf(SK_d, seed) with the old SA's PRF, then prf+
// with all that is new.
[[nodiscard]] KeySet derive_rekeyed_keys(PrfId old_prf, const SecretBytes& old_sk_d, const SecretBytes& seed,
                                         const KeyContext& fresh);

// The IntAuth chain over IKE_INTERMEDIATE messages (RFC 9242 3.3.2). One for each direction.
class IntAuth {
 public:
  // `message_a`: IKE header to the end of the SK header, lengths adjusted as if unfragmented and without IV, padding
  // and ICV; `plaintext`: the inner payloads. `sk_p` is the generation that protected this message.
  void add(PrfId prf, const SecretBytes& sk_p, ByteView message_a, ByteView plaintext);
  [[nodiscard]] bool empty() const { return chain_.empty(); }
  [[nodiscard]] ByteView value() const { return chain_.expose(); }

 private:
  SecretBytes chain_;
};

// The octets that AUTH covers (RFC 7296 2.15 with RFC 9242 3.3.2):
//
//   [eight zero octets | the other side's message |] real message | nonce of the other side | prf(SK_p, ID payload
//   body)
//     [| IntAuth_i | IntAuth_r | IKE_AUTH Message ID]
//
// This is the one place where that layout stands. The part in front is draft-ietf-ipsecme-ikev2-downgrade-prevention:
// both IKE_SA_INIT messages, the received one first, when both sides sent notify 16447. No message begins with eight
// zero octets (SPIi is never 0), so neither form passes for the other. The draft's text was not at hand; the layout was
// checked against two independent implementations that agree: strongSwan's branch downgrade-prevention (677257c41e,
// April 2026) and libreswan's pull request 3024 (September 2026), which also says that nothing changes without the
// negotiation.
struct SignedOctetsInput {
  PrfId prf{};
  ByteView init_message;       // the signer's own IKE_SA_INIT message, as sent (the one with the cookie)
  ByteView peer_init_message;  // full transcript: the one that the signer received; empty: not negotiated
  ByteView peer_nonce;
  const SecretBytes* sk_p = nullptr;  // the signer's, final generation
  ByteView id_body;                   // the signer's ID payload without its generic header
  const IntAuth* int_auth_i = nullptr;
  const IntAuth* int_auth_r = nullptr;
  std::uint32_t auth_message_id = 0;  // of the first IKE_AUTH request
};
[[nodiscard]] Bytes signed_octets(const SignedOctetsInput& input);

// AUTH = prf(prf(PSK, "Key Pad for IKEv2"), signed octets).
[[nodiscard]] SecretBytes psk_auth(PrfId prf, ByteView psk, ByteView octets);

}  // namespace qanat::ike
