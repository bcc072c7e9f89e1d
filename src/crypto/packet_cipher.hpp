// PacketCipher: one direction of one ESP SA (RFC 4303, 4106, 7634, 3602 with 4868), through intel-ipsec-mb where the
// build has it and OpenSSL elsewhere. Both are always compiled where possible, so that a test compares them.
//
// Not thread-safe: an SA direction belongs to one worker. No allocation in seal and open.
#pragma once

#include <memory>

#include "base/secret.hpp"
#include "crypto/cipher_sizes.hpp"

namespace qanat::crypto {

// What ESP authenticates besides the ciphertext: SPI and sequence number; all 64 bits of it with ESN (RFC 4303 2.2.1:
// AEADs take SPI | high | low as associated data, HMAC suites append the high half after the ciphertext).
struct EspHeaderFields {
  std::uint32_t spi = 0;
  std::uint64_t sequence = 0;
  bool esn = false;
};

enum class PacketBackend : std::uint8_t { Automatic, IpsecMb, OpenSsl };

class PacketCipher {
 public:
  // keymat = encryption key (with salt) followed by the integrity key, as in KEYMAT of RFC 7296 2.17.
  // Error{Internal} when the suite is not available, or when the backend is not in this build or does not serve it:
  // intel-ipsec-mb serves the AEADs, Automatic takes OpenSSL for the rest.
  [[nodiscard]] static Result<std::unique_ptr<PacketCipher>> create(const CipherSuite& suite, ByteView keymat,
                                                                    PacketBackend backend = PacketBackend::Automatic);
  virtual ~PacketCipher() = default;
  PacketCipher(const PacketCipher&) = delete;
  PacketCipher& operator=(const PacketCipher&) = delete;

  [[nodiscard]] const CipherSizes& sizes() const { return sizes_; }
  // Forgets its key and takes another one for the same suite, so that a cache of expanded keys allocates nothing.
  // Error{Internal} as in create(); the cipher is then good for nothing but another rekey().
  [[nodiscard]] virtual Status rekey(ByteView keymat) = 0;
  // plaintext.size() == ciphertext.size(), a multiple of sizes().block; the two are equal or do not overlap.
  // iv: sizes().iv octets as on the wire; icv: sizes().icv octets.
  virtual void seal(const EspHeaderFields& header, ByteView iv, ByteView plaintext, MutableByteView ciphertext,
                    MutableByteView icv) = 0;
  // False when the ICV does not verify; plaintext is then unspecified. Constant-time comparison.
  [[nodiscard]] virtual bool open(const EspHeaderFields& header, ByteView iv, ByteView ciphertext,
                                  MutableByteView plaintext, ByteView icv) = 0;

 protected:
  explicit PacketCipher(const CipherSizes& sizes) : sizes_(sizes) {}

 private:
  CipherSizes sizes_;
};

// "ipsec-mb 1.3" or "OpenSSL 3.5.4": what Automatic chooses on this machine, for `qanat version`.
[[nodiscard]] std::string packet_backend_name();

}  // namespace qanat::crypto
