// MOBIKE (RFC 4555): addresses that change under an IKE SA, in both roles and while a rekey is on its way.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

const IpAddress kHome = IpAddress::v4(0xc0000201);     // A's, 192.0.2.1
const IpAddress kAway = IpAddress::v4(0xcb007121);     // 203.0.113.33
const IpAddress kThird = IpAddress::v4(0xcb007122);    // 203.0.113.34
const IpAddress kSecondB = IpAddress::v4(0xc6336442);  // B's other one, 198.51.100.66
const IpAddress kNat = IpAddress::v4(0xcb007109);

class Mobile : public Peers {
 protected:
  void SetUp() override {
    a.tunnel.mobike = b.tunnel.mobike = true;
    b.tunnel.peer.reset();
    a.tunnel.dpd_idle = b.tunnel.dpd_idle = 10s;
  }
  void addresses(Side& side, std::vector<IpAddress> all) {
    side.endpoint->handle_addresses(now, {std::move(all), {}});
    drain();
  }
  void up() {
    handshake();
    expect_tunnel();
    ASSERT_TRUE(a.sa().mobike && b.sa().mobike);
    addresses(a, {kHome});
    addresses(b, {b.address});
    run();
  }
  void expect_path(const IpAddress& of_a, const IpAddress& of_b) {
    expect_tunnel();
    EXPECT_EQ(a.sa().path.local.address, of_a);
    EXPECT_EQ(a.sa().path.remote.address, of_b);
    EXPECT_EQ(b.sa().path.local.address, of_b);
    EXPECT_EQ(b.sa().path.remote.address, of_a);
    ASSERT_FALSE(a.plane.moves.empty() || b.plane.moves.empty());
    EXPECT_EQ(a.plane.moves.back().path.local.address, of_a);
    EXPECT_EQ(a.plane.moves.back().path.peer.address, of_b);
    EXPECT_EQ(b.plane.moves.back().path.local.address, of_b);
    EXPECT_EQ(b.plane.moves.back().path.peer.address, of_a);
    EXPECT_EQ(a.plane.moves.back().path.encapsulation, b.plane.moves.back().path.encapsulation);
  }
  [[nodiscard]] bool has(const Flight& f, NotifyType type) const {
    return wire::find_notify(look(f).payloads, type) != nullptr;
  }
};

TEST_F(Mobile, BothSayItInIkeAuthAndUseTheNatPort) {
  a.tunnel.outer_addresses = {kHome, kAway};
  handshake();
  expect_tunnel();
  ASSERT_TRUE(a.sa().mobike && b.sa().mobike);
  unsigned said = 0;
  for (const Flight& f : sent) {
    if (name_of(f).find("IKE_AUTH") == std::string::npos) continue;
    if (has(f, NotifyType::MOBIKE_SUPPORTED)) ++said;
    EXPECT_EQ(f.path.local.port, 4500);
    EXPECT_EQ(has(f, NotifyType::ADDITIONAL_IP4_ADDRESS), f.from == 'A');
  }
  EXPECT_EQ(said, 2U);
  EXPECT_EQ(b.sa().peer_addresses, (std::vector<IpAddress>{kAway}));
  EXPECT_EQ(a.child().encapsulation, ipsec::Encapsulation::Native);
  // The host has only one of them after all: the peer is told.
  addresses(a, {kHome});
  ASSERT_FALSE(wire.empty());
  EXPECT_TRUE(has(wire.front(), NotifyType::NO_ADDITIONAL_ADDRESSES));
  run();
  EXPECT_TRUE(b.sa().peer_addresses.empty());
}

TEST_F(Mobile, WithoutItOnOneSideNothingIsSaidAndNothingMoves) {
  b.tunnel.mobike = false;
  handshake();
  expect_tunnel();
  EXPECT_FALSE(a.sa().mobike || b.sa().mobike);
  const std::size_t before = sent.size();
  addresses(a, {kAway});
  EXPECT_EQ(sent.size(), before);
  EXPECT_TRUE(a.plane.moves.empty());
}

TEST_F(Mobile, TheInitiatorMovesWhenItsAddressIsGone) {
  up();
  const auto spi = a.sa().spi_i;
  addresses(a, {kAway});
  ASSERT_FALSE(wire.empty());
  EXPECT_TRUE(has(wire.front(), NotifyType::UPDATE_SA_ADDRESSES));
  EXPECT_TRUE(has(wire.front(), NotifyType::NAT_DETECTION_SOURCE_IP));
  EXPECT_TRUE(has(wire.front(), NotifyType::COOKIE2));
  EXPECT_EQ(wire.front().path.local.address, kAway);
  EXPECT_EQ(a.plane.moves.size(), 1U);  // at once, before the peer has answered
  deliver();
  // B's answer, and its question whether A is there.
  ASSERT_EQ(wire.size(), 2U);
  EXPECT_TRUE(has(wire[0], NotifyType::COOKIE2) && has(wire[1], NotifyType::COOKIE2));
  run();
  expect_path(kAway, b.address);
  EXPECT_EQ(a.sa().spi_i, spi);
  EXPECT_EQ(a.child().encapsulation, ipsec::Encapsulation::Native);
  EXPECT_TRUE(b.has(Report::What::PeerMoved));
}

TEST_F(Mobile, TheHostsRoutingChoosesTheNewAddress) {
  up();
  a.endpoint->handle_addresses(now, {{kThird, kAway}, {{b.address, kAway}}});
  drain();
  run();
  expect_path(kAway, b.address);
}

TEST_F(Mobile, APinnedAddressStays) {
  a.tunnel.pinned_local = true;
  up();
  addresses(a, {kAway});
  EXPECT_TRUE(wire.empty());
  EXPECT_TRUE(a.plane.moves.empty());
}

TEST_F(Mobile, AnAddressThatComesBeforeTheOldOneGoesIsNoReasonToMove) {
  up();
  addresses(a, {kHome, kAway});
  EXPECT_TRUE(wire.empty());
  addresses(a, {});  // not known: no address counts as gone
  EXPECT_TRUE(wire.empty());
}

TEST_F(Mobile, MovesFasterThanTheAnswersEndAtTheLastAddress) {
  up();
  addresses(a, {kAway});
  deliver();
  addresses(a, {kThird});  // the answer is under way
  run_for(5s);
  expect_path(kThird, b.address);
}

TEST_F(Mobile, AnUpdateThatIsLostArrivesLater) {
  up();
  addresses(a, {kAway});
  drop();
  run_for(3s);
  expect_path(kAway, b.address);
}

TEST_F(Mobile, OnlyAnUpdateMovesThePeer) {
  up();
  const ike::Path elsewhere{{b.address, 4500}, {kThird, 4500}};
  const std::uint32_t next = 3;  // after IKE_SA_INIT, IKE_INTERMEDIATE and IKE_AUTH
  arrive('B', elsewhere, sealed('A', ExchangeType::INFORMATIONAL, next, {}).bytes);
  ASSERT_FALSE(wire.empty());
  EXPECT_EQ(wire.front().path.remote, elsewhere.remote);  // it is answered there, and that is all
  EXPECT_EQ(b.sa().path.remote.address, kHome);
  EXPECT_TRUE(b.plane.moves.empty());
}

TEST_F(Mobile, TheResponderWhoseAddressIsGoneSpeaksFromAnother) {
  up();
  addresses(b, {kSecondB});
  ASSERT_FALSE(wire.empty());
  EXPECT_EQ(wire.front().path.local.address, kSecondB);
  EXPECT_TRUE(has(wire.front(), NotifyType::NO_ADDITIONAL_ADDRESSES));
  EXPECT_FALSE(has(wire.front(), NotifyType::UPDATE_SA_ADDRESSES));
  run_for(3s);
  expect_path(kHome, kSecondB);
}

TEST_F(Mobile, ADeadPathIsLeftForAnAnnouncedAddress) {
  b.tunnel.outer_addresses = {b.address, kSecondB};
  up();
  addresses(b, {b.address, kSecondB});
  run();
  ASSERT_EQ(a.sa().peer_addresses, (std::vector<IpAddress>{kSecondB}));
  const Instant start = now;
  while (now < start + 25s) {
    advance(100ms);
    while (!wire.empty()) {
      const auto& path = wire.front().path;
      if (path.remote.address == b.address || path.local.address == b.address) {
        drop();
      } else {
        deliver();
      }
    }
  }
  expect_path(kHome, kSecondB);
  EXPECT_GE(a.count(Counter::path_probe), 1U);
}

TEST_F(Mobile, ANatOnTheNewPathIsFoundAndEspIsEncapsulated) {
  up();
  nat = [](const Flight& f) {
    if (f.from == 'A') return ike::Path{f.path.remote, {kNat, 14500}};
    return ike::Path{{kAway, 4500}, f.path.local};
  };
  addresses(a, {kAway});
  run_for(1s);
  EXPECT_TRUE(a.sa().nat_local);
  EXPECT_TRUE(b.sa().nat_remote);
  EXPECT_EQ(a.child().encapsulation, ipsec::Encapsulation::Udp);
  EXPECT_EQ(b.child().encapsulation, ipsec::Encapsulation::Udp);
  EXPECT_EQ(b.plane.moves.back().path.peer, (Endpoint{kNat, 14500}));
  nat = nullptr;
  addresses(a, {kHome});  // and back
  run_for(1s);
  EXPECT_FALSE(a.sa().nat_local);
  EXPECT_EQ(a.child().encapsulation, ipsec::Encapsulation::Native);
  expect_path(kHome, b.address);
}

TEST_F(Mobile, AForgottenNatMappingIsNoticedByLiveness) {
  std::uint16_t port = 14500;
  nat = [&port](const Flight& f) {
    if (f.from == 'A') return ike::Path{f.path.remote, {kNat, f.path.local.port == 500 ? std::uint16_t{10500} : port}};
    return ike::Path{{kHome, static_cast<std::uint16_t>(f.path.remote.port == 10500 ? 500 : 4500)}, f.path.local};
  };
  handshake();
  expect_tunnel();
  run_for(25s);
  port = 24500;
  run_for(25s);
  EXPECT_EQ(b.sa().path.remote, (Endpoint{kNat, 24500}));
  EXPECT_EQ(b.plane.moves.back().path.peer, (Endpoint{kNat, 24500}));
}

TEST_F(Mobile, AnotherCookieEndsTheIkeSa) {
  up();
  addresses(a, {kAway});
  const std::uint32_t mid = look(wire.front()).message.header.message_id;
  wire.clear();
  Flight forged = sealed('B', ExchangeType::INFORMATIONAL, mid, {notify(NotifyType::COOKIE2, Bytes(16, 1))}, true);
  arrive('A', {{kAway, 4500}, {b.address, 4500}}, forged.bytes);
  EXPECT_TRUE(a.established().empty());
  EXPECT_TRUE(a.has(Report::What::Down, "COOKIE2"));
}

TEST_F(Mobile, AnAddressOfTheResponderItselfIsUnacceptable) {
  up();
  addresses(b, {b.address, kAway});
  addresses(a, {kAway});
  deliver();
  ASSERT_FALSE(wire.empty());
  EXPECT_TRUE(has(wire.front(), NotifyType::UNACCEPTABLE_ADDRESSES));
  EXPECT_EQ(b.sa().path.remote.address, kHome);
  EXPECT_TRUE(b.plane.moves.empty());
}

TEST_F(Mobile, NoNatsAllowedIsCheckedAgainstTheHeaders) {
  up();
  const auto send = [&](std::uint32_t mid, const IpAddress& source) {
    Bytes data = to_bytes(source.bytes());
    append(data, b.address.bytes());
    append(data, Bytes{4500 >> 8, 4500 & 0xff, 4500 >> 8, 4500 & 0xff});
    const Flight request = sealed('A', ExchangeType::INFORMATIONAL, mid,
                                  {notify(NotifyType::UPDATE_SA_ADDRESSES), notify(NotifyType::NO_NATS_ALLOWED, data)});
    wire.clear();
    arrive('B', {{b.address, 4500}, {kAway, 4500}}, request.bytes);
  };
  send(3, kThird);
  ASSERT_FALSE(wire.empty());
  EXPECT_TRUE(has(wire.front(), NotifyType::UNEXPECTED_NAT_DETECTED));
  EXPECT_EQ(b.sa().path.remote.address, kHome);
  send(4, kAway);
  EXPECT_FALSE(has(wire.front(), NotifyType::UNEXPECTED_NAT_DETECTED));
  EXPECT_EQ(b.sa().path.remote.address, kAway);
}

// ---- while keys are being renewed --------------------------------------------------------------------------------

class MobileRekey : public Mobile, public ::testing::WithParamInterface<int> {};

// The address goes after N messages of the rekey have been delivered; one of them may be lost, too.
TEST_P(MobileRekey, EndsConsistent) {
  for (const bool of_ike : {true, false}) {
    for (const char who : {'A', 'B'}) {
      for (const bool lose : {false, true}) {
        Conversation w{static_cast<std::uint64_t>(77 + GetParam())};
        for (Side* s : {&w.a, &w.b}) {
          s->tunnel.mobike = true;
          s->tunnel.dpd_idle = 1000s;
          s->tunnel.fragment_size = GetParam() % 2 == 0 ? 0 : 576;  // fragments, too
        }
        w.b.tunnel.peer.reset();
        w.handshake();
        const auto tell = [&](Side& s, const IpAddress& x) {
          s.endpoint->handle_addresses(w.now, {{x}, {}});
          w.drain();
        };
        tell(w.a, kHome);
        tell(w.b, w.b.address);
        const auto before = w.a.sa().spi_i;
        if (of_ike) {
          w.side(who).endpoint->rekey(w.now, w.a.tunnel.id);
        } else {
          w.side(who).endpoint->rekey_children(w.now, w.a.tunnel.id);
        }
        w.drain();
        for (int i = 0; i < GetParam() && !w.wire.empty(); ++i) w.deliver();
        tell(w.a, kAway);
        if (lose && !w.wire.empty()) w.drop();
        w.run_for(40s);
        SCOPED_TRACE(std::string(of_ike ? "IKE" : "child") + " by " + who + (lose ? ", one lost" : ""));
        w.expect_tunnel();
        EXPECT_EQ(w.a.sa().spi_i != before, of_ike);
        EXPECT_EQ(w.a.sa().path.local.address, kAway);
        EXPECT_EQ(w.b.sa().path.remote.address, kAway);
        EXPECT_EQ(w.a.plane.moves.back().path.local.address, kAway);
        EXPECT_EQ(w.b.plane.moves.back().path.peer.address, kAway);
        // Whoever began the series goes on deciding, whoever began the last rekey.
        tell(w.a, kThird);
        w.run_for(5s);
        EXPECT_EQ(w.b.sa().path.remote.address, kThird);
        w.expect_tunnel();
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(After, MobileRekey, ::testing::Range(0, 9));

// Without MOBIKE, a NAT that takes another port while keys are renewed: a request of ours, or ESP, shows the new one.
TEST_F(Peers, ANatThatRebindsDuringARekeyIsFollowed) {
  for (const bool by_esp : {false, true}) {
    for (const bool of_ike : {true, false}) {
      Conversation w{91};
      std::uint16_t port = 14500;
      w.b.tunnel.peer.reset();
      w.a.tunnel.dpd_idle = w.b.tunnel.dpd_idle = 10s;
      w.nat = [&port](const Flight& f) {
        if (f.from == 'A')
          return ike::Path{f.path.remote, {kNat, f.path.local.port == 500 ? std::uint16_t{10500} : port}};
        return ike::Path{{kHome, static_cast<std::uint16_t>(f.path.remote.port == 10500 ? 500 : 4500)}, f.path.local};
      };
      w.handshake();
      if (of_ike) {
        w.a.endpoint->rekey(w.now, w.a.tunnel.id);
      } else {
        w.a.endpoint->rekey_children(w.now, w.a.tunnel.id);
      }
      w.drain();
      w.deliver();
      port = 24500;
      if (by_esp) {
        w.b.endpoint->handle_plane(w.now, ipsec::PeerMoved{w.b.tunnel.id, {kNat, port}});
        w.drain();
      }
      w.run_for(by_esp ? 1s : 25s);
      w.expect_tunnel();
      EXPECT_EQ(w.b.sa().path.remote, (Endpoint{kNat, 24500}));
      EXPECT_EQ(w.b.plane.moves.back().path.peer, (Endpoint{kNat, 24500}));
    }
  }
}

// ---- the size of what gets through -------------------------------------------------------------------------------

class Narrow : public Peers {
 protected:
  // Until nothing is left to say, on a path that drops what is larger than `octets` of IP.
  void run_narrow(std::size_t octets, Duration by, char only = 0) {
    const Instant end = now + by;
    while (now < end) {
      while (!wire.empty()) {
        const bool init = name_of(wire.front()).find("IKE_SA_INIT") != std::string::npos;
        const bool too_large = !init && wire.front().bytes.size() + 28 > octets;
        if (too_large && (only == 0 || only == wire.front().from)) {
          drop();
        } else {
          deliver();
        }
      }
      advance(100ms);
    }
  }
};

TEST_F(Narrow, ARequestWithoutAnswerIsCutSmaller) {
  begin();
  run_narrow(1000, 60s, 'A');
  expect_tunnel();
  EXPECT_GE(a.count(Counter::refragmented), 1U);
  std::uint16_t last = 0;
  for (const Flight& f : sent) {
    const Seen seen = look(f);
    const wire::IkeHeader& header = seen.message.header;
    if (f.from != 'A' || !seen.message.encrypted || header.message_id != 1 || header.is_response()) continue;
    EXPECT_GE(seen.message.encrypted->total_fragments, last);
    last = seen.message.encrypted->total_fragments;
  }
  EXPECT_GE(last, 2U);
}

TEST_F(Narrow, AResponseThatIsAskedForAgainIsCutSmaller) {
  begin();
  run_narrow(1000, 60s, 'B');
  expect_tunnel();
  EXPECT_GE(b.count(Counter::refragmented), 1U);
}

TEST_F(Narrow, WhatGotThroughIsRememberedOverRekeys) {
  begin();
  run_narrow(600, 100s);
  expect_tunnel();
  const auto cut = a.count(Counter::refragmented) + b.count(Counter::refragmented);
  a.endpoint->rekey(now, a.tunnel.id);
  drain();
  run_narrow(600, 3s);
  b.endpoint->rekey(now, b.tunnel.id);
  drain();
  run_narrow(600, 3s);
  expect_tunnel();
  EXPECT_EQ(a.count(Counter::refragmented) + b.count(Counter::refragmented), cut);
  EXPECT_EQ(a.count(Counter::retransmission), 0U);
}

TEST_F(Narrow, ASmallRequestIsRepeatedBitByBit) {
  handshake();
  sent.clear();
  advance(11s);
  for (int i = 0; i < 200; ++i) {
    wire.clear();
    advance(100ms);
  }
  ASSERT_GE(sent.size(), 5U);
  std::set<Bytes> different;
  for (const Flight& f : sent) {
    if (f.from == 'A') different.insert(f.bytes);
  }
  EXPECT_EQ(different.size(), 1U);
  EXPECT_EQ(a.count(Counter::refragmented), 0U);
}

}  // namespace
}  // namespace qanat::exchange
