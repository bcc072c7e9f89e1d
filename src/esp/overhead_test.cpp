#include "esp/overhead.hpp"

#include <gtest/gtest.h>

#include "esp/packet_test_support.hpp"

namespace qanat::esp {
namespace {

using namespace esp::testing;
using enum ipsec::Encapsulation;

TEST(Overhead, InnerMtuOfKnownPaths) {
  // 1500 - 20 - 8 (UDP) - 8 - 8 - 16 = 1440, whole words; less the trailer.
  EXPECT_EQ(inner_mtu(kGcm256, Udp, OuterFamily::V4, 1500), 1438);
  EXPECT_EQ(inner_mtu(kChaCha, Udp, OuterFamily::V4, 1500), 1438);
  EXPECT_EQ(inner_mtu(kGcm256, Native, OuterFamily::V4, 1500), 1446);
  EXPECT_EQ(inner_mtu(kGcm256, Udp, OuterFamily::V6, 1500), 1418);
  EXPECT_EQ(inner_mtu(kGcm256, Native, OuterFamily::V6, 1280), 1206);
  // 1500 - 28 - 8 - 16 - 16 = 1432, 89 blocks = 1424.
  EXPECT_EQ(inner_mtu(kCbc256, Udp, OuterFamily::V4, 1500), 1422);
  EXPECT_EQ(inner_mtu(kGcm256, Udp, OuterFamily::V4, 40), 0);
  EXPECT_EQ(inner_mtu(kGcm256, Udp, OuterFamily::V6, 48), 0);
  EXPECT_EQ(inner_mtu(kGcm256, Native, OuterFamily::V4, 0), 0);
}

TEST(Overhead, MaxInnerIsTheInverseOfSealedSize) {
  for (const CipherSuite& suite : kSuites) {
    const EspLayout layout = esp_layout(suite);
    for (std::size_t room = 0; room < 2000; ++room) {
      const std::size_t inner = layout.max_inner(room);
      if (inner == 0) {
        EXPECT_GT(layout.sealed_size(1), room);
        continue;
      }
      ASSERT_LE(layout.sealed_size(inner), room);
      ASSERT_GT(layout.sealed_size(inner + 1), room);
    }
  }
}

}  // namespace
}  // namespace qanat::esp
