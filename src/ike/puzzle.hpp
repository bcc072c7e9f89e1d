// Puzzles (RFC 8019): four different keys of one size, under each of which the PRF of a text ends in at least so many
// zero bits. The text is the cookie in IKE_SA_INIT, and Nr | SPIr for a puzzle of IKE_AUTH.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.hpp"
#include "base/iana.hpp"
#include "wire/payloads.hpp"

namespace qanat::ike {

inline constexpr std::size_t kPuzzleKeys = 4;
inline constexpr std::uint8_t kMinPuzzleDifficulty = 8;   // RFC 8019 4.4: fewer zero bits are no work
inline constexpr std::uint8_t kMaxPuzzleDifficulty = 26;  // four-octet keys suffice for it

struct Puzzle {
  PrfId prf{};
  std::uint8_t difficulty = 0;  // zero bits; 0: as many as the peer can afford
  friend bool operator==(const Puzzle&, const Puzzle&) = default;
};
// The data of a PUZZLE notification (RFC 8019 8.1). Parsing: nullopt when it is none, or of a PRF that we do not have.
[[nodiscard]] Bytes puzzle_data(const Puzzle& puzzle);
[[nodiscard]] std::optional<Puzzle> parse_puzzle(ByteView data);

// The PRF for a puzzle to whoever sent this offer: one that both have. nullopt: none, so the offer cannot be chosen.
[[nodiscard]] std::optional<PrfId> puzzle_prf(const wire::SaPayload& offer);

// The zero bits that the weakest of the four keys of `solution` has (RFC 8019 8.2); nullopt: not four different keys.
[[nodiscard]] std::optional<unsigned> solved_bits(PrfId prf, ByteView text, ByteView solution);

// Looks for a solution, a slice at a time, so that whoever waits for a puzzle does not make others wait.
class PuzzleSolver {
 public:
  // `difficulty` 1 to kMaxPuzzleDifficulty.
  PuzzleSolver(PrfId prf, std::uint8_t difficulty, Bytes text);
  // Tries so many keys; true when the solution is complete.
  [[nodiscard]] bool advance(std::size_t tries);
  [[nodiscard]] const Bytes& text() const { return text_; }
  [[nodiscard]] Bytes solution() const { return found_; }

 private:
  PrfId prf_;
  unsigned difficulty_;
  Bytes text_;
  Bytes found_;
  std::uint32_t next_key_ = 0;
};

}  // namespace qanat::ike
