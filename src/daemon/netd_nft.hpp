// Our nftables table `inet qanat`: packets that arrive from outside with a source that belongs behind a tunnel are
// dropped (RFC 4301 5.2), and so are packets that would leave there for a protected prefix. Loaded by `nft -j -f -` as
// a child without a shell, replaced in one transaction.
#pragma once

#include <string>

#include "gateway/host_command.hpp"

namespace qanat::daemon {

// The whole transaction as nft's JSON.
[[nodiscard]] std::string filter_json(const gateway::SetProtection& protection);
[[nodiscard]] std::string purge_json();
// Error{Internal} holds nft's first line of complaint.
[[nodiscard]] Status run_nft(const std::string& json);

}  // namespace qanat::daemon
