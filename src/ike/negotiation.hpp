// What the two sides of a CREATE_CHILD_SA agree upon, with its IKE_FOLLOWUP_KEs: nonces, key exchanges and the secrets
// that they gave, offers and choices (RFC 7296 1.3, 2.17, 2.18; RFC 9370 2.2.4). Pure: no slots, no timers.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "crypto/key_exchange.hpp"
#include "ike/config.hpp"
#include "ike/key_schedule.hpp"
#include "wire/payloads.hpp"

namespace qanat::ike {

// Which key exchanges a rekey of a Child SA offers, from the most to the least; a peer that refuses one is asked with
// the next, and that is remembered for the tunnel (rules.md "Proposals").
enum class Pfs : std::uint8_t { Full, Classical, None };

// What is learnt of a tunnel's peer and outlives an IKE SA.
struct TunnelMemory {
  Pfs pfs = Pfs::Full;
  std::optional<KeId> group;  // that the peer named in INVALID_KE_PAYLOAD
};

// The key exchanges of one negotiation: the one of CREATE_CHILD_SA, and those of IKE_FOLLOWUP_KE.
class KeRounds {
 public:
  void begin(std::optional<KeId> first, std::vector<KeId> additional);
  [[nodiscard]] bool complete() const { return done_ == order_.size(); }
  // The next one to take place; complete() is false.
  [[nodiscard]] KeId next() const { return order_[done_]; }
  void add(SecretBytes secret);
  [[nodiscard]] const std::vector<KeId>& all() const { return order_; }
  [[nodiscard]] bool has_ml_kem() const;
  // SK(0) | Ni | Nr | SK(1) | .. (RFC 9370 2.2.4).
  [[nodiscard]] SecretBytes seed(ByteView nonce_i, ByteView nonce_r) const;

 private:
  std::vector<KeId> order_;
  bool has_first_ = false;
  std::size_t done_ = 0;
  std::vector<SecretBytes> secrets_;
};

// The lower one of two nonces: octet by octet, and a beginning is lower than what it begins (RFC 7296 2.8).
[[nodiscard]] const Bytes& lower_nonce(const Bytes& a, const Bytes& b);

// The ESP proposals that a CREATE_CHILD_SA of ours offers: the tunnel's, with the key exchanges that they name, or with
// those of the IKE SA.
[[nodiscard]] std::vector<ipsec::EspProposal> esp_with_pfs(const TunnelConfig& tunnel, const ipsec::ChosenIke& ike,
                                                           const TunnelMemory& memory);
// The key exchange of our KE payload for such an offer; nullopt: none.
[[nodiscard]] std::optional<KeId> first_ke(const std::vector<ipsec::EspProposal>& offer);

// What we take of a peer: any key exchange of the tunnel's proposals, or none.
[[nodiscard]] ipsec::EspChoiceRules child_choice_rules(const TunnelConfig& tunnel, std::optional<KeId> sent_ke);
// True when the tunnel's proposals name it somewhere.
[[nodiscard]] bool names_ke(const TunnelConfig& tunnel, KeId id);

// CREATE_CHILD_SA's proposals for an IKE SA carry SPIs, those of IKE_SA_INIT do not: taken away, set, read.
[[nodiscard]] wire::SaPayload without_spis(wire::SaPayload sa);
[[nodiscard]] wire::SaPayload with_ike_spi(wire::SaPayload sa, std::uint64_t spi);
// Of the proposal `number`; nullopt when it is not one of 8 octets, or 0.
[[nodiscard]] std::optional<std::uint64_t> ike_spi_of(const wire::SaPayload& sa, std::uint8_t number);

}  // namespace qanat::ike
