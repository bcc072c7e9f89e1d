// Bearer tokens: "qanat_" and 16 hexadecimal digits that name it, "_" and 43 characters of secret (256 random bits).
// Stored: the SHA-256 of the secret, so that a stolen store opens nothing; the secret is shown once, when it is made.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "control/api.hpp"
#include "store/object_store.hpp"

namespace qanat::control {

struct Token {
  std::string id;                      // 16 hexadecimal digits
  std::string name;                    // for people and the audit log
  std::optional<std::string> account;  // the VRF's name; nullopt: all accounts, and tokens themselves
  bool read = true;
  bool write = false;
  bool capture = false;
  WallTime created;
  std::optional<WallTime> expires;
  std::string secret_hash;  // hexadecimal
};

struct NewToken {
  Token token;
  std::string bearer;  // what the client sends; nobody can tell it again
};
[[nodiscard]] NewToken make_token(std::string name, WallTime now, Rng& rng);

inline constexpr std::string_view kTokenPrefix = "token/";
[[nodiscard]] std::string to_stored(const Token& token);
[[nodiscard]] Result<Token> token_from_stored(std::string_view text);

// Who the bearer of "Authorization: Bearer ..." is. nullopt: nobody that is known, or no longer; nothing says which.
// The comparison takes the same time whatever is wrong with the secret.
[[nodiscard]] std::optional<Principal> find_token(store::ObjectStore& store, std::string_view bearer, WallTime now);
// The value of an Authorization header: what stands behind "Bearer "; nullopt when it is something else.
[[nodiscard]] std::optional<std::string_view> bearer_of(std::string_view authorization);

}  // namespace qanat::control
