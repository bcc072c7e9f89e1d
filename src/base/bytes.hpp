// Octets as everybody here passes them: views in, owned vectors out, and a reader and a writer in network order.
//
// ByteReader never reads past its end: a short read returns an Error{Malformed} that names the field.
// ByteWriter appends to a vector that it owns; lengths that are only known later are patched by position.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace qanat {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using MutableByteView = std::span<std::uint8_t>;

[[nodiscard]] constexpr std::uint16_t load_be16(const std::uint8_t* p) {
  return static_cast<std::uint16_t>((p[0] << 8) | p[1]);
}
[[nodiscard]] constexpr std::uint32_t load_be32(const std::uint8_t* p) {
  return (std::uint32_t{p[0]} << 24) | (std::uint32_t{p[1]} << 16) | (std::uint32_t{p[2]} << 8) | std::uint32_t{p[3]};
}
[[nodiscard]] constexpr std::uint64_t load_be64(const std::uint8_t* p) {
  return (std::uint64_t{load_be32(p)} << 32) | load_be32(p + 4);
}
constexpr void store_be16(std::uint8_t* p, std::uint16_t v) {
  p[0] = static_cast<std::uint8_t>(v >> 8);
  p[1] = static_cast<std::uint8_t>(v);
}
constexpr void store_be32(std::uint8_t* p, std::uint32_t v) {
  store_be16(p, static_cast<std::uint16_t>(v >> 16));
  store_be16(p + 2, static_cast<std::uint16_t>(v));
}
constexpr void store_be64(std::uint8_t* p, std::uint64_t v) {
  store_be32(p, static_cast<std::uint32_t>(v >> 32));
  store_be32(p + 4, static_cast<std::uint32_t>(v));
}

class ByteReader {
 public:
  explicit ByteReader(ByteView data) : data_(data) {}

  [[nodiscard]] std::size_t remaining() const { return data_.size() - at_; }
  [[nodiscard]] bool empty() const { return remaining() == 0; }
  [[nodiscard]] std::size_t position() const { return at_; }
  [[nodiscard]] ByteView rest() const { return data_.subspan(at_); }

  [[nodiscard]] Result<std::uint8_t> u8(const char* field) {
    QANAT_TRY(need(1, field));
    return data_[at_++];
  }
  [[nodiscard]] Result<std::uint16_t> u16(const char* field) {
    QANAT_TRY(need(2, field));
    at_ += 2;
    return load_be16(&data_[at_ - 2]);
  }
  [[nodiscard]] Result<std::uint32_t> u32(const char* field) {
    QANAT_TRY(need(4, field));
    at_ += 4;
    return load_be32(&data_[at_ - 4]);
  }
  [[nodiscard]] Result<std::uint64_t> u64(const char* field) {
    QANAT_TRY(need(8, field));
    at_ += 8;
    return load_be64(&data_[at_ - 8]);
  }
  // `size` octets as a view into the reader's data.
  [[nodiscard]] Result<ByteView> take(std::size_t size, const char* field) {
    QANAT_TRY(need(size, field));
    at_ += size;
    return data_.subspan(at_ - size, size);
  }

 private:
  [[nodiscard]] Status need(std::size_t size, const char* field) const {
    if (remaining() >= size) {
      return {};
    }
    return fail(ErrorKind::Malformed, field,
                "needs " + std::to_string(size) + " octets, " + std::to_string(remaining()) + " are left");
  }

  ByteView data_;
  std::size_t at_ = 0;
};

class ByteWriter {
 public:
  void u8(std::uint8_t v) { out_.push_back(v); }
  void u16(std::uint16_t v) {
    out_.resize(out_.size() + 2);
    store_be16(&out_[out_.size() - 2], v);
  }
  void u32(std::uint32_t v) {
    out_.resize(out_.size() + 4);
    store_be32(&out_[out_.size() - 4], v);
  }
  void u64(std::uint64_t v) {
    out_.resize(out_.size() + 8);
    store_be64(&out_[out_.size() - 8], v);
  }
  void bytes(ByteView v) { out_.insert(out_.end(), v.begin(), v.end()); }
  void zeros(std::size_t count) { out_.resize(out_.size() + count); }
  void patch_u16(std::size_t at, std::uint16_t v) { store_be16(&out_.at(at), v); }
  void patch_u32(std::size_t at, std::uint32_t v) { store_be32(&out_.at(at), v); }

  [[nodiscard]] std::size_t size() const { return out_.size(); }
  [[nodiscard]] ByteView view() const { return out_; }
  [[nodiscard]] Bytes take() && { return std::move(out_); }

 private:
  Bytes out_;
};

[[nodiscard]] inline Bytes to_bytes(ByteView v) {
  return {v.begin(), v.end()};
}
[[nodiscard]] inline Bytes to_bytes(std::string_view text) {
  return {text.begin(), text.end()};
}
[[nodiscard]] inline bool equal(ByteView a, ByteView b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}
inline void append(Bytes& to, ByteView more) {
  to.insert(to.end(), more.begin(), more.end());
}

// Lower-case hexadecimal, and back (any case, an even number of digits, nothing else).
[[nodiscard]] std::string to_hex(ByteView v);
[[nodiscard]] Result<Bytes> from_hex(std::string_view text);

}  // namespace qanat
