// [gateway] webhooks, webhook_allow, webhook_ca: what is taken, and what each mistake is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/config_testing.hpp"
#include "config/diff.hpp"

namespace qanat::config {
namespace {

using ::testing::HasSubstr;
using testing::kGateway;
using testing::load_text;
using testing::said;

TEST(WebhookKeys, AreOffByDefaultAndTakePrefixes) {
  EXPECT_FALSE(load_text(kGateway)->config.gateway.webhooks);
  const auto loaded = load_text(kGateway + "webhooks = true\nwebhook_allow = [\"10.20.0.0/16\", \"fd00::/64\"]\n");
  ASSERT_TRUE(loaded) << render_problems(loaded.error());
  EXPECT_TRUE(loaded->config.gateway.webhooks);
  ASSERT_EQ(loaded->config.gateway.webhook_allow.size(), 2U);
  EXPECT_EQ(loaded->config.gateway.webhook_allow[0].to_string(), "10.20.0.0/16");
}

TEST(WebhookKeys, MistakesAreTold) {
  EXPECT_THAT(said(kGateway + "webhooks = \"yes\"\n"), HasSubstr("webhooks = \"yes\""));
  EXPECT_THAT(said(kGateway + "webhook_allow = \"10.0.0.0/8\"\n"), HasSubstr("webhook_allow without webhooks"));
  EXPECT_THAT(said(kGateway + "webhook_ca = \"ca.pem\"\n"), HasSubstr("webhook_ca without webhooks"));
  EXPECT_THAT(said(kGateway + "webhooks = true\nwebhook_allow = \"10.0.0.0/33\"\n"), HasSubstr("webhook_allow"));
  EXPECT_THAT(said(kGateway + "webhooks = true\nwebhook_allow = 5\n"), HasSubstr("webhook_allow = 5"));
  EXPECT_THAT(said(kGateway + "webhooks = true\nwebhook_ca = \"none.pem\"\n"), HasSubstr("cannot be read"));
  EXPECT_THAT(said(kGateway + "webhooks = true\nwebhook_ca = \"good.psk\"\n"), HasSubstr("webhook_ca = \"good.psk\""));
}

TEST(WebhookKeys, AChangeNeedsARestart) {
  const auto before = load_text(kGateway);
  const auto after = load_text(kGateway + "webhooks = true\n");
  const auto changes = diff(before->config, after->config);
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_EQ(changes[0].effect, Effect::Restart);
  EXPECT_EQ(changes[0].keys, std::vector<std::string>{"webhooks"});
}

}  // namespace
}  // namespace qanat::config
