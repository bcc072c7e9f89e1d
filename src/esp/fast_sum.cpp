#include "esp/fast_sum.hpp"

#include <bit>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace qanat::esp {

namespace {

// Sums of words in the machine's order are right up to the order of the two octets of the result (RFC 1071 2B).
std::uint32_t fold(std::uint64_t sum) {
  sum = (sum & 0xffffffffU) + (sum >> 32);
  sum = (sum & 0xffffffffU) + (sum >> 32);
  auto folded = static_cast<std::uint32_t>((sum & 0xffff) + ((sum >> 16) & 0xffff));
  folded = (folded & 0xffff) + (folded >> 16);
  folded = (folded & 0xffff) + (folded >> 16);
  if constexpr (std::endian::native == std::endian::little) folded = ((folded & 0xff) << 8) | (folded >> 8);
  return folded;
}

// No carry is lost below 2^32 words of 32 bits. `Copy`: to `to`.
template <bool Copy>
std::uint64_t add_words(std::uint64_t sum, std::uint8_t* to, const std::uint8_t* from, std::size_t size) {
  std::uint64_t other = 0;
  for (; size >= 8; size -= 8, from += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, from, 8);
    if constexpr (Copy) {
      std::memcpy(to, &word, 8);
      to += 8;
    }
    sum += word & 0xffffffffU;
    other += word >> 32;
  }
  sum += other;
  // Of known sizes, so that no call is made for them. What is not there counts as zero.
  if ((size & 4U) != 0) {
    std::uint32_t word = 0;
    std::memcpy(&word, from, 4);
    if constexpr (Copy) {
      std::memcpy(to, &word, 4);
      to += 4;
    }
    sum += word;
    from += 4;
  }
  if ((size & 2U) != 0) {
    std::uint16_t word = 0;
    std::memcpy(&word, from, 2);
    if constexpr (Copy) {
      std::memcpy(to, &word, 2);
      to += 2;
    }
    sum += word;
    from += 2;
  }
  if ((size & 1U) != 0) {
    if constexpr (Copy) *to = *from;
    sum += std::endian::native == std::endian::little ? *from : std::uint64_t{*from} << 8;
  }
  return sum;
}

#if defined(__x86_64__)
template <bool Copy>
__attribute__((target("avx2"))) std::uint64_t add_vectors(std::uint8_t* to, const std::uint8_t* from,
                                                          std::size_t size) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i low = zero;
  __m256i high = zero;
  __m256i low2 = zero;
  __m256i high2 = zero;
  for (; size >= 64; size -= 64, from += 64) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 32));
    if constexpr (Copy) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), a);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 32), b);
      to += 64;
    }
    low = _mm256_add_epi64(low, _mm256_unpacklo_epi32(a, zero));
    high = _mm256_add_epi64(high, _mm256_unpackhi_epi32(a, zero));
    low2 = _mm256_add_epi64(low2, _mm256_unpacklo_epi32(b, zero));
    high2 = _mm256_add_epi64(high2, _mm256_unpackhi_epi32(b, zero));
  }
  if (size >= 32) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    if constexpr (Copy) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), a);
      to += 32;
    }
    low = _mm256_add_epi64(low, _mm256_unpacklo_epi32(a, zero));
    high = _mm256_add_epi64(high, _mm256_unpackhi_epi32(a, zero));
    size -= 32;
    from += 32;
  }
  const __m256i all = _mm256_add_epi64(_mm256_add_epi64(low, high), _mm256_add_epi64(low2, high2));
  const __m128i half = _mm_add_epi64(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
  const auto sum =
      static_cast<std::uint64_t>(_mm_cvtsi128_si64(half)) + static_cast<std::uint64_t>(_mm_extract_epi64(half, 1));
  return add_words<Copy>(sum, to, from, size);
}

bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2") != 0;
  return has;
}
#endif

template <bool Copy>
std::uint32_t sum_of(std::uint8_t* to, ByteView from) {
#if defined(__x86_64__)
  if (from.size() >= 64 && has_avx2()) return fold(add_vectors<Copy>(to, from.data(), from.size()));
#endif
  return fold(add_words<Copy>(0, to, from.data(), from.size()));
}

}  // namespace

std::uint32_t fast_sum(ByteView data) {
  return sum_of<false>(nullptr, data);
}

std::uint32_t copy_and_sum(MutableByteView to, ByteView from) {
  ensure(to.size() >= from.size(), "copy_and_sum: destination too small");
  return sum_of<true>(to.data(), from);
}

std::uint32_t detail::portable_sum(ByteView data) {
  return fold(add_words<false>(0, nullptr, data.data(), data.size()));
}

std::uint32_t detail::portable_copy_and_sum(MutableByteView to, ByteView from) {
  ensure(to.size() >= from.size(), "copy_and_sum: destination too small");
  return fold(add_words<true>(0, to.data(), from.data(), from.size()));
}

}  // namespace qanat::esp
