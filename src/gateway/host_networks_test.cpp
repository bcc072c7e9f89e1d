#include "gateway/host_networks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qanat::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = HostNetwork::Kind;

Prefix net(std::string_view text) {
  return *Prefix::parse(text);
}
std::vector<Prefix> nets(const std::vector<const char*>& texts) {
  std::vector<Prefix> out;
  for (const char* text : texts) out.push_back(net(text));
  return out;
}
SetProtection protect(const std::vector<const char*>& prefixes) {
  SetProtection out;
  out.tun = "qanat0";
  out.prefixes = nets(prefixes);
  return out;
}
// "10.1.0.0/24 eth1"
std::vector<std::string> texts(const std::vector<Exception>& list) {
  std::vector<std::string> out;
  for (const Exception& e : list) {
    out.push_back((e.vrf == VrfId{} ? "" : std::to_string(e.vrf.value()) + ":") + e.prefix.to_string() + " " +
                  e.interface);
    for (const Prefix& p : e.but) out.back() += " but " + p.to_string();
  }
  return out;
}

TEST(HostNetworks, AreExceptionsInsideAWiderPrefixOnly) {
  const std::vector<HostNetwork> networks = {
      {net("10.1.0.0/16"), "eth1"}, {net("10.1.7.0/24"), "eth2"},   {net("10.2.0.0/24"), "eth3"},
      {net("192.0.2.0/24"), "wan"}, {net("172.16.0.0/12"), "eth4"}, {net("10.9.0.0/24"), "qanat0"},
      {net("fe80::/64"), "eth1"},   {net("fd00:1::/64"), "eth1"},   {net("10.4.0.1/32"), "lo", Kind::Address},
  };
  EXPECT_THAT(texts(exceptions(networks, protect({"0.0.0.0/0", "::/0"}))), IsEmpty())
      << "beside a default the host's networks are reached as they are";
  EXPECT_THAT(texts(exceptions(networks, protect({"10.0.0.0/8", "10.2.0.0/24", "10.1.7.8/29", "172.16.3.0/24",
                                                  "fc00::/7", "fe80::/10"}))),
              ElementsAre("fd00:1::/64 eth1", "10.1.7.0/24 eth2 but 10.1.7.8/29", "10.1.0.0/16 eth1 but 10.1.7.8/29"));
}

TEST(HostNetworks, BelongToTheAccountOfTheirInterface) {
  SetProtection p = protect({"10.0.0.0/8"});
  p.accounts.push_back({.vrf = VrfId{7},
                        .tun = "blue0",
                        .route_table = 5300,
                        .prefixes = nets({"10.0.0.0/8", "192.168.0.0/16"}),
                        .interfaces = {"eth7"}});
  const std::vector<HostNetwork> networks = {{net("192.168.1.0/24"), "eth1"},
                                             {net("192.168.2.0/24"), "eth7"},
                                             {net("10.1.0.0/24"), "eth1"},
                                             {net("10.3.0.0/24"), "blue0"}};
  EXPECT_THAT(texts(exceptions(networks, p)), ElementsAre("10.1.0.0/24 eth1", "7:192.168.2.0/24 eth7"));
  const auto local = local_prefixes(networks, p);
  ASSERT_EQ(local.size(), 2U);
  EXPECT_EQ(local[0].prefixes, nets({"10.1.0.0/24", "192.168.1.0/24"}));
  EXPECT_EQ(local[1].vrf, VrfId{7});
  EXPECT_EQ(local[1].prefixes, nets({"192.168.2.0/24"}));
}

// What the kernel would bring back to our TUN must not be handed to it.
TEST(HostNetworks, ThePacketPathHandsOverWhatTheKernelDoesNotBringBack) {
  const std::vector<HostNetwork> networks = {
      {net("10.1.0.0/24"), "eth1"},
      {net("10.2.0.0/24"), "eth2"},
      {net("10.4.0.1/32"), "lo", Kind::Address},
      {net("127.0.0.0/8"), "lo", Kind::Address},
      {net("192.0.2.0/24"), "wan"},
  };
  const auto local = local_prefixes(networks, protect({"0.0.0.0/0", "10.0.0.0/8", "10.2.0.0/24"}));
  ASSERT_EQ(local.size(), 1U);
  EXPECT_EQ(local[0].prefixes, nets({"10.1.0.0/24", "10.4.0.1/32", "192.0.2.0/24"}));
}

}  // namespace
}  // namespace qanat::gateway
