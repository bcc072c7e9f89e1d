#include "model/tunnel.hpp"

#include <string_view>

namespace qanat::model {

namespace {

constexpr std::string_view kBase64Url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t kGeneratedDigits = 43;  // 32 octets without padding

}  // namespace

std::string to_string(PqPolicy policy) {
  switch (policy) {
    case PqPolicy::Require:
      return "require";
    case PqPolicy::Prefer:
      return "prefer";
    case PqPolicy::Off:
      return "off";
    case PqPolicy::Pin:
      return "pin";
  }
  return "unknown";
}

std::string generated_psk_text(ByteView random32) {
  ensure(random32.size() == 32, "a generated PSK has 32 random octets");
  std::string out{kGeneratedPskPrefix};
  std::uint32_t pool = 0;
  int bits = 0;
  for (const std::uint8_t octet : random32) {
    pool = (pool << 8) | octet;
    bits += 8;
    while (bits >= 6) {
      bits -= 6;
      out.push_back(kBase64Url[(pool >> bits) & 63]);
    }
  }
  out.push_back(kBase64Url[(pool << (6 - bits)) & 63]);
  return out;
}

bool PresharedKey::is_generated() const {
  const ByteView key = expose();
  const std::string_view text{reinterpret_cast<const char*>(key.data()), key.size()};
  return text.starts_with(kGeneratedPskPrefix) && text.size() == kGeneratedPskPrefix.size() + kGeneratedDigits &&
         text.substr(kGeneratedPskPrefix.size()).find_first_not_of(kBase64Url) == std::string_view::npos;
}

}  // namespace qanat::model
