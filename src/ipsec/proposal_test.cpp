#include "ipsec/proposal.hpp"

#include <functional>

#include <gtest/gtest.h>

namespace qanat::ipsec {
namespace {

using wire::Proposal;
using wire::ProtocolId;
using wire::SaPayload;
using wire::Transform;
using wire::TransformType;

IkeProposal ike(std::string_view text) {
  auto p = parse_ike_proposal(text);
  EXPECT_TRUE(p.has_value()) << (p ? "" : p.error().detail);
  return p ? *p : IkeProposal{};
}
EspProposal esp(std::string_view text) {
  auto p = parse_esp_proposal(text);
  EXPECT_TRUE(p.has_value()) << (p ? "" : p.error().detail);
  return p ? *p : EspProposal{};
}
std::string why(std::string_view text) {
  const auto p = parse_ike_proposal(text);
  return p ? "" : p.error().detail;
}
std::string why_esp(std::string_view text) {
  const auto p = parse_esp_proposal(text);
  return p ? "" : p.error().detail;
}
IkeChoiceRules with_intermediate() {
  IkeChoiceRules r;
  r.intermediate = true;
  return r;
}
std::string choose(std::initializer_list<std::string_view> offered, std::initializer_list<std::string_view> ours,
                   IkeChoiceRules rules = with_intermediate()) {
  std::vector<IkeProposal> theirs;
  std::vector<IkeProposal> mine;
  for (const auto t : offered) theirs.push_back(ike(t));
  for (const auto t : ours) mine.push_back(ike(t));
  const auto chosen = choose_ike(offer_ike(theirs), mine, rules);
  return chosen ? to_string(*chosen) : "NO_PROPOSAL_CHOSEN";
}

TEST(ProposalText, WhatIsParsedPrintsTheSame) {
  for (const char* text :
       {"aes256gcm16-prfsha384-x25519-ke1_mlkem768",
        "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha384-prfsha256-x25519-ecp384-ke1_mlkem768-ke1_mlkem1024",
        "aes256-sha256-prfsha256-modp2048", "aes128gcm16-prfsha512-ecp521-ke2_mlkem512-ke2_none-ke7_ecp256"}) {
    EXPECT_EQ(to_string(ike(text)), text);
    EXPECT_EQ(ike(to_string(ike(text))), ike(text));
  }
  for (const char* text :
       {"aes256gcm16", "aes256-sha256", "chacha20poly1305-x25519-ke1_mlkem768", "aes128-sha384-sha512"})
    EXPECT_EQ(to_string(esp(text)), text);
}

TEST(ProposalText, OtherProductsWordsAreUnderstood) {
  EXPECT_EQ(to_string(ike("aes256gcm-sha384-curve25519")), "aes256gcm16-prfsha384-x25519");
  EXPECT_EQ(to_string(ike("aes256-sha2_256-modp3072")), "aes256-sha256-prfsha256-modp3072");
  EXPECT_EQ(to_string(ike("aes-sha512-ecp256-ecp256")), "aes128-sha512-prfsha512-ecp256");
}

// Nobody gets ML-KEM as the main key exchange unasked: the larger ones make IKE_SA_INIT messages that IP must fragment.
TEST(ProposalText, MlKemAloneIsWrittenOut) {
  for (const char* text : {"aes256gcm16-prfsha384-mlkem512", "aes256gcm16-prfsha384-mlkem768",
                           "aes256gcm16-prfsha384-mlkem1024", "aes256gcm16-prfsha384-mlkem512-ke1_mlkem768"}) {
    EXPECT_EQ(to_string(ike(text)), text);
    EXPECT_TRUE(guarantees_ml_kem(ike(text)));
  }
  EXPECT_FALSE(guarantees_ml_kem(ike("aes256gcm16-prfsha384-x25519-mlkem512")));
  EXPECT_TRUE(allows_ml_kem(ike("aes256gcm16-prfsha384-x25519-mlkem512")));
  auto defaults = default_hybrid_proposals();
  for (const IkeProposal& p : default_classical_proposals()) defaults.push_back(p);
  for (const IkeProposal& p : defaults) EXPECT_TRUE(std::none_of(p.ke.begin(), p.ke.end(), is_ml_kem));
}

TEST(ProposalText, MistakesAreNamed) {
  EXPECT_NE(why("").find("names no cipher"), std::string::npos);
  EXPECT_NE(why("aes256gcm16-x25519").find("no PRF"), std::string::npos);
  EXPECT_NE(why("aes256gcm16-prfsha384").find("no key exchange"), std::string::npos);
  EXPECT_NE(why("aes256-prfsha384-x25519").find("integrity"), std::string::npos);
  EXPECT_NE(why("aes256gcm16-aes256-prfsha384-x25519").find("mixes"), std::string::npos);
  EXPECT_NE(why("aes256gcm16-prfsha384-x2551").find("did you mean 'x25519'"), std::string::npos);
  EXPECT_NE(why("3des-sha1-modp1024").find("too weak"), std::string::npos);
  EXPECT_NE(why("aes256gcm16-prfsha384-none").find("cannot be without"), std::string::npos);
  EXPECT_NE(why("aes256gcm16-prfsha384-x25519-ke8_mlkem768").find("ke1_ to ke7_"), std::string::npos);
  EXPECT_NE(why("aes256gcm16-prfsha384-x25519-ke0_mlkem768").find("ke1_ to ke7_"), std::string::npos);
  EXPECT_NE(why("aes256gcm16-prfsha384-x25519-ke1_none").find("alone"), std::string::npos);
  EXPECT_NE(why("aes256gcm16-prfsha384-x25519-ke1_kyber").find("no algorithm"), std::string::npos);
  EXPECT_NE(why("aes256gcm16-prfsha384-\x1b[31m").find("\\x1b"), std::string::npos);
  EXPECT_NE(why_esp("aes256gcm16-prfsha384").find("no PRF"), std::string::npos);
  EXPECT_NE(why_esp("aes256gcm16-sha256").find("leave sha256 out"), std::string::npos);
  EXPECT_NE(why_esp("aes256").find("integrity"), std::string::npos);
  for (const char* odd : {"-", "--", "aes256gcm16-", "-aes256gcm16", "ke1_", "ke1_mlkem768"})
    EXPECT_NE(why(odd), "") << odd;
}

TEST(Defaults, AreThoseOfTheDocumentation) {
  const auto hybrid = default_hybrid_proposals();
  ASSERT_EQ(hybrid.size(), 1U);
  EXPECT_EQ(to_string(hybrid[0]),
            "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha384-prfsha256-x25519-ecp384-ecp256-ke1_mlkem768-ke1_"
            "mlkem1024-ke1_mlkem512");
  EXPECT_TRUE(guarantees_ml_kem(hybrid[0]));
  for (const auto& p : default_classical_proposals()) {
    EXPECT_FALSE(allows_ml_kem(p));
    EXPECT_EQ(ike(to_string(p)), p);
  }
  EXPECT_TRUE(allows_ml_kem(ike("aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke1_none")));
  EXPECT_FALSE(guarantees_ml_kem(ike("aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke1_none")));
  ASSERT_EQ(default_esp_proposals().size(), 2U);
  EXPECT_EQ(to_string(default_esp_proposals()[1]), "aes256-sha256");
}

TEST(ChooseIke, OurPreferenceDecides) {
  EXPECT_EQ(choose({"aes128gcm16-aes256gcm16-prfsha256-prfsha384-ecp256-x25519"},
                   {"aes256gcm16-aes128gcm16-prfsha384-prfsha256-x25519-ecp256"}),
            "aes256gcm16-prfsha384-x25519");
  EXPECT_EQ(choose({"aes256-sha256-prfsha256-ecp256", "aes256gcm16-prfsha256-ecp256"},
                   {"aes256gcm16-prfsha256-ecp256", "aes256-sha256-prfsha256-ecp256"}),
            "aes256gcm16-prfsha256-ecp256");
}

TEST(ChooseIke, TheGroupThatWasSentSavesARoundTrip) {
  IkeChoiceRules rules = with_intermediate();
  rules.sent_ke = KeId::ECP_256;
  EXPECT_EQ(choose({"aes256gcm16-prfsha384-x25519-ecp256"}, {"aes256gcm16-prfsha384-x25519-ecp256"}, rules),
            "aes256gcm16-prfsha384-ecp256");
  rules.sent_ke = KeId::MODP_4096;
  EXPECT_EQ(choose({"aes256gcm16-prfsha384-x25519-ecp256"}, {"aes256gcm16-prfsha384-x25519-ecp256"}, rules),
            "aes256gcm16-prfsha384-x25519");
}

TEST(ChooseIke, NothingInCommonSaysWhatToChange) {
  const auto chosen = choose_ike(offer_ike({ike("aes128-sha256-modp2048")}), {ike("aes256gcm16-prfsha384-x25519")}, {});
  ASSERT_FALSE(chosen);
  EXPECT_EQ(chosen.error().notify, 14);
  EXPECT_NE(chosen.error().detail.find("peer offered [1: aes128 sha256 prfsha256 modp2048]"), std::string::npos)
      << chosen.error().detail;
  EXPECT_NE(chosen.error().detail.find("we accept [aes256gcm16-prfsha384-x25519]"), std::string::npos);
}

TEST(ChooseIke, HybridComesFirstWhenAsked) {
  IkeChoiceRules rules = with_intermediate();
  rules.hybrid_first = true;
  EXPECT_EQ(choose({"aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-x25519-ke1_mlkem768"},
                   {"aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-x25519-ke1_mlkem768"}, rules),
            "aes256gcm16-prfsha384-x25519-ke1_mlkem768");
  EXPECT_EQ(choose({"aes256gcm16-prfsha384-x25519"},
                   {"aes256gcm16-prfsha384-x25519-ke1_mlkem768", "aes256gcm16-prfsha384-x25519"}, rules),
            "aes256gcm16-prfsha384-x25519");
  rules.hybrid_only = true;
  EXPECT_EQ(choose({"aes256gcm16-prfsha384-x25519"}, {"aes256gcm16-prfsha384-x25519"}, rules), "NO_PROPOSAL_CHOSEN");
}

TEST(ChooseIke, WithoutIntermediateOnlyNoneCanBeChosen) {
  IkeChoiceRules rules;
  EXPECT_EQ(choose({"aes256gcm16-prfsha384-x25519-ke1_mlkem768"}, {"aes256gcm16-prfsha384-x25519-ke1_mlkem768"}, rules),
            "NO_PROPOSAL_CHOSEN");
  EXPECT_EQ(choose({"aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke1_none"},
                   {"aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke1_none"}, rules),
            "aes256gcm16-prfsha384-x25519");
}

TEST(ChooseIke, ClassicalRoundsDoNotMakeItHybrid) {
  IkeChoiceRules rules = with_intermediate();
  rules.hybrid_only = true;
  EXPECT_EQ(choose({"aes256gcm16-prfsha384-x25519-ke1_ecp384"},
                   {"aes256gcm16-prfsha384-x25519-ke1_ecp384-ke1_mlkem768"}, rules),
            "NO_PROPOSAL_CHOSEN");
  rules.hybrid_only = false;
  EXPECT_EQ(choose({"aes256gcm16-prfsha384-x25519-ke1_ecp384"},
                   {"aes256gcm16-prfsha384-x25519-ke1_ecp384-ke1_mlkem768"}, rules),
            "aes256gcm16-prfsha384-x25519-ke1_ecp384");
}

// RFC 9370 2.2.2: no duplicates in the choice; a matching, not greedy.
TEST(ChooseIke, NoAlgorithmTwice) {
  const char* both = "aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke1_mlkem1024-ke2_mlkem768";
  EXPECT_EQ(choose({both}, {both}), "aes256gcm16-prfsha384-x25519-ke1_mlkem1024-ke2_mlkem768");
  const char* impossible = "aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke2_mlkem768";
  EXPECT_EQ(choose({impossible}, {impossible}), "NO_PROPOSAL_CHOSEN");
  const char* with_main = "aes256gcm16-prfsha384-x25519-ecp256-ke1_x25519";
  EXPECT_EQ(choose({with_main}, {with_main}), "aes256gcm16-prfsha384-ecp256-ke1_x25519");
}

TEST(ChooseIke, GapsAndOtherNumbersOfRoundsMeet) {
  EXPECT_EQ(choose({"aes256gcm16-prfsha384-x25519-ke3_mlkem768"}, {"aes256gcm16-prfsha384-x25519-ke1_mlkem768"}),
            "aes256gcm16-prfsha384-x25519-ke3_mlkem768");
  EXPECT_EQ(choose({"aes256gcm16-prfsha384-x25519-ke2_mlkem768-ke5_ecp256"},
                   {"aes256gcm16-prfsha384-x25519-ke2_mlkem768-ke5_ecp256"}),
            "aes256gcm16-prfsha384-x25519-ke2_mlkem768-ke5_ecp256");
  // Two rounds are required here, one is offered.
  EXPECT_EQ(
      choose({"aes256gcm16-prfsha384-x25519-ke1_mlkem768"}, {"aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke2_ecp256"}),
      "NO_PROPOSAL_CHOSEN");
}

// Strangers' offers are big: the matching must not take long (every round with every algorithm, and no solution).
TEST(ChooseIke, AHostileOfferIsJudgedQuickly) {
  IkeProposal ours = ike("aes256gcm16-prfsha384-x25519");
  SaPayload offer;
  for (int n = 0; n < 128; ++n) {
    Proposal p = offer_ike({ours}).proposals[0];
    for (int round = 6; round <= 12; ++round) {
      for (const KeId id :
           {KeId::ML_KEM_512, KeId::ML_KEM_768, KeId::ML_KEM_1024, KeId::ECP_256, KeId::ECP_384, KeId::ECP_521})
        p.transforms.push_back(
            {static_cast<TransformType>(round), static_cast<std::uint16_t>(id), std::nullopt, false});
    }
    offer.proposals.push_back(p);
  }
  for (auto& round : ours.addke)
    round = {KeId::ML_KEM_512, KeId::ML_KEM_768, KeId::ML_KEM_1024, KeId::ECP_256, KeId::ECP_384, KeId::ECP_521};
  EXPECT_FALSE(choose_ike(offer, {ours}, with_intermediate()).has_value());  // seven rounds, six algorithms
}

TEST(ChooseIke, OddProposalsAreSkipped) {
  const std::vector<IkeProposal> ours{ike("aes256gcm16-prfsha384-x25519")};
  const Proposal good = offer_ike(ours).proposals[0];
  const auto accepted = [&](const std::function<void(Proposal&)>& change) {
    Proposal p = good;
    change(p);
    return choose_ike({{p}}, ours, {}).has_value();
  };
  EXPECT_TRUE(accepted([](Proposal&) {}));
  EXPECT_FALSE(accepted([](Proposal& p) { p.protocol = ProtocolId::ESP; }));
  EXPECT_FALSE(accepted([](Proposal& p) { p.spi = Bytes(8, 1); }));
  EXPECT_FALSE(
      accepted([](Proposal& p) { p.transforms.push_back({static_cast<TransformType>(200), 1, std::nullopt, false}); }));
  EXPECT_FALSE(accepted([](Proposal& p) { p.transforms.push_back({TransformType::ESN, 0, std::nullopt, false}); }));
  EXPECT_FALSE(accepted([](Proposal& p) { p.transforms[0].has_unknown_attribute = true; }));
  EXPECT_FALSE(accepted([](Proposal& p) { p.transforms[0].key_length.reset(); }));
  EXPECT_FALSE(accepted([](Proposal& p) { p.transforms[0].key_length = 192; }));
  EXPECT_TRUE(accepted([](Proposal& p) { p.transforms.push_back({TransformType::INTEG, 0, std::nullopt, false}); }));
  EXPECT_FALSE(accepted([](Proposal& p) { p.transforms.push_back({TransformType::INTEG, 12, std::nullopt, false}); }));
  EXPECT_FALSE(accepted([](Proposal& p) { p.transforms.clear(); }));
}

TEST(ChooseIke, ChaChaWithItsOnlyKeyLengthIsTaken) {
  const std::vector<IkeProposal> ours{ike("chacha20poly1305-prfsha256-x25519")};
  SaPayload offer = offer_ike(ours);
  EXPECT_FALSE(offer.proposals[0].transforms[0].key_length.has_value());
  EXPECT_TRUE(choose_ike(offer, ours, {}).has_value());
  offer.proposals[0].transforms[0].key_length = 256;
  EXPECT_TRUE(choose_ike(offer, ours, {}).has_value());
  offer.proposals[0].transforms[0].key_length = 128;
  EXPECT_FALSE(choose_ike(offer, ours, {}).has_value());
}

TEST(CheckIkeAnswer, OnlyWhatWasOfferedAndAllOfItsTypes) {
  const std::vector<IkeProposal> ours{ike("aes256gcm16-aes128gcm16-prfsha384-x25519-ke1_mlkem768-ke2_ecp256-ke2_none"),
                                      ike("aes256-sha256-prfsha256-ecp256")};
  const SaPayload offer = offer_ike(ours);
  const auto chosen = choose_ike(offer, ours, with_intermediate());
  ASSERT_TRUE(chosen.has_value());
  const SaPayload answer = accept_ike(*chosen);
  const auto checked = check_ike_answer(answer, offer);
  ASSERT_TRUE(checked.has_value()) << checked.error().detail;
  EXPECT_EQ(*checked, *chosen);
  const auto accepted = [&](const std::function<void(SaPayload&)>& change) {
    SaPayload lie = answer;
    change(lie);
    return check_ike_answer(lie, offer).has_value();
  };
  EXPECT_FALSE(accepted([](SaPayload& s) { s.proposals.push_back(s.proposals[0]); }));
  EXPECT_FALSE(accepted([](SaPayload& s) { s.proposals[0].number = 3; }));
  EXPECT_FALSE(accepted([](SaPayload& s) { s.proposals[0].number = 2; }));
  EXPECT_FALSE(accepted([](SaPayload& s) { s.proposals[0].spi = Bytes(8, 1); }));
  EXPECT_FALSE(accepted([](SaPayload& s) { s.proposals[0].transforms.pop_back(); }));
  EXPECT_FALSE(accepted([](SaPayload& s) { s.proposals[0].transforms.push_back(s.proposals[0].transforms[0]); }));
  EXPECT_FALSE(accepted([](SaPayload& s) { s.proposals[0].transforms[0].key_length = 192; }));
  EXPECT_FALSE(accepted([](SaPayload& s) { s.proposals[0].transforms[0].key_length.reset(); }));
  EXPECT_TRUE(accepted(
      [](SaPayload& s) { s.proposals[0].transforms.push_back({TransformType::INTEG, 0, std::nullopt, false}); }));
  EXPECT_FALSE(accepted([](SaPayload& s) {
    for (Transform& t : s.proposals[0].transforms) {
      if (t.type == TransformType::ADDKE1) t.id = 0;  // NONE was not offered for that round
    }
  }));
}

TEST(CheckIkeAnswer, ADuplicateAlgorithmIsRefused) {
  const auto both = ike("aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke1_mlkem1024-ke2_mlkem768-ke2_mlkem1024");
  const SaPayload offer = offer_ike({both});
  ChosenIke lie = *choose_ike(offer, {both}, with_intermediate());
  lie.addke[1] = lie.addke[0];
  EXPECT_FALSE(check_ike_answer(accept_ike(lie), offer).has_value());
}

TEST(ChooseEsp, TakesSuiteAndSequenceNumbers) {
  const std::vector<EspProposal> ours = default_esp_proposals();
  const auto pick = [&](const char* theirs, std::vector<EsnId> offered, const std::vector<EsnId>& accepted) {
    const auto c = choose_esp(offer_esp({esp(theirs)}, 0x1234, offered), ours, accepted);
    return c ? to_string(c->suite) + (c->esn ? " esn" : "") : "NO_PROPOSAL_CHOSEN";
  };
  EXPECT_EQ(pick("aes128gcm16-aes256gcm16", {EsnId::ESN, EsnId::NO_ESN}, {EsnId::ESN, EsnId::NO_ESN}),
            "aes256gcm16 esn");
  EXPECT_EQ(pick("aes256-sha256", {EsnId::NO_ESN}, {EsnId::ESN, EsnId::NO_ESN}), "aes256-sha256");
  EXPECT_EQ(pick("aes256gcm16", {EsnId::ESN}, {EsnId::NO_ESN}), "NO_PROPOSAL_CHOSEN");
  EXPECT_EQ(pick("aes128-sha256", {EsnId::NO_ESN}, {EsnId::NO_ESN}), "NO_PROPOSAL_CHOSEN");
}

TEST(ChooseEsp, TheFirstChildSaHasNoKeyExchange) {
  const std::vector<EspProposal> ours = default_esp_proposals();
  SaPayload offer = offer_esp({esp("aes256gcm16-x25519-ke1_mlkem768")}, 0x1234, {EsnId::NO_ESN});
  for (const Transform& t : offer.proposals[0].transforms)
    EXPECT_TRUE(t.type == TransformType::ENCR || t.type == TransformType::ESN);
  offer.proposals[0].transforms.push_back({TransformType::KE, 31, std::nullopt, false});
  EXPECT_FALSE(choose_esp(offer, ours, {EsnId::NO_ESN}).has_value());
  offer.proposals[0].transforms.push_back({TransformType::KE, 0, std::nullopt, false});
  EXPECT_TRUE(choose_esp(offer, ours, {EsnId::NO_ESN}).has_value());
}

TEST(ChooseEsp, SpisBelow256AreSkipped) {
  const std::vector<EspProposal> ours = default_esp_proposals();
  EXPECT_FALSE(choose_esp(offer_esp({esp("aes256gcm16")}, 255, {EsnId::NO_ESN}), ours, {EsnId::NO_ESN}).has_value());
  EXPECT_TRUE(choose_esp(offer_esp({esp("aes256gcm16")}, 256, {EsnId::NO_ESN}), ours, {EsnId::NO_ESN}).has_value());
  SaPayload odd = offer_esp({esp("aes256gcm16")}, 256, {EsnId::NO_ESN});
  odd.proposals[0].spi.push_back(1);
  EXPECT_FALSE(choose_esp(odd, ours, {EsnId::NO_ESN}).has_value());
}

TEST(CheckEspAnswer, GivesThePeersSpi) {
  const std::vector<EspProposal> ours = default_esp_proposals();
  const SaPayload offer = offer_esp(ours, 0x1111, {EsnId::ESN, EsnId::NO_ESN});
  ChosenEsp chosen = *choose_esp(offer, ours, {EsnId::ESN});
  EXPECT_EQ(chosen.spi, 0x1111U);
  const auto checked = check_esp_answer(accept_esp(chosen, 0x2222), offer);
  ASSERT_TRUE(checked.has_value()) << checked.error().detail;
  EXPECT_EQ(checked->spi, 0x2222U);
  EXPECT_TRUE(checked->esn);
  EXPECT_EQ(checked->suite, chosen.suite);
  EXPECT_FALSE(check_esp_answer(accept_esp(chosen, 99), offer).has_value());
  chosen.suite = {EncrId::ENCR_NULL, 0, IntegId::NONE};
  EXPECT_FALSE(check_esp_answer(accept_esp(chosen, 0x2222), offer).has_value());
}

TEST(Describe, IsBoundedAndNamesWhatItDoesNotKnow) {
  SaPayload offer = offer_ike({ike("aes256gcm16-prfsha384-x25519-ke1_mlkem768")});
  offer.proposals[0].transforms.push_back({TransformType::ADDKE1, 1081, std::nullopt, false});
  EXPECT_NE(describe(offer).find("ke1_mlkem768"), std::string::npos);
  ASSERT_EQ(unknown_additional_kes(offer).size(), 1U);
  EXPECT_NE(unknown_additional_kes(offer)[0].find("1081"), std::string::npos);
  EXPECT_TRUE(offers_additional_ke(offer));
  EXPECT_FALSE(offers_additional_ke(offer_ike({ike("aes256gcm16-prfsha384-x25519")})));
  for (std::uint16_t i = 0; i < 200; ++i)
    offer.proposals[0].transforms.push_back(
        {TransformType::ADDKE2, static_cast<std::uint16_t>(2000 + i), std::nullopt, false});
  EXPECT_LE(describe(offer).size(), 1000U);
  EXPECT_LE(unknown_additional_kes(offer).size(), 16U);
}

}  // namespace
}  // namespace qanat::ipsec
