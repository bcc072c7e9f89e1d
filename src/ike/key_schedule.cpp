#include "ike/key_schedule.hpp"

#include <utility>

#include "crypto/prf.hpp"

namespace qanat::ike {

namespace {

KeySet expand(const KeyContext& c, const SecretBytes& skeyseed) {
  const crypto::CipherSizes sizes = crypto::cipher_sizes(c.suite);
  const std::size_t prf_size = crypto::prf_size(c.prf);
  std::array<std::uint8_t, 16> spis{};
  store_be64(spis.data(), c.spi_i);
  store_be64(spis.data() + 8, c.spi_r);
  const std::size_t total = 3 * prf_size + 2 * sizes.integ_key + 2 * sizes.encr_key;
  const SecretBytes material = crypto::prf_plus(c.prf, skeyseed.expose(), {c.nonce_i, c.nonce_r, spis}, total);
  ByteView rest = material.expose();
  const auto next = [&rest](std::size_t size) {
    SecretBytes part = SecretBytes::copy_of(rest.first(size));
    rest = rest.subspan(size);
    return part;
  };
  KeySet keys;
  keys.sk_d = next(prf_size);
  keys.sk_ai = next(sizes.integ_key);
  keys.sk_ar = next(sizes.integ_key);
  keys.sk_ei = next(sizes.encr_key);
  keys.sk_er = next(sizes.encr_key);
  keys.sk_pi = next(prf_size);
  keys.sk_pr = next(prf_size);
  return keys;
}

}  // namespace

KeySet derive_initial_keys(const KeyContext& c, const SecretBytes& shared_secret) {
  Bytes nonces = c.nonce_i;
  append(nonces, c.nonce_r);
  return expand(c, crypto::prf(c.prf, nonces, {shared_secret.expose()}));
}

KeySet derive_next_keys(const KeyContext& c, const SecretBytes& previous_sk_d, const SecretBytes& shared_secret) {
  return expand(c, crypto::prf(c.prf, previous_sk_d.expose(), {shared_secret.expose(), c.nonce_i, c.nonce_r}));
}

ChildKeys derive_first_child_keys(const KeyContext& c, const SecretBytes& sk_d, const CipherSuite& child) {
  const crypto::CipherSizes sizes = crypto::cipher_sizes(child);
  const std::size_t one = sizes.encr_key + sizes.integ_key;
  const SecretBytes material = crypto::prf_plus(c.prf, sk_d.expose(), {c.nonce_i, c.nonce_r}, 2 * one);
  return {SecretBytes::copy_of(material.expose().first(one)), SecretBytes::copy_of(material.expose().subspan(one))};
}

KeysWithoutPpk apply_ppk(PrfId prf, ByteView ppk, KeySet& keys) {
  KeysWithoutPpk before;
  const auto mix = [&](SecretBytes& key) {
    SecretBytes mixed = crypto::prf_plus(prf, ppk, {key.expose()}, key.size());
    return std::exchange(key, std::move(mixed));
  };
  before.sk_d = mix(keys.sk_d);
  before.sk_pi = mix(keys.sk_pi);
  before.sk_pr = mix(keys.sk_pr);
  return before;
}

ChildKeys derive_child_keys(PrfId prf, const SecretBytes& sk_d, const SecretBytes& seed, const CipherSuite& child) {
  const crypto::CipherSizes sizes = crypto::cipher_sizes(child);
  const std::size_t one = sizes.encr_key + sizes.integ_key;
  const SecretBytes material = crypto::prf_plus(prf, sk_d.expose(), {seed.expose()}, 2 * one);
  return {SecretBytes::copy_of(material.expose().first(one)), SecretBytes::copy_of(material.expose().subspan(one))};
}

KeySet derive_rekeyed_keys(PrfId old_prf, const SecretBytes& old_sk_d, const SecretBytes& seed,
                           const KeyContext& fresh) {
  return expand(fresh, crypto::prf(old_prf, old_sk_d.expose(), {seed.expose()}));
}

void IntAuth::add(PrfId prf, const SecretBytes& sk_p, ByteView message_a, ByteView plaintext) {
  chain_ = crypto::prf(prf, sk_p.expose(), {chain_.expose(), message_a, plaintext});
}

Bytes signed_octets(const SignedOctetsInput& in) {
  Bytes out;
  if (!in.peer_init_message.empty()) {
    out.resize(8);
    append(out, in.peer_init_message);
  }
  append(out, in.init_message);
  append(out, in.peer_nonce);
  append(out, crypto::prf(in.prf, in.sk_p->expose(), {in.id_body}).expose());
  if (!in.int_auth_i->empty()) {
    append(out, in.int_auth_i->value());
    append(out, in.int_auth_r->value());
    std::array<std::uint8_t, 4> mid{};
    store_be32(mid.data(), in.auth_message_id);
    append(out, mid);
  }
  return out;
}

SecretBytes psk_auth(PrfId prf, ByteView psk, ByteView octets) {
  const Bytes pad = to_bytes("Key Pad for IKEv2");
  const SecretBytes key = crypto::prf(prf, psk, {pad});
  return crypto::prf(prf, key.expose(), {octets});
}

}  // namespace qanat::ike
