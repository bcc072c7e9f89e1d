// SA payloads as a peer sends them, and proposals as an operator writes them. Whatever is chosen was offered and is
// accepted here, with pq = "require" it has ML-KEM, and the initiator's check of the answer agrees.
//
// Input: [rules: u8][body of an SA payload], or with the top bit of `rules` a proposal's text.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ipsec/proposal.hpp"
#include "wire/payloads.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace qanat;

bool offers(const wire::SaPayload& offer, wire::TransformType type, std::uint16_t id) {
  return std::ranges::any_of(offer.proposals, [&](const wire::Proposal& p) {
    return std::ranges::any_of(p.transforms, [&](const wire::Transform& t) { return t.type == type && t.id == id; });
  });
}

void text(std::string_view words) {
  if (const auto ike = ipsec::parse_ike_proposal(words)) {
    const auto again = ipsec::parse_ike_proposal(ipsec::to_string(*ike));
    ensure(again.has_value() && *again == *ike, "an IKE proposal reads as it is written");
    ensure(!ipsec::guarantees_ml_kem(*ike) || ipsec::allows_ml_kem(*ike), "what is guaranteed is allowed");
  }
  if (const auto esp = ipsec::parse_esp_proposal(words)) {
    const auto again = ipsec::parse_esp_proposal(ipsec::to_string(*esp));
    ensure(again.has_value() && *again == *esp, "an ESP proposal reads as it is written");
  }
}

void choose(std::uint8_t flags, const wire::SaPayload& offer) {
  static const auto ours = [] {
    auto all = ipsec::default_hybrid_proposals();
    for (auto& p : ipsec::default_classical_proposals()) all.push_back(p);
    all.push_back(*ipsec::parse_ike_proposal("aes256-sha256-prfsha512-ecp256-ke1_mlkem1024-ke1_none-ke2_ecp384"));
    return all;
  }();
  ipsec::IkeChoiceRules rules;
  rules.intermediate = (flags & 1) != 0;
  rules.hybrid_first = (flags & 2) != 0;
  rules.hybrid_only = (flags & 4) != 0;
  if ((flags & 8) != 0) rules.sent_ke = KeId::CURVE25519;
  if (const auto chosen = ipsec::choose_ike(offer, ours, rules)) {
    ensure(offers(offer, wire::TransformType::KE, static_cast<std::uint16_t>(chosen->ke)), "an offered group");
    ensure(offers(offer, wire::TransformType::PRF, static_cast<std::uint16_t>(chosen->prf)), "an offered PRF");
    ensure(!rules.hybrid_only || chosen->has_ml_kem(), "pq = \"require\" has ML-KEM");
    ensure(rules.intermediate || chosen->rounds().empty(), "no rounds without IKE_INTERMEDIATE");
    const auto answer = ipsec::accept_ike(*chosen);
    const auto checked = ipsec::check_ike_answer(answer, offer);
    ensure(checked.has_value() && checked->suite == chosen->suite && checked->ke == chosen->ke &&
               checked->rounds() == chosen->rounds(),
           "the initiator reads the answer as it was meant");
    ensure(ipsec::choose_ike(answer, ours, rules).has_value(), "what was chosen can be chosen again");
  }
  // As an answer to our own offers: refused, or one of what we offered.
  if (const auto answered = ipsec::check_ike_answer(offer, ipsec::offer_ike(ours))) {
    ensure(ipsec::choose_ike(ipsec::accept_ike(*answered), ours, {true, false, false, {}}).has_value(),
           "an answer is among our proposals");
  }
  const auto esp = ipsec::default_esp_proposals();
  const std::vector<EsnId> esn{EsnId::ESN, EsnId::NO_ESN};
  if (const auto chosen = ipsec::choose_esp(offer, esp, esn)) {
    ensure(chosen->spi > 255, "reserved SPIs are not chosen");
    const auto checked = ipsec::check_esp_answer(ipsec::accept_esp(*chosen, 0x1001), offer);
    ensure(checked.has_value() && checked->suite == chosen->suite && checked->esn == chosen->esn,
           "the initiator reads the ESP answer as it was meant");
  }
  (void)ipsec::check_esp_answer(offer, ipsec::offer_esp(esp, 0x1001, esn));
  ensure(ipsec::describe(offer).size() < 4000, "a description is bounded");
  (void)ipsec::unknown_additional_kes(offer);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView octets{data + 1, size - 1};
  if ((data[0] & 0x80) != 0) {
    text({reinterpret_cast<const char*>(octets.data()), octets.size()});
    return 0;
  }
  const auto offer = wire::parse_sa(octets);
  if (!offer) {
    ensure(offer.error().kind == ErrorKind::Malformed, "a refusal is Malformed");
    return 0;
  }
  choose(data[0], *offer);
  return 0;
}
