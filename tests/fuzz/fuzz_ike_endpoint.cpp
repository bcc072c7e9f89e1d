// Datagrams as strangers send them, against a live endpoint with an established and a half-open IKE SA: whatever
// comes, nothing aborts, nothing is installed, and the established IKE SA stays. The seeds are handshakes.
//
// Input: repeated [at: u8][size: u16][octets]; `at` chooses the receiver, the port and what the octets are: a datagram
// of their own, or changes (offset, value) to one that was really sent.
#include <cstddef>
#include <cstdint>

#include "exchange/world.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace qanat;

// `history`: how many of the datagrams sent so far may be replayed or changed.
void play(exchange::World& w, std::size_t history, ByteReader& in) {
  const auto at = in.u8("at");
  const auto size = in.u16("size");
  if (!at || !size) return;
  const ByteView octets = *in.take(std::min<std::size_t>(*size, in.remaining()), "octets");
  if ((*at & 0x80) != 0) {
    w.advance(std::chrono::milliseconds{*size});
    return;
  }
  const char from = (*at & 1) != 0 ? 'A' : 'B';
  exchange::Flight flight;
  if ((*at & 2) != 0) {
    flight = w.sent[(*at >> 2) % history];
    for (std::size_t i = 0; i + 2 < octets.size(); i += 3) {
      const std::size_t offset = load_be16(&octets[i]);
      if (offset < flight.bytes.size()) {
        flight.bytes[offset] = octets[i + 2];
      } else if (offset % 7 == 0) {
        flight.bytes.resize(std::max<std::size_t>(1, offset % flight.bytes.size()));
      }
    }
  } else {
    const std::uint16_t port = (*at & 4) != 0 ? 4500 : 500;
    flight.from = from;
    flight.path = {{w.side(from).address, port}, {w.side(from == 'A' ? 'B' : 'A').address, port}};
    flight.bytes = to_bytes(octets);
  }
  w.arrive(flight);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  exchange::World w{1};
  w.handshake();
  ensure(w.a.established().size() == 1 && w.b.established().size() == 1, "the handshake is done");
  const unsigned installs = w.a.plane.installs + w.b.plane.installs;
  // A second handshake stands half open.
  const Status begun = w.a.endpoint->initiate(w.now, w.a.tunnel.id);
  ensure(begun.has_value(), "another handshake begins");
  w.drain();
  w.deliver();
  w.deliver();
  w.wire.clear();
  const std::size_t history = w.sent.size();

  ByteReader in{ByteView{data, size}};
  for (int steps = 0; steps < 32 && !in.empty(); ++steps) play(w, history, in);
  // Answers do not get through, so the second handshake cannot have been completed: the fuzzer knows no key.
  ensure(w.a.plane.installs + w.b.plane.installs == installs, "an SA without authentication");
  ensure(w.sent.size() < history + 3000, "answers are bounded");
  w.wire.clear();
  w.advance(std::chrono::hours{5});
  w.wire.clear();
  ensure(w.a.plane.outbound.empty() && w.b.plane.outbound.empty() && w.a.plane.reserved.empty() &&
             w.b.plane.reserved.empty(),
         "nothing is left behind");
  ensure(w.b.endpoint->half_open() == 0, "half-open IKE SAs are forgotten");
  return 0;
}
