// IKE_AUTH that fails, in every way and in both directions: one answer to a stranger, no SA, no command.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

model::PresharedKey psk(const char* text) {
  return model::PresharedKey{SecretBytes::copy_of(to_bytes(text))};
}
wire::Identity fqdn(const char* name) {
  return {wire::IdType::ID_FQDN, to_bytes(name)};
}

// Runs to the IKE_AUTH request, replaces it by `payloads` and returns the answer's octets on the wire.
std::size_t answer_size(Conversation& w, const std::function<void(wire::Payloads&)>& change) {
  w.begin();
  w.a_sends("IKE_SA_INIT request 0");
  w.b_sends("IKE_SA_INIT response 0");
  w.a_sends("IKE_INTERMEDIATE request 1");
  w.b_sends("IKE_INTERMEDIATE response 1");
  wire::Payloads payloads = w.look(w.wire.front()).payloads;
  change(payloads);
  w.drop();
  w.arrive(w.sealed('A', ExchangeType::IKE_AUTH, 2, payloads));
  EXPECT_EQ(w.wire.size(), 1U);
  if (w.wire.empty()) return 0;
  const Seen answer = w.look(w.wire.front());
  EXPECT_EQ(answer.payloads.size(), 1U);
  EXPECT_NE(wire::find_notify(answer.payloads, NotifyType::AUTHENTICATION_FAILED), nullptr);
  const std::size_t size = w.wire.front().bytes.size();
  w.run();
  w.run_for(1s);
  w.expect_no_tunnel();
  EXPECT_EQ(w.b.plane.installs, 0U);
  EXPECT_EQ(w.a.plane.installs, 0U);
  EXPECT_EQ(w.b.count(Counter::authentication_failed), 1U);
  EXPECT_TRUE(w.a.has(Report::What::AttemptFailed, "AUTHENTICATION_FAILED")) << w.a.said();
  EXPECT_TRUE(w.b.has(Report::What::PeerRefused)) << w.b.said();
  return size;
}

struct BadAuth {
  const char* name;
  std::function<void(wire::Payloads&)> change;
  const char* reason;
};
template <typename T>
T& get(wire::Payloads& payloads) {
  for (wire::Payload& p : payloads) {
    if (T* found = std::get_if<T>(&p)) return *found;
  }
  throw std::runtime_error("no such payload");
}

std::vector<BadAuth> bad_auths() {
  // A one-octet length, an AlgorithmIdentifier of ML-DSA-65 (2.16.840.1.101.3.4.3.18), and noise: pitfall 17.
  Bytes ml_dsa{13, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12};
  ml_dsa.resize(3309 + 14, 0x5a);
  return {
      {"WrongAuthValue", [](wire::Payloads& p) { get<wire::AuthPayload>(p).data[5] ^= 1; }, "does not verify"},
      {"ShortAuthValue", [](wire::Payloads& p) { get<wire::AuthPayload>(p).data.resize(1); }, "does not verify"},
      {"UnknownIDi", [](wire::Payloads& p) { get<wire::IdPayload>(p).identity = fqdn("stranger.example"); },
       "no tunnel has remote_id"},
      {"NullIdentity", [](wire::Payloads& p) { get<wire::IdPayload>(p).identity = {wire::IdType::ID_NULL, {}}; },
       "no tunnel has remote_id"},
      {"EmptySetOfMethods",
       [](wire::Payloads& p) { get<wire::AuthPayload>(p).method = wire::AuthMethod::NullAuthentication; },
       "configure a PSK"},
      {"Rsa", [](wire::Payloads& p) { get<wire::AuthPayload>(p).method = wire::AuthMethod::RsaDigitalSignature; },
       "configure a PSK"},
      {"MlDsa",
       [ml_dsa](wire::Payloads& p) { get<wire::AuthPayload>(p) = {wire::AuthMethod::DigitalSignature, ml_dsa}; },
       "configure a PSK"},
      {"UnknownMethod",
       [](wire::Payloads& p) { get<wire::AuthPayload>(p).method = static_cast<wire::AuthMethod>(201); },
       "configure a PSK"},
      {"MissingAuth",
       [](wire::Payloads& p) {
         std::erase_if(p, [](const wire::Payload& x) { return std::holds_alternative<wire::AuthPayload>(x); });
       },
       "EAP"},
      {"Eap",
       [](wire::Payloads& p) {
         std::erase_if(p, [](const wire::Payload& x) { return std::holds_alternative<wire::AuthPayload>(x); });
         p.emplace_back(wire::EapPayload{{1, 0, 0, 5, 1}});
       },
       "EAP"},
      {"AuthAndEap", [](wire::Payloads& p) { p.emplace_back(wire::EapPayload{{3, 0, 0, 4}}); }, "EAP"},
      {"OtherIDr",
       [](wire::Payloads& p) {
         for (wire::Payload& x : p) {
           auto* id = std::get_if<wire::IdPayload>(&x);
           if (id != nullptr && id->which == PayloadType::IDr) id->identity = fqdn("elsewhere.example");
         }
       },
       "no tunnel has remote_id"},
  };
}

class AuthRequest : public ::testing::TestWithParam<std::size_t> {};
TEST_P(AuthRequest, IsRefusedWithTheSameAnswer) {
  const BadAuth bad = bad_auths()[GetParam()];
  Conversation w{11};
  const std::size_t size = answer_size(w, bad.change);
  EXPECT_TRUE(w.b.has(Report::What::PeerRefused, bad.reason)) << w.b.said();
  // The same answer for every reason.
  Conversation other{11};
  EXPECT_EQ(size, answer_size(other, bad_auths()[0].change));
}
INSTANTIATE_TEST_SUITE_P(Each, AuthRequest, ::testing::Range<std::size_t>(0, 12),
                         [](const auto& p) { return bad_auths()[p.param].name; });

TEST_F(Peers, OtherPsksDoNotMeet) {
  a.tunnel.psk = psk("one");
  b.tunnel.psk = psk("other");
  handshake();
  EXPECT_TRUE(b.has(Report::What::PeerRefused, "compare the PSK")) << b.said();
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "compare the PSK")) << a.said();
  expect_nothing_installed();
  advance(31s);
  EXPECT_TRUE(b.endpoint->sas().empty());
}

TEST_F(Peers, AnEmptyPskOpensNothing) {
  b.tunnel.psk = psk("");
  handshake();
  EXPECT_FALSE(a.has(Report::What::ChildUp));
  expect_nothing_installed();
  EXPECT_FALSE(b.endpoint->initiate(now, b.tunnel.id).has_value());
}

TEST_F(Peers, TheRefusalIsRepeatedForARetransmissionAndThenForgotten) {
  a.tunnel.psk = psk("one");
  begin();
  for (int i = 0; i < 4; ++i) deliver();
  const Flight request = wire.front();
  deliver();
  const Bytes answer = wire.front().bytes;
  drop();
  arrive(request);
  ASSERT_EQ(wire.size(), 1U);
  EXPECT_EQ(wire.front().bytes, answer);
  EXPECT_EQ(b.count(Counter::authentication_failed), 1U);
  EXPECT_EQ(b.count(Counter::retransmission), 1U);
  EXPECT_EQ(b.endpoint->half_open(), 1U);
  advance(31s);
  EXPECT_TRUE(b.endpoint->sas().empty());
  EXPECT_EQ(b.endpoint->half_open(), 0U);
}

// The peer answers with its own AUTH, and it is wrong: it believes to be established and must be told.
TEST_F(Peers, TheInitiatorTellsAPeerWhoseAuthIsWrong) {
  for (int how = 0; how < 4; ++how) {
    SCOPED_TRACE(how);
    Conversation w{12};
    w.begin();
    for (int i = 0; i < 5; ++i) w.deliver();
    w.expect_next('B', "IKE_AUTH response 2");
    wire::Payloads payloads = w.look(w.wire.front()).payloads;
    if (how == 0) get<wire::AuthPayload>(payloads).data[0] ^= 1;
    if (how == 1) get<wire::IdPayload>(payloads).identity = fqdn("impostor.example");
    if (how == 2) get<wire::AuthPayload>(payloads).method = wire::AuthMethod::EcdsaSha256P256;
    if (how == 3) get<wire::AuthPayload>(payloads).data.clear();
    w.drop();
    w.arrive(w.sealed('B', ExchangeType::IKE_AUTH, 2, payloads, true));
    EXPECT_EQ(w.a.plane.installs, 0U);
    EXPECT_TRUE(w.a.plane.reserved.empty());
    EXPECT_EQ(w.a.count(Counter::authentication_failed), 1U);
    EXPECT_TRUE(w.a.has(Report::What::AttemptFailed)) << w.a.said();
    EXPECT_TRUE(w.a.endpoint->sas().empty());
    w.a_sends("INFORMATIONAL request 3");
    EXPECT_TRUE(w.b.has(Report::What::Down, "AUTHENTICATION_FAILED")) << w.b.said();
    w.run();
    w.expect_no_tunnel();
  }
}

TEST_F(Peers, AnAnswerWithoutIdentityOrAuthIsNoTunnel) {
  for (const bool drop_id : {true, false}) {
    Conversation w{12};
    w.begin();
    for (int i = 0; i < 5; ++i) w.deliver();
    wire::Payloads payloads = w.look(w.wire.front()).payloads;
    std::erase_if(payloads, [&](const wire::Payload& p) {
      return drop_id ? std::holds_alternative<wire::IdPayload>(p) : std::holds_alternative<wire::AuthPayload>(p);
    });
    w.arrive(w.sealed('B', ExchangeType::IKE_AUTH, 2, payloads, true));
    EXPECT_EQ(w.a.plane.installs, 0U);
    EXPECT_TRUE(w.a.plane.reserved.empty());
    EXPECT_TRUE(w.a.has(Report::What::AttemptFailed)) << w.a.said();
  }
}

// IKE_AUTH picks the tunnel by identities, and only that tunnel's PSK counts.
TEST_F(Peers, TwoTunnelsFromOneAddressAreToldApartByTheirIdentities) {
  open();
  ike::TunnelConfig other = b.tunnel;
  other.id = TunnelId{2};
  other.name = "to-c";
  other.remote_id = fqdn("c.example");
  other.psk = psk("the other secret");
  b.endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(other));
  ike::TunnelConfig mine = a.tunnel;
  mine.id = TunnelId{2};
  mine.local_id = fqdn("c.example");
  mine.psk = psk("the other secret");
  a.endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(mine));
  begin();
  run();
  ASSERT_TRUE(a.endpoint->initiate(now, TunnelId{2}).has_value());
  drain();
  run();
  const auto of_b = b.established();
  ASSERT_EQ(of_b.size(), 2U) << b.said();
  EXPECT_EQ(of_b[0].tunnel, TunnelId{1});
  EXPECT_EQ(of_b[1].tunnel, TunnelId{2});
  EXPECT_EQ(of_b[1].remote_id, fqdn("c.example"));
  EXPECT_EQ(b.plane.inbound.size(), 2U);
}

TEST_F(Peers, ATunnelThatIsRemovedDuringTheHandshakeIsNotEstablished) {
  begin();
  for (int i = 0; i < 4; ++i) deliver();
  b.endpoint->remove_tunnel(now, b.tunnel.id);
  run();
  EXPECT_TRUE(a.has(Report::What::AttemptFailed)) << a.said();
  expect_nothing_installed();
}

TEST_F(Peers, APskThatIsChangedDuringTheHandshakeCounts) {
  begin();
  for (int i = 0; i < 4; ++i) deliver();
  b.tunnel.psk = psk("changed");
  b.endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(b.tunnel));
  run();
  EXPECT_EQ(b.count(Counter::authentication_failed), 1U);
  expect_nothing_installed();
}

TEST_F(Peers, APeerThatCallsInNeedsNoAddress) {
  b.tunnel.peer.reset();
  handshake();
  expect_tunnel();
  const Status begun = b.endpoint->initiate(now, b.tunnel.id);
  ASSERT_FALSE(begun.has_value());
  EXPECT_NE(begun.error().detail.find("when the peer calls"), std::string::npos);
}

TEST_F(Peers, OneOfTenThousandThatMayCallFromAnywhereIsKnownByItsName) {
  open();
  b.endpoint->remove_tunnel(now, b.tunnel.id);
  b.tunnel.peer.reset();
  for (std::uint32_t id = 1; id <= 10'000; ++id) {
    ike::TunnelConfig site = b.tunnel;
    site.id = TunnelId{id};
    site.remote_id = fqdn(("site" + std::to_string(id) + ".example").c_str());
    site.psk = psk(("the secret of site " + std::to_string(id)).c_str());
    b.endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(std::move(site)));
  }
  a.tunnel.local_id = fqdn("site9876.example");
  a.tunnel.psk = psk("the secret of site 9876");
  a.endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(a.tunnel));
  begin();
  run();
  ASSERT_EQ(b.established().size(), 1U) << b.said();
  EXPECT_EQ(b.established().front().tunnel, TunnelId{9876});
}

// A tunnel that comes while its peer is at IKE_INTERMEDIATE takes it; one whose address is another's does not.
TEST_F(Peers, ATunnelIsChosenAmongThoseOfTheTimeOfIkeAuthWhoseAddressesFit) {
  for (const bool fits : {true, false}) {
    Conversation w{23};
    w.open();
    w.begin();
    for (int i = 0; i < 4; ++i) w.deliver();
    ike::TunnelConfig late = w.b.tunnel;
    late.id = TunnelId{7};
    if (!fits) late.peer = IpAddress::v4(0xc0000263);
    w.b.endpoint->remove_tunnel(w.now, w.b.tunnel.id);
    w.b.endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(late));
    w.run();
    EXPECT_EQ(w.b.established().size(), fits ? 1U : 0U) << w.b.said();
    EXPECT_EQ(w.b.count(Counter::authentication_failed), fits ? 0U : 1U);
  }
}

TEST_F(Peers, IdentitiesOfEveryKindAuthenticate) {
  const char* kinds[][2] = {{"ipv4:192.0.2.1", "ipv4:198.51.100.2"}, {"2001:db8::1", "2001:db8::2"},
                            {"fqdn:x.example", "fqdn:y.example"},    {"rfc822:a@example.com", "rfc822:b@example.com"},
                            {"keyid:one", "keyid:0x0001ff"},         {"dn:CN=a,O=Example", "dn:CN=b,O=Example"}};
  for (const auto& kind : kinds) {
    SCOPED_TRACE(kind[0]);
    Conversation w{13};
    w.a.tunnel.local_id = w.b.tunnel.remote_id = *wire::Identity::parse(kind[0]);
    w.a.tunnel.remote_id = w.b.tunnel.local_id = *wire::Identity::parse(kind[1]);
    w.handshake();
    w.expect_tunnel();
  }
}

}  // namespace
}  // namespace qanat::exchange
