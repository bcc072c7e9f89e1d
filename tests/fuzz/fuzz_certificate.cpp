// Any bytes as what a peer presents: the first octet says how the rest is read, as one certificate, as a chain of
// length-prefixed ones, as a revocation list, as PEM, as a key or as an AlgorithmIdentifier. Nothing but the anchor's
// own children is ever believed, and the seeds hold none of their private keys.
#include <algorithm>
#include <cstdint>

#include "crypto/signature.hpp"
#include "pki/pem.hpp"
#include "pki/trust.hpp"

namespace {

using namespace qanat;

void look_at(ByteView der) {
  const auto certificate = pki::Certificate::parse(der);
  if (!certificate) return;
  ensure(equal(certificate->der(), der), "a certificate is what it was parsed from");
  for (const wire::Identity& id : certificate->identities()) {
    static_cast<void>(id.to_string());
    ensure(certificate->matches(id), "a certificate is for the names that it holds");
  }
  static_cast<void>(certificate->subject() + certificate->issuer() + certificate->signed_with() +
                    certificate->serial());
  static_cast<void>(certificate->is_ca());
  static_cast<void>(certificate->public_key());
  // Trusted as it stands: everything but the signature of somebody else is checked.
  const auto store = pki::TrustStore::create(std::vector<Bytes>{to_bytes(der)}, {});
  if (!store) return;
  for (const wire::Identity& id : certificate->identities())
    static_cast<void>(store->validate(std::vector<Bytes>{to_bytes(der)}, id, certificate->not_before()));
}

void validate_chain(ByteView data) {
  std::vector<Bytes> chain;
  ByteReader in{data};
  while (chain.size() < 12) {
    const auto size = in.u16("size");
    if (!size) break;
    const auto der = in.take(std::min<std::size_t>(*size, in.remaining()), "certificate");
    chain.push_back(to_bytes(*der));
  }
  if (chain.size() < 2) return;
  // The last one is the anchor.
  const auto store = pki::TrustStore::create(std::vector<Bytes>{chain.back()}, {});
  chain.pop_back();
  if (!store) return;
  const auto leaf = pki::Certificate::parse(chain.front());
  const wire::Identity id = leaf && !leaf->identities().empty() ? leaf->identities().front() : wire::Identity{};
  const auto verdict = store->validate(chain, id, {1'800'000'000});
  ensure(verdict || verdict.error().kind == ErrorKind::Internal || !verdict.error().detail.empty(),
         "a refusal says why");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView rest{data + 1, size - 1};
  switch (data[0] % 6) {
    case 0:
      look_at(rest);
      break;
    case 1:
      validate_chain(rest);
      break;
    case 2:
      if (const auto crl = pki::Crl::parse(rest)) {
        static_cast<void>(crl->issuer());
        static_cast<void>(crl->next_update());
        static_cast<void>(crl->revoked());
      }
      break;
    case 3:
      static_cast<void>(pki::read_certificates(rest));
      static_cast<void>(pki::read_crls(rest));
      static_cast<void>(pki::read_private_key(rest));
      break;
    case 4:
      static_cast<void>(crypto::PublicKey::from_spki(rest));
      static_cast<void>(crypto::PrivateKey::from_pkcs8(rest));
      break;
    default:
      static_cast<void>(crypto::oid_text(rest));
      if (const auto scheme = crypto::scheme_of(rest)) static_cast<void>(crypto::to_string(*scheme));
      break;
  }
  return 0;
}
