#include "ike/tunnel_index.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "base/rng.hpp"

namespace qanat::ike {
namespace {

const IpAddress kHere = IpAddress::v4(0xc0000201);
const IpAddress kThere = IpAddress::v4(0xc6336402);

wire::Identity name(const std::string& text) {
  return *wire::Identity::parse(text);
}

std::vector<TunnelId> ids(const std::vector<TunnelRef>& tunnels) {
  std::vector<TunnelId> out;
  for (const TunnelRef& t : tunnels) out.push_back(t->id);
  return out;
}

TunnelConfig any_peer(std::uint32_t id) {
  TunnelConfig out;
  out.id = TunnelId{id};
  out.local = kHere;
  out.local_id = name("fqdn:hub.example");
  out.remote_id = name("fqdn:site" + std::to_string(id) + ".example");
  out.ike = ipsec::default_hybrid_proposals();
  return out;
}

TEST(TunnelIndex, TenThousandAlikeAreOneGroupAndAreFoundByTheirNames) {
  TunnelIndex index;
  for (std::uint32_t id = 1; id <= 10'000; ++id) index.set(std::make_shared<TunnelConfig>(any_peer(id)));
  const auto groups = index.by_addresses(kHere, kThere);
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_EQ(groups.front().example->id, TunnelId{1});
  for (const std::uint32_t id : {1U, 5'000U, 10'000U}) {
    const auto idi = name("fqdn:SITE" + std::to_string(id) + ".example");
    EXPECT_EQ(ids(index.by_identities(kHere, kThere, idi, nullptr)), std::vector{TunnelId{id}});
  }
  EXPECT_TRUE(index.by_identities(kHere, kThere, name("fqdn:site0.example"), nullptr).empty());
  index.remove(TunnelId{1});
  EXPECT_EQ(index.by_addresses(kHere, kThere).front().example->id, TunnelId{2});
  for (std::uint32_t id = 2; id <= 10'000; ++id) index.remove(TunnelId{id});
  EXPECT_EQ(index.size(), 0U);
}

// Whatever the answer to IKE_SA_INIT depends upon makes a group of its own, and nothing else does.
TEST(TunnelIndex, ASettingThatIkeSaInitShowsMakesAGroup) {
  const std::vector<void (*)(TunnelConfig&)> showing{
      [](TunnelConfig& t) { t.pq = model::PqPolicy::Require; },
      [](TunnelConfig& t) { t.ike = ipsec::default_classical_proposals(); },
      [](TunnelConfig& t) { std::swap(t.ike[0].encr[0], t.ike[0].encr[1]); },
      [](TunnelConfig& t) { t.ike[0].addke[0].push_back(KeId::NONE); },
      [](TunnelConfig& t) { t.ike.pop_back(); },
      [](TunnelConfig& t) { t.signature_hashes.pop_back(); },
      [](TunnelConfig& t) { t.remote_auth = AuthKind::Certificate; },
      [](TunnelConfig& t) { t.announced.push_back({0x30, 0}); },
      [](TunnelConfig& t) { t.authorities.push_back(Bytes(20, 1)); },
      [](TunnelConfig& t) {
        t.ppk_policy = model::PpkPolicy::Prefer;
        t.ppks.push_back({to_bytes("one"), {}});
      },
      [](TunnelConfig& t) { t.downgrade = model::DowngradePolicy::Off; },
      [](TunnelConfig& t) { t.force_encap = true; },
      [](TunnelConfig& t) { t.fragment_size = 600; },
  };
  for (std::size_t i = 0; i < showing.size(); ++i) {
    TunnelIndex index;
    index.set(std::make_shared<TunnelConfig>(any_peer(1)));
    TunnelConfig other = any_peer(2);
    showing[i](other);
    index.set(std::make_shared<TunnelConfig>(other));
    EXPECT_EQ(index.by_addresses(kHere, kThere).size(), 2U) << "setting " << i;
    const auto groups = index.by_addresses(kHere, kThere);
    EXPECT_EQ(groups[0].terms == groups[1].terms, i >= 5) << "setting " << i;
  }
  TunnelIndex index;
  index.set(std::make_shared<TunnelConfig>(any_peer(1)));
  TunnelConfig other = any_peer(2);
  other.name = "other";
  other.psk = model::PresharedKey{SecretBytes::copy_of(to_bytes("other"))};
  other.ppk_policy = model::PpkPolicy::Prefer;  // without a PPK
  other.esp.clear();
  other.ike_lifetime = Duration{1};
  index.set(std::make_shared<TunnelConfig>(other));
  EXPECT_EQ(index.by_addresses(kHere, kThere).size(), 1U);
}

// Against a plain search among all tunnels, while they come, change and go.
class Plain {
 public:
  std::vector<TunnelRef> tunnels;  // by id

  [[nodiscard]] std::vector<TunnelRef> fitting(const IpAddress& local, const IpAddress& remote) const {
    std::vector<TunnelRef> out;
    for (const std::optional<IpAddress>& peer : {std::optional{remote}, std::optional<IpAddress>{}}) {
      for (const TunnelRef& t : tunnels) {
        if (t->peer == peer && (t->local == local || t->local.is_unspecified())) out.push_back(t);
      }
    }
    return out;
  }
  [[nodiscard]] bool shares(const TunnelConfig& tunnel) const {
    return std::ranges::any_of(tunnels, [&](const TunnelRef& t) {
      return t->id != tunnel.id && t->local_id.matches(tunnel.local_id) && t->remote_id.matches(tunnel.remote_id);
    });
  }
};

TEST(TunnelIndex, FindsWhatASearchAmongAllFinds) {
  SeededRng rng{7};
  const std::vector<IpAddress> locals{IpAddress{}, kHere, *IpAddress::parse("2001:db8::1")};
  const std::vector<std::optional<IpAddress>> peers{std::nullopt, kThere, *IpAddress::parse("2001:db8::2")};
  // The last two match: PrintableString and UTF8String.
  std::vector<wire::Identity> names{name("fqdn:a.example"),
                                    name("fqdn:A.example"),
                                    name("keyid:a.example"),
                                    name("192.0.2.1"),
                                    name("dn:CN=a"),
                                    name("dn:0x300c310a300806035504031301"
                                         "61")};
  ASSERT_TRUE(names[4].matches(names[5]));
  const auto pick = [&](const auto& from) { return from[rng.below(from.size())]; };
  TunnelIndex index;
  Plain plain;
  for (int step = 0; step < 2'000; ++step) {
    auto t = std::make_shared<TunnelConfig>();
    t->id = TunnelId{static_cast<std::uint32_t>(1 + rng.below(12))};
    const auto at = std::ranges::lower_bound(plain.tunnels, t->id, {}, [](const TunnelRef& r) { return r->id; });
    const bool known = at != plain.tunnels.end() && (*at)->id == t->id;
    if (rng.below(3) == 0) {
      index.remove(t->id);
      if (known) plain.tunnels.erase(at);
    } else {
      t->local = pick(locals);
      t->peer = pick(peers);
      t->local_id = pick(names);
      t->remote_id = pick(names);
      t->pq = rng.below(2) == 0 ? model::PqPolicy::Require : model::PqPolicy::Prefer;
      t->force_encap = rng.below(2) == 0;
      index.set(t);
      if (known) {
        *at = t;
      } else {
        plain.tunnels.insert(at, t);
      }
    }
    const IpAddress local = pick(locals);
    const IpAddress remote = pick(peers).value_or(IpAddress::v4(1));
    const wire::Identity idi = pick(names);
    const wire::Identity idr = pick(names);
    std::vector<TunnelId> first;  // of each group
    std::vector<TunnelId> named;
    std::vector<TunnelId> both_named;
    std::vector<TunnelRef> seen;
    for (const TunnelRef& f : plain.fitting(local, remote)) {
      if (std::ranges::none_of(seen, [&](const TunnelRef& s) {
            return s->pq == f->pq && s->force_encap == f->force_encap && s->local == f->local && s->peer == f->peer;
          }))
        first.push_back(f->id);
      seen.push_back(f);
      if (idi.matches(f->remote_id)) named.push_back(f->id);
      if (idi.matches(f->remote_id) && idr.matches(f->local_id)) both_named.push_back(f->id);
    }
    std::vector<TunnelId> groups;
    for (const TunnelIndex::Group& g : index.by_addresses(local, remote)) groups.push_back(g.example->id);
    ASSERT_EQ(groups, first) << step;
    ASSERT_EQ(ids(index.by_identities(local, remote, idi, nullptr)), named) << step;
    ASSERT_EQ(ids(index.by_identities(local, remote, idi, &idr)), both_named) << step;
    for (const TunnelRef& p : plain.tunnels) ASSERT_EQ(index.shares_identities(*p), plain.shares(*p)) << step;
    TunnelConfig changed;  // as an IKE SA may still have it
    changed.id = t->id;
    changed.local_id = idr;
    changed.remote_id = idi;
    ASSERT_EQ(index.shares_identities(changed), plain.shares(changed)) << step;
    ASSERT_EQ(index.knows_peer(remote),
              std::ranges::any_of(plain.tunnels, [&](const TunnelRef& p) { return !p->peer || p->peer == remote; }))
        << step;
  }
  for (std::uint32_t id = 1; id <= 12; ++id) index.remove(TunnelId{id});
  EXPECT_EQ(index.size(), 0U);
}

}  // namespace
}  // namespace qanat::ike
