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
  void post(ipsec::Command command, const Send& send);

  // An event of any worker, as IKE and the Director hear it. nullopt: of an answer that is made of all workers' the
  // last part is not there yet.
  [[nodiscard]] std::optional<ipsec::Event> merge(ipsec::Event event);

 private:
  struct Parts {
    ipsec::Counters sum;
    std::uint32_t missing = 0;
  };

  // A capture of several tunnels runs in every worker, each with the whole bounds; what goes up keeps them together.
  // At its end whoever carries events posts StopCapture: some workers may not have reached theirs.
  struct Capture {
    std::uint64_t packets = 0;  // that it may still take
    std::uint64_t bytes = 0;
    std::uint32_t running = 0;  // workers that have not told an end
    bool over = false;          // its end was told; the other workers' are to be stopped
  };
  [[nodiscard]] std::optional<ipsec::Event> merge(ipsec::CaptureChunk&& chunk);

  WorkerMap map_;
  std::map<RequestId, Parts> counters_;  // that are awaited
  std::map<CaptureId, Capture> captures_;
};

}  // namespace qanat::wan
