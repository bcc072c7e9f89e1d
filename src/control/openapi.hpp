// The API as an OpenAPI 3.1 document, from the table of endpoints.hpp.
// openapi_test.cpp asks both for everything that is described here, and for what is not.
#pragma once

#include <string>
#include <string_view>

namespace qanat::control {

// JSON, in one line. `version`: of the daemon.
[[nodiscard]] std::string openapi_document(std::string_view version);

}  // namespace qanat::control
