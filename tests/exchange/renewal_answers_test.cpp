// What an authenticated peer may answer to our rekeys, and ask in its own, that does not fit: the keys in use stay, and
// the rekey is asked for again; only after a bad key exchange value is the IKE SA over (RFC 6989 2.5).
#include <utility>

#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

using wire::Payloads;

enum class Kind : std::uint8_t { Child, Ike };
struct Misfit {
  const char* name;
  Kind kind;              // what A renews
  ExchangeType exchange;  // the message of it that is changed: the first of this exchange
  char sender;            // B answers, A asks
  void (*change)(Payloads&, const World&);
  Counter counter;    // at the receiver
  bool ends = false;  // the IKE SA
};

template <typename T>
T& the(Payloads& payloads) {
  for (wire::Payload& p : payloads) {
    if (auto* found = std::get_if<T>(&p)) return *found;
  }
  throw std::runtime_error("the message has no such payload");
}
template <typename T>
void without(Payloads& payloads) {
  std::erase_if(payloads, [](const wire::Payload& p) { return std::holds_alternative<T>(p); });
}
void without_link(Payloads& payloads) {
  std::erase_if(payloads, [](const wire::Payload& p) {
    const auto* n = std::get_if<wire::NotifyPayload>(&p);
    return n != nullptr && n->type == NotifyType::ADDITIONAL_KEY_EXCHANGE;
  });
}
void selectors(Payloads& payloads, PayloadType which, wire::TrafficSelector only) {
  for (wire::Payload& p : payloads) {
    if (auto* ts = std::get_if<wire::TsPayload>(&p); ts != nullptr && ts->which == which) ts->selectors = {only};
  }
}
wire::TrafficSelector narrow() {
  return {.first = IpAddress::v4(0x0a000000), .last = IpAddress::v4(0x0a0000ff)};
}

constexpr auto kCreate = ExchangeType::CREATE_CHILD_SA;
constexpr auto kFollowup = ExchangeType::IKE_FOLLOWUP_KE;

const Misfit kMisfits[] = {
    {"ChildWithoutSelectors", Kind::Child, kCreate, 'B', [](Payloads& p, const World&) { without<wire::TsPayload>(p); },
     Counter::bad_create_answer},
    {"ChildWithSelectorsThatWereNotOffered", Kind::Child, kCreate, 'B',
     [](Payloads& p, const World&) { selectors(p, PayloadType::TSi, ipsec::any_selector_v6()); },
     Counter::bad_create_answer},
    {"ChildNarrowed", Kind::Child, kCreate, 'B',
     [](Payloads& p, const World&) { selectors(p, PayloadType::TSr, narrow()); }, Counter::bad_create_answer},
    {"ChildWithAnSpiInUse", Kind::Child, kCreate, 'B',
     [](Payloads& p, const World& w) {
       store_be32(the<wire::SaPayload>(p).proposals.at(0).spi.data(), w.b.plane.inbound.begin()->second.spi);
     },
     Counter::bad_create_answer},
    {"ChildWithATransformThatWasNotOffered", Kind::Child, kCreate, 'B',
     [](Payloads& p, const World&) {
       for (wire::Transform& t : the<wire::SaPayload>(p).proposals.at(0).transforms) {
         if (t.type == wire::TransformType::ENCR) t.id = 3;
       }
     },
     Counter::bad_create_answer},
    {"ChildWithoutLink", Kind::Child, kCreate, 'B', [](Payloads& p, const World&) { without_link(p); },
     Counter::bad_create_answer},
    {"ChildWithoutKe", Kind::Child, kCreate, 'B', [](Payloads& p, const World&) { without<wire::KePayload>(p); },
     Counter::bad_key_exchange, true},
    {"ChildWithAnotherKe", Kind::Child, kCreate, 'B',
     [](Payloads& p, const World&) { the<wire::KePayload>(p).method = KeId::ECP_256; }, Counter::bad_key_exchange,
     true},
    {"ChildWithAZeroKe", Kind::Child, kCreate, 'B',
     [](Payloads& p, const World&) { the<wire::KePayload>(p).data = Bytes(32, 0); }, Counter::bad_key_exchange, true},
    {"FollowupAnswerWithoutKe", Kind::Child, kFollowup, 'B',
     [](Payloads& p, const World&) { without<wire::KePayload>(p); }, Counter::bad_key_exchange, true},
    {"FollowupAnswerOfAnotherSize", Kind::Child, kFollowup, 'B',
     [](Payloads& p, const World&) { the<wire::KePayload>(p).data.pop_back(); }, Counter::bad_key_exchange, true},
    {"FollowupWithoutKe", Kind::Child, kFollowup, 'A', [](Payloads& p, const World&) { without<wire::KePayload>(p); },
     Counter::bad_key_exchange, true},
    {"FollowupOfAnotherSize", Kind::Child, kFollowup, 'A',
     [](Payloads& p, const World&) { the<wire::KePayload>(p).data.pop_back(); }, Counter::bad_key_exchange, true},
    {"IkeWithoutLink", Kind::Ike, kCreate, 'B', [](Payloads& p, const World&) { without_link(p); },
     Counter::bad_create_answer},
    {"IkeWithoutKe", Kind::Ike, kCreate, 'B', [](Payloads& p, const World&) { without<wire::KePayload>(p); },
     Counter::bad_key_exchange, true},
    {"IkeFollowupAnswerOfAnotherSize", Kind::Ike, kFollowup, 'B',
     [](Payloads& p, const World&) { the<wire::KePayload>(p).data.push_back(0); }, Counter::bad_key_exchange, true},
    {"IkeFollowupWithoutKe", Kind::Ike, kFollowup, 'A', [](Payloads& p, const World&) { without<wire::KePayload>(p); },
     Counter::bad_key_exchange, true},
    {"IkeFollowupOfAnotherSize", Kind::Ike, kFollowup, 'A',
     [](Payloads& p, const World&) { the<wire::KePayload>(p).data.pop_back(); }, Counter::bad_key_exchange, true},
};

class RenewalMisfits : public Peers, public testing::WithParamInterface<Misfit> {
 protected:
  // The first message of that exchange and sender is changed on its way.
  void change(const Misfit& misfit) {
    meddle = [this, &misfit](Flight& flight) {
      if (done_ || flight.from != misfit.sender) return;
      Seen seen = look(flight);
      const wire::IkeHeader& header = seen.message.header;
      if (header.exchange != misfit.exchange) return;
      done_ = true;
      misfit.change(seen.payloads, *this);
      flight.bytes = sealed(flight.from, header.exchange, header.message_id, seen.payloads, header.is_response()).bytes;
    };
  }
  void renew(Kind kind) {
    if (kind == Kind::Ike) {
      a.endpoint->rekey(now, TunnelId{1});
    } else {
      a.endpoint->rekey_children(now, TunnelId{1});
    }
    drain();
  }
  bool done_ = false;
};

TEST_P(RenewalMisfits, CostNoKeyInUse) {
  const Misfit& misfit = GetParam();
  handshake();
  const ChildSaId child = a.child().id;
  const std::uint64_t spi = a.sa().spi_i;
  change(misfit);
  renew(misfit.kind);
  run();
  ASSERT_TRUE(done_) << "the message to be changed never came";
  const Side& receiver = misfit.sender == 'A' ? b : a;
  EXPECT_EQ(receiver.count(misfit.counter), 1U) << a.said() << b.said();
  if (misfit.ends) {
    run_for(60s);  // the end of an IKE SA is answered again for a while
    EXPECT_TRUE(a.endpoint->sas().empty()) << a.said();
    EXPECT_TRUE(b.endpoint->sas().empty()) << b.said();
    EXPECT_TRUE(a.plane.outbound.empty() && a.plane.inbound.empty() && a.plane.reserved.empty());
    EXPECT_TRUE(b.plane.outbound.empty() && b.plane.inbound.empty() && b.plane.reserved.empty());
    return;
  }
  EXPECT_EQ(a.child().id, child) << a.said();
  EXPECT_TRUE(a.plane.outbound.contains(child)) << "traffic goes on";
  run_for(120s);
  expect_tunnel();
  EXPECT_FALSE(a.has(Report::What::Down)) << a.said();
  EXPECT_FALSE(b.has(Report::What::Down)) << b.said();
  EXPECT_EQ(a.plane.inbound.size(), 1U);
  EXPECT_EQ(b.plane.inbound.size(), 1U);
  EXPECT_TRUE(a.plane.reserved.empty() && b.plane.reserved.empty());
  if (misfit.kind == Kind::Child) {
    EXPECT_NE(a.child().id, child) << "it was asked for again\n" << a.said();
  } else {
    EXPECT_NE(a.sa().spi_i, spi) << "it was asked for again\n" << a.said();
  }
}

INSTANTIATE_TEST_SUITE_P(Of, RenewalMisfits, testing::ValuesIn(kMisfits),
                         [](const testing::TestParamInfo<Misfit>& i) { return i.param.name; });

class RenewalAnswers : public Peers {};

TEST_F(RenewalAnswers, WithoutAdditionalSasANewIkeSaIsWanted) {
  handshake();
  const ChildSaId old = a.child().id;
  a.endpoint->rekey_children(now, TunnelId{1});
  drain();
  const std::uint32_t mid = look(wire.front()).message.header.message_id;
  drop();
  arrive(sealed('B', kCreate, mid, {notify(NotifyType::NO_ADDITIONAL_SAS)}, true));
  EXPECT_TRUE(a.has(Report::What::RenewWanted, "makes no Child SA")) << a.said();
  EXPECT_EQ(a.child().id, old);
  EXPECT_TRUE(a.plane.reserved.empty());
}

TEST_F(RenewalAnswers, AnIkeSaGoesOverToTheGroupThatThePeerNames) {
  both_offer("aes256gcm16-prfsha384-x25519-ecp256");
  handshake();
  const std::uint64_t spi = a.sa().spi_i;
  a.endpoint->rekey(now, TunnelId{1});
  drain();
  const auto group_of = [&] { return wire::find<wire::KePayload>(look(wire.front()).payloads)->method; };
  ASSERT_EQ(group_of(), KeId::CURVE25519);
  const std::uint32_t mid = look(wire.front()).message.header.message_id;
  drop();
  Bytes named(2);
  store_be16(named.data(), static_cast<std::uint16_t>(KeId::ECP_256));
  arrive(sealed('B', kCreate, mid, {notify(NotifyType::INVALID_KE_PAYLOAD, named)}, true));
  ASSERT_FALSE(wire.empty());
  EXPECT_EQ(group_of(), KeId::ECP_256);
  // One that was never offered is no reason to ask at once.
  const std::uint32_t next = look(wire.front()).message.header.message_id;
  drop();
  store_be16(named.data(), static_cast<std::uint16_t>(KeId::MODP_2048));
  arrive(sealed('B', kCreate, next, {notify(NotifyType::INVALID_KE_PAYLOAD, named)}, true));
  EXPECT_TRUE(wire.empty());
  EXPECT_EQ(a.sa().spi_i, spi);
}

}  // namespace
}  // namespace qanat::exchange
