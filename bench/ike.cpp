// A whole handshake between two endpoints in memory (PSK, both sides' work together), and the bare key exchanges that
// it cannot do without.
#include <deque>

#include <benchmark/benchmark.h>

#include "crypto/rng.hpp"
#include "ike/endpoint.hpp"

namespace {

using namespace qanat;

ike::TunnelRef tunnel(const char* proposal, IpAddress local, IpAddress peer) {
  auto t = std::make_shared<ike::TunnelConfig>();
  t->id = TunnelId{1};
  t->name = "t";
  t->local = local;
  t->peer = peer;
  t->local_id = wire::Identity::of_address(local);
  t->remote_id = wire::Identity::of_address(peer);
  t->psk = model::PresharedKey{SecretBytes::copy_of(to_bytes("a secret that both know"))};
  t->ike = {*ipsec::parse_ike_proposal(proposal)};
  t->esp = ipsec::default_esp_proposals();
  t->esn = {EsnId::ESN};
  t->local_ts = t->remote_ts = {ipsec::any_selector_v4()};
  return t;
}

class Side {
 public:
  Side(const char* proposal, IpAddress local, IpAddress peer) : endpoint({}, rng_) {
    endpoint.set_tunnel(tunnel(proposal, local, peer));
  }
  // Carries out what the endpoint wants; datagrams go to `wire`.
  void drain(Instant now, std::deque<ike::Transmit>& wire) {
    while (auto action = endpoint.poll_action()) {
      if (auto* t = std::get_if<ike::Transmit>(&*action)) wire.push_back(std::move(*t));
      if (const auto* r = std::get_if<ike::Report>(&*action)) up = up || r->what == ike::Report::What::ChildUp;
      if (const auto* p = std::get_if<ike::PlaneCommand>(&*action)) {
        if (const auto* spi = std::get_if<ipsec::ReserveSpi>(&p->command))
          endpoint.handle_plane(now, ipsec::Done{spi->request, next_spi_++, {}});
        if (const auto* in = std::get_if<ipsec::InstallInbound>(&p->command))
          endpoint.handle_plane(now, ipsec::Done{in->request, 0, {}});
        if (const auto* out = std::get_if<ipsec::InstallOutbound>(&p->command))
          endpoint.handle_plane(now, ipsec::Done{out->request, 0, {}});
      }
    }
  }
  bool up = false;

 private:
  crypto::SystemRng rng_;
  ipsec::EspSpi next_spi_ = 1000;

 public:
  ike::IkeEndpoint endpoint;
};

void handshake(benchmark::State& state, const char* proposal) {
  const IpAddress a = IpAddress::v4(0xc0000201);
  const IpAddress b = IpAddress::v4(0xc0000202);
  Instant now = Instant::from_ns(1'000'000'000);
  for (auto _ : state) {
    Side left{proposal, a, b};
    Side right{proposal, b, a};
    std::deque<ike::Transmit> wire;
    if (!left.endpoint.initiate(now, TunnelId{1})) state.SkipWithError("cannot begin");
    left.drain(now, wire);
    while (!wire.empty()) {
      const ike::Transmit t = std::move(wire.front());
      wire.pop_front();
      Side& to = t.path.remote.address == a ? left : right;
      to.endpoint.handle_datagram(now, {t.path.remote, t.path.local}, t.datagram);
      to.drain(now, wire);
    }
    if (!left.up || !right.up) state.SkipWithError("did not come up");
  }
}
BENCHMARK_CAPTURE(handshake, x25519, "aes256gcm16-prfsha384-x25519")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(handshake, x25519_mlkem768, "aes256gcm16-prfsha384-x25519-ke1_mlkem768")
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(handshake, ecp384_mlkem1024, "aes256gcm16-prfsha384-ecp384-ke1_mlkem1024")
    ->Unit(benchmark::kMicrosecond);

void key_exchange(benchmark::State& state, KeId id) {
  crypto::SystemRng rng;
  for (auto _ : state) {
    auto ours = crypto::KeyExchange::create(id, rng);
    auto reply = crypto::respond(id, (*ours)->public_value(), rng);
    auto secret = (*ours)->finish(reply->public_value);
    benchmark::DoNotOptimize(secret);
  }
}
BENCHMARK_CAPTURE(key_exchange, x25519, KeId::CURVE25519)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(key_exchange, ecp384, KeId::ECP_384)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(key_exchange, mlkem768, KeId::ML_KEM_768)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(key_exchange, mlkem1024, KeId::ML_KEM_1024)->Unit(benchmark::kMicrosecond);

}  // namespace
