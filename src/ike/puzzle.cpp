#include "ike/puzzle.hpp"

#include <algorithm>
#include <bit>

#include "crypto/prf.hpp"

namespace qanat::ike {

namespace {

constexpr std::size_t kDataSize = 3;
constexpr std::size_t kKeySize = 4;  // of the keys that we find

unsigned zero_bits(PrfId prf, ByteView key, ByteView text) {
  const SecretBytes value = crypto::prf(prf, key, {text});
  const ByteView octets = value.expose();
  unsigned bits = 0;
  for (std::size_t i = octets.size(); i > 0; --i) {
    if (octets[i - 1] != 0) return bits + static_cast<unsigned>(std::countr_zero(octets[i - 1]));
    bits += 8;
  }
  return bits;
}

}  // namespace

Bytes puzzle_data(const Puzzle& puzzle) {
  Bytes out(kDataSize);
  store_be16(out.data(), static_cast<std::uint16_t>(puzzle.prf));
  out[2] = puzzle.difficulty;
  return out;
}

std::optional<Puzzle> parse_puzzle(ByteView data) {
  if (data.size() != kDataSize) return std::nullopt;
  const Puzzle out{static_cast<PrfId>(load_be16(data.data())), data[2]};
  return crypto::prf_available(out.prf) ? std::optional{out} : std::nullopt;
}

std::optional<PrfId> puzzle_prf(const wire::SaPayload& offer) {
  for (const PrfId id : {PrfId::PRF_HMAC_SHA2_256, PrfId::PRF_HMAC_SHA2_384, PrfId::PRF_HMAC_SHA2_512}) {
    if (!crypto::prf_available(id)) continue;
    for (const wire::Proposal& p : offer.proposals) {
      if (std::any_of(p.transforms.begin(), p.transforms.end(), [&](const wire::Transform& t) {
            return t.type == wire::TransformType::PRF && t.id == static_cast<std::uint16_t>(id);
          }))
        return id;
    }
  }
  return std::nullopt;
}

std::optional<unsigned> solved_bits(PrfId prf, ByteView text, ByteView solution) {
  const std::size_t size = solution.size() / kPuzzleKeys;
  if (size == 0 || solution.size() % kPuzzleKeys != 0 || size > crypto::prf_size(prf)) return std::nullopt;
  const auto key = [&](std::size_t i) { return solution.subspan(i * size, size); };
  for (std::size_t i = 1; i < kPuzzleKeys; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (std::ranges::equal(key(i), key(j))) return std::nullopt;
    }
  }
  unsigned least = zero_bits(prf, key(0), text);
  for (std::size_t i = 1; i < kPuzzleKeys; ++i) least = std::min(least, zero_bits(prf, key(i), text));
  return least;
}

PuzzleSolver::PuzzleSolver(PrfId prf, std::uint8_t difficulty, Bytes text)
    : prf_(prf), difficulty_(difficulty), text_(std::move(text)) {
  ensure(difficulty > 0 && difficulty <= kMaxPuzzleDifficulty, "a puzzle that can be solved");
}

bool PuzzleSolver::advance(std::size_t tries) {
  for (; tries > 0 && found_.size() < kPuzzleKeys * kKeySize; --tries) {
    std::array<std::uint8_t, kKeySize> key{};
    store_be32(key.data(), next_key_++);
    if (zero_bits(prf_, key, text_) >= difficulty_) append(found_, key);
  }
  return found_.size() == kPuzzleKeys * kKeySize;
}

}  // namespace qanat::ike
