// Posture: how safe the keys of every tunnel are, why not where they are not, and what has been carried under keys that
// a quantum computer will recover. Worked out from a snapshot; `qanat posture` and GET /v1/posture show it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "control/snapshot.hpp"

namespace qanat::control {

[[nodiscard]] std::string date_text(WallTime time);  // "2026-07-20T12:00:00Z"; empty before 1970 and after 9999

struct PostureRow {
  std::string tunnel;
  std::string state;                       // TunnelStatus::actual
  std::string policy;                      // pq
  std::string keys;                        // the weakest of its Child SAs; "none" without one
  std::vector<std::string> key_exchanges;  // of its IKE SA
  std::string code;    // why not hybrid: Verdict::code, also of the last failure; empty when nothing is known
  std::string reason;  // the same for people
  std::string authentication;
  std::string authentication_verdict;
  bool downgrade_excluded = false;
  bool fragments_used = false;  // the handshake had messages in fragments
  double seconds_up = 0;
  PostureStatus ledger;
};
struct Posture {
  std::vector<PostureRow> tunnels;
  std::uint64_t up = 0;
  std::uint64_t hybrid = 0;     // of those that are up; inherited ones too
  std::uint64_t ppk = 0;        // likewise
  std::uint64_t classical = 0;  // likewise
  std::uint64_t classical_bytes = 0;
  std::uint64_t safe_bytes = 0;
};

[[nodiscard]] Posture posture_of(const Snapshot& snapshot);
// "classical", "ppk", "inherited", "hybrid"; "none" without a Child SA.
[[nodiscard]] std::string weakest_keys(const TunnelStatus& tunnel);
// What to do about a code of Verdict::code; empty for others.
[[nodiscard]] std::string_view remedy(std::string_view code);

}  // namespace qanat::control
