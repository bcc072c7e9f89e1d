#include "crypto/hmac.hpp"

#include <algorithm>
#include <array>

#include "base/secret.hpp"

namespace qanat::crypto {

namespace {

constexpr std::size_t kMaxBlock = 128;

EVP_MD* fetch(const char* name) {
  EVP_MD* md = EVP_MD_fetch(nullptr, name, nullptr);
  ensure(md != nullptr, "OpenSSL has no SHA");
  return md;
}

EvpMdCtx new_context() {
  EvpMdCtx context{EVP_MD_CTX_new()};
  ensure(context != nullptr, "out of memory");
  return context;
}

std::size_t block_size(HashId id) {
  return id == HashId::Sha384 || id == HashId::Sha512 ? 128 : 64;
}

}  // namespace

const EVP_MD* evp_md(HashId id) {
  static const std::array<EvpMd, 4> kHashes{EvpMd{fetch("SHA1")}, EvpMd{fetch("SHA2-256")}, EvpMd{fetch("SHA2-384")},
                                            EvpMd{fetch("SHA2-512")}};
  return kHashes.at(static_cast<std::size_t>(id)).get();
}

std::size_t hash_size(HashId id) {
  switch (id) {
    case HashId::Sha1:
      return 20;
    case HashId::Sha256:
      return 32;
    case HashId::Sha384:
      return 48;
    case HashId::Sha512:
      return 64;
  }
  return 0;
}

// With a sound digest and no memory shortage none of the calls below can fail; going on without a MAC is no option.
Hmac::Hmac(HashId id, ByteView key)
    : size_(hash_size(id)), inner_(new_context()), outer_(new_context()), work_(new_context()) {
  const EVP_MD* md = evp_md(id);
  const std::size_t block = block_size(id);
  std::array<std::uint8_t, kMaxBlock> pad{};
  if (key.size() > block) {
    ensure(ok(EVP_DigestInit_ex(work_.get(), md, nullptr)) &&
               ok(EVP_DigestUpdate(work_.get(), key.data(), key.size())) &&
               ok(EVP_DigestFinal_ex(work_.get(), pad.data(), nullptr)),
           "hashing an HMAC key failed");
  } else {
    std::copy(key.begin(), key.end(), pad.begin());
  }
  for (std::uint8_t& b : pad) b ^= 0x36;
  bool absorbed =
      ok(EVP_DigestInit_ex(inner_.get(), md, nullptr)) && ok(EVP_DigestUpdate(inner_.get(), pad.data(), block));
  for (std::uint8_t& b : pad) b ^= 0x36 ^ 0x5c;
  absorbed = absorbed && ok(EVP_DigestInit_ex(outer_.get(), md, nullptr)) &&
             ok(EVP_DigestUpdate(outer_.get(), pad.data(), block));
  wipe(pad);
  ensure(absorbed, "keying HMAC failed");
}

void Hmac::begin() {
  ensure(ok(EVP_MD_CTX_copy_ex(work_.get(), inner_.get())), "starting HMAC failed");
}

void Hmac::update(ByteView part) {
  if (part.empty()) return;
  ensure(ok(EVP_DigestUpdate(work_.get(), part.data(), part.size())), "HMAC failed");
}

void Hmac::finish(MutableByteView out) {
  ensure(out.size() <= size_, "an ICV is no longer than its MAC");
  std::array<std::uint8_t, kMaxSize> digest{};
  const bool done = ok(EVP_DigestFinal_ex(work_.get(), digest.data(), nullptr)) &&
                    ok(EVP_MD_CTX_copy_ex(work_.get(), outer_.get())) &&
                    ok(EVP_DigestUpdate(work_.get(), digest.data(), size_)) &&
                    ok(EVP_DigestFinal_ex(work_.get(), digest.data(), nullptr));
  ensure(done, "HMAC failed");
  std::copy_n(digest.begin(), out.size(), out.begin());
  wipe(digest);
}

}  // namespace qanat::crypto
