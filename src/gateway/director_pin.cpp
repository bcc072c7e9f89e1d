// pq = "pin": what the harvest ledger knows of a peer decides whether classical keys are taken from it. IKE is told
// before a tunnel can begin, and as soon as a peer comes up with hybrid keys.
#include <memory>

#include <fmt/format.h>

#include "gateway/director.hpp"

namespace qanat::gateway {

ike::TunnelRef Director::with_pin(ike::TunnelRef tunnel) const {
  const bool known = tunnel->pq == model::PqPolicy::Pin && posture_.was_hybrid(tunnel->name);
  if (known == tunnel->hybrid_known) return tunnel;
  auto out = std::make_shared<ike::TunnelConfig>(*tunnel);
  out->hybrid_known = known;
  return out;
}

void Director::renew_pin(Tunnel& t) {
  ike::TunnelRef now_known = with_pin(t.ike);
  if (now_known == t.ike) return;
  t.ike = std::move(now_known);
  if (t.wanted != Wanted::Down) outputs_.emplace_back(ToIkeShard{UpdateIkeTunnel{t.ike, {}}});
}

control::CommandResult Director::forget_pin(Instant now, Tunnel& t) {
  const std::string& name = t.config.name;
  if (!posture_.forget(name))
    return {false, fmt::format("{} has never come up with hybrid keys: nothing to forget", name)};
  renew_pin(t);
  log(EventLevel::Warning, "pin-forgotten", {{"tunnel", name}});
  std::string said = fmt::format("it is forgotten that the peer of {} has ever had hybrid keys", name);
  if (t.config.pq == model::PqPolicy::Require)
    return {true, said + "; pq = \"require\" goes on refusing classical ones"};
  if (!t.live.empty())
    return {true, said + "; it is up, and when its keys are hybrid they are remembered from the next on"};
  t.failures = 0;
  if (t.wanted == Wanted::Up) begin(now, t);
  return {true, said + "; classical ones are taken from it until they are hybrid again"};
}

}  // namespace qanat::gateway
