#include "control/transfer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/tunnel.hpp"

namespace qanat::control {
namespace {

using ::testing::HasSubstr;

Bytes key_of(std::uint8_t fill) {
  return to_bytes(model::generated_psk_text(Bytes(32, fill)));
}

Transfer some() {
  Transfer out;
  out.config = "[gateway]\naddress = \"203.0.113.1\"\n";
  out.files.push_back({"berlin.psk", SecretBytes::copy_of(to_bytes("a secret\n")), true});
  out.files.push_back({"berlin.crt", SecretBytes::copy_of(to_bytes(std::string_view{"\0\xff", 2})), false});
  return out;
}

TEST(Transfer, ABundleIsOpenedWithItsKeyAlone) {
  SeededRng rng{1};
  const auto bundle = seal_bundle(some(), key_of(1), rng);
  ASSERT_TRUE(bundle);
  const std::string text{bundle->begin(), bundle->end()};
  EXPECT_THAT(text, ::testing::StartsWith("qanat bundle 1\n"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("203.0.113.1")));
  const auto opened = open_bundle(*bundle, key_of(1));
  ASSERT_TRUE(opened) << opened.error().detail;
  EXPECT_EQ(opened->config, some().config);
  ASSERT_EQ(opened->files.size(), 2U);
  EXPECT_EQ(opened->files[0].name, "berlin.psk");
  EXPECT_EQ(opened->files[0].octets, some().files[0].octets);
  EXPECT_TRUE(opened->files[0].secret);
  EXPECT_EQ(opened->files[1].octets, some().files[1].octets);
  EXPECT_FALSE(opened->files[1].secret);

  EXPECT_FALSE(open_bundle(*bundle, key_of(2)));
  EXPECT_FALSE(open_bundle(ByteView{*bundle}.first(bundle->size() - 1), key_of(1)));
  EXPECT_FALSE(open_bundle(ByteView{*bundle}.first(10), key_of(1)));
  Bytes bad = *bundle;
  bad[60] ^= 1;
  EXPECT_FALSE(open_bundle(bad, key_of(1)));
}

TEST(Transfer, AWeakKeyIsRefused) {
  SeededRng rng{1};
  const auto bundle = seal_bundle(some(), to_bytes("password"), rng);
  ASSERT_FALSE(bundle);
  EXPECT_THAT(bundle.error().detail, HasSubstr("qanat genpsk"));
}

TEST(Transfer, OddJsonIsRefused) {
  for (const char* text : {"", "[]", "{}", "{\"config\":1}", "{\"config\":\"\",\"files\":{}}",
                           "{\"config\":\"\",\"files\":[1]}", "{\"config\":\"\",\"files\":[{\"name\":\"a\"}]}",
                           "{\"config\":\"\",\"files\":[{\"name\":\"a\",\"octets\":\"x\"}]}",
                           "{\"config\":\"\",\"files\":[{\"name\":\"../a\",\"octets\":\"00\"}]}",
                           "{\"config\":\"\",\"files\":[{\"name\":\".a\",\"octets\":\"00\"}]}"})
    EXPECT_FALSE(transfer_from_json(text)) << text;
  EXPECT_TRUE(transfer_from_json("{\"config\":\"\"}"));
}

}  // namespace
}  // namespace qanat::control
