// CaptureSet: the packet captures that run in a packet path. It looks at inner packets, keeps copies of those that
// fit, and hands them over in chunks; what a capture may take is bounded before it begins.
//
//   commands  begin(), stop(), forget()
//   inputs    see(): one packet, only when not empty(); handle_timeout()
//   outputs   ipsec::CaptureChunk events, appended to the queue that it was made with
//   getters   empty(), next_timeout()
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "esp/inner_packet.hpp"
#include "ipsec/data_plane.hpp"
#include "wan/flow.hpp"

namespace qanat::wan {

// Of a protocol with port numbers, when they are known.
[[nodiscard]] std::optional<esp::Ports> known_ports(const esp::InnerPacket& p);
[[nodiscard]] std::optional<esp::Ports> known_ports(const Flow& flow, Direction direction);
[[nodiscard]] bool takes(const ipsec::CaptureFilter& filter, const esp::InnerPacket& p,
                         const std::optional<esp::Ports>& ports);

class CaptureSet {
 public:
  static constexpr std::size_t kMany = 16;                     // at once; another ends as TooMany
  static constexpr std::size_t kChunk = std::size_t{1} << 16;  // octets of a full chunk
  static constexpr Duration kPatience = 100ms;                 // of a chunk that does not become full

  explicit CaptureSet(std::deque<ipsec::Event>& events) : events_(events) {}

  [[nodiscard]] bool empty() const { return running_.empty(); }
  void begin(Instant now, ipsec::StartCapture wish);
  // Of one that does not run: nothing.
  void stop(CaptureId capture);
  // Captures of this tunnel alone end.
  void forget(TunnelId tunnel);
  void see(Instant now, const ipsec::TunnelPlan& tunnel, ipsec::CapturedPacket::Way way, ByteView packet,
           const esp::InnerPacket& p, const std::optional<esp::Ports>& ports);
  void handle_timeout(Instant now);
  [[nodiscard]] std::optional<Instant> next_timeout() const;

 private:
  struct Running {
    ipsec::StartCapture wish;
    Instant until;
    std::uint32_t packets = 0;
    std::uint64_t bytes = 0;
    std::vector<TunnelId> told;  // whose names were told
    ipsec::CaptureChunk chunk;
    Instant chunk_since;  // its first packet
  };
  void hand_over(Running& capture);
  void end(Running& capture, ipsec::CaptureEnd why);
  void sweep();

  std::deque<ipsec::Event>& events_;
  std::vector<Running> running_;
};

}  // namespace qanat::wan
