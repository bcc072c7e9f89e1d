// The key of our crash tokens (RFC 6290 5.1): 32 random octets in a file of the state folder, made at the first start
// and kept, for tokens made before a crash must be made again after it.
#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/secret.hpp"

namespace qanat::daemon {

// DIR/crash.key, mode 0600, made when it is not there. One that others may read, or of another size, is refused: it is
// somebody's mistake, or somebody has looked.
[[nodiscard]] Result<std::shared_ptr<const SecretBytes>> load_crash_secret(const std::string& dir, Rng& rng);

}  // namespace qanat::daemon
