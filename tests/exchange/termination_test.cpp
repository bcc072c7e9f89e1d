// An attempt is given up while its IKE_AUTH is under way: to the peer it may be an IKE SA, so the peer is told.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

class Termination : public Peers {
 protected:
  void SetUp() override {
    begin();
    for (int i = 0; i < 4; ++i) deliver();
    expect_next('A', "IKE_AUTH request 2");
  }
  void give_up() {
    a.endpoint->terminate(now, TunnelId{1}, "you asked for it");
    drain();
    EXPECT_TRUE(a.has(Report::What::AttemptFailed, "you asked for it"));
  }
  void expect_nothing_left() {
    run_for(60s);
    EXPECT_EQ(a.endpoint->holdings(), 0U);
    EXPECT_EQ(b.endpoint->holdings(), 0U);
    EXPECT_TRUE(a.plane.inbound.empty());
    EXPECT_TRUE(b.plane.inbound.empty());
    EXPECT_EQ(a.plane.installs, 0U);
    expect_no_tunnel();
  }
};

TEST_F(Termination, TheDeleteFollowsTheAnswer) {
  give_up();
  a_sends("IKE_AUTH request 2");
  EXPECT_EQ(b.established().size(), 1U);
  b_sends("IKE_AUTH response 2");
  a_sends("INFORMATIONAL request 3");
  EXPECT_TRUE(b.has(Report::What::Down, "deleted the IKE SA"));
  b_sends("INFORMATIONAL response 3");
  EXPECT_TRUE(a.endpoint->sas().empty());
  expect_nothing_left();
}

TEST_F(Termination, WhatGetsLostIsSentAgain) {
  give_up();
  a_sends_lost("IKE_AUTH request 2");
  advance(1200ms);
  a_sends("IKE_AUTH request 2");
  b_sends_lost("IKE_AUTH response 2");
  advance(2500ms);
  a_sends("IKE_AUTH request 2");
  b_sends("IKE_AUTH response 2");
  a_sends_lost("INFORMATIONAL request 3");
  advance(1200ms);
  a_sends("INFORMATIONAL request 3");
  EXPECT_TRUE(b.established().empty());
  run();
  expect_nothing_left();
}

TEST_F(Termination, ADeadPeerIsNotWaitedForLongerThanThirtySeconds) {
  give_up();
  wire.clear();
  advance(29s);
  EXPECT_FALSE(a.endpoint->sas().empty());
  advance(2s);
  EXPECT_TRUE(a.endpoint->sas().empty());
  wire.clear();
  expect_nothing_left();
}

TEST_F(Termination, APeerThatRefusesUsHasNothingToDelete) {
  b.tunnel.psk = model::PresharedKey{SecretBytes::copy_of(to_bytes("other"))};
  b.endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(b.tunnel));
  give_up();
  a_sends("IKE_AUTH request 2");
  b_sends("IKE_AUTH response 2");
  EXPECT_TRUE(wire.empty());
  EXPECT_TRUE(a.endpoint->sas().empty());
  expect_nothing_left();
}

TEST_F(Termination, ANewAttemptNeedNotWait) {
  give_up();
  ASSERT_TRUE(a.endpoint->initiate(now, TunnelId{1}).has_value());
  drain();
  run();
  run_for(60s);
  expect_tunnel();
  EXPECT_EQ(a.endpoint->sas().size(), 1U);
  EXPECT_EQ(b.endpoint->sas().size(), 1U);
}

TEST_F(Termination, ThePeersDeleteIsTakenBeforeItsAnswer) {
  give_up();
  a_sends("IKE_AUTH request 2");
  b_sends_lost("IKE_AUTH response 2");
  b.endpoint->terminate(now, TunnelId{1}, "bye");
  drain();
  b_sends("INFORMATIONAL request 0");
  a_sends("INFORMATIONAL response 0");
  expect_nothing_left();
}

TEST(TerminationWithCertificates, IsSaidWhileAWorkerJudgesThePeersProof) {
  Conversation w{7};
  use_certificate(w.a, w.b);
  use_certificate(w.b, w.a);
  w.a.auth.verify = FakeAuth::Answer::Later;
  w.begin();
  w.run();
  ASSERT_EQ(w.b.established().size(), 1U);
  w.a.endpoint->terminate(w.now, TunnelId{1}, "you asked for it");
  w.drain();
  w.expect_next('A', "INFORMATIONAL request 3");
  w.a.auth.give_late_answers();
  w.drain();
  w.run();
  w.run_for(60s);
  EXPECT_EQ(w.a.plane.installs, 0U);
  EXPECT_EQ(w.a.endpoint->holdings(), 0U);
  EXPECT_EQ(w.b.endpoint->holdings(), 0U);
  w.expect_no_tunnel();
}

}  // namespace
}  // namespace qanat::exchange
