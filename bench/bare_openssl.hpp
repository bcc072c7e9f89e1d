// OpenSSL's own operations as a handshake needs them, without anything of ours: what the handshake is measured against.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ike_pair.hpp"

namespace qanat::bench {

enum class Who : std::uint8_t { Initiator, Responder };

struct BareOperation {
  std::string name;
  std::function<void()> run;
};
// Each by itself, and the sums that one handshake cannot do without ("sum/psk/responder").
[[nodiscard]] std::vector<BareOperation> bare_operations();
// One such sum: X25519 and ML-KEM-768, and with certificates a signature made and one verified. A peer's chain that was
// verified before is not verified again.
void bare_sum(Proof proof, Who who);

}  // namespace qanat::bench
