#include "ike/message_rules.hpp"

#include <span>

#include <fmt/format.h>

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyType;
using wire::PayloadType;

namespace {

struct Rule {
  PayloadType type;
  std::size_t min;
  std::size_t max;
};

constexpr std::size_t kMany = wire::kMaxPayloads;

// Payload types that are not listed may not stand there; N and V are allowed everywhere.
constexpr Rule kInit[] = {{PayloadType::SA, 1, 1},
                          {PayloadType::KE, 1, 1},
                          {PayloadType::Nonce, 1, 1},
                          {PayloadType::CERTREQ, 0, kMany},
                          {PayloadType::PS, 0, 1}};
constexpr Rule kIntermediateRequest[] = {{PayloadType::KE, 1, 1}};
constexpr Rule kAuthRequest[] = {
    {PayloadType::IDi, 1, 1},         {PayloadType::IDr, 0, 1},  {PayloadType::CERT, 0, kMany},
    {PayloadType::CERTREQ, 0, kMany}, {PayloadType::AUTH, 0, 1}, {PayloadType::CP, 0, 1},
    {PayloadType::SA, 0, 1},          {PayloadType::TSi, 0, 1},  {PayloadType::TSr, 0, 1},
    {PayloadType::EAP, 0, 1},         {PayloadType::PS, 0, 1}};
constexpr Rule kAuthResponse[] = {{PayloadType::IDr, 0, 1}, {PayloadType::CERT, 0, kMany}, {PayloadType::AUTH, 0, 1},
                                  {PayloadType::CP, 0, 1},  {PayloadType::SA, 0, 1},       {PayloadType::TSi, 0, 1},
                                  {PayloadType::TSr, 0, 1}, {PayloadType::EAP, 0, 1}};
constexpr Rule kCreateChild[] = {{PayloadType::SA, 1, 1},
                                 {PayloadType::KE, 0, 1},
                                 {PayloadType::Nonce, 1, 1},
                                 {PayloadType::TSi, 0, 1},
                                 {PayloadType::TSr, 0, 1}};
constexpr Rule kFollowupKe[] = {{PayloadType::KE, 0, 1}};
constexpr Rule kInformational[] = {{PayloadType::D, 0, kMany}, {PayloadType::CP, 0, 1}};

std::span<const Rule> rules_of(ExchangeType exchange, Direction direction) {
  switch (exchange) {
    case ExchangeType::IKE_SA_INIT:
      return kInit;
    case ExchangeType::IKE_INTERMEDIATE:
      return kIntermediateRequest;
    case ExchangeType::IKE_AUTH:
      return direction == Direction::Request ? std::span<const Rule>{kAuthRequest}
                                             : std::span<const Rule>{kAuthResponse};
    case ExchangeType::CREATE_CHILD_SA:
      return kCreateChild;
    case ExchangeType::IKE_FOLLOWUP_KE:
      return kFollowupKe;
    default:
      return kInformational;
  }
}

constexpr auto kInvalidSyntax = static_cast<std::uint16_t>(NotifyType::INVALID_SYNTAX);
constexpr auto kUnsupportedCritical = static_cast<std::uint16_t>(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD);

}  // namespace

const wire::NotifyPayload* first_error(const wire::Payloads& payloads) {
  for (const wire::Payload& p : payloads) {
    const auto* notify = std::get_if<wire::NotifyPayload>(&p);
    if (notify != nullptr && wire::is_error(notify->type)) return notify;
  }
  return nullptr;
}

std::uint8_t unknown_critical(const wire::Payloads& payloads) {
  for (const wire::Payload& p : payloads) {
    const auto* unknown = std::get_if<wire::UnknownPayload>(&p);
    if (unknown != nullptr && unknown->critical) return static_cast<std::uint8_t>(unknown->type);
  }
  return 0;
}

Status check_payloads(ExchangeType exchange, Direction direction, const wire::Payloads& payloads) {
  if (const std::uint8_t type = unknown_critical(payloads); type != 0) {
    return fail(ErrorKind::PeerIncompatible, fmt::format("payload {}", type), "is critical and unknown",
                kUnsupportedCritical);
  }
  const std::span<const Rule> rules = rules_of(exchange, direction);
  const bool may_be_partial = direction == Direction::Response && first_error(payloads) != nullptr;
  // A COOKIE or other lone notification answers IKE_SA_INIT, too.
  const bool only_notifies =
      wire::count(payloads, PayloadType::N) + wire::count(payloads, PayloadType::V) == payloads.size() &&
      !payloads.empty();
  const bool is_init_answer =
      exchange == ExchangeType::IKE_SA_INIT && direction == Direction::Response && only_notifies;
  for (const Rule& rule : rules) {
    const std::size_t n = wire::count(payloads, rule.type);
    if (n > rule.max) {
      return fail(
          ErrorKind::Malformed, wire::to_string(exchange),
          fmt::format("has {} {} payloads, at most {} may stand there", n, wire::to_string(rule.type), rule.max),
          kInvalidSyntax);
    }
    if (n < rule.min && !may_be_partial && !is_init_answer) {
      return fail(ErrorKind::Malformed, wire::to_string(exchange),
                  fmt::format("lacks the {} payload", wire::to_string(rule.type)), kInvalidSyntax);
    }
  }
  for (const wire::Payload& p : payloads) {
    const PayloadType type = wire::type_of(p);
    if (type == PayloadType::N || type == PayloadType::V || std::holds_alternative<wire::UnknownPayload>(p)) continue;
    bool listed = false;
    for (const Rule& rule : rules) listed = listed || rule.type == type;
    if (!listed) {
      return fail(ErrorKind::Malformed, wire::to_string(exchange),
                  fmt::format("may not hold a {} payload", wire::to_string(type)), kInvalidSyntax);
    }
  }
  return {};
}

}  // namespace qanat::ike
