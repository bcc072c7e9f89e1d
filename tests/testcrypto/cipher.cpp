// In place of crypto/sk_cipher.cpp and crypto/packet_cipher.cpp: octets are covered by a stream that is a function of
// key and IV, the ICV is a function of everything, and the ledger takes down every (key, IV) that something was sealed
// under.
#include "crypto/packet_cipher.hpp"
#include "crypto/self_test.hpp"
#include "crypto/sk_cipher.hpp"
#include "crypto/unchecked.hpp"
#include "testcrypto/ledger.hpp"

namespace qanat::crypto {

namespace {

using testcrypto::Digest;
using testcrypto::Mixer;

struct FastAead {
  Digest key{};

  [[nodiscard]] Mixer begin(std::uint64_t domain, ByteView iv) const {
    return Mixer{domain}.number(key[0]).number(key[1]).update(iv);
  }
  void cover(ByteView iv, ByteView in, MutableByteView out) const {
    Bytes stream(in.size());
    begin(11, iv).expand(stream);
    for (std::size_t i = 0; i < in.size(); ++i) out[i] = in[i] ^ stream[i];
  }
  void authenticate(ByteView associated, ByteView iv, ByteView ciphertext, MutableByteView icv) const {
    begin(12, iv).number(associated.size()).update(associated).update(ciphertext).expand(icv);
  }
  [[nodiscard]] bool authentic(ByteView associated, ByteView iv, ByteView ciphertext, ByteView icv) const {
    std::array<std::uint8_t, 64> expected{};
    const MutableByteView mac = MutableByteView{expected}.first(icv.size());
    authenticate(associated, iv, ciphertext, mac);
    return equal(mac, icv);
  }
};

FastAead aead_of(const CipherSuite& suite, std::initializer_list<ByteView> keys) {
  Mixer mixer{static_cast<std::uint64_t>(suite.encr)};
  for (const ByteView key : keys) mixer.update(key);
  return {mixer.digest()};
}

class FastPacketCipher final : public PacketCipher {
 public:
  FastPacketCipher(const CipherSuite& suite, const CipherSizes& sizes, FastAead aead)
      : PacketCipher(sizes), suite_(suite), aead_(aead) {}

  Status rekey(ByteView keymat) override {
    aead_ = aead_of(suite_, {keymat});
    return {};
  }
  void seal(const EspHeaderFields& header, ByteView iv, ByteView plaintext, MutableByteView ciphertext,
            MutableByteView icv) override {
    testcrypto::Ledger::instance().note_seal(aead_.key, iv, "ESP");
    aead_.cover(iv, plaintext, ciphertext);
    aead_.authenticate(associated(header), iv, ciphertext, icv);
  }
  bool open(const EspHeaderFields& header, ByteView iv, ByteView ciphertext, MutableByteView plaintext,
            ByteView icv) override {
    if (!aead_.authentic(associated(header), iv, ciphertext, icv)) return false;
    aead_.cover(iv, ciphertext, plaintext);
    return true;
  }

 private:
  [[nodiscard]] static std::array<std::uint8_t, 12> associated(const EspHeaderFields& header) {
    std::array<std::uint8_t, 12> out{};
    store_be32(out.data(), header.spi);
    store_be64(&out[4], header.esn ? header.sequence : header.sequence & 0xffffffff);
    return out;
  }
  CipherSuite suite_;
  FastAead aead_;
};

}  // namespace

struct SkCipher::Impl {
  CipherSizes sizes;
  FastAead aead;
};

SkCipher::SkCipher(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SkCipher::~SkCipher() = default;
SkCipher::SkCipher(SkCipher&&) noexcept = default;
SkCipher& SkCipher::operator=(SkCipher&&) noexcept = default;

Result<SkCipher> SkCipher::create(const CipherSuite& suite, ByteView sk_e, ByteView sk_a) {
  return create_unchecked(suite, sk_e, sk_a);
}

Result<SkCipher> SkCipher::create_unchecked(const CipherSuite& suite, ByteView sk_e, ByteView sk_a) {
  const CipherSizes sizes = cipher_sizes(suite);
  if (sizes.encr_key == 0 || sk_e.size() != sizes.encr_key || sk_a.size() != sizes.integ_key)
    return fail(ErrorKind::Internal, to_string(suite), "keys of the wrong size");
  return SkCipher{std::make_unique<Impl>(Impl{.sizes = sizes, .aead = aead_of(suite, {sk_e, sk_a})})};
}

const CipherSizes& SkCipher::sizes() const {
  return impl_->sizes;
}

Status SkCipher::seal(ByteView associated, ByteView iv, MutableByteView text, MutableByteView icv) {
  const CipherSizes& sizes = impl_->sizes;
  ensure(iv.size() == sizes.iv && icv.size() == sizes.icv && text.size() % sizes.block == 0,
         "an SK payload laid out by the suite's sizes");
  testcrypto::Ledger::instance().note_seal(impl_->aead.key, iv, "IKE");
  impl_->aead.cover(iv, text, text);
  impl_->aead.authenticate(associated, iv, text, icv);
  return {};
}

Status SkCipher::open(ByteView associated, ByteView iv, MutableByteView text, ByteView icv) {
  const CipherSizes& sizes = impl_->sizes;
  ensure(iv.size() == sizes.iv && icv.size() == sizes.icv, "an SK payload cut by the suite's sizes");
  if (text.size() % sizes.block != 0 || !impl_->aead.authentic(associated, iv, text, icv))
    return fail(ErrorKind::AuthFailed, "SK payload", "the integrity check failed");
  impl_->aead.cover(iv, text, text);
  return {};
}

Result<std::unique_ptr<PacketCipher>> PacketCipher::create(const CipherSuite& suite, ByteView keymat,
                                                           PacketBackend backend) {
  return create_packet_cipher_unchecked(suite, keymat, backend);
}

bool backend_serves(PacketBackend, const CipherSuite& suite) {
  return cipher_available(suite);
}

Result<std::unique_ptr<PacketCipher>> create_packet_cipher_unchecked(const CipherSuite& suite, ByteView keymat,
                                                                     PacketBackend) {
  const CipherSizes sizes = cipher_sizes(suite);
  if (sizes.encr_key == 0 || keymat.size() != sizes.encr_key + sizes.integ_key)
    return fail(ErrorKind::Internal, to_string(suite), "KEYMAT of the wrong size");
  return std::make_unique<FastPacketCipher>(suite, sizes, aead_of(suite, {keymat}));
}

std::string packet_backend_name() {
  return library_version();
}

}  // namespace qanat::crypto
