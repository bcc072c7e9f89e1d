// A capture's names become the packet path's, or the reason why not.
#include "control/captures.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/gateway.hpp"

namespace qanat::gateway {
namespace {

using ::testing::HasSubstr;

class Captures : public ::testing::Test {
 protected:
  void SetUp() override {
    model::Config config;
    config.gateway.address4 = *IpAddress::parse("192.0.2.1");
    model::Tunnel t;
    t.name = "berlin";
    t.vrf = VrfId{4};
    t.peer = *IpAddress::parse("198.51.100.7");
    t.start = model::StartMode::Respond;
    t.psk = model::PresharedKey{SecretBytes::copy_of(Bytes(32, 0x61))};
    config.vrfs = {{.id = VrfId{4}, .name = "red", .tun_name = "red0", .route_table = 5300}};
    config.tunnels = {t};
    ASSERT_TRUE(gateway_.apply(now_, config).has_value());
    (void)commands();
  }
  std::vector<ipsec::Command> commands() {
    std::vector<ipsec::Command> out;
    while (auto output = gateway_.poll()) {
      if (auto* plane = std::get_if<PlaneOut>(&*output)) out.push_back(std::move(plane->command));
    }
    return out;
  }
  static control::CaptureOrder order(std::string tunnel, VrfId vrf) {
    control::CaptureWish wish;
    wish.tunnel = std::move(tunnel);
    wish.vrf = vrf;
    wish.time = 5s;
    wish.packets = 7;
    wish.bytes = 8;
    wish.snap = 96;
    wish.filter.protocol = 6;
    return {CaptureId{3}, wish};
  }
  Instant now_ = Instant::from_ns(1'000'000'000);
  SeededRng rng_{7};
  Gateway gateway_{ike::EndpointConfig{}, rng_};
};

TEST_F(Captures, GoToThePacketPath) {
  ASSERT_TRUE(gateway_.capture(now_, order("berlin", VrfId{4})));
  auto asked = commands();
  ASSERT_EQ(asked.size(), 1U);
  const auto& start = std::get<ipsec::StartCapture>(asked[0]);
  EXPECT_EQ(start.capture, CaptureId{3});
  EXPECT_EQ(start.vrf, VrfId{4});
  EXPECT_TRUE(start.tunnel);
  EXPECT_EQ(start.filter.protocol, 6);
  EXPECT_EQ(start.time, 5s);
  EXPECT_EQ(start.packets, 7U);
  EXPECT_EQ(start.bytes, 8U);
  EXPECT_EQ(start.snap, 96U);
  ASSERT_TRUE(gateway_.capture(now_, {CaptureId{3}, std::nullopt}));
  asked = commands();
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(std::get<ipsec::StopCapture>(asked[0]).capture, CaptureId{3});
}

TEST_F(Captures, OfAWholeAccountNameNoTunnel) {
  ASSERT_TRUE(gateway_.capture(now_, order("", VrfId{4})));
  const auto asked = commands();
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_FALSE(std::get<ipsec::StartCapture>(asked[0]).tunnel);
}

TEST_F(Captures, OfATunnelThatIsNotTheirsAreRefused) {
  for (const auto& wrong : {order("berlin", VrfId{}), order("oslo", VrfId{4})}) {
    const Status refused = gateway_.capture(now_, wrong);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().detail, HasSubstr("not in force"));
    EXPECT_TRUE(commands().empty());
  }
}

}  // namespace
}  // namespace qanat::gateway
