#include "crypto/signature.hpp"

#include <algorithm>
#include <chrono>

#include <gtest/gtest.h>

#include "crypto/availability.hpp"

// The test program is linked with --wrap for these: each can be made to fail, as OpenSSL's own may (K19: an error of
// the library is never taken for "valid").
namespace {
int g_fail_at = 0;  // 1: the next wrapped call fails, 2: the one after it, ...
int g_result = 0;   // what the failing call returns
int g_inside = 0;   // calls that OpenSSL makes of itself are its own business
bool fails_now() {
  return g_inside == 0 && g_fail_at > 0 && --g_fail_at == 0;
}
template <typename Call>
auto real(Call call) {
  ++g_inside;
  auto result = call();
  --g_inside;
  return result;
}
}  // namespace
extern "C" {
struct evp_md_ctx_st;
struct evp_pkey_ctx_st;
evp_md_ctx_st* __real_EVP_MD_CTX_new();
evp_md_ctx_st* __wrap_EVP_MD_CTX_new() {
  return fails_now() ? nullptr : real([&] { return __real_EVP_MD_CTX_new(); });
}
int __real_EVP_DigestVerifyInit_ex(evp_md_ctx_st*, evp_pkey_ctx_st**, const char*, void*, const char*, evp_pkey_st*,
                                   const void*);
int __wrap_EVP_DigestVerifyInit_ex(evp_md_ctx_st* a, evp_pkey_ctx_st** b, const char* c, void* d, const char* e,
                                   evp_pkey_st* f, const void* g) {
  return fails_now() ? g_result : real([&] { return __real_EVP_DigestVerifyInit_ex(a, b, c, d, e, f, g); });
}
int __real_EVP_PKEY_CTX_set_rsa_padding(evp_pkey_ctx_st*, int);
int __wrap_EVP_PKEY_CTX_set_rsa_padding(evp_pkey_ctx_st* a, int b) {
  return fails_now() ? g_result : real([&] { return __real_EVP_PKEY_CTX_set_rsa_padding(a, b); });
}
int __real_EVP_DigestVerify(evp_md_ctx_st*, const unsigned char*, std::size_t, const unsigned char*, std::size_t);
int __wrap_EVP_DigestVerify(evp_md_ctx_st* a, const unsigned char* b, std::size_t c, const unsigned char* d,
                            std::size_t e) {
  return fails_now() ? g_result : real([&] { return __real_EVP_DigestVerify(a, b, c, d, e); });
}
int __real_EVP_DigestSign(evp_md_ctx_st*, unsigned char*, std::size_t*, const unsigned char*, std::size_t);
int __wrap_EVP_DigestSign(evp_md_ctx_st* a, unsigned char* b, std::size_t* c, const unsigned char* d, std::size_t e) {
  return fails_now() ? g_result : real([&] { return __real_EVP_DigestSign(a, b, c, d, e); });
}
}

namespace qanat::crypto {
namespace {

using Scheme = SignatureScheme;

constexpr std::array kKinds{KeyKind::Rsa,   KeyKind::EcP256,  KeyKind::EcP384,  KeyKind::EcP521, KeyKind::Ed25519,
                            KeyKind::Ed448, KeyKind::MlDsa44, KeyKind::MlDsa65, KeyKind::MlDsa87};
const Bytes kMessage = to_bytes(std::string_view{"signed octets"});

const PrivateKey& key_of(KeyKind kind) {
  static const auto kKeys = [] {
    std::vector<PrivateKey> out;
    for (const KeyKind k : kKinds) out.push_back(PrivateKey::generate(k, 2048).value());
    return out;
  }();
  return kKeys[static_cast<std::size_t>(kind)];
}
Bytes hex(std::string_view text) {
  return from_hex(text).value();
}

TEST(Signature, every_scheme_meets_its_known_answer) {
  EXPECT_EQ(availability().signatures.size(), kSignatureSchemes);
  for (const SignatureKnownAnswer& known : signature_known_answers()) EXPECT_TRUE(signature_available(known.scheme));
}

TEST(Signature, a_failing_scheme_is_not_available) {
  for (SignatureKnownAnswer row : signature_known_answers()) {
    std::string wrong{*row.signature != '\0' ? row.signature : row.signature_hash};
    wrong.back() = wrong.back() == '0' ? '1' : '0';
    (*row.signature != '\0' ? row.signature : row.signature_hash) = wrong.c_str();
    EXPECT_TRUE(evaluate({}, {}, {}, {&row, 1}).signatures.empty()) << to_string(row.scheme);
  }
}

// RFC 6979 and RFC 8032 say which signature a deterministic signer makes.
TEST(Signature, repeatable_signatures_are_the_published_ones) {
  int compared = 0;
  for (const SignatureKnownAnswer& row : signature_known_answers()) {
    const auto key = PrivateKey::from_pkcs8(hex(row.private_key)).value();
    if (row.scheme >= Scheme::RsaPssSha256 && row.scheme <= Scheme::RsaPssSha512) continue;
    const Bytes made = sign(key, row.scheme, hex(row.message), Signing::Repeatable).value();
    if (*row.signature == '\0') continue;
    EXPECT_EQ(to_hex(made), row.signature) << to_string(row.scheme);
    ++compared;
  }
  EXPECT_EQ(compared, 8);
}

TEST(Signature, algorithm_identifiers_are_those_of_the_rfcs) {
  const std::pair<Scheme, const char*> kExpected[] = {
      {Scheme::EcdsaSha256, "300a06082a8648ce3d040302"},
      {Scheme::EcdsaSha384, "300a06082a8648ce3d040303"},
      {Scheme::EcdsaSha512, "300a06082a8648ce3d040304"},
      {Scheme::Ed25519, "300506032b6570"},
      {Scheme::Ed448, "300506032b6571"},
      {Scheme::RsaPkcs1Sha256, "300d06092a864886f70d01010b0500"},
      {Scheme::RsaPkcs1Sha384, "300d06092a864886f70d01010c0500"},
      {Scheme::RsaPkcs1Sha512, "300d06092a864886f70d01010d0500"},
      {Scheme::RsaPssSha256,
       "304606092a864886f70d01010a3039a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d060960864801"
       "65030402010500a203020120a303020101"},
      {Scheme::MlDsa44, "300b0609608648016503040311"},
      {Scheme::MlDsa65, "300b0609608648016503040312"},
      {Scheme::MlDsa87, "300b0609608648016503040313"},
  };
  for (const auto& [scheme, octets] : kExpected) EXPECT_EQ(to_hex(algorithm_identifier(scheme)), octets);
  for (std::size_t i = 0; i < kSignatureSchemes; ++i) {
    const auto scheme = static_cast<Scheme>(i);
    EXPECT_EQ(scheme_of(algorithm_identifier(scheme)), scheme);
    EXPECT_FALSE(oid_text(algorithm_identifier(scheme)).empty());
  }
}

TEST(Signature, other_encodings_of_the_same_algorithm_are_known_and_no_more) {
  // As OpenSSL writes it: DER leaves the default trailer out.
  EXPECT_EQ(
      scheme_of(hex("304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108"
                    "300d06096086480165030402010500a203020120")),
      Scheme::RsaPssSha256);
  EXPECT_EQ(scheme_of(hex("300b06092a864886f70d01010c")), Scheme::RsaPkcs1Sha384);
  for (const char* refused : {
           "", "30", "3000", "300d06092a864886f70d0101050500",                // sha1WithRSAEncryption
           "300d06092a864886f70d01010a3000",                                  // RSA-PSS with its SHA-1 defaults
           "300a06082a8648ce3d040301", "300c06082a8648ce3d0403020500",        // ecdsa-with-SHA224; a NULL too many
           "300d06096086480165030403120500", "300b060960864801650304031200",  // ML-DSA with parameters, with trailing
           "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d060960864"
           "80"
           "165030402010500a203020114",  // a salt of 20
           "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d060960864"
           "80"
           "165030402020500a203020120",  // MGF1 with another hash
       }) {
    EXPECT_EQ(scheme_of(hex(refused)), std::nullopt) << refused;
  }
  EXPECT_EQ(oid_text(hex("300d06092a864886f70d0101050500")), "1.2.840.113549.1.1.5");
  EXPECT_EQ(oid_text(hex("3005")), "");
}

TEST(Signature, every_key_signs_with_each_of_its_schemes_and_no_change_passes) {
  for (const KeyKind kind : kKinds) {
    const PrivateKey& key = key_of(kind);
    for (const Scheme scheme : schemes_of(kind)) {
      SCOPED_TRACE(key.public_key().describe() + ", " + to_string(scheme));
      const Bytes signature = sign(key, scheme, kMessage).value();
      EXPECT_EQ(verify(key.public_key(), scheme, kMessage, signature), Verdict::Valid);
      Bytes other = kMessage;
      other[0] ^= 1;
      EXPECT_NE(verify(key.public_key(), scheme, other, signature), Verdict::Valid);
      EXPECT_NE(verify(key.public_key(), scheme, {}, signature), Verdict::Valid);
      EXPECT_NE(verify(key.public_key(), scheme, kMessage, {}), Verdict::Valid);
      const std::size_t step = std::max<std::size_t>(1, signature.size() / 24);
      for (std::size_t at = 0; at < signature.size(); at += step) {
        Bytes bad = signature;
        bad[at] ^= 0x10;
        EXPECT_NE(verify(key.public_key(), scheme, kMessage, bad), Verdict::Valid) << at;
        EXPECT_NE(verify(key.public_key(), scheme, kMessage, ByteView{signature}.first(at)), Verdict::Valid) << at;
      }
      Bytes longer = signature;
      longer.push_back(0);
      EXPECT_NE(verify(key.public_key(), scheme, kMessage, longer), Verdict::Valid);
      longer.insert(longer.begin(), 0);
      EXPECT_NE(verify(key.public_key(), scheme, kMessage, longer), Verdict::Valid);
      EXPECT_NE(verify(key.public_key(), scheme, kMessage, Bytes(signature.size(), 0)), Verdict::Valid);
      EXPECT_NE(verify(key.public_key(), scheme, kMessage, Bytes(signature.size(), 0xff)), Verdict::Valid);
      // Empty messages are messages.
      const Bytes of_nothing = sign(key, scheme, {}).value();
      EXPECT_EQ(verify(key.public_key(), scheme, {}, of_nothing), Verdict::Valid);
    }
    for (const KeyKind other : kKinds) {
      for (const Scheme scheme : schemes_of(other)) {
        if (fits(scheme, kind)) continue;
        EXPECT_EQ(verify(key_of(kind).public_key(), scheme, kMessage, kMessage), Verdict::Invalid);
      }
    }
  }
}

TEST(Signature, ecdsa_values_out_of_range_are_refused) {
  const PublicKey& key = key_of(KeyKind::EcP256).public_key();
  const Bytes order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
  const Bytes zero(32, 0);
  Bytes one = zero;
  one.back() = 1;
  for (const Bytes& r : {zero, one, order, Bytes(32, 0xff)}) {
    for (const Bytes& s : {zero, one, order, Bytes(32, 0xff)}) {
      Bytes raw = r;
      append(raw, s);
      EXPECT_NE(verify(key, Scheme::EcdsaSha256, kMessage, ecdsa_der_of(KeyKind::EcP256, raw).value()), Verdict::Valid);
    }
  }
}

// Minimal DER only: the same r and s in another encoding is another signature.
TEST(Signature, ecdsa_takes_no_ber) {
  const PrivateKey& key = key_of(KeyKind::EcP256);
  const Bytes good = sign(key, Scheme::EcdsaSha256, kMessage).value();
  Bytes long_form{0x30, 0x81, good[1]};
  append(long_form, ByteView{good}.subspan(2));
  EXPECT_NE(verify(key.public_key(), Scheme::EcdsaSha256, kMessage, long_form), Verdict::Valid);
  Bytes padded{0x30, static_cast<std::uint8_t>(good[1] + 1), 0x02, static_cast<std::uint8_t>(good[3] + 1), 0x00};
  append(padded, ByteView{good}.subspan(4));
  EXPECT_NE(verify(key.public_key(), Scheme::EcdsaSha256, kMessage, padded), Verdict::Valid);
  Bytes high_tag = good;
  high_tag[0] = 0x3f;
  EXPECT_NE(verify(key.public_key(), Scheme::EcdsaSha256, kMessage, high_tag), Verdict::Valid);
}

TEST(Signature, the_raw_form_of_ecdsa_has_a_fixed_size) {
  for (const auto& [kind, size] : {std::pair{KeyKind::EcP256, 64U}, {KeyKind::EcP384, 96U}, {KeyKind::EcP521, 132U}}) {
    for (int i = 0; i < 20; ++i) {  // r and s lose leading zeros now and then
      const Bytes der = sign(key_of(kind), schemes_of(kind)[0], kMessage).value();
      const Bytes raw = ecdsa_raw_of(kind, der).value();
      EXPECT_EQ(raw.size(), size);
      EXPECT_EQ(ecdsa_der_of(kind, raw).value(), der);
    }
    EXPECT_FALSE(ecdsa_der_of(kind, Bytes(size - 1, 1)).has_value());
    EXPECT_FALSE(ecdsa_der_of(kind, Bytes(size + 1, 1)).has_value());
    EXPECT_FALSE(ecdsa_der_of(kind, {}).has_value());
  }
  EXPECT_FALSE(ecdsa_raw_of(KeyKind::EcP256, Bytes{0x30, 0x00}).has_value());
}

TEST(Signature, keys_come_back_from_their_own_encoding) {
  for (const KeyKind kind : kKinds) {
    const PrivateKey& key = key_of(kind);
    EXPECT_EQ(key.kind(), kind);
    const SecretBytes pkcs8 = key.to_pkcs8().value();
    const PrivateKey again = PrivateKey::from_pkcs8(pkcs8.expose()).value();
    const PublicKey spki = PublicKey::from_spki(key.public_key().spki()).value();
    EXPECT_EQ(spki.kind(), kind);
    EXPECT_TRUE(same_key(again.public_key(), spki));
    EXPECT_FALSE(same_key(spki, key_of(kind == KeyKind::Rsa ? KeyKind::Ed25519 : KeyKind::Rsa).public_key()));
    Bytes more = key.public_key().spki();
    more.push_back(0);
    EXPECT_FALSE(PublicKey::from_spki(more).has_value());
    EXPECT_FALSE(PublicKey::from_spki(ByteView{more}.first(more.size() / 2)).has_value());
    Bytes cut = to_bytes(pkcs8.expose());
    cut.push_back(0);
    EXPECT_FALSE(PrivateKey::from_pkcs8(cut).has_value());
  }
  EXPECT_FALSE(PublicKey::from_spki({}).has_value());
  EXPECT_FALSE(PrivateKey::from_pkcs8({}).has_value());
}

TEST(Signature, weak_and_strange_keys_are_refused_with_their_reason) {
  const auto why = [](const char* spki) { return PublicKey::from_spki(hex(spki)).error().detail; };
  EXPECT_NE(PrivateKey::generate(KeyKind::Rsa, 1024).error().detail.find("1024 bits"), std::string::npos);
  // n = 2^2047 + 1, e = 0, 1, 2: a forger needs no private key.
  const std::string n =
      "0282010100"
      "80" +
      std::string(508, '0') + "01";
  for (const char* e : {"00", "01", "02"}) {
    const std::string key = "30820108" + n + "0201" + e;
    const std::string spki = "30820120300d06092a864886f70d01010105000382010d00" + key;
    EXPECT_NE(PublicKey::from_spki(hex(spki)).error().detail.find("exponent"), std::string::npos) << e;
  }
  // X25519 is no signature key; secp256k1 is a curve that nobody asked for.
  EXPECT_NE(why("302a300506032b656e032100"
                "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
                .find("X25519"),
            std::string::npos);
  EXPECT_NE(
      why("3056301006072a8648ce3d020106052b8104000a034200"
          "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448"
          "a68554199c47d08ffb10d4b8")
          .find("secp256k1"),
      std::string::npos);
}

// K19: whichever call of the library fails, and however, the answer is not "valid".
TEST(Signature, an_error_of_the_library_is_never_a_valid_signature) {
  for (const KeyKind kind : {KeyKind::Rsa, KeyKind::EcP256, KeyKind::Ed25519, KeyKind::MlDsa65}) {
    const PrivateKey& key = key_of(kind);
    const Scheme scheme = schemes_of(kind)[0];
    const Bytes signature = sign(key, scheme, kMessage).value();
    for (const int result : {0, -1, -2}) {
      int failures = 0;
      for (int at = 1; at <= 5; ++at) {
        g_fail_at = at;
        g_result = result;
        const Verdict verdict = verify(key.public_key(), scheme, kMessage, signature);
        const bool failed = g_fail_at == 0;
        failures += failed ? 1 : 0;
        EXPECT_EQ(verdict == Verdict::Valid, !failed) << key.public_key().describe() << " call " << at;
        g_fail_at = at;
        const auto made = sign(key, scheme, kMessage);
        EXPECT_EQ(made.has_value(), g_fail_at != 0);
        g_fail_at = 0;
      }
      EXPECT_GE(failures, 3);
    }
  }
}

}  // namespace
}  // namespace qanat::crypto
