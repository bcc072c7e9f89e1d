// What a path has shown of its MTU (rules.md "The outer packet"; RFC 1191, RFC 8201, RFC 4301 8.2.1): whom to believe,
// and for how long.
#include "wan/plane_state.hpp"

namespace qanat::wan {

namespace {

// Every path carries these (RFC 791, RFC 8200 5): who claims less may not make us send dust.
constexpr std::uint32_t kMinOuterV4 = 576;
constexpr std::uint32_t kMinOuterV6 = 1280;

bool is_about(const OuterTooBig& news, const Outbound& sa) {
  if (sa.path.peer.address != news.peer) return false;
  const IpAddress& ours = sa.path.local.address;
  const bool ours_known = !ours.is_unspecified() && !news.local.is_unspecified();
  if (news.source == OuterTooBig::Source::Interface) return !ours_known || ours == news.local;
  if (news.local.is_unspecified() || (ours_known && ours != news.local)) return false;
  return news.quoted_spi == sa.sa.spi();
}

}  // namespace

void PacketPath::State::too_big(Instant now, const OuterTooBig& news) {
  if (!learnt_mtus.empty()) expire_mtus(now);
  const std::uint32_t claimed = std::max(news.outer_mtu, news.peer.is_v6() ? kMinOuterV6 : kMinOuterV4);
  for (const auto& [id, tunnel] : tunnels) {
    const auto& sas = tunnel->outbound;
    if (claimed > outer_mtu(*tunnel) || claimed >= tunnel->plan.outer_mtu) continue;  // nothing that we did not know
    if (std::none_of(sas.begin(), sas.end(), [&](const auto& sa) { return is_about(news, *sa); })) continue;
    forget_mtu(*tunnel);
    tunnel->learnt_mtu = static_cast<std::uint16_t>(claimed);
    tunnel->learnt_until = now + config.learnt_mtu_time;
    learnt_mtus.emplace(tunnel->learnt_until, id);
    for (const auto& sa : sas) work_out_mtu(*tunnel, *sa);
  }
}

void PacketPath::State::forget_mtu(Tunnel& tunnel) {
  if (!tunnel.learnt_mtu) return;
  learnt_mtus.erase({tunnel.learnt_until, tunnel.plan.tunnel});
  tunnel.learnt_mtu.reset();
  for (const auto& sa : tunnel.outbound) work_out_mtu(tunnel, *sa);
}

void PacketPath::State::expire_mtus(Instant now) {
  while (!learnt_mtus.empty() && learnt_mtus.begin()->first <= now) {
    forget_mtu(*find_tunnel(learnt_mtus.begin()->second));
  }
}

}  // namespace qanat::wan
