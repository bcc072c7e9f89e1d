// docs/events.md and docs/metrics.md, made from the tables in the code. reference_pages_test.cpp compares the files
// with them; QANAT_UPDATE_DOCS=1 in its environment writes them anew.
#pragma once

#include <string>

namespace qanat::control {

[[nodiscard]] std::string events_page();
[[nodiscard]] std::string metrics_page();

}  // namespace qanat::control
