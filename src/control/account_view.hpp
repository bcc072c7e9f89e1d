// What a token of one account may see of a snapshot: its own tunnels, routes, rules and events, and nothing that tells
// how many others there are. Nothing else of the answer is anybody's: versions, how long the daemon has been up.
#pragma once

#include <string_view>

#include "control/snapshot.hpp"

namespace qanat::control {

// Events keep their numbers: the shell gives those of the account's own feed, which are numbered by themselves.
[[nodiscard]] Snapshot account_view(const Snapshot& snapshot, std::string_view account);

}  // namespace qanat::control
