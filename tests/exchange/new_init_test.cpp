// A peer that has an established IKE SA begins another (reauthentication): its first IKE_SA_INIT is answered at once,
// whatever either side is doing at that moment.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

class NewIkeSa : public Peers {
 protected:
  // One move of somebody, in any state that the moves before have left.
  void disturb(SeededRng& rng) {
    Side& who = rng.below(2) == 0 ? a : b;
    switch (rng.below(9)) {
      case 0:
        who.endpoint->rekey(now, who.tunnel.id);
        break;
      case 1:
        who.endpoint->rekey_children(now, who.tunnel.id);
        break;
      case 2:
        (void)who.endpoint->initiate(now, who.tunnel.id);
        break;
      case 3:
        who.endpoint->handle_path_error(now, who.address, who.tunnel.peer.value_or(who.address));
        break;
      case 4:
        if (rng.below(20) == 0) who.endpoint->terminate(now, who.tunnel.id, "");
        break;
      case 5:
        advance(Duration{static_cast<std::int64_t>(rng.below(3'000'000'000))});
        break;
      case 6:
        if (!wire.empty() && rng.below(4) == 0) drop(rng.below(wire.size()));
        break;
      default:
        for (std::uint64_t i = rng.below(6); i > 0 && !wire.empty(); --i) deliver(rng.below(wire.size()));
        break;
    }
    drain();
  }
};

TEST_F(NewIkeSa, IsAnsweredAtItsFirstRequestWhateverGoesOn) {
  b.config.cookie_threshold = b.config.prefix_limit = 500;
  handshake();
  wire::Payloads payloads;
  for (const Flight& f : sent) {
    if (f.from == 'A' && name_of(f) == "A->B IKE_SA_INIT request 0") payloads = look(f).payloads;
  }
  ASSERT_FALSE(payloads.empty());
  SeededRng rng{20261123};
  std::size_t fresh = 0;
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    for (std::uint64_t moves = rng.below(4); moves > 0; --moves) disturb(rng);
    if (a.established().empty() && wire.size() < 4) (void)a.endpoint->initiate(now, a.tunnel.id);
    drain();
    wire::IkeHeader header;
    header.spi_i = 0x5000'0000'0000'0000 + i;
    header.exchange = ExchangeType::IKE_SA_INIT;
    header.flags = wire::kFlagInitiator;
    for (wire::Payload& p : payloads) {
      if (auto* nonce = std::get_if<wire::NoncePayload>(&p)) nonce->data = rng.bytes(32);
    }
    const std::uint16_t port = rng.below(2) == 0 ? 500 : 4500;
    Bytes datagram(port == 4500 ? 4 : 0);
    append(datagram, wire::write_clear_message(header, payloads));
    const std::size_t before = wire.size();
    arrive('B', {{b.address, port}, {a.address, port}}, datagram);
    bool answered = false;
    for (std::size_t at = before; at < wire.size(); ++at) {
      const Seen seen = look(wire[at]);
      const bool cookie = wire::find_notify(seen.payloads, NotifyType::COOKIE) != nullptr;
      if (seen.message.header.exchange != ExchangeType::IKE_SA_INIT || seen.message.header.spi_i != header.spi_i)
        continue;
      answered = cookie || wire::find<wire::SaPayload>(seen.payloads) != nullptr;
      fresh += answered && !cookie;
    }
    ASSERT_TRUE(answered) << "attempt " << i << "\n" << b.said();
    while (wire.size() > 60) drop();
  }
  EXPECT_GT(fresh, 1000U) << "or cookies answered for everything";
}

}  // namespace
}  // namespace qanat::exchange
