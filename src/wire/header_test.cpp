#include "wire/header.hpp"

#include <gtest/gtest.h>

#include "wire/testing.hpp"

namespace qanat::wire {
namespace {

using testing::hex;

// Figure 4 of RFC 7296: an empty INFORMATIONAL response from the original responder.
const char* const kFigure =
    "0102030405060708"  // IKE SA Initiator's SPI
    "1112131415161718"  // IKE SA Responder's SPI
    "00 20 25 20"       // Next Payload, MjVer 2 MnVer 0, INFORMATIONAL, Response
    "00000007"          // Message ID
    "0000001c";         // Length

TEST(IkeHeader, reads_as_the_figure) {
  const auto h = parse_header(hex(kFigure));
  ASSERT_TRUE(h);
  EXPECT_EQ(h->spi_i, 0x0102030405060708U);
  EXPECT_EQ(h->spi_r, 0x1112131415161718U);
  EXPECT_EQ(h->next_payload, PayloadType::None);
  EXPECT_EQ(h->major_version, 2);
  EXPECT_EQ(h->minor_version, 0);
  EXPECT_EQ(h->exchange, ExchangeType::INFORMATIONAL);
  EXPECT_TRUE(h->is_response());
  EXPECT_FALSE(h->from_initiator());
  EXPECT_EQ(h->message_id, 7U);
  EXPECT_EQ(h->length, 28U);
}

TEST(IkeHeader, writes_as_the_figure) {
  const Bytes figure = hex(kFigure);
  ByteWriter out;
  write_header(out, *parse_header(figure));
  EXPECT_EQ(to_hex(out.view()), to_hex(figure));
}

TEST(IkeHeader, of_any_version_is_read) {
  for (unsigned version = 0; version <= 0xff; ++version) {
    Bytes octets = hex(kFigure);
    octets[17] = static_cast<std::uint8_t>(version);
    const auto h = parse_header(octets);
    ASSERT_TRUE(h);
    EXPECT_EQ(h->major_version, version >> 4);
    EXPECT_EQ(h->minor_version, version & 15);
  }
}

TEST(IkeHeader, keeps_flags_as_received_and_sends_no_reserved_ones) {
  Bytes octets = hex(kFigure);
  octets[19] = 0xff;
  const auto h = parse_header(octets);
  ASSERT_TRUE(h);
  EXPECT_EQ(h->flags, 0xff);
  ByteWriter out;
  write_header(out, *h);
  EXPECT_EQ(out.view()[19], kFlagInitiator | kFlagResponse);
}

TEST(IkeHeader, shorter_than_28_octets_is_refused) {
  const Bytes figure = hex(kFigure);
  for (std::size_t size = 0; size < kIkeHeaderSize; ++size) {
    const auto h = parse_header(ByteView{figure}.first(size));
    ASSERT_FALSE(h);
    EXPECT_EQ(h.error().kind, ErrorKind::Malformed);
    EXPECT_EQ(h.error().notify, 7);
  }
}

TEST(IkeHeader, with_a_length_that_is_not_the_datagrams_is_refused) {
  for (const std::uint32_t length : {0U, 27U, 29U, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
    Bytes octets = hex(kFigure);
    store_be32(&octets[24], length);
    EXPECT_FALSE(parse_header(octets)) << length;
  }
  Bytes longer = hex(kFigure);
  longer.push_back(0);
  EXPECT_FALSE(parse_header(longer));
}

}  // namespace
}  // namespace qanat::wire
