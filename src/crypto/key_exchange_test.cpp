#include "crypto/key_exchange.hpp"

#include <set>

#include <gtest/gtest.h>

#include "crypto/availability.hpp"
#include "crypto/rng.hpp"
#include "crypto/unchecked.hpp"

namespace qanat::crypto {
namespace {

Bytes hex(std::string_view text) {
  return from_hex(text).value();
}

constexpr KeId kAll[] = {KeId::CURVE25519, KeId::ECP_256,   KeId::ECP_384,    KeId::ECP_521,    KeId::MODP_2048,
                         KeId::MODP_3072,  KeId::MODP_4096, KeId::ML_KEM_512, KeId::ML_KEM_768, KeId::ML_KEM_1024};

template <typename T>
void expect_bad_value(const Result<T>& result) {
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().kind, ErrorKind::PeerMisbehaved);
  EXPECT_EQ(result.error().notify, 7) << "INVALID_SYNTAX";
}

// As a responder and as an initiator.
void expect_refused(KeId id, ByteView value) {
  SystemRng rng;
  expect_bad_value(respond(id, value, rng));
  expect_bad_value(KeyExchange::create(id, rng).value()->finish(value));
}

class KeyExchangeEach : public testing::TestWithParam<KeId> {};
INSTANTIATE_TEST_SUITE_P(Methods, KeyExchangeEach, testing::ValuesIn(kAll),
                         [](const auto& tested) { return to_string(tested.param); });

struct Transcript {
  Bytes initiator;
  Bytes responder;
  SecretBytes initiator_secret;
  SecretBytes responder_secret;
};

Transcript exchange(KeId id, Rng& rng) {
  auto initiator = KeyExchange::create(id, rng).value();
  auto reply = respond(id, initiator->public_value(), rng).value();
  auto secret = initiator->finish(reply.public_value).value();
  return {.initiator = to_bytes(initiator->public_value()),
          .responder = std::move(reply.public_value),
          .initiator_secret = std::move(secret),
          .responder_secret = std::move(reply.secret)};
}

TEST_P(KeyExchangeEach, is_available) {
  EXPECT_TRUE(ke_available(GetParam()));
}

TEST_P(KeyExchangeEach, both_roles_agree_and_sizes_are_as_announced) {
  SystemRng system;
  SeededRng seeded{7};
  const KeSizes sizes = ke_sizes(GetParam());
  for (Rng* rng : {static_cast<Rng*>(&system), static_cast<Rng*>(&seeded)}) {
    const Transcript t = exchange(GetParam(), *rng);
    EXPECT_EQ(t.initiator.size(), sizes.initiator);
    EXPECT_EQ(t.responder.size(), sizes.responder);
    EXPECT_EQ(t.initiator_secret.size(), sizes.secret);
    EXPECT_EQ(t.initiator_secret, t.responder_secret);
  }
}

TEST_P(KeyExchangeEach, a_seed_replays_exactly_and_another_seed_does_not) {
  SeededRng first{42};
  SeededRng again{42};
  SeededRng other{43};
  const Transcript a = exchange(GetParam(), first);
  const Transcript b = exchange(GetParam(), again);
  const Transcript c = exchange(GetParam(), other);
  EXPECT_EQ(a.initiator, b.initiator);
  EXPECT_EQ(a.responder, b.responder);
  EXPECT_EQ(a.initiator_secret, b.initiator_secret);
  EXPECT_NE(a.initiator, c.initiator);
  EXPECT_NE(a.responder, c.responder);
}

TEST_P(KeyExchangeEach, every_exchange_is_fresh) {
  SystemRng rng;
  const Transcript a = exchange(GetParam(), rng);
  const Transcript b = exchange(GetParam(), rng);
  EXPECT_NE(a.initiator, b.initiator);
  EXPECT_NE(a.responder, b.responder);
  EXPECT_FALSE(a.initiator_secret == b.initiator_secret);
}

TEST_P(KeyExchangeEach, finishes_once) {
  SystemRng rng;
  auto initiator = KeyExchange::create(GetParam(), rng).value();
  const auto reply = respond(GetParam(), initiator->public_value(), rng).value();
  ASSERT_TRUE(initiator->finish(reply.public_value).has_value());
  const auto again = initiator->finish(reply.public_value);
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().kind, ErrorKind::Internal);
}

TEST_P(KeyExchangeEach, a_bad_value_leaves_the_exchange_for_the_true_answer) {
  SystemRng rng;
  auto initiator = KeyExchange::create(GetParam(), rng).value();
  const KeReply reply = respond(GetParam(), initiator->public_value(), rng).value();
  EXPECT_FALSE(initiator->finish({}).has_value());
  const auto secret = initiator->finish(reply.public_value);
  ASSERT_TRUE(secret.has_value());
  EXPECT_TRUE(*secret == reply.secret);
  EXPECT_EQ(initiator->finish(reply.public_value).error().kind, ErrorKind::Internal);
}

TEST_P(KeyExchangeEach, refuses_wrong_lengths_by_role) {
  SystemRng rng;
  const KeSizes sizes = ke_sizes(GetParam());
  const Transcript good = exchange(GetParam(), rng);
  const auto variants = [](const Bytes& value) {
    Bytes longer = value;
    longer.push_back(0);
    Bytes padded{0};
    append(padded, value);
    return std::vector<Bytes>{{}, {value.begin(), value.end() - 1}, {value.begin() + 1, value.end()}, longer, padded};
  };
  for (const Bytes& bad : variants(good.initiator)) expect_bad_value(respond(GetParam(), bad, rng));
  for (const Bytes& bad : variants(good.responder))
    expect_bad_value(KeyExchange::create(GetParam(), rng).value()->finish(bad));
  if (sizes.initiator != sizes.responder) {
    expect_bad_value(respond(GetParam(), good.responder, rng));
    expect_bad_value(KeyExchange::create(GetParam(), rng).value()->finish(good.initiator));
  }
}

TEST(KeyExchange, does_not_pretend_to_have_what_it_has_not) {
  SystemRng rng;
  for (const KeId id : {KeId::NONE, KeId::MODP_1024, KeId::MODP_1536, KeId::CURVE448, KeId{1081}, KeId{65535}}) {
    EXPECT_FALSE(ke_available(id));
    EXPECT_EQ(ke_sizes(id).initiator, 0U);
    EXPECT_EQ(ke_sizes(id).secret, 0U);
    EXPECT_FALSE(KeyExchange::create(id, rng).has_value());
    EXPECT_FALSE(respond(id, Bytes(32), rng).has_value());
  }
}

TEST(KeyExchange, has_the_sizes_of_the_standards) {
  const auto expect = [](KeId id, std::size_t initiator, std::size_t responder, std::size_t secret) {
    const KeSizes sizes = ke_sizes(id);
    EXPECT_EQ(sizes.initiator, initiator);
    EXPECT_EQ(sizes.responder, responder);
    EXPECT_EQ(sizes.secret, secret);
  };
  expect(KeId::CURVE25519, 32, 32, 32);
  expect(KeId::ECP_256, 64, 64, 32);
  expect(KeId::ECP_384, 96, 96, 48);
  expect(KeId::ECP_521, 132, 132, 66);
  expect(KeId::MODP_2048, 256, 256, 256);
  expect(KeId::MODP_3072, 384, 384, 384);
  expect(KeId::MODP_4096, 512, 512, 512);
  expect(KeId::ML_KEM_512, 800, 768, 32);
  expect(KeId::ML_KEM_768, 1184, 1088, 32);
  expect(KeId::ML_KEM_1024, 1568, 1568, 32);
}

// RFC 7748 5.2: X25519 of a given scalar and a given u coordinate.
TEST(X25519, meets_rfc_7748) {
  struct Vector {
    const char* scalar;
    const char* u;
    const char* result;
  };
  for (const Vector& v : {Vector{.scalar = "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                                 .u = "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                                 .result = "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
                          Vector{.scalar = "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                                 .u = "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
                                 .result = "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
                          // 6.1, Alice and Bob
                          Vector{.scalar = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
                                 .u = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
                                 .result = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"}}) {
    const Bytes scalar = hex(v.scalar);
    FixedRng rng{scalar};
    EXPECT_EQ(to_hex(KeyExchange::create(KeId::CURVE25519, rng).value()->finish(hex(v.u)).value().expose()), v.result);
  }
}

// The points of small order and their unreduced spellings; the top bit is ignored (RFC 7748 5).
TEST(X25519, refuses_points_of_low_order) {
  for (const char* u : {"0000000000000000000000000000000000000000000000000000000000000000",
                        "0100000000000000000000000000000000000000000000000000000000000000",
                        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    Bytes value = hex(u);
    expect_refused(KeId::CURVE25519, value);
    value.back() |= 0x80;
    expect_refused(KeId::CURVE25519, value);
  }
}

struct EcpVector {
  KeId id;
  const char* private_i;
  const char* public_i;
  const char* private_r;
  const char* public_r;
  const char* secret;
};

// RFC 5903 8.1 to 8.3.
const EcpVector kEcp[] = {
    {.id = KeId::ECP_256,
     .private_i = "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
     .public_i = "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c37725811805271a0461cdb8252d61f1c456fa3e59ab1f4"
                 "5b33accf5f58389e0577b8990bb3",
     .private_r = "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
     .public_r = "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf6356fbf3ca366cc23e8157854c13c58d6aac23"
                 "f046ada30f8353e74f33039872ab",
     .secret = "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"},
    {.id = KeId::ECP_384,
     .private_i = "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655e35b538041e649ee3faef896783ab194",
     .public_i = "667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6de3ac808acb4bdb4c88732aee95f41aa9482"
                 "ed1fc0eeb9cafc4984625ccfc23f65032149e0e144ada024181535a0f38eeb9fcff3c2c947dae69b4c634573a81c",
     .private_r = "41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942e0308312916b8ed2960e4bd55a7448fc",
     .public_r = "e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d0d1ac43a0336def96fda41d0774a3571dcfb"
                 "ec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1fff83fa40142209dff5eaad96db9e6386c",
     .secret = "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4d603135569b9e9d09cf5d4a270f59746"},
    {.id = KeId::ECP_521,
     .private_i = "0037ade9319a89f4dabdb3ef411aaccca5123c61acab57b5393dce47608172a095aa85a30fe1c2952c6771d937ba9777f595"
                  "7b2639bab072462f68c27a57382d4a52",
     .public_i = "0015417e84dbf28c0ad3c278713349dc7df153c897a1891bd98bab4357c9ecbee1e3bf42e00b8e380aeae57c2d1075649418"
                 "85942af5a7f4601723c4195d176ced3e017cae20b6641d2eeb695786d8c946146239d099e18e1d5a514c739d7cb4a10ad8a7"
                 "88015ac405d7799dc75e7b7d5b6cf2261a6a7f1507438bf01beb6ca3926f9582",
     .private_r = "0145ba99a847af43793fdd0e872e7cdfa16be30fdc780f97bccc3f078380201e9c677d600b343757a3bdbf2a3163e4c2f869"
                  "cca7458aa4a4effc311f5cb151685eb9",
     .public_r = "00d0b3975ac4b799f5bea16d5e13e9af971d5e9b984c9f39728b5e5739735a219b97c356436adc6e95bb0352f6be64a6c291"
                 "2d4ef2d0433ced2b6171640012d9460f015c68226383956e3bd066e797b623c27ce0eac2f551a10c2c724d9852077b87220b"
                 "6536c5c408a1d2aebb8e86d678ae49cb57091f4732296579ab44fcd17f0fc56a",
     .secret = "01144c7d79ae6956bc8edb8e7c787c4521cb086fa64407f97894e5e6b2d79b04d1427e73ca4baa240a34786859810c06b3c7"
               "15a3a8cc3151f2bee417996d19f3ddea"},
};

// The private key minus one in eight octets more than the key has is what the deterministic path takes.
Bytes as_randomness(const char* private_key) {
  Bytes out(8);
  append(out, hex(private_key));
  ensure(out.back() != 0, "no borrow in these vectors");
  --out.back();
  return out;
}

TEST(Ecp, meets_rfc_5903) {
  for (const EcpVector& v : kEcp) {
    SCOPED_TRACE(to_string(v.id));
    const Bytes random_i = as_randomness(v.private_i);
    const Bytes random_r = as_randomness(v.private_r);
    FixedRng rng_i{random_i};
    FixedRng rng_r{random_r};
    auto initiator = KeyExchange::create(v.id, rng_i).value();
    EXPECT_EQ(to_hex(initiator->public_value()), v.public_i);
    const auto reply = respond(v.id, initiator->public_value(), rng_r).value();
    EXPECT_EQ(to_hex(reply.public_value), v.public_r);
    EXPECT_EQ(to_hex(reply.secret.expose()), v.secret);
    EXPECT_EQ(to_hex(initiator->finish(reply.public_value).value().expose()), v.secret);
  }
}

TEST(Ecp, refuses_what_is_no_point_of_the_curve) {
  for (const EcpVector& v : kEcp) {
    SCOPED_TRACE(to_string(v.id));
    const Bytes good = hex(v.public_i);
    const std::size_t half = good.size() / 2;
    Bytes off_curve = good;
    off_curve.back() ^= 1;
    expect_refused(v.id, off_curve);
    off_curve = good;
    off_curve[half - 1] ^= 1;
    expect_refused(v.id, off_curve);
    expect_refused(v.id, Bytes(good.size()));        // (0, 0)
    expect_refused(v.id, Bytes(good.size(), 0xff));  // coordinates above p
    Bytes compressed = Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(half));
    compressed.insert(compressed.begin(), 2);
    expect_refused(v.id, compressed);
    Bytes with_prefix = good;
    with_prefix.insert(with_prefix.begin(), 4);
    expect_refused(v.id, with_prefix);
  }
}

// The same x with y + p: a second spelling of a good point.
TEST(Ecp, refuses_unreduced_coordinates) {
  const Bytes p = hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
  // A point of P-256 whose x is so small that x + p still has 32 octets: x = 5.
  Bytes value(31);
  value.push_back(5);
  append(value, hex("459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc"));
  SystemRng rng;
  ASSERT_TRUE(respond(KeId::ECP_256, value, rng).has_value()) << "x = 5 is on the curve";
  std::copy(p.begin(), p.end(), value.begin());
  ensure(value[31] == 0xff, "p ends in ff");
  value[31] = 0x04;  // p + 5, with its carry
  for (std::size_t i = 30; i > 0; --i) {
    if (++value[i] != 0) break;
  }
  expect_refused(KeId::ECP_256, value);
}

class ModpEach : public testing::TestWithParam<KeId> {};
INSTANTIATE_TEST_SUITE_P(Groups, ModpEach, testing::Values(KeId::MODP_2048, KeId::MODP_3072, KeId::MODP_4096),
                         [](const auto& tested) { return to_string(tested.param); });

// RFC 3526: the primes begin and end with 64 ones. The middle comes from OpenSSL, tested by the known answers.
Bytes modp_prime(KeId id) {
  const BigNumber p{id == KeId::MODP_2048   ? BN_get_rfc3526_prime_2048(nullptr)
                    : id == KeId::MODP_3072 ? BN_get_rfc3526_prime_3072(nullptr)
                                            : BN_get_rfc3526_prime_4096(nullptr)};
  Bytes out(ke_sizes(id).initiator);
  ensure(BN_bn2binpad(p.get(), out.data(), static_cast<int>(out.size())) > 0, "prime");
  return out;
}

TEST_P(ModpEach, refuses_0_1_p_minus_1_and_everything_from_p_on) {
  const Bytes p = modp_prime(GetParam());
  Bytes value(p.size());
  expect_refused(GetParam(), value);
  value.back() = 1;
  expect_refused(GetParam(), value);
  value = p;
  expect_refused(GetParam(), value);
  value.back() = static_cast<std::uint8_t>(value.back() - 1);  // p ends in ff
  expect_refused(GetParam(), value);
  expect_refused(GetParam(), Bytes(p.size(), 0xff));
}

TEST_P(ModpEach, takes_2_and_p_minus_2_and_pads_the_secret) {
  SystemRng rng;
  Bytes value(ke_sizes(GetParam()).initiator);
  value.back() = 2;
  const auto reply = respond(GetParam(), value, rng).value();
  EXPECT_EQ(to_hex(reply.secret.expose()), to_hex(reply.public_value)) << "2^x is the responder's own public value";
  value = modp_prime(GetParam());
  value.back() = static_cast<std::uint8_t>(value.back() - 2);
  EXPECT_TRUE(respond(GetParam(), value, rng).has_value());
}

TEST_P(ModpEach, a_short_public_value_and_secret_are_left_padded) {
  const Bytes exponent = [] {
    Bytes out(48);
    out.back() = 3;
    return out;
  }();
  FixedRng rng{exponent};
  auto ours = KeyExchange::create(GetParam(), rng).value();
  Bytes expected(ke_sizes(GetParam()).initiator);
  expected.back() = 8;
  EXPECT_EQ(to_hex(ours->public_value()), to_hex(expected));
  Bytes peer(expected.size());
  peer.back() = 2;
  EXPECT_EQ(to_hex(ours->finish(peer).value().expose()), to_hex(expected));
}

}  // namespace
}  // namespace qanat::crypto
