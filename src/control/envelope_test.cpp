#include "control/envelope.hpp"

#include <gtest/gtest.h>

namespace qanat::control {
namespace {

TEST(Envelope, TextsAreJsonWhateverTheyHave) {
  std::string every;
  for (int c = 0; c < 128; ++c) every += static_cast<char>(c);
  for (const std::string& text : {std::string{}, std::string{"berlin"}, std::string{"a \"b\" \\c"}, std::string{"\x7f"},
                                  every, std::string{"b\xc3\xbcro"}}) {
    EXPECT_EQ(nlohmann::json::parse(json_text(text)), text) << json_text(text);
    EXPECT_EQ(json_text(text), nlohmann::json(text).dump());
  }
  EXPECT_EQ(json_text("\xff"), "\"\xef\xbf\xbd\"");
}

}  // namespace
}  // namespace qanat::control
