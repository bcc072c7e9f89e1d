// X25519 (RFC 8031), ECP groups (RFC 5903) and MODP groups (RFC 3526): the same steps over three kinds of key.
#include <algorithm>
#include <array>

#include <openssl/core_names.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/params.h>

#include "crypto/ke_internal.hpp"
#include "crypto/openssl.hpp"
#include "crypto/pkey_context.hpp"

namespace qanat::crypto {

namespace {

enum class DhKind : std::uint8_t { X25519, Ecp, Modp };

struct DhMethod {
  KeId id;
  DhKind kind;
  const char* group;   // OpenSSL's name, empty for X25519, which is a key type of its own
  int curve;           // NID of an ECP group
  std::size_t value;   // octets of the public value on the wire
  std::size_t secret;  // octets of the shared secret: X25519 and MODP: as the value; ECP: the x coordinate (RFC 5903 7)
};
constexpr std::array kMethods{
    DhMethod{
        .id = KeId::CURVE25519, .kind = DhKind::X25519, .group = "", .curve = NID_undef, .value = 32, .secret = 32},
    DhMethod{.id = KeId::ECP_256,
             .kind = DhKind::Ecp,
             .group = "P-256",
             .curve = NID_X9_62_prime256v1,
             .value = 64,
             .secret = 32},
    DhMethod{
        .id = KeId::ECP_384, .kind = DhKind::Ecp, .group = "P-384", .curve = NID_secp384r1, .value = 96, .secret = 48},
    DhMethod{
        .id = KeId::ECP_521, .kind = DhKind::Ecp, .group = "P-521", .curve = NID_secp521r1, .value = 132, .secret = 66},
    DhMethod{.id = KeId::MODP_2048,
             .kind = DhKind::Modp,
             .group = "modp_2048",
             .curve = NID_undef,
             .value = 256,
             .secret = 256},
    DhMethod{.id = KeId::MODP_3072,
             .kind = DhKind::Modp,
             .group = "modp_3072",
             .curve = NID_undef,
             .value = 384,
             .secret = 384},
    DhMethod{.id = KeId::MODP_4096,
             .kind = DhKind::Modp,
             .group = "modp_4096",
             .curve = NID_undef,
             .value = 512,
             .secret = 512},
};

const DhMethod* find_method(KeId id) {
  const auto* found = std::find_if(kMethods.begin(), kMethods.end(), [id](const DhMethod& m) { return m.id == id; });
  return found == kMethods.end() ? nullptr : found;
}

const char* key_type(const DhMethod& method) {
  switch (method.kind) {
    case DhKind::X25519:
      return "X25519";
    case DhKind::Ecp:
      return "EC";
    case DhKind::Modp:
      return "DH";
  }
  return "";
}

// SEC 1's prefix of an uncompressed point, which IKE leaves out.
constexpr std::uint8_t kUncompressed = 4;
Bytes with_prefix(const DhMethod& method, ByteView value) {
  Bytes out;
  out.reserve(value.size() + 1);
  if (method.kind == DhKind::Ecp) out.push_back(kUncompressed);
  append(out, value);
  return out;
}

EvpPkey generate_parameters(const DhMethod& method) {
  if (method.kind == DhKind::X25519) return nullptr;
  const EvpPkeyCtx context{EVP_PKEY_CTX_new_from_name(nullptr, key_type(method), nullptr)};
  const std::array<OSSL_PARAM, 2> params{
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, const_cast<char*>(method.group), 0),
      OSSL_PARAM_construct_end()};
  EVP_PKEY* parameters = nullptr;
  if (context == nullptr || !ok(EVP_PKEY_paramgen_init(context.get())) ||
      !ok(EVP_PKEY_CTX_set_params(context.get(), params.data())) ||
      !ok(EVP_PKEY_paramgen(context.get(), &parameters))) {
    clear_openssl_errors();
    return nullptr;
  }
  return EvpPkey{parameters};
}

// A key without key material, made once for every group: the mould of ours and of the peer's keys.
EVP_PKEY* group_parameters(const DhMethod& method) {
  static const std::array<EvpPkey, kMethods.size()> kParameters = [] {
    std::array<EvpPkey, kMethods.size()> all;
    for (std::size_t i = 0; i < all.size(); ++i) all.at(i) = generate_parameters(kMethods.at(i));
    return all;
  }();
  return kParameters.at(static_cast<std::size_t>(&method - kMethods.data())).get();
}

Result<EvpPkey> generate(const DhMethod& method) {
  if (method.kind == DhKind::X25519) {
    EvpPkey fresh = generate_key(key_type(method));
    if (fresh == nullptr) return openssl_failure(to_string(method.id));
    return fresh;
  }
  EVP_PKEY* parameters = group_parameters(method);
  const EvpPkeyCtx context{parameters == nullptr ? nullptr : EVP_PKEY_CTX_new_from_pkey(nullptr, parameters, nullptr)};
  EVP_PKEY* key = nullptr;
  if (context == nullptr || !ok(EVP_PKEY_keygen_init(context.get())) || !ok(EVP_PKEY_generate(context.get(), &key))) {
    return openssl_failure(to_string(method.id));
  }
  return EvpPkey{key};
}

// The peer's value as a key. OpenSSL's decoders check that an ECP point is on its curve (all of whose points have
// prime order) and that a MODP value is in [2, p-2], which is what RFC 6989 2.1 and 2.3 ask for.
Result<EvpPkey> import_public(const DhMethod& method, ByteView value) {
  QANAT_TRY(check_length(method.id, value, method.value));
  if (method.kind == DhKind::X25519) {
    EvpPkey key = import_public_key(key_type(method), value);
    if (key == nullptr) return openssl_failure(to_string(method.id));
    return key;
  }
  EvpPkey key{EVP_PKEY_new()};
  EVP_PKEY* parameters = group_parameters(method);
  if (key == nullptr || parameters == nullptr || !ok(EVP_PKEY_copy_parameters(key.get(), parameters))) {
    return openssl_failure(to_string(method.id));
  }
  const Bytes encoded = with_prefix(method, value);
  if (!ok(EVP_PKEY_set1_encoded_public_key(key.get(), encoded.data(), encoded.size()))) {
    clear_openssl_errors();
    return bad_peer_value(method.id, method.kind == DhKind::Ecp ? "the public value is no point of the curve"
                                                                : "the public value is not in [2, p-2]");
  }
  return key;
}

Result<SecretBytes> derive(const DhMethod& method, EVP_PKEY* ours, EVP_PKEY* peer) {
  constexpr int kChecked = 0;  // import_public has checked the peer's key
  const EvpPkeyCtx context{EVP_PKEY_CTX_new_from_pkey(nullptr, ours, nullptr)};
  if (context == nullptr || !ok(EVP_PKEY_derive_init(context.get()))) return openssl_failure(to_string(method.id));
  if (method.kind == DhKind::Modp) {
    unsigned pad = 1;  // RFC 7296 2.14: padded to the length of the modulus
    const std::array<OSSL_PARAM, 2> params{OSSL_PARAM_construct_uint(OSSL_EXCHANGE_PARAM_PAD, &pad),
                                           OSSL_PARAM_construct_end()};
    if (!ok(EVP_PKEY_CTX_set_params(context.get(), params.data()))) return openssl_failure(to_string(method.id));
  }
  if (!ok(EVP_PKEY_derive_set_peer_ex(context.get(), peer, kChecked))) return openssl_failure(to_string(method.id));
  SecretBytes secret{method.secret};
  std::size_t size = secret.size();
  const bool derived =
      ok(EVP_PKEY_derive(context.get(), secret.expose_mutable().data(), &size)) && size == secret.size();
  // OpenSSL refuses X25519's all-zero result itself; RFC 7748 6.1 and RFC 8031 4 are worth a second look.
  const SecretBytes zero{method.secret};
  if (method.kind == DhKind::X25519 && (!derived || secret == zero)) {
    clear_openssl_errors();
    return bad_peer_value(method.id, "the public value is a point of low order");
  }
  if (!derived) return openssl_failure(to_string(method.id));
  return secret;
}

Result<EvpPkey> from_data(const DhMethod& method, const BIGNUM* private_key, ByteView encoded_public) {
  using ParamBuild = std::unique_ptr<OSSL_PARAM_BLD, FreeWith<OSSL_PARAM_BLD_free>>;
  using Params = std::unique_ptr<OSSL_PARAM, FreeWith<OSSL_PARAM_free>>;
  const ParamBuild build{OSSL_PARAM_BLD_new()};
  const bool built =
      build != nullptr &&
      ok(OSSL_PARAM_BLD_push_utf8_string(build.get(), OSSL_PKEY_PARAM_GROUP_NAME, method.group, 0)) &&
      ok(OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_PRIV_KEY, private_key)) &&
      (encoded_public.empty() || ok(OSSL_PARAM_BLD_push_octet_string(build.get(), OSSL_PKEY_PARAM_PUB_KEY,
                                                                     encoded_public.data(), encoded_public.size())));
  const Params params{built ? OSSL_PARAM_BLD_to_param(build.get()) : nullptr};
  const EvpPkeyCtx context{EVP_PKEY_CTX_new_from_name(nullptr, key_type(method), nullptr)};
  EVP_PKEY* key = nullptr;
  if (params == nullptr || context == nullptr || !ok(EVP_PKEY_fromdata_init(context.get())) ||
      !ok(EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, params.get()))) {
    return openssl_failure(to_string(method.id));
  }
  return EvpPkey{key};
}

struct KeyPair {
  EvpPkey key;
  Bytes public_value;
};

// A private key from a deterministic Rng, for runs that must replay: never on a production path.
Result<KeyPair> x25519_from(const DhMethod& method, ByteView scalar) {
  KeyPair pair{
      .key = EvpPkey{EVP_PKEY_new_raw_private_key_ex(nullptr, "X25519", nullptr, scalar.data(), scalar.size())},
      .public_value = Bytes(method.value)};
  std::size_t size = pair.public_value.size();
  if (pair.key == nullptr || !ok(EVP_PKEY_get_raw_public_key(pair.key.get(), pair.public_value.data(), &size))) {
    return openssl_failure(to_string(method.id));
  }
  return pair;
}

// FIPS 186-5 A.2.1: 64 bits more than the order has, reduced to [1, n-1].
Result<KeyPair> ecp_from(const DhMethod& method, ByteView random) {
  const EcGroup group{EC_GROUP_new_by_curve_name(method.curve)};
  const BigNumberCtx context{BN_CTX_secure_new()};
  const BigNumber scalar{BN_bin2bn(random.data(), static_cast<int>(random.size()), nullptr)};
  const BigNumber bound{BN_new()};
  if (group == nullptr || context == nullptr || scalar == nullptr || bound == nullptr)
    return openssl_failure(to_string(method.id));
  const EcPoint point{EC_POINT_new(group.get())};
  Bytes encoded(method.value + 1);
  const bool done = point != nullptr && BN_copy(bound.get(), EC_GROUP_get0_order(group.get())) != nullptr &&
                    ok(BN_sub_word(bound.get(), 1)) &&
                    ok(BN_nnmod(scalar.get(), scalar.get(), bound.get(), context.get())) &&
                    ok(BN_add_word(scalar.get(), 1)) &&
                    ok(EC_POINT_mul(group.get(), point.get(), scalar.get(), nullptr, nullptr, context.get())) &&
                    EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED, encoded.data(),
                                       encoded.size(), context.get()) == encoded.size();
  if (!done) return openssl_failure(to_string(method.id));
  QANAT_ASSIGN(EvpPkey key, from_data(method, scalar.get(), encoded));
  encoded.erase(encoded.begin());
  return KeyPair{.key = std::move(key), .public_value = std::move(encoded)};
}

Result<KeyPair> modp_from(const DhMethod& method, ByteView random) {
  const BigNumber exponent{BN_bin2bn(random.data(), static_cast<int>(random.size()), nullptr)};
  if (exponent == nullptr) return openssl_failure(to_string(method.id));
  QANAT_ASSIGN(EvpPkey key, from_data(method, exponent.get(), {}));
  // Our public value is what we would share with a peer whose value is the generator, 2.
  Bytes generator(method.value);
  generator.back() = 2;
  QANAT_ASSIGN(const EvpPkey peer, import_public(method, generator));
  QANAT_ASSIGN(const SecretBytes value, derive(method, key.get(), peer.get()));
  return KeyPair{.key = std::move(key), .public_value = to_bytes(value.expose())};
}

Result<KeyPair> deterministic_pair(const DhMethod& method, Rng& rng) {
  constexpr std::size_t kModpExponent = 48;  // 384 bits: twice the strength of the largest group (RFC 3526 8)
  const std::size_t size = method.kind == DhKind::X25519 ? 32
                           : method.kind == DhKind::Ecp  ? method.secret + 8
                                                         : kModpExponent;
  SecretBytes random{size};
  rng.fill(random.expose_mutable());
  switch (method.kind) {
    case DhKind::X25519:
      return x25519_from(method, random.expose());
    case DhKind::Ecp:
      return ecp_from(method, random.expose());
    case DhKind::Modp:
      break;
  }
  return modp_from(method, random.expose());
}

Result<KeyPair> fresh_pair(const DhMethod& method) {
  QANAT_ASSIGN(EvpPkey key, generate(method));
  const std::size_t prefix = method.kind == DhKind::Ecp ? 1 : 0;
  Bytes encoded(method.value + prefix);
  std::size_t size = 0;
  if (!ok(EVP_PKEY_get_octet_string_param(key.get(), OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, encoded.data(), encoded.size(),
                                          &size)) ||
      size != encoded.size() || (prefix == 1 && encoded.front() != kUncompressed)) {
    return openssl_failure(to_string(method.id));
  }
  encoded.erase(encoded.begin(), encoded.begin() + static_cast<std::ptrdiff_t>(prefix));
  return KeyPair{.key = std::move(key), .public_value = std::move(encoded)};
}

class DhExchange final : public KeyExchange {
 public:
  DhExchange(const DhMethod& method, KeyPair pair)
      : KeyExchange(method.id, std::move(pair.public_value)), method_(method), key_(std::move(pair.key)) {}

  Result<SecretBytes> finish(ByteView responder_value) override {
    if (key_ == nullptr) return fail(ErrorKind::Internal, "key exchange " + to_string(id()), "was finished before");
    QANAT_ASSIGN(const EvpPkey peer, import_public(method_, responder_value));
    Result<SecretBytes> secret = derive(method_, key_.get(), peer.get());
    if (secret) key_.reset();
    return secret;
  }

 private:
  const DhMethod& method_;
  EvpPkey key_;  // OpenSSL wipes it when it goes
};

}  // namespace

KeSizes dh_sizes(KeId id) {
  const DhMethod* method = find_method(id);
  if (method == nullptr) return {};
  return {.initiator = method->value, .responder = method->value, .secret = method->secret};
}

Result<std::unique_ptr<KeyExchange>> create_dh(KeId id, Rng& rng) {
  const DhMethod* method = find_method(id);
  ensure(method != nullptr, "a Diffie-Hellman group of ours");
  QANAT_ASSIGN(KeyPair pair, rng.deterministic() ? deterministic_pair(*method, rng) : fresh_pair(*method));
  return std::make_unique<DhExchange>(*method, std::move(pair));
}

}  // namespace qanat::crypto
