#include "crypto/hmac.hpp"

#include <algorithm>
#include <array>

#include "base/secret.hpp"

namespace qanat::crypto {

namespace {

constexpr std::uint8_t kIpad = 0x36;
constexpr std::uint8_t kOpad = 0x5c;

// key ^ ipad, then key ^ opad; wiped with the object.
class Pads {
 public:
  Pads(HashId id, ByteView key, MdContext& scratch) : block_(hash_block(id)) {
    if (key.size() > block_) {
      scratch.update(key);
      scratch.finish(pad_.data());
      scratch.restart();
    } else {
      std::copy(key.begin(), key.end(), pad_.begin());
    }
    mask(kIpad);
  }
  ~Pads() { wipe(pad_); }
  Pads(const Pads&) = delete;
  Pads& operator=(const Pads&) = delete;

  [[nodiscard]] ByteView inner() const { return ByteView{pad_}.first(block_); }
  [[nodiscard]] ByteView outer() {  // after it inner() is no more
    mask(kIpad ^ kOpad);
    return ByteView{pad_}.first(block_);
  }

 private:
  void mask(std::uint8_t with) {
    for (std::uint8_t& b : pad_) b ^= with;
  }
  std::size_t block_;
  std::array<std::uint8_t, kMaxHashBlock> pad_{};
};

}  // namespace

Hmac::Hmac(HashId id, ByteView key) : size_(hash_size(id)), inner_(id), outer_(id), work_(id) {
  Pads pads{id, key, work_};
  inner_.update(pads.inner());
  outer_.update(pads.outer());
}

void Hmac::begin() {
  work_.become(inner_);
}

void Hmac::update(ByteView part) {
  work_.update(part);
}

void Hmac::finish(MutableByteView out) {
  ensure(out.size() <= size_, "an ICV is no longer than its MAC");
  std::array<std::uint8_t, kMaxSize> digest{};
  work_.finish(digest.data());
  work_.become(outer_);
  work_.update(ByteView{digest}.first(size_));
  work_.finish(digest.data());
  std::copy_n(digest.begin(), out.size(), out.begin());
  wipe(digest);
}

void hmac_once(HashId id, ByteView key, std::initializer_list<ByteView> parts, MutableByteView out) {
  ensure(out.size() == hash_size(id), "a whole MAC");
  MdContext work{id};
  Pads pads{id, key, work};
  work.update(pads.inner());
  for (const ByteView part : parts) work.update(part);
  work.finish(out.data());
  work.restart();
  work.update(pads.outer());
  work.update(out);
  work.finish(out.data());
}

}  // namespace qanat::crypto
