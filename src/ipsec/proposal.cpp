// The choice among proposals, and proposals on the wire.
#include "ipsec/proposal_parts.hpp"

namespace qanat::ipsec {

namespace {

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

SaPayload offer_ike(const std::vector<IkeProposal>& ours) {
  SaPayload out;
  for (const IkeProposal& p : ours) {
    out.proposals.push_back(to_wire(p));
    out.proposals.back().number = static_cast<std::uint8_t>(out.proposals.size());
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

bool offers_ml_kem(const SaPayload& offered) {
  return std::any_of(offered.proposals.begin(), offered.proposals.end(), [](const Proposal& p) {
    return std::any_of(p.transforms.begin(), p.transforms.end(),
                       [](const Transform& t) { return is_addke(t.type) && is_ml_kem(static_cast<KeId>(t.id)); });
  });
}

bool offers_additional_ke(const SaPayload& offered) {
  return std::any_of(offered.proposals.begin(), offered.proposals.end(), [](const Proposal& p) {
    return std::any_of(p.transforms.begin(), p.transforms.end(),
                       [](const Transform& t) { return is_addke(t.type) && t.id != 0; });
  });
}

}  // namespace qanat::ipsec
