#include "wire/sa_payload.hpp"

#include <fmt/format.h>

#include "wire/malformed.hpp"

namespace qanat::wire {

namespace {

constexpr const char* kWhere = "SA payload";
constexpr std::size_t kMaxProposals = 128;
constexpr std::size_t kSubstructureHeader = 8;  // of a proposal and of a transform alike
constexpr std::uint8_t kLast = 0;
constexpr std::uint8_t kMoreProposals = 2;
constexpr std::uint8_t kMoreTransforms = 3;
constexpr std::uint16_t kTvFormat = 0x8000;
constexpr std::uint16_t kKeyLength = 14;
// Stands for whatever attribute we did not understand, so that a transform that cannot be chosen stays one when it is
// written. From the private-use range; our own proposals never carry it.
constexpr std::uint16_t kUnknownAttribute = 0x7fff;

//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |A|       Attribute Type        |    AF=0  Attribute Length     |
// |F|                             |    AF=1  Attribute Value      |
// |                   AF=0  Attribute Value                       |
Status parse_attribute(ByteReader& in, Transform& transform) {
  QANAT_ASSIGN(const std::uint16_t type, in.u16("Attribute Type"));
  QANAT_ASSIGN(const std::uint16_t value, in.u16("Attribute Value"));
  if ((type & kTvFormat) == 0) {
    QANAT_TRY(in.take(value, "Attribute Value"));
    transform.has_unknown_attribute = true;
    return {};
  }
  if ((type & ~kTvFormat) == kKeyLength && !transform.key_length) {
    transform.key_length = value;
  } else {
    transform.has_unknown_attribute = true;
  }
  return {};
}

// "Last Substruc", RESERVED and the length, which both substructures begin with: a reader of what the length spans
// after these four octets. `more` is the value that says that another one follows; it must tell the truth.
Result<ByteView> take_substructure(ByteReader& in, std::uint8_t more, const char* name) {
  QANAT_ASSIGN(const std::uint8_t last, in.u8(name));
  QANAT_TRY(in.u8(name));
  QANAT_ASSIGN(const std::uint16_t length, in.u16(name));
  if (length < kSubstructureHeader || length - 4U > in.remaining()) {
    return malformed(kWhere,
                     fmt::format("{} length {} does not fit, {} octets are there", name, length, in.remaining() + 4));
  }
  if (last != kLast && last != more) {
    return malformed(kWhere, fmt::format("{} begins with {}, not {} or {}", name, last, kLast, more));
  }
  QANAT_ASSIGN(const ByteView body, in.take(length - 4U, name));
  if ((last == kLast) != in.empty()) {
    return malformed(kWhere, fmt::format("{} says that {}, but {} octets follow", name,
                                         last == kLast ? "it is the last" : "another follows", in.remaining()));
  }
  return body;
}

//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// | Last Substruc |   RESERVED    |        Transform Length       |
// |Transform Type |   RESERVED    |          Transform ID         |
// ~                      Transform Attributes                     ~
Result<Transform> parse_transform(ByteReader& in) {
  QANAT_ASSIGN(const ByteView body, take_substructure(in, kMoreTransforms, "transform"));
  ByteReader fields(body);
  Transform transform;
  QANAT_ASSIGN(const std::uint8_t type, fields.u8("Transform Type"));
  QANAT_TRY(fields.u8("RESERVED"));
  QANAT_ASSIGN(transform.id, fields.u16("Transform ID"));
  transform.type = static_cast<TransformType>(type);
  while (!fields.empty()) {
    QANAT_TRY(parse_attribute(fields, transform));
  }
  return transform;
}

void write_transform(ByteWriter& out, const Transform& transform, std::uint8_t last) {
  const std::size_t start = out.size();
  out.u8(last);
  out.u8(0);
  out.u16(0);
  out.u8(static_cast<std::uint8_t>(transform.type));
  out.u8(0);
  out.u16(transform.id);
  if (transform.key_length) {
    out.u16(kTvFormat | kKeyLength);
    out.u16(*transform.key_length);
  }
  if (transform.has_unknown_attribute) {
    out.u16(kTvFormat | kUnknownAttribute);
    out.u16(0);
  }
  out.patch_u16(start + 2, static_cast<std::uint16_t>(out.size() - start));
}

//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// | Last Substruc |   RESERVED    |         Proposal Length       |
// | Proposal Num  |  Protocol ID  |    SPI Size   |Num  Transforms|
// ~                        SPI (variable)                         ~
// ~                        <Transforms>                           ~
Result<Proposal> parse_proposal(ByteReader& in) {
  QANAT_ASSIGN(const ByteView body, take_substructure(in, kMoreProposals, "proposal"));
  ByteReader fields(body);
  Proposal proposal;
  QANAT_ASSIGN(proposal.number, fields.u8("Proposal Num"));
  QANAT_ASSIGN(const std::uint8_t protocol, fields.u8("Protocol ID"));
  QANAT_ASSIGN(const std::uint8_t spi_size, fields.u8("SPI Size"));
  QANAT_ASSIGN(const std::uint8_t transforms, fields.u8("Num Transforms"));
  QANAT_ASSIGN(const ByteView spi, fields.take(spi_size, "SPI"));
  proposal.protocol = static_cast<ProtocolId>(protocol);
  proposal.spi = to_bytes(spi);
  while (!fields.empty()) {
    QANAT_ASSIGN(const Transform transform, parse_transform(fields));
    proposal.transforms.push_back(transform);
  }
  if (proposal.transforms.empty() || proposal.transforms.size() != transforms) {
    return malformed(kWhere, fmt::format("proposal {} says {} transforms and has {}", proposal.number, transforms,
                                         proposal.transforms.size()));
  }
  return proposal;
}

void write_proposal(ByteWriter& out, const Proposal& proposal, std::uint8_t last) {
  ensure(proposal.spi.size() <= 255, "an SPI has at most 255 octets");
  ensure(!proposal.transforms.empty() && proposal.transforms.size() <= 255, "a proposal has 1 to 255 transforms");
  const std::size_t start = out.size();
  out.u8(last);
  out.u8(0);
  out.u16(0);
  out.u8(proposal.number);
  out.u8(static_cast<std::uint8_t>(proposal.protocol));
  out.u8(static_cast<std::uint8_t>(proposal.spi.size()));
  out.u8(static_cast<std::uint8_t>(proposal.transforms.size()));
  out.bytes(proposal.spi);
  for (const Transform& transform : proposal.transforms) {
    write_transform(out, transform, &transform == &proposal.transforms.back() ? kLast : kMoreTransforms);
  }
  out.patch_u16(start + 2, static_cast<std::uint16_t>(out.size() - start));  // at most 8 + 255 + 255 * 16
}

Result<SaPayload> parse_proposals(ByteView body) {
  SaPayload payload;
  ByteReader in(body);
  while (!in.empty()) {
    if (payload.proposals.size() == kMaxProposals) {
      return malformed(kWhere, fmt::format("has more than {} proposals", kMaxProposals));
    }
    QANAT_ASSIGN(Proposal proposal, parse_proposal(in));
    payload.proposals.push_back(std::move(proposal));
  }
  if (payload.proposals.empty()) {
    return malformed(kWhere, "has no proposal");
  }
  return payload;
}

}  // namespace

Result<SaPayload> parse_sa(ByteView body) {
  return in_payload(kWhere, parse_proposals(body));
}

void write_body(ByteWriter& out, const SaPayload& payload) {
  ensure(!payload.proposals.empty() && payload.proposals.size() <= kMaxProposals,
         "an SA payload has 1 to 128 proposals");
  for (const Proposal& proposal : payload.proposals) {
    write_proposal(out, proposal, &proposal == &payload.proposals.back() ? kLast : kMoreProposals);
  }
}

}  // namespace qanat::wire
