// ESP packets through OpenSSL: every suite, every CPU.
#include "crypto/esp_associated.hpp"
#include "crypto/evp_cipher.hpp"
#include "crypto/hmac.hpp"
#include "crypto/unchecked.hpp"

namespace qanat::crypto {

namespace {

class AeadPacketCipher final : public PacketCipher {
 public:
  AeadPacketCipher(const CipherSuite& suite, const CipherSizes& sizes, EvpAead aead)
      : PacketCipher(sizes), suite_(suite), aead_(std::move(aead)) {}

  Status rekey(ByteView keymat) override {
    if (keymat.size() != sizes().encr_key)
      return fail(ErrorKind::Internal, to_string(suite_), "KEYMAT of the wrong size");
    QANAT_ASSIGN(aead_, EvpAead::create(suite_, keymat));
    return {};
  }
  void seal(const EspHeaderFields& header, ByteView iv, ByteView plaintext, MutableByteView ciphertext,
            MutableByteView icv) override {
    // Sizes are ours and the context is keyed, so a failure is a bug; sending what it left behind would be worse.
    ensure(aead_.seal(EspAssociated{header}.view(), iv, plaintext, ciphertext, icv), "sealing a packet failed");
  }
  bool open(const EspHeaderFields& header, ByteView iv, ByteView ciphertext, MutableByteView plaintext,
            ByteView icv) override {
    return aead_.open(EspAssociated{header}.view(), iv, ciphertext, plaintext, icv);
  }

 private:
  CipherSuite suite_;
  EvpAead aead_;
};

class CbcHmacPacketCipher final : public PacketCipher {
 public:
  CbcHmacPacketCipher(const CipherSuite& suite, const CipherSizes& sizes, EvpCbc cbc, Hmac hmac)
      : PacketCipher(sizes), suite_(suite), cbc_(std::move(cbc)), hmac_(std::move(hmac)) {}

  Status rekey(ByteView keymat) override {
    if (keymat.size() != sizes().encr_key + sizes().integ_key)
      return fail(ErrorKind::Internal, to_string(suite_), "KEYMAT of the wrong size");
    QANAT_ASSIGN(cbc_, EvpCbc::create(suite_, keymat.first(sizes().encr_key)));
    hmac_ = Hmac{integ_hash(suite_.integ), keymat.subspan(sizes().encr_key)};
    return {};
  }
  void seal(const EspHeaderFields& header, ByteView iv, ByteView plaintext, MutableByteView ciphertext,
            MutableByteView icv) override {
    ensure(cbc_.encrypt(iv, plaintext, ciphertext), "sealing a packet failed");
    authenticate(header, iv, ciphertext, icv);
  }
  bool open(const EspHeaderFields& header, ByteView iv, ByteView ciphertext, MutableByteView plaintext,
            ByteView icv) override {
    if (ciphertext.size() % sizes().block != 0) return false;  // the peer's choice
    std::array<std::uint8_t, Hmac::kMaxSize> mac{};
    const MutableByteView expected = MutableByteView{mac}.first(sizes().icv);
    authenticate(header, iv, ciphertext, expected);
    return constant_time_equal(expected, icv) && cbc_.decrypt(iv, ciphertext, plaintext);
  }

 private:
  // RFC 4303 2.8 and 2.2.1: SPI | low half | IV | ciphertext, and the high half at the end with ESN.
  void authenticate(const EspHeaderFields& header, ByteView iv, ByteView ciphertext, MutableByteView icv) {
    hmac_.begin();
    hmac_.update(EspAssociated{{.spi = header.spi, .sequence = header.sequence, .esn = false}}.view());
    hmac_.update(iv);
    hmac_.update(ciphertext);
    if (header.esn) {
      std::array<std::uint8_t, 4> high{};
      store_be32(high.data(), static_cast<std::uint32_t>(header.sequence >> 32));
      hmac_.update(high);
    }
    hmac_.finish(icv);
  }

  CipherSuite suite_;
  EvpCbc cbc_;
  Hmac hmac_;
};

}  // namespace

Result<std::unique_ptr<PacketCipher>> create_openssl_packet_cipher(const CipherSuite& suite, ByteView keymat) {
  const CipherSizes sizes = cipher_sizes(suite);
  const ByteView encr_key = keymat.first(sizes.encr_key);
  if (suite.is_aead()) {
    QANAT_ASSIGN(EvpAead aead, EvpAead::create(suite, encr_key));
    return std::make_unique<AeadPacketCipher>(suite, sizes, std::move(aead));
  }
  QANAT_ASSIGN(EvpCbc cbc, EvpCbc::create(suite, encr_key));
  return std::make_unique<CbcHmacPacketCipher>(suite, sizes, std::move(cbc),
                                               Hmac{integ_hash(suite.integ), keymat.subspan(sizes.encr_key)});
}

}  // namespace qanat::crypto
