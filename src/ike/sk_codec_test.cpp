#include "ike/sk_codec.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "wire/testing.hpp"

namespace qanat::ike {
namespace {

using wire::PayloadType;
using wire::testing::hex;

struct Pair {
  SkSealer sealer;
  crypto::SkCipher opener;
};
Pair make(const CipherSuite& suite) {
  const auto sizes = crypto::cipher_sizes(suite);
  const Bytes e(sizes.encr_key, 1);
  const Bytes a(sizes.integ_key, 2);
  return {SkSealer{*crypto::SkCipher::create(suite, e, a), suite}, *crypto::SkCipher::create(suite, e, a)};
}
const CipherSuite kGcm{EncrId::ENCR_AES_GCM_16, 256, IntegId::NONE};
const CipherSuite kCbc{EncrId::ENCR_AES_CBC, 256, IntegId::AUTH_HMAC_SHA2_256_128};
wire::IkeHeader header() {
  return wire::testing::header_of(wire::ExchangeType::IKE_INTERMEDIATE, wire::kFlagInitiator, 1);
}

TEST(SkCodec, WhatIsSealedOpensInEverySizeAndSplit) {
  SeededRng rng{1};
  for (const CipherSuite& suite : {kGcm, kCbc}) {
    for (const std::size_t size :
         {std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{17}, std::size_t{500}, std::size_t{3000}}) {
      for (const std::size_t limit : {std::size_t{0}, std::size_t{220}, std::size_t{548}, std::size_t{1400}}) {
        Pair p = make(suite);
        const auto sealed = p.sealer.seal(header(), {wire::KePayload{KeId::ML_KEM_768, Bytes(size, 7)}}, limit, rng);
        ASSERT_TRUE(sealed);
        Bytes text;
        for (const Bytes& d : sealed->datagrams) {
          EXPECT_TRUE(limit == 0 || d.size() <= limit);
          const auto message = wire::parse_message(d);
          ASSERT_TRUE(message && message->encrypted);
          EXPECT_EQ(message->encrypted->is_fragment(), sealed->datagrams.size() > 1);
          const auto part = open_encrypted(p.opener, d, *message->encrypted);
          ASSERT_TRUE(part);
          append(text, *part);
        }
        EXPECT_EQ(text, sealed->plaintext);
      }
    }
  }
}

TEST(SkCodec, AnAeadNeverUsesAnIvTwice) {
  SeededRng rng{1};
  Pair p = make(kGcm);
  std::vector<Bytes> ivs;
  for (int i = 0; i < 20; ++i) {
    const auto sealed = p.sealer.seal(header(), {wire::KePayload{KeId::ML_KEM_768, Bytes(1000, 7)}}, 500, rng);
    for (const Bytes& d : sealed->datagrams) {
      const auto message = wire::parse_message(d);
      const Bytes iv = to_bytes(message->encrypted->body.first(8));
      EXPECT_EQ(std::count(ivs.begin(), ivs.end(), iv), 0);
      ivs.push_back(iv);
    }
  }
}

TEST(SkCodec, EveryDamagedOctetIsFound) {
  SeededRng rng{1};
  for (const CipherSuite& suite : {kGcm, kCbc}) {
    Pair p = make(suite);
    const Bytes good = p.sealer.seal(header(), {wire::NoncePayload{Bytes(32, 3)}}, 0, rng)->datagrams.front();
    for (std::size_t at = 0; at < good.size(); ++at) {
      Bytes bad = good;
      bad[at] ^= 0x80;
      const auto message = wire::parse_message(bad);
      if (!message || !message->encrypted) continue;
      const auto text = open_encrypted(p.opener, bad, *message->encrypted);
      EXPECT_FALSE(text.has_value()) << at;
    }
  }
}

TEST(SkCodec, WhatIsTooShortIsMalformed) {
  Pair p = make(kCbc);
  wire::EncryptedPart part;
  part.associated_size = 32;
  for (const std::size_t size : {0U, 1U, 16U, 47U, 49U, 65U}) {
    Bytes datagram(32 + size, 0);
    part.body = ByteView{datagram}.subspan(32);
    const auto text = open_encrypted(p.opener, datagram, part);
    ASSERT_FALSE(text.has_value());
    EXPECT_EQ(text.error().kind, ErrorKind::Malformed) << size;
  }
}

TEST(SkCodec, AMessageForMoreThan255FragmentsIsNotSent) {
  SeededRng rng{1};
  Pair p = make(kGcm);
  wire::Payloads many;
  for (int i = 0; i < 60; ++i) many.emplace_back(wire::VendorIdPayload{Bytes(1000, 1)});
  EXPECT_FALSE(p.sealer.seal(header(), many, 200, rng).has_value());
  EXPECT_TRUE(p.sealer.seal(header(), many, 0, rng).has_value());
}

// RFC 9242 3.3.2, by hand: the IKE header from its first octet, Next Payload 46 where 53 stood, Length |A|+|P|; the SK
// header with its own Next Payload, the RESERVED octet of fragment 1, and Payload Length |P|+4.
TEST(IntAuthHeader, OfAFragmentIsThatOfTheWholeMessage) {
  const Bytes fragment1 =
      hex("0102030405060708 1112131415161718 35 20 2b 08 00000001 00000064"
          "22 80 0048 0001 0003");
  Bytes datagram = fragment1;
  datagram.resize(100, 0xee);
  const auto message = wire::parse_message(datagram);
  ASSERT_TRUE(message && message->encrypted);
  EXPECT_EQ(int_auth_header(datagram, *message->encrypted, 1192),
            hex("0102030405060708 1112131415161718 2e 20 2b 08 00000001 000004c8"
                "22 80 04ac"));
}

// With a payload in the clear before it, it is that payload's Next Payload which said 53.
TEST(IntAuthHeader, PatchesThePayloadBeforeTheFragment) {
  Bytes datagram =
      hex("0102030405060708 1112131415161718 29 20 2b 08 00000001 0000006c"
          "35 00 0008 0000 9c40"
          "22 00 0048 0001 0003");
  datagram.resize(108, 0xee);
  const auto message = wire::parse_message(datagram);
  ASSERT_TRUE(message && message->encrypted);
  EXPECT_EQ(int_auth_header(datagram, *message->encrypted, 10),
            hex("0102030405060708 1112131415161718 29 20 2b 08 00000001 00000032"
                "2e 00 0008 0000 9c40"
                "22 00 000e"));
}

TEST(IntAuthHeader, OfAWholeMessageHasOnlyItsLengthsAdjusted) {
  SeededRng rng{1};
  for (const CipherSuite& suite : {kGcm, kCbc}) {
    for (const std::size_t limit : {std::size_t{0}, std::size_t{300}}) {
      Pair p = make(suite);
      const auto sealed = p.sealer.seal(header(), {wire::KePayload{KeId::ML_KEM_512, Bytes(768, 7)}}, limit, rng);
      const auto message = wire::parse_message(sealed->datagrams.front());
      EXPECT_EQ(int_auth_header(sealed->datagrams.front(), *message->encrypted, sealed->plaintext.size()),
                sealed->auth_header);
      EXPECT_EQ(sealed->auth_header, hex("0102030405060708 1112131415161718 2e 20 2b 08 00000001 00000328 22 00 030c"));
    }
  }
}

}  // namespace
}  // namespace qanat::ike
