// The choice among proposals, and proposals on the wire.
#include "ipsec/proposal.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace qanat::ipsec {

using wire::Proposal;
using wire::ProtocolId;
using wire::SaPayload;
using wire::Transform;
using wire::TransformType;

namespace {

constexpr auto kNoProposalChosen = static_cast<std::uint16_t>(wire::NotifyType::NO_PROPOSAL_CHOSEN);

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

std::optional<EncrChoice> encr_of(const Transform& t) {
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

Transform encr_transform(const EncrChoice& c) {
  Transform t{TransformType::ENCR, static_cast<std::uint16_t>(c.id), std::nullopt, false};
  if (!has_fixed_length(c.id)) t.key_length = c.key_bits;
  return t;
}

template <typename Id>
Transform transform(TransformType type, Id id) {
  return Transform{type, static_cast<std::uint16_t>(id), std::nullopt, false};
}

bool has_type(const Proposal& p, TransformType type) {
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

std::optional<EncrChoice> first_common_encr(const Proposal& offered, const std::vector<EncrChoice>& ours) {
  for (const EncrChoice& choice : ours) {
    for (const Transform& t : offered.transforms) {
      if (t.type == TransformType::ENCR && encr_of(t) == choice) return choice;
    }
  }
  return std::nullopt;
}

// Integrity: none with an AEAD (an offered NONE is fine), one of ours otherwise.
std::optional<IntegId> choose_integ(const Proposal& offered, const EncrChoice& encr, const std::vector<IntegId>& ours) {
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
bool match_rounds(const std::vector<Round>& rounds, std::size_t at, std::vector<KeId>& chosen) {
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
std::vector<KeId> acceptable(const AdditionalKes& ours, std::size_t index) {
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

std::size_t required_rounds(const AdditionalKes& ours) {
  return static_cast<std::size_t>(std::count_if(ours.begin(), ours.end(), [](const std::vector<KeId>& round) {
    return !round.empty() && std::find(round.begin(), round.end(), KeId::NONE) == round.end();
  }));
}

std::optional<ChosenIke> match_ike(const Proposal& offered, const IkeProposal& ours, const IkeChoiceRules& rules) {
  if (offered.protocol != ProtocolId::IKE || !offered.spi.empty()) return std::nullopt;
  // A transform type that we do not know makes the proposal unusable (RFC 7296 3.3.3); ESN does not belong to IKE.
  for (const Transform& t : offered.transforms) {
    if (t.type < TransformType::ENCR || t.type > TransformType::ADDKE7 || t.type == TransformType::ESN)
      return std::nullopt;
  }
  const auto encr = first_common_encr(offered, ours.encr);
  const auto prf = first_common(offered, TransformType::PRF, ours.prf);
  if (!encr || !prf) return std::nullopt;
  const auto integ = choose_integ(offered, *encr, ours.integ);
  if (!integ) return std::nullopt;

  std::vector<Round> rounds;
  Round main;
  for (const KeId id : ours.ke) {
    if (offers(offered, TransformType::KE, id)) main.candidates.push_back(id);
  }
  if (rules.sent_ke) {
    const auto sent = std::find(main.candidates.begin(), main.candidates.end(), *rules.sent_ke);
    if (sent != main.candidates.end()) std::rotate(main.candidates.begin(), sent, sent + 1);
  }
  rounds.push_back(main);
  for (std::size_t i = 0; i < kMaxAdditionalKes; ++i) {
    if (!has_type(offered, addke_type(i))) continue;
    Round round{i + 1, {}};
    for (const KeId id : acceptable(ours.addke, i)) {
      if (offers(offered, addke_type(i), id) && (rules.intermediate || id == KeId::NONE))
        round.candidates.push_back(id);
    }
    rounds.push_back(round);
  }
  std::vector<KeId> chosen;
  if (!match_rounds(rounds, 0, chosen)) return std::nullopt;

  ChosenIke out;
  out.number = offered.number;
  out.suite = {encr->id, encr->key_bits, *integ};
  out.prf = *prf;
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    if (rounds[i].index == 0) {
      out.ke = chosen[i];
    } else {
      out.addke[rounds[i].index - 1] = chosen[i];
    }
  }
  if (out.rounds().size() < required_rounds(ours.addke)) return std::nullopt;
  return out;
}

std::optional<ChosenEsp> match_esp(const Proposal& offered, const EspProposal& ours, const std::vector<EsnId>& esn) {
  if (offered.protocol != ProtocolId::ESP || offered.spi.size() != 4) return std::nullopt;
  const EspSpi spi = load_be32(offered.spi.data());
  if (spi < kMinSpi) return std::nullopt;
  for (const Transform& t : offered.transforms) {
    if (t.type < TransformType::ENCR || t.type > TransformType::ADDKE7 || t.type == TransformType::PRF)
      return std::nullopt;
  }
  // The first Child SA has no key exchange: a peer that names one must also take NONE.
  for (const Transform& t : offered.transforms) {
    if ((t.type == TransformType::KE || is_addke(t.type)) && !offers(offered, t.type, KeId::NONE)) return std::nullopt;
  }
  const auto encr = first_common_encr(offered, ours.encr);
  if (!encr) return std::nullopt;
  const auto integ = choose_integ(offered, *encr, ours.integ);
  const auto numbers = first_common(offered, TransformType::ESN, esn);
  if (!integ || !numbers) return std::nullopt;
  return ChosenEsp{offered.number, {encr->id, encr->key_bits, *integ}, *numbers == EsnId::ESN, spi, KeId::NONE};
}

std::unexpected<Error> nothing_in_common(const std::string& what, const SaPayload& offered, const std::string& accepted,
                                         const std::string& advice) {
  return fail(ErrorKind::PeerIncompatible, what,
              fmt::format("peer offered [{}]; we accept [{}]; {}", describe(offered), accepted, advice),
              kNoProposalChosen);
}

Proposal to_wire(const IkeProposal& p) {
  Proposal out;
  out.protocol = ProtocolId::IKE;
  for (const EncrChoice& e : p.encr) out.transforms.push_back(encr_transform(e));
  for (const IntegId id : p.integ) out.transforms.push_back(transform(TransformType::INTEG, id));
  for (const PrfId id : p.prf) out.transforms.push_back(transform(TransformType::PRF, id));
  for (const KeId id : p.ke) out.transforms.push_back(transform(TransformType::KE, id));
  for (std::size_t i = 0; i < p.addke.size(); ++i) {
    for (const KeId id : p.addke[i]) out.transforms.push_back(transform(addke_type(i), id));
  }
  return out;
}

Bytes spi_bytes(EspSpi spi) {
  Bytes out(4);
  store_be32(out.data(), spi);
  return out;
}

const Proposal* offered_with_number(const SaPayload& offer, const SaPayload& answer) {
  if (answer.proposals.size() != 1) return nullptr;
  for (const Proposal& p : offer.proposals) {
    if (p.number == answer.proposals.front().number && p.protocol == answer.proposals.front().protocol) return &p;
  }
  return nullptr;
}

// One transform of each type that we offered, each of them one of ours, and no others.
Status check_answer_transforms(const Proposal& answer, const Proposal& offer) {
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

std::uint16_t id_of(const Proposal& p, TransformType type) {
  for (const Transform& t : p.transforms) {
    if (t.type == type) return t.id;
  }
  return 0;
}

CipherSuite suite_of(const Proposal& p) {
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

}  // namespace

std::vector<KeId> ChosenIke::rounds() const {
  std::vector<KeId> out;
  for (const auto& id : addke) {
    if (id && *id != KeId::NONE) out.push_back(*id);
  }
  return out;
}

bool ChosenIke::has_ml_kem() const {
  return is_ml_kem(ke) ||
         std::any_of(addke.begin(), addke.end(), [](const std::optional<KeId>& id) { return id && is_ml_kem(*id); });
}

Result<ChosenIke> choose_ike(const SaPayload& offered, const std::vector<IkeProposal>& ours,
                             const IkeChoiceRules& rules) {
  enum class Pass : std::uint8_t { HybridOnly, Any };
  std::vector<Pass> passes;
  if (rules.hybrid_first || rules.hybrid_only) passes.push_back(Pass::HybridOnly);
  if (!rules.hybrid_only) passes.push_back(Pass::Any);
  for (const Pass pass : passes) {
    for (const IkeProposal& mine : ours) {
      for (const Proposal& theirs : offered.proposals) {
        const auto chosen = match_ike(theirs, mine, rules);
        if (chosen && (pass == Pass::Any || chosen->has_ml_kem())) return *chosen;
      }
    }
  }
  std::vector<std::string> accepted;
  for (const IkeProposal& p : ours) accepted.push_back(to_string(p));
  std::string advice = "set 'ike' of the tunnel to a proposal that both have";
  if (rules.hybrid_only && !offers_additional_ke(offered)) {
    advice =
        "the peer offers no additional key exchange: configure ML-KEM there, or set pq = \"prefer\" here to accept "
        "classical keys";
  } else if (rules.hybrid_only && !rules.intermediate) {
    advice =
        "the peer does not support IKE_INTERMEDIATE (RFC 9242): update it, or set pq = \"prefer\" here to accept "
        "classical keys";
  } else if (const auto unknown = unknown_additional_kes(offered); !unknown.empty()) {
    advice = fmt::format(
        "the peer's additional key exchanges {} are not standard ML-KEM (35, 36, 37): enable mlkem768 there",
        fmt::join(unknown, ", "));
  }
  return nothing_in_common("IKE proposal", offered, fmt::format("{}", fmt::join(accepted, "; ")), advice);
}

Result<ChosenEsp> choose_esp(const SaPayload& offered, const std::vector<EspProposal>& ours,
                             const std::vector<EsnId>& esn) {
  for (const EspProposal& mine : ours) {
    for (const Proposal& theirs : offered.proposals) {
      if (const auto chosen = match_esp(theirs, mine, esn)) return *chosen;
    }
  }
  std::vector<std::string> accepted;
  for (const EspProposal& p : ours) accepted.push_back(to_string(p));
  return nothing_in_common("ESP proposal", offered, fmt::format("{}", fmt::join(accepted, "; ")),
                           "set 'esp' of the tunnel to a proposal that both have");
}

SaPayload offer_ike(const std::vector<IkeProposal>& ours) {
  SaPayload out;
  for (const IkeProposal& p : ours) {
    out.proposals.push_back(to_wire(p));
    out.proposals.back().number = static_cast<std::uint8_t>(out.proposals.size());
  }
  return out;
}

SaPayload offer_esp(const std::vector<EspProposal>& ours, EspSpi spi, const std::vector<EsnId>& esn) {
  SaPayload out;
  for (const EspProposal& p : ours) {
    Proposal w;
    w.number = static_cast<std::uint8_t>(out.proposals.size() + 1);
    w.protocol = ProtocolId::ESP;
    w.spi = spi_bytes(spi);
    for (const EncrChoice& e : p.encr) w.transforms.push_back(encr_transform(e));
    for (const IntegId id : p.integ) w.transforms.push_back(transform(TransformType::INTEG, id));
    for (const EsnId id : esn) w.transforms.push_back(transform(TransformType::ESN, id));
    out.proposals.push_back(std::move(w));
  }
  return out;
}

SaPayload accept_ike(const ChosenIke& chosen) {
  Proposal p;
  p.number = chosen.number;
  p.protocol = ProtocolId::IKE;
  p.transforms.push_back(encr_transform({chosen.suite.encr, chosen.suite.key_bits}));
  if (chosen.suite.integ != IntegId::NONE) p.transforms.push_back(transform(TransformType::INTEG, chosen.suite.integ));
  p.transforms.push_back(transform(TransformType::PRF, chosen.prf));
  p.transforms.push_back(transform(TransformType::KE, chosen.ke));
  for (std::size_t i = 0; i < chosen.addke.size(); ++i) {
    if (chosen.addke[i]) p.transforms.push_back(transform(addke_type(i), *chosen.addke[i]));
  }
  return SaPayload{{p}};
}

SaPayload accept_esp(const ChosenEsp& chosen, EspSpi our_spi) {
  Proposal p;
  p.number = chosen.number;
  p.protocol = ProtocolId::ESP;
  p.spi = spi_bytes(our_spi);
  p.transforms.push_back(encr_transform({chosen.suite.encr, chosen.suite.key_bits}));
  if (chosen.suite.integ != IntegId::NONE) p.transforms.push_back(transform(TransformType::INTEG, chosen.suite.integ));
  p.transforms.push_back(transform(TransformType::ESN, chosen.esn ? EsnId::ESN : EsnId::NO_ESN));
  return SaPayload{{p}};
}

Result<ChosenIke> check_ike_answer(const SaPayload& answer, const SaPayload& offer) {
  const Proposal* ours = offered_with_number(offer, answer);
  if (ours == nullptr || !answer.proposals.front().spi.empty()) {
    return fail(ErrorKind::PeerMisbehaved, "SA payload of the answer",
                "does not hold exactly one of the proposals that we sent", kNoProposalChosen);
  }
  const Proposal& theirs = answer.proposals.front();
  QANAT_TRY(check_answer_transforms(theirs, *ours));
  ChosenIke out;
  out.number = theirs.number;
  out.suite = suite_of(theirs);
  out.prf = static_cast<PrfId>(id_of(theirs, TransformType::PRF));
  out.ke = static_cast<KeId>(id_of(theirs, TransformType::KE));
  std::vector<KeId> seen{out.ke};
  for (std::size_t i = 0; i < kMaxAdditionalKes; ++i) {
    if (!has_type(theirs, addke_type(i))) continue;
    const auto id = static_cast<KeId>(id_of(theirs, addke_type(i)));
    if (id != KeId::NONE && std::find(seen.begin(), seen.end(), id) != seen.end()) {
      return fail(ErrorKind::PeerMisbehaved, "SA payload of the answer",
                  fmt::format("chooses {} twice (RFC 9370 2.2.2)", to_string(id)), kNoProposalChosen);
    }
    seen.push_back(id);
    out.addke[i] = id;
  }
  return out;
}

Result<ChosenEsp> check_esp_answer(const SaPayload& answer, const SaPayload& offer) {
  const Proposal* ours = offered_with_number(offer, answer);
  if (ours == nullptr || answer.proposals.front().spi.size() != 4 ||
      load_be32(answer.proposals.front().spi.data()) < kMinSpi) {
    return fail(ErrorKind::PeerMisbehaved, "SA payload of the answer",
                "does not hold exactly one of the proposals that we sent, with an SPI above 255", kNoProposalChosen);
  }
  const Proposal& theirs = answer.proposals.front();
  QANAT_TRY(check_answer_transforms(theirs, *ours));
  return ChosenEsp{theirs.number, suite_of(theirs), static_cast<EsnId>(id_of(theirs, TransformType::ESN)) == EsnId::ESN,
                   load_be32(theirs.spi.data()), KeId::NONE};
}

std::string describe(const SaPayload& offered) {
  constexpr std::size_t kMaxText = 900;
  std::string out;
  for (const Proposal& p : offered.proposals) {
    if (!out.empty()) out += "; ";
    out += fmt::format("{}:", p.number);
    for (const Transform& t : p.transforms) {
      switch (t.type) {
        case TransformType::ENCR: {
          const auto e = encr_of(t);
          out += " " +
                 (e ? to_string(e->id, e->key_bits) : to_string(static_cast<EncrId>(t.id), t.key_length.value_or(0)));
          break;
        }
        case TransformType::PRF:
          out += " " + to_string(static_cast<PrfId>(t.id));
          break;
        case TransformType::INTEG:
          out += " " + to_string(static_cast<IntegId>(t.id));
          break;
        case TransformType::KE:
          out += " " + to_string(static_cast<KeId>(t.id));
          break;
        case TransformType::ESN:
          out += t.id == 1 ? " esn" : t.id == 0 ? " noesn" : fmt::format(" esn-{}", t.id);
          break;
        default:
          out += is_addke(t.type)
                     ? fmt::format(" ke{}_{}", static_cast<unsigned>(t.type) - 5, to_string(static_cast<KeId>(t.id)))
                     : fmt::format(" type{}-{}", static_cast<unsigned>(t.type), t.id);
      }
      if (out.size() > kMaxText) return out + " ...";
    }
  }
  return out;
}

std::vector<std::string> unknown_additional_kes(const SaPayload& offered) {
  std::vector<std::string> out;
  for (const Proposal& p : offered.proposals) {
    for (const Transform& t : p.transforms) {
      const auto id = static_cast<KeId>(t.id);
      if (!is_addke(t.type) || id == KeId::NONE || is_ml_kem(id)) continue;
      const std::string name = to_string(id);
      if (out.size() < 16 && std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
    }
  }
  return out;
}

bool offers_additional_ke(const SaPayload& offered) {
  return std::any_of(offered.proposals.begin(), offered.proposals.end(), [](const Proposal& p) {
    return std::any_of(p.transforms.begin(), p.transforms.end(),
                       [](const Transform& t) { return is_addke(t.type) && t.id != 0; });
  });
}

}  // namespace qanat::ipsec
