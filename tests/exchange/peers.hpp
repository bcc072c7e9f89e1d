// Peers: the World as a test fixture, with words that make a test read like the conversation it shows.
#pragma once

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "exchange/world.hpp"

namespace qanat::exchange {

using ike::Counter;
using ike::Report;
using wire::ExchangeType;
using wire::NotifyType;
using wire::PayloadType;

class Conversation : public World {
 public:
  using World::World;

  // The next datagram on the wire is this one: "IKE_SA_INIT request 0", " 1/3" for a fragment.
  void expect_next(char from, const std::string& text) {
    ASSERT_FALSE(wire.empty()) << "nothing is on the wire, expected " << text << "\n" << a.said() << b.said();
    EXPECT_EQ(name_of(wire.front()), (from == 'A' ? "A->B " : "B->A ") + text);
  }
  void a_sends(const std::string& text) {
    expect_next('A', text);
    deliver_if();
  }
  void b_sends(const std::string& text) {
    expect_next('B', text);
    deliver_if();
  }
  void a_sends_lost(const std::string& text) {
    expect_next('A', text);
    if (!wire.empty()) drop();
  }
  void b_sends_lost(const std::string& text) {
    expect_next('B', text);
    if (!wire.empty()) drop();
  }

  // Everything but what outlives the process is gone.
  void crash(Side& s) {
    s.endpoint = std::make_unique<ike::IkeEndpoint>(s.config, s.rng);
    s.endpoint->set_tunnel(std::make_shared<const ike::TunnelConfig>(s.tunnel));
    s.plane.inbound.clear();
    s.plane.outbound.clear();
    s.plane.carrying.clear();
    s.plane.current.reset();
  }

  // Both have exactly one established IKE SA with one Child SA: SPIs mirror, keys are equal, and traffic may flow.
  void expect_tunnel() {
    const auto of_a = a.established();
    const auto of_b = b.established();
    ASSERT_EQ(of_a.size(), 1U) << a.said() << b.said();
    ASSERT_EQ(of_b.size(), 1U) << a.said() << b.said();
    const ike::SaInfo& x = of_a.front();
    const ike::SaInfo& y = of_b.front();
    EXPECT_EQ(x.spi_i, y.spi_i);
    EXPECT_EQ(x.spi_r, y.spi_r);
    EXPECT_NE(x.initiator, y.initiator);
    ASSERT_TRUE(x.chosen && y.chosen);
    EXPECT_EQ(x.chosen->suite, y.chosen->suite);
    EXPECT_EQ(x.chosen->prf, y.chosen->prf);
    EXPECT_EQ(x.key_exchanges, y.key_exchanges);
    EXPECT_EQ(x.verdict.hybrid, y.verdict.hybrid);
    ASSERT_EQ(a.live_children().size(), 1U) << a.said() << b.said();
    ASSERT_EQ(b.live_children().size(), 1U) << a.said() << b.said();
    expect_mirrored(a.child(), b.child());
    EXPECT_EQ(a.plane.current, a.child().id);
    EXPECT_EQ(b.plane.current, b.child().id);
    EXPECT_TRUE(a.plane.reserved.empty());
    EXPECT_TRUE(b.plane.reserved.empty());
  }
  // Both ends of one Child SA.
  void expect_mirrored(const ike::ChildInfo& of_a, const ike::ChildInfo& of_b) {
    const ike::ChildInfo* x = &of_a;
    const ike::ChildInfo* y = &of_b;
    EXPECT_EQ(x->spi_in, y->spi_out);
    EXPECT_EQ(x->spi_out, y->spi_in);
    EXPECT_EQ(x->suite, y->suite);
    EXPECT_EQ(x->esn, y->esn);
    EXPECT_EQ(x->encapsulation, y->encapsulation);
    EXPECT_EQ(x->local_ts, y->remote_ts);
    EXPECT_EQ(x->remote_ts, y->local_ts);
    ASSERT_EQ(a.plane.inbound.count(x->id), 1U);
    ASSERT_EQ(b.plane.inbound.count(y->id), 1U);
    const ipsec::SaDirection& a_in = a.plane.inbound.at(x->id);
    const ipsec::SaDirection& a_out = a.plane.outbound.at(x->id);
    const ipsec::SaDirection& b_in = b.plane.inbound.at(y->id);
    const ipsec::SaDirection& b_out = b.plane.outbound.at(y->id);
    EXPECT_TRUE(a_out.keymat == b_in.keymat);
    EXPECT_TRUE(b_out.keymat == a_in.keymat);
    EXPECT_FALSE(a_out.keymat == a_in.keymat);
    EXPECT_EQ(a_out.spi, b_in.spi);
    EXPECT_EQ(b_out.spi, a_in.spi);
  }
  // Neither side has ever been told to install anything, and no SPI is left reserved.
  void expect_nothing_installed() const {
    EXPECT_EQ(a.plane.installs, 0U);
    EXPECT_EQ(b.plane.installs, 0U);
    EXPECT_TRUE(a.plane.reserved.empty());
    EXPECT_TRUE(b.plane.reserved.empty());
  }
  void expect_no_tunnel() {
    EXPECT_TRUE(a.plane.outbound.empty()) << a.said() << b.said();
    EXPECT_TRUE(b.plane.outbound.empty()) << a.said() << b.said();
    EXPECT_TRUE(a.plane.reserved.empty());
    EXPECT_TRUE(b.plane.reserved.empty());
  }
  void both_offer(const std::string& ike_text) {
    for (Side* s : {&a, &b}) s->tunnel.ike = {ike_proposal(ike_text)};
  }
  // The index on the wire of the first datagram of this name.
  [[nodiscard]] std::size_t find(const std::string& text) const {
    for (std::size_t i = 0; i < wire.size(); ++i) {
      if (name_of(wire[i]) == text) return i;
    }
    ADD_FAILURE() << text << " is not on the wire";
    return 0;
  }

 private:
  void deliver_if() {
    if (!wire.empty()) deliver();
  }
};

class Peers : public ::testing::Test, public Conversation {};

}  // namespace qanat::exchange
