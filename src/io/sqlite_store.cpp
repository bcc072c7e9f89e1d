#include "io/sqlite_store.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "crypto/at_rest.hpp"
#include "io/fd.hpp"

namespace qanat::io {

namespace {

using store::Entry;
using store::LeaseId;
using store::Operation;

// What brings a file from version N to N + 1; its length is the version that this program writes.
constexpr auto kMigrations = std::to_array<const char*>({
    "CREATE TABLE entries ("
    " key TEXT PRIMARY KEY, kind INTEGER NOT NULL, value BLOB NOT NULL, revision INTEGER NOT NULL,"
    " lease INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;"
    "INSERT INTO facts VALUES ('revision', 0);",
});

enum class Kind : std::uint8_t { Text = 0, Secret = 1, Sealed = 2 };  // in the column `kind`

// Sealed with the key in use, so that another key is told before anything is written with it.
constexpr std::string_view kKeyCheck = "key check";
constexpr std::string_view kWhat = "the object store";

struct Finalize {
  void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

void bind_text(sqlite3_stmt* s, int index, std::string_view text) {
  sqlite3_bind_text(s, index, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
}
void bind_blob(sqlite3_stmt* s, int index, ByteView octets) {
  // Not NULL for an empty one, which has no pointer.
  sqlite3_bind_blob(s, index, octets.empty() ? "" : static_cast<const void*>(octets.data()),
                    static_cast<int>(octets.size()), SQLITE_STATIC);
}
void bind_number(sqlite3_stmt* s, int index, std::uint64_t number) {
  sqlite3_bind_int64(s, index, static_cast<sqlite3_int64>(number));
}
ByteView column_octets(sqlite3_stmt* s, int column) {
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(s, column));
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(s, column))};
}
std::uint64_t column_number(sqlite3_stmt* s, int column) {
  return static_cast<std::uint64_t>(sqlite3_column_int64(s, column));
}
std::string text_of(ByteView octets) {
  return {octets.begin(), octets.end()};
}

}  // namespace

struct SqliteStore::Impl {
  std::string path;
  Rng* rng = nullptr;
  std::optional<SecretBytes> key;
  std::optional<SecretBytes> key_before;
  sqlite3* db = nullptr;
  Statement select_one, select_range, put, erase, set_revision, erase_lease, keys_of_lease;
  std::uint64_t revision = 0;
  store::Notes notes;
  store::Leases leases;

  ~Impl() {
    for (Statement* s : {&select_one, &select_range, &put, &erase, &set_revision, &erase_lease, &keys_of_lease})
      s->reset();
    sqlite3_close(db);
  }
  [[nodiscard]] std::unexpected<Error> failure(std::string_view what) const {
    const int code = db != nullptr ? sqlite3_errcode(db) : SQLITE_NOMEM;
    const char* hint = code == SQLITE_BUSY || code == SQLITE_LOCKED
                           ? "; another process has it open: is a qanatd running?"
                       : code == SQLITE_FULL ? "; the disk is full"
                                             : "";
    return fail(ErrorKind::Resource, path,
                fmt::format("{}: {}{}", what, db != nullptr ? sqlite3_errmsg(db) : "out of memory", hint));
  }
  [[nodiscard]] Status run(const char* sql) const {
    if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failure(kWhat);
    return {};
  }
  [[nodiscard]] Result<Statement> prepare(const char* sql) const {
    sqlite3_stmt* out = nullptr;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &out, nullptr) != SQLITE_OK) return failure(kWhat);
    return Statement{out};
  }
  [[nodiscard]] Status step(sqlite3_stmt* s) const {
    const int code = sqlite3_step(s);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return code == SQLITE_DONE ? Status{} : failure(kWhat);
  }

  // All of `work`, or nothing.
  template <typename Work>
  [[nodiscard]] Status transaction(const Work& work) {
    QANAT_TRY(run("BEGIN IMMEDIATE;"));
    Status done = work();
    if (done) done = run("COMMIT;");
    if (!done) (void)run("ROLLBACK;");
    return done;
  }

  [[nodiscard]] Status migrate();
  [[nodiscard]] Status prepare_all();
  [[nodiscard]] Status check_key();
  [[nodiscard]] Status seal_all(Kind written);
  [[nodiscard]] Status put_row(const std::string& name, Kind kind, ByteView value, std::uint64_t at, LeaseId lease);
  [[nodiscard]] Status write(const Operation& operation, std::uint64_t at);
  [[nodiscard]] Result<Entry> row_of(sqlite3_stmt* s) const;
  [[nodiscard]] Result<std::optional<Entry>> get(std::string_view name);
};

Status SqliteStore::Impl::migrate() {
  int version = 0;
  {
    QANAT_ASSIGN(const Statement asked, prepare("PRAGMA user_version;"));
    if (sqlite3_step(asked.get()) != SQLITE_ROW) return failure("its version cannot be read");
    version = sqlite3_column_int(asked.get(), 0);
  }
  if (version < 0 || static_cast<std::size_t>(version) > kMigrations.size()) {
    return fail(
        ErrorKind::LocalPolicy, path,
        fmt::format("it is of version {}, and this qanatd knows {}: it is left alone", version, kMigrations.size()));
  }
  for (std::size_t next = static_cast<std::size_t>(version); next < kMigrations.size(); ++next) {
    const Status migrated = transaction([&]() -> Status {
      QANAT_TRY(run(kMigrations[next]));
      return run(fmt::format("PRAGMA user_version = {};", next + 1).c_str());
    });
    if (!migrated) return migrated;
  }
  return {};
}

Status SqliteStore::Impl::prepare_all() {
  const auto make = [&](Statement& out, const char* sql) -> Status {
    QANAT_ASSIGN(out, prepare(sql));
    return {};
  };
  QANAT_TRY(make(select_one, "SELECT key, kind, value, revision, lease FROM entries WHERE key = ?1;"));
  QANAT_TRY(make(select_range,
                 "SELECT key, kind, value, revision, lease FROM entries WHERE key >= ?1 AND key > ?2"
                 " AND (?3 = '' OR key < ?3) ORDER BY key LIMIT ?4;"));
  QANAT_TRY(make(put,
                 "INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key) DO UPDATE SET"
                 " kind = ?2, value = ?3, revision = ?4, lease = ?5;"));
  QANAT_TRY(make(erase, "DELETE FROM entries WHERE key = ?1;"));
  QANAT_TRY(make(set_revision, "UPDATE facts SET value = ?1 WHERE name = 'revision';"));
  QANAT_TRY(make(keys_of_lease, "SELECT key FROM entries WHERE lease = ?1;"));
  QANAT_TRY(make(erase_lease, "DELETE FROM entries WHERE lease = ?1;"));
  QANAT_ASSIGN(const Statement asked, prepare("SELECT value FROM facts WHERE name = 'revision';"));
  if (sqlite3_step(asked.get()) != SQLITE_ROW) return failure("its revision cannot be read");
  revision = column_number(asked.get(), 0);
  notes.forget_until(revision);
  return {};
}

// The key is the one that the file was written with; or the file has no key yet, and gets this one.
Status SqliteStore::Impl::check_key() {
  Bytes sealed;
  {
    QANAT_ASSIGN(const Statement asked, prepare("SELECT value FROM facts WHERE name = 'key check';"));
    if (sqlite3_step(asked.get()) == SQLITE_ROW) sealed = to_bytes(column_octets(asked.get(), 0));
  }
  if (sealed.empty() && !key) return {};
  if (!key)
    return fail(ErrorKind::LocalPolicy, path,
                "its secrets are encrypted, and nothing was changed: name the key file that it was written with in "
                "[gateway] store_key_file");
  const Bytes name = to_bytes(kKeyCheck);
  if (!sealed.empty() && crypto::open_at_rest(key->expose(), name, sealed)) return {};
  const bool changes_key = !sealed.empty();
  if (changes_key && (!key_before || !crypto::open_at_rest(key_before->expose(), name, sealed))) {
    return fail(ErrorKind::LocalPolicy, path,
                key_before ? "its secrets were encrypted with another key file than those of [gateway] store_key_file "
                             "and store_key_file_before, and nothing was changed: name that one"
                           : "its secrets were encrypted with another key file than [gateway] store_key_file, and "
                             "nothing was changed: name that one; to change keys, name the old one in "
                             "store_key_file_before beside the new one");
  }
  const Status sealed_anew = transaction([&]() -> Status {
    QANAT_TRY(seal_all(changes_key ? Kind::Sealed : Kind::Secret));
    QANAT_ASSIGN(const Bytes check, crypto::seal_at_rest(key->expose(), name, name, *rng));
    QANAT_ASSIGN(const Statement insert, prepare("INSERT OR REPLACE INTO facts VALUES ('key check', ?1);"));
    bind_blob(insert.get(), 1, check);
    return step(insert.get());
  });
  if (!sealed_anew) return sealed_anew;
  // What was written before stands in the log until it is emptied.
  return run("PRAGMA wal_checkpoint(TRUNCATE);");
}

// Those that are there as `written`: in the clear, or under the key before.
Status SqliteStore::Impl::seal_all(Kind written) {
  QANAT_ASSIGN(const Statement asked,
               prepare("SELECT key, kind, value, revision, lease FROM entries WHERE kind = ?1;"));
  bind_number(asked.get(), 1, static_cast<std::uint64_t>(written));
  std::vector<Entry> entries;
  if (written == Kind::Sealed) std::swap(key, key_before);
  const auto restore = [&] {
    if (written == Kind::Sealed) std::swap(key, key_before);
  };
  while (sqlite3_step(asked.get()) == SQLITE_ROW) {
    auto entry = row_of(asked.get());
    if (!entry) {
      restore();
      return std::unexpected(entry.error());
    }
    entries.push_back(std::move(*entry));
  }
  restore();
  for (const Entry& entry : entries)
    QANAT_TRY(write({Operation::Kind::Put, entry.key, {}, entry.secret, entry.lease}, entry.revision));
  return {};
}

Status SqliteStore::Impl::put_row(const std::string& name, Kind kind, ByteView value, std::uint64_t at, LeaseId lease) {
  bind_text(put.get(), 1, name);
  bind_number(put.get(), 2, static_cast<std::uint64_t>(kind));
  bind_blob(put.get(), 3, value);
  bind_number(put.get(), 4, at);
  bind_number(put.get(), 5, lease.value());
  return step(put.get());
}

Status SqliteStore::Impl::write(const Operation& operation, std::uint64_t at) {
  if (operation.kind == Operation::Kind::Delete) {
    bind_text(erase.get(), 1, operation.key);
    return step(erase.get());
  }
  if (!operation.secret) return put_row(operation.key, Kind::Text, to_bytes(operation.value), at, operation.lease);
  if (!key) return put_row(operation.key, Kind::Secret, operation.secret->expose(), at, operation.lease);
  QANAT_ASSIGN(const Bytes sealed,
               crypto::seal_at_rest(key->expose(), to_bytes(operation.key), operation.secret->expose(), *rng));
  return put_row(operation.key, Kind::Sealed, sealed, at, operation.lease);
}

Result<Entry> SqliteStore::Impl::row_of(sqlite3_stmt* s) const {
  Entry out;
  out.key = text_of(column_octets(s, 0));
  const ByteView value = column_octets(s, 2);
  out.revision = column_number(s, 3);
  out.lease = LeaseId{column_number(s, 4)};
  switch (static_cast<Kind>(sqlite3_column_int(s, 1))) {
    case Kind::Text:
      out.value = text_of(value);
      return out;
    case Kind::Secret:
      out.secret = std::make_shared<const SecretBytes>(SecretBytes::copy_of(value));
      return out;
    case Kind::Sealed: {
      if (!key) return fail(ErrorKind::LocalPolicy, path, out.key + " is encrypted, and no key file is named");
      auto opened = crypto::open_at_rest(key->expose(), to_bytes(out.key), value);
      if (!opened)
        return fail(ErrorKind::AuthFailed, path, fmt::format("the secret {} {}", out.key, opened.error().detail));
      out.secret = std::make_shared<const SecretBytes>(*std::move(opened));
      return out;
    }
  }
  return fail(ErrorKind::Malformed, path, out.key + " is of a kind that this qanatd does not know");
}

Result<std::optional<Entry>> SqliteStore::Impl::get(std::string_view name) {
  sqlite3_stmt* s = select_one.get();
  bind_text(s, 1, name);
  const int code = sqlite3_step(s);
  Result<std::optional<Entry>> out{std::nullopt};
  if (code == SQLITE_ROW) {
    out = row_of(s);
  } else if (code != SQLITE_DONE) {
    out = failure(kWhat);
  }
  sqlite3_reset(s);
  sqlite3_clear_bindings(s);
  return out;
}

SqliteStore::SqliteStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteStore::~SqliteStore() = default;

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::string& path, Rng& rng,
                                                       std::optional<SecretBytes> key,
                                                       std::optional<SecretBytes> key_before) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  impl->rng = &rng;
  impl->key = std::move(key);
  impl->key_before = std::move(key_before);
  const mode_t before = ::umask(0077);
  const int opened = sqlite3_open_v2(path.c_str(), &impl->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  ::umask(before);
  if (opened != SQLITE_OK) return impl->failure("cannot be opened: may qanatd's user write there?");
  // The lock for good: no other process reads along, and the index of the log needs no shared memory file. A file of
  // the same name with a wider mode, restored from a copy, is narrowed before anything is written to it.
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return system_failure(path, "cannot be looked at");
  // qanatd's walls let it change no mode.
  if ((info.st_mode & 0077) != 0 && ::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0)
    return system_failure(path, "may be read by others: chmod 600 it");
  QANAT_TRY(
      impl->run("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                "PRAGMA secure_delete = ON;"));
  QANAT_TRY(impl->migrate());
  QANAT_TRY(impl->prepare_all());
  QANAT_TRY(impl->check_key());
  impl->key_before.reset();
  // A lease ends with the process that asked for it.
  QANAT_TRY(impl->run("DELETE FROM entries WHERE lease != 0;"));
  return std::unique_ptr<SqliteStore>(new SqliteStore(std::move(impl)));
}

Result<std::unique_ptr<store::MemoryObjectStore>> read_without_secrets(const std::string& path, Rng& rng) {
  constexpr std::size_t kNobodyKnows = 32;
  SqliteStore::Impl file;
  file.path = path;
  // For writing: a log that a crash has left is worked in.
  if (sqlite3_open_v2(path.c_str(), &file.db, SQLITE_OPEN_READWRITE, nullptr) != SQLITE_OK)
    return fail(ErrorKind::Malformed, path, "cannot be opened: is it a file of qanatd?");
  const auto trouble = [&](std::string_view what) {
    const bool busy = (sqlite3_errcode(file.db) & 0xff) == SQLITE_BUSY;
    return fail(busy ? ErrorKind::Resource : ErrorKind::Malformed, path,
                busy ? "is open in another process: a qanatd runs, and protects what it holds"
                     : fmt::format("{}: {}", what, sqlite3_errmsg(file.db)));
  };
  // Alone, as the daemon is, so that nothing is left beside it.
  if (!file.run("PRAGMA locking_mode = EXCLUSIVE;")) return trouble("cannot be locked");
  auto out = std::make_unique<store::MemoryObjectStore>();
  const auto rows = file.prepare("SELECT key, kind, value FROM entries;");
  if (!rows) return trouble("cannot be read");
  int code = 0;
  while ((code = sqlite3_step(rows->get())) == SQLITE_ROW) {
    const std::string key = text_of(column_octets(rows->get(), 0));
    const bool text = static_cast<Kind>(sqlite3_column_int(rows->get(), 1)) == Kind::Text;
    const std::array<Operation, 1> put{
        text ? Operation::put(key, text_of(column_octets(rows->get(), 2)))
             : Operation::put_secret(key,
                                     std::make_shared<const SecretBytes>(SecretBytes::adopt(rng.bytes(kNobodyKnows))))};
    QANAT_TRY(out->txn({}, put));
  }
  if (code != SQLITE_DONE) return trouble("cannot be read");
  return out;
}

Result<std::optional<Entry>> SqliteStore::get(std::string_view key) {
  return impl_->get(key);
}

Result<store::Listing> SqliteStore::list(std::string_view prefix, const store::Range& range) {
  store::Listing out;
  out.revision = impl_->revision;
  const std::string end = store::prefix_end(prefix);
  sqlite3_stmt* s = impl_->select_range.get();
  bind_text(s, 1, prefix);
  bind_text(s, 2, range.after);
  bind_text(s, 3, end);
  bind_number(s, 4, std::min<std::uint64_t>(range.most, std::numeric_limits<std::int64_t>::max()));
  int code = 0;
  Status good;
  while (good && (code = sqlite3_step(s)) == SQLITE_ROW) {
    auto entry = impl_->row_of(s);
    if (entry) {
      out.entries.push_back(*std::move(entry));
    } else {
      good = std::unexpected(std::move(entry).error());
    }
  }
  if (good && code != SQLITE_DONE) good = impl_->failure(kWhat);
  sqlite3_reset(s);
  sqlite3_clear_bindings(s);
  if (!good) return std::unexpected(std::move(good).error());
  return out;
}

Result<store::Outcome> SqliteStore::txn(std::span<const store::Compare> compares,
                                        std::span<const Operation> operations) {
  QANAT_TRY(store::check(compares, operations));
  QANAT_TRY(impl_->leases.check(operations));
  for (const store::Compare& compare : compares) {
    QANAT_ASSIGN(const std::optional<Entry> entry, impl_->get(compare.key));
    if ((entry ? entry->revision : 0) != compare.revision) return store::Outcome{false, impl_->revision};
  }
  const std::uint64_t next = impl_->revision + 1;
  std::vector<const std::string*> changed;
  const Status written = impl_->transaction([&]() -> Status {
    for (const Operation& operation : operations) {
      QANAT_TRY(impl_->write(operation, next));
      if (operation.kind == Operation::Kind::Put || sqlite3_changes(impl_->db) > 0) changed.push_back(&operation.key);
    }
    if (changed.empty()) return {};
    bind_number(impl_->set_revision.get(), 1, next);
    return impl_->step(impl_->set_revision.get());
  });
  if (!written) return std::unexpected(written.error());
  if (!changed.empty()) impl_->revision = next;
  for (const std::string* key : changed) impl_->notes.add(next, *key);
  return store::Outcome{true, impl_->revision};
}

Result<store::Watched> SqliteStore::watch(std::string_view prefix, std::uint64_t revision) {
  return impl_->notes.changes(*this, prefix, revision, impl_->revision);
}

Result<LeaseId> SqliteStore::lease(std::chrono::seconds time, Instant now) {
  return impl_->leases.add(time, now);
}
Status SqliteStore::renew(LeaseId lease, Instant now) {
  return impl_->leases.renew(lease, now);
}

Status SqliteStore::expire(Instant now) {
  std::vector<std::string> gone;
  const std::uint64_t next = impl_->revision + 1;
  const std::vector<LeaseId> over = impl_->leases.expired(now);
  if (over.empty()) return {};
  const Status done = impl_->transaction([&]() -> Status {
    for (const LeaseId lease : over) {
      sqlite3_stmt* s = impl_->keys_of_lease.get();
      bind_number(s, 1, lease.value());
      while (sqlite3_step(s) == SQLITE_ROW) gone.push_back(text_of(column_octets(s, 0)));
      sqlite3_reset(s);
      bind_number(impl_->erase_lease.get(), 1, lease.value());
      QANAT_TRY(impl_->step(impl_->erase_lease.get()));
    }
    if (gone.empty()) return {};
    bind_number(impl_->set_revision.get(), 1, next);
    return impl_->step(impl_->set_revision.get());
  });
  if (!done) return done;
  impl_->leases.remove(over);
  if (!gone.empty()) impl_->revision = next;
  for (const std::string& key : gone) impl_->notes.add(next, key);
  return {};
}

}  // namespace qanat::io
