// Which payloads each exchange must and may hold, as data (RFC 7296 appendix C, RFC 9242, RFC 9370): checked before a
// message reaches a state, so that states see only messages that make sense.
#pragma once

#include "wire/payloads.hpp"

namespace qanat::ike {

enum class Direction : std::uint8_t { Request, Response };

// Checks counts and finds unknown critical payloads (UNSUPPORTED_CRITICAL_PAYLOAD, where = the payload's number).
// A response that carries an error notification need not be complete. Other errors are INVALID_SYNTAX.
[[nodiscard]] Status check_payloads(wire::ExchangeType exchange, Direction direction, const wire::Payloads& payloads);

// The first error notification of a chain, nullptr when there is none.
[[nodiscard]] const wire::NotifyPayload* first_error(const wire::Payloads& payloads);

// The number of the first unknown critical payload: the notification's data.
[[nodiscard]] std::uint8_t unknown_critical(const wire::Payloads& payloads);

}  // namespace qanat::ike
