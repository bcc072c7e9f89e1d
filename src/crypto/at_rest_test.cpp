#include "crypto/at_rest.hpp"

#include <gtest/gtest.h>

namespace qanat::crypto {
namespace {

const Bytes kKey(32, 0x11);
const Bytes kOther(32, 0x12);
const Bytes kWhere = to_bytes("secret/berlin");
const Bytes kText = to_bytes("correct horse battery staple");

TEST(AtRest, WhatIsSealedIsOpened) {
  SeededRng rng{1};
  const auto sealed = seal_at_rest(kKey, kWhere, kText, rng);
  ASSERT_TRUE(sealed);
  EXPECT_EQ(sealed->size(), kText.size() + 49);
  const auto opened = open_at_rest(kKey, kWhere, *sealed);
  ASSERT_TRUE(opened);
  EXPECT_TRUE(equal(opened->expose(), kText));
}

TEST(AtRest, AnEmptyTextIsSealedToo) {
  SeededRng rng{1};
  const auto sealed = seal_at_rest(kKey, kWhere, {}, rng);
  ASSERT_TRUE(sealed);
  const auto opened = open_at_rest(kKey, kWhere, *sealed);
  ASSERT_TRUE(opened);
  EXPECT_TRUE(opened->empty());
}

TEST(AtRest, TheSameTextNeverLooksTheSame) {
  SeededRng rng{1};
  const auto one = seal_at_rest(kKey, kWhere, kText, rng);
  const auto two = seal_at_rest(kKey, kWhere, kText, rng);
  ASSERT_TRUE(one && two);
  EXPECT_FALSE(equal(ByteView{*one}.subspan(33), ByteView{*two}.subspan(33)));
}

TEST(AtRest, EveryChangedOctetIsFound) {
  SeededRng rng{1};
  const auto sealed = seal_at_rest(kKey, kWhere, kText, rng);
  ASSERT_TRUE(sealed);
  for (std::size_t i = 0; i < sealed->size(); ++i) {
    Bytes bad = *sealed;
    bad[i] ^= 0x40;
    EXPECT_FALSE(open_at_rest(kKey, kWhere, bad)) << i;
  }
  EXPECT_FALSE(open_at_rest(kOther, kWhere, *sealed));
  EXPECT_FALSE(open_at_rest(kKey, to_bytes("secret/oslo"), *sealed));
  EXPECT_FALSE(open_at_rest(kKey, kWhere, ByteView{*sealed}.first(48)));
  EXPECT_FALSE(open_at_rest(Bytes(16, 1), kWhere, *sealed));
}

}  // namespace
}  // namespace qanat::crypto
