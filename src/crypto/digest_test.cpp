#include "crypto/digest.hpp"

#include <gtest/gtest.h>

namespace qanat::crypto {
namespace {

// FIPS 180-4 examples: "abc", and the empty message.
TEST(Digest, meets_fips_180_4) {
  const Bytes abc = to_bytes("abc");
  EXPECT_EQ(to_hex(sha1({abc})), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(to_hex(sha256({abc})), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha1({})), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(to_hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Digest, parts_are_one_message) {
  const Bytes a = to_bytes("a");
  const Bytes bc = to_bytes("bc");
  EXPECT_EQ(sha1({a, {}, bc}), sha1({to_bytes("abc")}));
  EXPECT_EQ(sha256({a, {}, bc}), sha256({to_bytes("abc")}));
}

}  // namespace
}  // namespace qanat::crypto
