#include "gateway/auth_service.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.hpp"
#include "crypto/digest.hpp"

namespace qanat::gateway {

namespace {

using crypto::KeyKind;
using crypto::SignatureScheme;
using wire::AuthMethod;

constexpr std::uint8_t kX509Signature = 4;  // CERT encodings, RFC 7296 3.6
constexpr std::uint8_t kCrl = 7;
constexpr std::uint8_t kHashAndUrl = 12;
constexpr std::uint8_t kHashAndUrlBundle = 13;
constexpr std::size_t kMaxAuthData = 32 * 1024;

std::unexpected<Error> refuse(std::string detail) {
  return fail(ErrorKind::AuthFailed, "authentication", std::move(detail),
              static_cast<std::uint16_t>(wire::NotifyType::AUTHENTICATION_FAILED));
}

// RFC 4754: a method for each curve, with its hash.
struct CurveMethod {
  AuthMethod method;
  KeyKind kind;
  SignatureScheme scheme;
};
constexpr std::array kCurveMethods{
    CurveMethod{AuthMethod::EcdsaSha256P256, KeyKind::EcP256, SignatureScheme::EcdsaSha256},
    CurveMethod{AuthMethod::EcdsaSha384P384, KeyKind::EcP384, SignatureScheme::EcdsaSha384},
    CurveMethod{AuthMethod::EcdsaSha512P521, KeyKind::EcP521, SignatureScheme::EcdsaSha512}};

const CurveMethod* method_of(KeyKind kind) {
  const auto* it =
      std::find_if(kCurveMethods.begin(), kCurveMethods.end(), [&](const auto& m) { return m.kind == kind; });
  return it == kCurveMethods.end() ? nullptr : it;
}

bool listed(const std::vector<std::uint16_t>& hashes, std::uint16_t hash) {
  return std::find(hashes.begin(), hashes.end(), hash) != hashes.end();
}
bool announced(const std::vector<Bytes>& identifiers, SignatureScheme scheme) {
  return identifiers.empty() || std::any_of(identifiers.begin(), identifiers.end(),
                                            [&](const Bytes& i) { return crypto::scheme_of(i) == scheme; });
}

const char* hash_name(std::uint16_t hash) {
  switch (hash) {
    case 1:
      return "SHA-1";
    case 2:
      return "SHA-256";
    case 3:
      return "SHA-384";
    case 4:
      return "SHA-512";
    case 5:
      return "Identity";
    default:
      return "unknown";
  }
}
std::string hash_list(const std::vector<std::uint16_t>& hashes) {
  std::string out;
  for (const std::uint16_t h : hashes) {
    if (out.size() > 100) return out + ", ...";
    out += (out.empty() ? "" : ", ") + std::string{hash_name(h)};
  }
  return out.empty() ? "none" : out;
}

// The best scheme of ours that the peer said it takes.
Result<SignatureScheme> choose(const crypto::PublicKey& key, const ike::SignQuestion& q) {
  bool hash_fits = false;
  for (const SignatureScheme scheme : crypto::schemes_of(key.kind())) {
    if (!listed(q.peer_hashes, crypto::hash_algorithm(scheme)) || !crypto::signature_available(scheme)) continue;
    hash_fits = true;
    if (announced(q.peer_announced, scheme)) return scheme;
  }
  // Such a peer takes signatures over the octets themselves, as ML-DSA's are, and only those.
  const bool wants_ml_dsa = q.peer_hashes == std::vector<std::uint16_t>{5} && !crypto::is_quantum_safe(key.kind()) &&
                            std::all_of(q.peer_announced.begin(), q.peer_announced.end(), [](const Bytes& i) {
                              const auto scheme = crypto::scheme_of(i);
                              return !scheme || *scheme == SignatureScheme::MlDsa44 ||
                                     *scheme == SignatureScheme::MlDsa65 || *scheme == SignatureScheme::MlDsa87;
                            });
  if (wants_ml_dsa)
    return refuse(fmt::format(
        "our key is {}, and the peer takes quantum-safe signatures only, as one with pq_auth = \"require\" does: give "
        "this gateway an ML-DSA certificate (cert_file and key_file; qanat pki issue makes one), or set "
        "pq_auth = \"prefer\" at the peer",
        key.describe()));
  if (hash_fits)
    return refuse(
        fmt::format("our key is {}, and the peer announced other signatures only (SUPPORTED_AUTH_METHODS): "
                    "give this gateway a certificate of a kind that it takes",
                    key.describe()));
  return refuse(fmt::format("our key is {}, and the peer takes signatures with these hashes only: {}; {}",
                            key.describe(), hash_list(q.peer_hashes),
                            crypto::hash_algorithm(crypto::schemes_of(key.kind()).front()) == 5
                                ? "it must support Identity (RFC 8420)"
                                : "enable SHA-256 there"));
}

Result<wire::AuthPayload> sign_digitally(const crypto::PrivateKey& key, const ike::SignQuestion& q,
                                         std::string& described) {
  QANAT_ASSIGN(const SignatureScheme scheme, choose(key.public_key(), q));
  QANAT_ASSIGN(const Bytes signature, crypto::sign(key, scheme, q.octets));
  const ByteView identifier = crypto::algorithm_identifier(scheme);
  ByteWriter out;
  out.u8(static_cast<std::uint8_t>(identifier.size()));
  out.bytes(identifier);
  out.bytes(signature);
  described = key.kind() == KeyKind::Rsa || method_of(key.kind())
                  ? fmt::format("{} ({})", crypto::to_string(scheme), key.public_key().describe())
                  : crypto::to_string(scheme);
  return wire::AuthPayload{AuthMethod::DigitalSignature, std::move(out).take()};
}

Result<wire::AuthPayload> sign_by_curve(const crypto::PrivateKey& key, const ike::SignQuestion& q,
                                        std::string& described) {
  const CurveMethod* method = method_of(key.kind());
  if (method == nullptr)
    return refuse(
        fmt::format("our key is {}, and the peer does not support signatures by RFC 7427 "
                    "(SIGNATURE_HASH_ALGORITHMS): without it ECDSA is left, or a PSK",
                    key.public_key().describe()));
  QANAT_ASSIGN(const Bytes der, crypto::sign(key, method->scheme, q.octets));
  QANAT_ASSIGN(Bytes raw, crypto::ecdsa_raw_of(method->kind, der));
  described = key.public_key().describe();
  return wire::AuthPayload{method->method, std::move(raw)};
}

// The DER of the X.509 certificates among the CERT payloads.
Result<std::vector<Bytes>> certificates_of(const std::vector<wire::CertPayload>& payloads) {
  std::vector<Bytes> out;
  for (const wire::CertPayload& p : payloads) {
    if (p.encoding == kCrl) continue;  // lists come from the configuration alone
    if (p.encoding == kHashAndUrl || p.encoding == kHashAndUrlBundle)
      return refuse(
          "the peer sent the address of a certificate (hash and URL), and nothing is fetched for a peer: have "
          "it send the certificate itself");
    if (p.encoding != kX509Signature)
      return refuse(fmt::format("the peer sent a certificate in the encoding {}: X.509 (4) is served", p.encoding));
    out.push_back(p.data);
  }
  return out;
}

struct Claim {
  SignatureScheme scheme{};
  Bytes signature;
};
// What method 14 carries: length | AlgorithmIdentifier | signature.
Result<Claim> digital_claim(ByteView data) {
  const std::size_t size = data.empty() ? 0 : data[0];
  if (size == 0 || data.size() < 1 + size) return refuse("the peer's signature has no AlgorithmIdentifier");
  const ByteView identifier = data.subspan(1, size);
  const auto scheme = crypto::scheme_of(identifier);
  if (!scheme) {
    const std::string oid = crypto::oid_text(identifier);
    return refuse(fmt::format("the peer signed with the algorithm {}, which is not served here with these parameters",
                              oid.empty() ? "0x" + to_hex(identifier) : oid));
  }
  return Claim{*scheme, to_bytes(data.subspan(1 + size))};
}

Result<Claim> claim_of(const ike::VerifyQuestion& q, const crypto::PublicKey& key) {
  if (q.auth.data.size() > kMaxAuthData) return refuse("the peer's signature is too long to be one");
  if (q.auth.method == AuthMethod::DigitalSignature) {
    if (!q.digital_signature)
      return refuse("the peer signed by RFC 7427 without having announced its hashes (SIGNATURE_HASH_ALGORITHMS)");
    return digital_claim(q.auth.data);
  }
  for (const CurveMethod& m : kCurveMethods) {
    if (m.method != q.auth.method) continue;
    if (q.digital_signature)
      return refuse("the peer signed by the old ECDSA method although both sides announced RFC 7427");
    if (key.kind() != m.kind)
      return refuse(fmt::format("the peer signed for another curve than that of its key, {}", key.describe()));
    auto der = crypto::ecdsa_der_of(m.kind, q.auth.data);
    if (!der) return refuse("the peer's ECDSA signature " + der.error().detail);
    return Claim{m.scheme, *std::move(der)};
  }
  if (q.auth.method == AuthMethod::SharedKeyMic)
    return refuse(
        "the peer authenticates with a PSK, and this tunnel wants a certificate: give it one, or remove "
        "ca_files here");
  if (q.auth.method == AuthMethod::RsaDigitalSignature)
    return refuse("the peer signed with RSA by method 1, which means SHA-1: it must support RFC 7427 (method 14)");
  return refuse(
      fmt::format("the peer authenticates by method {}, which is not served", static_cast<unsigned>(q.auth.method)));
}

struct Judged {
  std::string described;
  bool quantum_safe = false;
  WallTime until;
};
Result<pki::Verified> verified_peer(const pki::TrustStore& trust, pki::Requirements required,
                                    const ike::VerifyQuestion& q, WallTime now, ChainCache& chains) {
  QANAT_ASSIGN(const std::vector<Bytes> certificates, certificates_of(q.certificates));
  const ChainCache::Key key = ChainCache::key_of(trust, certificates, q.peer_id, required);
  if (const pki::Verified* known = chains.find(key, now)) return *known;
  QANAT_ASSIGN(pki::Verified peer, trust.validate(certificates, q.peer_id, now, required));
  chains.keep(key, now, peer);
  return peer;
}

Result<Judged> judge(const pki::TrustStore& trust, pki::Requirements required, const ike::VerifyQuestion& q,
                     WallTime now, ChainCache& chains) {
  QANAT_ASSIGN(pki::Verified peer, verified_peer(trust, required, q, now, chains));
  QANAT_ASSIGN(const Claim claim, claim_of(q, peer.key));
  if (!crypto::fits(claim.scheme, peer.key.kind()))
    return refuse(fmt::format("the peer signed with {}, and the key of its certificate is {}",
                              crypto::to_string(claim.scheme), peer.key.describe()));
  if (!crypto::signature_available(claim.scheme))
    return refuse(fmt::format("{} failed its self-test here and is not used", crypto::to_string(claim.scheme)));
  switch (crypto::verify(peer.key, claim.scheme, q.octets, claim.signature)) {
    case crypto::Verdict::Valid:
      return Judged{std::move(peer.described), peer.quantum_safe, peer.until};
    case crypto::Verdict::Invalid:
    case crypto::Verdict::Error:
      break;
  }
  return refuse(
      fmt::format("the peer's signature does not verify with its certificate ({}): is its key_file that of "
                  "its cert_file?",
                  peer.described));
}

}  // namespace

Result<std::shared_ptr<const AuthCredentials>> AuthCredentials::of(const model::Tunnel& tunnel) {
  const model::Tunnel::Credentials& c = tunnel.credentials;
  if (c.certificates.empty() && c.trust_anchors.empty()) return std::shared_ptr<const AuthCredentials>{};
  auto out = std::make_shared<AuthCredentials>();
  out->tunnel_ = tunnel.name;
  out->quantum_safe_only_ = tunnel.pq_auth == model::PqAuthPolicy::Require;
  const std::string where = "tunnel " + tunnel.name;
  if (!c.certificates.empty()) {
    if (!c.private_key) return fail(ErrorKind::LocalPolicy, where, "has a certificate and no key: set key_file");
    QANAT_ASSIGN(out->key_, crypto::PrivateKey::from_pkcs8(c.private_key->expose()));
    for (const Bytes& der : c.certificates) {
      QANAT_ASSIGN(const pki::Certificate certificate, pki::Certificate::parse(der));
      if (out->chain_.empty()) {
        QANAT_ASSIGN(const crypto::PublicKey own, certificate.public_key());
        if (!crypto::same_key(own, out->key_->public_key()))
          return fail(ErrorKind::LocalPolicy, where, "the key in key_file is not that of the certificate in cert_file");
      } else if (certificate.is_self_issued()) {
        continue;  // the peer has its anchor, or does not believe us anyway
      }
      out->chain_.push_back({kX509Signature, der});
    }
  }
  QANAT_ASSIGN(out->trust_, pki::TrustStore::create(c.trust_anchors, c.crls));
  return std::shared_ptr<const AuthCredentials>{std::move(out)};
}

ike::SignAnswer AuthCredentials::answer(const ike::SignQuestion& q) const {
  if (!key_) return no_credentials(q);
  ike::SignAnswer out{.request = q.request, .status = {}, .auth = {}, .certificates = {}, .described = {}};
  auto made = q.digital_signature ? sign_digitally(*key_, q, out.described) : sign_by_curve(*key_, q, out.described);
  if (made) {
    out.auth = *std::move(made);
    out.certificates = chain_;
  } else {
    out.status = std::unexpected(std::move(made).error());
  }
  return out;
}

ike::VerifyAnswer AuthCredentials::answer(const ike::VerifyQuestion& q, WallTime now, ChainCache& chains) const {
  ike::VerifyAnswer out{.request = q.request, .status = {}, .described = {}, .quantum_safe = false};
  auto judged = judge(trust_, {.quantum_safe = quantum_safe_only_}, q, now, chains);
  if (judged) {
    out.described = std::move(judged->described);
    out.quantum_safe = judged->quantum_safe;
    out.tunnel = q.tunnel;
    out.until = judged->until;
  } else {
    out.status = std::unexpected(std::move(judged).error());
    // Whatever kind of failure it was, the peer is not who it says.
    out.status.error().notify = static_cast<std::uint16_t>(wire::NotifyType::AUTHENTICATION_FAILED);
  }
  return out;
}

ike::SignAnswer no_credentials(const ike::SignQuestion& q) {
  return {.request = q.request,
          .status = refuse("this tunnel has no certificate of its own: set cert_file and key_file"),
          .auth = {},
          .certificates = {},
          .described = {}};
}
ike::VerifyAnswer no_credentials(const ike::VerifyQuestion& q) {
  return {.request = q.request,
          .status = refuse("this tunnel has no trust anchors: name the peer's CA with ca_files"),
          .described = {},
          .quantum_safe = false};
}

void set_authentication(const model::Tunnel& tunnel, ike::TunnelConfig& out) {
  const model::Tunnel::Credentials& c = tunnel.credentials;
  out.local_auth = c.certificates.empty() ? ike::AuthKind::Psk : ike::AuthKind::Certificate;
  out.remote_auth = c.trust_anchors.empty() ? ike::AuthKind::Psk : ike::AuthKind::Certificate;
  const bool quantum_safe_only = tunnel.pq_auth == model::PqAuthPolicy::Require;
  out.announced.clear();
  out.authorities.clear();
  // RFC 8420 3: Identity alone when every algorithm that is taken has it.
  out.signature_hashes = quantum_safe_only ? std::vector<std::uint16_t>{5} : std::vector<std::uint16_t>{5, 2, 3, 4};
  if (out.remote_auth != ike::AuthKind::Certificate) return;
  static constexpr std::array kPreferred{
      KeyKind::MlDsa65, KeyKind::MlDsa87, KeyKind::MlDsa44, KeyKind::Ed25519,
      KeyKind::Ed448,   KeyKind::EcP384,  KeyKind::Rsa,
  };
  for (const KeyKind kind : kPreferred) {
    if (quantum_safe_only && !crypto::is_quantum_safe(kind)) continue;
    for (const SignatureScheme scheme : crypto::schemes_of(kind)) {
      if (crypto::signature_available(scheme)) out.announced.push_back(to_bytes(crypto::algorithm_identifier(scheme)));
    }
  }
  for (const Bytes& der : c.trust_anchors) {
    const auto anchor = pki::Certificate::parse(der);
    if (!anchor) continue;
    const auto hash = crypto::sha1({anchor->spki()});
    out.authorities.emplace_back(hash.begin(), hash.end());
  }
}

}  // namespace qanat::gateway
