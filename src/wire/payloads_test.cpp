#include "wire/payloads.hpp"

#include <gtest/gtest.h>

#include "wire/testing.hpp"

namespace qanat::wire {
namespace {

using testing::filled;
using testing::hex;

template <typename T>
void expect_malformed(const Result<T>& result, const std::string& what) {
  ASSERT_FALSE(result) << what;
  EXPECT_EQ(result.error().kind, ErrorKind::Malformed) << what;
  EXPECT_EQ(result.error().notify, 7) << what;
  EXPECT_FALSE(result.error().where.empty()) << what;
  EXPECT_FALSE(result.error().detail.empty()) << what;
}

Bytes chain_of(const Payloads& payloads) {
  ByteWriter out;
  write_chain(out, payloads);
  return std::move(out).take();
}

// One payload with its generic header, as the last of a chain.
Bytes raw(ByteView body) {
  Bytes out{0, 0, 0, 0};
  append(out, body);
  store_be16(&out[2], static_cast<std::uint16_t>(out.size()));
  return out;
}
Result<Payloads> parse_body(PayloadType type, const char* body) {
  return parse_chain(type, raw(hex(body)));
}

// ---- RFC 7296 Figures 5 and 10 to 19, by hand ----

struct Figure {
  const char* name;
  Payload payload;
  const char* octets;
};
class Figures : public ::testing::TestWithParam<Figure> {};

TEST_P(Figures, are_what_is_read_and_written) {
  const Figure& f = GetParam();
  const Bytes octets = hex(f.octets);
  EXPECT_EQ(to_hex(chain_of({f.payload})), to_hex(octets));
  EXPECT_EQ(to_hex(body_of(f.payload)), to_hex(ByteView{octets}.subspan(4)));
  const auto read = parse_chain(type_of(f.payload), octets);
  ASSERT_TRUE(read) << read.error().where << ": " << read.error().detail;
  ASSERT_EQ(read->size(), 1U);
  EXPECT_EQ(read->front(), f.payload);
}

INSTANTIATE_TEST_SUITE_P(
    Payload, Figures,
    ::testing::Values(
        Figure{"SA", testing::esp_sa(),
               "00 00 002c 00000028 01030403 c1020304 0300000c 01000014 800e0100 03000008 05000001 00000008 05000000"},
        Figure{"KE", KePayload{KeId::ML_KEM_768, {1, 2, 3}}, "00 00 000b 0024 0000 010203"},
        Figure{"IDi", IdPayload{PayloadType::IDi, {IdType::ID_FQDN, to_bytes("a.b")}}, "00 00 000b 02 000000 612e62"},
        Figure{"IDr", IdPayload{PayloadType::IDr, {IdType::ID_IPV4_ADDR, {192, 0, 2, 1}}},
               "00 00 000c 01 000000 c0000201"},
        Figure{"IDr_null", IdPayload{PayloadType::IDr, {IdType::ID_NULL, {}}}, "00 00 0008 0d 000000"},
        Figure{"CERT", CertPayload{4, {0x30, 0x00}}, "00 00 0007 04 3000"},
        Figure{"CERTREQ", CertReqPayload{4, {}}, "00 00 0005 04"},
        Figure{"AUTH", AuthPayload{AuthMethod::SharedKeyMic, {0xaa, 0xbb}}, "00 00 000a 02 000000 aabb"},
        Figure{"Nonce", NoncePayload{filled(16)}, "00 00 0014 000102030405060708090a0b0c0d0e0f"},
        Figure{"N", NotifyPayload{ProtocolId::None, {}, NotifyType::INVALID_KE_PAYLOAD, {0, 31}},
               "00 00 000a 00 00 0011 001f"},
        Figure{"N_rekey", NotifyPayload{ProtocolId::ESP, {0xc1, 2, 3, 4}, NotifyType::REKEY_SA, {}},
               "00 00 000c 03 04 4009 c1020304"},
        Figure{"D_ike", DeletePayload{ProtocolId::IKE, {}}, "00 00 0008 01 00 0000"},
        Figure{"D_esp", DeletePayload{ProtocolId::ESP, {0xc1020304, 0xff}}, "00 00 0010 03 04 0002 c1020304 000000ff"},
        Figure{"V", VendorIdPayload{{1, 2}}, "00 00 0006 0102"},
        Figure{"TSi",
               TsPayload{PayloadType::TSi, {TrafficSelector{IpAddress::v4(0), IpAddress::v4(0xffffffff), 0, 0, 65535}}},
               "00 00 0018 01 000000 07 00 0010 0000 ffff 00000000 ffffffff"},
        Figure{"CP", CpPayload{{1, 0, 0, 0}}, "00 00 0008 01 000000"},
        Figure{"EAP", EapPayload{{3, 1, 0, 4}}, "00 00 0008 03 01 0004"},
        Figure{"PS", PuzzleSolutionPayload{{7}}, "00 00 0005 07"},
        Figure{"unknown_critical", UnknownPayload{static_cast<PayloadType>(200), true, {5}}, "00 80 0005 05"},
        Figure{"unknown", UnknownPayload{static_cast<PayloadType>(1), false, {}}, "00 00 0004"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Chain, links_next_payloads) {
  const Payloads two{NoncePayload{filled(16)}, VendorIdPayload{{9}}};
  ByteWriter out;
  EXPECT_EQ(write_chain(out, two, PayloadType::SK), PayloadType::Nonce);
  EXPECT_EQ(to_hex(out.view()), to_hex(hex("2b 00 0014 000102030405060708090a0b0c0d0e0f 2e 00 0005 09")));
  ByteWriter nothing;
  EXPECT_EQ(write_chain(nothing, {}, PayloadType::SK), PayloadType::None);
  EXPECT_EQ(nothing.size(), 0U);
  const auto empty = parse_chain(PayloadType::None, {});
  ASSERT_TRUE(empty);
  EXPECT_TRUE(empty->empty());
}

// ---- K1 of reliability.md: every payload, and what can be wrong about its generic header ----

class EveryPayload : public ::testing::TestWithParam<testing::NamedPayload> {
 protected:
  [[nodiscard]] PayloadType type() const { return type_of(GetParam().payload); }
  [[nodiscard]] Bytes octets() const { return chain_of({GetParam().payload}); }
};
INSTANTIATE_TEST_SUITE_P(K1, EveryPayload, ::testing::ValuesIn(testing::every_payload()),
                         [](const auto& test) { return test.param.name; });

TEST_P(EveryPayload, round_trips) {
  const auto read = parse_chain(type(), octets());
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, Payloads{GetParam().payload});
}

TEST_P(EveryPayload, with_an_empty_body_is_refused_unless_it_may_be_empty) {
  const std::string name = GetParam().name;
  const bool may_be_empty = name == "V" || name == "CP" || name == "EAP" || name == "PS" || name == "Unknown";
  const auto read = parse_chain(type(), raw({}));
  EXPECT_EQ(read.has_value(), may_be_empty);
  if (!read) expect_malformed(read, name);
}

TEST_P(EveryPayload, with_a_length_below_4_is_refused) {
  for (std::uint16_t length = 0; length < 4; ++length) {
    Bytes o = octets();
    store_be16(&o[2], length);
    expect_malformed(parse_chain(type(), o), std::to_string(length));
  }
}

TEST_P(EveryPayload, with_a_length_over_the_end_is_refused) {
  for (const std::size_t more : {std::size_t{1}, std::size_t{4}, std::size_t{256}, 65535 - octets().size()}) {
    Bytes o = octets();
    store_be16(&o[2], static_cast<std::uint16_t>(o.size() + more));
    expect_malformed(parse_chain(type(), o), std::to_string(more));
  }
}

TEST_P(EveryPayload, with_a_length_before_the_end_is_refused) {
  Bytes o = octets();
  store_be16(&o[2], static_cast<std::uint16_t>(o.size() - 1));
  expect_malformed(parse_chain(type(), o), "one octet follows");
}

TEST_P(EveryPayload, cut_anywhere_is_refused) {
  const Bytes o = octets();
  for (std::size_t size = 0; size < o.size(); ++size) {
    expect_malformed(parse_chain(type(), ByteView{o}.first(size)), std::to_string(size));
  }
}

TEST_P(EveryPayload, with_a_body_cut_anywhere_parses_to_something_that_round_trips_or_is_refused) {
  const Bytes o = octets();
  for (std::size_t size = 4; size < o.size(); ++size) {
    const auto read = parse_chain(type(), raw(ByteView{o}.subspan(4, size - 4)));
    if (!read) continue;
    const auto again = parse_chain(type(), chain_of(*read));
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, *read);
  }
}

TEST_P(EveryPayload, ignores_reserved_bits) {
  Bytes o = octets();
  o[1] = 0x7f;
  const auto read = parse_chain(type(), o);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, Payloads{GetParam().payload});
}

TEST_P(EveryPayload, has_a_critical_bit_that_counts_only_when_unknown) {
  Bytes o = octets();
  o[1] = 0x80;
  const auto read = parse_chain(type(), o);
  ASSERT_TRUE(read);
  if (const auto* unknown = std::get_if<UnknownPayload>(&read->front())) {
    EXPECT_TRUE(unknown->critical);
  } else {
    EXPECT_EQ(*read, Payloads{GetParam().payload});
  }
}

TEST_P(EveryPayload, stands_up_to_128_times) {
  for (const std::size_t times : {2U, 100U, 128U}) {
    const auto read = parse_chain(type(), chain_of(Payloads(times, GetParam().payload)));
    ASSERT_TRUE(read);
    EXPECT_EQ(count(*read, type()), times);
  }
  expect_malformed(parse_chain(type(), chain_of(Payloads(129, GetParam().payload))), "129");
}

TEST_P(EveryPayload, cannot_be_announced_and_absent) {
  expect_malformed(parse_chain(type(), {}), "absent");
  Bytes o = octets();
  o[0] = static_cast<std::uint8_t>(type());
  expect_malformed(parse_chain(type(), o), "a second one is announced");
}

TEST_P(EveryPayload, cannot_follow_the_last) {
  expect_malformed(parse_chain(PayloadType::None, octets()), "after none");
}

TEST(Chain, holds_no_encrypted_payload) {
  for (const PayloadType type : {PayloadType::SK, PayloadType::SKF}) {
    expect_malformed(parse_chain(type, raw(filled(40))), to_string(type));
    Bytes o = chain_of({VendorIdPayload{{1}}});
    o[0] = static_cast<std::uint8_t>(type);
    append(o, raw(filled(40)));
    expect_malformed(parse_chain(PayloadType::V, o), to_string(type));
  }
}

TEST(Chain, keeps_every_type_that_has_no_struct) {
  for (unsigned value = 1; value <= 255; ++value) {
    const auto type = static_cast<PayloadType>(value);
    if (type == PayloadType::SK || type == PayloadType::SKF) continue;
    const auto read = parse_chain(type, raw(filled(3)));
    const bool known = (value >= 33 && value <= 48) || value == 54;
    if (!known) {  // IKEv1's 1 to 32 among them
      ASSERT_TRUE(read) << value;
      EXPECT_EQ(read->front(), (Payload{UnknownPayload{type, false, filled(3)}}));
    }
  }
}

// ---- K3, K4 ----

TEST(Nonce, has_16_to_256_octets) {
  for (std::size_t size = 0; size <= 300; ++size) {
    EXPECT_EQ(parse_chain(PayloadType::Nonce, raw(filled(size))).has_value(), size >= 16 && size <= 256) << size;
  }
}

TEST(Ke, has_data_of_any_size_but_none) {
  expect_malformed(parse_body(PayloadType::KE, "001f"), "half a header");
  expect_malformed(parse_body(PayloadType::KE, "001f0000"), "no data");
  EXPECT_TRUE(parse_body(PayloadType::KE, "001fffff01"));
  EXPECT_TRUE(parse_chain(PayloadType::KE, raw(Bytes(65531))));
}

TEST(Id, has_data_of_its_type) {
  for (const char* body : {"", "02", "02 0000", "02 000000", "0b 000000", "63 000000", "01 000000 c00002",
                           "01 000000 c000020101", "01 000000", "05 000000 c0000201", "0d 000000 00"}) {
    expect_malformed(parse_body(PayloadType::IDi, body), body);
    const auto read = parse_body(PayloadType::IDr, body);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().where, "IDr payload");
  }
  for (const char* body : {"02 ffffff 61", "0d 000000", "63 000000 00", "01 000000 c0000201",
                           "05 000000 20010db8000000000000000000000001", "09 000000 00"}) {
    EXPECT_TRUE(parse_body(PayloadType::IDi, body)) << body;
  }
}

TEST(CertAndAuth, are_not_empty) {
  for (const PayloadType type : {PayloadType::CERT, PayloadType::CERTREQ})
    expect_malformed(parse_body(type, ""), to_string(type));
  expect_malformed(parse_body(PayloadType::CERT, "04"), "no certificate");
  EXPECT_TRUE(parse_body(PayloadType::CERTREQ, "04"));
  for (const char* body : {"", "02", "02 0000", "02 000000"})
    expect_malformed(parse_body(PayloadType::AUTH, body), body);
  EXPECT_TRUE(parse_body(PayloadType::AUTH, "ff ffffff 00"));
}

TEST(Notify, has_an_spi_of_any_size_that_fits) {
  for (const char* body :
       {"", "00", "00 00", "00 00 40", "03 01 4009", "03 04 4009 c10203", "03 ff 4009 c1020304", "00 ff 4009"}) {
    expect_malformed(parse_body(PayloadType::N, body), body);
  }
  for (const std::size_t size : {0U, 1U, 3U, 4U, 5U, 8U, 255U}) {
    const Payload n = NotifyPayload{ProtocolId::ESP, filled(size), static_cast<NotifyType>(0xffff), {1}};
    const auto read = parse_chain(PayloadType::N, chain_of({n}));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->front(), n);
  }
}

TEST(Delete, has_spis_of_its_protocol) {
  for (const char* body : {"",
                           "01",
                           "01 00 00",
                           "03 04 0000 c1020304",
                           "03 04 0001",
                           "03 04 0002 c1020304",
                           "03 04 0001 c102030400",
                           "03 04 0001 c10203",
                           "03 04 00ff c1020304",
                           "03 04 ffff c1020304",
                           "03 00 0000",
                           "03 00 0001",
                           "03 03 0001 c10203",
                           "03 05 0001 c102030405",
                           "03 08 0001 c102030405060708",
                           "02 ff 0000",
                           "01 04 0001 c1020304",
                           "01 00 0000 00",
                           "01 08 0000",
                           "00 00 0000",
                           "04 04 0001 c1020304",
                           "ff 04 0001 c1020304"}) {
    expect_malformed(parse_body(PayloadType::D, body), body);
  }
  for (const char* body : {"01 00 0000", "01 00 0001", "01 00 ffff", "03 04 0000", "02 04 0001 c1020304",
                           "03 04 0002 c1020304 c1020304"}) {
    EXPECT_TRUE(parse_body(PayloadType::D, body)) << body;
  }
}

TEST(Delete, of_10000_spis_is_read) {
  DeletePayload d{ProtocolId::ESP, {}};
  for (std::uint32_t i = 0; i < 10000; ++i) d.spis.push_back(i);
  const auto read = parse_chain(PayloadType::D, chain_of({d}));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->front(), Payload{d});
}

// ---- looking for payloads ----

TEST(Find, returns_the_first_of_a_kind) {
  const Payloads all{NotifyPayload{ProtocolId::None, {}, NotifyType::COOKIE, {1}},
                     NotifyPayload{ProtocolId::None, {}, NotifyType::COOKIE, {2}},
                     NotifyPayload{ProtocolId::None, {}, NotifyType::USE_PPK, {}},
                     IdPayload{PayloadType::IDr, {IdType::ID_FQDN, {'r'}}}, TsPayload{PayloadType::TSr, {}}};
  ASSERT_NE(find_notify(all, NotifyType::COOKIE), nullptr);
  EXPECT_EQ(find_notify(all, NotifyType::COOKIE)->data, Bytes{1});
  EXPECT_NE(find_notify(all, NotifyType::USE_PPK), nullptr);
  EXPECT_EQ(find_notify(all, NotifyType::REDIRECT), nullptr);
  EXPECT_NE(find_id(all, PayloadType::IDr), nullptr);
  EXPECT_EQ(find_id(all, PayloadType::IDi), nullptr);
  EXPECT_NE(find_ts(all, PayloadType::TSr), nullptr);
  EXPECT_EQ(find_ts(all, PayloadType::TSi), nullptr);
  EXPECT_EQ(find<KePayload>(all), nullptr);
  EXPECT_EQ(find<NotifyPayload>(all)->data, Bytes{1});
  EXPECT_EQ(count(all, PayloadType::N), 3U);
  EXPECT_EQ(count(all, PayloadType::SA), 0U);
}

}  // namespace
}  // namespace qanat::wire
