// NAT detection, the move to port 4500, encapsulation, keepalives, peers that move.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

const IpAddress kNatAddress = IpAddress::v4(0xcb007109);  // 203.0.113.9

// A stands behind a NAT: B sees another address and other ports.
void put_a_behind_nat(World& w, std::uint16_t port_500 = 10500, std::uint16_t port_4500 = 14500) {
  w.b.tunnel.peer.reset();
  w.nat = [port_500, port_4500](const Flight& f) {
    if (f.from == 'A') return ike::Path{f.path.remote, {kNatAddress, f.path.local.port == 500 ? port_500 : port_4500}};
    return ike::Path{
        {IpAddress::v4(0xc0000201), static_cast<std::uint16_t>(f.path.remote.port == port_500 ? 500 : 4500)},
        f.path.local};
  };
}

TEST_F(Peers, WithoutNatEverythingStaysOnPort500AndEspIsNative) {
  handshake();
  expect_tunnel();
  for (const Flight& f : sent) EXPECT_EQ(f.path.local.port, 500);
  EXPECT_EQ(a.child().encapsulation, ipsec::Encapsulation::Native);
  EXPECT_FALSE(a.sa().nat_local || a.sa().nat_remote || b.sa().nat_local || b.sa().nat_remote);
  const ipsec::OuterPath path = a.plane.outbound.begin()->second.path;
  EXPECT_EQ(path.local.port, 0);
  EXPECT_EQ(path.peer.address, b.address);
}

// RFC 9242 3.3: the float happens in the first IKE_INTERMEDIATE.
TEST_F(Peers, BehindANatTheMoveTo4500HappensAtTheFirstIntermediate) {
  put_a_behind_nat(*this);
  begin();
  EXPECT_EQ(wire.front().path.remote.port, 500);
  a_sends("IKE_SA_INIT request 0");
  EXPECT_EQ(wire.front().path.remote.port, 10500);
  b_sends("IKE_SA_INIT response 0");
  EXPECT_EQ(wire.front().path.local.port, 4500);
  EXPECT_EQ(wire.front().path.remote.port, 4500);
  EXPECT_EQ(load_be32(wire.front().bytes.data()), 0U);  // the non-ESP marker
  a_sends("IKE_INTERMEDIATE request 1");
  EXPECT_EQ(wire.front().path.local.port, 4500);
  EXPECT_EQ(wire.front().path.remote, (Endpoint{kNatAddress, 14500}));
  b_sends("IKE_INTERMEDIATE response 1");
  run();
  expect_tunnel();
  EXPECT_TRUE(a.sa().nat_local);
  EXPECT_FALSE(a.sa().nat_remote);
  EXPECT_TRUE(b.sa().nat_remote);
  EXPECT_EQ(a.child().encapsulation, ipsec::Encapsulation::Udp);
  EXPECT_EQ(b.plane.outbound.begin()->second.path.peer, (Endpoint{kNatAddress, 14500}));
  EXPECT_EQ(b.plane.outbound.begin()->second.path.local.port, 4500);
  EXPECT_EQ(a.plane.outbound.begin()->second.path.peer, (Endpoint{b.address, 4500}));
}

TEST_F(Peers, WithoutIntermediateTheMoveHappensAtIkeAuth) {
  put_a_behind_nat(*this);
  a.tunnel.ike = b.tunnel.ike = ipsec::default_classical_proposals();
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  EXPECT_EQ(wire.front().path.local.port, 4500);
  a_sends("IKE_AUTH request 1");
  run();
  expect_tunnel();
}

TEST_F(Peers, BehindANatKeepalivesLeaveEvery20Seconds) {
  put_a_behind_nat(*this);
  handshake();
  a.tunnel.dpd_idle = 1000s;
  const Instant start = now;
  unsigned keepalives = 0;
  while (now < start + 65s) {
    advance(1s);
    while (!wire.empty()) {
      if (wire.front().bytes == Bytes{0xff}) {
        ++keepalives;
        EXPECT_EQ(wire.front().from, 'A');
        EXPECT_EQ(wire.front().path.local.port, 4500);
      }
      deliver();
    }
  }
  EXPECT_EQ(keepalives, 3U);
  EXPECT_EQ(b.count(Counter::keepalive), 3U);
  expect_tunnel();
}

TEST_F(Peers, AResponderBehindANatIsReachedOn4500) {
  // B's real address is private; A reaches it by the NAT's.
  const IpAddress inside = IpAddress::v4(0x0a000002);
  a.tunnel.peer = kNatAddress;
  b.tunnel.local = inside;
  b.address = inside;
  nat = [inside](const Flight& f) {
    if (f.from == 'A') return ike::Path{{inside, f.path.remote.port}, f.path.local};
    return ike::Path{f.path.remote, {kNatAddress, f.path.local.port}};
  };
  handshake();
  expect_tunnel();
  EXPECT_TRUE(a.sa().nat_remote);
  EXPECT_TRUE(b.sa().nat_local);
  EXPECT_EQ(a.sa().path.local.port, 4500);
  EXPECT_EQ(a.child().encapsulation, ipsec::Encapsulation::Udp);
}

TEST_F(Peers, ForcedEncapsulationMakesBothSidesEncapsulate) {
  for (const char who : {'A', 'B'}) {
    Conversation w{31};
    w.side(who).tunnel.force_encap = true;
    w.handshake();
    w.expect_tunnel();
    EXPECT_EQ(w.a.child().encapsulation, ipsec::Encapsulation::Udp);
    EXPECT_EQ(w.a.sa().path.local.port, 4500);
  }
}

TEST_F(Peers, APacketPathWithoutNativeEspEncapsulates) {
  for (const char who : {'A', 'B'}) {
    Conversation w{32};
    w.side(who).config.native_esp = false;
    w.handshake();
    w.expect_tunnel();
    EXPECT_EQ(w.b.child().encapsulation, ipsec::Encapsulation::Udp);
  }
}

// The encapsulation follows NAT detection, not the port (rules.md "The outer packet").
TEST_F(Peers, AnInitiatorMayStartOn4500) {
  a.tunnel.peer_port = 4500;
  begin();
  EXPECT_EQ(load_be32(wire.front().bytes.data()), 0U);
  run();
  for (const Flight& f : sent) EXPECT_EQ(f.path.local.port, 4500);
  expect_tunnel();
  EXPECT_EQ(a.child().encapsulation, ipsec::Encapsulation::Native);
}

TEST_F(Peers, APeerThatMovesTo4500WithoutNatIsFollowed) {
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  Flight moved = wire.front();
  drop();
  moved.path.local.port = moved.path.remote.port = 4500;
  moved.bytes.insert(moved.bytes.begin(), 4, 0);
  arrive(moved);
  ASSERT_EQ(wire.size(), 1U);
  EXPECT_EQ(wire.front().path.local.port, 4500);
  run();
  expect_tunnel();
  EXPECT_EQ(b.child().encapsulation, ipsec::Encapsulation::Native);
}

TEST_F(Peers, WithoutMarkerNothingIsReadOn4500) {
  begin();
  Flight wrong = wire.front();
  wrong.path.local.port = wrong.path.remote.port = 4500;
  arrive(wrong);
  wrong.bytes = {0, 0, 0};
  arrive(wrong);
  wrong.bytes = {0, 0, 0, 0};
  arrive(wrong);
  wrong.bytes = {};
  arrive(wrong);
  EXPECT_EQ(b.count(Counter::malformed), 4U);
}

TEST_F(Peers, AnAuthenticatedRequestFromElsewhereMovesThePeer) {
  put_a_behind_nat(*this);
  handshake();
  put_a_behind_nat(*this, 20500, 24500);  // the NAT has forgotten its binding
  run_for(11s);                           // liveness: A asks
  const Endpoint fresh{kNatAddress, 24500};
  EXPECT_EQ(b.sa().path.remote, fresh);
  ASSERT_FALSE(b.plane.moves.empty());
  EXPECT_EQ(b.plane.moves.back().path.peer, fresh);
  EXPECT_TRUE(b.has(Report::What::PeerMoved));
  EXPECT_TRUE(a.plane.moves.empty());
}

TEST_F(Peers, AnythingLessThanAnAuthenticatedFreshRequestDoesNotMoveThePeer) {
  handshake();
  run_for(25s);
  const auto before = b.sa().path;
  const std::vector<Flight> history = sent;
  const ike::Path elsewhere{{b.address, 500}, {kNatAddress, 999}};
  for (const Flight& f : history) {
    if (f.from == 'A') arrive('B', elsewhere, f.bytes);
  }
  World::Sealing bad;
  bad.message_id = 5;
  bad.break_icv = true;
  for (std::uint32_t mid = 0; mid < 10; ++mid) {
    bad.message_id = mid;
    arrive('B', elsewhere, sealed('A', bad).bytes);
  }
  EXPECT_EQ(b.sa().path, before);
  EXPECT_TRUE(b.plane.moves.empty());
}

TEST_F(Peers, AuthenticatedEspFromElsewhereMovesThePeer) {
  put_a_behind_nat(*this);
  handshake();
  const Endpoint fresh{kNatAddress, 33333};
  b.endpoint->handle_plane(now, ipsec::PeerMoved{b.tunnel.id, fresh});
  drain();
  EXPECT_EQ(b.sa().path.remote, fresh);
  ASSERT_EQ(b.plane.moves.size(), 1U);
  // The side behind the NAT that began does not follow.
  a.endpoint->handle_plane(now, ipsec::PeerMoved{a.tunnel.id, fresh});
  drain();
  EXPECT_TRUE(a.plane.moves.empty());
}

TEST_F(Peers, AResponderBehindItsOwnStaticNatStillFollowsItsPeer) {
  const IpAddress inside = IpAddress::v4(0x0a000002);
  const IpAddress public_b = b.address;
  const IpAddress address_a = a.address;
  b.tunnel.local = b.address = inside;
  b.tunnel.peer.reset();
  nat = [=](const Flight& f) {
    if (f.from == 'A')
      return ike::Path{{inside, f.path.remote.port},
                       {kNatAddress, static_cast<std::uint16_t>(f.path.local.port + 10000)}};
    return ike::Path{{address_a, static_cast<std::uint16_t>(f.path.remote.port - 10000)},
                     {public_b, f.path.local.port}};
  };
  handshake();
  EXPECT_TRUE(b.sa().nat_local);
  EXPECT_TRUE(b.sa().nat_remote);
  const Endpoint fresh{kNatAddress, 33333};
  b.endpoint->handle_plane(now, ipsec::PeerMoved{b.tunnel.id, fresh});
  drain();
  EXPECT_EQ(b.sa().path.remote, fresh);
}

}  // namespace
}  // namespace qanat::exchange
