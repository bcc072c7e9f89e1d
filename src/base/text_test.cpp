#include "base/text.hpp"

#include <array>

#include <gtest/gtest.h>

namespace qanat {
namespace {

TEST(Printable, escapes_what_could_harm_a_terminal_or_a_log) {
  EXPECT_EQ(printable("gateway.example"), "gateway.example");
  EXPECT_EQ(printable("a\nb\tc\x1b[31m"), "a\\x0ab\\x09c\\x1b[31m");
  EXPECT_EQ(printable("back\\slash"), "back\\x5cslash");
  EXPECT_EQ(printable("\x7f"), "\\x7f");
  EXPECT_EQ(printable("\xc3\xa9"), "\\xc3\\xa9") << "UTF-8 could hide look-alikes";
  EXPECT_EQ(printable(ByteView{Bytes{0x00, 0xff}}), "\\x00\\xff");
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, is_cut_at_its_limit) {
  EXPECT_EQ(printable(std::string(128, 'x')), std::string(128, 'x'));
  EXPECT_EQ(printable(std::string(129, 'x')), std::string(128, 'x') + "...");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
  EXPECT_LE(printable(std::string(1000000, '\n')).size(), 128U * 4U + 3U);
}

TEST(Nearest, finds_the_mistyped_word_and_nothing_far_away) {
  constexpr std::array<std::string_view, 5> kKeys{"interface", "routes", "peer", "psk_file", "pq"};
  EXPECT_EQ(nearest("interfaces", kKeys), "interface");
  EXPECT_EQ(nearest("ruotes", kKeys), "routes");
  EXPECT_EQ(nearest("per", kKeys), "peer");
  EXPECT_EQ(nearest("pskfile", kKeys), "psk_file");
  EXPECT_EQ(nearest("colour", kKeys), "");
  EXPECT_EQ(nearest("x", std::span<const std::string_view>{}), "");
}

}  // namespace
}  // namespace qanat
