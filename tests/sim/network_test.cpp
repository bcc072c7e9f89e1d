// The network does what its numbers say, and the same seed does the same again.
#include <gtest/gtest.h>

#include "sim/oracle.hpp"
#include "testcrypto/ledger.hpp"

namespace qanat::sim {
namespace {

const Endpoint kLeft{address("192.0.2.1"), 500};
const Endpoint kRight{address("192.0.2.2"), 500};
const Instant kNow = Instant::from_ns(0);

Datagram datagram(std::size_t size = 100) {
  return {kLeft, kRight, ipsec::Encapsulation::Udp, Bytes(size, 0x55)};
}

TEST(Network, LosesDuplicatesDelaysAndDamagesAsOftenAsItIsTold) {
  Network network{1};
  network.weather = {.loss = 0.2, .duplicate = 0.1, .reorder = 0.25, .corrupt = 0.05, .delay = 50ms, .jitter = 10ms};
  std::size_t arrived = 0;
  std::size_t damaged = 0;
  constexpr std::size_t kSent = 20000;
  for (std::size_t i = 0; i < kSent; ++i) {
    for (const auto& a : network.carry(kNow, datagram())) {
      ++arrived;
      damaged += a.datagram.payload != datagram().payload ? 1U : 0U;
      EXPECT_GE(a.at, kNow + 40ms);
      EXPECT_LE(a.at, kNow + 80ms);
    }
  }
  EXPECT_NEAR(static_cast<double>(arrived), kSent * 0.8 * 1.1, kSent * 0.02);
  EXPECT_NEAR(static_cast<double>(damaged), kSent * 0.8 * 1.1 * 0.05, kSent * 0.01);
  EXPECT_NEAR(static_cast<double>(network.counts().reordered), kSent * 0.8 * 1.1 * 0.25, kSent * 0.02);
}

TEST(Network, LosesOnlyWhatIsTooBigForTheMtu) {
  Network network{1};
  network.weather.mtu = 576;
  EXPECT_EQ(network.carry(kNow, datagram(576 - 28)).size(), 1U);
  EXPECT_EQ(network.carry(kNow, datagram(576 - 27)).size(), 0U);
}

TEST(Network, ADirectionMayHaveItsOwnWeather) {
  Network network{1};
  network.directions[{kLeft.address, kRight.address}].loss = 1;
  EXPECT_EQ(network.carry(kNow, datagram()).size(), 0U);
  EXPECT_EQ(network.carry(kNow, {kRight, kLeft, ipsec::Encapsulation::Udp, {1}}).size(), 1U);
  network.cut(kLeft.address, kRight.address);
  EXPECT_EQ(network.carry(kNow, {kRight, kLeft, ipsec::Encapsulation::Udp, {1}}).size(), 0U);
}

TEST(Network, ANatMapsEndpointsAndForgetsThem) {
  Network network{1};
  const IpAddress outside = address("203.0.113.1");
  network.nats.push_back({.inside = {kLeft.address}, .outside = {outside}, .rebind = 10s});
  const auto first = network.carry(kNow, datagram());
  ASSERT_EQ(first.size(), 1U);
  const Endpoint mapped = first[0].datagram.from;
  EXPECT_EQ(mapped.address, outside);
  EXPECT_NE(mapped.port, kLeft.port);
  const auto back = network.carry(kNow, {kRight, mapped, ipsec::Encapsulation::Udp, {1}});
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].datagram.to, kLeft);
  EXPECT_EQ(network.carry(kNow + 11s, {kRight, mapped, ipsec::Encapsulation::Udp, {1}}).size(), 0U);
  const auto second = network.carry(kNow + 11s, datagram());
  ASSERT_EQ(second.size(), 1U);
  EXPECT_NE(second[0].datagram.from, mapped);
  EXPECT_TRUE(network.carry(kNow, {kLeft, kRight, ipsec::Encapsulation::Native, {1}}).empty());
}

TEST(Worlds, ReplayFromTheirSeed) {
  const auto trace = [](std::uint64_t seed) {
    testcrypto::Ledger::instance().clear();
    World world{seed};
    add_two_sites(world);
    world.network.weather = {.loss = 0.2, .duplicate = 0.1, .reorder = 0.2, .corrupt = 0.02, .jitter = 500us};
    for (const auto& node : world.nodes()) node->start();
    world.run_for(5min);
    return world.trace();
  };
  EXPECT_EQ(trace(5), trace(5));
  EXPECT_NE(trace(5), trace(6));
}

TEST(Oracle, IsNotEasilyPleased) {
  testcrypto::Ledger::instance().clear();
  World world{1};
  add_two_sites(world, [](model::Tunnel& t) {
    if (t.interface4 == address("10.255.12.0"))
      t.psk = model::PresharedKey{SecretBytes::copy_of(to_bytes("another secret"))};
  });
  for (const auto& node : world.nodes()) node->start();
  EXPECT_FALSE(problems_of(world).empty());
}

TEST(Ledger, TakesDownEveryKeyAndIvOnce) {
  testcrypto::Ledger ledger;
  const Bytes iv{1, 2, 3};
  ledger.note_seal({1, 2}, iv, "ESP");
  ledger.note_seal({1, 3}, iv, "ESP");
  EXPECT_TRUE(ledger.repetitions().empty());
  ledger.note_seal({1, 2}, iv, "ESP");
  EXPECT_EQ(ledger.repetitions().size(), 1U);
}

}  // namespace
}  // namespace qanat::sim
