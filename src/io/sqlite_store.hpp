// SqliteStore: the objects in a SQLite file: write-ahead log, synchronous=FULL, so that what txn() has acknowledged
// survives kill -9 and power loss, whole. One connection, one thread at a time; it holds the file's lock, so a second
// daemon on the same file is refused.
//
// Secrets are encrypted (crypto/at_rest.hpp) when a key is given. A file written without one is encrypted when it is
// first opened with one; a file written with one is refused without it, and with another. One that was written with the
// key before is written anew with the key, whole or not at all.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/rng.hpp"
#include "store/object_store.hpp"

namespace qanat::io {

// What such a file holds, without a key: where a secret was there are octets that nobody knows. For qanatd --protect,
// before the daemon has begun. Error{Resource}: a daemon has it open; Error{Malformed}: it cannot be read.
[[nodiscard]] Result<std::unique_ptr<store::MemoryObjectStore>> read_without_secrets(const std::string& path, Rng& rng);

class SqliteStore final : public store::ObjectStore {
 public:
  // Makes the file (mode 0600) when it is not there. Errors name the file and say what to do; a file that is damaged
  // or of a newer version is left alone. `rng` outlives the store; keys have crypto::kAtRestKey octets.
  [[nodiscard]] static Result<std::unique_ptr<SqliteStore>> open(const std::string& path, Rng& rng,
                                                                 std::optional<SecretBytes> key = std::nullopt,
                                                                 std::optional<SecretBytes> key_before = std::nullopt);
  ~SqliteStore() override;
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;

  [[nodiscard]] Result<std::optional<store::Entry>> get(std::string_view key) override;
  [[nodiscard]] Result<store::Listing> list(std::string_view prefix, const store::Range& range = {}) override;
  [[nodiscard]] Result<store::Outcome> txn(std::span<const store::Compare> compares,
                                           std::span<const store::Operation> operations) override;
  // Knows the changes since the file was opened.
  [[nodiscard]] Result<store::Watched> watch(std::string_view prefix, std::uint64_t revision) override;
  [[nodiscard]] Result<store::LeaseId> lease(std::chrono::seconds time, Instant now) override;
  [[nodiscard]] Status renew(store::LeaseId lease, Instant now) override;
  [[nodiscard]] Status expire(Instant now) override;

 private:
  friend Result<std::unique_ptr<store::MemoryObjectStore>> read_without_secrets(const std::string& path, Rng& rng);
  struct Impl;
  explicit SqliteStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace qanat::io
