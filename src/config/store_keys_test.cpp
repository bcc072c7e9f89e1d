// [gateway] store_key_file, store_key_file_before: what is taken, and what each mistake is told.
#include "config/config_testing.hpp"
#include "config/diff.hpp"

namespace qanat::config {
namespace {

using ::testing::HasSubstr;

const std::string kOld = "qpsk1-" + std::string(43, 'A');
const std::string kNew = "qpsk1-" + std::string(42, 'B') + "A";

auto load_with(const std::string& lines) {
  const auto read = [](const std::string& path) -> Result<SecretBytes> {
    const auto text = [](const std::string& key) { return SecretBytes::copy_of(to_bytes(key)); };
    if (path == "old.key") return text(kOld + "\n");
    if (path == "new.key") return text(kNew);
    if (path == "word.key") return text("password");
    return fail(ErrorKind::Resource, path, "cannot be opened: No such file");
  };
  return load("[gateway]\naddress = \"203.0.113.1\"\n" + lines, "qanat.toml", read);
}
std::string said(const std::string& lines) {
  const auto loaded = load_with(lines);
  return loaded ? "" : render_problems(loaded.error());
}

TEST(StoreKeys, AreWhatGenpskMakes) {
  const auto loaded = load_with("store_key_file = \"new.key\"\nstore_key_file_before = \"old.key\"\n");
  ASSERT_TRUE(loaded) << render_problems(loaded.error());
  EXPECT_EQ(loaded->config.gateway.store_key, model::PresharedKey{SecretBytes::copy_of(to_bytes(kNew))});
  EXPECT_EQ(loaded->config.gateway.store_key_before, model::PresharedKey{SecretBytes::copy_of(to_bytes(kOld))});
  EXPECT_TRUE(load_with("")->config.gateway.store_key.empty());
}

TEST(StoreKeys, EachMistakeIsTold) {
  EXPECT_THAT(said("store_key_file = \"\"\n"), HasSubstr("qanat genpsk -o /etc/qanat/store.key"));
  EXPECT_THAT(said("store_key_file = 7\n"), HasSubstr("a path in double quotes"));
  EXPECT_THAT(said("store_key_file = \"none.key\"\n"), HasSubstr("cannot be opened"));
  EXPECT_THAT(said("store_key_file = \"word.key\"\n"), HasSubstr("is no key of qanat genpsk"));
  EXPECT_THAT(said("store_key_file_before = \"old.key\"\n"), HasSubstr("there is no key to change to"));
  EXPECT_THAT(said("store_key_file = \"old.key\"\nstore_key_file_before = \"old.key\"\n"), HasSubstr("the same key"));
}

TEST(StoreKeys, AnotherOneNeedsARestart) {
  const auto before = load_with("store_key_file = \"old.key\"\n");
  const auto after = load_with("store_key_file = \"new.key\"\nstore_key_file_before = \"old.key\"\n");
  ASSERT_TRUE(before && after);
  const auto changes = diff(before->config, after->config);
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_EQ(changes[0].effect, Effect::Restart);
  EXPECT_EQ(changes[0].keys, std::vector<std::string>{"store_key_file"});
}

}  // namespace
}  // namespace qanat::config
