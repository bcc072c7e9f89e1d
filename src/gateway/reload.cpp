// A configuration takes the place of another: rules.md "What a reload does to live SAs".
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "gateway/director.hpp"
#include "gateway/translate.hpp"

namespace qanat::gateway {

namespace {

using config::Change;
using config::Effect;

bool names(const Change& change, std::string_view key) {
  return std::find(change.keys.begin(), change.keys.end(), key) != change.keys.end();
}

// What the changes of a tunnel mean for its SAs, by its name.
std::map<std::string_view, ike::TunnelChange> treatments(const std::vector<Change>& changes) {
  std::map<std::string_view, ike::TunnelChange> out;
  for (const Change& change : changes) {
    if (change.kind != Change::Kind::Tunnel) continue;
    ike::TunnelChange& how = out[change.name];
    how.rekey = how.rekey || change.effect == Effect::ChildRekey;
    how.renew = how.renew || change.effect == Effect::NewIkeSa;
    if (change.effect != Effect::Enforced) continue;
    how.enforce = true;
    how.distrust = how.distrust || names(change, "ca_files") || names(change, "crl_files");
    how.safe_auth = how.safe_auth || names(change, "pq_auth");
  }
  return out;
}

}  // namespace

Result<std::vector<Change>> Director::reload(Instant now, const model::Config& config) {
  if (stopping_) return fail(ErrorKind::LocalPolicy, "reload", "qanatd is stopping");
  if (config.vrfs != config_.vrfs) {
    return fail(ErrorKind::LocalPolicy, "reload",
                "VRFs were added, changed or removed, and that needs a restart: systemctl restart qanatd");
  }
  std::vector<Change> changes = config::diff(config_, config);
  const model::Config next = config::without_restart(config_, config);

  // All that can fail comes first.
  std::vector<TunnelState> made;  // new, and changed
  std::vector<std::pair<VrfId, std::string_view>> made_names;
  std::uint32_t id = next_id_;
  const auto goes_on = [&](const model::Tunnel& t) {
    Tunnel* known = find(t.name);
    return known != nullptr && known->config.vrf == t.vrf ? known : nullptr;
  };
  for (const model::Tunnel& t : next.tunnels) {
    const Tunnel* known = goes_on(t);
    if (known != nullptr && known->config == t) continue;
    QANAT_ASSIGN(TunnelState state, make_tunnel(next.gateway, t, known != nullptr ? known->id : TunnelId{id++}));
    made.push_back(std::move(state));
    made_names.emplace_back(t.vrf, t.name);
  }

  const auto find_in = [&](VrfId vrf, std::string_view name) -> std::optional<TunnelId> {
    const auto found = std::ranges::find(made_names, std::pair{vrf, name});
    if (found != made_names.end()) return made[static_cast<std::size_t>(found - made_names.begin())].id;
    const Tunnel* known = find(std::string{name});
    return known != nullptr && known->config.vrf == vrf ? std::optional{known->id} : std::nullopt;
  };
  QANAT_ASSIGN(Steering steering, make_steering(next, find_in));

  const bool barrier_changes = !(protection(config_) == protection(next));
  const bool nat_changes = !(source_nat(config_) == source_nat(next));
  // The tunnels of `old` stay where they are, and `before`, which follows, refers to them until the end of this.
  const model::Config old = std::exchange(config_, next);
  next_id_ = id;
  std::map<std::string_view, std::size_t> kept;  // where it stood
  for (const model::Tunnel& t : config_.tunnels) {
    if (const Tunnel* known = goes_on(t)) kept.emplace(t.name, static_cast<std::size_t>(known - tunnels_.data()));
  }
  for (Tunnel& t : tunnels_) {
    if (const auto found = kept.find(t.config.name); found == kept.end()) withdraw(now, t);
  }
  if (barrier_changes) ask_for_protection();
  if (nat_changes) ask_for_nat();

  const auto how = treatments(changes);
  std::vector<Tunnel> before = std::exchange(tunnels_, {});
  tunnels_.reserve(config_.tunnels.size());
  by_id_.clear();
  by_name_.clear();
  std::size_t fresh = 0;
  for (const model::Tunnel& t : config_.tunnels) {
    const auto found = kept.find(t.name);
    const bool has_new = fresh < made.size() && made_names[fresh].second == t.name;
    TunnelState& state = found == kept.end() ? made[fresh] : before[found->second];
    by_id_[state.id] = by_name_[t.name] = tunnels_.size();
    Tunnel& here = tunnels_.emplace_back(t, std::move(state));
    if (found == kept.end()) {
      here.barred = barrier_changes;
      introduce(here);
      if (here.wanted == Wanted::Up) begin(now, here);
    } else {
      const model::Tunnel& was = before[found->second].config;
      const auto treatment = how.find(t.name);
      if (has_new) {
        change(now, here, was, std::move(made[fresh]),
               treatment == how.end() ? ike::TunnelChange{} : treatment->second);
      }
      const ipsec::TunnelPlan plan = tunnel_plan(old.gateway, was, here.id);
      if (ipsec::TunnelPlan now_plan = tunnel_plan(config_.gateway, t, here.id); !(now_plan == plan))
        outputs_.emplace_back(ipsec::Command{ipsec::SetTunnel{std::move(now_plan)}});
    }
    if (has_new) ++fresh;
  }
  steer(std::move(steering));
  log(EventLevel::Info, "reloaded",
      {{"changes", fmt::format("{}", changes.size())}, {"tunnels", fmt::format("{}", tunnels_.size())}});
  return changes;
}

// Delete, then its routes, its barrier and its filter go.
void Director::withdraw(Instant now, Tunnel& t) {
  t.wanted = Wanted::Down;
  t.retry_at.reset();
  beginnings_.forget(t.id);
  begin_next(now);
  answer_waiting(t, false, "the tunnel was removed from the configuration");
  outputs_.emplace_back(ToIkeShard{RemoveIkeTunnel{t.id}});
  outputs_.emplace_back(ipsec::Command{ipsec::RemoveTunnel{t.id}});
  outputs_.emplace_back(CredentialsOut{t.id, nullptr});
  log(EventLevel::Info, "tunnel-removed", {{"tunnel", t.config.name}}, account_of(t.config.vrf));
}

void Director::change(Instant now, Tunnel& t, const model::Tunnel& was, TunnelState made,
                      const ike::TunnelChange& change) {
  // What an operator has asked for holds until the file says something else.
  const bool other_wish = made.wanted != wanted_by(was);
  t.ike = std::move(made.ike);
  t.credentials = std::move(made.credentials);
  t.certificates_end = made.certificates_end;
  outputs_.emplace_back(CredentialsOut{t.id, t.credentials});
  if (t.wanted == Wanted::Down) return;  // IKE does not know it until `qanat up`
  if (other_wish) t.wanted = made.wanted;
  outputs_.emplace_back(ToIkeShard{UpdateIkeTunnel{t.ike, change}});
  const bool anew = change.renew || change.enforce;
  if (anew) {
    t.failures = 0;
    beginnings_.forget(t.id);  // an attempt that was under way was begun on terms of the past
  }
  if (anew || t.wanted != Wanted::Up) t.retry_at.reset();
  note_times(t);
  begin_next(now);
  if (t.wanted == Wanted::Up && (change.renew || t.live.empty())) begin(now, t);
}

}  // namespace qanat::gateway
