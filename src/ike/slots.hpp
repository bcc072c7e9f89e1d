// The two exchange slots of an IKE SA: what we have asked, and what the peer asked last with our answer to it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/boxed.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"
#include "ike/actions.hpp"
#include "wire/message.hpp"

namespace qanat::ike {

// A message as it was before it was sealed, kept until it is answered: it can be sent again in smaller fragments.
struct Unsealed {
  wire::IkeHeader header;
  wire::PayloadType first{};
  SecretBytes chain;
  wire::Payloads clear;
  unsigned generation = 0;    // of the keys that seal it
  std::size_t datagrams = 1;  // in how many it was sent last
};

struct Outstanding {  // our request
  std::uint32_t message_id = 0;
  wire::ExchangeType exchange{};
  std::vector<Bytes> datagrams;
  unsigned sends = 0;
  Instant first_sent;
  Boxed<Unsealed> text{};  // when it could be cut smaller
  bool probing = false;    // has been sent on other paths, too
};

struct PeerSlot {  // the peer's last request and our response
  std::uint32_t next_message_id = 0;
  bool in_progress = false;
  Path path;
  std::array<std::uint8_t, 32> request_hash{};
  std::uint32_t request_datagrams = 1;
  unsigned generation = 0;  // of the keys that opened it
  std::vector<Bytes> response;
  Boxed<Unsealed> text;
  unsigned repeats = 0;    // of the request, and so of the response
  Instant next_elsewhere;  // to another place than the request's it is repeated no sooner
  Instant first_seen;
};

// A message whose integrity has been verified and whose payloads fit its exchange.
struct Verified {
  wire::ExchangeType exchange{};
  wire::Payloads payloads;
  std::optional<Error> fault;  // authentic, but no chain of payloads
  Bytes auth_header;           // IntAuth's A and P
  SecretBytes plaintext;
  std::array<std::uint8_t, 32> first_hash{};  // of the datagram, or of fragment 1
  std::uint32_t octets = 0;
  std::uint32_t datagrams = 1;
  std::uint32_t largest = 0;  // octets of the largest fragment; 0: it came whole
  Path arrived;
};

}  // namespace qanat::ike
