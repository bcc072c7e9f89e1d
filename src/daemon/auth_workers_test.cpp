#include "daemon/auth_workers.hpp"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include "io/clock.hpp"
#include "pki/issue.hpp"

namespace qanat::daemon {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

model::Tunnel tunnel_with_certificate() {
  SeededRng rng{1};
  const pki::KeyChoice key{crypto::KeyKind::MlDsa44, 0};
  const auto ca = pki::make_ca("Example CA", key, io::wall_now(), 10, rng).value();
  const auto leaf = pki::issue({ca.certificate, ca.key}, std::vector{wire::Identity::parse("fqdn:berlin").value()}, key,
                               io::wall_now(), 5, rng)
                        .value();
  model::Tunnel t;
  t.name = "berlin";
  t.credentials.certificates = {leaf.certificate.der()};
  t.credentials.private_key = std::make_shared<const SecretBytes>(leaf.key.to_pkcs8().value());
  t.credentials.trust_anchors = {ca.certificate.der()};
  return t;
}
ike::SignQuestion sign_question(std::uint64_t request) {
  ike::SignQuestion q;
  q.request = RequestId{request};
  q.tunnel = TunnelId{1};
  q.octets = Bytes(100, 7);
  q.digital_signature = true;
  q.peer_hashes = {5};
  return q;
}
// Waits for `count` answers, at most 30 s.
std::vector<AuthAnswer> collect(io::Mailbox<AuthAnswer>& box, std::size_t count) {
  std::vector<AuthAnswer> out;
  while (out.size() < count) {
    pollfd p{box.fd(), POLLIN, 0};
    if (::poll(&p, 1, 30'000) != 1) break;
    for (AuthAnswer& a : box.take_all()) out.push_back(std::move(a));
  }
  return out;
}

TEST(AuthWorkers, answer_every_question_on_their_own_threads) {
  io::Mailbox<AuthAnswer> answers;
  const io::Log log{io::LogOptions{}};
  AuthWorkers workers{answers, log};
  ASSERT_TRUE(workers.start().has_value());
  workers.set_tunnel(TunnelId{1}, *gateway::AuthCredentials::of(tunnel_with_certificate()));
  for (std::uint64_t i = 0; i < 20; ++i) workers.ask(sign_question(i));
  const auto made = collect(answers, 20);
  ASSERT_EQ(made.size(), 20U);
  std::set<std::uint64_t> seen;
  for (const AuthAnswer& a : made) {
    const auto& s = std::get<ike::SignAnswer>(a);
    ASSERT_TRUE(s.status.has_value()) << s.status.error().detail;
    seen.insert(s.request.value());
    ike::VerifyQuestion v;
    v.request = s.request;
    v.tunnel = TunnelId{1};
    v.peer_id = wire::Identity::parse("fqdn:berlin").value();
    v.certificates = s.certificates;
    v.auth = s.auth;
    v.octets = Bytes(100, 7);
    v.digital_signature = true;
    workers.ask(v);
  }
  EXPECT_EQ(seen.size(), 20U);
  for (const AuthAnswer& a : collect(answers, 20)) {
    const auto& v = std::get<ike::VerifyAnswer>(a);
    ASSERT_TRUE(v.status.has_value()) << v.status.error().detail;
    EXPECT_TRUE(v.quantum_safe);
  }
}

TEST(AuthWorkers, a_tunnel_without_credentials_gets_a_refusal) {
  io::Mailbox<AuthAnswer> answers;
  const io::Log log{io::LogOptions{}};
  AuthWorkers workers{answers, log};
  ASSERT_TRUE(workers.start().has_value());
  workers.set_tunnel(TunnelId{1}, *gateway::AuthCredentials::of(tunnel_with_certificate()));
  workers.set_tunnel(TunnelId{1}, nullptr);
  workers.ask(sign_question(1));
  auto got = collect(answers, 1);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_THAT(std::get<ike::SignAnswer>(got[0]).status.error().detail, HasSubstr("cert_file"));
  workers.set_tunnel(TunnelId{1}, *gateway::AuthCredentials::of(tunnel_with_certificate()));
  workers.set_tunnel(TunnelId{1}, nullptr);
  workers.ask(ike::VerifyQuestion{.request = RequestId{2},
                                  .tunnel = TunnelId{1},
                                  .peer_id = {},
                                  .certificates = {},
                                  .auth = {},
                                  .octets = {},
                                  .digital_signature = true});
  got = collect(answers, 1);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_THAT(std::get<ike::VerifyAnswer>(got[0]).status.error().detail, HasSubstr("ca_files"));
}

TEST(AuthWorkers, what_waits_is_bounded_and_the_rest_is_refused_at_once) {
  io::Mailbox<AuthAnswer> answers;
  const io::Log log{io::LogOptions{}};
  AuthWorkers workers{answers, log, 2};  // never started: nothing is taken out
  for (std::uint64_t i = 0; i < 10; ++i) workers.ask(sign_question(i));
  const auto refused = answers.take_all();
  ASSERT_EQ(refused.size(), 10U - 2 * AuthWorkers::kThreads);
  for (const AuthAnswer& a : refused) EXPECT_EQ(std::get<ike::SignAnswer>(a).status.error().kind, ErrorKind::Resource);
}

}  // namespace
}  // namespace qanat::daemon
