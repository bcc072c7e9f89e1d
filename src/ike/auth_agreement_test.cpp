#include "ike/auth_agreement.hpp"

#include <gtest/gtest.h>

namespace qanat::ike {
namespace {

using wire::NotifyPayload;
using wire::NotifyType;

NotifyPayload notify(NotifyType type, Bytes data = {}) {
  return {wire::ProtocolId::None, {}, type, std::move(data)};
}

TEST(SignatureHashes, AreNumbersInARow) {
  EXPECT_EQ(write_signature_hashes({5, 2, 3, 4}), (Bytes{0, 5, 0, 2, 0, 3, 0, 4}));
  EXPECT_EQ(read_signature_hashes(Bytes{0, 5, 1, 2, 9}), (std::vector<std::uint16_t>{5, 0x102}));
  EXPECT_LE(read_signature_hashes(Bytes(4000, 1)).size(), 32U);
}

TEST(AuthMethods, HaveTheirLengthsInFront) {
  const Bytes id{0x30, 3, 6, 1, 42};
  EXPECT_EQ(write_auth_methods({id}, true), (Bytes{8, 14, 0, 0x30, 3, 6, 1, 42, 2, 2}));
  EXPECT_EQ(read_auth_methods(write_auth_methods({id, Bytes(252, 7)}, true)), (std::vector<Bytes>{id, Bytes(252, 7)}));
  EXPECT_TRUE(write_auth_methods({Bytes(253, 7)}, false).empty());
}

TEST(AuthMethods, OfOtherKindsAreSkippedAndBrokenOnesEndTheList) {
  const Bytes good{5, 14, 1, 0x05, 0x00};
  Bytes mixed{2, 2, 3, 1, 0, 4, 77, 0, 9};
  append(mixed, good);
  EXPECT_EQ(read_auth_methods(mixed), (std::vector<Bytes>{{5, 0}}));
  for (const Bytes& broken : {Bytes{0}, Bytes{0, 14, 0, 1}, Bytes{1, 14}, Bytes{9, 14, 0, 1}, Bytes{14}}) {
    Bytes data = good;
    append(data, broken);
    EXPECT_EQ(read_auth_methods(data).size(), 1U);
  }
  EXPECT_TRUE(read_auth_methods({}).empty());
  Bytes many;
  for (int i = 0; i < 200; ++i) append(many, good);
  EXPECT_EQ(read_auth_methods(many).size(), kMaxAnnounced);
}

TEST(Authorities, OfAllPayloadsAreCollectedOnceAndBounded) {
  AuthAgreement agreed;
  Bytes two(20, 1);
  append(two, Bytes(20, 2));
  agreed.note_encrypted({wire::CertReqPayload{4, two}, wire::CertReqPayload{4, Bytes(20, 2)},
                         wire::CertReqPayload{12, Bytes(20, 3)}, wire::CertReqPayload{4, Bytes(19, 4)}});
  EXPECT_EQ(agreed.peer_authorities, (std::vector<Bytes>{Bytes(20, 1), Bytes(20, 2)}));
  Bytes many(20 * 1000);
  for (std::size_t i = 0; i < 1000; ++i) store_be32(&many[20 * i], static_cast<std::uint32_t>(i + 1));
  agreed.note_encrypted({wire::CertReqPayload{4, many}});
  EXPECT_EQ(agreed.peer_authorities.size(), kMaxAuthorities);
}

TEST(PpkIdentity, IsFoundByTypeAndOctets) {
  const auto key = model::PresharedKey{SecretBytes::copy_of(Bytes(32, 1))};
  const std::vector<Ppk> ppks{{to_bytes("none"), {}}, {to_bytes("one"), key}, {to_bytes("two"), key}};
  EXPECT_EQ(write_ppk_identity(ppks[1]), to_bytes("\x02one"));
  EXPECT_EQ(find_ppk(ppks, to_bytes("\x02two")), &ppks[2]);
  for (const char* other : {"", "\x02", "\x01one", "\x02onesie", "\x02on", "one", "\x02none"})
    EXPECT_EQ(find_ppk(ppks, to_bytes(other)), nullptr) << other;
}

TEST(AuthAgreement, AResponderSaysWhatItWasAskedAndFullTranscriptInAnyCase) {
  TunnelConfig plain;
  plain.id = TunnelId{1};
  plain.downgrade = model::DowngradePolicy::Off;
  TunnelConfig rich = plain;
  rich.downgrade = model::DowngradePolicy::Auto;
  rich.remote_auth = AuthKind::Certificate;
  rich.authorities.assign(100, {});
  for (std::size_t i = 0; i < rich.authorities.size(); ++i)
    rich.authorities[i] = Bytes(20, static_cast<std::uint8_t>(i));
  rich.announced = {Bytes{0x30, 0}};
  rich.signature_hashes = {7};
  rich.ppk_policy = model::PpkPolicy::Prefer;
  rich.ppks = {{to_bytes("x"), {}}};
  const std::vector<TunnelRef> both{std::make_shared<TunnelConfig>(plain), std::make_shared<TunnelConfig>(rich)};
  AuthAgreement agreed;
  agreed.note_init({notify(NotifyType::USE_PPK), notify(NotifyType::SIGNATURE_HASH_ALGORITHMS, {0, 2})});
  const wire::Payloads said = agreed.init_payloads(both, false);
  EXPECT_EQ(wire::find<wire::CertReqPayload>(said)->data.size(), 20 * kMaxOwnAuthorities);
  EXPECT_EQ(wire::find_notify(said, NotifyType::SIGNATURE_HASH_ALGORITHMS)->data,
            (Bytes{0, 5, 0, 2, 0, 3, 0, 4, 0, 7}));  // the union
  EXPECT_EQ(wire::find_notify(said, NotifyType::SUPPORTED_AUTH_METHODS)->data, (Bytes{5, 14, 0, 0x30, 0, 2, 2}));
  EXPECT_TRUE(agreed.ppk());
  EXPECT_TRUE(agreed.digital_signature());
  EXPECT_FALSE(agreed.full_transcript()) << "the peer did not say it";
  EXPECT_NE(wire::find_notify(said, NotifyType::IKE_SA_INIT_FULL_TRANSCRIPT_AUTH), nullptr) << "we do";

  AuthAgreement not_asked;
  const wire::Payloads little = not_asked.init_payloads(both, false);
  EXPECT_EQ(wire::find_notify(little, NotifyType::USE_PPK), nullptr);
  EXPECT_EQ(wire::find_notify(little, NotifyType::SIGNATURE_HASH_ALGORITHMS), nullptr);
  EXPECT_EQ(wire::find_notify(not_asked.init_payloads({both[0]}, false), NotifyType::IKE_SA_INIT_FULL_TRANSCRIPT_AUTH),
            nullptr);
}

}  // namespace
}  // namespace qanat::ike
