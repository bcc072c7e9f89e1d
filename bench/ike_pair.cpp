#include "ike_pair.hpp"

#include "pki/issue.hpp"

namespace qanat::bench {

namespace {

constexpr WallTime kNow{1'790'000'000};
const IpAddress kHub = IpAddress::v4(0xc0000201);  // 192.0.2.1

IpAddress spoke(std::size_t index) {
  return IpAddress::v4(0x0a000001 + static_cast<std::uint32_t>(index));
}

ike::EndpointConfig endpoint_config(std::uint32_t shard) {
  ike::EndpointConfig out;
  out.shard = shard;
  out.shards = {2, 7};
  return out;
}

ike::TunnelRef tunnel(Proof proof, const char* proposal, bool initiator, std::size_t index,
                      const model::Tunnel& credentials) {
  auto t = std::make_shared<ike::TunnelConfig>();
  t->id = TunnelId{static_cast<std::uint32_t>(index + 1)};
  t->name = "t" + std::to_string(index);
  t->local = initiator ? spoke(index) : kHub;
  t->peer = initiator ? kHub : spoke(index);
  if (proof == Proof::Psk) {
    t->local_id = wire::Identity::of_address(t->local);
    t->remote_id = wire::Identity::of_address(*t->peer);
    t->psk = model::PresharedKey{SecretBytes::copy_of(to_bytes("a secret that both know"))};
  } else {
    gateway::set_authentication(credentials, *t);
    t->local_id = t->remote_id = wire::Identity::parse("fqdn:berlin.example.com").value();
  }
  t->ike = {*ipsec::parse_ike_proposal(proposal)};
  t->esp = ipsec::default_esp_proposals();
  t->esn = {EsnId::ESN};
  t->local_ts = t->remote_ts = {ipsec::any_selector_v4()};
  return t;
}

}  // namespace

model::Tunnel credentials_for(Proof proof) {
  model::Tunnel out;
  out.name = "bench";
  if (proof == Proof::Psk) return out;
  crypto::SystemRng rng;
  const pki::KeyChoice key{proof == Proof::EcdsaP256 ? crypto::KeyKind::EcP256 : crypto::KeyKind::MlDsa65, 2048};
  const auto made = pki::make_ca("Example CA", key, kNow, 3650, rng).value();
  const pki::Authority ca{made.certificate, made.key};
  const std::vector ids{wire::Identity::parse("fqdn:berlin.example.com").value()};
  const auto leaf = pki::issue(ca, ids, key, kNow, 365, rng).value();
  out.credentials.certificates = {leaf.certificate.der(), ca.certificate.der()};
  out.credentials.private_key = std::make_shared<const SecretBytes>(leaf.key.to_pkcs8().value());
  out.credentials.trust_anchors = {ca.certificate.der()};
  return out;
}

Side::Side(Proof proof, const char* proposal, bool initiator, std::size_t tunnels, std::uint32_t shard,
           const model::Tunnel& by)
    : endpoint(endpoint_config(shard), rng), credentials(gateway::AuthCredentials::of(by).value()) {
  for (std::size_t i = 0; i < tunnels; ++i) endpoint.set_tunnel(tunnel(proof, proposal, initiator, i, by));
}

void Side::drain(Instant now, std::deque<ike::Transmit>& wire) {
  while (auto action = endpoint.poll_action()) {
    if (auto* t = std::get_if<ike::Transmit>(&*action)) wire.push_back(std::move(*t));
    if (const auto* r = std::get_if<ike::Report>(&*action)) established += r->what == ike::Report::What::ChildUp;
    if (const auto* q = std::get_if<ike::SignQuestion>(&*action)) endpoint.handle_auth(now, credentials->answer(*q));
    if (const auto* q = std::get_if<ike::VerifyQuestion>(&*action))
      endpoint.handle_auth(now, credentials->answer(*q, kNow, chains));
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

Pair::Pair(Proof proof, const char* proposal, std::size_t tunnels, std::uint32_t shard) : tunnels_(tunnels) {
  const model::Tunnel credentials = credentials_for(proof);
  left = std::make_unique<Side>(proof, proposal, true, tunnels, shard, credentials);
  right = std::make_unique<Side>(proof, proposal, false, tunnels, shard, credentials);
}

bool Pair::handshake() {
  const std::size_t before = left->established;
  double at = cpu_seconds();
  const auto spent = [&at] {
    const double last = at;
    at = cpu_seconds();
    return at - last;
  };
  if (!left->endpoint.initiate(now_, TunnelId{static_cast<std::uint32_t>(++next_)})) return false;
  left->drain(now_, wire_);
  initiator_seconds_ += spent();
  while (!wire_.empty()) {
    const ike::Transmit t = std::move(wire_.front());
    wire_.pop_front();
    const bool to_hub = t.path.remote.address == kHub;
    Side& to = to_hub ? *right : *left;
    to.endpoint.handle_datagram(now_, {t.path.remote, t.path.local}, t.datagram);
    to.drain(now_, wire_);
    (to_hub ? responder_seconds_ : initiator_seconds_) += spent();
  }
  now_ = now_ + Duration{1'000'000};
  return left->established == before + 1 && right->established == left->established;
}

}  // namespace qanat::bench
