// What `qanat status` says of a tunnel that the gateway alone knows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/gateway.hpp"
#include "pki/issue.hpp"

namespace qanat::gateway {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr WallTime kIssued{1'790'000'000};

TEST(Status, NamesACertificateThatEnds) {
  SeededRng rng{7};
  const pki::KeyChoice ec{crypto::KeyKind::EcP256, 0};
  const auto ca = pki::make_ca("Example CA", ec, kIssued, 3650, rng).value();
  const std::vector ids{wire::Identity::parse("fqdn:berlin.example.com").value()};
  const auto leaf = pki::issue({ca.certificate, ca.key}, ids, ec, kIssued, 365, rng).value();
  model::Config config;
  config.gateway.address4 = *IpAddress::parse("192.0.2.1");
  model::Tunnel t;
  t.name = "berlin";
  t.peer = *IpAddress::parse("198.51.100.7");
  t.routes = {*Prefix::parse("10.1.0.0/16")};
  t.start = model::StartMode::Respond;
  t.credentials.certificates = {leaf.certificate.der()};
  t.credentials.private_key = std::make_shared<const SecretBytes>(leaf.key.to_pkcs8().value());
  t.credentials.trust_anchors = {ca.certificate.der()};
  config.tunnels = {t};
  const Instant now = Instant::from_ns(1'000'000'000);
  Gateway gateway{ike::EndpointConfig{}, rng};
  ASSERT_TRUE(gateway.apply(now, config).has_value());
  const auto reason = [&](std::optional<WallTime> wall) { return gateway.snapshot(now, wall).tunnels.at(0).reason; };
  const std::string usual = reason(std::nullopt);
  EXPECT_THAT(usual, Not(HasSubstr("certificate")));
  EXPECT_EQ(reason(WallTime{kIssued.seconds + 300 * 86'400}), usual);
  EXPECT_THAT(reason(WallTime{kIssued.seconds + 350 * 86'400}),
              AllOf(HasSubstr(usual + "; the certificate CN=berlin.example.com expires in 1")));
  EXPECT_THAT(reason(WallTime{kIssued.seconds + 400 * 86'400}), HasSubstr("has expired on"));
}

}  // namespace
}  // namespace qanat::gateway
