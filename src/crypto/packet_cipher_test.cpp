#include "crypto/packet_cipher.hpp"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>
#include <malloc.h>

#include "crypto/availability.hpp"
#include "crypto/unchecked.hpp"

namespace qanat::crypto {
namespace {

std::vector<CipherSuite> all_suites() {
  return availability().suites;
}

Bytes keymat_for(const CipherSuite& suite, std::uint64_t seed) {
  SeededRng rng{seed};
  return rng.bytes(cipher_sizes(suite).encr_key + cipher_sizes(suite).integ_key);
}

class PacketCipherEach : public testing::TestWithParam<CipherSuite> {
 protected:
  CipherSizes sizes_ = cipher_sizes(GetParam());

  [[nodiscard]] std::unique_ptr<PacketCipher> make(PacketBackend backend, std::uint64_t seed = 1) const {
    return PacketCipher::create(GetParam(), keymat_for(GetParam(), seed), backend).value();
  }
  [[nodiscard]] std::vector<PacketBackend> backends() const {
    std::vector<PacketBackend> out{PacketBackend::Automatic, PacketBackend::OpenSsl};
    if (backend_serves(PacketBackend::IpsecMb, GetParam())) out.push_back(PacketBackend::IpsecMb);
    return out;
  }
  [[nodiscard]] std::size_t whole_blocks(std::size_t size) const { return size / sizes_.block * sizes_.block; }
};
INSTANTIATE_TEST_SUITE_P(Suites, PacketCipherEach, testing::ValuesIn(all_suites()), [](const auto& tested) {
  std::string name = to_string(tested.param);
  for (char& c : name) {
    if (c == '-') c = '_';
  }
  return name;
});

TEST_P(PacketCipherEach, rekeyed_is_as_made_anew) {
  for (const PacketBackend backend : backends()) {
    auto used = make(backend, 1);
    const Bytes keymat = keymat_for(GetParam(), 2);
    EXPECT_FALSE(used->rekey(ByteView{keymat}.first(keymat.size() - 1)));
    ASSERT_TRUE(used->rekey(keymat));
    auto fresh = make(backend, 2);
    auto old = make(backend, 1);
    SeededRng rng{3};
    for (const std::size_t size : {sizes_.block, 64 * sizes_.block}) {
      const EspHeaderFields header{.spi = rng.u32(), .sequence = rng.u64(), .esn = true};
      const Bytes iv = rng.bytes(sizes_.iv);
      const Bytes plain = rng.bytes(size);
      Bytes sealed(size);
      Bytes icv(sizes_.icv);
      used->seal(header, iv, plain, sealed, icv);
      Bytes opened(size);
      EXPECT_TRUE(fresh->open(header, iv, sealed, opened, icv));
      EXPECT_EQ(opened, plain);
      EXPECT_FALSE(old->open(header, iv, sealed, opened, icv));
    }
  }
}

// The first round keys of AES are the key itself, so it can be found in an expanded one.
TEST(PacketCipherMemory, rekeying_leaves_nothing_of_the_old_key) {
  const CipherSuite gcm{.encr = EncrId::ENCR_AES_GCM_16, .key_bits = 256};
  if (!backend_serves(PacketBackend::IpsecMb, gcm)) GTEST_SKIP() << "intel-ipsec-mb is not in this build";
  const Bytes before = keymat_for(gcm, 1);
  const auto cipher = PacketCipher::create(gcm, before, PacketBackend::IpsecMb).value();
  const auto has = [&](ByteView octets) {
    const auto* memory = reinterpret_cast<const std::uint8_t*>(cipher.get());
    const ByteView all{memory, malloc_usable_size(cipher.get())};
    return std::search(all.begin(), all.end(), octets.begin(), octets.end()) != all.end();
  };
  EXPECT_TRUE(has(ByteView{before}.first(32)));
  EXPECT_TRUE(has(ByteView{before}.last(4)));
  const Bytes after = keymat_for(gcm, 2);
  ASSERT_TRUE(cipher->rekey(after));
  EXPECT_TRUE(has(ByteView{after}.first(32)));
  EXPECT_FALSE(has(ByteView{before}.first(16)));
  EXPECT_FALSE(has(ByteView{before}.last(4)));
}

// Every size from 0 to 1,500 and some of a large receive buffer, sealed by one and opened by the other.
TEST_P(PacketCipherEach, backends_agree_at_every_size) {
  std::vector<std::unique_ptr<PacketCipher>> ciphers;
  for (const PacketBackend backend : backends()) ciphers.push_back(make(backend));
  SeededRng rng{2};
  std::vector<std::size_t> all;
  for (std::size_t size = 0; size <= 1500; size += sizes_.block) all.push_back(size);
  for (const std::size_t size : {2048U, 4096U, 9000U, 65520U}) all.push_back(whole_blocks(size));
  for (const std::size_t size : all) {
    const EspHeaderFields header{.spi = rng.u32(), .sequence = rng.u64(), .esn = size / sizes_.block % 2 == 1};
    const Bytes iv = rng.bytes(sizes_.iv);
    const Bytes plain = rng.bytes(size);
    Bytes expected;
    Bytes expected_icv;
    for (std::size_t sealer = 0; sealer < ciphers.size(); ++sealer) {
      Bytes sealed(size);
      Bytes icv(sizes_.icv);
      ciphers[sealer]->seal(header, iv, plain, sealed, icv);
      Bytes in_place = plain;
      Bytes in_place_icv(sizes_.icv);
      ciphers[sealer]->seal(header, iv, in_place, in_place, in_place_icv);
      ASSERT_EQ(sealed, in_place) << size;
      ASSERT_EQ(icv, in_place_icv) << size;
      if (sealer == 0) {
        expected = sealed;
        expected_icv = icv;
      }
      ASSERT_EQ(sealed, expected) << size;
      ASSERT_EQ(icv, expected_icv) << size;
      const std::size_t opener = (sealer + 1) % ciphers.size();
      Bytes opened(size);
      ASSERT_TRUE(ciphers[opener]->open(header, iv, sealed, opened, icv)) << size;
      ASSERT_EQ(opened, plain) << size;
      ASSERT_TRUE(ciphers[opener]->open(header, iv, sealed, sealed, icv)) << size;
      ASSERT_EQ(sealed, plain) << size;
    }
  }
}

// Each octet of what is on the wire, and of what is not (the high half of an ESN).
TEST_P(PacketCipherEach, refuses_a_change_of_any_octet) {
  for (const PacketBackend backend : backends()) {
    auto cipher = make(backend);
    SeededRng rng{3};
    for (const bool esn : {false, true}) {
      const EspHeaderFields header{.spi = 0x01020304, .sequence = 0x0000000700000005, .esn = esn};
      const Bytes iv = rng.bytes(sizes_.iv);
      const Bytes plain = rng.bytes(80);
      Bytes sealed(plain.size());
      Bytes icv(sizes_.icv);
      cipher->seal(header, iv, plain, sealed, icv);
      Bytes out(plain.size());
      const auto each_octet = [](const Bytes& original, const auto& opens) {
        for (std::size_t at = 0; at < original.size(); ++at) {
          Bytes bad = original;
          bad[at] ^= static_cast<std::uint8_t>(1U << (at % 8));
          EXPECT_FALSE(opens(bad)) << at;
        }
      };
      each_octet(iv, [&](const Bytes& bad) { return cipher->open(header, bad, sealed, out, icv); });
      each_octet(sealed, [&](const Bytes& bad) { return cipher->open(header, iv, bad, out, icv); });
      each_octet(icv, [&](const Bytes& bad) { return cipher->open(header, iv, sealed, out, bad); });
      for (unsigned bit = 0; bit < 32; ++bit) {
        EspHeaderFields changed = header;
        changed.spi ^= 1U << bit;
        EXPECT_FALSE(cipher->open(changed, iv, sealed, out, icv));
      }
      for (unsigned bit = 0; bit < 64; ++bit) {
        EspHeaderFields changed = header;
        changed.sequence ^= std::uint64_t{1} << bit;
        const bool authenticated = bit < 32 || esn;
        EXPECT_EQ(cipher->open(changed, iv, sealed, out, icv), !authenticated) << bit;
      }
      EspHeaderFields other_mode = header;
      other_mode.esn = !esn;
      EXPECT_FALSE(cipher->open(other_mode, iv, sealed, out, icv));
      ASSERT_TRUE(cipher->open(header, iv, sealed, out, icv)) << "refusals leave the cipher sound";
      EXPECT_EQ(out, plain);
    }
  }
}

TEST_P(PacketCipherEach, another_key_opens_nothing) {
  for (const PacketBackend backend : backends()) {
    const EspHeaderFields header{.spi = 9, .sequence = 1, .esn = false};
    const Bytes iv(sizes_.iv);
    Bytes text(64);
    Bytes icv(sizes_.icv);
    make(backend, 1)->seal(header, iv, text, text, icv);
    Bytes out(text.size());
    EXPECT_FALSE(make(backend, 2)->open(header, iv, text, out, icv));
  }
}

TEST_P(PacketCipherEach, writes_only_where_it_should) {
  for (const PacketBackend backend : backends()) {
    auto cipher = make(backend);
    const EspHeaderFields header{.spi = 9, .sequence = 1, .esn = false};
    const Bytes iv(sizes_.iv);
    for (const std::size_t wanted : {0U, 16U, 48U, 100U, 1424U}) {
      const std::size_t size = whole_blocks(wanted);
      Bytes slab(size + 64, 0xa5);
      const Bytes plain(size, 1);
      Bytes icv(sizes_.icv + 32, 0x5a);
      cipher->seal(header, iv, plain, MutableByteView{slab}.subspan(32, size),
                   MutableByteView{icv}.subspan(16, sizes_.icv));
      for (std::size_t i = 0; i < 32; ++i) {
        EXPECT_EQ(slab[i], 0xa5);
        EXPECT_EQ(slab[32 + size + i], 0xa5);
      }
      for (std::size_t i = 0; i < 16; ++i) {
        EXPECT_EQ(icv[i], 0x5a);
        EXPECT_EQ(icv[16 + sizes_.icv + i], 0x5a);
      }
    }
  }
}

TEST_P(PacketCipherEach, refuses_keymat_of_the_wrong_size) {
  const Bytes keymat = keymat_for(GetParam(), 1);
  Bytes longer = keymat;
  longer.push_back(0);
  for (const PacketBackend backend : backends()) {
    EXPECT_FALSE(PacketCipher::create(GetParam(), ByteView{keymat}.first(keymat.size() - 1), backend).has_value());
    EXPECT_FALSE(PacketCipher::create(GetParam(), longer, backend).has_value());
  }
}

// The peer chooses the length of a ciphertext.
TEST_P(PacketCipherEach, a_broken_block_is_refused_and_not_a_bug) {
  if (sizes_.block == 1) return;
  auto cipher = make(PacketBackend::Automatic);
  for (std::size_t size = 1; size < 16; ++size) {
    Bytes text(size);
    EXPECT_FALSE(cipher->open({}, Bytes(sizes_.iv), text, text, Bytes(sizes_.icv)));
  }
}

// The published ESP vectors (draft-mcgrew-gcm-test, RFC 7634) through the public face of each backend.
TEST(PacketCipher, meets_the_known_answers_with_each_backend) {
  std::size_t served_by_ipsec_mb = 0;
  for (const CipherKnownAnswer& known : cipher_known_answers()) {
    const Bytes associated = from_hex(known.associated).value();
    const bool esn = associated.size() == 12;
    const EspHeaderFields header{.spi = load_be32(associated.data()),
                                 .sequence = esn ? load_be64(associated.data() + 4) : load_be32(associated.data() + 4),
                                 .esn = esn};
    const Bytes plain = from_hex(known.plaintext).value();
    for (const PacketBackend backend : {PacketBackend::OpenSsl, PacketBackend::IpsecMb}) {
      if (!backend_serves(backend, known.suite)) continue;
      served_by_ipsec_mb += backend == PacketBackend::IpsecMb ? 1 : 0;
      auto cipher = PacketCipher::create(known.suite, from_hex(known.key).value(), backend).value();
      Bytes text(plain.size());
      Bytes icv(cipher->sizes().icv);
      cipher->seal(header, from_hex(known.iv).value(), plain, text, icv);
      EXPECT_EQ(to_hex(text), known.ciphertext) << to_string(known.suite);
      EXPECT_EQ(to_hex(icv), known.icv) << to_string(known.suite);
    }
  }
#ifdef QANAT_HAVE_IPSEC_MB
  EXPECT_EQ(served_by_ipsec_mb, 5U);
  EXPECT_TRUE(packet_backend_name().starts_with("ipsec-mb 1.")) << packet_backend_name();
#else
  EXPECT_EQ(served_by_ipsec_mb, 0U);
  EXPECT_TRUE(packet_backend_name().starts_with("OpenSSL 3.")) << packet_backend_name();
#endif
}

TEST(PacketCipher, does_not_pretend) {
  EXPECT_FALSE(PacketCipher::create({}, {}).has_value());
  EXPECT_FALSE(PacketCipher::create(
                   {.encr = EncrId::ENCR_NULL, .key_bits = 0, .integ = IntegId::AUTH_HMAC_SHA2_256_128}, Bytes(32))
                   .has_value());
  const CipherSuite cbc{.encr = EncrId::ENCR_AES_CBC, .key_bits = 256, .integ = IntegId::AUTH_HMAC_SHA2_256_128};
  const auto refused = PacketCipher::create(cbc, Bytes(64), PacketBackend::IpsecMb);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind, ErrorKind::Internal);
}

}  // namespace
}  // namespace qanat::crypto
