// A story: two live endpoints with a tunnel, and a fuzzer that has both sides' keys. It writes messages out of sensible
// pieces, changes, delivers, drops and repeats what is under way, lets time pass and gives commands, in any order.
// Nothing aborts, nobody talks without end, and when the wire falls silent everything is forgotten.
//
// Input: repeated [what: u8] and its arguments; see play().
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "exchange/world.hpp"
#include "fuzz/doctored.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace qanat;

constexpr std::uint8_t kExchanges[] = {37, 36, 44, 35, 43, 34};
constexpr std::size_t kMaxWire = 200;

std::uint8_t next(ByteReader& in) {
  return in.empty() ? std::uint8_t{0} : *in.u8("octet");
}

wire::NotifyPayload notify(std::uint16_t type, Bytes data = {}) {
  return exchange::notify(static_cast<wire::NotifyType>(type), std::move(data));
}

class Story {
 public:
  // Lifetimes so short that both sides renew their keys again and again in a story.
  Story() {
    for (exchange::Side* s : {&world_.a, &world_.b}) {
      s->tunnel.child_lifetime = std::chrono::minutes{2};
      s->tunnel.ike_lifetime = std::chrono::minutes{5};
      s->tunnel.mobike = true;
    }
    world_.handshake();
  }

  void play(ByteReader& in) {
    const std::uint8_t what = next(in);
    switch (what & 7) {
      case 0:
      case 1:
        write(in, what);
        break;
      case 2:
        if (!world_.wire.empty()) world_.deliver(next(in) % world_.wire.size());
        break;
      case 3:
        if (!world_.wire.empty()) world_.drop(next(in) % world_.wire.size());
        break;
      case 4:
        if (!world_.wire.empty()) world_.deliver_copy(next(in) % world_.wire.size());
        break;
      case 5:
        world_.advance(std::chrono::milliseconds{100} * (next(in) << (what >> 5)));
        break;
      case 6:
        command(in, what);
        break;
      default:
        if (what >> 3 != 0) {
          world_.run_for(std::chrono::seconds{4} * (what >> 3));
        } else {
          for (int i = 0; i < 64 && !world_.wire.empty(); ++i) world_.deliver();
        }
        break;
    }
    while (world_.wire.size() > kMaxWire) world_.drop();
  }

  void end() {
    for (exchange::Side* s : {&world_.a, &world_.b}) {
      s->plane.reserve = s->plane.inbound_answer = s->plane.outbound_answer = exchange::FakePlane::Answer::AtOnce;
      s->plane.give_late_answers();
    }
    world_.drain();
    for (int i = 0; i < 6; ++i) {
      world_.wire.clear();
      world_.advance(std::chrono::hours{1});
    }
    world_.wire.clear();
    for (const exchange::Side* s : {&world_.a, &world_.b}) {
      ensure(s->plane.inbound.empty() && s->plane.outbound.empty(), "no SA is left");
      ensure(s->plane.reserved.empty(), "no SPI is left");
      ensure(s->endpoint->sas().empty() && s->endpoint->half_open() == 0, "no IKE SA is left");
      ensure(!s->endpoint->next_timeout(), "no timer is left");
    }
    ensure(world_.sent.size() < 20'000, "talk is bounded");
  }

 private:
  [[nodiscard]] const exchange::Side& other(char who) const { return who == 'A' ? world_.b : world_.a; }

  // The Message ID after the last request that `who` has sent, or of the other side's last one for a response.
  [[nodiscard]] std::uint32_t expected_id(char who, bool response) const {
    const char from = response ? (who == 'A' ? 'B' : 'A') : who;
    std::uint32_t out = 0;
    const std::uint64_t spi_i = world_.newest_keys().spi_i;
    for (const exchange::Flight& f : world_.sent) {
      const auto header = wire::parse_header(ByteView{f.bytes}.subspan(f.path.local.port == 4500 ? 4 : 0));
      if (!header || f.from != from || header->is_response() || header->spi_i != spi_i) continue;
      out = std::max(out, header->message_id + (response ? 0U : 1U));
    }
    return response ? out : std::max(out, written_[who == 'A' ? 0 : 1]);
  }

  [[nodiscard]] std::uint32_t child_spi(char who) const {
    const auto& inbound = who == 'A' ? world_.a.plane.inbound : world_.b.plane.inbound;
    return inbound.empty() ? 0x1001U : inbound.begin()->second.spi;
  }

  // The link that the other side gave last (RFC 9370 2.2.4), so that IKE_FOLLOWUP_KE finds its exchange.
  [[nodiscard]] Bytes last_link(char who) const {
    unsigned looked = 0;
    for (auto f = world_.sent.rbegin(); f != world_.sent.rend() && looked < 8; ++f) {
      if (f->from == who || f->bytes.size() < wire::kIkeHeaderSize) continue;
      ++looked;
      const exchange::Seen seen = world_.look(*f);
      for (const wire::Payload& p : seen.payloads) {
        const auto* n = std::get_if<wire::NotifyPayload>(&p);
        if (n != nullptr && n->type == wire::NotifyType::ADDITIONAL_KEY_EXCHANGE) return n->data;
      }
    }
    return {};
  }

  [[nodiscard]] wire::Payload piece(ByteReader& in, char who) const {
    const std::uint8_t kind = next(in);
    const ike::TunnelConfig& tunnel = who == 'A' ? world_.a.tunnel : world_.b.tunnel;
    Bytes spi(4);
    store_be32(spi.data(), child_spi(who));
    switch (kind % 16) {
      case 0:
        return wire::DeletePayload{wire::ProtocolId::ESP, {child_spi(who)}};
      case 1:
        return wire::DeletePayload{wire::ProtocolId::IKE, {}};
      case 2:
        return wire::NotifyPayload{wire::ProtocolId::ESP, spi, wire::NotifyType::REKEY_SA, {}};
      case 3:
        return ipsec::offer_esp(tunnel.esp, 0x9000U + kind, tunnel.esn);
      case 4: {
        wire::SaPayload offer = ipsec::offer_ike(tunnel.ike);
        for (wire::Proposal& p : offer.proposals) p.spi = Bytes(8, kind);
        return offer;
      }
      case 5:
        return wire::NoncePayload{Bytes(32, kind)};
      case 6: {
        Bytes point(32, 0);
        point[0] = 9;
        return wire::KePayload{KeId::CURVE25519, point};
      }
      case 7:
        return wire::KePayload{KeId::ML_KEM_768, Bytes(kind < 128 ? 1184 : 1088, 0)};
      case 8:
        return wire::TsPayload{wire::PayloadType::TSi, tunnel.local_ts};
      case 9:
        return wire::TsPayload{wire::PayloadType::TSr, tunnel.remote_ts};
      case 10:
        return notify(next(in));  // the errors
      case 11:
        return notify(static_cast<std::uint16_t>(16384U + next(in)));
      case 12:
        return exchange::notify(wire::NotifyType::ADDITIONAL_KEY_EXCHANGE,
                                kind < 128 ? last_link(who) : Bytes(next(in), 1));
      case 13:
        return wire::UnknownPayload{static_cast<wire::PayloadType>(200), (kind & 0x80) != 0, Bytes(4, kind)};
      case 14:
        return wire::IdPayload{wire::PayloadType::IDi, tunnel.local_id};
      default:
        return wire::AuthPayload{wire::AuthMethod::SharedKeyMic, Bytes(48, kind)};
    }
  }

  void write(ByteReader& in, std::uint8_t what) {
    const char who = (what & 8) != 0 ? 'A' : 'B';
    const bool response = (what & 16) != 0;
    const std::uint8_t how = next(in);
    const auto exchange = static_cast<wire::ExchangeType>(kExchanges[(how & 15) % std::size(kExchanges)]);
    const auto offset = static_cast<std::uint32_t>(how >> 6);
    const std::uint32_t id = expected_id(who, response) + (offset == 3 ? 0xffffffffU : offset);
    if (!response && offset == 0) written_[who == 'A' ? 0 : 1] = id + 1;
    wire::Payloads payloads;
    for (unsigned n = next(in) % 8; n > 0 && !in.empty(); --n) payloads.push_back(piece(in, who));
    const exchange::Flight flight = world_.sealed(who, exchange, id, payloads, response);
    if ((what & 1) != 0) {
      world_.arrive(flight);
    } else {
      world_.wire.push_back(flight);
    }
  }

  void command(ByteReader& in, std::uint8_t what) {
    exchange::Side& side = (what & 8) != 0 ? world_.a : world_.b;
    switch (what >> 5) {
      case 0: {
        const std::size_t index = next(in);
        const ByteView changes = *in.take(std::min<std::size_t>(4U * (1U + (what >> 3)), in.remaining()), "changes");
        if (!world_.wire.empty()) fuzz::doctor(world_, index % world_.wire.size(), changes);
        break;
      }
      case 1:
        if ((what & 16) != 0) {
          side.endpoint->rekey(world_.now, side.tunnel.id);
        } else {
          (void)side.endpoint->initiate(world_.now, side.tunnel.id);
        }
        break;
      case 2:
        if ((what & 16) != 0) {
          side.endpoint->rekey_children(world_.now, side.tunnel.id);
        } else {
          side.endpoint->terminate(world_.now, side.tunnel.id, "an operator says so");
        }
        break;
      case 3:
        side.endpoint->handle_path_error(world_.now, side.address, other(side.name[0]).address);
        break;
      case 4:
        side.plane.reserve = side.plane.inbound_answer = exchange::FakePlane::Answer::Later;
        break;
      case 5:
        side.plane.outbound_answer = exchange::FakePlane::Answer::Refuse;
        break;
      default:
        side.plane.reserve = side.plane.inbound_answer = side.plane.outbound_answer =
            exchange::FakePlane::Answer::AtOnce;
        side.plane.give_late_answers();
        break;
    }
    world_.drain();
  }

  exchange::World world_{1};
  std::uint32_t written_[2] = {0, 0};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteReader in{ByteView{data, size}};
  Story story;
  for (int steps = 0; steps < 64 && !in.empty(); ++steps) story.play(in);
  story.end();
  return 0;
}
