#include "wire/ts_payload.hpp"

#include <gtest/gtest.h>

#include "wire/testing.hpp"

namespace qanat::wire {
namespace {

using testing::hex;

// RFC 7296 Figures 19 and 20: TCP to 10.1.0.0/16 port 80 to 443, and everything of 2001:db8::/127.
const char* const kFigure =
    "02 000000"
    "07 06 0010 0050 01bb 0a010000 0a01ffff"
    "08 00 0028 0000 ffff 20010db8000000000000000000000000 20010db8000000000000000000000001";

std::string written(const TsPayload& ts) {
  ByteWriter out;
  write_body(out, ts);
  return to_hex(out.view());
}

TEST(TsPayload, reads_and_writes_as_the_figures) {
  const auto ts = parse_ts(PayloadType::TSr, hex(kFigure));
  ASSERT_TRUE(ts);
  EXPECT_EQ(ts->which, PayloadType::TSr);
  ASSERT_EQ(ts->selectors.size(), 2U);
  EXPECT_EQ(ts->selectors[0], (TrafficSelector{IpAddress::v4(0x0a010000), IpAddress::v4(0x0a01ffff), 6, 80, 443}));
  EXPECT_EQ(ts->selectors[1].first.to_string(), "2001:db8::");
  EXPECT_EQ(ts->selectors[1].last.to_string(), "2001:db8::1");
  EXPECT_EQ(written(*ts), to_hex(hex(kFigure)));
}

struct Case {
  const char* name;
  const char* octets;
};
class TsLies : public ::testing::TestWithParam<Case> {};

TEST_P(TsLies, are_malformed) {
  const auto ts = parse_ts(PayloadType::TSi, hex(GetParam().octets));
  ASSERT_FALSE(ts);
  EXPECT_EQ(ts.error().kind, ErrorKind::Malformed);
  EXPECT_EQ(ts.error().notify, 7);
  EXPECT_EQ(ts.error().where, "TSi payload");
}

INSTANTIATE_TEST_SUITE_P(
    TsPayload, TsLies,
    ::testing::Values(
        Case{"empty", ""}, Case{"half_a_header", "01 0000"}, Case{"says_1_has_0", "01 000000"},
        Case{"says_255_has_1", "ff 000000 07 00 0010 0000 ffff 00000000 ffffffff"},
        Case{"says_0_has_1", "00 000000 07 00 0010 0000 ffff 00000000 ffffffff"},
        Case{"says_1_has_2", "01 000000 07 00 0010 0000 ffff 00000000 ffffffff 07 00 0010 0000 ffff 00000000 ffffffff"},
        Case{"octets_after", "01 000000 07 00 0010 0000 ffff 00000000 ffffffff 00"},
        Case{"start_above_end", "01 000000 07 00 0010 0000 ffff 0a000001 0a000000"},
        Case{"v6_start_above_end",
             "01 000000 08 00 0028 0000 ffff 20010db8000000000000000000000001 20010db8000000000000000000000000"},
        Case{"ports_backwards", "01 000000 07 06 0010 01bb 0050 00000000 ffffffff"},
        Case{"nearly_opaque", "01 000000 07 06 0010 ffff 0001 00000000 ffffffff"},
        Case{"v4_in_v6", "01 000000 08 00 0010 0000 ffff 00000000 ffffffff"},
        Case{"v6_in_v4",
             "01 000000 07 00 0028 0000 ffff 20010db8000000000000000000000000 20010db8000000000000000000000001"},
        Case{"length_0", "01 000000 07 00 0000 0000 ffff 00000000 ffffffff"},
        Case{"length_15", "01 000000 07 00 000f 0000 ffff 00000000 ffffff"},
        Case{"length_17", "01 000000 07 00 0011 0000 ffff 00000000 ffffffff 00"},
        Case{"length_65535", "01 000000 07 00 ffff 0000 ffff 00000000 ffffffff"},
        Case{"cut_short", "01 000000 07 00 0010 0000 ffff 00000000 ffffff"},
        Case{"unknown_with_length_3", "01 000000 09 00 0003"}, Case{"unknown_with_length_0", "01 000000 00 00 0000"},
        Case{"unknown_over_the_end", "01 000000 09 00 0009 00000000"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(TsPayload, opaque_ports_are_the_one_range_that_runs_backwards) {
  const auto ts = parse_ts(PayloadType::TSi, hex("01 000000 07 11 0010 ffff 0000 00000000 ffffffff"));
  ASSERT_TRUE(ts);
  EXPECT_EQ(ts->selectors[0].port_first, 65535);
  EXPECT_EQ(ts->selectors[0].port_last, 0);
}

TEST(TsPayload, skips_types_that_we_do_not_know) {
  const auto mixed = parse_ts(PayloadType::TSi,
                              hex("03 000000 09 00 0008 00000000 07 00 0010 0000 ffff 00000000 ffffffff 00 00 0004"));
  ASSERT_TRUE(mixed);
  ASSERT_EQ(mixed->selectors.size(), 1U);
  EXPECT_EQ(written(*mixed), to_hex(hex("01 000000 07 00 0010 0000 ffff 00000000 ffffffff")));
  const auto none = parse_ts(PayloadType::TSi, hex("01 000000 09 00 0008 00000000"));
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->selectors.empty());
  EXPECT_TRUE(parse_ts(PayloadType::TSi, hex("00 000000")));
}

TEST(TsPayload, ignores_reserved_octets) {
  EXPECT_TRUE(parse_ts(PayloadType::TSi, hex("01 ffffff 07 00 0010 0000 ffff 00000000 ffffffff")));
}

TEST(TsPayload, holds_255_selectors) {
  TsPayload ts{PayloadType::TSi, {}};
  for (std::uint32_t i = 0; i < 255; ++i)
    ts.selectors.push_back({IpAddress::v4(i << 8), IpAddress::v4(i << 8 | 0xff), 0, 0, 65535});
  Bytes body = hex(written(ts));
  const auto again = parse_ts(PayloadType::TSi, body);
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, ts);
  append(body, hex("07 00 0010 0000 ffff 00000000 ffffffff"));
  EXPECT_FALSE(parse_ts(PayloadType::TSi, body));
}

}  // namespace
}  // namespace qanat::wire
