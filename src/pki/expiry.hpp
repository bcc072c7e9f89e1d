// When the certificates of our own end, so that it is seen before peers refuse them.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "base/bytes.hpp"
#include "base/time.hpp"

namespace qanat::pki {

inline constexpr std::int64_t kExpiryNoticeDays = 30;

struct Expiry {
  std::string subject;
  WallTime until;
};

// Of the certificates in DER, the one that ends first: a chain is as good as that. nullopt: there is none.
[[nodiscard]] std::optional<Expiry> first_to_expire(std::span<const Bytes> chain);

// "the certificate CN=berlin expires in 12 days, on 2027-03-01", or that it has expired; nullopt while there are more
// than kExpiryNoticeDays left.
[[nodiscard]] std::optional<std::string> expiry_warning(const Expiry& expiry, WallTime now);

}  // namespace qanat::pki
