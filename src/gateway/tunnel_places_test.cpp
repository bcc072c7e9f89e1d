#include "gateway/tunnel_places.hpp"

#include <gtest/gtest.h>

namespace qanat::gateway {
namespace {

using Shards = std::vector<std::uint32_t>;

TEST(TunnelPlaces, KnowsWhereATunnelHasIkeSas) {
  TunnelPlaces places;
  const TunnelId t{7};
  EXPECT_EQ(places.meet(t, 5), Shards{});
  EXPECT_EQ(places.meet(t, 63), Shards{5});
  EXPECT_EQ(places.meet(t, 5), Shards{63});
  EXPECT_EQ(places.meet(t, 0), (Shards{5, 63}));
  EXPECT_EQ(places.others(t, 5), (Shards{0, 63}));
  EXPECT_EQ(places.others(TunnelId{8}, 5), Shards{});
  EXPECT_TRUE(places.has(t, 63));
  places.leave(t, 63);
  EXPECT_FALSE(places.has(t, 63));
  places.leave(TunnelId{8}, 0);
  EXPECT_EQ(places.size(), 1U);
  places.leave(t, 5);
  places.leave(t, 0);
  EXPECT_EQ(places.size(), 0U);
}

TEST(TunnelPlaces, TheHomeIsToldOnceUntilTheTunnelIsForgotten) {
  TunnelPlaces places;
  const TunnelId t{7};
  (void)places.meet(t, 1);
  EXPECT_TRUE(places.tell_home(t));
  EXPECT_FALSE(places.tell_home(t));
  places.leave(t, 1);
  EXPECT_FALSE(places.tell_home(t)) << "it still knows";
  places.forget(t);
  EXPECT_TRUE(places.tell_home(t));
  places.forget(TunnelId{8});
}

}  // namespace
}  // namespace qanat::gateway
