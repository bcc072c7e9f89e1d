// Packets for SAs that are nobody's: IKE hears of few, and of none that is no ESP.
#include <gtest/gtest.h>

#include "wan/path_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace testing;  // NOLINT: a test's own words

TEST(UnknownSpi, IsToldTenTimesASecondAtMost) {
  TwoSites net;
  net.up();
  net.a.tun(udp(a_to_b()));
  const SentEsp sent = net.a.take_sent();
  Gateway restarted{77};
  restarted.set(net.plan_b);
  for (int i = 0; i < 100; ++i) restarted.wire(sent);
  EXPECT_EQ(restarted.dropped(esp::DropReason::NoSa), 100U);
  const auto first = restarted.event<ipsec::UnknownSpi>();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->spi, net.keyed.spi_b);
  EXPECT_EQ(first->arrived.peer, sent.path.local);
  EXPECT_EQ(restarted.count_events<ipsec::UnknownSpi>(), 9U);
  restarted.now = restarted.now + 1s;
  restarted.wire(sent);
  EXPECT_EQ(restarted.count_events<ipsec::UnknownSpi>(), 1U);
}

TEST(UnknownSpi, WhatIsNoEspIsNotTold) {
  TwoSites net;
  for (const std::uint32_t spi : {0U, 1U, 255U}) {
    Bytes datagram(64);
    store_be32(datagram.data(), spi);
    net.b.wire(net.link.path_of_b(), 0, datagram);
  }
  EXPECT_EQ(net.b.count_events<ipsec::UnknownSpi>(), 0U);
}

}  // namespace
}  // namespace qanat::wan
