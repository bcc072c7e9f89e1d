#include "wire/sa_payload.hpp"

#include <gtest/gtest.h>

#include "wire/testing.hpp"

namespace qanat::wire {
namespace {

using testing::hex;

// RFC 7296 Figures 6 to 9, by hand: aes256gcm16-prfsha384-x25519-ke1_mlkem768, then aes256-sha256-prfsha256-ecp256.
const char* const kHybrid =
    "02 00 002c 01 01 00 04"  // more follow, 44 octets; proposal 1, IKE, no SPI, 4 transforms
    "03 00 000c 01 00 0014"   // ENCR 20
    "800e 0100"               //   Key Length 256, TV
    "03 00 0008 02 00 0006"   // PRF 6
    "03 00 0008 04 00 001f"   // KE 31
    "00 00 0008 06 00 0024"   // ADDKE1 36
    "00 00 002c 02 01 00 04"  // the last
    "03 00 000c 01 00 000c 800e 0100"
    "03 00 0008 02 00 0005"
    "03 00 0008 03 00 000c"
    "00 00 0008 04 00 0013";

const char* const kEsp =
    "00 00 0028 01 03 04 03 c1020304"  // proposal 1, ESP, SPI of 4 octets, 3 transforms
    "03 00 000c 01 00 0014 800e 0100"
    "03 00 0008 05 00 0001"
    "00 00 0008 05 00 0000";

std::string written(const SaPayload& sa) {
  ByteWriter out;
  write_body(out, sa);
  return to_hex(out.view());
}

TEST(SaPayload, reads_and_writes_as_the_figures) {
  const auto ike = parse_sa(hex(kHybrid));
  ASSERT_TRUE(ike);
  EXPECT_EQ(*ike, testing::hybrid_ike_sa());
  EXPECT_EQ(written(*ike), to_hex(hex(kHybrid)));
  const auto esp = parse_sa(hex(kEsp));
  ASSERT_TRUE(esp);
  EXPECT_EQ(*esp, testing::esp_sa());
  EXPECT_EQ(written(*esp), to_hex(hex(kEsp)));
}

struct Lie {
  const char* name;
  const char* octets;
};
class SaLies : public ::testing::TestWithParam<Lie> {};

TEST_P(SaLies, are_malformed) {
  const auto sa = parse_sa(hex(GetParam().octets));
  ASSERT_FALSE(sa);
  EXPECT_EQ(sa.error().kind, ErrorKind::Malformed);
  EXPECT_EQ(sa.error().notify, 7);
  EXPECT_EQ(sa.error().where, "SA payload");
  EXPECT_FALSE(sa.error().detail.empty());
}

INSTANTIATE_TEST_SUITE_P(
    SaPayload, SaLies,
    ::testing::Values(
        Lie{"no_proposal", ""}, Lie{"half_a_header", "00 00 00"}, Lie{"header_only", "00 00 0008"},
        Lie{"no_transform", "00 00 0008 01 01 00 00"}, Lie{"no_transform_with_spi", "00 00 000c 01 03 04 00 c1020304"},
        Lie{"length_0", "00 00 0000 01 01 00 01 00 00 0008 02 00 0005"},
        Lie{"length_7", "00 00 0007 01 01 00 01 00 00 0008 02 00 0005"},
        Lie{"length_over_the_end", "00 00 0011 01 01 00 01 00 00 0008 02 00 0005"},
        Lie{"length_65535", "00 00 ffff 01 01 00 01 00 00 0008 02 00 0005"},
        Lie{"length_within_a_transform", "00 00 000f 01 01 00 01 00 00 0008 02 00 0005"},
        Lie{"spi_over_the_end", "00 00 0010 01 01 ff 01 00 00 0008 02 00 0005"},
        Lie{"spi_eats_the_transform", "00 00 0010 01 01 08 01 00 00 0008 02 00 0005"},
        Lie{"says_2_transforms_has_1", "00 00 0010 01 01 00 02 00 00 0008 02 00 0005"},
        Lie{"says_255_transforms_has_1", "00 00 0010 01 01 00 ff 00 00 0008 02 00 0005"},
        Lie{"says_0_transforms_has_1", "00 00 0010 01 01 00 00 00 00 0008 02 00 0005"},
        Lie{"says_1_transform_has_2", "00 00 0018 01 01 00 01 03 00 0008 02 00 0005 00 00 0008 02 00 0006"},
        Lie{"more_proposals_but_none", "02 00 0010 01 01 00 01 00 00 0008 02 00 0005"},
        Lie{"last_proposal_but_more",
            "00 00 0010 01 01 00 01 00 00 0008 02 00 0005 00 00 0010 02 01 00 01 00 00 0008 02 00 0005"},
        Lie{"proposal_mark_1", "01 00 0010 01 01 00 01 00 00 0008 02 00 0005"},
        Lie{"proposal_mark_3", "03 00 0010 01 01 00 01 00 00 0008 02 00 0005"},
        Lie{"more_transforms_but_none", "00 00 0010 01 01 00 01 03 00 0008 02 00 0005"},
        Lie{"last_transform_but_more", "00 00 0018 01 01 00 02 00 00 0008 02 00 0005 00 00 0008 02 00 0006"},
        Lie{"transform_mark_2", "00 00 0010 01 01 00 01 02 00 0008 02 00 0005"},
        Lie{"transform_length_0", "00 00 0010 01 01 00 01 00 00 0000 02 00 0005"},
        Lie{"transform_length_7", "00 00 0010 01 01 00 01 00 00 0007 02 00 0005"},
        Lie{"transform_length_over_the_end", "00 00 0010 01 01 00 01 00 00 0009 02 00 0005"},
        Lie{"half_an_attribute", "00 00 0012 01 01 00 01 00 00 000a 01 00 0014 800e"},
        Lie{"attribute_of_3_octets", "00 00 0013 01 01 00 01 00 00 000b 01 00 0014 800e 01"},
        Lie{"tlv_attribute_over_the_end", "00 00 0014 01 01 00 01 00 00 000c 01 00 0014 000e 0001"},
        Lie{"tlv_attribute_of_65535", "00 00 0014 01 01 00 01 00 00 000c 01 00 0014 000e ffff"},
        Lie{"octets_after_the_last", "00 00 0010 01 01 00 01 00 00 0008 02 00 0005 00"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(SaPayload, reserved_octets_are_ignored) {
  const auto sa = parse_sa(hex("00 ff 0010 01 01 00 01 00 ff 0008 02 ff 0005"));
  ASSERT_TRUE(sa);
  EXPECT_EQ(written(*sa), to_hex(hex("00 00 0010 01 01 00 01 00 00 0008 02 00 0005")));
}

TEST(SaPayload, attributes_that_we_do_not_know_are_remembered_as_such) {
  struct Case {
    const char* attributes;
    bool unknown;
    std::optional<std::uint16_t> key_length;
  };
  const Case cases[] = {
      {"800e 0100", false, 256},
      {"800e 0000", false, 0},
      {"800f 0100", true, std::nullopt},  // another TV
      {"8000 0000", true, std::nullopt},
      {"000e 0002 0100", true, std::nullopt},    // Key Length must not be TLV (3.3.5)
      {"4000 0003 010203", true, std::nullopt},  // private, TLV
      {"4000 0000", true, std::nullopt},         // empty
      {"800e 0100 4000 0001 ff", true, 256},
      {"4000 0001 ff 800e 0080", true, 128},
      {"800e 0100 800e 0080", true, 256},  // which one is meant?
  };
  for (const Case& c : cases) {
    const Bytes attributes = hex(c.attributes);
    Bytes body = hex("00 00 0000 01 01 00 01 00 00 0000 01 00 0014");
    body[3] = static_cast<std::uint8_t>(16 + attributes.size());
    body[11] = static_cast<std::uint8_t>(8 + attributes.size());
    append(body, attributes);
    const auto sa = parse_sa(body);
    ASSERT_TRUE(sa) << c.attributes;
    const Transform& t = sa->proposals.at(0).transforms.at(0);
    EXPECT_EQ(t.has_unknown_attribute, c.unknown) << c.attributes;
    EXPECT_EQ(t.key_length, c.key_length) << c.attributes;
    const auto again = parse_sa(hex(written(*sa)));
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, *sa) << c.attributes;
    EXPECT_LE(written(*sa).size(), body.size() * 2);
  }
}

TEST(SaPayload, keeps_an_spi_of_any_size) {
  for (std::size_t size = 0; size <= 255; ++size) {
    SaPayload sa{
        {Proposal{1, ProtocolId::ESP, testing::filled(size), {Transform{TransformType::ESN, 0, std::nullopt, false}}}}};
    const auto again = parse_sa(hex(written(sa)));
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, sa);
  }
}

TEST(SaPayload, keeps_types_and_protocols_that_we_do_not_know) {
  const auto sa = parse_sa(hex("00 00 0010 09 fa 00 01 00 00 0008 fe 00 ffff"));
  ASSERT_TRUE(sa);
  EXPECT_EQ(sa->proposals[0].protocol, static_cast<ProtocolId>(0xfa));
  EXPECT_EQ(sa->proposals[0].number, 9);
  EXPECT_EQ(sa->proposals[0].transforms[0].type, static_cast<TransformType>(0xfe));
}

TEST(SaPayload, has_bounds) {
  SaPayload sa = testing::hybrid_ike_sa();
  sa.proposals[0].transforms.assign(255, Transform{TransformType::ENCR, 12, 128, true});
  sa.proposals.assign(128, sa.proposals[1]);
  sa.proposals[0] = testing::hybrid_ike_sa().proposals[0];
  const Bytes largest = hex(written(sa));
  const auto again = parse_sa(largest);
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, sa);
  Bytes one_more = hex(kHybrid);
  one_more.resize(44);
  append(one_more, largest);
  const auto refused = parse_sa(one_more);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().detail, "has more than 128 proposals");
  sa.proposals.resize(1);
  sa.proposals[0].transforms.assign(255, Transform{TransformType::ENCR, 12, 128, true});
  const auto many = parse_sa(hex(written(sa)));
  ASSERT_TRUE(many);
  EXPECT_EQ(*many, sa);
}

}  // namespace
}  // namespace qanat::wire
