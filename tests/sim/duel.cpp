#include "sim/duel.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "sim/sa_view.hpp"
#include "testcrypto/ledger.hpp"
#include "testcrypto/mixer.hpp"

namespace qanat::sim {

void SteeredRng::fill(MutableByteView out) {
  rng_.fill(out);
  if (out.size() == 32 && !nonces.empty()) {
    out[0] = nonces.front();
    nonces.pop_front();
  } else if (out.size() == 8 && small) {
    out[0] = *small;
  }
}

void BookPlane::post(ipsec::Command command, std::vector<std::string>& complaints) {
  const auto complain = [&](bool wrong, const char* what) {
    if (wrong) complaints.emplace_back(what);
  };
  if (auto* reserve = std::get_if<ipsec::ReserveSpi>(&command)) {
    const ipsec::EspSpi spi = next_spi++;
    reserved.insert(spi);
    events_.emplace_back(ipsec::Done{reserve->request, spi, {}});
  } else if (auto* release = std::get_if<ipsec::ReleaseSpi>(&command)) {
    complain(reserved.erase(release->spi) != 1, "an SPI was released that was not reserved");
  } else if (auto* in = std::get_if<ipsec::InstallInbound>(&command)) {
    complain(reserved.erase(in->sa.spi) != 1, "an inbound SA was installed on an SPI that was not reserved");
    inbound[in->sa.child] = {in->sa.tunnel, in->sa.spi};
    events_.emplace_back(ipsec::Done{in->request, 0, {}});
  } else if (auto* out = std::get_if<ipsec::InstallOutbound>(&command)) {
    outbound[out->sa.child] = {out->sa.tunnel, out->sa.spi};
    events_.emplace_back(ipsec::Done{out->request, 0, {}});
  } else if (auto* change = std::get_if<ipsec::SwitchOutbound>(&command)) {
    complain(!outbound.contains(change->child), "traffic was sent to an SA that is not installed");
    current = change->child;
  } else if (auto* remove_in = std::get_if<ipsec::RemoveInbound>(&command)) {
    complain(inbound.erase(remove_in->child) != 1, "an inbound SA was removed that was not there");
  } else if (auto* remove_out = std::get_if<ipsec::RemoveOutbound>(&command)) {
    complain(outbound.erase(remove_out->child) != 1, "an outbound SA was removed that was not there");
    // As the real one: the newest that is left is used next.
    if (current == remove_out->child)
      current = outbound.empty() ? std::nullopt : std::optional{outbound.rbegin()->first};
  }
}

std::optional<ipsec::Event> BookPlane::poll_event() {
  if (events_.empty()) return std::nullopt;
  ipsec::Event out = std::move(events_.front());
  events_.pop_front();
  return out;
}

std::vector<ike::SaInfo> Player::established() const {
  std::vector<ike::SaInfo> out;
  for (ike::SaInfo& sa : endpoint->sas()) {
    if (sa.state == ike::SaState::Established) out.push_back(std::move(sa));
  }
  return out;
}

Duel::Duel(std::uint64_t seed) : players{Player{seed * 2}, Player{seed * 2 + 1}} {
  testcrypto::Ledger::instance().clear();
  const std::array<IpAddress, 2> addresses{IpAddress::v4(0xc0000201), IpAddress::v4(0xc6336402)};
  const std::array<const char*, 2> names{"a.example", "b.example"};
  for (std::size_t n = 0; n < 2; ++n) {
    Player& p = players[n];
    p.name = n == 0 ? "A" : "B";
    p.plane.next_spi = n == 0 ? 0x1001 : 0x2001;
    p.tunnel.id = TunnelId{1};
    p.tunnel.name = n == 0 ? "to-b" : "to-a";
    p.tunnel.local = addresses[n];
    p.tunnel.peer = addresses[1 - n];
    p.tunnel.local_id = {wire::IdType::ID_FQDN, to_bytes(names[n])};
    p.tunnel.remote_id = {wire::IdType::ID_FQDN, to_bytes(names[1 - n])};
    p.tunnel.psk = model::PresharedKey{SecretBytes::copy_of(to_bytes("a secret that both sides know"))};
    p.tunnel.ike = {*ipsec::parse_ike_proposal("aes256gcm16-prfsha384-x25519-ke1_mlkem768")};
    p.tunnel.esp = {*ipsec::parse_esp_proposal("aes256gcm16")};
    p.tunnel.esn = {EsnId::ESN};
    p.tunnel.local_ts = {ipsec::any_selector_v4()};
    p.tunnel.remote_ts = {ipsec::any_selector_v4()};
  }
}

void Duel::open() {
  for (Player& p : players) {
    p.endpoint = std::make_unique<ike::IkeEndpoint>(p.config, p.rng);
    p.live = std::make_shared<ike::TunnelConfig>(p.tunnel);
    p.endpoint->set_tunnel(p.live);
  }
}

void Duel::note_command(std::size_t player, std::uint64_t what) {
  std::uint64_t& h = players[player].history;
  h = testcrypto::Mixer{h}.number(what).number(static_cast<std::uint64_t>(now.ns())).digest()[0];
}

namespace {

// In the workers' place: a signature is a function of what it covers, a certificate is its subject and noise.
Bytes signature_over(ByteView octets, std::size_t size) {
  Bytes out(size);
  testcrypto::Mixer{21}.update(octets).expand(out);
  return out;
}

ike::SignAnswer answer(const Player& p, const ike::SignQuestion& question) {
  ike::SignAnswer out;
  out.request = question.request;
  out.auth = {wire::AuthMethod::DigitalSignature, signature_over(question.octets, p.signature_octets)};
  out.certificates.push_back({4, Bytes(p.certificate_octets, 0x5a)});
  out.described = "a signature of the simulator";
  return out;
}

ike::VerifyAnswer answer(const ike::VerifyQuestion& question) {
  ike::VerifyAnswer out;
  out.request = question.request;
  out.described = "a certificate of the simulator";
  if (question.auth.data != signature_over(question.octets, question.auth.data.size()))
    out.status = fail(ErrorKind::AuthFailed, "AUTH", "the signature is wrong");
  return out;
}

}  // namespace

void Duel::drain() {
  drain(0);
  drain(1);
}

void Duel::drain(std::size_t n) {
  Player& p = players[n];
  for (bool busy = true; busy;) {
    busy = false;
    while (auto action = p.endpoint->poll_action()) {
      busy = true;
      if (auto* t = std::get_if<ike::Transmit>(&*action)) {
        wire[n].push_back({t->path, std::move(t->datagram)});
      } else if (auto* sign = std::get_if<ike::SignQuestion>(&*action)) {
        p.endpoint->handle_auth(now, answer(p, *sign));
      } else if (auto* verify = std::get_if<ike::VerifyQuestion>(&*action)) {
        p.endpoint->handle_auth(now, answer(*verify));
      } else if (auto* c = std::get_if<ike::PlaneCommand>(&*action)) {
        p.plane.post(std::move(c->command), p.complaints);
      } else if (auto* r = std::get_if<ike::Report>(&*action)) {
        p.reports.push_back(std::move(*r));
      }
    }
    while (auto event = slow_planes ? std::nullopt : p.plane.poll_event()) {
      busy = true;
      p.endpoint->handle_plane(now, *event);
    }
  }
}

void Duel::answer_of_plane(std::size_t player) {
  note_command(player, 3);
  players[player].endpoint->handle_plane(now, *players[player].plane.poll_event());
  drain(player);
}

void Duel::deliver(std::size_t from, std::size_t index) {
  Shot shot = std::move(wire[from][index]);
  wire[from].erase(wire[from].begin() + static_cast<std::ptrdiff_t>(index));
  Player& to = players[1 - from];
  to.history = testcrypto::Mixer{to.history}
                   .number(1)
                   .number(static_cast<std::uint64_t>(now.ns()))
                   .update(shot.bytes)
                   .digest()[0];
  to.endpoint->handle_datagram(now, {shot.path.remote, shot.path.local}, shot.bytes);
  drain(1 - from);
}

std::optional<Instant> Duel::next_timeout() const {
  std::optional<Instant> next = players[0].endpoint->next_timeout();
  const auto other = players[1].endpoint->next_timeout();
  if (other && (!next || *other < *next)) next = other;
  return next;
}

void Duel::advance(Instant to) {
  now = std::max(now, to);
  for (std::size_t n = 0; n < 2; ++n) {
    const auto due = players[n].endpoint->next_timeout();
    if (!due || *due > now) continue;
    note_command(n, 2);
    players[n].endpoint->handle_timeout(now);
    drain(n);
  }
}

void Duel::run(Duration limit) {
  const Instant end = now + limit;
  for (;;) {
    if (players[0].plane.has_event()) {
      answer_of_plane(0);
    } else if (players[1].plane.has_event()) {
      answer_of_plane(1);
    } else if (!wire[0].empty()) {
      deliver(0);
    } else if (!wire[1].empty()) {
      deliver(1);
    } else if (const auto next = next_timeout(); next && *next <= end) {
      advance(*next);
    } else {
      return;
    }
  }
}

namespace {

std::string text_of(const std::vector<ike::ChildInfo>& children) {
  std::string out;
  for (const ike::ChildInfo& child : children) out += fmt::format(" child {:x}/{:x}", child.spi_in, child.spi_out);
  return out;
}

bool mirror(const std::vector<ike::ChildInfo>& ours, const std::vector<ike::ChildInfo>& theirs) {
  return ours.size() == theirs.size() && std::all_of(ours.begin(), ours.end(), [&](const ike::ChildInfo& child) {
           return std::any_of(theirs.begin(), theirs.end(), [&](const ike::ChildInfo& other) {
             return other.spi_in == child.spi_out && other.spi_out == child.spi_in;
           });
         });
}

std::string text_of(const std::vector<ike::SaInfo>& sas) {
  std::string out;
  for (const ike::SaInfo& sa : sas)
    out += fmt::format(" [{:x}/{:x} state {}{}]", sa.spi_i >> 48, sa.spi_r >> 48, static_cast<int>(sa.state),
                       text_of(all_children(sa)));
  return out;
}

}  // namespace

std::vector<std::string> problems_of(const Duel& duel) {
  std::vector<std::string> out;
  for (std::size_t n = 0; n < 2; ++n) {
    const Player& here = duel.players[n];
    const Player& there = duel.players[1 - n];
    const auto ours = here.endpoint->sas();
    const auto theirs = there.established();
    for (const std::string& complaint : here.complaints) out.push_back(here.name + ": " + complaint);
    std::map<ChildSaId, ipsec::EspSpi> in;
    std::map<ChildSaId, ipsec::EspSpi> outward;
    for (const ike::SaInfo& sa : ours) {
      for (const ike::ChildInfo& child : all_children(sa)) {
        in[child.id] = child.spi_in;
        outward[child.id] = child.spi_out;
        if (child.state != ike::ChildState::Live)
          out.push_back(fmt::format("{} has a Child SA that never ends:{}", here.name, text_of({sa})));
      }
      if (sa.state != ike::SaState::Established) {
        out.push_back(fmt::format("{} has an IKE SA that never ends:{}", here.name, text_of({sa})));
        continue;
      }
      const auto twin = std::find_if(theirs.begin(), theirs.end(), [&](const ike::SaInfo& other) {
        return other.spi_i == sa.spi_i && other.spi_r == sa.spi_r && other.initiator != sa.initiator;
      });
      if (twin == theirs.end()) {
        out.push_back(fmt::format("{} has an IKE SA that the peer has not:{} there:{}", here.name, text_of({sa}),
                                  text_of(theirs)));
      } else if (!mirror(all_children(sa), all_children(*twin))) {
        out.push_back(
            fmt::format("{}: the Child SAs do not mirror:{} there:{}", here.name, text_of({sa}), text_of({*twin})));
      }
    }
    if (here.established().size() > 1)
      out.push_back(fmt::format("{} keeps several IKE SAs of one tunnel:{}", here.name, text_of(ours)));
    const auto same = [](const std::map<ChildSaId, ipsec::EspSpi>& known,
                         const std::map<ChildSaId, BookPlane::Sa>& installed) {
      return std::equal(known.begin(), known.end(), installed.begin(), installed.end(),
                        [](const auto& k, const auto& i) { return k.first == i.first && k.second == i.second.spi; });
    };
    if (!same(in, here.plane.inbound) || !same(outward, here.plane.outbound))
      out.push_back(fmt::format("{}: the packet path holds {} inbound and {} outbound SAs, IKE {}", here.name,
                                here.plane.inbound.size(), here.plane.outbound.size(), in.size()));
    if (!here.plane.reserved.empty())
      out.push_back(fmt::format("{}: {} SPIs stay reserved", here.name, here.plane.reserved.size()));
    if (!in.empty() && (!here.plane.current || !here.plane.outbound.contains(*here.plane.current)))
      out.push_back(fmt::format("{}: there is a Child SA, and traffic does not use it", here.name));
  }
  for (const std::string& twice : testcrypto::Ledger::instance().repetitions()) out.push_back(twice);
  return out;
}

std::vector<std::string> leftovers_of(Duel& duel) {
  std::vector<std::string> out;
  for (Player& p : duel.players) p.endpoint->terminate(duel.now, p.tunnel.id, "the end");
  duel.drain();
  duel.run(10min);
  for (const Player& p : duel.players) {
    if (p.endpoint->holdings() != 0)
      out.push_back(fmt::format("{} still holds {} entries of IKE SAs in the end", p.name, p.endpoint->holdings()));
    if (!p.plane.empty()) out.push_back(fmt::format("{}: SAs or SPIs stay in the packet path in the end", p.name));
    if (p.endpoint->next_timeout()) out.push_back(fmt::format("{} still waits for a timer in the end", p.name));
    for (const std::string& complaint : p.complaints) out.push_back(p.name + ": " + complaint);
  }
  return out;
}

}  // namespace qanat::sim
