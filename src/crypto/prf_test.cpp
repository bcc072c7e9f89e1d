#include "crypto/prf.hpp"

#include <gtest/gtest.h>

#include "crypto/digest.hpp"

namespace qanat::crypto {
namespace {

Bytes hex(std::string_view text) {
  return from_hex(text).value();
}

constexpr PrfId kAll[] = {PrfId::PRF_HMAC_SHA2_256, PrfId::PRF_HMAC_SHA2_384, PrfId::PRF_HMAC_SHA2_512};

struct Rfc4231 {
  const char* key;
  const char* data;
  const char* outputs[3];  // SHA-256, 384, 512
};
const Rfc4231 kRfc4231[] = {
    // test case 1
    {.key = "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
     .data = "4869205468657265",
     .outputs = {"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
                 "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
                 "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d"
                 "914eeb61f1702e696c203a126854"}},
    // test case 2
    {.key = "4a656665",
     .data = "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
     .outputs = {"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
                 "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
                 "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaea"
                 "b1a34d4a6b4b636e070a38bce737"}},
    // test case 3
    {.key = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     .data = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
     .outputs = {"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
                 "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39dc13814b94e3ab6e101a34f27",
                 "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39bf3e848279a722c806b485a47e67c807b946"
                 "a337bee8942674278859e13292fb"}},
    // test case 4
    {.key = "0102030405060708090a0b0c0d0e0f10111213141516171819",
     .data = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
     .outputs = {"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
                 "3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e6801dd23c4a7d679ccf8a386c674cffb",
                 "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3dba91ca5c11aa25eb4d679275cc5788063a5f1"
                 "9741120c4f2de2adebeb10a298dd"}},
    // test case 6
    {.key = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     .data = "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b65792046"
             "69727374",
     .outputs = {"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
                 "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
                 "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e6"
                 "4f73f63f0aec8b915a985d786598"}},
    // test case 7
    {.key = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     .data = "5468697320697320612074657374207573696e672061206c6172676572207468616e20626c6f636b2d73697a65206b657920"
             "616e642061206c6172676572207468616e20626c6f636b2d73697a6520646174612e20546865206b6579206e656564732074"
             "6f20626520686173686564206265666f7265206265696e6720757365642062792074686520484d414320616c676f72697468"
             "6d2e",
     .outputs = {"9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
                 "6617178e941f020d351e2f254e8fd32c602420feb0b8fb9adccebb82461e99c5a678cc31e799176d3860e6110c46523e",
                 "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944b6022cac3c4982b10d5eeb55c3e4de151346"
                 "76fb6de0446065c97440fa8c6a58"}},
};

TEST(Prf, meets_rfc_4231) {
  for (const Rfc4231& v : kRfc4231) {
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(to_hex(prf(kAll[i], hex(v.key), {hex(v.data)}).expose()), v.outputs[i]);
    }
  }
}

// Test case 5 gives the first 128 bits only.
TEST(Prf, meets_rfc_4231_truncated) {
  const Bytes data = to_bytes("Test With Truncation");
  const Bytes key(20, 0x0c);
  EXPECT_EQ(to_hex(prf(kAll[0], key, {data}).expose().first(16)), "a3b6167473100ee06e0c796c2955552b");
  EXPECT_EQ(to_hex(prf(kAll[1], key, {data}).expose().first(16)), "3abf34c3503b2a23a46efc619baef897");
  EXPECT_EQ(to_hex(prf(kAll[2], key, {data}).expose().first(16)), "415fad6271580a531d4179bc891d87a6");
}

TEST(Prf, sizes_and_availability) {
  EXPECT_EQ(prf_size(kAll[0]), 32U);
  EXPECT_EQ(prf_size(kAll[1]), 48U);
  EXPECT_EQ(prf_size(kAll[2]), 64U);
  for (const PrfId id : kAll) EXPECT_TRUE(prf_available(id));
}

TEST(Prf, takes_any_key_size_around_the_block) {
  const Bytes data = to_bytes("data");
  for (const PrfId id : kAll) {
    const std::size_t block = id == PrfId::PRF_HMAC_SHA2_256 ? 64 : 128;
    // HMAC pads a short key with zeros: an empty key is a block of zeros, and a block-sized one is used as it is.
    EXPECT_EQ(prf(id, {}, {data}), prf(id, Bytes(block), {data}));
    EXPECT_FALSE(prf(id, Bytes(block), {data}) == prf(id, Bytes(block + 1), {data}));
  }
}

TEST(Prf, parts_are_one_message) {
  const Bytes key = to_bytes("key");
  const Bytes a = to_bytes("a");
  const Bytes bc = to_bytes("bc");
  const Bytes abc = to_bytes("abc");
  for (const PrfId id : kAll) {
    EXPECT_EQ(prf(id, key, {a, {}, bc}), prf(id, key, {abc}));
    EXPECT_EQ(prf_plus(id, key, {a, {}, bc}, 100), prf_plus(id, key, {abc}, 100));
  }
}

struct PlusVector {
  PrfId id;
  const char* first;
  const char* all_hash;
};
// 255 blocks, all there can be, by Python's hmac: key 00..3f.
const PlusVector kPlus[] = {
    {.id = PrfId::PRF_HMAC_SHA2_256,
     .first = "ec31e939dd4df65b15d1ca3d0887330d6def1b340998cd0f44c24df00cada34d2e535000532f1022",
     .all_hash = "21675ddfb5566521ce1af7006f22f08b358a58f793f5332f1e2e0eb49d2e7c97"},
    {.id = PrfId::PRF_HMAC_SHA2_384,
     .first = "1799d4a21f429aab9a13b7076194a6747e04cabc2d65cde96678675d01d0c2e59b4fc56b942c709b",
     .all_hash = "d99ce2bf738a653cb2629a797200c32a723869925156fb6fcefb9ae4de59c4b9"},
    {.id = PrfId::PRF_HMAC_SHA2_512,
     .first = "8b334fd3a81c8c9b67ef34dc9c567789bcd9948026b4c1e00ac1da38d70f988c5b2eb5fe0e2c97bf",
     .all_hash = "fc494d5f879ab5752853947079a14800efe537c042f3b62e3767c07f399eb2c7"},
};

TEST(PrfPlus, meets_an_independent_computation_up_to_its_255_blocks) {
  Bytes key(64);
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i);
  const Bytes seed = to_bytes("Ni | Nr | SPIi | SPIr");
  for (const PlusVector& v : kPlus) {
    const SecretBytes all = prf_plus(v.id, key, {seed}, 255 * prf_size(v.id));
    EXPECT_EQ(to_hex(all.expose().first(40)), v.first);
    EXPECT_EQ(to_hex(sha256({all.expose()})), v.all_hash);
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, prf_size(v.id) - 1, prf_size(v.id), prf_size(v.id) + 1, std::size_t{300}}) {
      EXPECT_TRUE(equal(prf_plus(v.id, key, {seed}, size).expose(), all.expose().first(size))) << size;
    }
  }
}

TEST(PrfPlus, first_block_is_prf_of_seed_and_one) {
  const Bytes key = to_bytes("key");
  const Bytes seed = to_bytes("seed");
  const std::uint8_t one = 1;
  for (const PrfId id : kAll)
    EXPECT_EQ(prf_plus(id, key, {seed}, prf_size(id)), prf(id, key, {seed, ByteView{&one, 1}}));
}

TEST(PrfPlusDeath, more_than_255_blocks_is_a_bug) {
  EXPECT_DEATH((void)prf_plus(kAll[0], Bytes(1), {}, 255 * 32 + 1), "255");
}

TEST(PrfStream, is_prf_piece_by_piece) {
  const Bytes key = to_bytes("key");
  for (const PrfId id : kAll) {
    PrfStream stream{id, key};
    Bytes all;
    for (std::size_t n = 0; n < 300; n += 7) {
      const Bytes part(n, static_cast<std::uint8_t>(n));
      stream.update(part);
      append(all, part);
    }
    PrfStream moved{std::move(stream)};
    EXPECT_EQ(moved.finish(), prf(id, key, {all}));
  }
}

TEST(PrfStreamDeath, finishes_once) {
  PrfStream stream{kAll[0], Bytes(1)};
  (void)stream.finish();
  EXPECT_DEATH((void)stream.finish(), "once");
  EXPECT_DEATH(stream.update({}), "no more");
}

}  // namespace
}  // namespace qanat::crypto
