#include "base/boxed.hpp"

#include <memory>

#include <gtest/gtest.h>

namespace qanat {
namespace {

TEST(Boxed, is_an_optional_that_is_small_when_empty) {
  struct Large {
    int value = 7;
    char rest[1000]{};
  };
  EXPECT_EQ(sizeof(Boxed<Large>), sizeof(void*));
  Boxed<Large> box;
  EXPECT_FALSE(box);
  EXPECT_EQ(box.emplace().value, 7);
  ASSERT_TRUE(box.has_value());
  box->value = 8;
  EXPECT_EQ((*box).value, 8);
  box.reset();
  EXPECT_FALSE(box.has_value());
  box = Large{.value = 9};
  EXPECT_EQ(box->value, 9);
  box = std::nullopt;
  EXPECT_FALSE(box);
  box = std::optional<Large>{};
  EXPECT_FALSE(box);
  box = std::optional{Large{.value = 10}};
  EXPECT_EQ(box->value, 10);
}

TEST(Boxed, gives_away_what_it_holds) {
  Boxed<std::unique_ptr<int>> box{std::make_unique<int>(3)};
  const std::unique_ptr<int> taken = *std::exchange(box, std::nullopt);
  EXPECT_EQ(*taken, 3);
  EXPECT_FALSE(box);
}

}  // namespace
}  // namespace qanat
