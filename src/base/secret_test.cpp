#include "base/secret.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

#include <gtest/gtest.h>

// The memory that a SecretBytes gives back is looked at where it arrives: in operator delete, which this program
// replaces. A wipe that the optimiser took for a dead store would leave the key to be found here.
namespace {

constexpr std::size_t kWatched = 64;
const void* watched = nullptr;
bool seen = false;
std::array<std::uint8_t, kWatched> left_behind{};

void look_at(const void* memory) noexcept {
  if (memory == nullptr || memory != watched) return;
  const auto* octets = static_cast<const volatile std::uint8_t*>(memory);
  for (std::size_t i = 0; i < kWatched; ++i) left_behind.at(i) = octets[i];
  seen = true;
  watched = nullptr;
}

}  // namespace

void* operator new(std::size_t size) {
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc{};
}
void operator delete(void* memory) noexcept {
  look_at(memory);  // NOLINT(clang-analyzer-cplusplus.NewDelete): the analyzer takes every caller's memory as gone
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  look_at(memory);  // NOLINT(clang-analyzer-cplusplus.NewDelete): the analyzer takes every caller's memory as gone
  std::free(memory);
}

namespace qanat {
namespace {

void watch(const SecretBytes& secret) {
  watched = secret.expose().data();
  seen = false;
  left_behind.fill(0xee);
}

bool wiped() {
  return seen && std::all_of(left_behind.begin(), left_behind.end(), [](std::uint8_t b) { return b == 0; });
}

SecretBytes make_secret() {
  SecretBytes secret{kWatched};
  std::fill_n(secret.expose_mutable().begin(), kWatched, std::uint8_t{0xa5});
  return secret;
}

[[gnu::noinline]] void use_and_drop() {
  const SecretBytes secret = make_secret();
  watch(secret);
}

TEST(SecretBytes, memory_is_wiped_before_it_is_given_back) {
  use_and_drop();
  EXPECT_TRUE(wiped());
}

// The same look at a plain vector finds the octets: the test above can fail.
[[gnu::noinline]] void use_and_drop_without_wipe() {
  const Bytes plain(kWatched, 0xa5);
  watched = plain.data();
  seen = false;
  left_behind.fill(0xee);
  __asm__ __volatile__("" : : "r"(plain.data()) : "memory");
}

TEST(SecretBytes, the_watcher_sees_what_is_not_wiped) {
  use_and_drop_without_wipe();
  EXPECT_TRUE(seen);
  EXPECT_FALSE(wiped());
  EXPECT_EQ(left_behind.back(), 0xa5);
}

TEST(SecretBytes, assignment_wipes_the_old_octets) {
  SecretBytes secret = make_secret();
  watch(secret);
  secret = SecretBytes{8};
  EXPECT_TRUE(wiped());
  EXPECT_EQ(secret.size(), 8U);
}

TEST(SecretBytes, a_clone_and_an_adopted_vector_are_wiped_too) {
  {
    const SecretBytes original = make_secret();
    const SecretBytes copy = original.clone();
    EXPECT_EQ(original, copy);
    watch(copy);
  }
  EXPECT_TRUE(wiped());
  {
    const SecretBytes adopted = SecretBytes::adopt(Bytes(kWatched, 0xa5));
    watch(adopted);
  }
  EXPECT_TRUE(wiped());
}

TEST(SecretBytes, moving_takes_the_memory_along_and_leaves_nothing) {
  SecretBytes from = make_secret();
  const std::uint8_t* memory = from.expose().data();
  const SecretBytes to = std::move(from);
  EXPECT_EQ(to.expose().data(), memory);
  EXPECT_TRUE(from.empty());  // NOLINT(bugprone-use-after-move): what is left is the question
  EXPECT_EQ(to, make_secret());
}

TEST(SecretBytes, clear_wipes_and_empties) {
  SecretBytes secret = make_secret();
  const volatile std::uint8_t* memory = secret.expose().data();
  secret.clear();
  EXPECT_TRUE(secret.empty());
  unsigned left = 0;
  for (std::size_t i = 0; i < kWatched; ++i) left |= memory[i];  // the capacity is still ours
  EXPECT_EQ(left, 0U);
  secret.clear();
}

TEST(SecretBytes, self_assignment_keeps_the_octets) {
  SecretBytes secret = make_secret();
  SecretBytes& alias = secret;
  secret = std::move(alias);
  EXPECT_EQ(secret, make_secret());
}

static_assert(!std::is_copy_constructible_v<SecretBytes> && !std::is_copy_assignable_v<SecretBytes>);
static_assert(std::is_nothrow_move_constructible_v<SecretBytes> && std::is_nothrow_move_assignable_v<SecretBytes>);
static_assert(!std::is_convertible_v<SecretBytes, ByteView> && !std::is_convertible_v<Bytes, SecretBytes>);

// An object on storage that outlives it: what its destructor writes is a dead store in the eyes of the language.
struct Key {
  std::array<std::uint8_t, kWatched> octets{};
  ~Key() { wipe(octets); }
};
alignas(Key) std::array<std::byte, sizeof(Key)> storage{};

[[gnu::noinline]] void make_and_destroy_key() {
  Key* key = ::new (storage.data()) Key;
  key->octets.fill(0xa5);
  __asm__ __volatile__("" : : "r"(key) : "memory");
  key->~Key();
}

TEST(Wipe, survives_the_optimiser_in_a_destructor) {
  storage.fill(std::byte{0x5a});
  make_and_destroy_key();
  const auto* memory = reinterpret_cast<const volatile std::uint8_t*>(storage.data());
  unsigned left = 0;
  for (std::size_t i = 0; i < kWatched; ++i) left |= memory[i];
  EXPECT_EQ(left, 0U);
}

TEST(Wipe, touches_only_its_range) {
  Bytes octets(32, 7);
  wipe(MutableByteView{octets}.subspan(8, 16));
  for (std::size_t i = 0; i < octets.size(); ++i) EXPECT_EQ(octets[i], i >= 8 && i < 24 ? 0 : 7);
  wipe(nullptr, 0);
  wipe(MutableByteView{});
}

TEST(ConstantTimeEqual, is_equality) {
  const Bytes a(33, 0x11);
  EXPECT_TRUE(constant_time_equal({}, {}));
  EXPECT_TRUE(constant_time_equal(a, Bytes(33, 0x11)));
  EXPECT_FALSE(constant_time_equal(a, Bytes(32, 0x11)));
  EXPECT_FALSE(constant_time_equal(a, {}));
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Bytes b = a;
      b[i] = static_cast<std::uint8_t>(b[i] ^ (1U << bit));
      EXPECT_FALSE(constant_time_equal(a, b));
    }
  }
  Bytes two = a;  // two differences that would cancel in a sum or an exclusive or
  two[0] ^= 1;
  two[1] ^= 1;
  EXPECT_FALSE(constant_time_equal(a, two));
}

}  // namespace
}  // namespace qanat
