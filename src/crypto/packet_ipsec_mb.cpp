// ESP packets through intel-ipsec-mb's direct API: the AEADs on x86-64.
//
// AES-CBC with HMAC stays with OpenSSL: the library has it only as jobs over one contiguous message, which ESP's
// header, IV and appended ESN half are not, and one job at a time gains nothing over AES-NI and SHA-NI in OpenSSL.
#include "crypto/unchecked.hpp"

#ifdef QANAT_HAVE_IPSEC_MB

#include <algorithm>
#include <array>
#include <cstring>

#include <intel-ipsec-mb.h>

namespace qanat::crypto {

namespace {

struct FreeManager {
  void operator()(IMB_MGR* manager) const noexcept { free_mb_mgr(manager); }
};

// The direct functions only read the manager's function pointers, so that one serves all threads. nullptr when the
// CPU is not one the library knows.
IMB_MGR* shared_manager() {
  static const std::unique_ptr<IMB_MGR, FreeManager> kManager = [] {
    std::unique_ptr<IMB_MGR, FreeManager> manager{alloc_mb_mgr(0)};
    if (manager != nullptr) {
      init_mb_mgr_auto(manager.get(), nullptr);
      const bool usable = imb_get_errno(manager.get()) == 0 && (manager->features & IMB_FEATURE_AESNI) != 0;
      if (!usable) manager.reset();
    }
    return manager;
  }();
  return kManager.get();
}

constexpr std::size_t kIcv = 16;

// Nonce and associated data, 12 octets each, are put together in a register and stored at once: the library loads them
// whole, and a load that spans several stores that are still under way waits for all of them (8 ns a packet, measured).
// This file is for x86-64: little-endian words.
using Sixteen = std::uint64_t __attribute__((vector_size(16)));

Sixteen four_and_eight(std::uint32_t four, std::uint64_t eight) {
  return Sixteen{four | (eight << 32), eight >> 32};
}
template <typename Word>
Word load(const std::uint8_t* octets) {
  Word word = 0;
  std::memcpy(&word, octets, sizeof(word));
  return word;
}
// RFC 4106 4: salt | IV.
Sixteen nonce_of(ByteView salt, ByteView iv) {
  return four_and_eight(load<std::uint32_t>(salt.data()), load<std::uint64_t>(iv.data()));
}
// As EspAssociated: SPI | sequence number, or its low half.
struct Associated {
  explicit Associated(const EspHeaderFields& h)
      : octets(four_and_eight(__builtin_bswap32(h.spi), __builtin_bswap64(h.esn ? h.sequence : h.sequence << 32))),
        size(h.esn ? 12 : 8) {}
  Sixteen octets;
  std::uint64_t size;
};
const std::uint8_t* octets_of(const Sixteen& value) {
  return reinterpret_cast<const std::uint8_t*>(&value);
}

void check_sizes(ByteView iv, ByteView in, MutableByteView out, ByteView icv) {
  ensure(iv.size() == 8 && in.size() == out.size() && icv.size() == kIcv, "sizes of an AEAD packet");
}

Status wrong_size() {
  return fail(ErrorKind::Internal, "packet cipher", "KEYMAT of the wrong size");
}

struct GcmFunctions {
  aes_gcm_pre_t prepare;
  aes_gcm_enc_dec_t encrypt;
  aes_gcm_enc_dec_t decrypt;
};

const GcmFunctions& gcm_functions(const IMB_MGR& manager, std::uint16_t key_bits) {
  static const GcmFunctions kGcm128{
      .prepare = manager.gcm128_pre, .encrypt = manager.gcm128_enc, .decrypt = manager.gcm128_dec};
  static const GcmFunctions kGcm192{
      .prepare = manager.gcm192_pre, .encrypt = manager.gcm192_enc, .decrypt = manager.gcm192_dec};
  static const GcmFunctions kGcm256{
      .prepare = manager.gcm256_pre, .encrypt = manager.gcm256_enc, .decrypt = manager.gcm256_dec};
  return key_bits == 128 ? kGcm128 : key_bits == 192 ? kGcm192 : kGcm256;
}

// All that a packet reads but the key lies in the object's first cache line; the key starts the second.
class GcmPacketCipher final : public PacketCipher {
 public:
  GcmPacketCipher(const CipherSizes& sizes, const GcmFunctions& functions, ByteView key_and_salt)
      : PacketCipher(sizes), functions_(functions) {
    take(key_and_salt);
  }
  ~GcmPacketCipher() override {
    wipe(&key_, sizeof(key_));
    wipe(salt_);
  }
  GcmPacketCipher(const GcmPacketCipher&) = delete;
  GcmPacketCipher& operator=(const GcmPacketCipher&) = delete;

  Status rekey(ByteView keymat) override {
    if (keymat.size() != sizes().encr_key) return wrong_size();
    take(keymat);
    return {};
  }
  void seal(const EspHeaderFields& header, ByteView iv, ByteView plaintext, MutableByteView ciphertext,
            MutableByteView icv) override {
    check_sizes(iv, plaintext, ciphertext, icv);
    run(functions_.encrypt, header, iv, plaintext, ciphertext, icv);
  }
  bool open(const EspHeaderFields& header, ByteView iv, ByteView ciphertext, MutableByteView plaintext,
            ByteView icv) override {
    check_sizes(iv, ciphertext, plaintext, icv);
    std::array<std::uint8_t, kIcv> expected{};
    run(functions_.decrypt, header, iv, ciphertext, plaintext, expected);
    return constant_time_equal(expected, icv);
  }

 private:
  void take(ByteView key_and_salt) {
    functions_.prepare(key_and_salt.data(), &key_);
    std::copy_n(key_and_salt.last(4).begin(), 4, salt_.begin());
  }
  void run(aes_gcm_enc_dec_t function, const EspHeaderFields& header, ByteView iv, ByteView in, MutableByteView out,
           MutableByteView tag) {
    const Sixteen nonce = nonce_of(salt_, iv);
    const Associated aad{header};
    // Lengths, hash and the last block's key stream of this one packet: no more secret than the packet beside it.
    alignas(64) gcm_context_data state;
    function(&key_, &state, out.data(), in.data(), in.size(), octets_of(nonce), octets_of(aad.octets), aad.size,
             tag.data(), tag.size());
  }

  const GcmFunctions& functions_;
  std::array<std::uint8_t, 4> salt_{};
  alignas(64) gcm_key_data key_;
};

class ChaChaPacketCipher final : public PacketCipher {
 public:
  ChaChaPacketCipher(const CipherSizes& sizes, const IMB_MGR& manager, ByteView key_and_salt)
      : PacketCipher(sizes), manager_(manager) {
    take(key_and_salt);
  }
  ~ChaChaPacketCipher() override {
    wipe(key_);
    wipe(&state_, sizeof(state_));
    wipe(salt_);
  }
  ChaChaPacketCipher(const ChaChaPacketCipher&) = delete;
  ChaChaPacketCipher& operator=(const ChaChaPacketCipher&) = delete;

  Status rekey(ByteView keymat) override {
    if (keymat.size() != sizes().encr_key) return wrong_size();
    take(keymat);
    return {};
  }
  void seal(const EspHeaderFields& header, ByteView iv, ByteView plaintext, MutableByteView ciphertext,
            MutableByteView icv) override {
    check_sizes(iv, plaintext, ciphertext, icv);
    start(header, iv);
    manager_.chacha20_poly1305_enc_update(key_.data(), &state_, ciphertext.data(), plaintext.data(), plaintext.size());
    manager_.chacha20_poly1305_finalize(&state_, icv.data(), icv.size());
  }
  bool open(const EspHeaderFields& header, ByteView iv, ByteView ciphertext, MutableByteView plaintext,
            ByteView icv) override {
    check_sizes(iv, ciphertext, plaintext, icv);
    start(header, iv);
    manager_.chacha20_poly1305_dec_update(key_.data(), &state_, plaintext.data(), ciphertext.data(), ciphertext.size());
    std::array<std::uint8_t, kIcv> expected{};
    manager_.chacha20_poly1305_finalize(&state_, expected.data(), expected.size());
    return constant_time_equal(expected, icv);
  }

 private:
  void take(ByteView key_and_salt) {
    std::copy_n(key_and_salt.begin(), key_.size(), key_.begin());
    std::copy_n(key_and_salt.last(4).begin(), 4, salt_.begin());
  }
  void start(const EspHeaderFields& header, ByteView iv) {
    const Sixteen nonce = nonce_of(salt_, iv);
    const Associated aad{header};
    manager_.chacha20_poly1305_init(key_.data(), &state_, octets_of(nonce), octets_of(aad.octets), aad.size);
  }

  alignas(64) std::array<std::uint8_t, 32> key_{};
  alignas(64) chacha20_poly1305_context_data state_{};
  const IMB_MGR& manager_;
  std::array<std::uint8_t, 4> salt_{};
};

}  // namespace

bool ipsec_mb_serves(const CipherSuite& suite) {
  return suite.is_aead() && cipher_sizes(suite).encr_key != 0 && shared_manager() != nullptr;
}

Result<std::unique_ptr<PacketCipher>> create_ipsec_mb_packet_cipher(const CipherSuite& suite, ByteView keymat) {
  const CipherSizes sizes = cipher_sizes(suite);
  const IMB_MGR& manager = *shared_manager();
  if (suite.encr == EncrId::ENCR_AES_GCM_16) {
    return std::make_unique<GcmPacketCipher>(sizes, gcm_functions(manager, suite.key_bits), keymat);
  }
  return std::make_unique<ChaChaPacketCipher>(sizes, manager, keymat);
}

}  // namespace qanat::crypto

#else

namespace qanat::crypto {

bool ipsec_mb_serves(const CipherSuite&) {
  return false;
}

Result<std::unique_ptr<PacketCipher>> create_ipsec_mb_packet_cipher(const CipherSuite& suite, ByteView) {
  return fail(ErrorKind::Internal, to_string(suite), "this build has no intel-ipsec-mb");
}

}  // namespace qanat::crypto

#endif
