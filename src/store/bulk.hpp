// Bulk changes: any number of operations, all or none, over a store whose transactions hold a hundred.
//
// The key "generation" counts the changes. Up to 98 operations go in one transaction with its comparison. More are
// staged first, below "staged/", where nobody looks; then one comparison of the generation makes them the truth, and
// they are moved to their places. Whoever finds an unfinished one finishes it: recover(), before the first reading.
#pragma once

#include <span>

#include "store/object_store.hpp"

namespace qanat::store {

inline constexpr std::string_view kGenerationKey = "generation";
inline constexpr std::string_view kStagedPrefix = "staged/";

// The generation's entry, what commit() compares with; 0: nothing was ever written.
[[nodiscard]] Result<std::uint64_t> generation(ObjectStore& store);

// The new generation's revision; nullopt: somebody else was faster, and nothing was changed. Each key at most once,
// none below "staged/".
[[nodiscard]] Result<std::optional<std::uint64_t>> commit(ObjectStore& store, std::uint64_t generation,
                                                          std::span<const Operation> operations);

// Moves what was acknowledged and not yet moved; clears what was staged and never acknowledged.
[[nodiscard]] Status recover(ObjectStore& store);

}  // namespace qanat::store
