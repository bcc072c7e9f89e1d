// When keys are renewed, the post-quantum pre-shared key, and what IKE may negotiate beyond the usual.
#include <fmt/format.h>

#include "config/readers.hpp"

namespace qanat::config {

namespace {

using model::DowngradePolicy;
using model::PpkPolicy;
using namespace std::chrono_literals;

constexpr auto kPpkPolicies = std::to_array<std::pair<std::string_view, PpkPolicy>>(
    {{"require", PpkPolicy::Require}, {"prefer", PpkPolicy::Prefer}, {"off", PpkPolicy::Off}});
constexpr auto kDowngradePolicies = std::to_array<std::pair<std::string_view, DowngradePolicy>>(
    {{"require", DowngradePolicy::Require}, {"auto", DowngradePolicy::Auto}, {"off", DowngradePolicy::Off}});

constexpr std::size_t kMinPpk = 32;  // octets: RFC 8784 6 asks for 256 bits of entropy
constexpr std::size_t kMaxPpkId = 128;
constexpr std::int64_t kMinRekeyBytes = 1 << 20;
constexpr std::int64_t kMinRekeyPackets = 1000;
constexpr std::int64_t kMaxCount = std::int64_t{1} << 60;
constexpr const char* kMakePpk = "make one with: qanat genpsk -o /etc/qanat/NAME.ppk, and copy it to the other side";

void read_ppk_file(Section& section, model::Tunnel& tunnel, const FileReader& read_file) {
  const auto path = section.text("ppk_file", "a path in double quotes");
  if (!path) return;
  auto octets = read_file(path->value);
  if (!octets) {
    section.refuse_text("ppk_file", *path, octets.error().detail, kMakePpk);
    return;
  }
  strip_newline(*octets);
  if (octets->empty() || octets->size() > kMaxPskSize) {
    section.refuse_text("ppk_file", *path, fmt::format("must hold a key of 1 to {} octets", kMaxPskSize), kMakePpk);
    return;
  }
  if (octets->size() < kMinPpk) {
    section.problems().warn(
        path->at,
        fmt::format("{}: ppk_file: the key has {} octets; against a quantum computer it needs at least {} random ones",
                    section.title(), octets->size(), kMinPpk),
        kMakePpk);
  }
  tunnel.ppk = model::PresharedKey{std::move(*octets)};
}

}  // namespace

void read_ppk(Section& section, model::Tunnel& tunnel, const FileReader& read_file) {
  const auto policy = section.choice("ppk", kPpkPolicies);
  const auto id = section.text("ppk_id", "text in double quotes");
  if (id && (id->value.empty() || id->value.size() > kMaxPpkId)) {
    section.refuse_text("ppk_id", *id, fmt::format("must have 1 to {} characters", kMaxPpkId));
  } else if (id) {
    tunnel.ppk_id = id->value;
  }
  read_ppk_file(section, tunnel, read_file);
  const bool has_key = section.find("ppk_file") != nullptr;
  tunnel.ppk_policy = policy ? policy->value : has_key ? PpkPolicy::Prefer : PpkPolicy::Off;
  if (tunnel.ppk_policy == PpkPolicy::Off) {
    if (has_key && !policy) return;
    if (has_key)
      section.problems().warn(policy->at, fmt::format("{}: ppk = \"off\": ppk_file is not used", section.title()),
                              "remove ppk, or ppk_file");
    return;
  }
  if (!has_key) {
    section.problems().error(policy->at, fmt::format("{}: ppk: ppk_file is missing", section.title()), kMakePpk);
  }
  if (!section.find("ppk_id")) {
    section.problems().error(section.place("ppk_file"), fmt::format("{}: ppk_id is missing", section.title()),
                             "both sides name the key by the same text: ppk_id = \"berlin-2026\"");
  }
}

void read_renewal(Section& section, model::Tunnel& tunnel) {
  if (const auto time = section.duration("ike_lifetime", 60s, 7 * 24h)) tunnel.ike_lifetime = time->value;
  if (const auto time = section.duration("child_lifetime", 30s, 7 * 24h)) tunnel.child_lifetime = time->value;
  if (const auto time = section.duration("reauth", 0s, 30 * 24h)) {
    tunnel.reauth = time->value;
    if (time->value != 0s && time->value < 60s) {
      section.problems().error(time->at, fmt::format("{}: reauth: must be 0 or at least 60 s", section.title()),
                               "0 never authenticates anew; keys are renewed all the same");
    }
  }
  if (const auto n = section.integer("rekey_bytes", kMinRekeyBytes, kMaxCount, Section::Zero::Also))
    tunnel.rekey_bytes = static_cast<std::uint64_t>(n->value);
  if (const auto n = section.integer("rekey_packets", kMinRekeyPackets, kMaxCount, Section::Zero::Also))
    tunnel.rekey_packets = static_cast<std::uint64_t>(n->value);
  if (const auto time = section.duration("old_keys", 1s, 60s)) tunnel.old_keys = time->value;
  if (const auto flag = section.boolean("pfs")) tunnel.pfs = flag->value;
}

void read_negotiation(Section& section, model::Tunnel& tunnel) {
  if (const auto mode = section.choice("downgrade_prevention", kDowngradePolicies)) tunnel.downgrade = mode->value;
  if (const auto flag = section.boolean("childless")) tunnel.childless = flag->value;
  if (const auto flag = section.boolean("mobike")) tunnel.mobike = flag->value;
  if (const auto flag = section.boolean("child_on_demand")) tunnel.more_children = flag->value;
}

}  // namespace qanat::config
