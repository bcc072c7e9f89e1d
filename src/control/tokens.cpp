#include "control/tokens.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "crypto/digest.hpp"
#include "model/tunnel.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;

constexpr std::string_view kBearerPrefix = "qanat_";
constexpr std::size_t kIdDigits = 16;
constexpr std::size_t kSecretText = 43;  // of 32 octets in base64url without padding

std::string hash_of(std::string_view secret) {
  const Bytes octets = to_bytes(secret);
  return to_hex(crypto::sha256({octets}));
}

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

NewToken make_token(std::string name, WallTime now, Rng& rng) {
  NewToken made;
  made.token.id = to_hex(rng.bytes(kIdDigits / 2));
  made.token.name = std::move(name);
  made.token.created = now;
  const std::string secret = model::generated_psk_text(rng.bytes(32)).substr(model::kGeneratedPskPrefix.size());
  made.token.secret_hash = hash_of(secret);
  made.bearer = std::string{kBearerPrefix} + made.token.id + "_" + secret;
  return made;
}

std::string to_stored(const Token& token) {
  json out{{"id", token.id},
           {"name", token.name},
           {"read", token.read},
           {"write", token.write},
           {"capture", token.capture},
           {"created", token.created.seconds},
           {"secret_hash", token.secret_hash}};
  if (token.account) out["account"] = *token.account;
  if (token.expires) out["expires"] = token.expires->seconds;
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<Token> token_from_stored(std::string_view text) {
  const json in = json::parse(text, nullptr, false);
  const auto wrong = [] {
    return fail(ErrorKind::Malformed, "stored token", "is damaged: remove it and make another");
  };
  if (!in.is_object()) return wrong();
  try {
    Token out;
    out.id = in.at("id").get<std::string>();
    out.name = in.at("name").get<std::string>();
    out.read = in.at("read").get<bool>();
    out.write = in.at("write").get<bool>();
    out.capture = in.at("capture").get<bool>();
    out.created = {in.at("created").get<std::int64_t>()};
    out.secret_hash = in.at("secret_hash").get<std::string>();
    if (in.contains("account")) out.account = in.at("account").get<std::string>();
    if (in.contains("expires")) out.expires = WallTime{in.at("expires").get<std::int64_t>()};
    return out;
  } catch (const json::exception&) {
    return wrong();
  }
}

std::optional<Principal> find_token(store::ObjectStore& store, std::string_view bearer, WallTime now) {
  if (bearer.size() != kBearerPrefix.size() + kIdDigits + 1 + kSecretText || !bearer.starts_with(kBearerPrefix))
    return std::nullopt;
  bearer.remove_prefix(kBearerPrefix.size());
  const std::string_view id = bearer.substr(0, kIdDigits);
  if (!is_hex(id) || bearer[kIdDigits] != '_') return std::nullopt;
  const std::string offered = hash_of(bearer.substr(kIdDigits + 1));
  const auto entry = store.get(std::string{kTokenPrefix} + std::string{id});
  if (!entry || !*entry) return std::nullopt;
  const auto token = token_from_stored((*entry)->value);
  if (!token) return std::nullopt;
  const bool same = constant_time_equal(to_bytes(offered), to_bytes(token->secret_hash));
  if (!same || (token->expires && *token->expires <= now)) return std::nullopt;
  Principal out;
  out.name = "token " + token->name;
  out.account = token->account;
  out.read = token->read;
  out.write = token->write;
  out.capture = token->capture;
  out.local = false;
  return out;
}

std::optional<std::string_view> bearer_of(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return std::nullopt;
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  if (!std::equal(kScheme.begin(), kScheme.end(), authorization.begin(),
                  [&](char want, char have) { return want == lower(have); }))
    return std::nullopt;
  authorization.remove_prefix(kScheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  return authorization.empty() ? std::nullopt : std::optional{authorization};
}

}  // namespace qanat::control
