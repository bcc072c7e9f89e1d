// Why IKE messages were not acted upon: one list makes the counter, its metric and its help text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace qanat::ike {

// NAME, help
#define QANAT_IKE_COUNTERS(X)                                                                        \
  X(malformed, "datagrams that are no IKE message: length, payload chain or a field is wrong")       \
  X(bad_version, "messages of a major version other than 2")                                         \
  X(unknown_spi, "messages for an IKE SA that does not exist here")                                  \
  X(wrong_role, "messages whose Initiator flag contradicts the IKE SA's roles")                      \
  X(not_encrypted, "messages of an exchange that must be encrypted, in the clear")                   \
  X(icv_failed, "messages whose integrity check failed: damaged, forged, or other keys")             \
  X(exchange_not_allowed, "exchanges that are not legal in the state of their IKE SA")               \
  X(message_id, "requests and responses outside the window")                                         \
  X(retransmission, "retransmitted requests that were answered with the stored response")            \
  X(repeated_elsewhere, "retransmitted requests from a new address, left unanswered: too many")      \
  X(in_progress, "retransmissions of a request that is still being worked on")                       \
  X(not_a_retransmission, "old Message IDs with other content than the request they repeat")         \
  X(fragment_duplicate, "fragments that had already arrived")                                        \
  X(fragment_stale, "fragments of an earlier, coarser fragmentation")                                \
  X(fragment_too_large, "fragmented messages over the bounds for number or size")                    \
  X(fragment_not_negotiated, "fragments from a peer that did not negotiate RFC 7383")                \
  X(fragment_timeout, "fragmented messages that never became complete")                              \
  X(cookie_demanded, "IKE_SA_INIT requests answered with a cookie, without state")                   \
  X(cookie_bad, "IKE_SA_INIT requests with a cookie that is not ours or too old")                    \
  X(puzzle_unsolved, "IKE_SA_INIT requests with a cookie whose puzzle was not solved")               \
  X(puzzle_reused, "IKE_SA_INIT requests with a puzzle's solution that had been used before")        \
  X(half_open_limit, "IKE_SA_INIT requests refused because too many IKE SAs are in the making")      \
  X(no_tunnel, "IKE_SA_INIT requests from or to addresses that no tunnel has")                       \
  X(no_proposal, "IKE_SA_INIT requests without a proposal that a tunnel accepts")                    \
  X(invalid_ke, "IKE_SA_INIT requests whose key exchange is not the chosen one")                     \
  X(bad_key_exchange, "key exchange values that fail their checks")                                  \
  X(authentication_failed, "IKE_AUTH exchanges that did not authenticate the peer")                  \
  X(worker_timeout, "signatures that were not made or judged in time")                               \
  X(unexpected_response, "responses to no request of ours")                                          \
  X(rival_answer, "attempts begun anew: several IKE_SA_INIT answers, and the one taken was mute")    \
  X(bad_answer, "IKE_SA_INIT responses that do not fit our request")                                 \
  X(error_hint, "unauthenticated error notifications")                                               \
  X(invalid_spi_sent, "notices to peers whose packets are for SAs that do not exist here")           \
  X(crash_proved, "IKE SAs that their peer has shown to have lost with a crash (RFC 6290)")          \
  X(path_error, "network errors (ICMP) about the path to a peer")                                    \
  X(not_answered, "messages in the clear left without an answer: too many, or too small")            \
  X(half_open_timeout, "IKE SAs whose peer never finished the handshake")                            \
  X(keepalive, "NAT keepalives received")                                                            \
  X(temporary_failure, "CREATE_CHILD_SA requests refused for now: something else is under way")      \
  X(child_sa_not_found, "rekeys of a Child SA that does not exist here")                             \
  X(no_additional_sas, "CREATE_CHILD_SA requests over the limit of Child SAs")                       \
  X(child_no_proposal, "CREATE_CHILD_SA requests without a proposal that the tunnel accepts")        \
  X(child_invalid_ke, "CREATE_CHILD_SA requests whose key exchange is not the chosen one")           \
  X(ts_unacceptable, "CREATE_CHILD_SA requests whose traffic selectors are not acceptable")          \
  X(state_not_found, "IKE_FOLLOWUP_KE requests that carry nothing on")                               \
  X(followup_timeout, "CREATE_CHILD_SA exchanges whose IKE_FOLLOWUP_KE never came")                  \
  X(create_refused, "CREATE_CHILD_SA and IKE_FOLLOWUP_KE requests of ours that were refused")        \
  X(bad_create_answer, "CREATE_CHILD_SA and IKE_FOLLOWUP_KE answers that do not fit our request")    \
  X(plane_refused, "Child SAs that the packet path did not take")                                    \
  X(refragmented, "messages sent again in smaller fragments, because the larger ones had no answer") \
  X(path_probe, "requests sent on another path, because the one in use gave no answer")              \
  X(address_refused, "address updates of MOBIKE that were refused, by either side")                  \
  X(invalid_selectors_sent, "notices to peers whose packets are outside their traffic selectors")    \
  X(invalid_selectors_received, "notices that packets of ours are outside their traffic selectors")  \
  X(keys_made_ahead, "key pairs made while there was nothing else to do, each for one handshake")    \
  X(thread_busy, "datagrams dropped because too many waited for the IKE thread that they were for")

enum class Counter : std::uint8_t {
#define QANAT_X(name, help) name,
  QANAT_IKE_COUNTERS(QANAT_X)
#undef QANAT_X
      kCount
};

struct CounterInfo {
  std::string_view name;
  std::string_view help;
};
inline constexpr std::array<CounterInfo, static_cast<std::size_t>(Counter::kCount)> kCounterInfo{{
#define QANAT_X(name, help) CounterInfo{#name, help},
    QANAT_IKE_COUNTERS(QANAT_X)
#undef QANAT_X
}};

class Counters {
 public:
  void add(Counter c, std::uint64_t n = 1) { values_[static_cast<std::size_t>(c)] += n; }
  [[nodiscard]] std::uint64_t operator[](Counter c) const { return values_[static_cast<std::size_t>(c)]; }
  [[nodiscard]] const std::array<std::uint64_t, static_cast<std::size_t>(Counter::kCount)>& all() const {
    return values_;
  }

 private:
  std::array<std::uint64_t, static_cast<std::size_t>(Counter::kCount)> values_{};
};

}  // namespace qanat::ike
