// What a hostile peer can do who otherwise keeps to the protocol: a message under way is opened with its sender's keys,
// changed, and sealed again. So a fuzzer gets past AUTH, nonces, SPIs and links, which it could not guess.
#pragma once

#include <utility>

#include "exchange/world.hpp"

namespace qanat::fuzz {

// `changes`: repeated [what: u8][where: u16][value: u8]; `where` wraps around, so that every change does something.
// Whole payloads go, come twice or change places first, then octets of the inner chain change. A message that is not
// encrypted, is a fragment, or is of another IKE SA than the newest, stays as it is.
inline void doctor(exchange::World& w, std::size_t index, ByteView changes) {
  exchange::Flight& flight = w.wire.at(index);
  if (flight.bytes.size() < wire::kIkeHeaderSize) return;  // a NAT keepalive
  exchange::Seen seen = w.look(flight);
  const wire::IkeHeader& header = seen.message.header;
  if (!seen.opened || seen.message.encrypted->is_fragment() || header.spi_r != w.newest_keys().spi_r) return;
  const auto each = [&](auto&& change) {
    for (ByteView rest = changes; rest.size() >= 4; rest = rest.subspan(4)) {
      change(rest[0] % 7, static_cast<std::size_t>(load_be16(&rest[1])), rest[3]);
    }
  };
  wire::Payloads payloads = std::move(seen.payloads);
  each([&](int what, std::size_t where, std::uint8_t value) {
    if (what < 4 || payloads.empty()) return;
    const auto at = payloads.begin() + static_cast<std::ptrdiff_t>(where % payloads.size());
    if (what == 4) {
      payloads.erase(at);
    } else if (what == 5 && payloads.size() < 40) {
      payloads.push_back(wire::Payload{*at});
    } else if (what == 6) {
      std::swap(*at, payloads[value % payloads.size()]);
    }
  });
  ByteWriter chain;
  exchange::World::Sealing s;
  s.exchange = header.exchange;
  s.response = header.is_response();
  s.message_id = header.message_id;
  s.first = wire::write_chain(chain, payloads);
  s.plaintext = std::move(chain).take();
  each([&](int what, std::size_t where, std::uint8_t value) {
    if (what >= 4 || s.plaintext.empty()) return;
    where %= s.plaintext.size();
    const auto at = s.plaintext.begin() + static_cast<std::ptrdiff_t>(where);
    if (what == 0) {
      *at = value;
    } else if (what == 1) {
      *at ^= value;
    } else if (what == 2) {
      s.plaintext.insert(at, value);
    } else {
      s.plaintext.erase(at, s.plaintext.end());
    }
  });
  const exchange::Flight changed = w.sealed(flight.from, s);
  flight.bytes = changed.bytes;
  flight.path = changed.path;
}

}  // namespace qanat::fuzz
