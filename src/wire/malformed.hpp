// How this room refuses octets: always Error{Malformed, INVALID_SYNTAX}, naming the payload that the reader should look
// at.
#pragma once

#include <string>
#include <utility>

#include "base/result.hpp"
#include "wire/numbers.hpp"

namespace qanat::wire {

[[nodiscard]] inline std::unexpected<Error> malformed(std::string where, std::string detail) {
  return fail(ErrorKind::Malformed, std::move(where), std::move(detail),
              static_cast<std::uint16_t>(NotifyType::INVALID_SYNTAX));
}

// A short read of ByteReader names the field only: this says in which payload it was.
template <typename T>
[[nodiscard]] Result<T> in_payload(const char* payload, Result<T> result) {
  if (!result && result.error().notify == 0) {
    return malformed(payload, result.error().where + " " + result.error().detail);
  }
  return result;
}

}  // namespace qanat::wire
