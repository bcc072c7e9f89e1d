// DataShards: several packet paths as the one ipsec::DataPlane that IKE and the Director see: who gets a command, and
// what one answer there is from several. Pure; the daemon and tests carry what it says.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>

#include "ipsec/data_plane.hpp"
#include "wan/worker_map.hpp"

namespace qanat::wan {

class DataShards {
 public:
  explicit DataShards(std::uint32_t workers) : map_{workers} {}

  [[nodiscard]] const WorkerMap& map() const { return map_; }

  // What an SA or a ping is about goes to its tunnel's owner, everything else to all: a command that names an SA or a
  // tunnel of another worker's changes nothing there. Commands to one worker must stay in order.
  using Send = std::function<void(std::uint32_t worker, ipsec::Command command)>;
  void post(ipsec::Command command, const Send& send) const;

  // An event of any worker, as IKE and the Director hear it. nullopt: of an answer that is made of all workers' the
  // last part is not there yet.
  [[nodiscard]] std::optional<ipsec::Event> merge(ipsec::Event event);

 private:
  struct Parts {
    ipsec::Counters sum;
    std::uint32_t missing = 0;
  };

  WorkerMap map_;
  std::map<RequestId, Parts> counters_;  // that are awaited
};

}  // namespace qanat::wan
