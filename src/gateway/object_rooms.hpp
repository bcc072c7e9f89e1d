// What the object API needs of config/, which it cannot see.
#pragma once

#include "control/object_api.hpp"

namespace qanat::gateway {

[[nodiscard]] control::Rooms object_rooms();

}  // namespace qanat::gateway
