#include "gateway/auth_service.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/digest.hpp"
#include "pki/issue.hpp"

namespace qanat::gateway {
namespace {

using crypto::KeyKind;
using crypto::SignatureScheme;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using wire::AuthMethod;

constexpr WallTime kNow{1'790'000'000};
const wire::Identity kBerlin = wire::Identity::parse("fqdn:berlin.example.com").value();
constexpr std::array kKinds{KeyKind::Rsa,   KeyKind::EcP256,  KeyKind::EcP384,  KeyKind::EcP521, KeyKind::Ed25519,
                            KeyKind::Ed448, KeyKind::MlDsa44, KeyKind::MlDsa65, KeyKind::MlDsa87};

struct World {
  SeededRng rng{7};
  pki::Authority ca;
  explicit World(KeyKind kind = KeyKind::MlDsa65)
      : ca([&] {
          auto made = pki::make_ca("Example CA", {kind, 2048}, kNow, 3650, rng).value();
          return pki::Authority{made.certificate, made.key};
        }()) {}
  model::Tunnel tunnel(KeyKind kind) {
    const auto made = pki::issue(ca, std::vector{kBerlin}, {kind, 2048}, kNow, 365, rng).value();
    model::Tunnel t;
    t.name = "berlin";
    t.credentials.certificates = {made.certificate.der(), ca.certificate.der()};
    t.credentials.private_key = std::make_shared<const SecretBytes>(made.key.to_pkcs8().value());
    t.credentials.trust_anchors = {ca.certificate.der()};
    return t;
  }
};

ike::SignQuestion sign_question() {
  ike::SignQuestion q;
  q.request = RequestId{5};
  q.octets = to_bytes(std::string_view{"the signed octets"});
  q.digital_signature = true;
  q.peer_hashes = {5, 2, 3, 4};
  return q;
}
ike::VerifyQuestion verify_question(const ike::SignAnswer& signed_by) {
  ike::VerifyQuestion q;
  q.request = RequestId{6};
  q.peer_id = kBerlin;
  q.certificates = signed_by.certificates;
  q.auth = signed_by.auth;
  q.octets = sign_question().octets;
  q.digital_signature = signed_by.auth.method == AuthMethod::DigitalSignature;
  return q;
}

TEST(AuthService, every_kind_of_key_is_signed_with_and_believed) {
  World world;
  for (const KeyKind kind : kKinds) {
    const auto own = AuthCredentials::of(world.tunnel(kind)).value();
    const auto made = own->answer(sign_question());
    ASSERT_TRUE(made.status.has_value()) << made.status.error().detail;
    EXPECT_EQ(made.request, RequestId{5});
    EXPECT_EQ(made.auth.method, AuthMethod::DigitalSignature);
    ASSERT_EQ(made.certificates.size(), 1U) << "the anchor is not sent";
    EXPECT_EQ(made.certificates[0].encoding, 4);
    const auto judged = own->answer(verify_question(made), kNow);
    ASSERT_TRUE(judged.status.has_value()) << judged.status.error().detail;
    EXPECT_EQ(judged.request, RequestId{6});
    EXPECT_EQ(judged.quantum_safe, crypto::is_quantum_safe(kind));
    EXPECT_THAT(judged.described, HasSubstr("issued by CN=Example CA"));
    auto other = verify_question(made);
    other.octets.back() ^= 1;
    const auto refused = own->answer(other, kNow);
    ASSERT_FALSE(refused.status.has_value());
    EXPECT_EQ(refused.status.error().notify, 24);
    EXPECT_THAT(refused.status.error().detail, HasSubstr("does not verify"));
    EXPECT_FALSE(refused.quantum_safe);
  }
}

TEST(AuthService, method_14_carries_length_identifier_and_signature) {
  World world;
  const auto made = AuthCredentials::of(world.tunnel(KeyKind::MlDsa65)).value()->answer(sign_question());
  ASSERT_EQ(made.auth.data.size(), 1U + 13U + 3309U);
  EXPECT_EQ(to_hex(ByteView{made.auth.data}.first(14)), "0d300b0609608648016503040312");
  EXPECT_EQ(made.described, "ML-DSA-65");
}

TEST(AuthService, the_scheme_is_one_that_the_peer_takes) {
  World world;
  const auto scheme = [&](KeyKind kind, auto change) -> std::string {
    auto q = sign_question();
    change(q);
    const auto made = AuthCredentials::of(world.tunnel(kind)).value()->answer(q);
    return made.status ? made.described : "refused: " + made.status.error().detail;
  };
  using Q = ike::SignQuestion;
  EXPECT_EQ(scheme(KeyKind::Rsa, [](Q&) {}), "RSA-PSS with SHA-256 (RSA-2048)");
  EXPECT_EQ(scheme(KeyKind::Rsa, [](Q& q) { q.peer_hashes = {3}; }), "RSA-PSS with SHA-384 (RSA-2048)");
  EXPECT_EQ(scheme(KeyKind::Rsa,
                   [](Q& q) {
                     q.peer_announced = {to_bytes(crypto::algorithm_identifier(SignatureScheme::RsaPkcs1Sha512))};
                   }),
            "RSA PKCS#1 v1.5 with SHA-512 (RSA-2048)");
  EXPECT_EQ(scheme(KeyKind::EcP384, [](Q&) {}), "ECDSA with SHA-384 (ECDSA P-384)");
  EXPECT_EQ(scheme(KeyKind::EcP384, [](Q& q) { q.peer_hashes = {2}; }), "ECDSA with SHA-256 (ECDSA P-384)");
  EXPECT_THAT(scheme(KeyKind::EcP384, [](Q& q) { q.peer_hashes = {1}; }),
              AllOf(HasSubstr("refused"), HasSubstr("SHA-1")));
  EXPECT_THAT(scheme(KeyKind::MlDsa65, [](Q& q) { q.peer_hashes = {2, 3, 4}; }),
              AllOf(HasSubstr("refused"), HasSubstr("Identity")));
  EXPECT_THAT(scheme(KeyKind::Ed25519, [](Q& q) { q.peer_hashes = {}; }), HasSubstr("refused"));
  // A peer with pq_auth = "require": what is to be changed has a name.
  model::Tunnel strict;
  strict.pq_auth = model::PqAuthPolicy::Require;
  strict.credentials.trust_anchors = {world.ca.certificate.der()};
  ike::TunnelConfig theirs;
  set_authentication(strict, theirs);
  for (const KeyKind kind : {KeyKind::Rsa, KeyKind::EcP256, KeyKind::Ed25519}) {
    EXPECT_THAT(scheme(kind,
                       [&](Q& q) {
                         q.peer_hashes = theirs.signature_hashes;
                         q.peer_announced = theirs.announced;
                       }),
                AllOf(HasSubstr("pq_auth = \"require\""), HasSubstr("ML-DSA certificate"), HasSubstr("cert_file"),
                      Not(HasSubstr("SHA-256"))));
  }
  EXPECT_THAT(
      scheme(KeyKind::MlDsa65,
             [](Q& q) { q.peer_announced = {to_bytes(crypto::algorithm_identifier(SignatureScheme::MlDsa87))}; }),
      AllOf(HasSubstr("refused"), HasSubstr("SUPPORTED_AUTH_METHODS")));
}

TEST(AuthService, without_rfc_7427_ecdsa_alone_is_left) {
  World world;
  auto q = sign_question();
  q.digital_signature = false;
  q.peer_hashes.clear();
  const std::pair<KeyKind, AuthMethod> kMethods[] = {{KeyKind::EcP256, AuthMethod::EcdsaSha256P256},
                                                     {KeyKind::EcP384, AuthMethod::EcdsaSha384P384},
                                                     {KeyKind::EcP521, AuthMethod::EcdsaSha512P521}};
  for (const auto& [kind, method] : kMethods) {
    const auto own = AuthCredentials::of(world.tunnel(kind)).value();
    const auto made = own->answer(q);
    ASSERT_TRUE(made.status.has_value());
    EXPECT_EQ(made.auth.method, method);
    auto asked = verify_question(made);
    EXPECT_TRUE(own->answer(asked, kNow).status.has_value());
    asked.digital_signature = true;
    EXPECT_THAT(own->answer(asked, kNow).status.error().detail, HasSubstr("RFC 7427")) << "a downgrade";
    asked = verify_question(made);
    asked.auth.data.pop_back();
    EXPECT_FALSE(own->answer(asked, kNow).status.has_value());
    asked.auth.data.assign(made.auth.data.size(), 0);
    EXPECT_FALSE(own->answer(asked, kNow).status.has_value());
    asked = verify_question(made);
    asked.auth.method =
        method == AuthMethod::EcdsaSha256P256 ? AuthMethod::EcdsaSha384P384 : AuthMethod::EcdsaSha256P256;
    EXPECT_THAT(own->answer(asked, kNow).status.error().detail, HasSubstr("another curve"));
  }
  for (const KeyKind kind : {KeyKind::Rsa, KeyKind::MlDsa65, KeyKind::Ed25519}) {
    const auto made = AuthCredentials::of(world.tunnel(kind)).value()->answer(q);
    ASSERT_FALSE(made.status.has_value());
    EXPECT_THAT(made.status.error().detail, HasSubstr("RFC 7427"));
  }
}

TEST(AuthService, what_is_not_served_is_refused_with_its_reason) {
  World world;
  const auto own = AuthCredentials::of(world.tunnel(KeyKind::EcP256)).value();
  const auto made = own->answer(sign_question());
  const auto why = [&](auto change) {
    auto q = verify_question(made);
    change(q);
    const auto answer = own->answer(q, kNow);
    EXPECT_FALSE(answer.status.has_value());
    return answer.status ? std::string{} : answer.status.error().detail;
  };
  using Q = ike::VerifyQuestion;
  const Bytes signature = to_bytes(ByteView{made.auth.data}.subspan(1U + made.auth.data[0]));
  const auto with_identifier = [&](std::string_view hex) {
    return [&signature, hex](Q& q) {
      const Bytes identifier = from_hex(hex).value();
      q.auth.data = {static_cast<std::uint8_t>(identifier.size())};
      append(q.auth.data, identifier);
      append(q.auth.data, signature);
    };
  };
  EXPECT_THAT(why(with_identifier("300a06082a8648ce3d040301")), HasSubstr("1.2.840.10045.4.3.1"));
  EXPECT_THAT(why(with_identifier("300b0609608648016503040314")), HasSubstr("2.16.840.1.101.3.4.3.20"));
  EXPECT_THAT(why(with_identifier("ffff")), HasSubstr("0xffff"));
  EXPECT_THAT(why(with_identifier("300b0609608648016503040312")), HasSubstr("the key of its certificate is ECDSA"));
  EXPECT_THAT(why([](Q& q) { q.auth.data.clear(); }), HasSubstr("no AlgorithmIdentifier"));
  EXPECT_THAT(why([](Q& q) { q.auth.data = {0}; }), HasSubstr("no AlgorithmIdentifier"));
  EXPECT_THAT(why([](Q& q) { q.auth.data = {12, 0x30}; }), HasSubstr("no AlgorithmIdentifier"));
  EXPECT_THAT(why([](Q& q) { q.auth.data.resize(13); }), HasSubstr("does not verify"));
  EXPECT_THAT(why([](Q& q) { q.auth.data.push_back(0); }), HasSubstr("does not verify"));
  EXPECT_THAT(why([](Q& q) { q.auth.data.resize(60'000); }), HasSubstr("too long"));
  EXPECT_THAT(why([](Q& q) { q.digital_signature = false; }), HasSubstr("SIGNATURE_HASH_ALGORITHMS"));
  EXPECT_THAT(why([](Q& q) { q.auth.method = AuthMethod::SharedKeyMic; }), HasSubstr("PSK"));
  EXPECT_THAT(why([](Q& q) { q.auth.method = AuthMethod::RsaDigitalSignature; }), HasSubstr("SHA-1"));
  EXPECT_THAT(why([](Q& q) { q.auth.method = AuthMethod::NullAuthentication; }), HasSubstr("method 13"));
  for (const std::uint8_t encoding : {std::uint8_t{12}, std::uint8_t{13}})
    EXPECT_THAT(why([&](Q& q) { q.certificates[0].encoding = encoding; }), HasSubstr("hash and URL"));
  EXPECT_THAT(why([](Q& q) { q.certificates[0].encoding = 1; }), HasSubstr("encoding 1"));
  EXPECT_THAT(why([](Q& q) { q.certificates[0].encoding = 7; }), HasSubstr("sent no certificate"));
  EXPECT_THAT(why([](Q& q) { q.peer_id = wire::Identity::parse("fqdn:paris.example.com").value(); }),
              HasSubstr("its certificate is for fqdn:berlin.example.com"));
  EXPECT_THAT(own->answer(verify_question(made), {kNow.seconds + 400LL * 86'400}).status.error().detail,
              HasSubstr("expired"));
}

TEST(AuthService, pq_auth_require_wants_a_quantum_safe_peer) {
  World classical{KeyKind::EcP256};
  World safe;
  for (const auto& [world, kind, good] :
       {std::tuple{&safe, KeyKind::MlDsa65, true}, std::tuple{&safe, KeyKind::EcP256, false},
        std::tuple{&classical, KeyKind::MlDsa65, false}}) {
    model::Tunnel t = world->tunnel(kind);
    const auto made = AuthCredentials::of(t).value()->answer(sign_question());
    t.pq_auth = model::PqAuthPolicy::Require;
    const auto judged = AuthCredentials::of(t).value()->answer(verify_question(made), kNow);
    EXPECT_EQ(judged.status.has_value(), good);
    EXPECT_EQ(judged.quantum_safe, good);
    if (good) continue;
    EXPECT_THAT(judged.status.error().detail, HasSubstr("pq_auth = \"require\""));
  }
}

TEST(AuthService, credentials_that_do_not_belong_together_are_refused) {
  World world;
  model::Tunnel t = world.tunnel(KeyKind::EcP256);
  t.credentials.private_key = world.tunnel(KeyKind::EcP256).credentials.private_key;
  EXPECT_THAT(AuthCredentials::of(t).error().detail, HasSubstr("not that of the certificate"));
  t.credentials.private_key = nullptr;
  EXPECT_THAT(AuthCredentials::of(t).error().detail, HasSubstr("key_file"));
  t.credentials = {};
  EXPECT_EQ(AuthCredentials::of(t).value(), nullptr);
  EXPECT_FALSE(no_credentials(sign_question()).status.has_value());
  EXPECT_FALSE(no_credentials(ike::VerifyQuestion{}).status.has_value());
  t = world.tunnel(KeyKind::EcP256);
  t.credentials.certificates.clear();
  EXPECT_THAT(AuthCredentials::of(t).value()->answer(sign_question()).status.error().detail, HasSubstr("cert_file"));
}

TEST(AuthService, settings_say_what_our_verifier_takes) {
  World world;
  model::Tunnel t;
  ike::TunnelConfig out;
  set_authentication(t, out);
  EXPECT_EQ(out.local_auth, ike::AuthKind::Psk);
  EXPECT_EQ(out.remote_auth, ike::AuthKind::Psk);
  EXPECT_TRUE(out.announced.empty());
  EXPECT_TRUE(out.authorities.empty());

  t = world.tunnel(KeyKind::MlDsa65);
  set_authentication(t, out);
  EXPECT_EQ(out.local_auth, ike::AuthKind::Certificate);
  EXPECT_EQ(out.remote_auth, ike::AuthKind::Certificate);
  EXPECT_EQ(out.signature_hashes, (std::vector<std::uint16_t>{5, 2, 3, 4}));
  EXPECT_EQ(out.announced.size(), crypto::kSignatureSchemes);
  EXPECT_EQ(crypto::scheme_of(out.announced.front()), SignatureScheme::MlDsa65);
  const auto hash = crypto::sha1({world.ca.certificate.spki()});
  EXPECT_EQ(out.authorities, (std::vector<Bytes>{Bytes(hash.begin(), hash.end())}));

  t.pq_auth = model::PqAuthPolicy::Require;
  set_authentication(t, out);
  EXPECT_EQ(out.signature_hashes, std::vector<std::uint16_t>{5});
  EXPECT_EQ(out.announced.size(), 3U);

  t.credentials.certificates.clear();
  set_authentication(t, out);
  EXPECT_EQ(out.local_auth, ike::AuthKind::Psk) << "a PSK from us, a certificate from the peer";
  EXPECT_EQ(out.remote_auth, ike::AuthKind::Certificate);
}

}  // namespace
}  // namespace qanat::gateway
