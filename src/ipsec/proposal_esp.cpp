// ESP proposals: the choice, the offer and the answer, of the first Child SA (no key exchange) and of those that
// CREATE_CHILD_SA makes (RFC 7296 1.3.1, RFC 9370 2.2.4).
#include "ipsec/proposal_parts.hpp"

namespace qanat::ipsec {

namespace {

struct ChosenKes {
  std::optional<KeId> ke;
  std::array<std::optional<KeId>, kMaxAdditionalKes> addke;
};

// NONE wherever a key exchange is offered; nullopt when one is demanded.
std::optional<ChosenKes> no_kes(const Proposal& offered) {
  ChosenKes out;
  for (const Transform& t : offered.transforms) {
    const bool additional = is_addke(t.type);
    if (t.type != TransformType::KE && !additional) continue;
    if (!offers(offered, t.type, KeId::NONE)) return std::nullopt;
    if (additional) {
      out.addke[static_cast<std::size_t>(t.type) - static_cast<std::size_t>(TransformType::ADDKE1)] = KeId::NONE;
    } else {
      out.ke = KeId::NONE;
    }
  }
  return out;
}

std::optional<ChosenKes> choose_kes(const Proposal& offered, const EspProposal& ours, const EspChoiceRules& rules) {
  // Without a KE payload nothing can be exchanged; a peer that leaves it out wants NONE, if that is offered.
  if (!rules.create_child || !has_type(offered, TransformType::KE) || !rules.sent_ke) {
    if (auto none = no_kes(offered); none || !rules.create_child || !has_type(offered, TransformType::KE)) return none;
  }
  const std::vector<KeId>& known = ours.ke.empty() ? rules.ke : ours.ke;
  std::vector<Round> rounds(1);
  for (const KeId id : known) {
    if (id != KeId::NONE && offers(offered, TransformType::KE, id)) rounds[0].candidates.push_back(id);
  }
  auto& first = rounds[0].candidates;
  if (rules.sent_ke) {
    const auto sent = std::find(first.begin(), first.end(), *rules.sent_ke);
    if (sent != first.end()) std::rotate(first.begin(), sent, sent + 1);
  }
  const bool additional_of_ours =
      std::any_of(ours.addke.begin(), ours.addke.end(), [](const auto& round) { return !round.empty(); });
  for (std::size_t i = 0; i < kMaxAdditionalKes; ++i) {
    if (!has_type(offered, addke_type(i))) continue;
    Round round{i + 1, {}};
    for (const KeId id : additional_of_ours ? acceptable(ours.addke, i) : rules.addke) {
      if (id != KeId::NONE && offers(offered, addke_type(i), id)) round.candidates.push_back(id);
    }
    if (offers(offered, addke_type(i), KeId::NONE)) round.candidates.push_back(KeId::NONE);
    rounds.push_back(round);
  }
  std::vector<KeId> chosen;
  if (!match_rounds(rounds, 0, chosen)) return no_kes(offered);
  ChosenKes out;
  out.ke = chosen[0];
  for (std::size_t i = 1; i < rounds.size(); ++i) out.addke[rounds[i].index - 1] = chosen[i];
  return out;
}

std::optional<ChosenEsp> match_esp(const Proposal& offered, const EspProposal& ours, const std::vector<EsnId>& esn,
                                   const EspChoiceRules& rules) {
  if (offered.protocol != ProtocolId::ESP || offered.spi.size() != 4) return std::nullopt;
  const EspSpi spi = load_be32(offered.spi.data());
  if (spi < kMinSpi) return std::nullopt;
  for (const Transform& t : offered.transforms) {
    if (t.type < TransformType::ENCR || t.type > TransformType::ADDKE7 || t.type == TransformType::PRF)
      return std::nullopt;
  }
  const auto encr = first_common_encr(offered, ours.encr);
  if (!encr) return std::nullopt;
  const auto integ = choose_integ(offered, *encr, ours.integ);
  const auto numbers = first_common(offered, TransformType::ESN, esn);
  const auto kes = choose_kes(offered, ours, rules);
  if (!integ || !numbers || !kes) return std::nullopt;
  return ChosenEsp{offered.number, {encr->id, encr->key_bits, *integ}, *numbers == EsnId::ESN, spi, kes->ke,
                   kes->addke};
}

Bytes spi_bytes(EspSpi spi) {
  Bytes out(4);
  store_be32(out.data(), spi);
  return out;
}

}  // namespace

std::vector<KeId> ChosenEsp::rounds() const {
  std::vector<KeId> out;
  for (const auto& id : addke) {
    if (id && *id != KeId::NONE) out.push_back(*id);
  }
  return out;
}

std::vector<KeId> ChosenEsp::key_exchanges() const {
  std::vector<KeId> out = rounds();
  if (ke && *ke != KeId::NONE) out.insert(out.begin(), *ke);
  return out;
}

Result<ChosenEsp> choose_esp(const SaPayload& offered, const std::vector<EspProposal>& ours,
                             const std::vector<EsnId>& esn, const EspChoiceRules& rules) {
  for (const EspProposal& mine : ours) {
    for (const Proposal& theirs : offered.proposals) {
      if (const auto chosen = match_esp(theirs, mine, esn, rules)) return *chosen;
    }
  }
  std::vector<std::string> accepted;
  for (const EspProposal& p : ours) accepted.push_back(to_string(p));
  return nothing_in_common("ESP proposal", offered, fmt::format("{}", fmt::join(accepted, "; ")),
                           "set 'esp' of the tunnel to a proposal that both have");
}

SaPayload offer_esp(const std::vector<EspProposal>& ours, EspSpi spi, const std::vector<EsnId>& esn,
                    KeyExchanges exchanges) {
  SaPayload out;
  for (const EspProposal& p : ours) {
    Proposal w;
    w.number = static_cast<std::uint8_t>(out.proposals.size() + 1);
    w.protocol = ProtocolId::ESP;
    w.spi = spi_bytes(spi);
    for (const EncrChoice& e : p.encr) w.transforms.push_back(encr_transform(e));
    for (const IntegId id : p.integ) w.transforms.push_back(transform(TransformType::INTEG, id));
    for (const EsnId id : esn) w.transforms.push_back(transform(TransformType::ESN, id));
    if (exchanges == KeyExchanges::Offered) {
      for (const KeId id : p.ke) w.transforms.push_back(transform(TransformType::KE, id));
      for (std::size_t i = 0; i < p.addke.size(); ++i) {
        for (const KeId id : p.addke[i]) w.transforms.push_back(transform(addke_type(i), id));
      }
    }
    out.proposals.push_back(std::move(w));
  }
  return out;
}

SaPayload accept_esp(const ChosenEsp& chosen, EspSpi our_spi) {
  Proposal p;
  p.number = chosen.number;
  p.protocol = ProtocolId::ESP;
  p.spi = spi_bytes(our_spi);
  p.transforms.push_back(encr_transform({chosen.suite.encr, chosen.suite.key_bits}));
  if (chosen.suite.integ != IntegId::NONE) p.transforms.push_back(transform(TransformType::INTEG, chosen.suite.integ));
  if (chosen.ke) p.transforms.push_back(transform(TransformType::KE, *chosen.ke));
  p.transforms.push_back(transform(TransformType::ESN, chosen.esn ? EsnId::ESN : EsnId::NO_ESN));
  for (std::size_t i = 0; i < chosen.addke.size(); ++i) {
    if (chosen.addke[i]) p.transforms.push_back(transform(addke_type(i), *chosen.addke[i]));
  }
  return SaPayload{{p}};
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
  ChosenEsp out{theirs.number,
                suite_of(theirs),
                static_cast<EsnId>(id_of(theirs, TransformType::ESN)) == EsnId::ESN,
                load_be32(theirs.spi.data()),
                std::nullopt,
                {}};
  std::vector<KeId> seen;
  const auto take = [&](TransformType type, std::optional<KeId>& into) {
    if (!has_type(theirs, type)) return true;
    into = static_cast<KeId>(id_of(theirs, type));
    if (*into == KeId::NONE) return true;
    if (std::find(seen.begin(), seen.end(), *into) != seen.end()) return false;
    seen.push_back(*into);
    return true;
  };
  bool distinct = take(TransformType::KE, out.ke);
  for (std::size_t i = 0; i < kMaxAdditionalKes; ++i) distinct = distinct && take(addke_type(i), out.addke[i]);
  if (!distinct) {
    return fail(ErrorKind::PeerMisbehaved, "SA payload of the answer", "chooses a key exchange twice (RFC 9370 2.2.2)",
                kNoProposalChosen);
  }
  return out;
}

}  // namespace qanat::ipsec
