#include "ipsec/selectors.hpp"

#include <gtest/gtest.h>

namespace qanat::ipsec {
namespace {

TrafficSelector net(const char* prefix) {
  return selector_of(*Prefix::parse(prefix));
}
TrafficSelector with(const char* prefix, std::uint8_t protocol, std::uint16_t first, std::uint16_t last) {
  TrafficSelector s = net(prefix);
  s.protocol = protocol;
  s.port_first = first;
  s.port_last = last;
  return s;
}
TrafficSelector range(const char* first, const char* last) {
  return {*IpAddress::parse(first), *IpAddress::parse(last), 0, 0, 65535};
}

TEST(Selectors, Intersect) {
  EXPECT_EQ(intersect(net("10.0.0.0/8"), net("10.1.0.0/16")), net("10.1.0.0/16"));
  EXPECT_EQ(intersect(range("10.0.0.0", "10.0.0.9"), range("10.0.0.5", "10.0.0.20")), range("10.0.0.5", "10.0.0.9"));
  EXPECT_FALSE(intersect(net("10.0.0.0/8"), net("11.0.0.0/8")).has_value());
  EXPECT_FALSE(intersect(any_selector_v4(), any_selector_v6()).has_value());
  EXPECT_EQ(intersect(with("10.0.0.0/8", 6, 0, 65535), net("10.0.0.0/8")), with("10.0.0.0/8", 6, 0, 65535));
  EXPECT_FALSE(intersect(with("10.0.0.0/8", 6, 0, 65535), with("10.0.0.0/8", 17, 0, 65535)).has_value());
  EXPECT_EQ(intersect(with("10.0.0.0/8", 6, 80, 443), with("10.0.0.0/8", 6, 100, 8080)),
            with("10.0.0.0/8", 6, 100, 443));
  EXPECT_FALSE(intersect(with("10.0.0.0/8", 6, 80, 80), with("10.0.0.0/8", 6, 443, 443)).has_value());
}

// RFC 4301 4.4.1.2: OPAQUE meets ANY and OPAQUE.
TEST(Selectors, OpaquePorts) {
  const TrafficSelector opaque = with("10.0.0.0/8", 17, 65535, 0);
  EXPECT_EQ(intersect(opaque, opaque), opaque);
  EXPECT_EQ(intersect(opaque, net("10.0.0.0/8")), opaque);
  EXPECT_FALSE(intersect(opaque, with("10.0.0.0/8", 17, 53, 53)).has_value());
}

TEST(Selectors, Contains) {
  EXPECT_TRUE(contains(any_selector_v4(), net("10.0.0.0/8")));
  EXPECT_FALSE(contains(net("10.0.0.0/8"), any_selector_v4()));
  EXPECT_TRUE(contains(any_selector_v4(), any_selector_v4()));
  EXPECT_FALSE(contains(with("10.0.0.0/8", 6, 0, 65535), net("10.0.0.0/8")));
  EXPECT_TRUE(contains(Selectors{net("10.0.0.0/8"), net("172.16.0.0/12")},
                       Selectors{net("172.16.1.0/24"), net("10.1.1.1/32")}));
  EXPECT_FALSE(contains(Selectors{net("10.0.0.0/8")}, Selectors{net("10.0.0.0/8"), net("11.0.0.0/8")}));
  EXPECT_TRUE(contains(Selectors{}, Selectors{}));
}

// RFC 7296 2.9: a subset, the first selector's part first.
TEST(Selectors, Narrow) {
  EXPECT_EQ(narrow({any_selector_v4()}, {net("10.1.0.0/16"), net("10.2.0.0/16")}),
            (Selectors{net("10.1.0.0/16"), net("10.2.0.0/16")}));
  EXPECT_EQ(narrow({net("10.2.0.1/32"), net("10.0.0.0/8")}, {net("10.1.0.0/16"), net("10.2.0.0/16")}).front(),
            net("10.1.0.0/16"));
  EXPECT_TRUE(narrow({net("10.0.0.0/8")}, {net("11.0.0.0/8")}).empty());
  EXPECT_TRUE(narrow({}, {any_selector_v4()}).empty());
  EXPECT_TRUE(narrow({any_selector_v4()}, {}).empty());
  EXPECT_EQ(narrow({any_selector_v4(), any_selector_v6()}, {any_selector_v4(), any_selector_v6()}),
            (Selectors{any_selector_v4(), any_selector_v6()}));
}

TEST(Selectors, NarrowNeverGivesMoreThanBothAllowAndIsBounded) {
  Selectors offered;
  Selectors allowed;
  for (std::uint32_t i = 0; i < 255; ++i) {
    offered.push_back({IpAddress::v4(i * 1000), IpAddress::v4(i * 1000 + 900), 0, 0, 65535});
    allowed.push_back({IpAddress::v4(i * 700), IpAddress::v4(i * 700 + 600), 0, 0, 65535});
  }
  const Selectors out = narrow(offered, allowed);
  EXPECT_LE(out.size(), 255U);
  EXPECT_TRUE(contains(offered, out));
  EXPECT_TRUE(contains(allowed, out));
}

TEST(Selectors, Print) {
  EXPECT_EQ(to_string(net("10.1.0.0/16")), "10.1.0.0/16");
  EXPECT_EQ(to_string(any_selector_v6()), "::/0");
  EXPECT_EQ(to_string(range("10.0.0.1", "10.0.0.9")), "10.0.0.1-10.0.0.9");
  EXPECT_EQ(to_string(with("10.1.0.0/16", 6, 443, 443)), "10.1.0.0/16[tcp/443]");
  EXPECT_EQ(to_string(with("10.1.0.0/16", 17, 1000, 2000)), "10.1.0.0/16[udp/1000-2000]");
  EXPECT_EQ(to_string(with("10.1.0.0/16", 47, 0, 65535)), "10.1.0.0/16[47]");
  EXPECT_EQ(to_string(with("10.1.0.0/16", 6, 65535, 0)), "10.1.0.0/16[tcp/opaque]");
  EXPECT_EQ(to_string(with("10.1.0.0/16", 0, 5, 5)), "10.1.0.0/16[any/5]");
}

}  // namespace
}  // namespace qanat::ipsec
