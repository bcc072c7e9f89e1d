// What `qanat export` writes and `qanat import` reads: a configuration file and the files that it names; and both in
// one encrypted bundle.
//
// A bundle is "qanat bundle 1\n" and, sealed (crypto/at_rest.hpp) under the SHA-256 of a key as `qanat genpsk` makes
// it, JSON: {"config":"...","files":[{"name":"berlin.psk","octets":"<hexadecimal>","secret":true}],"alerts":[{"kind":
// "webhook","account":"default","id":"<32 digits>","document":{...},"secret":"<hexadecimal>"}]}.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/rng.hpp"
#include "base/secret.hpp"

namespace qanat::control {

struct TransferFile {
  std::string name;  // relative to the configuration's folder, no '/'
  SecretBytes octets;
  bool secret = true;
};
// A notification policy, a webhook or a silence: what a configuration file cannot say. In a bundle alone.
struct TransferAlert {
  std::string kind;  // the store's: "alert_policy", "webhook", "silence"
  std::string account;
  std::string id;
  std::string document;  // JSON
  SecretBytes secret;    // of a webhook; empty: none
};
struct Transfer {
  std::string config;  // TOML
  std::vector<TransferFile> files;
  std::vector<TransferAlert> alerts = {};
};

inline constexpr std::string_view kBundleHead = "qanat bundle 1\n";

// Error{LocalPolicy}: the key is none of `qanat genpsk`.
[[nodiscard]] Result<Bytes> seal_bundle(const Transfer& transfer, ByteView key, Rng& rng);
// Error{Malformed}: no bundle. Error{AuthFailed}: another key, or changed on its way.
[[nodiscard]] Result<Transfer> open_bundle(ByteView bundle, ByteView key);

// The JSON of it, as POST /v1/import takes it.
[[nodiscard]] SecretBytes transfer_json(const Transfer& transfer);
[[nodiscard]] Result<Transfer> transfer_from_json(std::string_view text);

}  // namespace qanat::control
