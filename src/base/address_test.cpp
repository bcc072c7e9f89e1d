#include "base/address.hpp"

#include <unordered_set>

#include <gtest/gtest.h>

namespace qanat {
namespace {

IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}
Prefix net(std::string_view text) {
  return Prefix::parse(text).value();
}

TEST(IpAddress, prints_what_it_parses) {
  for (const char* text :
       {"0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1:2:3:4", "1:2:3:4:5:6:7:8"}) {
    EXPECT_EQ(ip(text).to_string(), text);
  }
}

// RFC 5952 4: lower case, no leading zeros, the longest run of zeros, the first of equals, never one group alone.
TEST(IpAddress, prints_as_rfc_5952_says) {
  EXPECT_EQ(ip("2001:0DB8:0000:0000:0000:0000:0002:0001").to_string(), "2001:db8::2:1");
  EXPECT_EQ(ip("2001:db8:0:1:1:1:1:1").to_string(), "2001:db8:0:1:1:1:1:1");
  EXPECT_EQ(ip("2001:0:0:1:0:0:0:1").to_string(), "2001:0:0:1::1");
  EXPECT_EQ(ip("2001:db8:0:0:1:0:0:1").to_string(), "2001:db8::1:0:0:1");
  EXPECT_EQ(ip("1:0:0:0:0:0:0:0").to_string(), "1::");
  EXPECT_EQ(ip("0:0:0:0:0:0:0:1").to_string(), "::1");
  EXPECT_EQ(ip("0:1:0:0:0:0:0:0").to_string(), "0:1::");
  EXPECT_EQ(ip("::ffff:192.0.2.1").to_string(), "::ffff:c000:201");
  EXPECT_EQ(ip("64:ff9b::192.0.2.33"), ip("64:ff9b::c000:221"));
}

TEST(IpAddress, refuses_everything_else) {
  for (const char* text : {"",
                           "1",
                           "1.2.3",
                           "1.2.3.4.5",
                           "1.2.3.256",
                           "01.2.3.4",
                           "1.2.3.-4",
                           "1.2.3.4 ",
                           " 1.2.3.4",
                           "1..3.4",
                           ".1.2.3.4",
                           "1.2.3.4.",
                           "0x1.2.3.4",
                           ":",
                           ":::",
                           "1::2::3",
                           "1:2:3:4:5:6:7",
                           "1:2:3:4:5:6:7:8:9",
                           "12345::",
                           "g::",
                           "1:2:3:4:5:6:7::8:9",
                           ":1::2",
                           "1::2:",
                           "::1.2.3",
                           "::1.2.3.4.5",
                           "1.2.3.4::",
                           "::1.2.3.4:1",
                           "fe80::1%eth0",
                           "[::1]",
                           "1:2:3:4:5:6:7:1.2.3.4"}) {
    const auto parsed = IpAddress::parse(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().kind, ErrorKind::Malformed);
  }
}

TEST(IpAddress, knows_what_it_is) {
  EXPECT_TRUE(ip("10.0.0.1").is_v4());
  EXPECT_TRUE(ip("::").is_v6());
  EXPECT_TRUE(ip("::").is_unspecified());
  EXPECT_TRUE(IpAddress{}.is_unspecified());
  EXPECT_FALSE(ip("0.0.0.1").is_unspecified());
  EXPECT_TRUE(ip("224.0.0.1").is_multicast());
  EXPECT_FALSE(ip("223.255.255.255").is_multicast());
  EXPECT_TRUE(ip("ff02::1").is_multicast());
  EXPECT_EQ(IpAddress::v4(0xc0000201), ip("192.0.2.1"));
  EXPECT_EQ(ip("192.0.2.1").v4_host_order(), 0xc0000201U);
  EXPECT_EQ(ip("192.0.2.1").bytes().size(), 4U);
  EXPECT_EQ(IpAddress::from_bytes(ip("2001:db8::1").bytes()), ip("2001:db8::1"));
  EXPECT_NE(ip("0.0.0.0"), ip("::")) << "families differ even when all octets are zero";
  EXPECT_LT(ip("255.255.255.255"), ip("::"));
  EXPECT_LT(ip("10.0.0.9"), ip("10.0.0.10"));
}

TEST(Prefix, parses_networks_and_refuses_host_bits) {
  EXPECT_EQ(net("10.0.0.0/8").to_string(), "10.0.0.0/8");
  EXPECT_EQ(net("192.0.2.1").to_string(), "192.0.2.1/32");
  EXPECT_EQ(net("2001:db8::/33").to_string(), "2001:db8::/33");
  EXPECT_EQ(net("::/0").length(), 0U);
  EXPECT_EQ(Prefix::masked(ip("10.1.2.3"), 15).to_string(), "10.0.0.0/15");
  EXPECT_EQ(Prefix::masked(ip("2001:db8:ffff::1"), 33).to_string(), "2001:db8:8000::/33");
  const auto refused = Prefix::parse("10.0.0.1/8");
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().detail.find("10.0.0.0/8"), std::string::npos) << "the message names the network";
  for (const char* text : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8 ", "::/129", "::/x", "/8",
                           "10.0.0.0/8/8", "10.0.0.0/0008"}) {
    EXPECT_FALSE(Prefix::parse(text).has_value()) << text;
  }
}

TEST(Prefix, contains_and_overlaps) {
  EXPECT_TRUE(net("10.0.0.0/9").contains(ip("10.127.255.255")));
  EXPECT_FALSE(net("10.0.0.0/9").contains(ip("10.128.0.0")));
  EXPECT_TRUE(net("0.0.0.0/0").contains(ip("255.255.255.255")));
  EXPECT_FALSE(net("0.0.0.0/0").contains(ip("::")));
  EXPECT_FALSE(net("::/0").contains(ip("1.2.3.4")));
  EXPECT_TRUE(net("192.0.2.1/32").contains(ip("192.0.2.1")));
  EXPECT_TRUE(net("10.0.0.0/8").contains(net("10.1.0.0/16")));
  EXPECT_FALSE(net("10.1.0.0/16").contains(net("10.0.0.0/8")));
  EXPECT_TRUE(net("10.1.0.0/16").overlaps(net("10.0.0.0/8")));
  EXPECT_FALSE(net("10.1.0.0/16").overlaps(net("10.2.0.0/16")));
  EXPECT_EQ(net("10.0.0.0/9").last(), ip("10.127.255.255"));
  EXPECT_EQ(net("2001:db8::/126").last(), ip("2001:db8::3"));
  EXPECT_EQ(net("192.0.2.1/32").last(), ip("192.0.2.1"));
  EXPECT_EQ(net("::/0").last(), ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
}

TEST(Endpoint, prints_and_hashes) {
  EXPECT_EQ((Endpoint{.address = ip("192.0.2.1"), .port = 500}).to_string(), "192.0.2.1:500");
  EXPECT_EQ((Endpoint{.address = ip("2001:db8::1"), .port = 4500}).to_string(), "[2001:db8::1]:4500");
  std::unordered_set<Endpoint> seen;
  for (std::uint16_t port = 0; port < 100; ++port) seen.insert({.address = ip("192.0.2.1"), .port = port});
  EXPECT_EQ(seen.size(), 100U);
}

}  // namespace
}  // namespace qanat
