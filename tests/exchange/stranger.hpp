// Stranger: sends IKE_SA_INIT requests to B from any address, and reads what B answers.
#pragma once

#include <algorithm>

#include "exchange/peers.hpp"

namespace qanat::exchange {

class Stranger : public Peers {
 public:
  // B takes peers from anywhere; `template_` is a true request of A's.
  void get_ready() {
    b.tunnel.peer = std::nullopt;
    begin();
    request_ = wire.front();
    wire.clear();
    a.endpoint->terminate(now, a.tunnel.id, "");
    drain();
    wire.clear();
  }

  struct Answer {
    std::size_t datagrams = 0;
    std::size_t octets = 0;
    wire::IkeHeader header;
    wire::Payloads payloads;
    [[nodiscard]] Bytes cookie() const {
      const auto* n = wire::find_notify(payloads, NotifyType::COOKIE);
      return n == nullptr ? Bytes{} : n->data;
    }
    [[nodiscard]] std::optional<ike::Puzzle> puzzle() const {
      const auto* n = wire::find_notify(payloads, NotifyType::PUZZLE);
      return n == nullptr ? std::nullopt : ike::parse_puzzle(n->data);
    }
    [[nodiscard]] bool accepted() const { return wire::find<wire::SaPayload>(payloads) != nullptr; }
  };

  // Whatever B says to these octets from there. Checks that nobody gains by a forged source.
  Answer send(const IpAddress& from, ByteView octets) {
    Answer out;
    b.endpoint->handle_datagram(now, {{b.address, 500}, {from, 500}}, octets);
    while (auto action = b.endpoint->poll_action()) {
      const auto* t = std::get_if<ike::Transmit>(&*action);
      if (t == nullptr) continue;
      EXPECT_EQ(t->path.remote.address, from);
      ++out.datagrams;
      out.octets += t->datagram.size();
      const auto message = wire::parse_message(t->datagram);
      EXPECT_TRUE(message.has_value());
      if (!message) continue;
      out.header = message->header;
      out.payloads = message->payloads;
    }
    EXPECT_LE(out.datagrams, 1U);
    if (!out.accepted()) {
      EXPECT_LE(out.octets, octets.size());
    }
    return out;
  }

  [[nodiscard]] wire::Payloads request_payloads() const { return look(request_).payloads; }
  [[nodiscard]] Bytes request(std::uint64_t spi_i, const wire::Payloads& payloads) const {
    wire::IkeHeader h;
    h.spi_i = spi_i;
    h.exchange = ExchangeType::IKE_SA_INIT;
    h.flags = wire::kFlagInitiator;
    return wire::write_clear_message(h, payloads);
  }
  [[nodiscard]] Bytes request(std::uint64_t spi_i, const Bytes& cookie = {}, const Bytes& solution = {}) const {
    wire::Payloads payloads;
    if (!cookie.empty()) payloads.emplace_back(notify(NotifyType::COOKIE, cookie));
    if (!solution.empty()) payloads.emplace_back(wire::PuzzleSolutionPayload{solution});
    for (wire::Payload& p : request_payloads()) payloads.push_back(std::move(p));
    return request(spi_i, payloads);
  }
  Answer ask(const IpAddress& from, std::uint64_t spi_i, const Bytes& cookie = {}, const Bytes& solution = {}) {
    return send(from, request(spi_i, cookie, solution));
  }
  // As an honest peer does: the cookie is returned when one is demanded.
  Answer ask_honestly(const IpAddress& from, std::uint64_t spi_i) {
    Answer first = ask(from, spi_i);
    return first.cookie().empty() ? first : ask(from, spi_i, first.cookie());
  }
  [[nodiscard]] static Bytes solve(const ike::Puzzle& puzzle, const Bytes& cookie) {
    ike::PuzzleSolver solver{puzzle.prf, puzzle.difficulty, cookie};
    while (!solver.advance(4096)) {
    }
    return solver.solution();
  }

 private:
  Flight request_;
};

}  // namespace qanat::exchange
