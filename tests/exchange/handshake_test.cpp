// The plain handshake: every key exchange, cipher and option, in a quiet network.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

TEST_F(Peers, TheDefaultHandshakeIsHybrid) {
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  a_sends("IKE_INTERMEDIATE request 1");
  b_sends("IKE_INTERMEDIATE response 1");
  a_sends("IKE_AUTH request 2");
  b_sends("IKE_AUTH response 2");
  EXPECT_TRUE(wire.empty());
  expect_tunnel();
  const ike::SaInfo sa = a.sa();
  EXPECT_EQ(sa.key_exchanges, (std::vector{KeId::CURVE25519, KeId::ML_KEM_768}));
  EXPECT_TRUE(sa.verdict.hybrid);
  EXPECT_EQ(sa.verdict.reason, "mlkem768 went into the keys");
  EXPECT_EQ(b.sa().verdict.reason, "mlkem768 went into the keys");
  EXPECT_EQ(to_string(sa.chosen->suite), "aes256gcm16");
  EXPECT_EQ(to_string(a.child().suite), "aes256gcm16");
  EXPECT_TRUE(a.child().esn);
  EXPECT_EQ(a.child().encapsulation, ipsec::Encapsulation::Native);
  EXPECT_TRUE(a.has(Report::What::ChildUp, "hybrid keys (x25519+mlkem768)")) << a.said();
  EXPECT_TRUE(b.has(Report::What::ChildUp, "hybrid keys (x25519+mlkem768)")) << b.said();
  EXPECT_EQ(sa.remote_id, a.tunnel.remote_id);
  EXPECT_EQ(b.sa().remote_id, b.tunnel.remote_id);
  ASSERT_EQ(sa.handshake.size(), 3U);
  EXPECT_EQ(sa.handshake[1].note, "mlkem768");
  EXPECT_EQ(sa.handshake[1].request_datagrams, 1U);
  EXPECT_GT(sa.handshake[1].request_octets, 1184U);
  EXPECT_GT(sa.handshake[2].response_octets, 0U);
}

TEST_F(Peers, TheKeyLogsOfBothSidesAgree) {
  handshake();
  ASSERT_EQ(a.keys.size(), 2U);
  ASSERT_EQ(b.keys.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(a.keys[i].generation, i);
    EXPECT_TRUE(a.keys[i].sk_ei == b.keys[i].sk_ei);
    EXPECT_TRUE(a.keys[i].sk_er == b.keys[i].sk_er);
  }
  EXPECT_FALSE(a.keys[0].sk_ei == a.keys[1].sk_ei);
  EXPECT_EQ(a.esp_keys.size(), 2U);
}

TEST_F(Peers, WithoutKeyLogNothingIsLogged) {
  a.config.key_log = b.config.key_log = false;
  handshake();
  EXPECT_TRUE(a.keys.empty());
  EXPECT_TRUE(a.esp_keys.empty());
  EXPECT_EQ(a.established().size(), 1U);
}

TEST_F(Peers, TheHandshakeGoesOverIPv6) {
  a.address = *IpAddress::parse("2001:db8::1");
  b.address = *IpAddress::parse("2001:db8::2");
  a.tunnel.local = a.address;
  a.tunnel.peer = b.address;
  b.tunnel.local = b.address;
  b.tunnel.peer = a.address;
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  a_sends("IKE_INTERMEDIATE request 1 1/2");  // 1,277 octets and 48 of headers are above 1,280
  run();
  expect_tunnel();
}

struct Case {
  std::string ike;
  std::string esp;
  std::vector<std::string> kes;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.ike << " " << c.esp;
}
std::string name_of_case(const ::testing::TestParamInfo<Case>& info) {
  std::string out = info.param.ike + "_ESP_" + info.param.esp;
  for (char& c : out) {
    if (c == '-') c = '_';
  }
  return out;
}

class Algorithms : public ::testing::TestWithParam<Case>, public Conversation {};

TEST_P(Algorithms, BothSidesEndWithTheSameKeys) {
  both_offer(GetParam().ike);
  a.tunnel.esp = b.tunnel.esp = {esp_proposal(GetParam().esp)};
  handshake();
  expect_tunnel();
  std::vector<std::string> kes;
  const ike::SaInfo sa = a.sa();
  for (const KeId id : sa.key_exchanges) kes.push_back(to_string(id));
  EXPECT_EQ(kes, GetParam().kes);
  EXPECT_EQ(to_string(a.child().suite), GetParam().esp);
  const bool hybrid = std::any_of(sa.key_exchanges.begin(), sa.key_exchanges.end(), is_ml_kem);
  EXPECT_EQ(sa.verdict.hybrid, hybrid);
  EXPECT_EQ(b.sa().verdict.hybrid, hybrid);
}

std::vector<Case> cases() {
  std::vector<Case> out;
  for (const std::string ke : {"x25519", "ecp256", "ecp384"}) {
    out.push_back({"aes256gcm16-prfsha384-" + ke, "aes256gcm16", {ke}});
    for (const std::string kem : {"mlkem512", "mlkem768", "mlkem1024"}) {
      out.push_back({"aes256gcm16-prfsha384-" + ke + "-ke1_" + kem, "aes256gcm16", {ke, kem}});
    }
  }
  for (const std::string cipher :
       {"aes128gcm16", "aes256gcm16", "chacha20poly1305", "aes256-sha256", "aes128-sha384", "aes256-sha512"}) {
    const std::string prf = cipher.find("-sha") == std::string::npos ? "-prfsha256" : "-prfsha512";
    out.push_back({cipher + prf + "-x25519-ke1_mlkem768", cipher, {"x25519", "mlkem768"}});
  }
  for (const std::string ke : {"ecp521", "modp2048", "modp3072", "modp4096"})
    out.push_back({"aes128gcm16-prfsha256-" + ke, "aes128gcm16", {ke}});
  out.push_back(
      {"aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke2_ecp384", "aes256gcm16", {"x25519", "mlkem768", "ecp384"}});
  out.push_back(
      {"aes256gcm16-prfsha384-ecp256-ke1_mlkem768-ke2_mlkem1024", "aes256gcm16", {"ecp256", "mlkem768", "mlkem1024"}});
  out.push_back({"aes256gcm16-prfsha384-x25519-ke2_mlkem768", "aes256gcm16", {"x25519", "mlkem768"}});
  out.push_back({"aes256gcm16-prfsha384-x25519-ke2_mlkem512-ke3_ecp256-ke5_modp2048",
                 "aes256gcm16",
                 {"x25519", "mlkem512", "ecp256", "modp2048"}});
  out.push_back({"aes256gcm16-prfsha384-x25519-ke1_ecp256", "aes256gcm16", {"x25519", "ecp256"}});
  return out;
}
INSTANTIATE_TEST_SUITE_P(Each, Algorithms, ::testing::ValuesIn(cases()), name_of_case);

TEST_F(Peers, ThreeRoundsTakeTheMessageIdsInOrder) {
  both_offer("aes256gcm16-prfsha384-x25519-ke2_mlkem512-ke3_ecp256-ke5_modp2048");
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  for (const char* mid : {"1", "2", "3"}) {
    a_sends(std::string("IKE_INTERMEDIATE request ") + mid);
    b_sends(std::string("IKE_INTERMEDIATE response ") + mid);
  }
  a_sends("IKE_AUTH request 4");
  b_sends("IKE_AUTH response 4");
  expect_tunnel();
  EXPECT_EQ(a.keys.size(), 4U);
}

// RFC 9370 2.2.2: NONE chosen, no exchange.
TEST_F(Peers, ARoundForWhichNoneIsChosenTakesNoExchange) {
  a.tunnel.ike = {ike_proposal("aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke2_ecp256-ke2_none")};
  b.tunnel.ike = {ike_proposal("aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke2_none-ke2_ecp384")};
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  a_sends("IKE_INTERMEDIATE request 1");
  b_sends("IKE_INTERMEDIATE response 1");
  a_sends("IKE_AUTH request 2");
  b_sends("IKE_AUTH response 2");
  expect_tunnel();
  EXPECT_EQ(a.sa().key_exchanges, (std::vector{KeId::CURVE25519, KeId::ML_KEM_768}));
}

TEST_F(Peers, OnlyNoneChosenMeansAClassicalHandshakeWithoutIntAuth) {
  a.tunnel.ike = {ike_proposal("aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke1_none")};
  b.tunnel.ike = {ike_proposal("aes256gcm16-prfsha384-x25519")};
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  a_sends("IKE_AUTH request 1");
  b_sends("IKE_AUTH response 1");
  expect_tunnel();
  EXPECT_FALSE(a.sa().verdict.hybrid);
}

// ADDKE1 = {36}, ADDKE2 = {36, 37}: a greedy choice would take 36 twice (RFC 9370 2.2.2).
TEST_F(Peers, NoAlgorithmIsChosenTwice) {
  both_offer("aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke2_mlkem768-ke2_mlkem1024");
  handshake();
  expect_tunnel();
  EXPECT_EQ(a.sa().key_exchanges, (std::vector{KeId::CURVE25519, KeId::ML_KEM_768, KeId::ML_KEM_1024}));
}

TEST_F(Peers, WhereOnlyDuplicatesArePossibleNothingIsChosen) {
  both_offer("aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke2_mlkem768");
  begin();
  a_sends("IKE_SA_INIT request 0");
  expect_next('B', "IKE_SA_INIT response 0");
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::NO_PROPOSAL_CHOSEN), nullptr);
  run();
  run_for(15s);
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "NO_PROPOSAL_CHOSEN")) << a.said();
  expect_nothing_installed();
}

TEST_F(Peers, EsnIsUsedWhenBothWantIt) {
  for (const bool a_wants : {false, true}) {
    for (const bool b_wants : {false, true}) {
      Conversation w{7};
      if (!a_wants) w.a.tunnel.esn = {EsnId::NO_ESN};
      if (!b_wants) w.b.tunnel.esn = {EsnId::NO_ESN};
      w.handshake();
      w.expect_tunnel();
      EXPECT_EQ(w.a.child().esn, a_wants && b_wants);
    }
  }
}

TEST_F(Peers, TheSameSeedGivesTheSameOctets) {
  World first{42};
  World second{42};
  World third{43};
  for (World* w : {&first, &second, &third}) {
    w->a.tunnel.fragment_size = w->b.tunnel.fragment_size = 576;
    w->handshake();
    w->run_for(60s);
  }
  ASSERT_EQ(first.sent.size(), second.sent.size());
  for (std::size_t i = 0; i < first.sent.size(); ++i) EXPECT_EQ(first.sent[i].bytes, second.sent[i].bytes) << i;
  EXPECT_NE(first.sent[0].bytes, third.sent[0].bytes);
}

TEST_F(Peers, BothRolesWorkFromEitherSide) {
  handshake('B');
  expect_tunnel();
  EXPECT_TRUE(b.sa().initiator);
}

}  // namespace
}  // namespace qanat::exchange
