// SecretBytes: octets that wipe themselves when they go, cannot be printed and are compared in constant time.
//
// Copying is explicit (clone), so that a second copy of a key is always somebody's decision.
#pragma once

#include <cstddef>
#include <utility>

#include "base/bytes.hpp"

namespace qanat {

// Overwrites memory with zeros in a way that the optimiser must keep (secret_test.cpp reads the memory afterwards).
void wipe(void* data, std::size_t size) noexcept;
inline void wipe(MutableByteView v) noexcept {
  wipe(v.data(), v.size());
}

// True when both hold the same octets; the time depends on the length only.
[[nodiscard]] bool constant_time_equal(ByteView a, ByteView b) noexcept;

class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::size_t size) : data_(size) {}
  // Takes a copy; the caller's own copy is the caller's to wipe.
  [[nodiscard]] static SecretBytes copy_of(ByteView v) {
    SecretBytes s;
    s.data_.assign(v.begin(), v.end());
    return s;
  }
  // Takes over a vector without leaving a copy behind.
  [[nodiscard]] static SecretBytes adopt(Bytes&& v) {
    SecretBytes s;
    s.data_ = std::move(v);
    return s;
  }
  ~SecretBytes() { clear(); }

  SecretBytes(SecretBytes&& other) noexcept : data_(std::move(other.data_)) { other.data_.clear(); }
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    if (this != &other) {
      clear();
      data_ = std::move(other.data_);
      other.data_.clear();
    }
    return *this;
  }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;

  [[nodiscard]] SecretBytes clone() const { return copy_of(data_); }
  [[nodiscard]] std::size_t size() const { return data_.size(); }
  [[nodiscard]] bool empty() const { return data_.empty(); }
  // The octets themselves: for a primitive's input or output, never for a log.
  [[nodiscard]] ByteView expose() const { return data_; }
  [[nodiscard]] MutableByteView expose_mutable() { return data_; }
  void clear() noexcept {
    wipe(data_.data(), data_.size());
    data_.clear();
  }
  friend bool operator==(const SecretBytes& a, const SecretBytes& b) { return constant_time_equal(a.data_, b.data_); }

 private:
  Bytes data_;
};

}  // namespace qanat
