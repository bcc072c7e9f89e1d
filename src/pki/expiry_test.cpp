#include "pki/expiry.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pki/issue.hpp"

namespace qanat::pki {
namespace {

using ::testing::HasSubstr;

constexpr WallTime kNow{1'790'000'000};
constexpr std::int64_t kDay = 86'400;

TEST(Expiry, the_first_of_a_chain_counts) {
  SeededRng rng{5};
  const KeyChoice ec{crypto::KeyKind::EcP256, 0};
  const auto made = make_ca("Example CA", ec, kNow, 3650, rng).value();
  const Authority ca{made.certificate, made.key};
  const std::vector ids{wire::Identity::parse("fqdn:berlin.example.com").value()};
  const auto leaf = issue(ca, ids, ec, kNow, 90, rng).value();
  const auto other = issue(ca, ids, ec, kNow, 60, rng).value();
  EXPECT_FALSE(first_to_expire({}).has_value());
  EXPECT_FALSE(first_to_expire(std::vector<Bytes>{{1, 2, 3}}).has_value());
  const auto first = first_to_expire(
      std::vector{leaf.certificate.der(), other.certificate.der(), Bytes{0x30}, made.certificate.der()});
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->until, other.certificate.not_after());
  EXPECT_EQ(first->subject, other.certificate.subject());
}

TEST(Expiry, is_said_thirty_days_before_and_after) {
  const Expiry e{"CN=berlin", kNow};
  const auto said = [&](std::int64_t seconds_left) {
    return expiry_warning(e, WallTime{kNow.seconds - seconds_left}).value_or("nothing");
  };
  EXPECT_EQ(said(300 * kDay), "nothing");
  EXPECT_EQ(said(30 * kDay), "nothing");
  EXPECT_EQ(said(30 * kDay - 1), "the certificate CN=berlin expires in 29 days, on 2026-09-21");
  EXPECT_THAT(said(2 * kDay - 1), HasSubstr("in 1 day,"));
  EXPECT_THAT(said(kDay - 1), HasSubstr("within a day"));
  EXPECT_THAT(said(0), HasSubstr("within a day"));
  EXPECT_EQ(said(-1), "the certificate CN=berlin has expired on 2026-09-21: peers refuse it");
  EXPECT_THAT(said(-1000 * kDay), HasSubstr("has expired"));
}

}  // namespace
}  // namespace qanat::pki
