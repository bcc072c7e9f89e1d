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

// QANAT_SIM_SEED, or `otherwise`: a failing seed is replayed alone.
[[nodiscard]] bool is_deep();  // QANAT_DEEP=1: the whole matrices
[[nodiscard]] std::vector<std::uint64_t> seeds(std::uint64_t first, std::size_t count);

}  // namespace qanat::sim
