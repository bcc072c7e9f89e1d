// Words for people: sizes, times, colours, tables. Nothing here lets a control character through.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qanat::cli {

enum class Colour : std::uint8_t { Never, Always };  // whether a terminal reads along
enum class Tone : std::uint8_t { Plain, Good, Warn, Bad, Strong, Faint };

// Printable ASCII and well-formed text in other scripts stay; control characters and broken octets become \xNN.
[[nodiscard]] std::string clean(std::string_view text);
// Characters that a terminal shows for clean text.
[[nodiscard]] std::size_t width(std::string_view text);
[[nodiscard]] std::string paint(std::string_view text, Tone tone, Colour colour);

[[nodiscard]] std::string human_bytes(std::uint64_t octets);                   // "999 B", "1.2 MB": powers of 1,000
[[nodiscard]] std::string human_time(double seconds);                          // "12s", "2m 5s", "1h 2m", "3d 4h"
[[nodiscard]] std::string plural(std::uint64_t count, std::string_view noun);  // "1 packet", "2 packets"

struct Cell {
  std::string text;
  Tone tone = Tone::Plain;
};
// Left-aligned columns, two spaces between them, no blanks at the ends of lines. The first row is the head.
[[nodiscard]] std::string table(const std::vector<std::vector<Cell>>& rows, Colour colour,
                                std::string_view indent = "");

}  // namespace qanat::cli
