#include "daemon/key_log.hpp"

#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/cipher_sizes.hpp"
#include "io/fd.hpp"

namespace qanat::daemon {

namespace {

struct CipherName {
  std::string ike;
  std::string esp;
};

// Wireshark's own spellings; a line with an unknown one refuses the whole table.
CipherName encryption_name(const CipherSuite& s) {
  switch (s.encr) {
    case EncrId::ENCR_AES_GCM_16:
      return {fmt::format("AES-GCM-{} with 16 octet ICV [RFC5282]", s.key_bits), "AES-GCM with 16 octet ICV [RFC4106]"};
    case EncrId::ENCR_AES_CBC:
      return {fmt::format("AES-CBC-{} [RFC3602]", s.key_bits), "AES-CBC [RFC3602]"};
    case EncrId::ENCR_CHACHA20_POLY1305:
      return {"", "ChaCha20 with Poly1305 [RFC7634]"};
    default:
      return {};
  }
}

CipherName integrity_name(IntegId id) {
  switch (id) {
    case IntegId::AUTH_HMAC_SHA2_256_128:
      return {"HMAC_SHA2_256_128 [RFC4868]", "HMAC-SHA-256-128 [RFC4868]"};
    case IntegId::AUTH_HMAC_SHA2_384_192:
      return {"HMAC_SHA2_384_192 [RFC4868]", "HMAC-SHA-384-192 [RFC4868]"};
    case IntegId::AUTH_HMAC_SHA2_512_256:
      return {"HMAC_SHA2_512_256 [RFC4868]", "HMAC-SHA-512-256 [RFC4868]"};
    default:
      return {"NONE [RFC4306]", "NULL"};
  }
}

Status append_line(const std::string& file, const std::string& line) {
  if (line.empty()) return {};
  const io::UniqueFd fd{::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};
  if (!fd.valid()) return io::system_failure("key log " + file, "cannot be opened");
  const std::string text = line + "\n";
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return io::system_failure("key log " + file, "cannot be written");
  return {};
}

}  // namespace

std::string key_log_line(const ike::KeyLog& k) {
  const std::string encryption = encryption_name(k.suite).ike;
  if (encryption.empty()) return {};
  return fmt::format("{:016x},{:016x},{},{},\"{}\",{},{},\"{}\"", k.spi_i, k.spi_r, to_hex(k.sk_ei.expose()),
                     to_hex(k.sk_er.expose()), encryption, to_hex(k.sk_ai.expose()), to_hex(k.sk_ar.expose()),
                     integrity_name(k.suite.integ).ike);
}

std::string key_log_line(const ike::EspKeyLog& k) {
  const std::string encryption = encryption_name(k.suite).esp;
  if (encryption.empty()) return {};
  const std::size_t split = crypto::cipher_sizes(k.suite).encr_key;
  const std::string integrity = to_hex(k.keymat.expose().subspan(split));
  return fmt::format("\"{}\",\"{}\",\"{}\",\"0x{:08x}\",\"{}\",\"0x{}\",\"{}\",\"{}\",\"{}\",\"00000000\"",
                     k.source.is_v6() ? "IPv6" : "IPv4", k.source.to_string(), k.destination.to_string(), k.spi,
                     encryption, to_hex(k.keymat.expose().first(split)), integrity_name(k.suite.integ).esp,
                     integrity.empty() ? "" : "0x" + integrity, k.esn ? "64-bit" : "32-bit");
}

Status KeyLogWriter::prepare(std::uint32_t uid, std::uint32_t gid) const {
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST)
    return io::system_failure("key log folder " + directory_, "cannot be made");
  if (::chmod(directory_.c_str(), 0700) != 0 || ::chown(directory_.c_str(), uid, gid) != 0)
    return io::system_failure("key log folder " + directory_, "cannot be handed to the daemon's user");
  return {};
}

Status KeyLogWriter::write(const ike::KeyLog& keys) const {
  const std::string folder = fmt::format("{}/gen{}", directory_, keys.generation);
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    return io::system_failure("key log folder " + folder, "cannot be made");
  return append_line(folder + "/ikev2_decryption_table", key_log_line(keys));
}

Status KeyLogWriter::write(const ike::EspKeyLog& keys) const {
  return append_line(directory_ + "/esp_sa", key_log_line(keys));
}

}  // namespace qanat::daemon
