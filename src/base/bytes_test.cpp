#include "base/bytes.hpp"

#include <gtest/gtest.h>

namespace qanat {
namespace {

TEST(ByteReader, reads_network_order_and_stops_at_the_end) {
  const Bytes data{0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09,
                   0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11};
  ByteReader reader{data};
  EXPECT_EQ(reader.u8("a").value(), 0x01);
  EXPECT_EQ(reader.u16("b").value(), 0x0203);
  EXPECT_EQ(reader.u32("c").value(), 0x04050607U);
  EXPECT_EQ(reader.u64("d").value(), 0x08090a0b0c0d0e0fU);
  EXPECT_EQ(reader.position(), 15U);
  EXPECT_EQ(reader.remaining(), 2U);
  EXPECT_TRUE(equal(reader.take(2, "e").value(), Bytes{0x10, 0x11}));
  EXPECT_TRUE(reader.empty());
  EXPECT_TRUE(reader.take(0, "f").value().empty());
}

TEST(ByteReader, a_short_read_names_the_field_and_takes_nothing) {
  const Bytes data{1, 2, 3};
  ByteReader reader{data};
  const auto refused = reader.u32("SPI");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind, ErrorKind::Malformed);
  EXPECT_EQ(refused.error().where, "SPI");
  EXPECT_EQ(refused.error().detail, "needs 4 octets, 3 are left");
  EXPECT_FALSE(reader.u64("x").has_value());
  EXPECT_FALSE(reader.take(4, "x").has_value());
  EXPECT_FALSE(reader.take(SIZE_MAX, "x").has_value());
  EXPECT_EQ(reader.position(), 0U);
  EXPECT_EQ(reader.u16("y").value(), 0x0102);
  EXPECT_FALSE(reader.u16("z").has_value());
  EXPECT_EQ(reader.u8("z").value(), 3);
  EXPECT_FALSE(reader.u8("z").has_value());
}

TEST(ByteWriter, writes_what_the_reader_reads_and_patches_by_position) {
  ByteWriter writer;
  writer.u8(0xff);
  writer.u16(0);
  writer.u32(0x01020304);
  writer.u64(0x05060708090a0b0c);
  writer.bytes(Bytes{0xaa, 0xbb});
  writer.zeros(3);
  writer.patch_u16(1, 0xbeef);
  writer.patch_u32(3, 0xcafebabe);
  EXPECT_EQ(writer.size(), 20U);
  EXPECT_EQ(to_hex(writer.view()), "ffbeefcafebabe05060708090a0b0caabb000000");
  EXPECT_EQ(std::move(writer).take().size(), 20U);
}

TEST(Hex, goes_both_ways) {
  EXPECT_EQ(to_hex(Bytes{0x00, 0x9f, 0xff}), "009fff");
  EXPECT_EQ(from_hex("009Fff").value(), (Bytes{0x00, 0x9f, 0xff}));
  EXPECT_TRUE(from_hex("").value().empty());
}

TEST(Hex, refuses_everything_else) {
  for (const char* text : {"0", "000", "0g", "g0", " 00", "0x00", "00 11", "-1", "0\n"})
    EXPECT_FALSE(from_hex(text).has_value()) << text;
}

TEST(Bytes, equal_compares_size_and_octets) {
  EXPECT_TRUE(equal({}, {}));
  EXPECT_TRUE(equal(Bytes{1, 2}, Bytes{1, 2}));
  EXPECT_FALSE(equal(Bytes{1, 2}, Bytes{1, 3}));
  EXPECT_FALSE(equal(Bytes{1, 2}, Bytes{1}));
  EXPECT_EQ(to_bytes("ab"), (Bytes{'a', 'b'}));
}

}  // namespace
}  // namespace qanat
