// Attempts and the host's addresses, through the whole gateway.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/gateway.hpp"

namespace qanat::gateway {
namespace {

using ::testing::HasSubstr;

const IpAddress kHome = *IpAddress::parse("192.0.2.1");
const IpAddress kAway = *IpAddress::parse("203.0.113.33");
const IpAddress kOther6 = *IpAddress::parse("2001:db8::1");

class Addresses : public ::testing::Test {
 protected:
  void start(bool mobike) {
    model::Config config;
    config.gateway.address4 = kHome;
    model::Tunnel t;
    t.name = "berlin";
    t.peer = *IpAddress::parse("198.51.100.7");
    t.routes = {*Prefix::parse("10.1.0.0/16")};
    t.psk = model::PresharedKey{SecretBytes::copy_of(Bytes(32, 0x61))};
    t.mobike = mobike;
    config.tunnels = {t};
    ASSERT_TRUE(gateway.apply(now, config).has_value());
    take();
  }
  // What went out; the host does as it is told.
  void take() {
    while (auto out = gateway.poll()) {
      if (const auto* host = std::get_if<HostOut>(&*out)) gateway.handle_host(now, {host->request, {}});
      if (const auto* transmit = std::get_if<ike::Transmit>(&*out)) sent.push_back(transmit->path.local.address);
    }
  }
  void pass(Duration by) {
    now = now + by;
    gateway.handle_timeout(now);
    take();
  }
  [[nodiscard]] std::string reason() const { return gateway.snapshot(now).tunnels.at(0).reason; }

  Instant now = Instant::from_ns(1'000'000'000);
  SeededRng rng{7};
  Gateway gateway{ike::EndpointConfig{}, rng};
  std::vector<IpAddress> sent;  // from where
};

TEST_F(Addresses, ATunnelWaitsWithAReasonAndBeginsWhenItsAddressIsBack) {
  gateway.handle_addresses(now, {{kOther6}, {}, {}});
  start(true);
  EXPECT_TRUE(sent.empty());
  EXPECT_THAT(reason(), HasSubstr("no interface has 192.0.2.1"));
  for (int i = 0; i < 300; ++i) pass(1s);  // the backoff is at its largest
  EXPECT_TRUE(sent.empty());
  gateway.handle_addresses(now, {{kOther6}, {}, {}});  // no news
  pass(1s);
  EXPECT_TRUE(sent.empty());
  gateway.handle_addresses(now, {{kOther6, kHome}, {}, {}});
  pass(500ms);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0], kHome);
}

TEST_F(Addresses, AnAttemptThatLosesItsAddressGoesOnFromAnother) {
  gateway.handle_addresses(now, {{kHome}, {}, {}});
  start(true);
  ASSERT_EQ(sent.size(), 1U);
  gateway.handle_addresses(now, {{kAway}, {}, {}});
  take();
  EXPECT_THAT(reason(), HasSubstr("begins from 203.0.113.33"));
  pass(500ms);
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[1], kAway);
}

TEST_F(Addresses, WithoutMobikeItStaysWhereItIsConfigured) {
  gateway.handle_addresses(now, {{kHome}, {}, {}});
  start(false);
  gateway.handle_addresses(now, {{kAway}, {}, {}});
  pass(500ms);
  EXPECT_EQ(sent, std::vector{kHome}) << "the address may come back before the attempt ends";
}

}  // namespace
}  // namespace qanat::gateway
