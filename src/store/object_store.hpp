// ObjectStore: where the objects of the API live, as keys and values. The interface of a store that may be shared by
// several gateways, and one in memory; io/sqlite_store.hpp keeps it in a file.
//
// Every transaction that changes something gets the next revision, from 1. A key is 1 to 512 printable ASCII
// characters, a value is text of at most kMaxValue octets or a secret; an entry remembers the revision that wrote it.
// Used by one thread at a time. What was answered with success is kept: over kill -9 and power loss, where the store
// has a disk.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/strong_id.hpp"
#include "base/time.hpp"

namespace qanat::store {

using LeaseId = StrongId<struct LeaseIdTag, std::uint64_t>;  // 0: none
using Secret = std::shared_ptr<const SecretBytes>;

inline constexpr std::size_t kMaxOperations = 100;  // of one transaction: what clusters allow
inline constexpr std::size_t kMaxKey = 512;
inline constexpr std::size_t kMaxValue = std::size_t{1} << 20;
inline constexpr std::size_t kMaxChangesKept = 10'000;  // for watch()

struct Entry {
  std::string key;
  std::string value;           // empty when `secret` is set
  Secret secret = {};          // kept encrypted where the store can; never part of a listing's text
  std::uint64_t revision = 0;  // of the transaction that wrote it last
  LeaseId lease = {};
};

// The transaction is carried out only if the key has this revision; 0: there is no such key.
struct Compare {
  std::string key;
  std::uint64_t revision = 0;
};

struct Operation {
  enum class Kind : std::uint8_t { Put, Delete } kind = Kind::Put;
  std::string key;
  std::string value = {};
  Secret secret = {};  // instead of `value`
  LeaseId lease = {};  // the entry goes when the lease does

  [[nodiscard]] static Operation put(std::string key, std::string value) {
    return {Kind::Put, std::move(key), std::move(value), {}, {}};
  }
  [[nodiscard]] static Operation put_secret(std::string key, Secret secret) {
    return {Kind::Put, std::move(key), {}, std::move(secret), {}};
  }
  [[nodiscard]] static Operation erase(std::string key) { return {Kind::Delete, std::move(key), {}, {}, {}}; }
};

struct Outcome {
  bool applied = false;        // false: a comparison did not hold, and nothing was changed
  std::uint64_t revision = 0;  // the store's, afterwards
};

struct Range {
  std::string after = {};  // only keys behind this one
  std::size_t most = static_cast<std::size_t>(-1);
};
struct Listing {
  std::vector<Entry> entries;  // by key
  std::uint64_t revision = 0;  // the store's: what to give to watch()
};

struct Change {
  Operation::Kind kind = Operation::Kind::Put;
  Entry entry;  // as it is now; of a key that is gone only `key` and `revision`
};
struct Watched {
  std::vector<Change> changes;  // the last of each key, by revision
  std::uint64_t revision = 0;   // what to give the next time
  bool too_old = false;         // the changes since then are no longer known: list() again
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  [[nodiscard]] virtual Result<std::optional<Entry>> get(std::string_view key) = 0;
  [[nodiscard]] virtual Result<Listing> list(std::string_view prefix, const Range& range = {}) = 0;
  // All operations or none, each key at most once. Error{LocalPolicy}: more than kMaxOperations, a bad key or value,
  // an unknown lease.
  [[nodiscard]] virtual Result<Outcome> txn(std::span<const Compare> compares,
                                            std::span<const Operation> operations) = 0;
  // What has changed below `prefix` in the transactions after `revision`.
  [[nodiscard]] virtual Result<Watched> watch(std::string_view prefix, std::uint64_t revision) = 0;

  // A lease lasts until `now` + `time`, renewed or not; entries that hang on it go in expire(). It ends with the
  // process that asked for it.
  [[nodiscard]] virtual Result<LeaseId> lease(std::chrono::seconds time, Instant now) = 0;
  [[nodiscard]] virtual Status renew(LeaseId lease, Instant now) = 0;  // Error{LocalPolicy}: it is over
  [[nodiscard]] virtual Status expire(Instant now) = 0;
};

// For implementations.

// What txn() refuses before it looks at anything.
[[nodiscard]] Status check(std::span<const Compare> compares, std::span<const Operation> operations);
// The first key behind all that begin with `prefix`; empty: there is none.
[[nodiscard]] std::string prefix_end(std::string_view prefix);

class Leases {
 public:
  [[nodiscard]] LeaseId add(std::chrono::seconds time, Instant now);
  [[nodiscard]] Status renew(LeaseId lease, Instant now);
  // Error{LocalPolicy}: an operation hangs on a lease that is over.
  [[nodiscard]] Status check(std::span<const Operation> operations) const;
  [[nodiscard]] std::vector<LeaseId> expired(Instant now) const;
  void remove(std::span<const LeaseId> leases);

 private:
  struct Lease {
    Duration time{};
    Instant until;
  };
  std::map<std::uint64_t, Lease> leases_;
  std::uint64_t next_ = 1;
};

// The last keys that were written, for watch().
class Notes {
 public:
  void add(std::uint64_t revision, std::string key);
  void forget_until(std::uint64_t revision) { known_from_ = revision; }
  [[nodiscard]] Result<Watched> changes(ObjectStore& store, std::string_view prefix, std::uint64_t since,
                                        std::uint64_t now) const;

 private:
  struct Note {
    std::uint64_t revision;
    std::string key;
  };
  std::deque<Note> notes_;
  std::uint64_t known_from_ = 0;
};

class MemoryObjectStore final : public ObjectStore {
 public:
  [[nodiscard]] Result<std::optional<Entry>> get(std::string_view key) override;
  [[nodiscard]] Result<Listing> list(std::string_view prefix, const Range& range = {}) override;
  [[nodiscard]] Result<Outcome> txn(std::span<const Compare> compares, std::span<const Operation> operations) override;
  [[nodiscard]] Result<Watched> watch(std::string_view prefix, std::uint64_t revision) override;
  [[nodiscard]] Result<LeaseId> lease(std::chrono::seconds time, Instant now) override;
  [[nodiscard]] Status renew(LeaseId lease, Instant now) override;
  [[nodiscard]] Status expire(Instant now) override;

 private:
  std::map<std::string, Entry, std::less<>> entries_;
  Notes notes_;
  std::uint64_t revision_ = 0;
  Leases leases_;
};

}  // namespace qanat::store
