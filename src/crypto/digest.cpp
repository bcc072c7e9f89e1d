#include "crypto/digest.hpp"

#include "crypto/hmac.hpp"

namespace qanat::crypto {

namespace {

template <std::size_t Size>
std::array<std::uint8_t, Size> digest(HashId id, std::initializer_list<ByteView> parts) {
  const EvpMdCtx context{EVP_MD_CTX_new()};
  bool done = context != nullptr && ok(EVP_DigestInit_ex(context.get(), evp_md(id), nullptr));
  for (const ByteView part : parts) {
    done = done && (part.empty() || ok(EVP_DigestUpdate(context.get(), part.data(), part.size())));
  }
  std::array<std::uint8_t, Size> out{};
  done = done && ok(EVP_DigestFinal_ex(context.get(), out.data(), nullptr));
  ensure(done, "hashing failed");
  return out;
}

}  // namespace

std::array<std::uint8_t, 20> sha1(std::initializer_list<ByteView> parts) {
  return digest<20>(HashId::Sha1, parts);
}

std::array<std::uint8_t, 32> sha256(std::initializer_list<ByteView> parts) {
  return digest<32>(HashId::Sha256, parts);
}

}  // namespace qanat::crypto
