// K18 of reliability.md: chains that must be refused, and their neighbours that must not.
#include "pki/trust.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pki/pki_testing.hpp"

namespace qanat::pki {
namespace {

using namespace testing;
using crypto::KeyKind;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const wire::Identity kBerlin = id("fqdn:berlin.example.com");

TrustStore trusting(std::initializer_list<const Made*> anchors, std::vector<Bytes> crls = {}) {
  std::vector<Bytes> ders;
  for (const Made* m : anchors) ders.push_back(m->certificate.der());
  return TrustStore::create(ders, crls).value();
}
std::vector<Bytes> sent(std::initializer_list<const Made*> chain) {
  std::vector<Bytes> out;
  for (const Made* m : chain) out.push_back(m->certificate.der());
  return out;
}
// Why it was refused; empty when it was not.
std::string refusal(const TrustStore& store, std::initializer_list<const Made*> chain,
                    const wire::Identity& who = kBerlin, WallTime now = kNow) {
  const auto verdict = store.validate(sent(chain), who, now);
  if (verdict) return {};
  EXPECT_EQ(verdict.error().kind, ErrorKind::AuthFailed);
  EXPECT_EQ(verdict.error().notify, 24);
  EXPECT_FALSE(verdict.error().detail.empty());
  return verdict.error().detail;
}

class Trust : public ::testing::Test {
 protected:
  Made root_ = make_root();
  TrustStore store_ = trusting({&root_});
  Made leaf(Extensions extensions) const {
    return make({.subject = "CN=berlin", .issuer = &root_, .extensions = std::move(extensions)});
  }
  Made good_ = make({.subject = "CN=berlin", .issuer = &root_});
};

TEST_F(Trust, a_good_chain_is_believed_and_described) {
  const auto verdict = store_.validate(sent({&good_}), kBerlin, kNow);
  ASSERT_TRUE(verdict.has_value()) << verdict.error().detail;
  EXPECT_TRUE(crypto::same_key(verdict->key, good_.key.public_key()));
  EXPECT_FALSE(verdict->quantum_safe);
  EXPECT_EQ(
      verdict->described,
      "ECDSA P-256 certificate CN=berlin, issued by CN=Root, until 2027-09-21, not quantum-safe: its key is ECDSA "
      "P-256");
  EXPECT_EQ(refusal(store_, {&good_, &root_}), "") << "peers may send the anchor as well";
  EXPECT_EQ(refusal(store_, {&good_, &good_, &good_}), "");
}

TEST_F(Trust, times) {
  const Made old = make({.subject = "CN=berlin", .issuer = &root_, .until = {kNow.seconds - 1}});
  EXPECT_THAT(refusal(store_, {&old}), AllOf(HasSubstr("expired on 2026-09-2"), HasSubstr("renewed")));
  const Made early = make({.subject = "CN=berlin", .issuer = &root_, .from = {kNow.seconds + kDay}});
  EXPECT_THAT(refusal(store_, {&early}), HasSubstr("valid only from"));
  // The same certificate at other times: its ends belong to it.
  EXPECT_EQ(refusal(store_, {&good_}, kBerlin, {good_.certificate.not_after().seconds - 1}), "");
  EXPECT_THAT(refusal(store_, {&good_}, kBerlin, {good_.certificate.not_after().seconds + 1}), HasSubstr("expired"));
  EXPECT_THAT(refusal(store_, {&good_}, kBerlin, {good_.certificate.not_before().seconds - 1}), HasSubstr("only from"));
  EXPECT_NE(refusal(store_, {&good_}, kBerlin, {0}), "");
  // A CA that has expired takes its certificates with it.
  const Made old_root = make({.subject = "CN=Old", .extensions = kCaExtensions, .until = {kNow.seconds - 1}});
  const Made child = make({.subject = "CN=berlin", .issuer = &old_root});
  EXPECT_THAT(refusal(trusting({&old_root}), {&child}), AllOf(HasSubstr("CN=Old"), HasSubstr("expired")));
}

TEST_F(Trust, dates_beyond_2038_2050_and_2106) {
  for (const std::int64_t until : {2'147'483'648LL, 2'524'608'000LL, 4'294'967'296LL, 253'402'300'799LL}) {
    const Made ca = make({.subject = "CN=Far", .extensions = kCaExtensions, .until = {until}});
    const Made far = make({.subject = "CN=berlin", .issuer = &ca, .until = {until}});
    const TrustStore store = trusting({&ca});
    EXPECT_EQ(far.certificate.not_after().seconds, until);
    EXPECT_EQ(refusal(store, {&far}), "");
    EXPECT_EQ(refusal(store, {&far}, kBerlin, {until - 1}), "");
    EXPECT_NE(refusal(store, {&far}, kBerlin, {until + 1}), "");
  }
  EXPECT_EQ(date_text({253'402'300'799LL}), "9999-12-31");
  EXPECT_EQ(date_text({-1}), "1969-12-31");
}

TEST_F(Trust, who_issued_it) {
  const Made stranger = make_root(KeyKind::EcP256, "CN=Stranger");
  const Made theirs = make({.subject = "CN=berlin", .issuer = &stranger});
  EXPECT_THAT(refusal(store_, {&theirs}), AllOf(HasSubstr("issued by CN=Stranger"), HasSubstr("ca_files")));
  EXPECT_THAT(refusal(store_, {&theirs, &stranger}), HasSubstr("ca_files")) << "a root that the peer brings along";
  // The right name with another key, and the other way round.
  const Made twin = make_root(KeyKind::EcP256, "CN=Root");
  const Made forged = make({.subject = "CN=berlin", .issuer = &twin});
  EXPECT_NE(refusal(store_, {&forged}), "");
  EXPECT_NE(refusal(store_, {&forged, &twin}), "");
  const Made same_key = make({.subject = "CN=Other", .extensions = kCaExtensions, .same_key_as = &root_});
  const Made of_other = make({.subject = "CN=berlin", .issuer = &same_key});
  EXPECT_NE(refusal(store_, {&of_other}), "") << "the key is the anchor's, the name is not";
  const Made self = make({.subject = "CN=berlin"});
  EXPECT_NE(refusal(store_, {&self}), "");
  EXPECT_THAT(TrustStore{}.validate(sent({&good_}), kBerlin, kNow).error().detail, HasSubstr("ca_files"));
}

TEST_F(Trust, a_pinned_certificate_is_its_own_anchor) {
  const Made self = make({.subject = "CN=berlin"});
  const TrustStore pinned = trusting({&self});
  EXPECT_EQ(refusal(pinned, {&self}), "");
  EXPECT_EQ(refusal(pinned, {}), "") << "the peer need not send what we have";
  EXPECT_THAT(refusal(pinned, {&self}, id("fqdn:paris.example.com")), HasSubstr("its certificate is for"));
  const Made again = make({.subject = "CN=berlin"});
  EXPECT_NE(refusal(pinned, {&again}), "") << "same name, another key";
  const Made issued = make({.subject = "CN=mallory", .issuer = &self});
  EXPECT_NE(refusal(pinned, {&issued, &self}), "") << "a pinned certificate is no CA";
  EXPECT_EQ(refusal(trusting({&good_}), {&good_}), "") << "pinned, though another CA issued it";
  EXPECT_THAT(refusal(store_, {}), HasSubstr("sent no certificate"));
}

TEST_F(Trust, intermediates) {
  const Made sub = make({.subject = "CN=Sub", .issuer = &root_, .extensions = kCaExtensions});
  const Made below = make({.subject = "CN=berlin", .issuer = &sub});
  EXPECT_EQ(refusal(store_, {&below, &sub}), "");
  EXPECT_EQ(refusal(store_, {&below, &good_, &root_, &sub}), "") << "in any order behind the leaf";
  EXPECT_THAT(refusal(store_, {&below}), HasSubstr("send its intermediate"));
  EXPECT_EQ(refusal(trusting({&sub}), {&below}), "") << "an intermediate may be the anchor";
  // Not a CA: the flag, the key usage, the old way without extensions.
  for (const Extensions& wrong :
       {with(kCaExtensions, NID_basic_constraints, "critical,CA:FALSE"), with(kCaExtensions, NID_basic_constraints, ""),
        with(kCaExtensions, NID_key_usage, "critical,digitalSignature"), Extensions{}}) {
    const Made no_ca = make({.subject = "CN=Sub", .issuer = &root_, .extensions = wrong});
    const Made child = make({.subject = "CN=berlin", .issuer = &no_ca});
    EXPECT_NE(refusal(store_, {&child, &no_ca}), "");
  }
  const Made child_of_leaf = make({.subject = "CN=mallory", .issuer = &good_});
  EXPECT_NE(refusal(store_, {&child_of_leaf, &good_}), "");
}

TEST_F(Trust, path_length) {
  const Made zero = make({.subject = "CN=Zero",
                          .issuer = &root_,
                          .extensions = with(kCaExtensions, NID_basic_constraints, "critical,CA:TRUE,pathlen:0")});
  const Made direct = make({.subject = "CN=berlin", .issuer = &zero});
  EXPECT_EQ(refusal(store_, {&direct, &zero}), "");
  const Made more = make({.subject = "CN=More", .issuer = &zero, .extensions = kCaExtensions});
  const Made below = make({.subject = "CN=berlin", .issuer = &more});
  EXPECT_THAT(refusal(store_, {&below, &more, &zero}), HasSubstr("path length"));
}

TEST_F(Trust, loops_depth_and_numbers_are_bounded) {
  // A <- B <- A, each signed by the other's key.
  const Made a = make_root(KeyKind::EcP256, "CN=A");
  const Made b_of_a = make({.subject = "CN=B", .issuer = &a, .extensions = kCaExtensions});
  const Made a_of_b = make({.subject = "CN=A", .issuer = &b_of_a, .extensions = kCaExtensions, .same_key_as = &a});
  const Made looped = make({.subject = "CN=berlin", .issuer = &a});
  EXPECT_NE(refusal(store_, {&looped, &a_of_b, &b_of_a}), "");

  std::vector<Made> tower;
  tower.reserve(21);
  tower.push_back(root_);
  for (int i = 1; i <= 20; ++i)
    tower.push_back(
        make({.subject = "CN=L" + std::to_string(i), .issuer = &tower.back(), .extensions = kCaExtensions}));
  const auto chain_of = [&](std::size_t height) {
    const Made top = make({.subject = "CN=berlin", .issuer = &tower[height]});
    std::vector<Bytes> out{top.certificate.der()};
    for (std::size_t i = height; i > 0; --i) out.push_back(tower[i].certificate.der());
    return out;
  };
  EXPECT_TRUE(store_.validate(chain_of(6), kBerlin, kNow).has_value());
  EXPECT_FALSE(store_.validate(chain_of(7), kBerlin, kNow).has_value());
  EXPECT_THAT(store_.validate(chain_of(20), kBerlin, kNow).error().detail, HasSubstr("21 certificates"));
  EXPECT_THAT(store_.validate(std::vector<Bytes>(100, good_.certificate.der()), kBerlin, kNow).error().detail,
              HasSubstr("100 certificates"));
  EXPECT_THAT(store_.validate(std::vector<Bytes>{Bytes(1 << 20, 0x30)}, kBerlin, kNow).error().detail,
              HasSubstr("1048576 octets"));
  Bytes huge{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff};
  EXPECT_FALSE(store_.validate(std::vector<Bytes>{huge}, kBerlin, kNow).has_value());
  EXPECT_FALSE(store_.validate(std::vector<Bytes>{Bytes{}}, kBerlin, kNow).has_value());
}

TEST_F(Trust, damage_anywhere_is_refused) {
  const Bytes& der = good_.certificate.der();
  for (std::size_t at = 0; at < der.size(); ++at) {
    Bytes bad = der;
    bad[at] ^= 0x01;
    EXPECT_FALSE(store_.validate(std::vector<Bytes>{bad}, kBerlin, kNow).has_value()) << at;
    EXPECT_FALSE(store_.validate(std::vector<Bytes>{to_bytes(ByteView{der}.first(at))}, kBerlin, kNow).has_value())
        << at;
  }
  Bytes longer = der;
  longer.push_back(0);
  EXPECT_FALSE(store_.validate(std::vector<Bytes>{longer}, kBerlin, kNow).has_value());
}

TEST_F(Trust, key_usage_and_extended_key_usage) {
  const auto why = [&](int nid, const std::string& value) {
    const Made m = leaf(with(kLeafExtensions, nid, value));
    return refusal(store_, {&m});
  };
  EXPECT_EQ(why(NID_key_usage, ""), "");
  EXPECT_EQ(why(NID_key_usage, "digitalSignature,keyEncipherment"), "");
  EXPECT_THAT(why(NID_key_usage, "critical,keyEncipherment"), HasSubstr("digitalSignature"));
  EXPECT_THAT(why(NID_key_usage, "nonRepudiation"), HasSubstr("digitalSignature"));
  for (const char* good : {"ipsecIKE", "critical,ipsecIKE", "anyExtendedKeyUsage", "serverAuth", "clientAuth",
                           "codeSigning,1.3.6.1.5.5.7.3.17"}) {
    EXPECT_EQ(why(NID_ext_key_usage, good), "") << good;
  }
  for (const char* bad : {"codeSigning", "emailProtection,timeStamping", "critical,1.2.3.4"}) {
    EXPECT_THAT(why(NID_ext_key_usage, bad), HasSubstr("ipsecIKE")) << bad;
  }
  // A CA that is for mail only.
  const Made mail = make({.subject = "CN=Mail",
                          .issuer = &root_,
                          .extensions = with(kCaExtensions, NID_ext_key_usage, "emailProtection")});
  const Made below = make({.subject = "CN=berlin", .issuer = &mail});
  EXPECT_THAT(refusal(store_, {&below, &mail}), AllOf(HasSubstr("CN=Mail"), HasSubstr("ipsecIKE")));
}

TEST_F(Trust, an_unknown_critical_extension_is_refused) {
  const std::unique_ptr<ASN1_OBJECT, FreeWith<ASN1_OBJECT_free>> oid{OBJ_txt2obj("1.3.6.1.4.1.99999.1", 1)};
  const std::unique_ptr<ASN1_OCTET_STRING, FreeWith<ASN1_OCTET_STRING_free>> value{ASN1_OCTET_STRING_new()};
  const Bytes kNull{0x05, 0x00};
  ASSERT_EQ(ASN1_OCTET_STRING_set(value.get(), kNull.data(), 2), 1);
  for (const int critical : {0, 1}) {
    const X509Cert changed{X509_dup(good_.certificate.native())};
    const Extension e{X509_EXTENSION_create_by_OBJ(nullptr, oid.get(), critical, value.get())};
    ASSERT_EQ(X509_add_ext(changed.get(), e.get(), -1), 1);
    ASSERT_GT(X509_sign(changed.get(), root_.key.native(), EVP_sha256()), 0);
    EXPECT_EQ(store_.validate(std::vector<Bytes>{der_of(i2d_X509, changed.get())}, kBerlin, kNow).has_value(),
              critical == 0);
  }
}

TEST_F(Trust, identities_must_stand_in_the_certificate) {
  const Made m = leaf(with(kLeafExtensions, NID_subject_alt_name,
                           "DNS:Berlin.example.com,DNS:*.wild.example.com,email:Ops@example.com,IP:192.0.2.1,IP:2001:"
                           "db8::1"));
  for (const char* good :
       {"fqdn:berlin.EXAMPLE.com", "rfc822:ops@EXAMPLE.com", "192.0.2.1", "2001:db8::1", "dn:CN=berlin"}) {
    EXPECT_EQ(refusal(store_, {&m}, id(good)), "") << good;
  }
  for (const char* bad :
       {"fqdn:paris.example.com", "fqdn:berlin.example.com.evil.example", "fqdn:example.com", "fqdn:a.wild.example.com",
        "fqdn:berlin", "rfc822:ops@example.org", "192.0.2.2", "2001:db8::2", "dn:CN=paris", "dn:CN=berlin,O=Example"}) {
    EXPECT_THAT(refusal(store_, {&m}, id(bad)), AllOf(HasSubstr("calls itself"), HasSubstr("Berlin.example.com")))
        << bad;
  }
  EXPECT_THAT(refusal(store_, {&m}, id("keyid:berlin")), HasSubstr("key id"));
  EXPECT_NE(refusal(store_, {&m}, {wire::IdType::ID_NULL, {}}), "");
  EXPECT_NE(refusal(store_, {&m}, {wire::IdType::ID_FQDN, {}}), "");
  // The common name is no FQDN, whatever it looks like.
  const Made cn = make({.subject = "CN=berlin.example.com",
                        .issuer = &root_,
                        .extensions = with(kLeafExtensions, NID_subject_alt_name, "")});
  EXPECT_THAT(refusal(store_, {&cn}), HasSubstr("dn:CN=berlin.example.com"));
}

TEST_F(Trust, name_constraints_of_every_kind) {
  struct Case {
    const char* constraint;
    const char* good;
    const char* bad;
  };
  for (const Case& c : {
           Case{"permitted;DNS:example.com", "DNS:berlin.example.com", "DNS:berlin.example.org"},
           Case{"excluded;DNS:example.org", "DNS:berlin.example.com", "DNS:berlin.example.org"},
           Case{"permitted;IP:192.0.2.0/255.255.255.0", "IP:192.0.2.9", "IP:198.51.100.9"},
           Case{"excluded;IP:198.51.100.0/255.255.255.0", "IP:192.0.2.9", "IP:198.51.100.9"},
           Case{"permitted;IP:2001:db8::/ffff:ffff::", "IP:2001:db8::1", "IP:2001:db9::1"},
           Case{"permitted;email:example.com", "email:a@example.com", "email:a@example.org"},
           Case{"excluded;email:a@example.org", "email:a@example.com", "email:a@example.org"},
           Case{"permitted;URI:.example.com", "URI:https://www.example.com/", "URI:https://www.example.org/"},
           Case{"excluded;URI:.example.org", "URI:https://www.example.com/", "URI:https://www.example.org/"},
       }) {
    SCOPED_TRACE(c.constraint);
    const Made ca =
        make({.subject = "CN=Sub",
              .issuer = &root_,
              .extensions = with(kCaExtensions, NID_name_constraints, "critical," + std::string{c.constraint})});
    const auto why = [&](const std::string& san) {
      const Made m =
          make({.subject = "CN=berlin", .issuer = &ca, .extensions = with(kLeafExtensions, NID_subject_alt_name, san)});
      return refusal(store_, {&m, &ca}, id("dn:CN=berlin"));
    };
    EXPECT_EQ(why(c.good), "");
    EXPECT_THAT(why(c.bad), HasSubstr("name constraints"));
    EXPECT_THAT(why(std::string{c.good} + "," + c.bad), HasSubstr("name constraints")) << "one bad name among good";
  }
}

// The subject is a name too. OpenSSL's text form of dirName needs a database, so the constraint is given in DER:
// permitted / excluded [4] { O=Example }.
TEST_F(Trust, name_constraints_of_directory_names) {
  for (const bool permitted : {true, false}) {
    const Bytes name = wire::encode_dn("O=Example").value();
    const auto wrap = [](std::uint8_t tag, const Bytes& content) {
      Bytes out{tag, static_cast<std::uint8_t>(content.size())};
      append(out, content);
      return out;
    };
    const Bytes der = wrap(0x30, wrap(permitted ? 0xa0 : 0xa1, wrap(0x30, wrap(0xa4, name))));
    const Made ca = make({.subject = "CN=Sub",
                          .issuer = &root_,
                          .extensions = with(kCaExtensions, NID_name_constraints, "critical,DER:" + to_hex(der))});
    const Made inside = make({.subject = "O=Example,CN=berlin", .issuer = &ca});
    const Made outside = make({.subject = "O=Other,CN=berlin", .issuer = &ca});
    EXPECT_EQ(refusal(store_, {&inside, &ca}).empty(), permitted);
    EXPECT_EQ(refusal(store_, {&outside, &ca}).empty(), !permitted);
  }
}

TEST_F(Trust, weak_signatures_and_keys) {
  const Made sha1 = make({.subject = "CN=berlin", .issuer = &root_, .digest = EVP_sha1()});
  EXPECT_THAT(refusal(store_, {&sha1}), HasSubstr("SHA-1"));
  const Made ed = make({.subject = "CN=berlin", .issuer = &root_, .kind = KeyKind::Ed25519});
  EXPECT_EQ(refusal(store_, {&ed}), "");
  const Made rsa = make({.subject = "CN=berlin", .issuer = &root_, .kind = KeyKind::Rsa});
  EXPECT_EQ(refusal(store_, {&rsa}), "");
}

TEST_F(Trust, revocation_lists_that_are_configured_count) {
  const auto list = [&](const Made& ca, std::vector<Certificate> revoked, WallTime at = kNow, int days = 10) {
    return make_crl(Authority{ca.certificate, ca.key}, std::nullopt, revoked, at, days).value();
  };
  const Made other = make({.subject = "CN=berlin", .issuer = &root_});
  const TrustStore store = trusting({&root_}, {list(root_, {other.certificate})});
  EXPECT_EQ(refusal(store, {&good_}), "");
  EXPECT_THAT(refusal(store, {&other}), AllOf(HasSubstr("revoked"), HasSubstr("CN=berlin")));
  EXPECT_THAT(refusal(store, {&good_}, kBerlin, {kNow.seconds + 11 * kDay}),
              AllOf(HasSubstr("revocation list of CN=Root has expired"), HasSubstr("crl_files")));
  EXPECT_THAT(refusal(trusting({&root_}, {list(root_, {}, {kNow.seconds + 2 * kDay})}), {&good_}),
              HasSubstr("not valid yet"));
  // A list that somebody else signed in the CA's name is no list, and no silence.
  const Made twin = make_root();
  EXPECT_THAT(refusal(trusting({&root_}, {list(twin, {})}), {&good_}), HasSubstr("cannot be used"));
  // A list of one CA asks nothing of another's certificates.
  const Made second = make_root(KeyKind::EcP256, "CN=Second");
  const Made seconds = make({.subject = "CN=berlin", .issuer = &second});
  EXPECT_EQ(refusal(trusting({&root_, &second}, {list(root_, {})}), {&seconds}), "");
  // An intermediate that was revoked.
  const Made sub = make({.subject = "CN=Sub", .issuer = &root_, .extensions = kCaExtensions});
  const Made below = make({.subject = "CN=berlin", .issuer = &sub});
  EXPECT_EQ(refusal(trusting({&root_}, {list(root_, {})}), {&below, &sub}), "");
  EXPECT_THAT(refusal(trusting({&root_}, {list(root_, {sub.certificate})}), {&below, &sub}),
              AllOf(HasSubstr("CN=Sub"), HasSubstr("revoked")));
}

TEST_F(Trust, quantum_safe_is_the_key_and_every_signature_up_to_the_anchor) {
  const Made pq_root = make_root(KeyKind::MlDsa65, "CN=PQ Root");
  const auto verdict = [](const Made& anchor, std::initializer_list<const Made*> chain, bool require = false) {
    return trusting({&anchor}).validate(sent(chain), kBerlin, kNow, {.quantum_safe = require});
  };
  const Made pq = make({.subject = "CN=berlin", .issuer = &pq_root, .kind = KeyKind::MlDsa44});
  const auto safe = verdict(pq_root, {&pq}, true).value();
  EXPECT_TRUE(safe.quantum_safe);
  EXPECT_EQ(safe.described, "ML-DSA-44 certificate CN=berlin, issued by CN=PQ Root, until 2027-09-21, quantum-safe");

  const Made by_ecdsa = make({.subject = "CN=berlin", .issuer = &root_, .kind = KeyKind::MlDsa65});
  EXPECT_FALSE(verdict(root_, {&by_ecdsa})->quantum_safe);
  EXPECT_THAT(verdict(root_, {&by_ecdsa})->described,
              HasSubstr("not quantum-safe: it is signed with ecdsa-with-SHA256"));
  EXPECT_THAT(verdict(root_, {&by_ecdsa}, true).error().detail,
              AllOf(HasSubstr("pq_auth"), HasSubstr("signed with ecdsa")));
  EXPECT_TRUE(verdict(by_ecdsa, {&by_ecdsa})->quantum_safe) << "pinned: nobody's signature is relied on";

  const Made classical = make({.subject = "CN=berlin", .issuer = &pq_root});
  EXPECT_FALSE(verdict(pq_root, {&classical})->quantum_safe);
  EXPECT_THAT(verdict(pq_root, {&classical}, true).error().detail, HasSubstr("its key is ECDSA P-256"));

  const Made weak_sub =
      make({.subject = "CN=Weak", .issuer = &pq_root, .extensions = kCaExtensions, .kind = KeyKind::EcP384});
  const Made below = make({.subject = "CN=berlin", .issuer = &weak_sub, .kind = KeyKind::MlDsa87});
  EXPECT_FALSE(verdict(pq_root, {&below, &weak_sub})->quantum_safe);

  // An ML-DSA intermediate under a classical root is as weak as the root's signature, unless it is the anchor itself.
  const Made pq_sub =
      make({.subject = "CN=PQ Sub", .issuer = &root_, .extensions = kCaExtensions, .kind = KeyKind::MlDsa65});
  const Made pq_below = make({.subject = "CN=berlin", .issuer = &pq_sub, .kind = KeyKind::MlDsa65});
  EXPECT_THAT(verdict(root_, {&pq_below, &pq_sub})->described, HasSubstr("CN=PQ Sub is signed with ecdsa"));
  EXPECT_TRUE(verdict(pq_sub, {&pq_below})->quantum_safe);
}

TEST_F(Trust, anchors_and_lists_that_cannot_be_read_are_reported) {
  EXPECT_FALSE(TrustStore::create(std::vector<Bytes>{Bytes{1, 2, 3}}, {}).has_value());
  EXPECT_FALSE(TrustStore::create(sent({&root_}), std::vector<Bytes>{root_.certificate.der()}).has_value());
}

}  // namespace
}  // namespace qanat::pki
