#include "crypto/digest.hpp"

#include "crypto/md_context.hpp"

namespace qanat::crypto {

namespace {

template <std::size_t Size>
std::array<std::uint8_t, Size> digest(HashId id, std::initializer_list<ByteView> parts) {
  MdContext context{id};
  for (const ByteView part : parts) context.update(part);
  std::array<std::uint8_t, Size> out{};
  context.finish(out.data());
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
