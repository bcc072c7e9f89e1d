// IKE fragments of an authenticated, hostile peer (RFC 7383): one message, cut and sealed with the right keys, its
// fragments in any order, repeated, damaged, of other totals and Message IDs. In the end they all arrive; then the
// receiver must stand as its twin does, which got the same message in one piece.
//
// Input: [count: u8][exchange: u8][first payload: u8][steps: u8][that many steps][plaintext].
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "exchange/world.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace qanat;

constexpr std::uint8_t kExchanges[] = {37, 36, 44, 35, 43};
constexpr std::uint32_t kNextRequest = 3;  // after IKE_SA_INIT, IKE_INTERMEDIATE, IKE_AUTH

exchange::World established() {
  exchange::World w{1};
  for (exchange::Side* s : {&w.a, &w.b}) s->tunnel.dpd_idle = std::chrono::hours{4};  // nothing else moves meanwhile
  return w;
}

struct Message {
  exchange::World::Sealing whole;
  std::uint16_t total = 1;

  [[nodiscard]] exchange::World::Sealing part(std::uint16_t number) const {
    exchange::World::Sealing out = whole;
    const std::size_t room = (whole.plaintext.size() + total - 1U) / total;
    const std::size_t begin = std::min<std::size_t>(room * (number - 1U), whole.plaintext.size());
    const std::size_t end = std::min<std::size_t>(begin + room, whole.plaintext.size());
    out.plaintext.assign(whole.plaintext.begin() + static_cast<std::ptrdiff_t>(begin),
                         whole.plaintext.begin() + static_cast<std::ptrdiff_t>(end));
    if (number > 1) out.first = wire::PayloadType::None;
    out.fragment = number;
    out.total = total;
    return out;
  }
};

void step(exchange::World& w, const Message& message, std::uint8_t how) {
  auto s = message.part(static_cast<std::uint16_t>(1 + (how & 7) % message.total));
  s.break_icv = (how & 8) != 0;
  if ((how & 16) != 0) s.total = static_cast<std::uint16_t>(s.total + 1);
  if ((how & 32) != 0) s.message_id += 7;
  if ((how & 64) != 0) w.advance(std::chrono::seconds{1});
  s.response = (how & 128) != 0;
  w.arrive(w.sealed('A', s));
}

struct Outcome {
  std::size_t sas = 0;
  std::vector<ike::SaState> states;
  std::size_t inbound = 0;
  std::size_t outbound = 0;
  std::string said;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};
Outcome outcome(const exchange::World& w) {
  Outcome out;
  for (const ike::SaInfo& sa : w.b.endpoint->sas()) out.states.push_back(sa.state);
  out.sas = out.states.size();
  out.inbound = w.b.plane.inbound.size();
  out.outbound = w.b.plane.outbound.size();
  out.said = w.b.said();
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteReader in{ByteView{data, size}};
  const auto count = in.u8("count");
  const auto exchange = in.u8("exchange");
  const auto first = in.u8("first");
  const auto steps = in.u8("steps");
  if (!count || !exchange || !first || !steps) return 0;
  const ByteView order = *in.take(std::min<std::size_t>({*steps, in.remaining(), 32}), "steps");
  Message message;
  message.total = static_cast<std::uint16_t>(1 + *count % 8);
  message.whole.exchange = static_cast<wire::ExchangeType>(kExchanges[*exchange % std::size(kExchanges)]);
  message.whole.message_id = kNextRequest;
  message.whole.first = static_cast<wire::PayloadType>(*first);
  message.whole.plaintext = to_bytes(*in.take(std::min<std::size_t>(in.remaining(), 4000), "plaintext"));

  exchange::World w = established();
  w.handshake();
  const auto answers = [&] {
    return std::ranges::count_if(w.sent, [&](const exchange::Flight& f) {
      const auto header = wire::parse_header(ByteView{f.bytes}.subspan(f.path.local.port == 4500 ? 4 : 0));
      return f.from == 'B' && header && header->is_response() && header->message_id == kNextRequest;
    });
  };
  for (const std::uint8_t how : order) step(w, message, how);
  w.advance(std::chrono::seconds{201});  // half a message of a peer that we know has been forgotten by now
  for (std::uint16_t number = 1; number <= message.total; ++number) w.arrive(w.sealed('A', message.part(number)));

  w.advance(std::chrono::seconds{31});  // and a refused IKE SA lingers no more

  exchange::World twin = established();
  twin.handshake();
  twin.arrive(twin.sealed('A', message.whole));
  twin.advance(w.now - twin.now);
  ensure(outcome(w) == outcome(twin), "fragments mean what the whole message means");
  // A response for each time that the first fragment came and the message was complete, and no more.
  ensure(static_cast<std::size_t>(answers()) <= (order.size() + 2) * 4, "answers are bounded");

  for (exchange::World* each : {&w, &twin}) {
    each->wire.clear();
    each->advance(std::chrono::hours{10});
    ensure(each->b.plane.inbound.empty() && each->b.plane.outbound.empty() && each->b.plane.reserved.empty(),
           "no SA and no SPI is left");
    ensure(each->b.endpoint->sas().empty() && each->b.endpoint->half_open() == 0, "no IKE SA is left");
  }
  return 0;
}
