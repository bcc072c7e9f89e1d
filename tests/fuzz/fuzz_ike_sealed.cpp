// What an authenticated, hostile peer can send: the fuzzer's octets are the plaintext, sealed with the right keys, in
// any exchange, position, message ID and split. Nothing aborts, an SA is installed only after a true IKE_AUTH, and
// everything is forgotten in the end.
//
// Input: [position: u8], then repeated [flags: u8][exchange: u8][mid: u8][first: u8][size: u16][octets]; or the octets
// are changes (doctored.hpp) to the true message under way, which is then delivered.
#include <cstddef>
#include <cstdint>

#include "exchange/world.hpp"
#include "fuzz/doctored.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace qanat;

constexpr std::uint8_t kExchanges[] = {34, 35, 36, 37, 43, 44, 38, 240};

bool play(exchange::World& w, ByteReader& in) {
  const auto flags = in.u8("flags");
  const auto exchange = in.u8("exchange");
  const auto mid = in.u8("mid");
  const auto first = in.u8("first");
  const auto size = in.u16("size");
  if (!flags || !exchange || !mid || !first || !size) return false;
  const ByteView octets = *in.take(std::min<std::size_t>(*size, in.remaining()), "octets");
  if ((*flags & 0x48) == 0x40) {
    if (w.wire.empty()) return true;
    const std::size_t index = *mid % w.wire.size();
    fuzz::doctor(w, index, octets);
    w.deliver(index);
    return true;
  }
  exchange::World::Sealing s;
  s.exchange = static_cast<wire::ExchangeType>(kExchanges[*exchange % std::size(kExchanges)]);
  s.response = (*flags & 1) != 0;
  s.message_id = *mid;
  s.first = static_cast<wire::PayloadType>(*first);
  s.plaintext = to_bytes(octets);
  if ((*flags & 4) != 0) s.pad_length = *mid;
  if ((*flags & 8) != 0) {
    s.total = static_cast<std::uint16_t>(1 + (*exchange >> 3));
    s.fragment = static_cast<std::uint16_t>(1 + (*flags >> 4) % s.total);
  }
  w.arrive(w.sealed((*flags & 2) != 0 ? 'A' : 'B', s));
  if ((*flags & 0x80) != 0) w.advance(std::chrono::seconds{*mid});
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  exchange::World w{1};
  w.begin();
  // Somewhere between IKE_SA_INIT and the established SA.
  for (int i = 0; i < 2 + data[0] % 5; ++i) w.deliver();
  if ((data[0] & 0x80) == 0) w.wire.clear();  // else the true messages are still on their way
  ByteReader in{ByteView{data, size}.subspan(1)};
  for (int steps = 0; steps < 24 && play(w, in); ++steps) {
  }
  if ((data[0] & 0x40) != 0) w.run();
  w.wire.clear();
  w.advance(std::chrono::hours{5});
  w.wire.clear();
  ensure(w.a.plane.inbound.empty() && w.b.plane.inbound.empty() && w.a.plane.outbound.empty() &&
             w.b.plane.outbound.empty(),
         "no SA is left");
  ensure(w.a.plane.reserved.empty() && w.b.plane.reserved.empty(), "no SPI is left");
  ensure(w.a.endpoint->sas().empty() && w.b.endpoint->sas().empty() && w.b.endpoint->half_open() == 0,
         "no IKE SA is left");
  return 0;
}
