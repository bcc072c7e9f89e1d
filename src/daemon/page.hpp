// The files of web/, in the program: cmake/EmbedFiles.cmake writes the source.
#pragma once

#include "control/static_files.hpp"

namespace qanat::daemon {

[[nodiscard]] std::span<const control::StaticFile> page_files();  // empty when the checkout has no page

}  // namespace qanat::daemon
