// The first Child SA: its installation in the packet path, which may be late or fail, and its selectors and proposals.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

using Answer = FakePlane::Answer;
ipsec::Selectors selectors(std::initializer_list<const char*> prefixes) {
  ipsec::Selectors out;
  for (const char* p : prefixes) out.push_back(ipsec::selector_of(*Prefix::parse(p)));
  return out;
}

TEST_F(Peers, NothingIsAnsweredBeforeTheInboundSaStands) {
  for (const bool reserve : {true, false}) {
    Conversation w{20};
    (reserve ? w.b.plane.reserve : w.b.plane.inbound_answer) = Answer::Later;
    w.begin();
    for (int i = 0; i < 4; ++i) w.deliver();
    const Flight request = w.wire.front();
    w.a_sends("IKE_AUTH request 2");
    EXPECT_TRUE(w.wire.empty());
    // The retransmission is dropped and counted, and the one response leaves when it is ready.
    w.arrive(request);
    w.advance(1200ms);
    EXPECT_EQ(w.wire.size(), 1U);
    w.a_sends("IKE_AUTH request 2");
    EXPECT_TRUE(w.wire.empty());
    EXPECT_EQ(w.b.count(Counter::in_progress), 2U);
    w.b.plane.give_late_answers();
    w.drain();
    w.b_sends("IKE_AUTH response 2");
    EXPECT_TRUE(w.wire.empty());
    w.expect_tunnel();
    EXPECT_EQ(w.b.plane.installs, 2U);
  }
}

TEST_F(Peers, FragmentsOfARequestInProgressAreDroppedToo) {
  a.tunnel.fragment_size = b.tunnel.fragment_size = 300;
  b.plane.inbound_answer = Answer::Later;
  begin();
  while (name_of(wire.front()).find("IKE_AUTH") == std::string::npos) deliver();
  std::vector<Flight> fragments{wire.begin(), wire.end()};
  ASSERT_GE(fragments.size(), 2U);
  run();
  for (const Flight& f : fragments) arrive(f);
  EXPECT_TRUE(wire.empty());
  EXPECT_EQ(b.count(Counter::in_progress), fragments.size());
  b.plane.give_late_answers();
  drain();
  run();
  expect_tunnel();
  // And now only fragment 1 asks for the answer again (RFC 7383 2.6.1).
  for (std::size_t i = 1; i < fragments.size(); ++i) arrive(fragments[i]);
  EXPECT_TRUE(wire.empty());
  arrive(fragments[0]);
  EXPECT_FALSE(wire.empty());
  EXPECT_EQ(b.count(Counter::fragment_duplicate), fragments.size() - 1);
  EXPECT_EQ(b.count(Counter::retransmission), 1U);
}

TEST_F(Peers, FragmentOneMayArriveLast) {
  a.tunnel.fragment_size = b.tunnel.fragment_size = 300;
  b.plane.inbound_answer = Answer::Later;
  begin();
  while (name_of(wire.front()).find("IKE_AUTH") == std::string::npos) deliver();
  const std::vector<Flight> fragments{wire.begin(), wire.end()};
  while (wire.size() > 1) deliver(1);
  deliver();
  EXPECT_TRUE(wire.empty());
  b.plane.give_late_answers();
  drain();
  const std::size_t answers = wire.size();
  ASSERT_GT(answers, 0U);
  arrive(fragments[0]);
  EXPECT_EQ(wire.size(), 2 * answers);
  run();
  expect_tunnel();
}

TEST_F(Peers, AResponderWhosePacketPathFailsAnswersNoAdditionalSas) {
  for (int what = 0; what < 6; ++what) {
    SCOPED_TRACE(what);
    Conversation w{21};
    FakePlane& plane = w.b.plane;
    (what % 3 == 0   ? plane.reserve
     : what % 3 == 1 ? plane.inbound_answer
                     : plane.outbound_answer) = what < 3 ? Answer::Refuse : Answer::Never;
    w.begin();
    for (int i = 0; i < 5; ++i) w.deliver();
    if (what >= 3) {
      EXPECT_TRUE(w.wire.empty());
      w.advance(1900ms);
      w.wire.clear();  // retransmissions
      w.advance(101ms);
      if (w.wire.size() > 1) w.drop(0);
    }
    w.expect_next('B', "IKE_AUTH response 2");
    const Seen answer = w.look(w.wire.front());
    EXPECT_NE(wire::find_notify(answer.payloads, NotifyType::NO_ADDITIONAL_SAS), nullptr);
    EXPECT_NE(wire::find<wire::AuthPayload>(answer.payloads), nullptr);
    EXPECT_EQ(wire::find<wire::SaPayload>(answer.payloads), nullptr);
    w.run();
    w.expect_no_tunnel();
    EXPECT_TRUE(plane.inbound.empty());
    EXPECT_TRUE(w.b.has(Report::What::PeerRefused, "packet path")) << w.b.said();
    EXPECT_TRUE(w.a.has(Report::What::AttemptFailed, "NO_ADDITIONAL_SAS")) << w.a.said();
    w.run_for(31s);
    EXPECT_TRUE(w.a.endpoint->sas().empty());
    EXPECT_TRUE(w.b.endpoint->sas().empty());
  }
}

TEST_F(Peers, AnInitiatorWhosePacketPathFailsTellsThePeer) {
  for (int what = 0; what < 6; ++what) {
    SCOPED_TRACE(what);
    Conversation w{22};
    FakePlane& plane = w.a.plane;
    (what % 3 == 0   ? plane.reserve
     : what % 3 == 1 ? plane.inbound_answer
                     : plane.outbound_answer) = what < 3 ? Answer::Refuse : Answer::Never;
    w.begin();
    w.run();
    w.run_for(70s);
    w.expect_no_tunnel();
    EXPECT_TRUE(w.a.plane.inbound.empty());
    EXPECT_TRUE(w.b.plane.inbound.empty());
    EXPECT_TRUE(w.a.has(Report::What::AttemptFailed, "packet path")) << w.a.said();
    EXPECT_TRUE(w.a.endpoint->sas().empty());
    EXPECT_TRUE(w.b.endpoint->sas().empty());
  }
}

TEST_F(Peers, AnSpiThatComesTooLateIsGivenBack) {
  for (const char who : {'A', 'B'}) {
    Conversation w{23};
    w.side(who).plane.reserve = Answer::Later;
    w.begin();
    w.run();
    w.run_for(3s);
    w.run_for(700s);
    w.side(who).plane.give_late_answers();
    w.drain();
    EXPECT_TRUE(w.side(who).plane.reserved.empty());
    w.run();
    w.expect_no_tunnel();
  }
}

TEST_F(Peers, AnInstallThatSucceedsTooLateChangesNothing) {
  b.plane.inbound_answer = Answer::Later;
  begin();
  run();
  run_for(5s);
  b.plane.give_late_answers();
  drain();
  run_for(40s);
  expect_no_tunnel();
  EXPECT_TRUE(b.plane.inbound.empty());
}

TEST_F(Peers, TheResponderNarrowsTheSelectors) {
  b.tunnel.local_ts = selectors({"10.2.0.0/16"});
  b.tunnel.remote_ts = selectors({"10.1.0.0/16", "10.9.0.0/24"});
  handshake();
  expect_tunnel();
  EXPECT_EQ(ipsec::to_strings(a.child().local_ts), (std::vector<std::string>{"10.1.0.0/16", "10.9.0.0/24"}));
  EXPECT_EQ(ipsec::to_strings(a.child().remote_ts), (std::vector<std::string>{"10.2.0.0/16"}));
  EXPECT_EQ(a.plane.inbound.begin()->second.local_ts, a.child().local_ts);
}

TEST_F(Peers, TheInitiatorsNarrowSelectorsStand) {
  a.tunnel.local_ts = selectors({"10.1.5.0/24"});
  handshake();
  expect_tunnel();
  EXPECT_EQ(ipsec::to_strings(b.child().remote_ts), (std::vector<std::string>{"10.1.5.0/24"}));
}

TEST_F(Peers, BothOffersMeetInTheMiddle) {
  a.tunnel.local_ts = selectors({"10.0.0.0/8"});
  b.tunnel.remote_ts = selectors({"10.5.0.0/16", "172.16.0.0/12"});
  handshake('B');
  expect_tunnel();
  EXPECT_EQ(ipsec::to_strings(a.child().local_ts), (std::vector<std::string>{"10.5.0.0/16"}));
}

TEST_F(Peers, SelectorsWithoutCommonAddressesAreUnacceptable) {
  a.tunnel.local_ts = selectors({"10.1.0.0/16"});
  b.tunnel.remote_ts = selectors({"10.2.0.0/16"});
  begin();
  for (int i = 0; i < 5; ++i) deliver();
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::TS_UNACCEPTABLE), nullptr);
  EXPECT_EQ(b.established().size(), 1U);  // the IKE SA stays until the initiator deletes it
  run();
  expect_nothing_installed();
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "selectors")) << a.said();
  EXPECT_TRUE(b.has(Report::What::PeerRefused, "10.1.0.0/16")) << b.said();
  EXPECT_TRUE(b.established().empty());
}

TEST_F(Peers, EspProposalsWithoutCommonAlgorithmAreRefused) {
  a.tunnel.esp = {esp_proposal("chacha20poly1305")};
  b.tunnel.esp = {esp_proposal("aes128gcm16")};
  begin();
  for (int i = 0; i < 5; ++i) deliver();
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::NO_PROPOSAL_CHOSEN), nullptr);
  run();
  expect_nothing_installed();
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "'esp'")) << a.said();
  EXPECT_TRUE(b.has(Report::What::PeerRefused, "peer offered [1: chacha20poly1305")) << b.said();
}

TEST_F(Peers, ARequestWithHalfAChildSaIsAnsweredWithoutOne) {
  begin();
  for (int i = 0; i < 4; ++i) deliver();
  wire::Payloads payloads = look(wire.front()).payloads;
  std::erase_if(payloads, [](const wire::Payload& p) { return std::holds_alternative<wire::TsPayload>(p); });
  drop();
  arrive(sealed('A', ExchangeType::IKE_AUTH, 2, payloads));
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::NO_ADDITIONAL_SAS), nullptr);
  run();
  expect_nothing_installed();
}

// The initiator's checks of what the responder chose, one lie at a time.
TEST_F(Peers, AnAnswerThatWasNotOfferedIsRefusedAndTheIkeSaDeleted) {
  const std::vector<std::pair<const char*, std::function<void(wire::Payloads&)>>> lies{
      {"wider TSi",
       [](wire::Payloads& p) {
         for (auto& x : p)
           if (auto* ts = std::get_if<wire::TsPayload>(&x); ts != nullptr && ts->which == PayloadType::TSi)
             ts->selectors = {ipsec::any_selector_v4()};
       }},
      {"wider TSr",
       [](wire::Payloads& p) {
         for (auto& x : p)
           if (auto* ts = std::get_if<wire::TsPayload>(&x); ts != nullptr && ts->which == PayloadType::TSr)
             ts->selectors = {ipsec::any_selector_v6()};
       }},
      {"empty TSr",
       [](wire::Payloads& p) {
         for (auto& x : p)
           if (auto* ts = std::get_if<wire::TsPayload>(&x); ts != nullptr && ts->which == PayloadType::TSr)
             ts->selectors.clear();
       }},
      {"other proposal",
       [](wire::Payloads& p) {
         for (auto& x : p)
           if (auto* sa = std::get_if<wire::SaPayload>(&x)) sa->proposals[0].number = 9;
       }},
      {"SPI below 256",
       [](wire::Payloads& p) {
         for (auto& x : p)
           if (auto* sa = std::get_if<wire::SaPayload>(&x)) sa->proposals[0].spi = {0, 0, 0, 255};
       }},
      {"SPI of 8 octets",
       [](wire::Payloads& p) {
         for (auto& x : p)
           if (auto* sa = std::get_if<wire::SaPayload>(&x)) sa->proposals[0].spi = Bytes(8, 1);
       }},
      {"two ciphers",
       [](wire::Payloads& p) {
         for (auto& x : p)
           if (auto* sa = std::get_if<wire::SaPayload>(&x))
             sa->proposals[0].transforms.push_back(sa->proposals[0].transforms[0]);
       }},
      {"NULL cipher",
       [](wire::Payloads& p) {
         for (auto& x : p)
           if (auto* sa = std::get_if<wire::SaPayload>(&x))
             sa->proposals[0].transforms[0] = {wire::TransformType::ENCR, 11, std::nullopt, false};
       }},
      {"no SA",
       [](wire::Payloads& p) {
         std::erase_if(p, [](const wire::Payload& x) { return std::holds_alternative<wire::SaPayload>(x); });
       }},
  };
  for (const auto& [name, lie] : lies) {
    SCOPED_TRACE(name);
    Conversation w{24};
    w.a.tunnel.local_ts = selectors({"10.1.0.0/16"});
    w.a.tunnel.remote_ts = selectors({"10.2.0.0/16"});
    w.begin();
    for (int i = 0; i < 5; ++i) w.deliver();
    wire::Payloads payloads = w.look(w.wire.front()).payloads;
    lie(payloads);
    w.drop();
    w.arrive(w.sealed('B', ExchangeType::IKE_AUTH, 2, payloads, true));
    EXPECT_EQ(w.a.plane.installs, 0U);
    EXPECT_TRUE(w.a.plane.reserved.empty());
    EXPECT_TRUE(w.a.has(Report::What::AttemptFailed)) << w.a.said();
    w.a_sends("INFORMATIONAL request 3");
    EXPECT_TRUE(w.b.has(Report::What::Down, "deleted the IKE SA")) << w.b.said();
    w.run();
    w.run_for(6s);
    w.expect_no_tunnel();
  }
}

}  // namespace
}  // namespace qanat::exchange
