// The checks over a whole configuration that was put together from a file and from what the API has stored: what
// load() finds when it compares sections with each other.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace qanat::config {

// `lines` as in LoadedConfig: what is not there was made by the API, and its problems have line 0. Errors only: what
// load() warns about was said then.
[[nodiscard]] std::vector<Problem> judge(const model::Config& config, const std::string& file_name,
                                         const std::map<std::string, unsigned>& lines);

}  // namespace qanat::config
