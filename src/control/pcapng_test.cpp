#include "control/pcapng.hpp"

#include <gtest/gtest.h>

namespace qanat::control::pcapng {
namespace {

std::uint32_t le32(const Bytes& from, std::size_t at) {
  return from[at] | (std::uint32_t{from[at + 1]} << 8) | (std::uint32_t{from[at + 2]} << 16) |
         (std::uint32_t{from[at + 3]} << 24);
}

// Types of the blocks, whose lengths at both ends lead through the whole.
std::vector<std::uint32_t> blocks(const Bytes& file) {
  std::vector<std::uint32_t> out;
  for (std::size_t at = 0; at < file.size();) {
    const std::uint32_t length = le32(file, at + 4);
    EXPECT_EQ(length % 4, 0U);
    EXPECT_LE(at + length, file.size());
    EXPECT_EQ(le32(file, at + length - 4), length);
    out.push_back(le32(file, at));
    at += length;
  }
  return out;
}

TEST(Pcapng, BlocksStandAsTheDraftSays) {
  Bytes file;
  append_section(file, "qanat 1");
  append_interface(file, "berlin", 65535, "");
  const std::size_t packet_at = file.size();
  const Bytes packet(5, 0x45);
  append_packet(file, 0, 0x1122334455667788, Direction::Outbound, packet, 1400);
  EXPECT_EQ(blocks(file), (std::vector<std::uint32_t>{0x0a0d0d0a, 1, 6}));
  EXPECT_EQ(le32(file, 8), 0x1a2b3c4dU);
  EXPECT_EQ(le32(file, packet_at + 8), 0U);            // interface
  EXPECT_EQ(le32(file, packet_at + 12), 0x11223344U);  // time, its upper half first
  EXPECT_EQ(le32(file, packet_at + 16), 0x55667788U);
  EXPECT_EQ(le32(file, packet_at + 20), 5U);     // kept
  EXPECT_EQ(le32(file, packet_at + 24), 1400U);  // of
  EXPECT_EQ(file[packet_at + 28], 0x45);
  EXPECT_EQ(le32(file, packet_at + 36), 0x00040002U);  // epb_flags
  EXPECT_EQ(le32(file, packet_at + 40), 2U);           // outbound
}

TEST(Pcapng, AnyLengthIsPaddedAndWithinTheBound) {
  for (std::size_t size = 0; size < 9; ++size) {
    Bytes file;
    append_packet(file, 3, 1, Direction::Inbound, Bytes(size, 1), 9);
    EXPECT_EQ(blocks(file).size(), 1U);
    EXPECT_LE(file.size(), size + kPacketOverhead);
  }
  Bytes file;
  append_interface(file, std::string(5000, 'x'), 64, "src host 10.1.2.3");
  EXPECT_EQ(blocks(file).size(), 1U);
  EXPECT_LT(file.size(), 1200U);
}

}  // namespace
}  // namespace qanat::control::pcapng
