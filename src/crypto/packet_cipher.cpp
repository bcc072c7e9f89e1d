#include "crypto/packet_cipher.hpp"

#include "crypto/self_test.hpp"
#include "crypto/unchecked.hpp"

#ifdef QANAT_HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

namespace qanat::crypto {

Result<std::unique_ptr<PacketCipher>> PacketCipher::create(const CipherSuite& suite, ByteView keymat,
                                                           PacketBackend backend) {
  if (!cipher_available(suite)) return fail(ErrorKind::Internal, to_string(suite), "is not available");
  return create_packet_cipher_unchecked(suite, keymat, backend);
}

bool backend_serves(PacketBackend backend, const CipherSuite& suite) {
  switch (backend) {
    case PacketBackend::IpsecMb:
      return ipsec_mb_serves(suite);
    case PacketBackend::Automatic:
    case PacketBackend::OpenSsl:
      break;
  }
  return cipher_sizes(suite).encr_key != 0;
}

Result<std::unique_ptr<PacketCipher>> create_packet_cipher_unchecked(const CipherSuite& suite, ByteView keymat,
                                                                     PacketBackend backend) {
  const CipherSizes sizes = cipher_sizes(suite);
  if (sizes.encr_key == 0) return fail(ErrorKind::Internal, to_string(suite), "is not implemented");
  if (keymat.size() != sizes.encr_key + sizes.integ_key)
    return fail(ErrorKind::Internal, to_string(suite), "KEYMAT of the wrong size");
  if (backend == PacketBackend::Automatic)
    backend = ipsec_mb_serves(suite) ? PacketBackend::IpsecMb : PacketBackend::OpenSsl;
  if (backend == PacketBackend::OpenSsl) return create_openssl_packet_cipher(suite, keymat);
  if (!ipsec_mb_serves(suite))
    return fail(ErrorKind::Internal, to_string(suite), "intel-ipsec-mb does not serve it here");
  return create_ipsec_mb_packet_cipher(suite, keymat);
}

std::string packet_backend_name() {
#ifdef QANAT_HAVE_IPSEC_MB
  if (ipsec_mb_serves({.encr = EncrId::ENCR_AES_GCM_16, .key_bits = 256, .integ = IntegId::NONE})) {
    const unsigned version = imb_get_version();
    return "ipsec-mb " + std::to_string((version >> 16) & 0xff) + "." + std::to_string((version >> 8) & 0xff);
  }
#endif
  return library_version();
}

}  // namespace qanat::crypto
