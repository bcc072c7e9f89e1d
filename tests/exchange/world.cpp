#include "world.hpp"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "crypto/sk_cipher.hpp"
#include "ike/sk_codec.hpp"

namespace qanat::exchange {

using wire::PayloadType;

void FakePlane::answer(Answer how, ipsec::Done done, const char* what) {
  switch (how) {
    case Answer::AtOnce:
      events_.emplace_back(std::move(done));
      break;
    case Answer::Later:
      late_.emplace_back(std::move(done));
      break;
    case Answer::Never:
      break;
    case Answer::Refuse:
      done.spi = 0;
      done.status = fail(ErrorKind::Resource, "packet path", what);
      events_.emplace_back(std::move(done));
      break;
  }
}

void FakePlane::post(Instant, ipsec::Command command) {
  if (auto* c = std::get_if<ipsec::ReserveSpi>(&command)) {
    const ipsec::EspSpi spi = next_spi++;
    if (reserve != Answer::Refuse && reserve != Answer::Never) reserved.insert(spi);
    answer(reserve, {c->request, spi, {}}, "has no SPI left");
  } else if (auto* r = std::get_if<ipsec::ReleaseSpi>(&command)) {
    ensure(reserved.erase(r->spi) == 1, "only a reserved SPI is released");
  } else if (auto* in = std::get_if<ipsec::InstallInbound>(&command)) {
    ++installs;
    ensure(reserved.erase(in->sa.spi) == 1, "only a reserved SPI is installed");
    const RequestId request = in->request;
    inbound.emplace(in->sa.child, std::move(in->sa));
    answer(inbound_answer, {request, 0, {}}, "cannot take an inbound SA");
  } else if (auto* out = std::get_if<ipsec::InstallOutbound>(&command)) {
    ++installs;
    const RequestId request = out->request;
    outbound.emplace(out->sa.child, std::move(out->sa));
    answer(outbound_answer, {request, 0, {}}, "cannot take an outbound SA");
  } else if (auto* s = std::get_if<ipsec::SwitchOutbound>(&command)) {
    ensure(outbound.contains(s->child), "traffic goes only to an installed SA");
    std::erase(carrying, s->child);
    carrying.insert(carrying.begin(), s->child);
    current = s->child;
  } else if (auto* ri = std::get_if<ipsec::RemoveInbound>(&command)) {
    ensure(inbound.erase(ri->child) == 1, "an inbound SA is removed once");
  } else if (auto* ro = std::get_if<ipsec::RemoveOutbound>(&command)) {
    ensure(outbound.erase(ro->child) == 1, "an outbound SA is removed once");
    std::erase(carrying, ro->child);
    current = carrying.empty() ? std::nullopt : std::optional{carrying.front()};
  } else if (auto* d = std::get_if<ipsec::SendDummy>(&command)) {
    ensure(outbound.contains(d->child), "a dummy leaves by an installed SA");
    dummies.push_back(d->child);
  } else if (auto* u = std::get_if<ipsec::UpdatePeer>(&command)) {
    moves.push_back(*u);
  }
}

std::optional<ipsec::Event> FakePlane::poll_event() {
  if (events_.empty()) return std::nullopt;
  ipsec::Event out = std::move(events_.front());
  events_.pop_front();
  return out;
}

void FakePlane::give_late_answers() {
  for (auto& e : late_) events_.push_back(std::move(e));
  late_.clear();
}

bool Side::has(ike::Report::What what, std::string_view text) const {
  return std::any_of(reports.begin(), reports.end(),
                     [&](const ike::Report& r) { return r.what == what && r.detail.find(text) != std::string::npos; });
}

std::string Side::said() const {
  std::string out;
  for (const ike::Report& r : reports) out += fmt::format("{} {}: {}\n", name, to_string(r.what), r.detail);
  return out;
}

std::vector<ike::SaInfo> Side::established() const {
  std::vector<ike::SaInfo> out;
  for (ike::SaInfo& info : endpoint->sas()) {
    if (info.state == ike::SaState::Established) out.push_back(std::move(info));
  }
  return out;
}

ike::SaInfo Side::sa() const {
  const auto all = established();
  if (all.size() != 1)
    throw std::runtime_error(fmt::format("{} has {} established IKE SAs; it said:\n{}", name, all.size(), said()));
  return all.front();
}

std::vector<ike::ChildInfo> Side::live_children() const {
  std::vector<ike::ChildInfo> out;
  for (const ike::SaInfo& sa : established()) {
    for (const ike::ChildInfo& child : sa.children) {
      if (child.state == ike::ChildState::Live || child.state == ike::ChildState::Rekeying) out.push_back(child);
    }
  }
  return out;
}

ike::ChildInfo Side::child() const {
  const auto all = live_children();
  if (all.size() != 1)
    throw std::runtime_error(fmt::format("{} has {} live Child SAs; it said:\n{}", name, all.size(), said()));
  return all.front();
}

namespace {

ike::TunnelConfig default_tunnel(const IpAddress& local, const IpAddress& peer, const char* name, const char* local_id,
                                 const char* remote_id) {
  ike::TunnelConfig t;
  t.id = TunnelId{1};
  t.name = name;
  t.local = local;
  t.peer = peer;
  t.local_id = {wire::IdType::ID_FQDN, to_bytes(local_id)};
  t.remote_id = {wire::IdType::ID_FQDN, to_bytes(remote_id)};
  t.psk = model::PresharedKey{SecretBytes::copy_of(to_bytes("a secret that both sides know"))};
  t.ike = ipsec::default_hybrid_proposals();
  for (auto& p : ipsec::default_classical_proposals()) t.ike.push_back(p);
  t.esp = ipsec::default_esp_proposals();
  t.esn = {EsnId::ESN, EsnId::NO_ESN};
  t.mobike = false;  // mobike_test.cpp has it on; the others show the ports and payloads of RFC 7296
  t.local_ts = {ipsec::any_selector_v4()};
  t.remote_ts = {ipsec::any_selector_v4()};
  return t;
}

}  // namespace

World::World(std::uint64_t seed)
    : a(seed * 2, IpAddress::v4(0xc0000201), 0x1001), b(seed * 2 + 1, IpAddress::v4(0xc6336402), 0x2001) {
  a.name = "A";
  b.name = "B";
  a.tunnel = default_tunnel(a.address, b.address, "to-b", "a.example", "b.example");
  b.tunnel = default_tunnel(b.address, a.address, "to-a", "b.example", "a.example");
  a.config.key_log = b.config.key_log = true;
}

void World::open() {
  if (std::exchange(opened_, true)) return;
  for (Side* s : {&a, &b}) {
    s->endpoint = std::make_unique<ike::IkeEndpoint>(s->config, s->rng);
    s->endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(s->tunnel));
  }
}

void World::begin(char who) {
  open();
  const Status begun = side(who).endpoint->initiate(now, side(who).tunnel.id);
  if (!begun) throw std::runtime_error(begun.error().where + " " + begun.error().detail);
  drain();
}

void World::drain() {
  drain(a);
  drain(b);
}

void World::drain(Side& s) {
  for (bool busy = true; busy;) {
    busy = false;
    while (auto action = s.endpoint->poll_action()) {
      busy = true;
      if (auto* t = std::get_if<ike::Transmit>(&*action)) {
        wire.push_back({s.name[0], t->path, std::move(t->datagram)});
        sent.push_back(wire.back());
      } else if (auto* c = std::get_if<ike::PlaneCommand>(&*action)) {
        s.plane.post(now, std::move(c->command));
      } else if (auto* r = std::get_if<ike::Report>(&*action)) {
        s.reports.push_back(std::move(*r));
      } else if (auto* sign = std::get_if<ike::SignQuestion>(&*action)) {
        s.auth.ask(std::move(*sign));
      } else if (auto* verify = std::get_if<ike::VerifyQuestion>(&*action)) {
        s.auth.ask(std::move(*verify));
      } else if (auto* k = std::get_if<ike::KeyLog>(&*action)) {
        s.keys.push_back(std::move(*k));
      } else if (auto* e = std::get_if<ike::EspKeyLog>(&*action)) {
        s.esp_keys.push_back(std::move(*e));
      }
    }
    while (auto event = s.plane.poll_event()) {
      busy = true;
      s.endpoint->handle_plane(now, *event);
    }
    while (auto reply = s.auth.poll()) {
      busy = true;
      std::visit([&](auto& answer) { s.endpoint->handle_auth(now, std::move(answer)); }, *reply);
    }
  }
}

ike::Path World::mirrored(const Flight& flight) const {
  return nat ? nat(flight) : ike::Path{flight.path.remote, flight.path.local};
}

void World::arrive(char at, const ike::Path& arrived, ByteView payload) {
  side(at).endpoint->handle_datagram(now, arrived, payload);
  drain();
}

void World::arrive(const Flight& flight) {
  arrive(flight.from == 'A' ? 'B' : 'A', mirrored(flight), flight.bytes);
}

void World::deliver(std::size_t index) {
  Flight flight = wire.at(index);
  wire.erase(wire.begin() + static_cast<std::ptrdiff_t>(index));
  if (meddle) meddle(flight);
  arrive(flight);
}

void World::deliver_copy(std::size_t index) {
  const Flight flight = wire.at(index);
  arrive(flight);
}

void World::drop(std::size_t index) {
  ensure(index < wire.size(), "there is something to drop");
  wire.erase(wire.begin() + static_cast<std::ptrdiff_t>(index));
}

void World::run() {
  for (unsigned steps = 0; !wire.empty(); ++steps) {
    if (steps > 5000) throw std::runtime_error("the conversation never ends");
    deliver();
  }
}

void World::advance(Duration by) {
  const Instant until = now + by;
  for (;;) {
    std::optional<Instant> next = a.endpoint->next_timeout();
    const auto other = b.endpoint->next_timeout();
    if (other && (!next || *other < *next)) next = other;
    if (!next || *next > until) break;
    now = std::max(now, *next);
    a.endpoint->handle_timeout(now);
    b.endpoint->handle_timeout(now);
    drain();
  }
  now = until;
}

void World::run_for(Duration by) {
  const Instant until = now + by;
  run();
  while (now < until) {
    std::optional<Instant> next = a.endpoint->next_timeout();
    const auto other = b.endpoint->next_timeout();
    if (other && (!next || *other < *next)) next = other;
    advance(next && *next < until ? std::max(Duration{0}, *next - now) : until - now);
    run();
  }
}

const ike::KeyLog& World::newest_keys() const {
  // The last that both have, so that a sealed message can be opened; else whoever has any.
  for (auto k = a.keys.rbegin(); k != a.keys.rend(); ++k) {
    for (const auto& other : b.keys) {
      if (other.spi_r == k->spi_r && other.spi_i == k->spi_i && other.generation == k->generation) return *k;
    }
  }
  return a.keys.empty() ? b.keys.back() : a.keys.back();
}

Seen World::look(const Flight& flight) const {
  Seen out;
  const bool marker = flight.path.local.port == 4500;
  out.ike = to_bytes(ByteView{flight.bytes}.subspan(marker ? std::min<std::size_t>(4, flight.bytes.size()) : 0));
  auto message = wire::parse_message(out.ike);
  if (!message) throw std::runtime_error("not an IKE message: " + message.error().where + " " + message.error().detail);
  out.message = std::move(*message);
  out.payloads = out.message.payloads;
  if (!out.message.encrypted) return out;
  const Side& sender = flight.from == 'A' ? a : b;
  for (const ike::KeyLog& k : sender.keys) {
    if (k.spi_i != out.message.header.spi_i || k.spi_r != out.message.header.spi_r) continue;
    const bool i = out.message.header.from_initiator();
    auto cipher = crypto::SkCipher::create(k.suite, (i ? k.sk_ei : k.sk_er).expose(), (i ? k.sk_ai : k.sk_ar).expose());
    if (!cipher) continue;
    const auto text = ike::open_encrypted(*cipher, out.ike, *out.message.encrypted);
    if (!text) continue;
    out.opened = true;
    if (!out.message.encrypted->is_fragment()) {
      if (auto chain = wire::parse_chain(out.message.encrypted->first_inner, *text)) out.payloads = std::move(*chain);
    }
    return out;
  }
  return out;
}

std::string World::name_of(const Flight& flight) const {
  const Seen seen = look(flight);
  const wire::IkeHeader& h = seen.message.header;
  std::string out = fmt::format("{} {} {} {}", flight.from == 'A' ? "A->B" : "B->A", wire::to_string(h.exchange),
                                h.is_response() ? "response" : "request", h.message_id);
  if (seen.message.encrypted && seen.message.encrypted->is_fragment())
    out += fmt::format(" {}/{}", seen.message.encrypted->fragment_number, seen.message.encrypted->total_fragments);
  return out;
}

Flight World::sealed(char from, const Sealing& what) const {
  const ike::KeyLog& keys = newest_keys();
  const auto last = std::find_if(sent.rbegin(), sent.rend(), [&](const Flight& f) { return f.from == from; });
  const auto any = std::find_if(sent.rbegin(), sent.rend(), [](const Flight&) { return true; });
  Flight out;
  out.from = from;
  out.path = last != sent.rend() ? last->path : ike::Path{any->path.remote, any->path.local};
  // Who made the IKE SA: the side whose first IKE_SA_INIT request has this SPI.
  char initiator = 'A';
  for (const Flight& f : sent) {
    const std::size_t at = f.path.local.port == 4500 ? 4 : 0;
    if (f.bytes.size() >= at + wire::kIkeHeaderSize && load_be64(&f.bytes[at]) == keys.spi_i &&
        load_be64(&f.bytes[at + 8]) == 0 && (f.bytes[at + 19] & wire::kFlagResponse) == 0)
      initiator = f.from;
  }
  // An IKE SA that a rekey made has no IKE_SA_INIT: its ends know.
  for (const Side* s : {&a, &b}) {
    if (!s->endpoint) continue;
    for (const ike::SaInfo& sa : s->endpoint->sas()) {
      if (sa.spi_i == keys.spi_i && sa.spi_r == keys.spi_r) initiator = sa.initiator == (s == &a) ? 'A' : 'B';
    }
  }
  const bool i = from == initiator;
  auto cipher = crypto::SkCipher::create(keys.suite, (i ? keys.sk_ei : keys.sk_er).expose(),
                                         (i ? keys.sk_ai : keys.sk_ar).expose());
  ensure(cipher.has_value(), "a logged key makes a cipher");
  const crypto::CipherSizes& sizes = cipher->sizes();
  const std::size_t padded = (what.plaintext.size() + 1 + sizes.block - 1) / sizes.block * sizes.block;
  const PayloadType type = what.total == 0 ? PayloadType::SK : PayloadType::SKF;
  const std::size_t head = what.total == 0 ? wire::kSkHeaderSize : wire::kSkfHeaderSize;

  ByteWriter chain;
  const PayloadType first = wire::write_chain(chain, what.clear, type);
  wire::IkeHeader h;
  h.spi_i = keys.spi_i;
  h.spi_r = keys.spi_r;
  h.next_payload = what.clear.empty() ? type : first;
  h.exchange = what.exchange;
  h.flags = static_cast<std::uint8_t>((i ? wire::kFlagInitiator : 0) | (what.response ? wire::kFlagResponse : 0));
  h.message_id = what.message_id;
  h.length = static_cast<std::uint32_t>(wire::kIkeHeaderSize + chain.size() + head + sizes.iv + padded + sizes.icv);
  ByteWriter w;
  wire::write_header(w, h);
  w.bytes(chain.view());
  w.u8(static_cast<std::uint8_t>(what.first));
  w.u8(0);
  w.u16(static_cast<std::uint16_t>(head + sizes.iv + padded + sizes.icv));
  if (what.total != 0) {
    w.u16(what.fragment);
    w.u16(what.total);
  }
  const std::size_t associated = w.size();
  w.zeros(sizes.iv + padded + sizes.icv);
  Bytes bytes = std::move(w).take();
  const MutableByteView body = MutableByteView{bytes}.subspan(associated);
  for (std::size_t n = 0; n < sizes.iv; ++n) body[n] = static_cast<std::uint8_t>(0xa0 + n + what.fragment);
  const MutableByteView text = body.subspan(sizes.iv, padded);
  std::copy(what.plaintext.begin(), what.plaintext.end(), text.begin());
  text.back() = what.pad_length.value_or(static_cast<std::uint8_t>(padded - what.plaintext.size() - 1));
  const Status done =
      cipher->seal(ByteView{bytes}.first(associated), body.first(sizes.iv), text, body.subspan(sizes.iv + padded));
  ensure(done.has_value(), "sealing works");
  if (what.break_icv) bytes.back() ^= 1;
  if (out.path.local.port == 4500) out.bytes.resize(4);
  append(out.bytes, bytes);
  return out;
}

Flight World::sealed(char from, wire::ExchangeType exchange, std::uint32_t message_id, const wire::Payloads& payloads,
                     bool response) const {
  Sealing s;
  s.exchange = exchange;
  s.message_id = message_id;
  s.response = response;
  ByteWriter chain;
  s.first = wire::write_chain(chain, payloads);
  s.plaintext = std::move(chain).take();
  return sealed(from, s);
}

Flight World::clear(char from, const wire::IkeHeader& header, const wire::Payloads& payloads) const {
  const auto last = std::find_if(sent.rbegin(), sent.rend(), [&](const Flight& f) { return f.from == from; });
  const auto other = std::find_if(sent.rbegin(), sent.rend(), [&](const Flight& f) { return f.from != from; });
  Flight out;
  out.from = from;
  out.path = last != sent.rend() ? last->path : ike::Path{other->path.remote, other->path.local};
  if (out.path.local.port == 4500) out.bytes.resize(4);
  append(out.bytes, wire::write_clear_message(header, payloads));
  return out;
}

ipsec::IkeProposal ike_proposal(std::string_view text) {
  auto p = ipsec::parse_ike_proposal(text);
  if (!p) throw std::runtime_error(p.error().detail);
  return *p;
}

ipsec::EspProposal esp_proposal(std::string_view text) {
  auto p = ipsec::parse_esp_proposal(text);
  if (!p) throw std::runtime_error(p.error().detail);
  return *p;
}

void use_certificate(Side& side, Side& other) {
  side.tunnel.local_auth = ike::AuthKind::Certificate;
  other.tunnel.remote_auth = ike::AuthKind::Certificate;
  other.tunnel.authorities = {Bytes(20, 0xca)};
  other.tunnel.announced = {Bytes{0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12}};
  side.auth.owner = std::string(side.tunnel.local_id.data.begin(), side.tunnel.local_id.data.end());
}

wire::NotifyPayload notify(wire::NotifyType type, Bytes data) {
  return {wire::ProtocolId::None, {}, type, std::move(data)};
}

}  // namespace qanat::exchange
