#include "wire/message.hpp"

#include <gtest/gtest.h>

#include "base/rng.hpp"
#include "wire/testing.hpp"

namespace qanat::wire {
namespace {

using testing::filled;
using testing::hex;

void expect_malformed(const Result<ClearMessage>& result, const std::string& where) {
  ASSERT_FALSE(result) << where;
  EXPECT_EQ(result.error().kind, ErrorKind::Malformed);
  EXPECT_EQ(result.error().notify, 7);
  EXPECT_EQ(result.error().where, where);
}

// A cookie answer of RFC 7296 2.6, by hand.
const char* const kCookieAnswer =
    "0102030405060708 0000000000000000 29 20 22 20 00000000 00000028"
    "00 00 000c 00 00 4006 aabbccdd";

TEST(ClearMessage, reads_and_writes_as_the_figures) {
  const Bytes octets = hex(kCookieAnswer);
  const auto m = parse_message(octets);
  ASSERT_TRUE(m) << m.error().detail;
  EXPECT_FALSE(m->encrypted);
  ASSERT_EQ(m->payloads.size(), 1U);
  ASSERT_NE(find_notify(m->payloads, NotifyType::COOKIE), nullptr);
  EXPECT_EQ(find_notify(m->payloads, NotifyType::COOKIE)->data, hex("aabbccdd"));
  EXPECT_EQ(to_hex(write_clear_message(m->header, m->payloads)), to_hex(octets));
}

TEST(ClearMessage, writer_fills_in_next_payload_and_length) {
  IkeHeader h = testing::header_of(ExchangeType::INFORMATIONAL, kFlagResponse, 3);
  h.next_payload = PayloadType::SA;
  h.length = 99;
  EXPECT_EQ(to_hex(write_clear_message(h, {})),
            to_hex(hex("0102030405060708 1112131415161718 00 20 25 20 00000003 0000001c")));
}

// RFC 7296 Figure 21 and RFC 7383 Figure 1.
TEST(EncryptedPart, of_sk_is_the_rest_of_the_datagram) {
  const Bytes octets =
      hex("0102030405060708 1112131415161718 2e 20 23 08 00000001 00000024"
          "23 00 0008 01020304");
  const auto m = parse_message(octets);
  ASSERT_TRUE(m) << m.error().detail;
  ASSERT_TRUE(m->encrypted);
  EXPECT_TRUE(m->payloads.empty());
  const EncryptedPart& e = *m->encrypted;
  EXPECT_EQ(e.first_inner, PayloadType::IDi);
  EXPECT_EQ(e.reserved, 0);
  EXPECT_EQ(e.associated_size, kIkeHeaderSize + kSkHeaderSize);
  EXPECT_EQ(e.body.data(), octets.data() + e.associated_size);
  EXPECT_EQ(to_hex(e.body), "01020304");
  EXPECT_FALSE(e.is_fragment());
  EXPECT_EQ(e.fragment_number, 0);
}

TEST(EncryptedPart, of_skf_has_its_numbers) {
  const Bytes octets =
      hex("0102030405060708 1112131415161718 35 20 23 08 00000001 00000028"
          "00 00 000c 0002 0003 01020304");
  const auto m = parse_message(octets);
  ASSERT_TRUE(m) << m.error().detail;
  ASSERT_TRUE(m->encrypted);
  const EncryptedPart& e = *m->encrypted;
  EXPECT_TRUE(e.is_fragment());
  EXPECT_EQ(e.fragment_number, 2);
  EXPECT_EQ(e.total_fragments, 3);
  EXPECT_EQ(e.associated_size, kIkeHeaderSize + kSkfHeaderSize);
  EXPECT_EQ(to_hex(e.body), "01020304");
}

TEST(EncryptedPart, keeps_its_reserved_octet_for_int_auth) {
  for (const std::uint8_t reserved : {std::uint8_t{0x80}, std::uint8_t{0x7f}, std::uint8_t{0xff}}) {
    Bytes octets = hex("0102030405060708 1112131415161718 2e 20 23 08 00000001 00000024 23 00 0008 01020304");
    octets[29] = reserved;
    EXPECT_EQ(parse_message(octets)->encrypted->reserved, reserved);
  }
}

TEST(EncryptedPart, follows_what_stands_in_the_clear) {
  const Bytes octets =
      hex("0102030405060708 1112131415161718 29 20 2b 08 00000001 0000002e"
          "2e 00 0009 00 00 4006 aa"
          "22 00 0009 0102030405");
  const auto m = parse_message(octets);
  ASSERT_TRUE(m) << m.error().detail;
  EXPECT_EQ(m->payloads.size(), 1U);
  EXPECT_EQ(m->encrypted->associated_size, 28U + 9 + 4);
  EXPECT_EQ(to_hex(m->encrypted->body), "0102030405");
}

struct Broken {
  const char* name;
  const char* where;
  const char* after_header;  // the first octet is the header's Next Payload
};
class BrokenMessages : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenMessages, are_malformed) {
  const Bytes rest = hex(GetParam().after_header);
  Bytes octets = hex("0102030405060708 1112131415161718 00 20 23 08 00000001 00000000");
  octets[16] = rest[0];
  append(octets, ByteView{rest}.subspan(1));
  store_be32(&octets[24], static_cast<std::uint32_t>(octets.size()));
  expect_malformed(parse_message(octets), GetParam().where);
}

INSTANTIATE_TEST_SUITE_P(
    Message, BrokenMessages,
    ::testing::Values(Broken{"octets_after_none", "message", "00 00"}, Broken{"sk_absent", "SK payload", "2e"},
                      Broken{"sk_half_a_header", "SK payload", "2e 23 00 00"},
                      Broken{"sk_length_0", "SK payload", "2e 23 00 0000"},
                      Broken{"sk_length_3", "SK payload", "2e 23 00 0003 01"},
                      Broken{"sk_length_too_long", "SK payload", "2e 23 00 0009 01020304"},
                      Broken{"sk_length_65535", "SK payload", "2e 23 00 ffff 01020304"},
                      Broken{"sk_not_the_rest", "SK payload", "2e 23 00 0007 01020304"},
                      Broken{"payload_after_sk", "SK payload", "2e 2b 00 0008 01020304 00 00 0005 01"},
                      Broken{"sk_after_sk", "SK payload", "2e 2e 00 0008 01020304 00 00 0008 01020304"},
                      Broken{"skf_length_4", "SKF payload", "35 23 00 0004"},
                      Broken{"skf_length_7", "SKF payload", "35 23 00 0007 0001 00"},
                      Broken{"skf_number_0", "SKF payload", "35 00 00 000c 0000 0003 01020304"},
                      Broken{"skf_total_0", "SKF payload", "35 00 00 000c 0001 0000 01020304"},
                      Broken{"skf_both_0", "SKF payload", "35 00 00 000c 0000 0000 01020304"},
                      Broken{"skf_4_of_3", "SKF payload", "35 00 00 000c 0004 0003 01020304"},
                      Broken{"skf_65535_of_1", "SKF payload", "35 00 00 000c ffff 0001 01020304"},
                      Broken{"skf_not_the_rest", "SKF payload", "35 00 00 000b 0001 0003 01020304"},
                      Broken{"payload_absent", "N payload", "29"},
                      Broken{"bad_payload_before_sk", "Nonce payload", "28 2e 00 0005 01 00 00 0008 01020304"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(EncryptedPart, may_be_empty_until_somebody_has_keys) {
  const auto sk = parse_message(hex("0102030405060708 1112131415161718 2e 20 25 08 00000001 00000020 00 00 0004"));
  ASSERT_TRUE(sk);
  EXPECT_TRUE(sk->encrypted->body.empty());
  const auto skf =
      parse_message(hex("0102030405060708 1112131415161718 35 20 25 08 00000001 00000024 00 00 0008 ffff ffff"));
  ASSERT_TRUE(skf);
  EXPECT_EQ(skf->encrypted->fragment_number, 65535);
}

TEST(Message, has_at_most_128_payloads_before_sk) {
  EncryptedPart sk;
  const IkeHeader h = testing::header_of(ExchangeType::IKE_INTERMEDIATE, kFlagInitiator, 1);
  EXPECT_TRUE(parse_message(testing::write_message(h, Payloads(127, VendorIdPayload{{1}}), sk)));
  EXPECT_TRUE(parse_message(write_clear_message(h, Payloads(128, VendorIdPayload{{1}}))));
  expect_malformed(parse_message(write_clear_message(h, Payloads(129, VendorIdPayload{{1}}))), "message");
}

TEST(Message, has_at_most_65507_octets) {
  const IkeHeader h = testing::header_of(ExchangeType::INFORMATIONAL, kFlagInitiator, 1);
  Bytes octets = write_clear_message(h, {VendorIdPayload{Bytes(kMaxMessageSize - kIkeHeaderSize - 4)}});
  ASSERT_EQ(octets.size(), kMaxMessageSize);
  EXPECT_TRUE(parse_message(octets));
  octets.push_back(0);
  store_be32(&octets[24], static_cast<std::uint32_t>(octets.size()));
  store_be16(&octets[30], static_cast<std::uint16_t>(octets.size() - kIkeHeaderSize));
  expect_malformed(parse_message(octets), "IKE header");
}

// ---- every sample, broken everywhere ----

class Samples : public ::testing::TestWithParam<testing::NamedMessage> {};
INSTANTIATE_TEST_SUITE_P(Message, Samples, ::testing::ValuesIn(testing::sample_messages()),
                         [](const auto& test) { return test.param.name; });

// Nothing may crash; what parses must be written and read as the same; what does not must say why.
void check(ByteView octets) {
  const auto m = parse_message(octets);
  if (m) {
    ASSERT_EQ(testing::round_trip_fault(*m), "") << to_hex(octets);
  } else {
    ASSERT_EQ(m.error().kind, ErrorKind::Malformed);
    ASSERT_EQ(m.error().notify, 7);
    ASSERT_FALSE(m.error().where.empty() || m.error().detail.empty());
  }
}

TEST_P(Samples, are_written_as_they_were_read) {
  const Bytes& octets = GetParam().octets;
  const auto m = parse_message(octets);
  ASSERT_TRUE(m) << m.error().where << ": " << m.error().detail;
  EXPECT_EQ(to_hex(testing::write_message(m->header, m->payloads, m->encrypted)), to_hex(octets));
}

TEST_P(Samples, survive_every_octet_changed) {
  const Bytes& octets = GetParam().octets;
  for (std::size_t i = 0; i < octets.size(); ++i) {
    const std::uint8_t was = octets[i];
    std::vector<std::uint8_t> values{0, 0xff, static_cast<std::uint8_t>(was + 1), static_cast<std::uint8_t>(was - 1)};
    for (unsigned bit = 0; bit < 8; ++bit) values.push_back(static_cast<std::uint8_t>(was ^ (1U << bit)));
    for (const std::uint8_t value : values) {
      Bytes changed = octets;
      changed[i] = value;
      check(changed);
    }
  }
}

TEST_P(Samples, survive_truncation_and_growth) {
  for (std::size_t size = 0; size < GetParam().octets.size() + 8; ++size) {
    Bytes changed = GetParam().octets;
    changed.resize(size);
    check(changed);
    if (size >= kIkeHeaderSize) store_be32(&changed[24], static_cast<std::uint32_t>(size));
    check(changed);
  }
}

TEST_P(Samples, survive_a_lie_in_every_16_bit_field) {
  const Bytes& octets = GetParam().octets;
  for (std::size_t i = kIkeHeaderSize; i + 2 <= octets.size(); ++i) {
    for (const unsigned value : {0U, 1U, 3U, 4U, 7U, 8U, 255U, 256U, 32768U, 65535U}) {
      Bytes changed = octets;
      store_be16(&changed[i], static_cast<std::uint16_t>(value));
      check(changed);
    }
  }
}

TEST(Message, of_random_octets_is_survived) {
  SeededRng rng(7296);
  for (int round = 0; round < 50000; ++round) {
    Bytes octets = rng.bytes(rng.below(200));
    check(octets);
    if (octets.size() >= kIkeHeaderSize) {  // let it past the header, into a payload that has a parser
      octets[16] = static_cast<std::uint8_t>(33 + rng.below(22));
      store_be32(&octets[24], static_cast<std::uint32_t>(octets.size()));
      if (octets.size() >= 32) store_be16(&octets[30], static_cast<std::uint16_t>(octets.size() - kIkeHeaderSize));
      if (octets.size() >= 32) octets[28] = 0;
      check(octets);
    }
  }
}

TEST(Message, of_samples_with_random_changes_is_survived) {
  SeededRng rng(7383);
  const auto samples = testing::sample_messages();
  for (int round = 0; round < 50000; ++round) {
    Bytes octets = samples[rng.below(samples.size())].octets;
    for (std::uint64_t changes = 1 + rng.below(6); changes > 0; --changes) {
      octets[rng.below(octets.size())] = static_cast<std::uint8_t>(rng.u32());
    }
    store_be32(&octets[24], static_cast<std::uint32_t>(octets.size()));
    check(octets);
  }
}

}  // namespace
}  // namespace qanat::wire
