// What both sides say of themselves in IKE_SA_INIT, and how safe the keys are that come of it.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "crypto/digest.hpp"
#include "ike/ike_sa.hpp"

namespace qanat::ike {

using wire::NotifyPayload;
using wire::NotifyType;

namespace {

// NAT_DETECTION_*: SHA-1 of SPIs, address and port, in the header's order (RFC 7296 2.23).
Bytes nat_hash(std::uint64_t spi_i, std::uint64_t spi_r, const Endpoint& e) {
  std::array<std::uint8_t, 16> spis{};
  store_be64(spis.data(), spi_i);
  store_be64(spis.data() + 8, spi_r);
  std::array<std::uint8_t, 2> port{};
  store_be16(port.data(), e.port);
  const auto digest = crypto::sha1({spis, e.address.bytes(), port});
  return {digest.begin(), digest.end()};
}

NotifyPayload notify(NotifyType type, Bytes data = {}) {
  return {wire::ProtocolId::None, {}, type, std::move(data)};
}

}  // namespace

wire::Payloads IkeSa::nat_notifies(const Path& path, std::uint64_t spi_i, std::uint64_t spi_r, bool force_encap) const {
  wire::Payloads out;
  Endpoint source = path.local;
  if (force_encap || !env_.config.native_esp) source.port = 0;  // a hash that cannot match makes the peer encapsulate
  out.emplace_back(notify(NotifyType::NAT_DETECTION_SOURCE_IP, nat_hash(spi_i, spi_r, source)));
  out.emplace_back(notify(NotifyType::NAT_DETECTION_DESTINATION_IP, nat_hash(spi_i, spi_r, path.remote)));
  return out;
}

wire::Payloads IkeSa::feature_notifies(const Path& path, std::uint64_t spi_i, std::uint64_t spi_r,
                                       Features features) const {
  wire::Payloads out = nat_notifies(path, spi_i, spi_r, features.force_encap);
  if (features.fragmentation) out.emplace_back(notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED));
  if (features.intermediate) out.emplace_back(notify(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED));
  return out;
}

void IkeSa::note_peer_features(const wire::Payloads& payloads, const wire::IkeHeader& header, const Path& arrived) {
  peer_fragments_ = wire::find_notify(payloads, NotifyType::IKEV2_FRAGMENTATION_SUPPORTED) != nullptr;
  peer_intermediate_ = wire::find_notify(payloads, NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED) != nullptr;
  mobike_.nat_traversal = wire::find_notify(payloads, NotifyType::NAT_DETECTION_DESTINATION_IP) != nullptr;
  detect_nat(payloads, header, arrived);
}

void IkeSa::detect_nat(const wire::Payloads& payloads, const wire::IkeHeader& header, const Path& arrived) {
  // A peer may send several source hashes, one for each of its addresses: any match means no NAT before it.
  bool any_source = false;
  bool source_matches = false;
  const Bytes source = nat_hash(header.spi_i, header.spi_r, arrived.remote);
  for (const wire::Payload& p : payloads) {
    const auto* n = std::get_if<NotifyPayload>(&p);
    if (n == nullptr) continue;
    if (n->type == NotifyType::NAT_DETECTION_SOURCE_IP) {
      any_source = true;
      source_matches = source_matches || n->data == source;
    }
    if (n->type == NotifyType::NAT_DETECTION_DESTINATION_IP) {
      nat_local_ = n->data != nat_hash(header.spi_i, header.spi_r, arrived.local);
    }
  }
  nat_remote_ = any_source && !source_matches;
}

std::string ml_kem_reason(const std::vector<KeId>& key_exchanges, bool ppk) {
  std::vector<std::string> names;
  for (const KeId id : key_exchanges) {
    if (is_ml_kem(id)) names.push_back(to_string(id));
  }
  if (ppk) names.emplace_back("a PPK");
  return fmt::format("{} went into the keys", fmt::join(names, " and "));
}

std::string pin_text(const TunnelConfig& tunnel) {
  return fmt::format(
      "pq = \"pin\" refuses that, for it has come up hybrid before (or the ledger that knows it could not be read); if "
      "the peer may be classical from now on: qanat posture forget {}, or set pq = \"prefer\" in tunnel {}",
      tunnel.name, tunnel.name);
}

bool IkeSa::breaks_pin(const TunnelConfig& tunnel) const {
  return tunnel.pq == model::PqPolicy::Pin && tunnel.hybrid_only() &&
         std::none_of(key_exchanges_.begin(), key_exchanges_.end(), is_ml_kem);
}

bool IkeSa::keeps_ml_kem(const SafetyVerdict& before) const {
  return tunnel_->hybrid_only() || (tunnel_->pq == model::PqPolicy::Pin && before.hybrid);
}

bool IkeSa::loses_ml_kem(const ipsec::ChosenEsp& chosen, const ChildSa* old) const {
  const std::vector<KeId> rounds = chosen.key_exchanges();
  return !verdict_.hybrid && std::none_of(rounds.begin(), rounds.end(), is_ml_kem) &&
         keeps_ml_kem(old != nullptr ? old->info.verdict : verdict_);
}

void IkeSa::set_verdict() {
  verdict_.hybrid = std::any_of(key_exchanges_.begin(), key_exchanges_.end(), is_ml_kem);
  verdict_.ppk = agreed_.ppk_used;
  if (!verdict_.hybrid) {
    verdict_.reason = verdict_.ppk ? "a PPK went into the keys (RFC 8784)" : making().classical_reason;
    verdict_.code = verdict_.ppk ? std::string_view{} : making().classical_code;
    return;
  }
  verdict_.reason = ml_kem_reason(key_exchanges_, verdict_.ppk);
}

}  // namespace qanat::ike
