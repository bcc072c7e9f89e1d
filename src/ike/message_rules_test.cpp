#include "ike/message_rules.hpp"

#include <gtest/gtest.h>

#include "wire/testing.hpp"

namespace qanat::ike {
namespace {

using wire::ExchangeType;
using wire::NotifyType;
using wire::PayloadType;

wire::Payload sample(PayloadType type) {
  for (const auto& p : wire::testing::every_payload()) {
    if (wire::type_of(p.payload) == type) return p.payload;
  }
  return wire::UnknownPayload{type, false, {}};
}
wire::Payloads chain(std::initializer_list<PayloadType> types) {
  wire::Payloads out;
  for (const PayloadType t : types) out.push_back(sample(t));
  return out;
}
std::uint16_t verdict(ExchangeType exchange, Direction direction, const wire::Payloads& payloads) {
  const Status s = check_payloads(exchange, direction, payloads);
  return s ? 0 : s.error().notify;
}
constexpr std::uint16_t kInvalidSyntax = 7;

TEST(MessageRules, CompleteMessagesPass) {
  using enum PayloadType;
  EXPECT_EQ(verdict(ExchangeType::IKE_SA_INIT, Direction::Request, chain({N, SA, KE, Nonce, N, V})), 0);
  EXPECT_EQ(verdict(ExchangeType::IKE_SA_INIT, Direction::Response, chain({SA, KE, Nonce, CERTREQ})), 0);
  EXPECT_EQ(verdict(ExchangeType::IKE_INTERMEDIATE, Direction::Request, chain({KE})), 0);
  EXPECT_EQ(verdict(ExchangeType::IKE_INTERMEDIATE, Direction::Response, chain({KE, N})), 0);
  EXPECT_EQ(
      verdict(ExchangeType::IKE_AUTH, Direction::Request, chain({IDi, IDr, AUTH, SA, TSi, TSr, CERT, CERTREQ, N, CP})),
      0);
  EXPECT_EQ(verdict(ExchangeType::IKE_AUTH, Direction::Response, chain({IDr, AUTH, SA, TSi, TSr})), 0);
  EXPECT_EQ(verdict(ExchangeType::CREATE_CHILD_SA, Direction::Request, chain({N, SA, KE, Nonce, TSi, TSr})), 0);
  EXPECT_EQ(verdict(ExchangeType::IKE_FOLLOWUP_KE, Direction::Request, chain({KE, N})), 0);
  EXPECT_EQ(verdict(ExchangeType::INFORMATIONAL, Direction::Request, chain({})), 0);
  EXPECT_EQ(verdict(ExchangeType::INFORMATIONAL, Direction::Request, chain({D, D, N, CP})), 0);
}

TEST(MessageRules, WhatIsMissingIsInvalidSyntax) {
  using enum PayloadType;
  EXPECT_EQ(verdict(ExchangeType::IKE_SA_INIT, Direction::Request, chain({SA, KE})), kInvalidSyntax);
  EXPECT_EQ(verdict(ExchangeType::IKE_SA_INIT, Direction::Request, chain({N})), kInvalidSyntax);
  EXPECT_EQ(verdict(ExchangeType::IKE_SA_INIT, Direction::Request, {}), kInvalidSyntax);
  EXPECT_EQ(verdict(ExchangeType::IKE_INTERMEDIATE, Direction::Request, {}), kInvalidSyntax);
  EXPECT_EQ(verdict(ExchangeType::IKE_AUTH, Direction::Request, chain({AUTH, SA, TSi, TSr})), kInvalidSyntax);
}

TEST(MessageRules, WhatStandsTwiceIsInvalidSyntax) {
  using enum PayloadType;
  EXPECT_EQ(verdict(ExchangeType::IKE_SA_INIT, Direction::Request, chain({SA, KE, KE, Nonce})), kInvalidSyntax);
  EXPECT_EQ(verdict(ExchangeType::IKE_SA_INIT, Direction::Request, chain({SA, SA, KE, Nonce})), kInvalidSyntax);
  EXPECT_EQ(verdict(ExchangeType::IKE_AUTH, Direction::Request, chain({IDi, IDi, AUTH})), kInvalidSyntax);
  EXPECT_EQ(verdict(ExchangeType::IKE_AUTH, Direction::Response, chain({IDr, AUTH, AUTH})), kInvalidSyntax);
  EXPECT_EQ(verdict(ExchangeType::IKE_INTERMEDIATE, Direction::Response, chain({KE, KE})), kInvalidSyntax);
}

TEST(MessageRules, WhatDoesNotBelongThereIsInvalidSyntax) {
  using enum PayloadType;
  EXPECT_EQ(verdict(ExchangeType::IKE_SA_INIT, Direction::Request, chain({SA, KE, Nonce, AUTH})), kInvalidSyntax);
  EXPECT_EQ(verdict(ExchangeType::IKE_INTERMEDIATE, Direction::Request, chain({KE, SA})), kInvalidSyntax);
  EXPECT_EQ(verdict(ExchangeType::IKE_AUTH, Direction::Response, chain({IDi})), kInvalidSyntax);
  EXPECT_EQ(verdict(ExchangeType::INFORMATIONAL, Direction::Request, chain({SA})), kInvalidSyntax);
}

TEST(MessageRules, AnErrorOrACookieNeedsNothingElse) {
  const auto n = [](NotifyType t) { return wire::NotifyPayload{wire::ProtocolId::None, {}, t, {}}; };
  EXPECT_EQ(verdict(ExchangeType::IKE_SA_INIT, Direction::Response, {n(NotifyType::NO_PROPOSAL_CHOSEN)}), 0);
  EXPECT_EQ(verdict(ExchangeType::IKE_SA_INIT, Direction::Response, {n(NotifyType::COOKIE)}), 0);
  EXPECT_EQ(verdict(ExchangeType::IKE_INTERMEDIATE, Direction::Response, {n(NotifyType::INVALID_SYNTAX)}), 0);
  EXPECT_EQ(verdict(ExchangeType::IKE_INTERMEDIATE, Direction::Request, {n(NotifyType::INVALID_SYNTAX)}),
            kInvalidSyntax);
  EXPECT_EQ(verdict(ExchangeType::IKE_SA_INIT, Direction::Response, {}), kInvalidSyntax);
}

TEST(MessageRules, AnUnknownCriticalPayloadIsNamed) {
  const wire::Payloads payloads{wire::UnknownPayload{static_cast<PayloadType>(99), false, {}},
                                wire::UnknownPayload{static_cast<PayloadType>(101), true, {}}};
  EXPECT_EQ(verdict(ExchangeType::INFORMATIONAL, Direction::Request, payloads), 1);
  EXPECT_EQ(unknown_critical(payloads), 101);
  EXPECT_EQ(verdict(ExchangeType::INFORMATIONAL, Direction::Request, {payloads[0]}), 0);
}

TEST(MessageRules, TheFirstErrorIsFoundAmongStatusNotifications) {
  const wire::Payloads payloads{wire::NotifyPayload{wire::ProtocolId::None, {}, NotifyType::COOKIE, {}},
                                wire::NotifyPayload{wire::ProtocolId::None, {}, NotifyType::TS_UNACCEPTABLE, {}}};
  ASSERT_NE(first_error(payloads), nullptr);
  EXPECT_EQ(first_error(payloads)->type, NotifyType::TS_UNACCEPTABLE);
  EXPECT_EQ(first_error({payloads[0]}), nullptr);
}

}  // namespace
}  // namespace qanat::ike
