#include "base/result.hpp"

#include <cstdio>
#include <cstdlib>

namespace qanat {

void bug(const char* what, std::source_location where) {
  std::fprintf(stderr, "qanat: BUG: %s (%s:%u)\n", what, where.file_name(), where.line());
  std::abort();
}

}  // namespace qanat
