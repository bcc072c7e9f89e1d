#include "wire/numbers.hpp"

#include <gtest/gtest.h>

#include "base/text.hpp"

namespace qanat::wire {
namespace {

TEST(Numbers, have_the_names_of_the_rfcs) {
  EXPECT_EQ(to_string(ExchangeType::IKE_SA_INIT), "IKE_SA_INIT");
  EXPECT_EQ(to_string(ExchangeType::IKE_FOLLOWUP_KE), "IKE_FOLLOWUP_KE");
  EXPECT_EQ(to_string(PayloadType::SKF), "SKF");
  EXPECT_EQ(to_string(NotifyType::USE_ASSIGNED_HoA), "USE_ASSIGNED_HoA");
  EXPECT_EQ(to_string(NotifyType::IKE_SA_INIT_FULL_TRANSCRIPT_AUTH), "IKE_SA_INIT_FULL_TRANSCRIPT_AUTH");
  EXPECT_EQ(to_string(IdType::ID_KEY_ID), "ID_KEY_ID");
  EXPECT_EQ(to_string(AuthMethod::SharedKeyMic), "Shared Key Message Integrity Code");
  EXPECT_EQ(to_string(TransformType::ADDKE7), "ADDKE7");
}

TEST(Numbers, without_a_name_are_shown_as_numbers) {
  EXPECT_EQ(to_string(static_cast<ExchangeType>(99)), "exchange-99");
  EXPECT_EQ(to_string(static_cast<PayloadType>(99)), "payload-99");
  EXPECT_EQ(to_string(static_cast<NotifyType>(99)), "notify-99");
  EXPECT_EQ(to_string(static_cast<IdType>(99)), "id-99");
  EXPECT_EQ(to_string(static_cast<AuthMethod>(99)), "auth-99");
  EXPECT_EQ(to_string(static_cast<TransformType>(99)), "transform-99");
}

TEST(Numbers, every_value_has_printable_text) {
  for (unsigned v = 0; v <= 0xffff; ++v) {
    const std::string text = to_string(static_cast<NotifyType>(v));
    ASSERT_FALSE(text.empty());
    ASSERT_EQ(printable(text), text);
  }
  for (unsigned v = 0; v <= 0xff; ++v) {
    ASSERT_FALSE(to_string(static_cast<ExchangeType>(v)).empty());
    ASSERT_FALSE(to_string(static_cast<PayloadType>(v)).empty());
    ASSERT_FALSE(to_string(static_cast<IdType>(v)).empty());
    ASSERT_FALSE(to_string(static_cast<AuthMethod>(v)).empty());
    ASSERT_FALSE(to_string(static_cast<TransformType>(v)).empty());
  }
}

TEST(Numbers, errors_are_below_16384) {
  EXPECT_TRUE(is_error(NotifyType::STATE_NOT_FOUND));
  EXPECT_TRUE(is_error(static_cast<NotifyType>(16383)));
  EXPECT_FALSE(is_error(NotifyType::INITIAL_CONTACT));
}

}  // namespace
}  // namespace qanat::wire
