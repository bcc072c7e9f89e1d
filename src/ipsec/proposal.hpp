// Proposals: what we offer and accept (RFC 7296 3.3, RFC 9370 2.2.2), their text form, and the choice among a peer's.
//
// Text form, as strongSwan's users know it: "aes256gcm16-prfsha384-x25519-ke1_mlkem768". Several words of one kind are
// alternatives in order of preference; "keN_none" makes round N optional. ESP: "aes256gcm16", "aes256-sha256",
// with a key exchange for rekeys: "aes256gcm16-x25519-ke1_mlkem768".
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/iana.hpp"
#include "ipsec/spi.hpp"
#include "wire/sa_payload.hpp"

namespace qanat::ipsec {

inline constexpr std::size_t kMaxAdditionalKes = 7;

struct EncrChoice {
  EncrId id{};
  std::uint16_t key_bits = 0;
  friend bool operator==(const EncrChoice&, const EncrChoice&) = default;
};

using AdditionalKes = std::array<std::vector<KeId>, kMaxAdditionalKes>;  // [0] is ADDKE1; an empty list: no such round

struct IkeProposal {
  std::vector<EncrChoice> encr;  // all AEAD, or none
  std::vector<IntegId> integ;    // empty for AEAD
  std::vector<PrfId> prf;
  std::vector<KeId> ke;
  AdditionalKes addke;
  friend bool operator==(const IkeProposal&, const IkeProposal&) = default;
};

struct EspProposal {
  std::vector<EncrChoice> encr;
  std::vector<IntegId> integ;
  std::vector<KeId> ke;  // of rekeys; the first Child SA has none (RFC 7296 1.2)
  AdditionalKes addke;
  friend bool operator==(const EspProposal&, const EspProposal&) = default;
};

[[nodiscard]] Result<IkeProposal> parse_ike_proposal(std::string_view text);
[[nodiscard]] Result<EspProposal> parse_esp_proposal(std::string_view text);
[[nodiscard]] std::string to_string(const IkeProposal& proposal);
[[nodiscard]] std::string to_string(const EspProposal& proposal);

// True when every choice from it contains ML-KEM.
[[nodiscard]] bool guarantees_ml_kem(const IkeProposal& proposal);
// True when some choice from it contains ML-KEM.
[[nodiscard]] bool allows_ml_kem(const IkeProposal& proposal);

// The defaults of rules.md "Proposals".
[[nodiscard]] std::vector<IkeProposal> default_hybrid_proposals();
[[nodiscard]] std::vector<IkeProposal> default_classical_proposals();
[[nodiscard]] std::vector<EspProposal> default_esp_proposals();

struct ChosenIke {
  std::uint8_t number = 1;  // of the peer's (or, as initiator, our) proposal
  CipherSuite suite;
  PrfId prf{};
  KeId ke{};
  std::array<std::optional<KeId>, kMaxAdditionalKes> addke;  // nullopt: type not offered; NONE: offered, not performed
  [[nodiscard]] std::vector<KeId> rounds() const;            // the rounds that take place, in order
  [[nodiscard]] bool has_ml_kem() const;
  friend bool operator==(const ChosenIke&, const ChosenIke&) = default;
};
[[nodiscard]] std::string to_string(const ChosenIke& chosen);  // "aes256gcm16-prfsha384-x25519-ke1_mlkem768"

struct ChosenEsp {
  std::uint8_t number = 1;
  CipherSuite suite;
  bool esn = false;
  EspSpi spi = 0;          // the peer's
  std::optional<KeId> ke;  // nullopt: type not offered; NONE: offered, not performed; as for the rounds below
  std::array<std::optional<KeId>, kMaxAdditionalKes> addke;
  [[nodiscard]] std::vector<KeId> rounds() const;         // the additional ones that take place, in order
  [[nodiscard]] std::vector<KeId> key_exchanges() const;  // all that take place, in order
  friend bool operator==(const ChosenEsp&, const ChosenEsp&) = default;
};

// What the responder takes besides its own proposals.
struct IkeChoiceRules {
  bool intermediate = false;    // both sides support IKE_INTERMEDIATE; else only NONE can be chosen for ADDKE
  bool hybrid_first = false;    // look for a choice with ML-KEM before any other (pq = "prefer", "require")
  bool hybrid_only = false;     // pq = "require"
  std::optional<KeId> sent_ke;  // group of the initiator's KE payload: preferred, as it saves a round trip
};

// The responder's choice among `offered`. Our preference decides, the peer's order breaks ties. No algorithm is chosen
// twice among KE and ADDKE1..7, NONE excepted (RFC 9370 2.2.2). Error{PeerIncompatible, NO_PROPOSAL_CHOSEN} says what
// was offered, what is accepted, and which setting to change.
[[nodiscard]] Result<ChosenIke> choose_ike(const wire::SaPayload& offered, const std::vector<IkeProposal>& ours,
                                           const IkeChoiceRules& rules);

// What the responder takes besides its own ESP proposals. By default a choice for the first Child SA, which has no key
// exchange; in CREATE_CHILD_SA any listed one or none (rules.md "Proposals").
struct EspChoiceRules {
  bool create_child = false;
  std::vector<KeId> ke;         // taken where our proposal names no key exchange
  std::vector<KeId> addke;      // in any round, likewise
  std::optional<KeId> sent_ke;  // of the KE payload; nullopt: there is none
};

// `esn` lists what we accept, preferred first.
[[nodiscard]] Result<ChosenEsp> choose_esp(const wire::SaPayload& offered, const std::vector<EspProposal>& ours,
                                           const std::vector<EsnId>& esn, const EspChoiceRules& rules = {});

// What we offer as initiator, numbered from 1.
[[nodiscard]] wire::SaPayload offer_ike(const std::vector<IkeProposal>& ours);
enum class KeyExchanges : std::uint8_t { LeftOut, Offered };  // the first Child SA has none
[[nodiscard]] wire::SaPayload offer_esp(const std::vector<EspProposal>& ours, EspSpi spi, const std::vector<EsnId>& esn,
                                        KeyExchanges exchanges = KeyExchanges::LeftOut);
// What a responder answers.
[[nodiscard]] wire::SaPayload accept_ike(const ChosenIke& chosen);
[[nodiscard]] wire::SaPayload accept_esp(const ChosenEsp& chosen, EspSpi our_spi);

// The initiator's check of the answer: one proposal, one transform of every type that we offered, each offered by us.
// Error{PeerMisbehaved, NO_PROPOSAL_CHOSEN} otherwise.
[[nodiscard]] Result<ChosenIke> check_ike_answer(const wire::SaPayload& answer, const wire::SaPayload& offer);
[[nodiscard]] Result<ChosenEsp> check_esp_answer(const wire::SaPayload& answer, const wire::SaPayload& offer);

// "1: aes256gcm16 prfsha384 x25519 ke1_mlkem768; 2: ..." of what a peer sent, bounded in length.
[[nodiscard]] std::string describe(const wire::SaPayload& offered);
// The private or unknown ADDKE numbers in it, by name: the reason why a peer's PQ does not meet ours.
[[nodiscard]] std::vector<std::string> unknown_additional_kes(const wire::SaPayload& offered);
[[nodiscard]] bool offers_additional_ke(const wire::SaPayload& offered);
[[nodiscard]] bool offers_ml_kem(const wire::SaPayload& offered);

}  // namespace qanat::ipsec
