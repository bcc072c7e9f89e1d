// The one judge of every world: the weather becomes calm, everything that is to be up must come up, and then nothing
// may be left over, missing, or different on the two sides of a tunnel.
#pragma once

#include <string>
#include <vector>

#include "sim/world.hpp"

namespace qanat::sim {

// What is wrong, one line each; empty is sound. Ends the world: every gateway is shut down at last, and must then hold
// nothing.
//  - both SA tables agree: an established IKE SA stands on both sides, with opposite roles, and nothing else stands
//  - SPI sets mirror: what one side installed inbound, the other installed outbound; no SPI stays reserved
//  - traffic flows both ways over every link, each packet once
//  - no marker was ever seen outside
//  - no (key, IV) and no key exchange value was used twice (with the crypto double)
//  - after the shutdown: no IKE SA, no Child SA, no reserved SPI, no timer of either
[[nodiscard]] std::vector<std::string> problems_of(World& world);

// problems_of() as a test failure that names the seed.
void expect_sound(World& world, const std::string& what = {});

[[nodiscard]] bool is_deep();  // QANAT_DEEP=1, in a build without sanitizers: the whole matrices
// `count` of them; only the one in QANAT_SIM_SEED where that is set, so that a failing world is replayed alone.
[[nodiscard]] std::vector<std::uint64_t> seeds(std::uint64_t first, std::size_t count);

}  // namespace qanat::sim
