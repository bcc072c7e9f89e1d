// ESP packets through intel-ipsec-mb's direct API: the AEADs on x86-64.
//
// AES-CBC with HMAC stays with OpenSSL: the library has it only as jobs over one contiguous message, which ESP's
// header, IV and appended ESN half are not, and one job at a time gains nothing over AES-NI and SHA-NI in OpenSSL.
#include "crypto/unchecked.hpp"

#ifdef QANAT_HAVE_IPSEC_MB

#include <algorithm>

#include <intel-ipsec-mb.h>

#include "crypto/esp_associated.hpp"

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

struct Nonce {
  std::array<std::uint8_t, 12> octets{};

  void set_salt(ByteView salt) { std::copy_n(salt.begin(), 4, octets.begin()); }
  void set_iv(ByteView iv) { std::copy_n(iv.begin(), 8, octets.begin() + 4); }
};

void check_sizes(ByteView iv, ByteView in, MutableByteView out, ByteView icv) {
  ensure(iv.size() == 8 && in.size() == out.size() && icv.size() == kIcv, "sizes of an AEAD packet");
}

struct GcmFunctions {
  aes_gcm_pre_t prepare;
  aes_gcm_enc_dec_t encrypt;
  aes_gcm_enc_dec_t decrypt;
};

GcmFunctions gcm_functions(const IMB_MGR& manager, std::uint16_t key_bits) {
  switch (key_bits) {
    case 128:
      return {.prepare = manager.gcm128_pre, .encrypt = manager.gcm128_enc, .decrypt = manager.gcm128_dec};
    case 192:
      return {.prepare = manager.gcm192_pre, .encrypt = manager.gcm192_enc, .decrypt = manager.gcm192_dec};
    default:
      return {.prepare = manager.gcm256_pre, .encrypt = manager.gcm256_enc, .decrypt = manager.gcm256_dec};
  }
}

class GcmPacketCipher final : public PacketCipher {
 public:
  GcmPacketCipher(const CipherSizes& sizes, const GcmFunctions& functions, ByteView key_and_salt)
      : PacketCipher(sizes), functions_(functions) {
    functions_.prepare(key_and_salt.data(), &key_);
    nonce_.set_salt(key_and_salt.last(4));
  }
  ~GcmPacketCipher() override {
    wipe(&key_, sizeof(key_));
    wipe(&state_, sizeof(state_));
    wipe(nonce_.octets);
  }
  GcmPacketCipher(const GcmPacketCipher&) = delete;
  GcmPacketCipher& operator=(const GcmPacketCipher&) = delete;

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
  void run(aes_gcm_enc_dec_t function, const EspHeaderFields& header, ByteView iv, ByteView in, MutableByteView out,
           MutableByteView tag) {
    nonce_.set_iv(iv);
    const EspAssociated associated{header};
    const ByteView aad = associated.view();
    function(&key_, &state_, out.data(), in.data(), in.size(), nonce_.octets.data(), aad.data(), aad.size(), tag.data(),
             tag.size());
  }

  alignas(64) gcm_key_data key_{};
  alignas(64) gcm_context_data state_{};
  GcmFunctions functions_;
  Nonce nonce_;
};

class ChaChaPacketCipher final : public PacketCipher {
 public:
  ChaChaPacketCipher(const CipherSizes& sizes, const IMB_MGR& manager, ByteView key_and_salt)
      : PacketCipher(sizes), manager_(manager) {
    std::copy_n(key_and_salt.begin(), key_.size(), key_.begin());
    nonce_.set_salt(key_and_salt.last(4));
  }
  ~ChaChaPacketCipher() override {
    wipe(key_);
    wipe(&state_, sizeof(state_));
    wipe(nonce_.octets);
  }
  ChaChaPacketCipher(const ChaChaPacketCipher&) = delete;
  ChaChaPacketCipher& operator=(const ChaChaPacketCipher&) = delete;

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
  void start(const EspHeaderFields& header, ByteView iv) {
    nonce_.set_iv(iv);
    const EspAssociated associated{header};
    const ByteView aad = associated.view();
    manager_.chacha20_poly1305_init(key_.data(), &state_, nonce_.octets.data(), aad.data(), aad.size());
  }

  alignas(64) std::array<std::uint8_t, 32> key_{};
  alignas(64) chacha20_poly1305_context_data state_{};
  const IMB_MGR& manager_;
  Nonce nonce_;
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
