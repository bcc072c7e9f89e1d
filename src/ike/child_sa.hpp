// ChildSa: one Child SA of an IKE SA, from the commands that install it to the end of its inbound keys.
//
//   Installing -> Live -> [Rekeying ->] Rekeyed -> Deleting -> Retired -> gone
//
// Live: it may carry. Rekeying: our request for its successor is under way. Rekeyed: a successor stands; whoever asked
// for it deletes this one. Deleting: our DELETE is queued or on its way. Retired: the DELETE exchange is over, the
// inbound keys still open what is under way (rules.md "Rekey without loss").
#pragma once

#include <map>
#include <optional>

#include "ike/status.hpp"

namespace qanat::ike {

inline constexpr std::size_t kMaxChildren = 128;  // of one IKE SA, and as many more that have been rekeyed

struct ChildSa {
  ChildInfo info;  // with its state
  RequestId inbound_request;
  RequestId outbound_request;
  bool inbound_done = false;
  bool outbound_done = false;
  bool inbound_in_plane = false;
  bool outbound_in_plane = false;
  bool announced = false;       // ChildUp was reported
  bool awaits_inbound = false;  // as responder: we send on the old SA until the peer sends on this one
  bool unwanted = false;        // to be deleted, as soon as the packet path has taken it
  bool unconfirmed = false;     // as responder: the peer has not shown yet that our answer reached it
  std::optional<ChildSaId> replaces;
  std::optional<Instant> rekey_at;
  std::optional<Instant> renew_at;   // no rekey has succeeded: a new IKE SA is wanted (90 % of the lifetime)
  std::optional<Instant> expire_at;  // hard
  std::optional<Instant> carry_at;   // of one that awaits the peer's packets beside an older IKE SA: then without them
  // Installing: how long the packet path may take. Rekeyed and redundant: how long the peer may take to delete it.
  // Retired: the end of the inbound keys.
  std::optional<Instant> deadline;

  [[nodiscard]] bool carries() const {
    return info.state == ChildState::Live || info.state == ChildState::Rekeying || info.state == ChildState::Rekeyed;
  }
  [[nodiscard]] std::optional<Instant> next_timeout() const {
    std::optional<Instant> next;
    for (const auto& at : {rekey_at, renew_at, expire_at, carry_at, deadline}) {
      if (at && (!next || *at < *next)) next = at;
    }
    return next;
  }
};

using ChildSas = std::map<ChildSaId, ChildSa>;

}  // namespace qanat::ike
