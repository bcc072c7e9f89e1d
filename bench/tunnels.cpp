// How much memory an established tunnel takes, all state counted (IKE SA, Child SA, Director, packet path), and how
// long the control sides of two gateways take to bring up many from cold. Both gateways live in this process and hold
// the same kind of state, so each tunnel is counted twice: once as its initiator, once as its responder.
//
//   bench_tunnels [tunnels [ecdsa | mldsa65]]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <memory>

#include <malloc.h>
#include <unistd.h>

#include "crypto/rng.hpp"
#include "gateway/gateway.hpp"
#include "ike_pair.hpp"
#include "wan/packet_path.hpp"

namespace {

using namespace qanat;

constexpr WallTime kNow{1'790'000'000};
const IpAddress kHub = IpAddress::v4(0xc0000201);  // 192.0.2.1

struct Datagram {
  ike::Path path;  // as the sender has it
  Bytes payload;
};

model::Config config_of(bool hub, std::size_t tunnels, const model::Tunnel& credentials) {
  model::Config out;
  out.gateway.address4 = kHub;
  out.gateway.half_open_limit = 100'000;
  const auto psk = model::PresharedKey{SecretBytes::copy_of(to_bytes("a secret that both know"))};
  for (std::size_t i = 0; i < tunnels; ++i) {
    const IpAddress spoke = IpAddress::v4(0x0a000001 + (static_cast<std::uint32_t>(i) << 8));
    model::Tunnel t;
    t.name = "t" + std::to_string(i);
    t.start = hub ? model::StartMode::Respond : model::StartMode::Initiate;
    t.local = hub ? kHub : spoke;
    t.peer = hub ? spoke : kHub;
    t.credentials = credentials.credentials;
    if (t.credentials.certificates.empty()) {
      t.psk = psk;
    } else {
      t.local_id = t.remote_id = wire::Identity::parse("fqdn:berlin.example.com").value();
    }
    t.encap = model::EncapMode::Force;
    t.ike_proposals = {"aes256gcm16-prfsha384-x25519-ke1_mlkem768"};
    t.routes = {Prefix::masked(IpAddress::v4(0x64000000 + (static_cast<std::uint32_t>(i) << 8)), 24)};
    out.tunnels.push_back(std::move(t));
  }
  return out;
}

// One gateway with its packet path, as the daemon wires them.
class Node final : public wan::CopyingSink {
 public:
  Node(bool hub, std::size_t tunnels, const model::Tunnel& credentials)
      : path_({}, rng_), gateway_(std::make_unique<gateway::Gateway>(ike::EndpointConfig{}, rng_)) {
    const Status applied = gateway_->apply(now, config_of(hub, tunnels, credentials));
    if (!applied) std::printf("%s\n", applied.error().detail.c_str());
  }
  void send_esp(const ipsec::OuterPath&, std::uint8_t, wan::DfBit, ByteView) override {}
  void write_tun(VrfId, ByteView) override {}

  void receive(const Datagram& d, std::deque<Datagram>& wire) {
    gateway_->handle_datagram(now, {d.path.remote, d.path.local}, d.payload);
    drain(wire);
  }
  void drain(std::deque<Datagram>& wire) {
    for (bool moved = true; moved;) {
      moved = false;
      while (auto out = gateway_->poll()) {
        moved = true;
        if (auto* t = std::get_if<ike::Transmit>(&*out)) {
          wire.push_back({t->path, std::move(t->datagram)});
        } else if (auto* p = std::get_if<gateway::PlaneOut>(&*out)) {
          path_.post(now, std::move(p->command));
        } else if (const auto* h = std::get_if<gateway::HostOut>(&*out)) {
          gateway_->handle_host(now, {h->request, {}});
        } else if (auto* c = std::get_if<gateway::CredentialsOut>(&*out)) {
          credentials_[c->tunnel] = std::move(c->credentials);
        } else if (const auto* s = std::get_if<ike::SignQuestion>(&*out)) {
          gateway_->handle_auth(now, credentials_.at(s->tunnel)->answer(*s));
        } else if (const auto* v = std::get_if<ike::VerifyQuestion>(&*out)) {
          gateway_->handle_auth(now, credentials_.at(v->tunnel)->answer(*v, kNow, chains_));
        }
      }
      while (auto event = path_.poll_event()) {
        moved = true;
        gateway_->handle_plane(now, *event);
      }
    }
  }
  void handle_timeout(std::deque<Datagram>& wire) {
    path_.handle_timeout(now, *this);
    gateway_->handle_timeout(now);
    drain(wire);
  }
  [[nodiscard]] std::optional<Instant> next_timeout() const { return gateway_->next_timeout(); }
  [[nodiscard]] std::size_t up() const {
    std::size_t out = 0;
    for (const ike::SaInfo& sa : gateway_->ike_sas()) out += sa.state == ike::SaState::Established;
    return out;
  }

  Instant now = Instant::from_ns(1'000'000'000);

 private:
  crypto::SystemRng rng_;
  wan::PacketPath path_;
  std::unique_ptr<gateway::Gateway> gateway_;
  std::unordered_map<TunnelId, std::shared_ptr<const gateway::AuthCredentials>> credentials_;
  gateway::ChainCache chains_;
};

double resident() {
  std::ifstream in{"/proc/self/statm"};
  double size = 0;
  double pages = 0;
  in >> size >> pages;
  return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

struct Memory {
  double in_use = 0;
  double resident = 0;
};
Memory memory_now() {
  malloc_trim(0);
  const auto info = mallinfo2();
  return {static_cast<double>(info.uordblks + info.hblkhd), resident()};
}

class World {
 public:
  World(std::size_t tunnels, const model::Tunnel& credentials)
      : hub_(true, tunnels, credentials), spokes_(false, tunnels, credentials) {
    hub_.drain(wire_);
  }
  void settle() {
    spokes_.drain(wire_);
    while (!wire_.empty()) {
      const Datagram d = std::move(wire_.front());
      wire_.pop_front();
      (d.path.remote.address == kHub ? hub_ : spokes_).receive(d, wire_);
    }
    wire_.shrink_to_fit();
  }
  // Both gateways, for so long.
  void pass(Duration time) {
    const Instant end = hub_.now + time;
    for (;;) {
      std::optional<Instant> next = hub_.next_timeout();
      if (const auto other = spokes_.next_timeout(); other && (!next || *other < *next)) next = other;
      if (!next || *next > end) break;
      hub_.now = spokes_.now = std::max(hub_.now, *next);
      hub_.handle_timeout(wire_);
      spokes_.handle_timeout(wire_);
      settle();
    }
    hub_.now = spokes_.now = end;
  }
  [[nodiscard]] std::size_t up() const { return std::min(hub_.up(), spokes_.up()); }

 private:
  Node hub_;
  Node spokes_;
  std::deque<Datagram> wire_;
};

void print(const char* what, const Memory& before, const Memory& after, std::size_t tunnels) {
  const double ends = 2.0 * static_cast<double>(tunnels);
  std::printf("%-44s %8.0f octets in use %8.0f resident, a tunnel\n", what, (after.in_use - before.in_use) / ends,
              (after.resident - before.resident) / ends);
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t tunnels = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 10'000;
  const bench::Proof proof = argc > 2 && std::strcmp(argv[2], "ecdsa") == 0     ? bench::Proof::EcdsaP256
                             : argc > 2 && std::strcmp(argv[2], "mldsa65") == 0 ? bench::Proof::MlDsa65
                                                                                : bench::Proof::Psk;
  std::printf("sizeof: IkeSa %zu, ChildSa %zu, SaDirection %zu\n", sizeof(ike::IkeSa), sizeof(ike::ChildSa),
              sizeof(ipsec::SaDirection));
  const model::Tunnel credentials = bench::credentials_for(proof);
  {
    World warm{4, credentials};  // what the libraries allocate once
    warm.settle();
  }
  const Memory empty = memory_now();
  World world{tunnels, credentials};
  const Memory before = memory_now();
  print("configured", empty, before, tunnels);
  const double begun = bench::cpu_seconds();
  world.settle();
  world.pass(std::chrono::seconds{5});
  const double spent = bench::cpu_seconds() - begun;
  const std::size_t up = world.up();
  std::printf("%zu of %zu tunnels up after %.2f s of CPU, both ends: %.0f us a pair\n", up, tunnels, spent,
              spent * 1e6 / static_cast<double>(std::max<std::size_t>(up, 1)));
  print("after the handshakes", before, memory_now(), tunnels);
  world.pass(std::chrono::seconds{25});
  print("25 s later, after a liveness check", before, memory_now(), tunnels);
  return up == tunnels ? 0 : 1;
}
