#include "ike/negotiation.hpp"

#include <algorithm>

namespace qanat::ike {

void KeRounds::begin(std::optional<KeId> first, std::vector<KeId> additional) {
  order_ = std::move(additional);
  has_first_ = first && *first != KeId::NONE;
  if (has_first_) order_.insert(order_.begin(), *first);
}

void KeRounds::add(SecretBytes secret) {
  ensure(!complete(), "a key exchange that was agreed upon");
  secrets_.push_back(std::move(secret));
  ++done_;
}

bool KeRounds::has_ml_kem() const {
  return std::any_of(order_.begin(), order_.end(), is_ml_kem);
}

SecretBytes KeRounds::seed(ByteView nonce_i, ByteView nonce_r) const {
  Bytes out;
  std::size_t next = 0;
  std::size_t size = nonce_i.size() + nonce_r.size();
  for (const SecretBytes& s : secrets_) size += s.size();
  out.reserve(size);  // so that no copy of a secret is left behind by growing
  if (has_first_ && !secrets_.empty()) append(out, secrets_[next++].expose());
  append(out, nonce_i);
  append(out, nonce_r);
  for (; next < secrets_.size(); ++next) append(out, secrets_[next].expose());
  return SecretBytes::adopt(std::move(out));
}

const Bytes& lower_nonce(const Bytes& a, const Bytes& b) {
  return std::lexicographical_compare(b.begin(), b.end(), a.begin(), a.end()) ? b : a;
}

std::vector<ipsec::EspProposal> esp_with_pfs(const TunnelConfig& tunnel, const ipsec::ChosenIke& ike,
                                             const TunnelMemory& memory) {
  std::vector<ipsec::EspProposal> out = tunnel.esp;
  for (ipsec::EspProposal& p : out) {
    if (!tunnel.pfs || memory.pfs == Pfs::None) {
      p.ke.clear();
      p.addke = {};
      continue;
    }
    if (p.ke.empty()) {
      p.ke = {ike.ke};
      p.addke = {};
      for (std::size_t i = 0; i < ike.addke.size(); ++i) {
        if (ike.addke[i] && *ike.addke[i] != KeId::NONE) p.addke[i] = {*ike.addke[i]};
      }
    }
    if (memory.group) p.ke = {*memory.group};
    std::erase(p.ke, KeId::NONE);
    if (memory.pfs == Pfs::Classical || p.ke.empty()) p.addke = {};
  }
  // One KE payload goes with all proposals (RFC 7296 1.3.1): those that cannot use it are left out.
  if (const auto ke = first_ke(out)) {
    std::erase_if(out,
                  [&](const ipsec::EspProposal& p) { return std::find(p.ke.begin(), p.ke.end(), *ke) == p.ke.end(); });
  }
  return out;
}

std::optional<KeId> first_ke(const std::vector<ipsec::EspProposal>& offer) {
  return offer.empty() || offer.front().ke.empty() ? std::nullopt : std::optional{offer.front().ke.front()};
}

namespace {

void add_once(std::vector<KeId>& into, KeId id) {
  if (id != KeId::NONE && std::find(into.begin(), into.end(), id) == into.end()) into.push_back(id);
}

}  // namespace

ipsec::EspChoiceRules child_choice_rules(const TunnelConfig& tunnel, std::optional<KeId> sent_ke) {
  ipsec::EspChoiceRules out;
  out.create_child = true;
  out.sent_ke = sent_ke;
  for (const ipsec::IkeProposal& p : tunnel.ike) {
    for (const KeId id : p.ke) add_once(out.ke, id);
    for (const auto& round : p.addke) {
      for (const KeId id : round) {
        add_once(out.addke, id);
        add_once(out.ke, id);  // pure ML-KEM may stand alone in CREATE_CHILD_SA
      }
    }
  }
  return out;
}

bool names_ke(const TunnelConfig& tunnel, KeId id) {
  const auto has = [&](const std::vector<KeId>& list) { return std::find(list.begin(), list.end(), id) != list.end(); };
  const ipsec::EspChoiceRules taken = child_choice_rules(tunnel, std::nullopt);
  return has(taken.ke) ||
         std::any_of(tunnel.esp.begin(), tunnel.esp.end(), [&](const ipsec::EspProposal& p) { return has(p.ke); });
}

wire::SaPayload without_spis(wire::SaPayload sa) {
  for (wire::Proposal& p : sa.proposals) p.spi.clear();
  return sa;
}

wire::SaPayload with_ike_spi(wire::SaPayload sa, std::uint64_t spi) {
  for (wire::Proposal& p : sa.proposals) {
    p.spi.resize(8);
    store_be64(p.spi.data(), spi);
  }
  return sa;
}

std::optional<std::uint64_t> ike_spi_of(const wire::SaPayload& sa, std::uint8_t number) {
  for (const wire::Proposal& p : sa.proposals) {
    if (p.number != number || p.spi.size() != 8) continue;
    const std::uint64_t spi = load_be64(p.spi.data());
    return spi == 0 ? std::nullopt : std::optional{spi};
  }
  return std::nullopt;
}

}  // namespace qanat::ike
