// Rewrites of IKE_SA_INIT, which anybody on the way can read and change.
#include <algorithm>

#include <fmt/format.h>

#include "crypto/key_exchange.hpp"
#include "exchange/mitm.hpp"

namespace qanat::exchange::mitm {

using wire::ExchangeType;
using wire::NotifyType;
using wire::PayloadType;
using wire::Proposal;
using wire::Transform;
using wire::TransformType;

namespace {

using Edit = std::function<void(wire::Payloads&, const Hand&)>;
using SaEdit = std::function<void(wire::SaPayload&)>;

Rewrite edit_init(Victim victim, std::string name, Edit edit) {
  const bool request = victim == Victim::Responder;
  Rewrite out;
  out.name = fmt::format("IKE_SA_INIT {}: {}", request ? "request" : "response", name);
  out.victim = victim;
  out.act = [request, edit = std::move(edit)](Hand& h) {
    const wire::IkeHeader& header = h.seen.message.header;
    if (header.exchange != ExchangeType::IKE_SA_INIT || header.is_response() == request) return;
    wire::Payloads payloads = h.seen.payloads;
    edit(payloads, h);
    for (wire::Payload& p : payloads) {  // nothing is left: our writer does not write that
      if (const auto* sa = std::get_if<wire::SaPayload>(&p); sa != nullptr && sa->proposals.empty())
        p = wire::UnknownPayload{PayloadType::SA, false, {}};
    }
    if (payloads != h.seen.payloads) h.flight.bytes = wire::write_clear_message(header, payloads);
  };
  return out;
}

Edit of_sa(SaEdit edit) {
  return [edit = std::move(edit)](wire::Payloads& payloads, const Hand&) {
    for (wire::Payload& p : payloads) {
      if (auto* sa = std::get_if<wire::SaPayload>(&p)) edit(*sa);
    }
  };
}
Edit of_ke(std::function<void(wire::KePayload&, const Hand&)> edit) {
  return [edit = std::move(edit)](wire::Payloads& payloads, const Hand& h) {
    for (wire::Payload& p : payloads) {
      if (auto* ke = std::get_if<wire::KePayload>(&p)) edit(*ke, h);
    }
  };
}
Edit of_nonce(std::function<void(Bytes&, const Hand&)> edit) {
  return [edit = std::move(edit)](wire::Payloads& payloads, const Hand& h) {
    for (wire::Payload& p : payloads) {
      if (auto* nonce = std::get_if<wire::NoncePayload>(&p)) edit(nonce->data, h);
    }
  };
}

// The same transforms of one type in every proposal.
SaEdit of_transforms(TransformType type, std::function<void(std::vector<Transform>&)> edit) {
  return [type, edit = std::move(edit)](wire::SaPayload& sa) {
    for (Proposal& p : sa.proposals) {
      std::vector<Transform> those;
      std::vector<Transform> rest;
      for (Transform& t : p.transforms) (t.type == type ? those : rest).push_back(t);
      if (those.empty()) continue;
      const auto at =
          std::find_if(p.transforms.begin(), p.transforms.end(), [&](const Transform& t) { return t.type == type; });
      const auto before = static_cast<std::ptrdiff_t>(
          std::count_if(p.transforms.begin(), at, [&](const Transform& t) { return t.type != type; }));
      edit(those);
      rest.insert(rest.begin() + before, those.begin(), those.end());
      p.transforms = std::move(rest);
    }
  };
}

// What the same side sent in the earlier conversation.
const wire::Payloads& earlier_init(const Hand& h) {
  static thread_local Seen seen;
  for (const Flight& f : h.other.sent) {
    seen = h.other.look(f);
    if (f.from == h.flight.from && seen.message.header.exchange == ExchangeType::IKE_SA_INIT) break;
  }
  return seen.payloads;
}

Transform additional(TransformType type, unsigned id) {
  return {type, static_cast<std::uint16_t>(id), std::nullopt, false};
}

void add_sa_rules(std::vector<Rewrite>& out) {
  const auto request = [&](std::string name, SaEdit edit) {
    out.push_back(edit_init(Victim::Responder, std::move(name), of_sa(std::move(edit))));
  };
  const auto response = [&](std::string name, SaEdit edit) {
    out.push_back(edit_init(Victim::Initiator, std::move(name), of_sa(std::move(edit))));
  };
  const auto both = [&](const std::string& name, const SaEdit& edit) {
    request(name, edit);
    response(name, edit);
  };
  for (const auto& [type, name] : {std::pair{TransformType::ENCR, "ENCR"},
                                   {TransformType::PRF, "PRF"},
                                   {TransformType::KE, "KE"},
                                   {TransformType::ADDKE1, "ADDKE1"}}) {
    both(fmt::format("without {} transforms", name), of_transforms(type, [](auto& t) { t.clear(); }));
    both(fmt::format("the first {} twice", name), of_transforms(type, [](auto& t) { t.push_back(t.front()); }));
    both(fmt::format("{} with an unknown attribute", name), of_transforms(type, [](auto& t) {
           for (Transform& x : t) x.key_length = 77;
         }));
    request(fmt::format("{} in reverse order", name), of_transforms(type, [](auto& t) { std::ranges::reverse(t); }));
    request(fmt::format("without the first {}", name), of_transforms(type, [](auto& t) { t.erase(t.begin()); }));
    request(fmt::format("only the last {}", name),
            of_transforms(type, [](auto& t) { t.erase(t.begin(), t.end() - 1); }));
    request(fmt::format("only the first {}", name), of_transforms(type, [](auto& t) { t.resize(1); }));
  }
  for (const KeId id : {KeId::ML_KEM_512, KeId::ML_KEM_768, KeId::ML_KEM_1024}) {
    request(fmt::format("without {}", to_string(id)), of_transforms(TransformType::ADDKE1, [id](auto& t) {
              std::erase_if(t, [&](const Transform& x) { return x.id == static_cast<std::uint16_t>(id); });
            }));
    request(fmt::format("only {}", to_string(id)), of_transforms(TransformType::ADDKE1, [id](auto& t) {
              std::erase_if(t, [&](const Transform& x) { return x.id != static_cast<std::uint16_t>(id); });
            }));
    request(fmt::format("{} becomes NONE", to_string(id)), of_transforms(TransformType::ADDKE1, [id](auto& t) {
              for (Transform& x : t) x.id = x.id == static_cast<std::uint16_t>(id) ? std::uint16_t{0} : x.id;
            }));
  }
  for (const unsigned id : {0U, 31U, 19U, 14U, 35U, 37U, 1024U, 65000U}) {
    both(fmt::format("ADDKE1 is only {}", id),
         of_transforms(TransformType::ADDKE1, [id](auto& t) { t = {additional(TransformType::ADDKE1, id)}; }));
  }
  request("ADDKE1 also NONE, last",
          of_transforms(TransformType::ADDKE1, [](auto& t) { t.push_back(additional(TransformType::ADDKE1, 0)); }));
  request("ADDKE1 also NONE, first", of_transforms(TransformType::ADDKE1, [](auto& t) {
            t.insert(t.begin(), additional(TransformType::ADDKE1, 0));
          }));
  for (unsigned n = 2; n <= 7; ++n) {
    const auto type = static_cast<TransformType>(static_cast<unsigned>(TransformType::ADDKE1) + n - 1);
    both(fmt::format("ADDKE1 becomes ADDKE{}", n), of_transforms(TransformType::ADDKE1, [type](auto& t) {
           for (Transform& x : t) x.type = type;
         }));
    if (n == 2 || n == 7)
      both(fmt::format("and ADDKE{} mlkem1024", n),
           of_transforms(TransformType::ADDKE1, [type](auto& t) { t.push_back(additional(type, 37)); }));
  }
  request("the proposals in reverse order", [](auto& sa) { std::ranges::reverse(sa.proposals); });
  request("the first proposal last",
          [](auto& sa) { std::rotate(sa.proposals.begin(), sa.proposals.begin() + 1, sa.proposals.end()); });
  request("only the last proposal", [](auto& sa) { sa.proposals.erase(sa.proposals.begin(), sa.proposals.end() - 1); });
  request("without the first proposal", [](auto& sa) { sa.proposals.erase(sa.proposals.begin()); });
  request("without the last proposal", [](auto& sa) { sa.proposals.pop_back(); });
  request("only proposals without ML-KEM", [](auto& sa) {
    std::erase_if(sa.proposals, [](const Proposal& p) {
      return std::ranges::any_of(p.transforms, [](const Transform& t) { return t.type >= TransformType::ADDKE1; });
    });
  });
  request("a classical twin of the first proposal before it", [](auto& sa) {
    Proposal twin = sa.proposals.front();
    std::erase_if(twin.transforms, [](const Transform& t) { return t.type >= TransformType::ADDKE1; });
    sa.proposals.insert(sa.proposals.begin(), twin);
  });
  both("the first proposal twice", [](auto& sa) { sa.proposals.push_back(sa.proposals.front()); });
  both("numbers plus 1", [](auto& sa) {
    for (Proposal& p : sa.proposals) ++p.number;
  });
  both("number 255", [](auto& sa) { sa.proposals.front().number = 255; });
  both("number 0", [](auto& sa) { sa.proposals.front().number = 0; });
  both("for ESP", [](auto& sa) { sa.proposals.front().protocol = wire::ProtocolId::ESP; });
  both("with an SPI of 8 octets", [](auto& sa) { sa.proposals.front().spi = Bytes(8, 1); });
  both("keys of 128 bits", of_transforms(TransformType::ENCR, [](auto& t) {
         for (Transform& x : t) x.key_length = 128;
       }));
  both("keys without a length", of_transforms(TransformType::ENCR, [](auto& t) {
         for (Transform& x : t) x.key_length.reset();
       }));
  // Choices that the responder did not make.
  const std::pair<const char*, Transform> choices[] = {
      {"aes128gcm16", {TransformType::ENCR, 20, std::uint16_t{128}, false}},
      {"chacha20poly1305", {TransformType::ENCR, 28, std::nullopt, false}},
      {"aes256 in CBC", {TransformType::ENCR, 12, std::uint16_t{256}, false}},
      {"3DES", {TransformType::ENCR, 3, std::nullopt, false}},
      {"ENCR NULL", {TransformType::ENCR, 11, std::nullopt, false}},
      {"prfsha256", {TransformType::PRF, 5, std::nullopt, false}},
      {"prfmd5", {TransformType::PRF, 1, std::nullopt, false}},
      {"ecp256", {TransformType::KE, 19, std::nullopt, false}},
      {"ecp384", {TransformType::KE, 20, std::nullopt, false}},
      {"modp2048", {TransformType::KE, 14, std::nullopt, false}},
      {"modp1024", {TransformType::KE, 2, std::nullopt, false}},
      {"KE NONE", {TransformType::KE, 0, std::nullopt, false}},
  };
  for (const auto& [name, transform] : choices) {
    response(fmt::format("{} is chosen", name),
             of_transforms(transform.type, [transform = transform](auto& t) { t = {transform}; }));
  }
  for (std::uint8_t number = 2; number <= 5; ++number) {
    response(fmt::format("the choice without ADDKE is of proposal {}", number), [number](auto& sa) {
      sa.proposals.front().number = number;
      std::erase_if(sa.proposals.front().transforms,
                    [](const Transform& t) { return t.type >= TransformType::ADDKE1; });
    });
  }
  response("with an integrity transform", [](auto& sa) {
    sa.proposals.front().transforms.push_back({TransformType::INTEG, 12, std::nullopt, false});
  });
}

void add_value_rules(std::vector<Rewrite>& out) {
  for (const Victim victim : {Victim::Responder, Victim::Initiator}) {
    const auto ke = [&](std::string name, std::function<void(wire::KePayload&, const Hand&)> edit) {
      out.push_back(edit_init(victim, std::move(name), of_ke(std::move(edit))));
    };
    ke("KE with its first bit changed", [](auto& k, const Hand&) { k.data.front() ^= 1; });
    ke("KE with its last octet changed", [](auto& k, const Hand&) { k.data.back() ^= 0x40; });
    ke("KE of zeros", [](auto& k, const Hand&) { std::ranges::fill(k.data, std::uint8_t{0}); });
    ke("KE of ones", [](auto& k, const Hand&) { std::ranges::fill(k.data, std::uint8_t{0xff}); });
    ke("KE without its last octet", [](auto& k, const Hand&) { k.data.pop_back(); });
    ke("KE with an octet more", [](auto& k, const Hand&) { k.data.push_back(1); });
    ke("KE without a value", [](auto& k, const Hand&) { k.data.clear(); });
    ke("KE of the attacker's own", [](auto& k, const Hand&) {
      SeededRng rng{77};
      if (auto own = crypto::KeyExchange::create(k.method, rng)) k.data = to_bytes((*own)->public_value());
    });
    ke("KE of an earlier conversation", [](auto& k, const Hand& h) {
      if (const auto* old = wire::find<wire::KePayload>(earlier_init(h))) k.data = old->data;
    });
    for (const KeId id : {KeId::ECP_256, KeId::MODP_2048, KeId::ML_KEM_512, KeId::ML_KEM_768}) {
      ke(fmt::format("KE says {}", to_string(id)), [id](auto& k, const Hand&) { k.method = id; });
    }
    const auto nonce = [&](std::string name, std::function<void(Bytes&, const Hand&)> edit) {
      out.push_back(edit_init(victim, std::move(name), of_nonce(std::move(edit))));
    };
    nonce("nonce with a bit changed", [](Bytes& n, const Hand&) { n.front() ^= 0x80; });
    nonce("nonce of zeros", [](Bytes& n, const Hand&) { std::ranges::fill(n, std::uint8_t{0}); });
    nonce("nonce cut to 16 octets", [](Bytes& n, const Hand&) { n.resize(16); });
    nonce("nonce cut to 15 octets", [](Bytes& n, const Hand&) { n.resize(15); });
    nonce("nonce of 256 octets", [](Bytes& n, const Hand&) { n.resize(256, 3); });
    nonce("nonce of 257 octets", [](Bytes& n, const Hand&) { n.resize(257, 3); });
    nonce("nonce of an earlier conversation", [](Bytes& n, const Hand& h) {
      if (const auto* old = wire::find<wire::NoncePayload>(earlier_init(h))) n = old->data;
    });
  }
  out.push_back(edit_init(Victim::Initiator, "nonce of the initiator, returned", of_nonce([](Bytes& n, const Hand& h) {
                            for (const Flight& f : h.world.sent) {
                              const Seen seen = h.world.look(f);
                              if (const auto* own = wire::find<wire::NoncePayload>(seen.payloads); own != nullptr) {
                                n = own->data;
                                return;
                              }
                            }
                          })));
  out.push_back(edit_init(Victim::Initiator, "KE of the initiator, returned", of_ke([](auto& k, const Hand& h) {
                            for (const Flight& f : h.world.sent) {
                              const Seen seen = h.world.look(f);
                              if (const auto* own = wire::find<wire::KePayload>(seen.payloads); own != nullptr) {
                                k.data = own->data;
                                return;
                              }
                            }
                          })));
}

void add_notify_rules(std::vector<Rewrite>& out) {
  struct Known {
    NotifyType type;
    Bytes data;    // when we put it in
    bool request;  // it stands in our IKE_SA_INIT request, and in the response
    bool response;
  };
  const Known known[] = {
      {NotifyType::NAT_DETECTION_SOURCE_IP, Bytes(20, 1), true, true},
      {NotifyType::NAT_DETECTION_DESTINATION_IP, Bytes(20, 2), true, true},
      {NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, {}, true, true},
      {NotifyType::SIGNATURE_HASH_ALGORITHMS, {0, 2, 0, 3}, true, true},
      {NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED, {}, true, true},
      {NotifyType::USE_PPK, {}, true, true},
      {NotifyType::CHILDLESS_IKEV2_SUPPORTED, {}, false, true},
      {NotifyType::IKE_SA_INIT_FULL_TRANSCRIPT_AUTH, {}, true, true},
      {NotifyType::REDIRECT_SUPPORTED, {}, false, false},
      {NotifyType::MULTIPLE_AUTH_SUPPORTED, {}, false, false},
      {NotifyType::EAP_ONLY_AUTHENTICATION, {}, false, false},
      {NotifyType::QUICK_CRASH_DETECTION, Bytes(16, 9), false, false},
      {NotifyType::SUPPORTED_AUTH_METHODS, {2, 1}, false, false},
      {NotifyType::USE_PPK_INT, {}, false, false},
      {NotifyType::COOKIE, Bytes(32, 7), false, false},
      {static_cast<NotifyType>(40999), {1, 2, 3}, false, false},
  };
  for (const Known& k : known) {
    for (const Victim victim : {Victim::Responder, Victim::Initiator}) {
      const bool present = victim == Victim::Responder ? k.request : k.response;
      const auto is_it = [type = k.type](const wire::Payload& p) {
        const auto* n = std::get_if<wire::NotifyPayload>(&p);
        return n != nullptr && n->type == type;
      };
      const std::string name = wire::to_string(k.type);
      if (present) {
        out.push_back(
            edit_init(victim, "without " + name, [=](wire::Payloads& p, const Hand&) { std::erase_if(p, is_it); }));
        out.push_back(edit_init(victim, "other data in " + name, [=](wire::Payloads& p, const Hand&) {
          for (wire::Payload& x : p) {
            if (!is_it(x)) continue;
            Bytes& data = std::get<wire::NotifyPayload>(x).data;
            if (data.empty()) {
              data.push_back(1);
            } else {
              data.back() ^= 1;
            }
          }
        }));
        out.push_back(edit_init(victim, "first stands " + name, [=](wire::Payloads& p, const Hand&) {
          std::stable_partition(p.begin(), p.end(), is_it);
        }));
      }
      const wire::NotifyPayload more = notify(k.type, k.data);
      out.push_back(
          edit_init(victim, "one more " + name, [=](wire::Payloads& p, const Hand&) { p.emplace_back(more); }));
    }
  }
}

void add_payload_rules(std::vector<Rewrite>& out) {
  for (const Victim victim : {Victim::Responder, Victim::Initiator}) {
    const auto rule = [&](std::string name, std::function<void(wire::Payloads&)> edit) {
      out.push_back(
          edit_init(victim, std::move(name), [edit = std::move(edit)](wire::Payloads& p, const Hand&) { edit(p); }));
    };
    rule("payloads in reverse order", [](auto& p) { std::ranges::reverse(p); });
    rule("SA last", [](auto& p) { std::rotate(p.begin(), p.begin() + 1, p.end()); });
    rule("nothing but SA, KE, nonce",
         [](auto& p) { std::erase_if(p, [](const wire::Payload& x) { return wire::type_of(x) == PayloadType::N; }); });
    for (const PayloadType type : {PayloadType::SA, PayloadType::KE, PayloadType::Nonce}) {
      rule("without " + wire::to_string(type),
           [type](auto& p) { std::erase_if(p, [&](const wire::Payload& x) { return wire::type_of(x) == type; }); });
      rule("two of " + wire::to_string(type), [type](auto& p) {
        p.push_back(*std::ranges::find_if(p, [&](const wire::Payload& x) { return wire::type_of(x) == type; }));
      });
    }
    const std::pair<const char*, Bytes> bodies[] = {{"an SA without proposals", {}},
                                                    {"a proposal without transforms", {0, 0, 0, 8, 1, 1, 0, 0}},
                                                    {"a proposal that ends early", {0, 0, 0, 9, 1, 1, 0, 1, 3}}};
    for (const auto& [name, body] : bodies) {
      rule(name, [body = body](auto& p) { p.front() = wire::UnknownPayload{PayloadType::SA, false, body}; });
    }
    rule("with an unknown payload",
         [](auto& p) { p.push_back(wire::UnknownPayload{static_cast<PayloadType>(99), false, {1}}); });
    rule("with an unknown critical payload",
         [](auto& p) { p.push_back(wire::UnknownPayload{static_cast<PayloadType>(99), true, {1}}); });
    rule("with a vendor ID", [](auto& p) { p.push_back(wire::VendorIdPayload{Bytes(16, 4)}); });
    rule("with a CERTREQ", [](auto& p) { p.push_back(wire::CertReqPayload{4, Bytes(20, 4)}); });
    rule("with an identity", [](auto& p) {
      p.push_back(wire::IdPayload{PayloadType::IDi, {wire::IdType::ID_FQDN, to_bytes("a.example")}});
    });
  }
}

}  // namespace

std::vector<Rewrite> rewrites_of_init() {
  std::vector<Rewrite> out;
  add_sa_rules(out);
  add_value_rules(out);
  add_notify_rules(out);
  add_payload_rules(out);
  return out;
}

std::vector<Rewrite> rewrites_of_octets() {
  std::vector<Rewrite> out;
  for (const Victim victim : {Victim::Responder, Victim::Initiator}) {
    const bool request = victim == Victim::Responder;
    const auto rule = [&](const std::string& name, std::function<void(Bytes&)> edit) {
      Rewrite r;
      r.name = fmt::format("IKE_SA_INIT {}: {}", request ? "request" : "response", name);
      r.victim = victim;
      r.act = [request, edit = std::move(edit)](Hand& h) {
        const wire::IkeHeader& header = h.seen.message.header;
        if (header.exchange == ExchangeType::IKE_SA_INIT && header.is_response() != request) edit(h.flight.bytes);
      };
      out.push_back(std::move(r));
    };
    const auto flip = [&](const std::string& name, std::size_t at, std::uint8_t bits) {
      rule(name, [at, bits](Bytes& b) { b[at] ^= bits; });
    };
    flip("SPIi changed", 3, 0x10);
    flip("SPIr changed", 12, 0x10);
    flip("another first payload type", 16, 0x03);
    flip("minor version 1", 17, 0x01);
    flip("major version 3", 17, 0x10);
    flip("major version 1", 17, 0x30);
    flip("exchange IKE_AUTH", 18, 34 ^ 35);
    flip("exchange IKE_INTERMEDIATE", 18, 34 ^ 43);
    flip("the Initiator flag", 19, wire::kFlagInitiator);
    flip("the Response flag", 19, wire::kFlagResponse);
    flip("the Version flag", 19, wire::kFlagVersion);
    for (const unsigned bit : {0x01U, 0x02U, 0x04U, 0x40U, 0x80U})
      flip(fmt::format("reserved flag {:#x}", bit), 19, static_cast<std::uint8_t>(bit));
    flip("Message ID 1", 23, 0x01);
    flip("Message ID 2^31", 20, 0x80);
    rule("Length one less", [](Bytes& b) { store_be32(&b[24], load_be32(&b[24]) - 1); });
    rule("an octet behind the message", [](Bytes& b) { b.push_back(0); });
    rule("an octet less", [](Bytes& b) { b.pop_back(); });
    for (std::size_t n = 0; n < 8; ++n) {
      for (const auto& [bits, name] :
           {std::pair<std::uint8_t, const char*>{0x80, "critical"}, {0x01, "with a reserved bit"}}) {
        rule(fmt::format("payload {} {}", n + 1, name), [n, bits = bits](Bytes& b) {
          std::size_t at = wire::kIkeHeaderSize;
          for (std::size_t i = 0; i < n && at + 4 <= b.size(); ++i) at += load_be16(&b[at + 2]);
          if (at + 4 <= b.size()) b[at + 1] ^= bits;
        });
      }
    }
  }
  return out;
}

}  // namespace qanat::exchange::mitm
