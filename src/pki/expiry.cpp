#include "pki/expiry.hpp"

#include <fmt/format.h>

#include "pki/certificate.hpp"

namespace qanat::pki {

std::optional<Expiry> first_to_expire(std::span<const Bytes> chain) {
  std::optional<Expiry> out;
  for (const Bytes& der : chain) {
    const auto certificate = Certificate::parse(der);
    if (certificate && (!out || certificate->not_after() < out->until))
      out = Expiry{certificate->subject(), certificate->not_after()};
  }
  return out;
}

std::optional<std::string> expiry_warning(const Expiry& expiry, WallTime now) {
  constexpr std::int64_t kDay = 86'400;
  if (now > expiry.until)
    return fmt::format("the certificate {} has expired on {}: peers refuse it", expiry.subject,
                       date_text(expiry.until));
  const std::int64_t days = (expiry.until.seconds - now.seconds) / kDay;
  if (days >= kExpiryNoticeDays) return std::nullopt;
  return fmt::format("the certificate {} expires {}, on {}", expiry.subject,
                     days == 0   ? std::string{"within a day"}
                     : days == 1 ? std::string{"in 1 day"}
                                 : fmt::format("in {} days", days),
                     date_text(expiry.until));
}

}  // namespace qanat::pki
