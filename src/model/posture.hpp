// PostureRecord: one line of the harvest ledger: what a tunnel has carried under keys that a quantum computer will
// recover from a recording, and what under keys that it will not. Kept over restarts (store/posture_ledger.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/time.hpp"

namespace qanat::model {

struct PostureRecord {
  std::string tunnel;                 // its name
  std::uint64_t classical_bytes = 0;  // inner octets, both directions
  double classical_seconds = 0;       // with at least one live Child SA of classical keys
  std::uint64_t safe_bytes = 0;       // hybrid, inherited or PPK
  double safe_seconds = 0;
  std::optional<WallTime> first_hybrid_at;
  std::optional<WallTime> last_classical_at;  // when such keys were last in use
  friend bool operator==(const PostureRecord&, const PostureRecord&) = default;
};

}  // namespace qanat::model
