// Traffic selectors as a peer sends them: TS payloads parse or are refused, what parses is written as it was read, and
// narrowing gives what both sides allow and nothing else.
//
// Input: [size: u16][body of an offered TS payload][body of an allowed one].
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ipsec/selectors.hpp"
#include "wire/payloads.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace qanat;

// A TS payload with this body, through the parser that the network meets.
std::optional<ipsec::Selectors> read(ByteView body) {
  ByteWriter chain;
  chain.u8(0);
  chain.u8(0);
  chain.u16(static_cast<std::uint16_t>(body.size() + 4));
  chain.bytes(body);
  const auto payloads = wire::parse_chain(wire::PayloadType::TSi, chain.view());
  if (!payloads) {
    ensure(payloads.error().kind == ErrorKind::Malformed, "a refusal is Malformed");
    return std::nullopt;
  }
  ByteWriter again;
  (void)wire::write_chain(again, *payloads);
  const auto reread = wire::parse_chain(wire::PayloadType::TSi, again.view());
  ensure(reread.has_value() && *reread == *payloads, "selectors are written as they were read");
  return wire::find_ts(*payloads, wire::PayloadType::TSi)->selectors;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const ByteView all{data, size};
  const ByteView rest = all.subspan(2);
  const std::size_t cut = std::min<std::size_t>({load_be16(data), rest.size(), 4000});
  const auto offered = read(rest.first(cut));
  const auto allowed = read(rest.subspan(cut).first(std::min<std::size_t>(rest.size() - cut, 4000)));
  if (!offered || !allowed) return 0;
  const ipsec::Selectors narrowed = ipsec::narrow(*offered, *allowed);
  for (const ipsec::TrafficSelector& s : narrowed) {
    ensure(ipsec::contains(*offered, s) && ipsec::contains(*allowed, s), "narrowed: both sides allow it");
    ensure(!ipsec::to_string(s).empty(), "every selector has a text");
  }
  for (const ipsec::TrafficSelector& o : *offered) {
    for (const ipsec::TrafficSelector& a : *allowed) {
      const auto common = ipsec::intersect(o, a);
      ensure(common == ipsec::intersect(a, o), "an intersection has no order");
      if (!common) continue;
      ensure(ipsec::contains(o, *common) && ipsec::contains(a, *common), "an intersection lies in both");
      ensure(ipsec::contains(narrowed, *common), "nothing common is left out");
    }
  }
  if (ipsec::contains(*allowed, *offered) && !offered->empty()) {
    ensure(ipsec::contains(narrowed, *offered), "what is allowed as it is stays as it is");
  }
  return 0;
}
