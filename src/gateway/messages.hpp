// What the Director and the IKE shards say to each other: values in one-way queues, so that a shard can move to a
// thread of its own and the simulator can run all on one.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "ike/actions.hpp"
#include "ike/config.hpp"
#include "ike/counters.hpp"
#include "ike/mobike.hpp"
#include "ike/status.hpp"

namespace qanat::gateway {

// Director -> IkeShard.
struct SetIkeTunnel {
  ike::TunnelRef tunnel;
};
struct UpdateIkeTunnel {  // of one that was set
  ike::TunnelRef tunnel;
  ike::TunnelChange change;
};
struct RemoveIkeTunnel {
  TunnelId tunnel;
};
struct Initiate {
  TunnelId tunnel;
};
struct Complete {  // an IKE SA without a Child SA makes one; there is none: NothingToComplete
  TunnelId tunnel;
};
struct Rekey {  // new keys now, inside the IKE SA
  TunnelId tunnel;
  enum class What : std::uint8_t { Children, Ike } what = What::Children;
};
struct Terminate {
  TunnelId tunnel;
  std::string why;
};
using ToIkeShard = std::variant<SetIkeTunnel, UpdateIkeTunnel, RemoveIkeTunnel, Initiate, Complete, Rekey, Terminate,
                                ike::SignAnswer, ike::VerifyAnswer, ike::Crossing>;

// IkeShard -> Director. Everything that the IKE core puts out; commands for the packet path pass through the Director
// only in the cluster, here they go straight on.
struct CannotInitiate {
  TunnelId tunnel;
  Error error;
};
struct NothingToComplete {
  TunnelId tunnel;
};
struct Reported {
  ike::Report report;
  std::vector<ike::SaInfo> sas;  // of the report's tunnel in that shard; with ChildUp and IkeUp only
};
using FromIkeShard = std::variant<ike::Action, Reported, CannotInitiate, NothingToComplete>;

// Who asked the packet path for something is in the high bits of the RequestId, where ike::kShardShift has it: an
// answer finds its way back.
inline constexpr std::uint64_t kDirectorOrigin = ike::kMaxShards;

}  // namespace qanat::gateway
