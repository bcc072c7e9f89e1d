#include "ike/crash_token.hpp"

#include "crypto/prf.hpp"
#include "ike/ike_sa.hpp"

namespace qanat::ike {

using wire::NotifyPayload;
using wire::NotifyType;

namespace {

constexpr std::size_t kTokenSize = 16;
constexpr std::size_t kMinToken = 16;  // RFC 6290 5
constexpr std::size_t kMaxToken = 128;
constexpr int kMaxShown = 4;  // 4.5: generations of the peer's key

bool is_token(const wire::Payload& payload) {
  const auto* notify = std::get_if<NotifyPayload>(&payload);
  return notify != nullptr && notify->type == NotifyType::QUICK_CRASH_DETECTION && notify->data.size() >= kMinToken &&
         notify->data.size() <= kMaxToken;
}

}  // namespace

NotifyPayload crash_token(const SecretBytes& secret, std::uint64_t spi_i, std::uint64_t spi_r) {
  ByteWriter spis;
  spis.u64(spi_i);
  spis.u64(spi_r);
  const SecretBytes token = crypto::prf(PrfId::PRF_HMAC_SHA2_256, secret.expose(), {spis.view()});
  return {wire::ProtocolId::None, {}, NotifyType::QUICK_CRASH_DETECTION, to_bytes(token.expose().first(kTokenSize))};
}

const NotifyPayload* find_crash_token(const wire::Payloads& payloads) {
  for (const wire::Payload& p : payloads) {
    if (is_token(p)) return &std::get<NotifyPayload>(p);
  }
  return nullptr;
}

bool shows_crash_token(const wire::Payloads& payloads, ByteView token) {
  if (token.empty()) return false;
  int seen = 0;
  for (const wire::Payload& p : payloads) {
    if (!is_token(p) || ++seen > kMaxShown) continue;
    if (constant_time_equal(std::get<NotifyPayload>(p).data, token)) return true;
  }
  return false;
}

std::optional<NotifyPayload> IkeSa::our_crash_token() const {
  if (!env_.config.crash_secret) return std::nullopt;
  return crash_token(*env_.config.crash_secret, context_.spi_i, context_.spi_r);
}

// In any protected message (4.4), but for those whose token is of the IKE SA that they make.
void IkeSa::note_crash_token(wire::ExchangeType exchange, const wire::Payloads& payloads) {
  if (exchange == wire::ExchangeType::CREATE_CHILD_SA || exchange == wire::ExchangeType::IKE_FOLLOWUP_KE) return;
  if (const NotifyPayload* token = find_crash_token(payloads)) peer_token_ = token->data;
}

bool IkeSa::is_proof_of_crash(const wire::Payloads& payloads) const {
  return is_established() && shows_crash_token(payloads, peer_token_);
}

// It is discarded without a word (4.5); whoever wants the tunnel begins anew.
void IkeSa::discard_after_crash() {
  const std::string who = peer_text();
  abandon(who + " has lost the IKE SA: it was restarted, and says so by its crash token (RFC 6290)");
  report(Report::What::PeerRestarted, who + " was restarted");
}

}  // namespace qanat::ike
