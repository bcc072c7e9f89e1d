#include "ike/auth_agreement.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace qanat::ike {

using wire::AuthMethod;
using wire::NotifyPayload;
using wire::NotifyType;

namespace {

constexpr std::size_t kSha1Size = 20;
constexpr std::size_t kMaxHashes = 32;
constexpr std::uint8_t kPpkIdFixed = 2;

NotifyPayload notify(NotifyType type, Bytes data = {}) {
  return {wire::ProtocolId::None, {}, type, std::move(data)};
}

template <typename T>
void add_new(std::vector<T>& to, const std::vector<T>& from, std::size_t limit) {
  for (const T& value : from) {
    if (to.size() < limit && std::find(to.begin(), to.end(), value) == to.end()) to.push_back(value);
  }
}

}  // namespace

Bytes write_signature_hashes(const std::vector<std::uint16_t>& hashes) {
  Bytes out(hashes.size() * 2);
  for (std::size_t i = 0; i < hashes.size(); ++i) store_be16(&out[2 * i], hashes[i]);
  return out;
}

std::vector<std::uint16_t> read_signature_hashes(ByteView data) {
  std::vector<std::uint16_t> out;
  for (std::size_t at = 0; at + 2 <= data.size() && out.size() < kMaxHashes; at += 2) {
    out.push_back(load_be16(&data[at]));
  }
  return out;
}

Bytes write_auth_methods(const std::vector<Bytes>& algorithms, bool psk) {
  ByteWriter out;
  for (const Bytes& algorithm : algorithms) {
    if (algorithm.size() > 252) continue;  // its length stands in one octet
    out.u8(static_cast<std::uint8_t>(3 + algorithm.size()));
    out.u8(static_cast<std::uint8_t>(AuthMethod::DigitalSignature));
    out.u8(0);
    out.bytes(algorithm);
  }
  if (psk) {
    out.u8(2);
    out.u8(static_cast<std::uint8_t>(AuthMethod::SharedKeyMic));
  }
  return std::move(out).take();
}

std::vector<Bytes> read_auth_methods(ByteView data) {
  std::vector<Bytes> out;
  while (data.size() >= 2 && out.size() < kMaxAnnounced) {
    const std::size_t length = data[0];
    if (length < 2 || length > data.size()) break;
    if (length > 3 && data[1] == static_cast<std::uint8_t>(AuthMethod::DigitalSignature)) {
      out.push_back(to_bytes(data.subspan(3, length - 3)));
    }
    data = data.subspan(length);
  }
  return out;
}

wire::CertReqPayload write_authorities(const std::vector<Bytes>& authorities) {
  wire::CertReqPayload out{kX509Signature, {}};
  for (const Bytes& hash : authorities) append(out.data, hash);
  return out;
}

Result<std::vector<wire::CertPayload>> certificates_of(const wire::Payloads& payloads) {
  std::vector<wire::CertPayload> out;
  for (const wire::Payload& p : payloads) {
    const auto* cert = std::get_if<wire::CertPayload>(&p);
    if (cert == nullptr) continue;
    if (cert->encoding == kHashAndUrlCertificate || cert->encoding == kHashAndUrlBundle) {
      return fail(ErrorKind::AuthFailed, "CERT", "names a URL instead of a certificate: we fetch nothing for a peer");
    }
    if (cert->encoding != kX509Signature) continue;
    if (out.size() == kMaxCertificates) {
      return fail(ErrorKind::AuthFailed, "CERT",
                  fmt::format("has more than {} certificates: send only what leads to the anchor", kMaxCertificates));
    }
    out.push_back(*cert);
  }
  return out;
}

Bytes write_ppk_identity(const Ppk& ppk) {
  Bytes out{kPpkIdFixed};
  append(out, ppk.id);
  return out;
}

const Ppk* find_ppk(const std::vector<Ppk>& ppks, ByteView identity) {
  if (identity.size() < 2 || identity[0] != kPpkIdFixed) return nullptr;
  const auto found = std::find_if(ppks.begin(), ppks.end(), [&](const Ppk& p) {
    return !p.key.empty() && std::equal(p.id.begin(), p.id.end(), identity.begin() + 1, identity.end());
  });
  return found == ppks.end() ? nullptr : &*found;
}

void AuthAgreement::note_init(const wire::Payloads& payloads) {
  const auto said = [&](NotifyType type) { return wire::find_notify(payloads, type) != nullptr; };
  if (const auto* hashes = wire::find_notify(payloads, NotifyType::SIGNATURE_HASH_ALGORITHMS)) {
    peer_hashes = read_signature_hashes(hashes->data);
  }
  peer_transcript = said(NotifyType::IKE_SA_INIT_FULL_TRANSCRIPT_AUTH);
  peer_ppk = said(NotifyType::USE_PPK);
  peer_childless = said(NotifyType::CHILDLESS_IKEV2_SUPPORTED);
  note_encrypted(payloads);
}

void AuthAgreement::note_encrypted(const wire::Payloads& payloads) {
  if (const auto* methods = wire::find_notify(payloads, NotifyType::SUPPORTED_AUTH_METHODS)) {
    add_new(peer_announced, read_auth_methods(methods->data), kMaxAnnounced);
  }
  for (const wire::Payload& p : payloads) {
    const auto* request = std::get_if<wire::CertReqPayload>(&p);
    if (request == nullptr || request->encoding != kX509Signature) continue;
    for (ByteView rest = request->data; rest.size() >= kSha1Size; rest = rest.subspan(kSha1Size)) {
      add_new(peer_authorities, {to_bytes(rest.first(kSha1Size))}, kMaxAuthorities);
    }
  }
}

wire::Payloads AuthAgreement::init_payloads(const std::vector<TunnelRef>& tunnels, bool initiator) {
  std::vector<std::uint16_t> hashes;
  std::vector<Bytes> announced;
  std::vector<Bytes> authorities;
  bool psk = false;
  ppk_sent = false;
  transcript_sent = false;
  for (const TunnelRef& t : tunnels) {
    add_new(hashes, t->signature_hashes, kMaxHashes);
    if (t->remote_auth == AuthKind::Certificate) {
      add_new(announced, t->announced, kMaxAnnounced);
      add_new(authorities, t->authorities, kMaxOwnAuthorities);
    } else {
      psk = true;
    }
    ppk_sent = ppk_sent || (t->ppk_policy != model::PpkPolicy::Off && !t->ppks.empty());
    transcript_sent = transcript_sent || t->downgrade != model::DowngradePolicy::Off;
  }
  // A responder says what it can of what it was asked; full transcript it says in any case: an initiator that asked for
  // it, and whose asking was removed on the way, finds out by that.
  hashes_sent = !hashes.empty() && (initiator || !peer_hashes.empty());
  ppk_sent = ppk_sent && (initiator || peer_ppk);
  wire::Payloads out;
  if (!initiator && !authorities.empty()) out.emplace_back(write_authorities(authorities));
  if (hashes_sent) {
    out.emplace_back(notify(NotifyType::SIGNATURE_HASH_ALGORITHMS, write_signature_hashes(hashes)));
  }
  if (!initiator && !announced.empty()) {
    out.emplace_back(notify(NotifyType::SUPPORTED_AUTH_METHODS, write_auth_methods(announced, psk)));
  }
  if (ppk_sent) out.emplace_back(notify(NotifyType::USE_PPK));
  if (transcript_sent) out.emplace_back(notify(NotifyType::IKE_SA_INIT_FULL_TRANSCRIPT_AUTH));
  if (!initiator) out.emplace_back(notify(NotifyType::CHILDLESS_IKEV2_SUPPORTED));
  return out;
}

}  // namespace qanat::ike
