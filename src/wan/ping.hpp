// PingDesk: echo requests that an operator asks for (`qanat ping NAME`), from our interface address to the peer's,
// inside one tunnel. What comes back is told apart from health's probes by a key of its own.
//
//   command  begin(): the packet to send
//   inputs   handle_packet(), expire(): one at a time until nothing, when next_timeout() has come
//   getters  is_full(), next_timeout()
#pragma once

#include <deque>
#include <optional>

#include "base/rng.hpp"
#include "wan/probe.hpp"

namespace qanat::wan {

class PingDesk {
 public:
  static constexpr Duration kPatience = 2s;
  static constexpr std::size_t kMany = 64;  // under way

  explicit PingDesk(Rng& rng) : codec_(rng) {}

  struct Ended {
    RequestId request;
    ProbePath path;
    std::optional<Duration> round_trip;  // nullopt: no answer
  };
  struct Taken {
    bool ours = false;           // an answer to some ping of ours, perhaps a late one
    std::optional<Ended> ended;  // that was waited for
  };

  [[nodiscard]] bool is_full() const { return open_.size() >= kMany; }
  // Not when it is full.
  [[nodiscard]] Bytes begin(Instant now, RequestId request, TunnelId tunnel, const ProbePath& path);
  [[nodiscard]] Taken handle_packet(Instant now, TunnelId through, ByteView packet, const esp::InnerPacket& p);
  [[nodiscard]] std::optional<Ended> expire(Instant now);
  [[nodiscard]] std::optional<Instant> next_timeout() const;

 private:
  struct Open {
    RequestId request;
    TunnelId tunnel;
    ProbePath path;
    std::uint16_t sequence = 0;
    Instant sent;
  };
  ProbeCodec codec_;
  std::deque<Open> open_;  // the oldest first
  std::uint16_t next_sequence_ = 0;
};

}  // namespace qanat::wan
