#include "control/posture.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include <fmt/format.h>

namespace qanat::control {

namespace {

constexpr std::array<std::string_view, 4> kWeakestFirst = {"classical", "ppk", "inherited", "hybrid"};

std::size_t rank(std::string_view keys) {
  return static_cast<std::size_t>(std::find(kWeakestFirst.begin(), kWeakestFirst.end(), keys) - kWeakestFirst.begin());
}

}  // namespace

std::string date_text(WallTime time) {
  constexpr std::int64_t kYear10000 = 253'402'300'800;
  if (time.seconds < 0 || time.seconds >= kYear10000) return "";
  const std::chrono::sys_seconds at{std::chrono::seconds{time.seconds}};
  const auto day = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{at - day};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count());
}

std::string weakest_keys(const TunnelStatus& tunnel) {
  const auto weakest = std::min_element(
      tunnel.children.begin(), tunnel.children.end(),
      [](const ChildStatus& a, const ChildStatus& b) { return rank(a.verdict.keys) < rank(b.verdict.keys); });
  return weakest == tunnel.children.end() ? "none" : weakest->verdict.keys;
}

std::string_view remedy(std::string_view code) {
  if (code == "no_intermediate") {
    return "the peer's software must know RFC 9242 and RFC 9370 (IKE_INTERMEDIATE and multiple key exchanges): update "
           "it";
  }
  if (code == "no_addke") return "add an ML-KEM key exchange to the peer's proposal: ke1_mlkem768 (number 36)";
  if (code == "private_key_exchanges") {
    return "the peer uses numbers from before the standard: switch it to ML-KEM (35, 36 or 37), which is FIPS 203";
  }
  if (code == "fragments_lost") {
    return "let UDP 500 and 4500 and their fragments pass on the whole path, or lower ike_fragment_size at both ends";
  }
  if (code == "local_policy") return "set pq = \"prefer\" or \"require\" here, and list an ML-KEM that the peer has";
  return "";
}

Posture posture_of(const Snapshot& snapshot) {
  Posture out;
  for (const TunnelStatus& t : snapshot.tunnels) {
    PostureRow row;
    row.tunnel = t.name;
    row.state = t.actual;
    row.policy = t.pq;
    row.keys = weakest_keys(t);
    row.ledger = t.posture;
    for (const ChildStatus& child : t.children) {
      if (child.verdict.keys != row.keys) continue;
      row.code = child.verdict.code;
      row.reason = child.verdict.reason;
      row.seconds_up = std::max(row.seconds_up, child.seconds_up);
    }
    if (t.ike) {
      row.key_exchanges = t.ike->key_exchanges;
      row.authentication = t.ike->authentication;
      row.authentication_verdict = t.ike->authentication_verdict;
      row.downgrade_excluded = t.ike->downgrade_excluded;
      row.fragments_used = std::any_of(t.ike->handshake.begin(), t.ike->handshake.end(), [](const ExchangeStep& s) {
        return s.request_fragments > 1 || s.response_fragments > 1;
      });
      row.seconds_up = t.ike->seconds_up;
    }
    if (t.children.empty()) {
      row.code = t.failure_code;
      row.reason = t.reason;
    } else {
      ++out.up;
      ++(row.keys == "classical" ? out.classical : row.keys == "ppk" ? out.ppk : out.hybrid);
    }
    out.classical_bytes += t.posture.classical_bytes;
    out.safe_bytes += t.posture.safe_bytes;
    out.tunnels.push_back(std::move(row));
  }
  return out;
}

}  // namespace qanat::control
