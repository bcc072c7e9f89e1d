#include "pki/pem.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>

#include "base/text.hpp"
#include "crypto/signature.hpp"
#include "pki/certificate.hpp"
#include "pki/x509.hpp"

namespace qanat::pki {

namespace {

constexpr const char* kWhere = "file";
constexpr std::string_view kBegin = "-----BEGIN ";

struct OpenSslMemory {
  void operator()(void* p) const noexcept { OPENSSL_free(p); }
};
using Text = std::unique_ptr<char, OpenSslMemory>;

struct Block {
  std::string name;
  std::string header;
  SecretBytes data;
};

std::unexpected<Error> bad(std::string detail) {
  crypto::clear_openssl_errors();
  return fail(ErrorKind::Malformed, kWhere, std::move(detail));
}

bool is_pem(ByteView file) {
  return std::search(file.begin(), file.end(), kBegin.begin(), kBegin.end()) != file.end();
}

Result<std::vector<Block>> blocks_of(ByteView file) {
  const MemoryBio in{BIO_new_mem_buf(file.data(), static_cast<int>(file.size()))};
  if (!in) return crypto::openssl_failure(kWhere);
  std::vector<Block> out;
  for (;;) {
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (!ok(PEM_read_bio(in.get(), &name, &header, &data, &size))) break;
    const Text own_name{name};
    const Text own_header{header};
    out.push_back({name, header, SecretBytes::copy_of({data, static_cast<std::size_t>(size)})});
    OPENSSL_clear_free(data, static_cast<std::size_t>(size));
    if (out.size() > 2 * kMaxObjects) return bad(fmt::format("holds more than {} objects", kMaxObjects));
  }
  const std::size_t begun = [&] {
    std::size_t count = 0;
    for (auto at = file.begin(); (at = std::search(at, file.end(), kBegin.begin(), kBegin.end())) != file.end(); ++at)
      ++count;
    return count;
  }();
  if (begun != out.size())
    return bad(fmt::format("is damaged: object {} of its PEM cannot be read; copy the file again", out.size() + 1));
  crypto::clear_openssl_errors();
  return out;
}

template <typename Object>
Result<std::vector<Bytes>> read_all(ByteView file, std::initializer_list<std::string_view> names, const char* what) {
  if (file.empty()) return bad("is empty");
  std::vector<Bytes> out;
  if (!is_pem(file)) {
    if (!Object::parse(file)) return bad(fmt::format("holds no {}: neither PEM (-----BEGIN ...) nor DER", what));
    out.push_back(to_bytes(file));
    return out;
  }
  QANAT_ASSIGN(const std::vector<Block> blocks, blocks_of(file));
  for (const Block& block : blocks) {
    if (std::find(names.begin(), names.end(), block.name) == names.end()) continue;
    if (auto object = Object::parse(block.data.expose()); !object)
      return bad(fmt::format("{} {} {}", what, out.size() + 1, object.error().detail));
    out.push_back(to_bytes(block.data.expose()));
    if (out.size() > kMaxObjects) return bad(fmt::format("holds more than {} objects", kMaxObjects));
  }
  if (out.empty())
    return bad(fmt::format("holds no {}, only: {}", what,
                           blocks.empty() ? "nothing" : printable(std::string_view{blocks.front().name}, 40)));
  return out;
}

// PKCS#8, or the older forms that OpenSSL's commands still write.
Result<SecretBytes> pkcs8_of(ByteView der) {
  auto key = crypto::PrivateKey::from_pkcs8(der);
  if (key) return SecretBytes::copy_of(der);
  const unsigned char* at = der.data();
  const crypto::EvpPkey old{d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(der.size()))};
  if (!old || at != der.data() + der.size()) return bad("the key " + key.error().detail);
  const std::unique_ptr<PKCS8_PRIV_KEY_INFO, FreeWith<PKCS8_PRIV_KEY_INFO_free>> info{EVP_PKEY2PKCS8(old.get())};
  if (!info) return crypto::openssl_failure(kWhere);
  SecretBytes out = SecretBytes::adopt(der_of(i2d_PKCS8_PRIV_KEY_INFO, info.get()));
  if (const auto again = crypto::PrivateKey::from_pkcs8(out.expose()); !again)
    return bad("the key " + again.error().detail);
  return out;
}

std::string pem_of(const char* name, ByteView der) {
  const MemoryBio out{BIO_new(BIO_s_secmem())};  // wiped when it goes
  char* text = nullptr;
  ensure(out && PEM_write_bio(out.get(), name, "", der.data(), static_cast<long>(der.size())) > 0, "PEM is written");
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

}  // namespace

Result<std::vector<Bytes>> read_certificates(ByteView file) {
  return read_all<Certificate>(file, {PEM_STRING_X509, PEM_STRING_X509_OLD}, "certificate");
}
Result<std::vector<Bytes>> read_crls(ByteView file) {
  return read_all<Crl>(file, {PEM_STRING_X509_CRL}, "revocation list");
}

Result<SecretBytes> read_private_key(ByteView file) {
  if (file.empty()) return bad("is empty");
  if (!is_pem(file)) return pkcs8_of(file);
  constexpr std::string_view kEncrypted =
      "is encrypted, and nobody is there to type a password when the gateway starts: write it in the clear for root "
      "alone, with: openssl pkey -in FILE -out NEWFILE && chmod 600 NEWFILE";
  QANAT_ASSIGN(const std::vector<Block> blocks, blocks_of(file));
  for (const Block& block : blocks) {
    if (block.name == PEM_STRING_PKCS8 || block.header.find("ENCRYPTED") != std::string::npos)
      return bad(std::string{kEncrypted});
    if (block.name.ends_with("PRIVATE KEY")) return pkcs8_of(block.data.expose());
  }
  return bad(fmt::format("holds no private key, only: {}",
                         blocks.empty() ? "nothing" : printable(std::string_view{blocks.front().name}, 40)));
}

std::string certificate_pem(ByteView der) {
  return pem_of(PEM_STRING_X509, der);
}
std::string crl_pem(ByteView der) {
  return pem_of(PEM_STRING_X509_CRL, der);
}
SecretBytes private_key_pem(ByteView pkcs8) {
  std::string text = pem_of(PEM_STRING_PKCS8INF, pkcs8);
  SecretBytes out = SecretBytes::adopt(to_bytes(std::string_view{text}));
  wipe(text.data(), text.size());
  return out;
}

}  // namespace qanat::pki
