// Access: who may ask what over HTTPS, decided from the header of a request alone. Pure; the shell finds tokens.
//
//   /, and whatever is below no /v1 and no /client/v4    the page and its files: everybody
//   /v1/health                                           everybody
//   everything else                                      "Authorization: Bearer TOKEN", with the scope that the path's
//                                                        row of endpoints.hpp names
// A token of one account is shown that account's part (account_view.hpp), and refused what is about the whole gateway.
// What takes away the protection of the host or gives secrets away is for the Unix socket alone.
//
// Refusals are in the form that the path's clients expect: Cloudflare's envelope below /client/v4, ours elsewhere.
// Wrong tokens cost more than right ones: an address that guesses is told to wait (429) before it is told anything
// else.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.hpp"
#include "base/time.hpp"
#include "control/api.hpp"
#include "control/rate_limit.hpp"

namespace qanat::control {

struct AccessLimits {
  RateLimit::Rate address{.per_second = 200, .burst = 1000};  // requests of one address (of IPv6 a /64)
  RateLimit::Rate token{.per_second = 100, .burst = 500};     // requests with one token
  RateLimit::Rate wrong{.per_second = 0.5, .burst = 20};      // wrong tokens of one address
};

class Access {
 public:
  // nullopt: no token that is known, or no longer.
  using FindToken = std::function<std::optional<Principal>(std::string_view bearer)>;
  explicit Access(AccessLimits limits = {});

  // Sets request.principal and takes the token out of its headers; or the answer that refuses it.
  [[nodiscard]] std::optional<Reply> admit(Request& request, const IpAddress& from, Instant now,
                                           const FindToken& find_token);

 private:
  RateLimit by_address_;
  RateLimit by_token_;
  RateLimit wrong_;
};

// Whether nobody needs a token for it.
[[nodiscard]] bool is_public_target(std::string_view target);
// Whether it is the page's or one of its files.
[[nodiscard]] bool is_page_target(std::string_view target);
// For the objects' paths of a gateway that keeps none.
[[nodiscard]] Reply no_store_reply();

}  // namespace qanat::control
