#include "cli/style.hpp"

#include <gtest/gtest.h>

#include "base/rng.hpp"

namespace qanat::cli {
namespace {

TEST(Style, Sizes) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1.0 kB");
  EXPECT_EQ(human_bytes(1'234'567), "1.2 MB");
  EXPECT_EQ(human_bytes(999'949), "999.9 kB");
  EXPECT_EQ(human_bytes(999'999), "1.0 MB");
  EXPECT_EQ(human_bytes(18'446'744'073'709'551'615U), "18.4 EB");
}

TEST(Style, Times) {
  EXPECT_EQ(human_time(0), "0s");
  EXPECT_EQ(human_time(59.9), "59s");
  EXPECT_EQ(human_time(125), "2m 5s");
  EXPECT_EQ(human_time(3725), "1h 2m");
  EXPECT_EQ(human_time(90061), "1d 1h");
  EXPECT_EQ(human_time(-1), "-");
  EXPECT_EQ(human_time(1e300), "11574074d 1h");
  EXPECT_EQ(human_time(__builtin_nan("")), "-");
}

TEST(Style, Plurals) {
  EXPECT_EQ(plural(1, "packet"), "1 packet");
  EXPECT_EQ(plural(0, "packet"), "0 packets");
}

TEST(Style, NoControlCharacterPasses) {
  EXPECT_EQ(clean("plain \\x1b text"), "plain \\x1b text") << "what the daemon has escaped stays as it is";
  EXPECT_EQ(clean("\x1b[31m\r\n\t\x7f"), "\\x1b[31m\\x0d\\x0a\\x09\\x7f");
  EXPECT_EQ(clean("K\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x98\x80"), "K\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x98\x80");
  EXPECT_EQ(clean("\xc2\x9b"), "\\xc2\\x9b") << "C1 controls";
  EXPECT_EQ(clean("\xe2\x80\xae"), "\\xe2\\x80\\xae") << "marks that reorder text";
  EXPECT_EQ(clean("\xc0\x80\xed\xa0\x80\xf5\xff"), "\\xc0\\x80\\xed\\xa0\\x80\\xf5\\xff");
  EXPECT_EQ(clean("\xe2\x82"), "\\xe2\\x82");
  SeededRng rng{3};
  for (int i = 0; i < 5000; ++i) {
    const Bytes noise = rng.bytes(rng.below(20));
    for (const char c : clean({reinterpret_cast<const char*>(noise.data()), noise.size()}))
      EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  }
}

TEST(Style, ColourOnlyWhenAsked) {
  EXPECT_EQ(paint("up", Tone::Good, Colour::Never), "up");
  EXPECT_EQ(paint("up", Tone::Good, Colour::Always), "\x1b[32mup\x1b[0m");
  EXPECT_EQ(paint("up", Tone::Plain, Colour::Always), "up");
  EXPECT_EQ(paint("", Tone::Bad, Colour::Always), "");
}

TEST(Style, TablesLineUp) {
  EXPECT_EQ(table({{{"A"}, {"B"}}, {{"longer"}, {"x"}}}, Colour::Never), "A       B\nlonger  x\n");
  EXPECT_EQ(table({{{"K\xc3\xb6ln"}, {"B"}}, {{"Bonn"}, {"x"}}}, Colour::Never, "  "), "  K\xc3\xb6ln  B\n  Bonn  x\n");
  EXPECT_EQ(table({{{"A", Tone::Bad}, {"B"}}}, Colour::Always), "\x1b[31mA\x1b[0m  B\n") << "colours take no room";
  EXPECT_EQ(table({}, Colour::Never), "");
}

}  // namespace
}  // namespace qanat::cli
