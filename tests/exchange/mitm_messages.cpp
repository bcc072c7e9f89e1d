// Forged answers, damage to encrypted messages, replays, and what somebody does who has the IKE SA's keys.
#include <algorithm>

#include <fmt/format.h>

#include "crypto/key_exchange.hpp"
#include "exchange/mitm.hpp"

namespace qanat::exchange::mitm {

using wire::ExchangeType;
using wire::NotifyType;
using wire::PayloadType;

namespace {

Bytes u16(unsigned value) {
  Bytes out(2);
  store_be16(out.data(), static_cast<std::uint16_t>(value));
  return out;
}

// The four encrypted messages of a handshake, told from outside.
struct Kind {
  ExchangeType exchange;
  bool response;
  [[nodiscard]] std::string name() const {
    return fmt::format("{} {}", wire::to_string(exchange), response ? "response" : "request");
  }
  [[nodiscard]] Victim victim() const { return response ? Victim::Initiator : Victim::Responder; }
  [[nodiscard]] bool is(const Hand& h) const {
    return h.seen.message.header.exchange == exchange && h.seen.message.header.is_response() == response;
  }
};
constexpr Kind kSealed[] = {{ExchangeType::IKE_INTERMEDIATE, false},
                            {ExchangeType::IKE_INTERMEDIATE, true},
                            {ExchangeType::IKE_AUTH, false},
                            {ExchangeType::IKE_AUTH, true}};

// A message in the clear to whoever sent what passes now, as if from the other.
void answer_in_clear(Hand& h, const wire::Payloads& payloads, std::uint64_t spi_r, bool as_response = true) {
  const wire::IkeHeader& to = h.seen.message.header;
  wire::IkeHeader header;
  header.spi_i = to.spi_i;
  header.spi_r = spi_r;
  header.exchange = to.exchange;
  header.message_id = to.message_id;
  header.flags = static_cast<std::uint8_t>((as_response ? wire::kFlagResponse : 0) |
                                           (to.from_initiator() ? 0 : wire::kFlagInitiator));
  const Bytes message = wire::write_clear_message(header, payloads);
  Flight f{h.flight.from == 'A' ? 'B' : 'A', {h.flight.path.remote, h.flight.path.local}, {}};
  if (h.flight.path.local.port == 4500) f.bytes.resize(4);
  append(f.bytes, message);
  h.bites = true;
  h.world.arrive(f);
}

std::vector<Flight> earlier(const Hand& h, const Kind& kind) {
  std::vector<Flight> out;
  for (const Flight& f : h.other.sent) {
    const wire::IkeHeader header = h.other.look(f).message.header;
    if (header.exchange == kind.exchange && header.is_response() == kind.response) out.push_back(f);
  }
  return out;
}

}  // namespace

std::vector<Rewrite> forged_answers() {
  std::vector<std::pair<std::string, wire::NotifyPayload>> all;
  for (const unsigned group : {0U, 1U, 2U, 5U, 14U, 15U, 16U, 19U, 20U, 21U, 22U, 24U, 31U, 35U, 36U, 37U, 65535U})
    all.emplace_back(fmt::format("INVALID_KE_PAYLOAD to group {}", group),
                     notify(NotifyType::INVALID_KE_PAYLOAD, u16(group)));
  for (const std::size_t size : {0U, 1U, 3U})
    all.emplace_back(fmt::format("INVALID_KE_PAYLOAD of {} octets", size),
                     notify(NotifyType::INVALID_KE_PAYLOAD, Bytes(size, 19)));
  for (const std::size_t size : {0U, 1U, 8U, 64U, 65U, 1000U})
    all.emplace_back(fmt::format("COOKIE of {} octets", size), notify(NotifyType::COOKIE, Bytes(size, 5)));
  for (const NotifyType type :
       {NotifyType::NO_PROPOSAL_CHOSEN, NotifyType::INVALID_MAJOR_VERSION, NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD,
        NotifyType::INVALID_SYNTAX, NotifyType::INVALID_IKE_SPI, NotifyType::INVALID_MESSAGE_ID,
        NotifyType::INVALID_SPI, NotifyType::AUTHENTICATION_FAILED, NotifyType::TEMPORARY_FAILURE,
        NotifyType::NO_ADDITIONAL_SAS, NotifyType::FAILED_CP_REQUIRED, NotifyType::STATE_NOT_FOUND,
        NotifyType::AUTHORIZATION_FAILED, static_cast<NotifyType>(8192), NotifyType::REDIRECT, NotifyType::PUZZLE})
    all.emplace_back(wire::to_string(type),
                     notify(type, type == NotifyType::REDIRECT ? Bytes{1, 4, 192, 0, 2, 66} : Bytes{}));

  std::vector<Rewrite> out;
  for (const auto& [name, payload] : all) {
    for (const std::uint64_t spi_r : {std::uint64_t{0}, std::uint64_t{0x0123456789abcdef}}) {
      Rewrite r;
      r.name = fmt::format("forged before the IKE_SA_INIT answer: {}{}", name, spi_r == 0 ? "" : ", with an SPIr");
      r.victim = Victim::Initiator;
      r.expect = Expect::Tunnel;
      r.act = [payload = payload, spi_r](Hand& h) {
        const wire::IkeHeader& header = h.seen.message.header;
        if (header.exchange == ExchangeType::IKE_SA_INIT && !header.is_response()) answer_in_clear(h, {payload}, spi_r);
      };
      out.push_back(std::move(r));
    }
  }
  // The same errors where only encrypted messages count: in both directions, as answers and as requests.
  for (const Kind& kind : kSealed) {
    for (const auto& [name, payload] : all) {
      if (payload.type == NotifyType::INVALID_KE_PAYLOAD || payload.type == NotifyType::COOKIE) continue;
      Rewrite r;
      r.name = fmt::format("forged when the {} passes: {}", kind.name(), name);
      r.victim = kind.response ? Victim::Responder : Victim::Initiator;
      r.expect = Expect::Tunnel;
      r.act = [kind, payload = payload](Hand& h) {
        if (kind.is(h)) answer_in_clear(h, {payload}, h.seen.message.header.spi_r, !kind.response);
      };
      out.push_back(std::move(r));
    }
    Rewrite r;
    r.name = fmt::format("forged when the {} passes: Delete", kind.name());
    r.victim = kind.response ? Victim::Responder : Victim::Initiator;
    r.expect = Expect::Tunnel;
    r.act = [kind](Hand& h) {
      if (kind.is(h))
        answer_in_clear(h, {wire::DeletePayload{wire::ProtocolId::IKE, {}}}, h.seen.message.header.spi_r, false);
    };
    out.push_back(std::move(r));
  }
  // A whole answer of the attacker's: taken for the true one; nothing that follows verifies, and the attempt begins
  // anew.
  Rewrite whole;
  whole.name = "forged before the IKE_SA_INIT answer: a whole one";
  whole.victim = Victim::Initiator;
  whole.expect = Expect::Tunnel;
  whole.act = [](Hand& h) {
    const wire::IkeHeader& header = h.seen.message.header;
    const auto* offer = wire::find<wire::SaPayload>(h.seen.payloads);
    const auto* ke = wire::find<wire::KePayload>(h.seen.payloads);
    if (header.exchange != ExchangeType::IKE_SA_INIT || header.is_response() || offer == nullptr || ke == nullptr)
      return;
    const auto chosen = ipsec::choose_ike(*offer, ipsec::default_hybrid_proposals(), {true, true, true, ke->method});
    SeededRng rng{3};
    auto own = crypto::respond(ke->method, ke->data, rng);
    if (!chosen || !own) return;
    answer_in_clear(
        h,
        {ipsec::accept_ike(*chosen), wire::KePayload{ke->method, own->public_value}, wire::NoncePayload{Bytes(32, 8)},
         notify(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED), notify(NotifyType::IKE_SA_INIT_FULL_TRANSCRIPT_AUTH)},
        0x6666);
  };
  out.push_back(std::move(whole));
  return out;
}

std::vector<Rewrite> rewrites_of_sealed() {
  struct Damage {
    const char* name;
    std::function<void(Hand&, const Kind&, Bytes&)> act;
  };
  const auto flip = [](std::size_t at, std::uint8_t bits) {
    return [at, bits](Hand&, const Kind&, Bytes& b) {
      if (at < b.size()) b[at] ^= bits;  // an answer in the clear may be shorter than any sealed one
    };
  };
  const std::vector<Damage> damages{
      {"SPIi changed", flip(3, 4)},
      {"SPIr changed", flip(12, 4)},
      {"SPIs swapped", [](Hand&, const Kind&, Bytes& b) { std::swap_ranges(b.begin(), b.begin() + 8, b.begin() + 8); }},
      {"another first payload", flip(16, 1)},
      {"minor version 1", flip(17, 1)},
      {"major version 3", flip(17, 0x10)},
      {"exchange INFORMATIONAL", [](Hand&, const Kind&, Bytes& b) { b[18] = 37; }},
      {"exchange IKE_SA_INIT", [](Hand&, const Kind&, Bytes& b) { b[18] = 34; }},
      {"the other handshake exchange", [](Hand&, const Kind&, Bytes& b) { b[18] = b[18] == 35 ? 43 : 35; }},
      {"the Initiator flag", flip(19, wire::kFlagInitiator)},
      {"the Response flag", flip(19, wire::kFlagResponse)},
      {"a reserved flag", flip(19, 0x40)},
      {"the next Message ID", [](Hand&, const Kind&, Bytes& b) { ++b[23]; }},
      {"the Message ID before", [](Hand&, const Kind&, Bytes& b) { --b[23]; }},
      {"Length one more", [](Hand&, const Kind&, Bytes& b) { store_be32(&b[24], load_be32(&b[24]) + 1); }},
      {"another first inner payload", flip(28, 1)},
      {"SK critical", flip(29, 0x80)},
      {"SK reserved bit", flip(29, 1)},
      {"SK length", flip(31, 1)},
      {"IV changed", flip(36, 1)},
      {"ciphertext changed", [](Hand&, const Kind&, Bytes& b) { b[b.size() / 2] ^= 1; }},
      {"ICV changed", [](Hand&, const Kind&, Bytes& b) { b.back() ^= 1; }},
      {"an octet less", [](Hand&, const Kind&, Bytes& b) { b.pop_back(); }},
      {"only its header", [](Hand&, const Kind&, Bytes& b) { b.resize(28); }},
      {"nothing of it", [](Hand&, const Kind&, Bytes& b) { b.clear(); }},
      {"without its SK",
       [](Hand& h, const Kind&, Bytes& b) { b = wire::write_clear_message(h.seen.message.header, {}); }},
      {"in the clear",
       [](Hand& h, const Kind&, Bytes& b) { b = wire::write_clear_message(h.seen.message.header, h.seen.payloads); }},
      {"that of an earlier conversation",
       [](Hand& h, const Kind& kind, Bytes& b) { b = earlier(h, kind).front().bytes; }},
      {"that of an earlier conversation, with these SPIs",
       [](Hand& h, const Kind& kind, Bytes& b) {
         Bytes old = earlier(h, kind).front().bytes;
         std::copy(b.begin(), b.begin() + 16, old.begin());
         b = old;
       }},
      {"what this side sent before it",
       [](Hand& h, const Kind&, Bytes& b) {
         const Bytes now = b;
         for (const Flight& f : h.world.sent) {
           if (f.from != h.flight.from) continue;
           if (f.bytes == now) break;
           // The same message in larger fragments is no forgery.
           const std::uint32_t mid = load_be32(&now[20]);
           if (mid != 0 && load_be32(&f.bytes[20]) == mid) continue;
           b = f.bytes;
         }
       }},
  };
  std::vector<Rewrite> out;
  for (const Kind& kind : kSealed) {
    for (const Damage& d : damages) {
      for (const bool once : {true, false}) {
        Rewrite r;
        r.name = fmt::format("{}{}: {}", kind.name(), once ? ", the first time" : "", d.name);
        r.victim = kind.victim();
        r.expect = once ? Expect::Tunnel : Expect::Refused;
        r.act = [kind, once, act = d.act](Hand& h) {
          if (!kind.is(h) || (once && h.seen_before != 0)) return;
          act(h, kind, h.flight.bytes);
        };
        out.push_back(std::move(r));
      }
    }
  }
  return out;
}

std::vector<Rewrite> replays() {
  struct Trick {
    const char* name;
    std::function<void(Hand&)> act;
  };
  const auto again = [](Hand& h, const Flight& f) {
    h.bites = true;
    h.world.arrive(f);
  };
  const auto back = [](Hand& h, const Flight& f) {
    h.bites = true;
    h.world.arrive(f.from, {f.path.local, f.path.remote}, f.bytes);
  };
  const std::vector<Trick> tricks{
      {"is delivered twice", [=](Hand& h) { again(h, Flight{h.flight}); }},
      {"is delivered thirty times",
       [=](Hand& h) {
         for (int i = 0; i < 30; ++i) again(h, Flight{h.flight});
       }},
      {"returns to its sender", [=](Hand& h) { back(h, Flight{h.flight}); }},
      {"returns to its sender as the other's",
       [=](Hand& h) {
         Flight f = h.flight;
         f.bytes[19] ^= wire::kFlagInitiator | wire::kFlagResponse;
         back(h, f);
       }},
      {"comes after all that was sent before, again",
       [=](Hand& h) {
         const std::vector<Flight> all = h.world.sent;
         for (std::size_t i = 0; i + 1 < all.size(); ++i) again(h, all[i]);
       }},
      {"comes after all that was sent before, returned",
       [=](Hand& h) {
         const std::vector<Flight> all = h.world.sent;
         for (const Flight& f : all) back(h, f);
       }},
      {"comes after an earlier conversation",
       [=](Hand& h) {
         for (const Flight& f : h.other.sent) again(h, f);
       }},
      {"comes after an earlier conversation with these SPIs",
       [=](Hand& h) {
         for (Flight f : h.other.sent) {
           store_be64(f.bytes.data(), h.seen.message.header.spi_i);
           if (load_be64(&f.bytes[8]) != 0) store_be64(&f.bytes[8], h.seen.message.header.spi_r);
           again(h, f);
         }
       }},
  };
  std::vector<Rewrite> out;
  std::vector<Kind> kinds{{ExchangeType::IKE_SA_INIT, false}, {ExchangeType::IKE_SA_INIT, true}};
  kinds.insert(kinds.end(), std::begin(kSealed), std::end(kSealed));
  for (const bool fragments : {false, true}) {
    for (const Kind& kind : kinds) {
      if (fragments && kind.exchange != ExchangeType::IKE_INTERMEDIATE) continue;
      for (const Trick& t : tricks) {
        if (&kind == kinds.data() && std::string_view{t.name}.ends_with("before, again")) continue;  // nothing was
        Rewrite r;
        r.name = fmt::format("the {}{} {}", kind.name(), fragments ? " in fragments" : "", t.name);
        r.victim = kind.victim();
        // Old IKE_SA_INIT answers under these SPIs are taken for true ones: the attempt then fails.
        r.expect = kind.exchange == ExchangeType::IKE_SA_INIT && std::string_view{t.name}.ends_with("these SPIs")
                       ? Expect::Either
                       : Expect::Tunnel;
        r.fragments = fragments;
        r.act = [kind, act = t.act](Hand& h) {
          if (kind.is(h) && h.seen_before < 3) act(h);  // each replay of a request brings one more answer this way
        };
        out.push_back(std::move(r));
      }
    }
  }
  // Fragments of one message and another.
  for (const bool response : {false, true}) {
    const Kind kind{ExchangeType::IKE_INTERMEDIATE, response};
    const auto rule = [&](const char* name, Expect expect, std::function<void(Hand&)> act) {
      Rewrite r;
      r.name = fmt::format("the {} in fragments: {}", kind.name(), name);
      r.victim = kind.victim();
      r.expect = expect;
      r.fragments = true;
      r.act = [kind, act = std::move(act)](Hand& h) {
        if (kind.is(h) && h.seen.message.encrypted && h.seen.message.encrypted->is_fragment()) act(h);
      };
      out.push_back(std::move(r));
    };
    rule("numbers swapped", Expect::Refused, [](Hand& h) { h.flight.bytes[33] ^= 3; });
    rule("a total more", Expect::Refused, [](Hand& h) { ++h.flight.bytes[35]; });
    rule("one is missing at first", Expect::Tunnel, [](Hand& h) {
      if (h.seen_before == 0 && h.seen.message.encrypted->fragment_number == 2) h.flight.bytes.clear();
    });
    rule("one is always missing", Expect::Refused, [](Hand& h) {
      if (h.seen.message.encrypted->fragment_number == 2) h.flight.bytes.clear();
    });
    rule("one is of an earlier conversation", Expect::Refused, [kind](Hand& h) {
      if (h.seen.message.encrypted->fragment_number == 2) h.flight.bytes = earlier(h, kind)[1].bytes;
    });
    rule("one of an earlier conversation comes first", Expect::Tunnel, [kind](Hand& h) {
      Flight old = earlier(h, kind)[1];
      std::copy(h.flight.bytes.begin(), h.flight.bytes.begin() + 16, old.bytes.begin());
      h.bites = true;
      h.world.arrive(old);
    });
  }
  return out;
}

std::vector<Rewrite> rewrites_with_keys() {
  using Edit = std::function<void(wire::Payloads&, const Hand&)>;
  std::vector<Rewrite> out;
  const auto rule = [&](const Kind& kind, const std::string& name, Edit edit) {
    Rewrite r;
    r.name = fmt::format("{}, sealed again: {}", kind.name(), name);
    r.victim = kind.victim();
    r.act = [kind, edit = std::move(edit)](Hand& h) {
      if (!kind.is(h) || !h.seen.opened) return;
      wire::Payloads payloads = h.seen.payloads;
      edit(payloads, h);
      if (payloads == h.seen.payloads) return;
      const wire::IkeHeader& header = h.seen.message.header;
      h.flight.bytes = h.world.sealed(h.flight.from, header.exchange, header.message_id, payloads, kind.response).bytes;
    };
    out.push_back(std::move(r));
  };
  const auto of_ke = [](std::function<void(wire::KePayload&, const Hand&)> edit) -> Edit {
    return [edit = std::move(edit)](wire::Payloads& p, const Hand& h) {
      for (wire::Payload& x : p) {
        if (auto* ke = std::get_if<wire::KePayload>(&x)) edit(*ke, h);
      }
    };
  };
  for (const bool response : {false, true}) {
    const Kind kind{ExchangeType::IKE_INTERMEDIATE, response};
    for (const std::size_t at : {0U, 400U, 1087U})
      rule(kind, fmt::format("octet {} of the ML-KEM value changed", at),
           of_ke([at](auto& k, const Hand&) { k.data[at] ^= 1; }));
    rule(kind, "the ML-KEM value of an earlier conversation", of_ke([kind](auto& k, const Hand& h) {
           const Seen old = h.other.look(earlier(h, kind).front());
           if (const auto* ke = wire::find<wire::KePayload>(old.payloads)) k.data = ke->data;
         }));
    rule(kind, "the ML-KEM value of the attacker", of_ke([response](auto& k, const Hand& h) {
           SeededRng rng{12};
           if (!response) {
             if (auto own = crypto::KeyExchange::create(k.method, rng)) k.data = to_bytes((*own)->public_value());
             return;
           }
           for (const Flight& f : h.world.sent) {  // a ciphertext for the initiator's true encapsulation key
             const Seen request = h.world.look(f);
             const auto* ek = wire::find<wire::KePayload>(request.payloads);
             if (request.message.header.exchange != ExchangeType::IKE_INTERMEDIATE || ek == nullptr) continue;
             if (auto own = crypto::respond(k.method, ek->data, rng)) k.data = own->public_value;
             return;
           }
         }));
    rule(kind, "another key exchange", of_ke([](auto& k, const Hand&) { k.method = KeId::ML_KEM_1024; }));
    rule(kind, "x25519", of_ke([](auto& k, const Hand&) { k = {KeId::CURVE25519, Bytes(32, 9)}; }));
    rule(kind, "an octet less", of_ke([](auto& k, const Hand&) { k.data.pop_back(); }));
    rule(kind, "no value", of_ke([](auto& k, const Hand&) { k.data.clear(); }));
    rule(kind, "two values", [](wire::Payloads& p, const Hand&) { p.push_back(p.front()); });
    rule(kind, "no KE payload", [](wire::Payloads& p, const Hand&) { p.clear(); });
    rule(kind, "one more notification",
         [](wire::Payloads& p, const Hand&) { p.push_back(notify(static_cast<NotifyType>(41000))); });
    rule(kind, "an error notification",
         [](wire::Payloads& p, const Hand&) { p.push_back(notify(NotifyType::INVALID_SYNTAX)); });
    rule(kind, "one more unknown payload", [](wire::Payloads& p, const Hand&) {
      p.push_back(wire::UnknownPayload{static_cast<PayloadType>(120), false, {1}});
    });
    rule(kind, "one more critical payload", [](wire::Payloads& p, const Hand&) {
      p.push_back(wire::UnknownPayload{static_cast<PayloadType>(120), true, {1}});
    });
  }
  const auto of_auth = [](std::function<void(wire::AuthPayload&, const Hand&)> edit) -> Edit {
    return [edit = std::move(edit)](wire::Payloads& p, const Hand& h) {
      for (wire::Payload& x : p) {
        if (auto* auth = std::get_if<wire::AuthPayload>(&x)) edit(*auth, h);
      }
    };
  };
  const auto without = [](PayloadType type) -> Edit {
    return [type](wire::Payloads& p, const Hand&) {
      std::erase_if(p, [&](const wire::Payload& x) { return wire::type_of(x) == type; });
    };
  };
  for (const bool response : {false, true}) {
    const Kind kind{ExchangeType::IKE_AUTH, response};
    const PayloadType id = response ? PayloadType::IDr : PayloadType::IDi;
    const auto of_id = [id](std::function<void(wire::Identity&)> edit) -> Edit {
      return [id, edit = std::move(edit)](wire::Payloads& p, const Hand&) {
        for (wire::Payload& x : p) {
          auto* payload = std::get_if<wire::IdPayload>(&x);
          if (payload != nullptr && payload->which == id) edit(payload->identity);
        }
      };
    };
    rule(kind, "another identity", of_id([](auto& i) { i.data = to_bytes("c.example"); }));
    rule(kind, "the receiver's identity",
         of_id([](auto& i) { i.data = to_bytes(i.data == to_bytes("a.example") ? "b.example" : "a.example"); }));
    rule(kind, "an identity of another type", of_id([](auto& i) { i.type = wire::IdType::ID_KEY_ID; }));
    rule(kind, "an identity without a value", of_id([](auto& i) { i.data.clear(); }));
    rule(kind, "no AUTH", without(PayloadType::AUTH));
    rule(kind, "no identity", without(id));
    rule(kind, "AUTH with its first bit changed", of_auth([](auto& a, const Hand&) { a.data.front() ^= 0x80; }));
    rule(kind, "AUTH with its last bit changed", of_auth([](auto& a, const Hand&) { a.data.back() ^= 1; }));
    rule(kind, "AUTH cut", of_auth([](auto& a, const Hand&) { a.data.pop_back(); }));
    rule(kind, "AUTH of no octets", of_auth([](auto& a, const Hand&) { a.data.clear(); }));
    rule(kind, "AUTH of zeros", of_auth([](auto& a, const Hand&) { std::ranges::fill(a.data, std::uint8_t{0}); }));
    for (const unsigned method : {0U, 1U, 9U, 13U, 14U, 255U})
      rule(kind, fmt::format("AUTH by method {}", method),
           of_auth([method](auto& a, const Hand&) { a.method = static_cast<wire::AuthMethod>(method); }));
    rule(kind, "AUTH of an earlier conversation", of_auth([kind](auto& a, const Hand& h) {
           const Seen old = h.other.look(earlier(h, kind).front());
           if (const auto* auth = wire::find<wire::AuthPayload>(old.payloads)) a.data = auth->data;
         }));
    if (response) {
      rule(kind, "the initiator's AUTH, returned", of_auth([](auto& a, const Hand& h) {
             for (const Flight& f : h.world.sent) {
               const Seen request = h.world.look(f);
               const auto* auth = wire::find<wire::AuthPayload>(request.payloads);
               if (auth == nullptr) continue;
               a.data = auth->data;
               return;
             }
           }));
      rule(kind, "only an EAP request", [](wire::Payloads& p, const Hand&) {
        std::erase_if(p, [](const wire::Payload& x) { return wire::type_of(x) == PayloadType::AUTH; });
        p.push_back(wire::EapPayload{{1, 0, 0, 5, 1}});
      });
      rule(kind, "an early EAP success (CVE-2021-45079)",
           [](wire::Payloads& p, const Hand&) { p = {wire::EapPayload{{3, 0, 0, 4}}}; });
    }
    rule(kind, "one more critical payload", [](wire::Payloads& p, const Hand&) {
      p.push_back(wire::UnknownPayload{static_cast<PayloadType>(120), true, {1}});
    });
  }
  return out;
}

}  // namespace qanat::exchange::mitm
