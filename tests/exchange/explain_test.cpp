// What is kept of a handshake for `qanat explain`: the cost of each key operation, and no more than 768 octets.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

// Every look at it finds 5 us gone.
class FalseStopwatch final : public Stopwatch {
 public:
  [[nodiscard]] std::uint64_t nanoseconds() const override { return now_ += 4500; }

 private:
  mutable std::uint64_t now_ = 0;
};

class Explain : public Peers {
 protected:
  FalseStopwatch watch_;
};

TEST_F(Explain, EveryKeyOperationIsMeasured) {
  a.config.stopwatch = b.config.stopwatch = &watch_;
  both_offer("aes256gcm16-prfsha384-x25519-ke1_mlkem768");
  handshake();
  for (const Side* s : {&a, &b}) {
    const auto steps = s->sa().handshake;
    ASSERT_EQ(steps.size(), 3U);
    for (std::size_t i = 0; i < 2; ++i) {
      // A responder's key pair is part of what it makes of the peer's value.
      EXPECT_EQ(steps[i].times.own, s == &a ? 5U : 0U) << i;
      EXPECT_EQ(steps[i].times.peer, 5U) << i;
      EXPECT_EQ(steps[i].times.prf, 5U) << i;
    }
    EXPECT_EQ(steps[2].times.own, 5U) << "our proof";
    EXPECT_EQ(steps[2].times.peer, 5U) << "the peer's";
    EXPECT_EQ(steps[2].times.prf, 0U);
  }
}

TEST_F(Explain, WithoutAStopwatchNothingIs) {
  handshake();
  for (const ike::ExchangeRecord& step : a.sa().handshake)
    EXPECT_EQ(step.times.own + step.times.peer + step.times.prf, 0U);
}

TEST_F(Explain, ItNeverTakesMoreThan768Octets) {
  const char* all =
      "aes256gcm16-prfsha384-x25519-ke1_mlkem512-ke2_mlkem768-ke3_mlkem1024-ke4_ecp256-ke5_ecp384-"
      "ke6_ecp521-ke7_modp3072";
  a.tunnel.ike = b.tunnel.ike = {ike_proposal(all)};
  for (const ipsec::IkeProposal& p : ipsec::default_hybrid_proposals()) a.tunnel.ike.push_back(p);
  handshake();
  for (const Side* s : {&a, &b}) {
    const ike::SaInfo sa = s->sa();
    EXPECT_EQ(sa.handshake.size(), 9U) << s->said();
    EXPECT_LE(sa.handshake.size() * sizeof(ike::ExchangeRecord) + sa.offered.size(), ike::kKeptForExplain);
    for (const ike::ExchangeRecord& step : sa.handshake) EXPECT_LE(step.note.size(), 15U) << "it lies in the record";
  }
  EXPECT_TRUE(b.sa().offered.ends_with("...")) << b.sa().offered;
}

}  // namespace
}  // namespace qanat::exchange
