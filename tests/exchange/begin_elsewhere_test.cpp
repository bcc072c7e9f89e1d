// Where an attempt begins when the configured address is gone from the host.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

const IpAddress kHome = IpAddress::v4(0xc0000201);   // A's, 192.0.2.1
const IpAddress kAway = IpAddress::v4(0xcb007121);   // 203.0.113.33
const IpAddress kThird = IpAddress::v4(0xcb007122);  // 203.0.113.34
const IpAddress kOther6 = *IpAddress::parse("2001:db8::1");

class BeginElsewhere : public Peers {
 protected:
  void SetUp() override {
    b.tunnel.peer.reset();
    a.tunnel.mobike = b.tunnel.mobike = true;
    open();
  }
  void host(ike::HostAddresses now_there) {
    a.endpoint->handle_addresses(now, std::move(now_there));
    drain();
  }
  [[nodiscard]] Status start() {
    Status begun = a.endpoint->initiate(now, TunnelId{1});
    drain();
    return begun;
  }
  void expect_begins_from(const IpAddress& address) {
    ASSERT_TRUE(start().has_value());
    ASSERT_FALSE(wire.empty());
    EXPECT_EQ(wire.front().path.local.address, address);
    run();
    expect_tunnel();
    EXPECT_EQ(a.sa().path.local.address, address);
    EXPECT_EQ(b.sa().path.remote.address, address);
    EXPECT_FALSE(a.sa().nat_local) << "the address in IKE_SA_INIT is the one that is used";
  }
};

TEST_F(BeginElsewhere, AtTheAddressThatTheHostsRoutingNames) {
  host({{kThird, kAway}, {{b.address, kAway}}});
  expect_begins_from(kAway);
}

TEST_F(BeginElsewhere, AtAnyThatFitsWhenRoutingIsNotKnown) {
  host({{kOther6, kThird}, {}});
  expect_begins_from(kThird);
}

TEST_F(BeginElsewhere, AtHomeAsLongAsItIsThere) {
  host({{kAway, kHome}, {{b.address, kAway}}});
  expect_begins_from(kHome);
}

// Loopback, link-local and deprecated addresses are nobody's first choice, and work.
TEST_F(BeginElsewhere, AtHomeWhenItIsNotForNewUseButThere) {
  host({{kAway}, {{b.address, kAway}}, {kHome}});
  expect_begins_from(kHome);
}

TEST_F(BeginElsewhere, AtHomeWhenTheHostsAddressesAreNotKnown) {
  host({});
  expect_begins_from(kHome);
}

TEST_F(BeginElsewhere, NowhereWhenNoAddressLeadsThere) {
  host({{kOther6}, {}});
  const Status begun = start();
  ASSERT_FALSE(begun.has_value());
  EXPECT_THAT(begun.error().detail, ::testing::HasSubstr("no interface has 192.0.2.1 any more"));
  EXPECT_TRUE(wire.empty());
  EXPECT_TRUE(a.endpoint->sas().empty());
  host({{kOther6, kHome}, {}});
  expect_begins_from(kHome);
}

class BeginFixed : public ::testing::TestWithParam<bool>, public Conversation {};

TEST_P(BeginFixed, WaitsForItsAddress) {
  a.tunnel.pinned_local = a.tunnel.mobike = GetParam();
  open();
  a.endpoint->handle_addresses(now, {{kAway}, {{b.address, kAway}}, {}});
  const Status begun = a.endpoint->initiate(now, TunnelId{1});
  drain();
  ASSERT_FALSE(begun.has_value());
  EXPECT_THAT(begun.error().detail, ::testing::HasSubstr(GetParam() ? "'local'" : "mobike = false"));
  EXPECT_TRUE(wire.empty());
}

INSTANTIATE_TEST_SUITE_P(Addresses, BeginFixed, ::testing::Bool(),
                         [](const auto& p) { return p.param ? "pinned" : "without_mobike"; });

// The attempt is under way, with or without an answer: from an address that is gone it leads nowhere.
TEST_F(BeginElsewhere, AnAttemptWhoseAddressGoesEndsAndTheNextBeginsThere) {
  for (const std::size_t answers : {0U, 1U, 2U}) {
    SCOPED_TRACE(answers);
    host({{kHome}, {}});
    ASSERT_TRUE(start().has_value());
    for (std::size_t i = 0; i < 2 * answers; ++i) deliver();
    host({{kHome, kAway}, {}});
    EXPECT_FALSE(a.has(Report::What::AttemptFailed)) << a.said();
    host({{kOther6}, {}});
    EXPECT_FALSE(a.has(Report::What::AttemptFailed)) << "it may come back: " << a.said();
    host({{kAway}, {}});
    EXPECT_TRUE(a.has(Report::What::AttemptFailed, "192.0.2.1 is gone")) << a.said();
    wire.clear();
    EXPECT_TRUE(a.endpoint->sas().empty());
    EXPECT_TRUE(a.plane.reserved.empty());
    a.reports.clear();
  }
  run_for(200s);  // what B made of them goes
  expect_begins_from(kAway);
}

}  // namespace
}  // namespace qanat::exchange
