// Making: what an IKE SA keeps while its handshake is under way, and not for a moment longer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "ike/actions.hpp"
#include "ike/key_schedule.hpp"

namespace qanat::ike {

struct HeldAnswer {
  Path path;
  Bytes datagram;
};

// Several answers to IKE_SA_INIT (rivals.cpp).
struct Rivals {
  bool seen = false;   // another answer than the one that was taken
  bool waits = false;  // the next answer is kept until its rivals have come
  std::vector<HeldAnswer> held;
};

// What only a handshake needs. It takes more room than all the rest, so it is not there once that is over.
struct Making {
  KeySet keys;
  KeysWithoutPpk without_ppk;  // what they were without the PPK, until the peer has proved itself
  IntAuth int_auth_i;
  IntAuth int_auth_r;
  Bytes init_request;  // RealMessage1 and 2 of RFC 7296 2.15
  Bytes init_response;
  std::vector<Bytes> earlier_init_requests;  // before somebody, perhaps not the peer, demanded (other) cookies
  std::vector<std::uint64_t> other_answers;  // SPIr of further answers to them
  Rivals rivals;
  Bytes auth_solution;
  std::string classical_reason;
  std::string_view classical_code;  // SafetyVerdict::code
  std::string hint;
};

}  // namespace qanat::ike
