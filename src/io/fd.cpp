#include "io/fd.hpp"

#include <system_error>

namespace qanat::io {

std::string errno_text(int error) {
  return std::generic_category().message(error);
}

Error system_error(std::string where, std::string what, int error) {
  return Error{ErrorKind::Internal, 0, std::move(where), std::move(what) + ": " + errno_text(error)};
}

}  // namespace qanat::io
