// Parts of the choice among proposals that IKE's and ESP's share.
#pragma once

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ipsec/proposal.hpp"

namespace qanat::ipsec {

using wire::Proposal;
using wire::ProtocolId;
using wire::SaPayload;
using wire::Transform;
using wire::TransformType;

inline constexpr auto kNoProposalChosen = static_cast<std::uint16_t>(wire::NotifyType::NO_PROPOSAL_CHOSEN);

constexpr TransformType addke_type(std::size_t index) {
  return static_cast<TransformType>(static_cast<std::size_t>(TransformType::ADDKE1) + index);
}
constexpr bool is_addke(TransformType type) {
  return type >= TransformType::ADDKE1 && type <= TransformType::ADDKE7;
}

// Ciphers whose Key Length attribute must be absent (RFC 7634: ChaCha20-Poly1305 has one length).
constexpr bool has_fixed_length(EncrId id) {
  return id == EncrId::ENCR_CHACHA20_POLY1305 || id == EncrId::ENCR_3DES;
}

inline std::optional<EncrChoice> encr_of(const Transform& t) {
  if (t.has_unknown_attribute) return std::nullopt;
  const auto id = static_cast<EncrId>(t.id);
  if (has_fixed_length(id)) {
    // A length given all the same is accepted when it is the only one there is: some peers send it.
    if (t.key_length && *t.key_length != 256) return std::nullopt;
    return EncrChoice{id, 256};
  }
  if (!t.key_length) return std::nullopt;
  return EncrChoice{id, *t.key_length};
}

inline Transform encr_transform(const EncrChoice& c) {
  Transform t{TransformType::ENCR, static_cast<std::uint16_t>(c.id), std::nullopt, false};
  if (!has_fixed_length(c.id)) t.key_length = c.key_bits;
  return t;
}

template <typename Id>
Transform transform(TransformType type, Id id) {
  return Transform{type, static_cast<std::uint16_t>(id), std::nullopt, false};
}

inline bool has_type(const Proposal& p, TransformType type) {
  return std::any_of(p.transforms.begin(), p.transforms.end(), [&](const Transform& t) { return t.type == type; });
}

template <typename Id>
bool offers(const Proposal& p, TransformType type, Id id) {
  return std::any_of(p.transforms.begin(), p.transforms.end(), [&](const Transform& t) {
    return t.type == type && t.id == static_cast<std::uint16_t>(id) && !t.key_length && !t.has_unknown_attribute;
  });
}

// Our first choice of a type that the peer offers.
template <typename Id>
std::optional<Id> first_common(const Proposal& offered, TransformType type, const std::vector<Id>& ours) {
  for (const Id id : ours) {
    if (offers(offered, type, id)) return id;
  }
  return std::nullopt;
}

inline std::optional<EncrChoice> first_common_encr(const Proposal& offered, const std::vector<EncrChoice>& ours) {
  for (const EncrChoice& choice : ours) {
    for (const Transform& t : offered.transforms) {
      if (t.type == TransformType::ENCR && encr_of(t) == choice) return choice;
    }
  }
  return std::nullopt;
}

// Integrity: none with an AEAD (an offered NONE is fine), one of ours otherwise.
inline std::optional<IntegId> choose_integ(const Proposal& offered, const EncrChoice& encr,
                                           const std::vector<IntegId>& ours) {
  if (CipherSuite{encr.id, encr.key_bits, IntegId::NONE}.is_aead()) {
    if (!has_type(offered, TransformType::INTEG) || offers(offered, TransformType::INTEG, IntegId::NONE))
      return IntegId::NONE;
    return std::nullopt;
  }
  return first_common(offered, TransformType::INTEG, ours);
}

// The rounds that a choice must fill, each with what both sides take, in our order of preference.
struct Round {
  std::size_t index = 0;  // 0: the KE of type 4; 1..7: ADDKE
  std::vector<KeId> candidates;
};

// Fills the rounds from `at` on so that no algorithm stands twice: a small matching, by backtracking over at most 8
// rounds of at most a dozen candidates.
inline bool match_rounds(const std::vector<Round>& rounds, std::size_t at, std::vector<KeId>& chosen) {
  if (at == rounds.size()) return true;
  for (const KeId candidate : rounds[at].candidates) {
    if (candidate != KeId::NONE && std::find(chosen.begin(), chosen.end(), candidate) != chosen.end()) continue;
    chosen.push_back(candidate);
    if (match_rounds(rounds, at + 1, chosen)) return true;
    chosen.pop_back();
  }
  return false;
}

// What we take in ADDKE round `index` when the peer offers it: our own list for it, or, when we name no such round,
// whatever we name in any round. A peer may number its rounds as it likes, with gaps.
inline std::vector<KeId> acceptable(const AdditionalKes& ours, std::size_t index) {
  if (!ours[index].empty()) return ours[index];
  std::vector<KeId> all;
  for (const auto& round : ours) {
    for (const KeId id : round) {
      if (id != KeId::NONE && std::find(all.begin(), all.end(), id) == all.end()) all.push_back(id);
    }
  }
  all.push_back(KeId::NONE);
  return all;
}

inline std::unexpected<Error> nothing_in_common(const std::string& what, const SaPayload& offered,
                                                const std::string& accepted, const std::string& advice) {
  return fail(ErrorKind::PeerIncompatible, what,
              fmt::format("peer offered [{}]; we accept [{}]; {}", describe(offered), accepted, advice),
              kNoProposalChosen);
}

inline const Proposal* offered_with_number(const SaPayload& offer, const SaPayload& answer) {
  if (answer.proposals.size() != 1) return nullptr;
  for (const Proposal& p : offer.proposals) {
    if (p.number == answer.proposals.front().number && p.protocol == answer.proposals.front().protocol) return &p;
  }
  return nullptr;
}

// One transform of each type that we offered, each of them one of ours, and no others.
inline Status check_answer_transforms(const Proposal& answer, const Proposal& offer) {
  const auto bad = [](std::string detail) {
    return fail(ErrorKind::PeerMisbehaved, "SA payload of the answer", std::move(detail), kNoProposalChosen);
  };
  for (const Transform& t : answer.transforms) {
    const bool ours = std::any_of(offer.transforms.begin(), offer.transforms.end(), [&](const Transform& o) {
      return o.type == t.type && (t.type == TransformType::ENCR ? encr_of(o) == encr_of(t) && encr_of(t) : o == t);
    });
    // INTEG NONE beside an AEAD says nothing that we did not.
    const bool harmless = t.type == TransformType::INTEG && t.id == 0 && !has_type(offer, TransformType::INTEG);
    if (!ours && !harmless) return bad(fmt::format("has {} {} which we did not offer", wire::to_string(t.type), t.id));
    if (std::count_if(answer.transforms.begin(), answer.transforms.end(),
                      [&](const Transform& o) { return o.type == t.type; }) != 1) {
      return bad(fmt::format("has two transforms of type {}", wire::to_string(t.type)));
    }
  }
  for (const Transform& o : offer.transforms) {
    const bool optional = o.type == TransformType::INTEG && o.id == 0;
    if (!optional && !has_type(answer, o.type))
      return bad(fmt::format("lacks a {} transform", wire::to_string(o.type)));
  }
  return {};
}

inline std::uint16_t id_of(const Proposal& p, TransformType type) {
  for (const Transform& t : p.transforms) {
    if (t.type == type) return t.id;
  }
  return 0;
}

inline CipherSuite suite_of(const Proposal& p) {
  CipherSuite suite;
  for (const Transform& t : p.transforms) {
    if (t.type == TransformType::ENCR) {
      const EncrChoice e = encr_of(t).value_or(EncrChoice{});
      suite.encr = e.id;
      suite.key_bits = e.key_bits;
    }
  }
  suite.integ = static_cast<IntegId>(id_of(p, TransformType::INTEG));
  return suite;
}

}  // namespace qanat::ipsec
