// K1, K3, K4, K5: payloads that are wrong in every way that counts, in every message of IKE, authentic where the
// message is. An authentic request has one answer: INVALID_SYNTAX and the IKE SA is over, or anything else and it stays
// (RFC 7296 2.21.2, 2.21.3). A response is never answered with an error. A stranger's message leaves nothing.
#include <cstdio>

#include <fmt/format.h>

#include "exchange/peers.hpp"
#include "wire/testing.hpp"

namespace qanat::exchange {
namespace {

// A payload as octets, with whatever it says of itself.
struct Raw {
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  Bytes body;
  std::optional<std::uint16_t> length{};
};
using Raws = std::vector<Raw>;

Raws raws_of(const wire::Payloads& payloads) {
  Raws out;
  for (const wire::Payload& p : payloads)
    out.push_back({static_cast<std::uint8_t>(wire::type_of(p)), 0, wire::body_of(p)});
  return out;
}
Bytes octets_of(const Raws& raws) {
  ByteWriter w;
  for (std::size_t i = 0; i < raws.size(); ++i) {
    w.u8(i + 1 < raws.size() ? raws[i + 1].type : 0);
    w.u8(raws[i].flags);
    w.u16(raws[i].length.value_or(static_cast<std::uint16_t>(4 + raws[i].body.size())));
    w.bytes(raws[i].body);
  }
  return std::move(w).take();
}

enum class Must {
  Any,       // the rules above hold
  Syntax,    // it is no message of IKEv2
  Critical,  // it has a payload that we must know and do not
  Ignored,   // it means what it meant without the change
};

struct Place {
  const char* name;
  ExchangeType exchange;
  bool response;
  char target;
  std::size_t delivered;  // datagrams of the handshake before it; kLive: all, and then what `payloads` holds
};
constexpr std::size_t kLive = 99;
constexpr Place kPlaces[] = {
    {"IKE_SA_INIT request", ExchangeType::IKE_SA_INIT, false, 'B', 0},
    {"IKE_SA_INIT response", ExchangeType::IKE_SA_INIT, true, 'A', 1},
    {"IKE_INTERMEDIATE request", ExchangeType::IKE_INTERMEDIATE, false, 'B', 2},
    {"IKE_INTERMEDIATE response", ExchangeType::IKE_INTERMEDIATE, true, 'A', 3},
    {"IKE_AUTH request", ExchangeType::IKE_AUTH, false, 'B', 4},
    {"IKE_AUTH response", ExchangeType::IKE_AUTH, true, 'A', 5},
    {"CREATE_CHILD_SA request to the responder", ExchangeType::CREATE_CHILD_SA, false, 'B', kLive},
    {"CREATE_CHILD_SA request to the initiator", ExchangeType::CREATE_CHILD_SA, false, 'A', kLive},
    {"INFORMATIONAL request to the responder", ExchangeType::INFORMATIONAL, false, 'B', kLive},
    {"INFORMATIONAL request to the initiator", ExchangeType::INFORMATIONAL, false, 'A', kLive},
};

class Bench {
 public:
  explicit Bench(const Place& place) : place_(place) {}
  unsigned cells = 0;
  unsigned ended = 0;

  // What stands in this message when nothing is wrong.
  const Raws& payloads() {
    if (!world_) make();
    return payloads_;
  }

  void play(const std::string& name, const Raws& raws, Must must) {
    constexpr std::size_t kFits = 65000;  // with header, IV and ICV into a datagram
    if (octets_of(raws).size() > kFits) return;
    SCOPED_TRACE(fmt::format("{}: {}", place_.name, name));
    ++cells;
    if (!world_) make();
    Conversation& w = *world_;
    Side& target = w.side(place_.target);
    const std::size_t sent_before = w.sent.size();
    const unsigned installs = target.plane.installs;
    w.arrive(message(raws));
    std::vector<Seen> answers;
    for (std::size_t i = sent_before; i < w.sent.size(); ++i) answers.push_back(w.look(w.sent[i]));
    if (place_.delivered == kLive) {
      live(target, answers, must);
      if (::testing::Test::HasFailure() || target.established().empty() ||
          place_.exchange != ExchangeType::INFORMATIONAL)
        world_.reset();
      return;
    }
    if (target.plane.installs != installs) {
      EXPECT_TRUE(vouched(raws)) << "keys without a verified AUTH";
      EXPECT_EQ(place_.exchange, ExchangeType::IKE_AUTH);
    }
    if (place_.exchange == ExchangeType::IKE_SA_INIT) {
      init(target, answers, must);
    } else {
      handshake(target, answers, must);
    }
    world_.reset();
  }

 private:
  void make() {
    world_ = std::make_unique<Conversation>(80);
    mid_ = 0;
    if (place_.delivered == kLive) {
      world_->handshake();
      mid_ = place_.target == 'B' ? 3 : 0;
      payloads_.clear();
      if (place_.exchange == ExchangeType::CREATE_CHILD_SA) {
        payloads_ = raws_of({wire::testing::esp_sa(), wire::NoncePayload{Bytes(32, 1)},
                             wire::TsPayload{PayloadType::TSi, {ipsec::any_selector_v4()}},
                             wire::TsPayload{PayloadType::TSr, {ipsec::any_selector_v4()}}});
      }
      return;
    }
    world_->begin();
    for (std::size_t i = 0; i < place_.delivered; ++i) world_->deliver();
    const Seen seen = world_->look(world_->wire.front());
    true_ = world_->wire.front();
    header_ = seen.message.header;
    mid_ = header_.message_id;
    payloads_ = raws_of(seen.payloads);
    world_->drop();
  }

  Flight message(const Raws& raws) {
    const char from = place_.target == 'A' ? 'B' : 'A';
    const std::uint8_t first = raws.empty() ? std::uint8_t{0} : raws.front().type;
    if (place_.exchange != ExchangeType::IKE_SA_INIT) {
      World::Sealing s;
      s.exchange = place_.exchange;
      s.response = place_.response;
      s.message_id = place_.delivered == kLive ? mid_++ : mid_;
      s.first = static_cast<PayloadType>(first);
      s.plaintext = octets_of(raws);
      return world_->sealed(from, s);
    }
    const Bytes chain = octets_of(raws);
    wire::IkeHeader h = header_;
    h.next_payload = static_cast<PayloadType>(first);
    h.length = static_cast<std::uint32_t>(wire::kIkeHeaderSize + chain.size());
    ByteWriter out;
    wire::write_header(out, h);
    out.bytes(chain);
    return {from, true_.path, std::move(out).take()};
  }

  [[nodiscard]] bool vouched(const Raws& raws) const {
    const auto id = static_cast<std::uint8_t>(place_.response ? PayloadType::IDr : PayloadType::IDi);
    for (const std::uint8_t type : {id, static_cast<std::uint8_t>(PayloadType::AUTH)}) {
      const auto is_it = [&](const Raw& r) { return r.type == type; };
      if (std::ranges::count_if(raws, is_it) != 1 ||
          std::ranges::find_if(raws, is_it)->body != std::ranges::find_if(payloads_, is_it)->body)
        return false;
    }
    return true;
  }

  static bool says(const std::vector<Seen>& answers, NotifyType type) {
    return std::ranges::any_of(answers, [&](const Seen& s) { return wire::find_notify(s.payloads, type) != nullptr; });
  }

  void live(const Side& target, const std::vector<Seen>& answers, Must must) {
    ASSERT_GE(answers.size(), 1U);
    const Seen& answer = answers.front();
    EXPECT_TRUE(answer.opened);
    EXPECT_TRUE(answer.message.header.is_response());
    EXPECT_EQ(answer.message.header.message_id, mid_ - 1);
    const bool syntax = says(answers, NotifyType::INVALID_SYNTAX);
    const bool critical = says(answers, NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD);
    const bool kept = target.established().size() == 1 && !target.plane.inbound.empty();
    EXPECT_EQ(kept, !syntax);
    ended += kept ? 0 : 1;
    if (must != Must::Any) {
      EXPECT_EQ(syntax, must == Must::Syntax);
      EXPECT_EQ(critical, must == Must::Critical);
    }
  }

  void init(const Side& target, const std::vector<Seen>& answers, Must must) {
    Conversation& w = *world_;
    if (!place_.response) {
      EXPECT_LE(answers.size(), 1U);
      EXPECT_EQ(target.endpoint->half_open(), target.keys.size());
      if (must == Must::Syntax || must == Must::Critical) {
        EXPECT_TRUE(target.endpoint->sas().empty());
        EXPECT_EQ(says(answers, NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD), must == Must::Critical);
      }
    }
    const bool taken = place_.response ? !target.keys.empty() : !target.endpoint->sas().empty();
    if (must == Must::Ignored) {
      EXPECT_TRUE(taken);
    }
    ended += taken ? 0 : 1;
    // What was dropped has changed nothing: the true message makes the tunnel.
    if (!taken) {
      w.wire.clear();
      w.arrive(true_);
      w.run();
      w.run_for(20s);
      w.expect_tunnel();
    }
  }

  void handshake(const Side& target, const std::vector<Seen>& answers, Must must) {
    Conversation& w = *world_;
    const bool syntax = says(answers, NotifyType::INVALID_SYNTAX);
    const bool critical = says(answers, NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD);
    const auto live_ones = std::ranges::count_if(
        target.endpoint->sas(), [](const ike::SaInfo& sa) { return sa.state != ike::SaState::Closed; });
    ended += live_ones == 0 ? 1 : 0;
    if (place_.response) {
      EXPECT_FALSE(syntax || critical);
      if (must == Must::Syntax || must == Must::Critical) {
        EXPECT_EQ(live_ones, 0);
      }
    } else {
      ASSERT_EQ(answers.size(), 1U);
      if (syntax || critical) {
        EXPECT_EQ(live_ones, 0);
      }
      if (must != Must::Any) {
        EXPECT_EQ(syntax, must == Must::Syntax);
        EXPECT_EQ(critical, must == Must::Critical);
      }
    }
    if (must == Must::Ignored) {
      EXPECT_EQ(live_ones, 1);
    }
    // Whatever came of it, both sides agree in the end, and nothing is left behind.
    w.run();
    w.run_for(700s);
    EXPECT_EQ(w.a.established().size(), w.b.established().size());
    EXPECT_EQ(w.a.endpoint->sas().size(), w.a.established().size());
    EXPECT_EQ(w.b.endpoint->sas().size(), w.b.established().size());
    EXPECT_TRUE(w.a.plane.reserved.empty());
    EXPECT_TRUE(w.b.plane.reserved.empty());
  }

  const Place& place_;
  std::unique_ptr<Conversation> world_;
  Raws payloads_;
  wire::IkeHeader header_;
  Flight true_;
  std::uint32_t mid_ = 0;
};

// K1: one payload of every kind, changed as a whole.
void whole_payloads(Bench& bench) {
  for (const auto& [name, payload] : wire::testing::every_payload()) {
    Raws base = bench.payloads();
    const Raw sample = raws_of({payload}).front();
    auto found = std::ranges::find_if(base, [&](const Raw& r) { return r.type == sample.type; });
    const bool present = found != base.end();
    if (!present) {
      base.push_back(sample);
      found = base.end() - 1;
    }
    const auto at = static_cast<std::size_t>(found - base.begin());
    const bool last = at + 1 == base.size();
    const auto rule = [&, name = name](std::string_view what, Must must, auto edit) {
      Raws raws = base;
      edit(raws, raws[at]);
      bench.play(fmt::format("{} {}", name, what), raws, must);
    };
    rule("as it is", Must::Any, [](Raws&, Raw&) {});
    rule("absent", Must::Any, [&](Raws& all, Raw&) { all.erase(all.begin() + static_cast<std::ptrdiff_t>(at)); });
    rule("twice", Must::Any, [](Raws& all, Raw& one) { all.push_back(Raw{one}); });
    rule("a hundred times", Must::Any, [](Raws& all, Raw& one) { all.insert(all.end(), 99, Raw{one}); });
    rule("129 times", Must::Syntax, [](Raws& all, Raw& one) { all.insert(all.end(), 128, Raw{one}); });
    rule("first", Must::Any,
         [&](Raws& all, Raw&) { std::rotate(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(at), all.end()); });
    rule("last", Must::Any, [&](Raws& all, Raw&) {
      std::rotate(all.begin() + static_cast<std::ptrdiff_t>(at), all.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                  all.end());
    });
    rule("without a body", Must::Any, [](Raws&, Raw& one) { one.body.clear(); });
    rule("of one octet", Must::Any, [](Raws&, Raw& one) { one.body.resize(1); });
    rule("an octet shorter", Must::Any,
         [](Raws&, Raw& one) { one.body.resize(one.body.empty() ? 0 : one.body.size() - 1); });
    rule("an octet longer", Must::Any, [](Raws&, Raw& one) { one.body.push_back(0); });
    rule("of zeros", Must::Any, [](Raws&, Raw& one) { std::ranges::fill(one.body, std::uint8_t{0}); });
    rule("of ones", Must::Any, [](Raws&, Raw& one) { std::ranges::fill(one.body, std::uint8_t{0xff}); });
    for (const std::uint16_t length : std::array<std::uint16_t, 4>{0, 1, 2, 3})
      rule(fmt::format("of length {}", length), Must::Syntax, [length](Raws&, Raw& one) { one.length = length; });
    rule("of length 65535", Must::Syntax, [](Raws&, Raw& one) { one.length = std::uint16_t{65535}; });
    rule("longer by one than it is", last ? Must::Syntax : Must::Any,
         [](Raws&, Raw& one) { one.length = static_cast<std::uint16_t>(one.body.size() + 5); });
    rule("longer than the rest", Must::Syntax,
         [&](Raws&, Raw& one) { one.length = static_cast<std::uint16_t>(octets_of(base).size() + 1); });
    if (present) {
      rule("critical, which says nothing of a known one", Must::Ignored, [](Raws&, Raw& one) { one.flags = 0x80; });
      rule("with reserved bits", Must::Ignored, [](Raws&, Raw& one) { one.flags = 0x7f; });
    }
    rule("after an unknown payload", present ? Must::Ignored : Must::Any,
         [&](Raws& all, Raw&) { all.insert(all.begin() + static_cast<std::ptrdiff_t>(at), Raw{199, 0, Bytes(3, 7)}); });
    rule("after an unknown critical payload", present ? Must::Critical : Must::Any, [&](Raws& all, Raw&) {
      all.insert(all.begin() + static_cast<std::ptrdiff_t>(at), Raw{199, 0x80, Bytes(3, 7)});
    });
    rule("before an SK payload inside", Must::Syntax, [](Raws& all, Raw&) { all.push_back(Raw{46, 0, Bytes(40, 1)}); });
    rule("before an SKF payload inside", Must::Syntax,
         [](Raws& all, Raw&) { all.push_back(Raw{53, 0, {0, 1, 0, 1, 9, 9}}); });
  }
}

// K3, K4, K5: sizes, counts and types that lie, in bodies of one kind.
struct Body {
  std::string name;
  PayloadType type;
  Bytes octets;
  Must must = Must::Any;
};

Bytes selector(std::uint8_t type, std::uint16_t length, std::uint16_t from_port, std::uint16_t to_port,
               Bytes addresses) {
  ByteWriter w;
  w.u8(type);
  w.u8(6);
  w.u16(length);
  w.u16(from_port);
  w.u16(to_port);
  w.bytes(addresses);
  return std::move(w).take();
}
Bytes selectors(std::uint8_t count, const std::vector<Bytes>& all) {
  Bytes out{count, 0, 0, 0};
  for (const Bytes& s : all) append(out, s);
  return out;
}
Bytes with_size(Bytes head, std::size_t size, std::uint8_t fill = 1) {
  head.resize(size, fill);
  return head;
}

std::vector<Body> bodies() {
  std::vector<Body> out;
  const auto add = [&](std::string name, PayloadType type, Bytes octets, Must must = Must::Any) {
    out.push_back({std::move(name), type, std::move(octets), must});
  };
  for (const std::size_t n : {0U, 1U, 15U, 16U, 17U, 255U, 256U, 257U, 1000U})
    add(fmt::format("nonce of {}", n), PayloadType::Nonce, Bytes(n, 5), n >= 16 && n <= 256 ? Must::Any : Must::Syntax);
  const Bytes low{10, 0, 0, 0, 10, 0, 0, 9};
  const Bytes high{10, 0, 0, 9, 10, 0, 0, 0};
  for (const PayloadType type : {PayloadType::TSi, PayloadType::TSr}) {
    const std::string ts = wire::to_string(type);
    add(ts + " that ends before it begins", type, selectors(1, {selector(7, 16, 0, 65535, high)}));
    add(ts + " with its ports reversed", type, selectors(1, {selector(7, 16, 9, 3, low)}));
    add(ts + " of type 0", type, selectors(1, {selector(0, 16, 0, 65535, low)}));
    add(ts + " of type 255", type, selectors(1, {selector(255, 16, 0, 65535, low)}));
    add(ts + " without selectors", type, selectors(0, {}));
    for (const unsigned count : {0U, 2U, 255U})
      add(fmt::format("{} whose count of {} is a lie", ts, count), type,
          selectors(static_cast<std::uint8_t>(count), {selector(7, 16, 0, 65535, low)}), Must::Syntax);
    add(ts + " with IPv4 in IPv6", type, selectors(1, {selector(8, 16, 0, 65535, low)}), Must::Syntax);
    add(ts + " with IPv6 in IPv4", type, selectors(1, {selector(7, 40, 0, 65535, Bytes(32, 1))}), Must::Syntax);
    for (const unsigned length : {0U, 7U, 8U, 15U, 17U, 65535U})
      add(fmt::format("{} with a selector of length {}", ts, length), type,
          selectors(1, {selector(7, static_cast<std::uint16_t>(length), 0, 65535, low)}), Must::Syntax);
    add(ts + " of 255 selectors", type, selectors(255, std::vector<Bytes>(255, selector(7, 16, 0, 65535, low))));
    for (const std::size_t n : {0U, 1U, 3U})
      add(fmt::format("{} of {} octets", ts, n), type, Bytes(n, 0), Must::Syntax);
  }
  for (const PayloadType type : {PayloadType::IDi, PayloadType::IDr}) {
    const std::string id = wire::to_string(type);
    for (const std::size_t n : {0U, 1U, 3U})
      add(fmt::format("{} of {} octets", id, n), type, Bytes(n, 2), Must::Syntax);
    for (const unsigned kind : {0U, 1U, 2U, 3U, 5U, 9U, 10U, 11U, 13U, 255U}) {
      for (const std::size_t n : {0U, 3U, 4U, 5U, 15U, 16U, 17U, 3000U})
        add(fmt::format("{} of type {} and {} octets", id, kind, n), type,
            with_size({static_cast<std::uint8_t>(kind), 0, 0, 0}, 4 + n));
    }
  }
  for (const PayloadType type : {PayloadType::CERT, PayloadType::CERTREQ, PayloadType::AUTH, PayloadType::KE,
                                 PayloadType::CP, PayloadType::EAP, PayloadType::PS, PayloadType::V}) {
    for (const std::size_t n : {0U, 1U, 2U, 3U, 4U, 5U, 19U, 21U, 3000U}) {
      for (const unsigned fill : {0U, 1U, 4U, 255U})
        add(fmt::format("{} of {} octets of {}", wire::to_string(type), n, fill), type,
            Bytes(n, static_cast<std::uint8_t>(fill)));
    }
  }
  for (const unsigned protocol : {0U, 1U, 2U, 3U, 255U}) {
    for (const unsigned size : {0U, 3U, 4U, 5U, 8U, 255U}) {
      for (const unsigned count : {0U, 1U, 255U, 65535U}) {
        if (protocol == 1) continue;  // a Delete of the IKE SA, which may do that
        add(fmt::format("D protocol {} with {} SPIs of {}", protocol, count, size), PayloadType::D,
            with_size({static_cast<std::uint8_t>(protocol), static_cast<std::uint8_t>(size),
                       static_cast<std::uint8_t>(count >> 8U), static_cast<std::uint8_t>(count)},
                      4 + std::min<std::size_t>(std::size_t{count} * size, 2000)));
        add(fmt::format("D protocol {} with {} SPIs of {}, less an octet", protocol, count, size), PayloadType::D,
            with_size({static_cast<std::uint8_t>(protocol), static_cast<std::uint8_t>(size),
                       static_cast<std::uint8_t>(count >> 8U), static_cast<std::uint8_t>(count)},
                      3 + std::min<std::size_t>(std::size_t{count} * size, 2000)));
      }
    }
    for (const unsigned size : {0U, 3U, 4U, 5U, 8U, 255U}) {
      for (const std::size_t n : {0U, 1U, 4U, 300U})
        add(fmt::format("N protocol {}, an SPI of {}, {} octets", protocol, size, n), PayloadType::N,
            with_size({static_cast<std::uint8_t>(protocol), static_cast<std::uint8_t>(size), 0x40, 0x09}, 4 + n),
            n < size ? Must::Syntax : Must::Any);
    }
  }
  for (const std::size_t n : {0U, 1U, 3U}) {
    add(fmt::format("D of {} octets", n), PayloadType::D, Bytes(n, 3), Must::Syntax);
    add(fmt::format("N of {} octets", n), PayloadType::N, Bytes(n, 0), Must::Syntax);
  }
  // Proposal: last/more, reserved, length, number, protocol, SPI size, transforms; transform: last, reserved, length,
  // ...
  const Bytes good{0, 0, 0, 24, 1, 3, 4, 1, 1, 2, 3, 4, 0, 0, 0, 12, 1, 0, 0, 20, 0x80, 14, 1, 0};
  const auto sa = [&](const char* name, std::size_t at, std::uint8_t value, Must must) {
    Bytes octets = good;
    octets[at] = value;
    add(fmt::format("SA with {}", name), PayloadType::SA, octets, must);
  };
  sa("nothing wrong", 0, 0, Must::Any);
  sa("more to come after its last proposal", 0, 2, Must::Syntax);
  sa("an unknown mark of its last proposal", 0, 7, Must::Any);
  sa("a proposal of length 0", 3, 0, Must::Syntax);
  sa("a proposal one octet too short", 3, 23, Must::Syntax);
  sa("a proposal one octet too long", 3, 25, Must::Syntax);
  sa("a proposal of length 255", 3, 255, Must::Syntax);
  sa("an SPI of 0", 6, 0, Must::Syntax);
  sa("an SPI of 255", 6, 255, Must::Syntax);
  sa("no transforms by count", 7, 0, Must::Syntax);
  sa("two transforms by count", 7, 2, Must::Syntax);
  sa("255 transforms by count", 7, 255, Must::Syntax);
  sa("more to come after its last transform", 12, 3, Must::Syntax);
  sa("a transform of length 0", 15, 0, Must::Syntax);
  sa("a transform of length 7", 15, 7, Must::Syntax);
  sa("a transform one octet too long", 15, 13, Must::Syntax);
  sa("an attribute that is longer than the transform", 20, 0x00, Must::Syntax);
  for (const std::size_t n : {0U, 1U, 7U, 8U, 11U, 12U, 19U, 23U})
    add(fmt::format("SA cut to {}", n), PayloadType::SA,
        Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)), Must::Syntax);
  return out;
}

void lying_bodies(Bench& bench) {
  for (const Body& body : bodies()) {
    Raws raws = bench.payloads();
    const auto found =
        std::ranges::find_if(raws, [&](const Raw& r) { return r.type == static_cast<std::uint8_t>(body.type); });
    if (found != raws.end()) {
      found->body = body.octets;
    } else {
      raws.push_back({static_cast<std::uint8_t>(body.type), 0, body.octets});
    }
    bench.play(body.name, raws, body.must);
  }
}

class PayloadRules : public ::testing::TestWithParam<Place> {};

TEST_P(PayloadRules, HoldForEveryPayload) {
  Bench bench{GetParam()};
  whole_payloads(bench);
  const unsigned whole = bench.cells;
  lying_bodies(bench);
  fmt::print("{}: {} changed payloads and {} lying bodies, {} of them ended or dropped\n", GetParam().name, whole,
             bench.cells - whole, bench.ended);
  std::fflush(stdout);
}
INSTANTIATE_TEST_SUITE_P(Place, PayloadRules, ::testing::ValuesIn(kPlaces), [](const auto& p) {
  std::string name = p.param.name;
  std::ranges::replace(name, ' ', '_');
  return name;
});

}  // namespace
}  // namespace qanat::exchange
