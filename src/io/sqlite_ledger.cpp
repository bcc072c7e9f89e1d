#include "io/sqlite_ledger.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>

namespace qanat::io {

namespace {

constexpr int kVersion = 1;  // user_version of the file

constexpr const char* kSchema =
    "CREATE TABLE IF NOT EXISTS posture ("
    " tunnel TEXT PRIMARY KEY, classical_bytes INTEGER NOT NULL, classical_seconds REAL NOT NULL,"
    " safe_bytes INTEGER NOT NULL, safe_seconds REAL NOT NULL, first_hybrid_at INTEGER, last_classical_at INTEGER"
    ") STRICT, WITHOUT ROWID;";

constexpr const char* kUpsert =
    "INSERT INTO posture VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (tunnel) DO UPDATE SET"
    " classical_bytes = ?2, classical_seconds = ?3, safe_bytes = ?4, safe_seconds = ?5, first_hybrid_at = ?6,"
    " last_classical_at = ?7;";

struct Finalize {
  void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

sqlite3_int64 stored(std::uint64_t value) {
  return static_cast<sqlite3_int64>(
      std::min<std::uint64_t>(value, static_cast<std::uint64_t>(std::numeric_limits<sqlite3_int64>::max())));
}
std::uint64_t counted(sqlite3_int64 value) {
  return value < 0 ? 0 : static_cast<std::uint64_t>(value);
}

void bind_time(sqlite3_stmt* s, int index, const std::optional<WallTime>& time) {
  if (time) {
    sqlite3_bind_int64(s, index, time->seconds);
  } else {
    sqlite3_bind_null(s, index);
  }
}
std::optional<WallTime> column_time(sqlite3_stmt* s, int column) {
  if (sqlite3_column_type(s, column) == SQLITE_NULL) return std::nullopt;
  return WallTime{sqlite3_column_int64(s, column)};
}

}  // namespace

struct SqliteLedger::Impl {
  std::string path;
  sqlite3* db = nullptr;

  ~Impl() { sqlite3_close(db); }
  [[nodiscard]] std::unexpected<Error> failure(const char* what) const {
    return fail(ErrorKind::Resource, path,
                fmt::format("{}: {}", what, db != nullptr ? sqlite3_errmsg(db) : "out of memory"));
  }
  [[nodiscard]] Status run(const char* sql) const {
    if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failure("the harvest ledger");
    return {};
  }
  [[nodiscard]] Result<Statement> prepare(const char* sql) const {
    sqlite3_stmt* out = nullptr;
    if (sqlite3_prepare_v2(db, sql, -1, &out, nullptr) != SQLITE_OK) return failure("the harvest ledger");
    return Statement{out};
  }
};

SqliteLedger::SqliteLedger(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteLedger::~SqliteLedger() = default;

Result<std::unique_ptr<SqliteLedger>> SqliteLedger::open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  const mode_t before = ::umask(0077);
  const int opened = sqlite3_open_v2(path.c_str(), &impl->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  ::umask(before);
  if (opened != SQLITE_OK) return impl->failure("cannot be opened: may qanatd's user write there?");
  // The lock for good: no other process reads along, and the index of the log needs no shared memory file.
  QANAT_TRY(impl->run("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"));
  int version = 0;
  {
    QANAT_ASSIGN(const Statement asked, impl->prepare("PRAGMA user_version;"));
    if (sqlite3_step(asked.get()) != SQLITE_ROW) return impl->failure("its version cannot be read");
    version = sqlite3_column_int(asked.get(), 0);
  }
  if (version > kVersion) {
    return fail(ErrorKind::LocalPolicy, path,
                fmt::format("it is of version {}, and this qanatd knows {}: it is left alone", version, kVersion));
  }
  QANAT_TRY(impl->run(kSchema));
  QANAT_TRY(impl->run(fmt::format("PRAGMA user_version = {};", kVersion).c_str()));
  return std::unique_ptr<SqliteLedger>(new SqliteLedger(std::move(impl)));
}

Result<std::vector<model::PostureRecord>> SqliteLedger::load() {
  QANAT_ASSIGN(const Statement rows, impl_->prepare("SELECT * FROM posture ORDER BY tunnel;"));
  std::vector<model::PostureRecord> out;
  int step = 0;
  while ((step = sqlite3_step(rows.get())) == SQLITE_ROW) {
    model::PostureRecord& r = out.emplace_back();
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(rows.get(), 0));
    const auto* text = sqlite3_column_text(rows.get(), 0);
    r.tunnel.assign(text, text + size);
    r.classical_bytes = counted(sqlite3_column_int64(rows.get(), 1));
    r.classical_seconds = sqlite3_column_double(rows.get(), 2);
    r.safe_bytes = counted(sqlite3_column_int64(rows.get(), 3));
    r.safe_seconds = sqlite3_column_double(rows.get(), 4);
    r.first_hybrid_at = column_time(rows.get(), 5);
    r.last_classical_at = column_time(rows.get(), 6);
  }
  if (step != SQLITE_DONE) return impl_->failure("cannot be read");
  return out;
}

Status SqliteLedger::save(const std::vector<model::PostureRecord>& records) {
  QANAT_TRY(impl_->run("BEGIN IMMEDIATE;"));
  const auto write_all = [&]() -> Status {
    QANAT_ASSIGN(const Statement write, impl_->prepare(kUpsert));
    for (const model::PostureRecord& r : records) {
      sqlite3_stmt* s = write.get();
      sqlite3_bind_text(s, 1, r.tunnel.data(), static_cast<int>(r.tunnel.size()), SQLITE_STATIC);
      sqlite3_bind_int64(s, 2, stored(r.classical_bytes));
      sqlite3_bind_double(s, 3, r.classical_seconds);
      sqlite3_bind_int64(s, 4, stored(r.safe_bytes));
      sqlite3_bind_double(s, 5, r.safe_seconds);
      bind_time(s, 6, r.first_hybrid_at);
      bind_time(s, 7, r.last_classical_at);
      if (sqlite3_step(s) != SQLITE_DONE) return impl_->failure("cannot be written");
      sqlite3_reset(s);
    }
    return {};
  };
  if (Status written = write_all(); !written) {
    (void)impl_->run("ROLLBACK;");
    return written;
  }
  return impl_->run("COMMIT;");
}

}  // namespace qanat::io
