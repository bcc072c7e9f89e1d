// SqliteLedger: the harvest ledger in a SQLite file. Write-ahead log, so that a kill -9 leaves the last whole save.
// One connection, used by one thread at a time; it holds the file's lock, so a second daemon on the same file is
// refused.
#pragma once

#include <memory>
#include <string>

#include "store/posture_ledger.hpp"

namespace qanat::io {

class SqliteLedger final : public store::PostureLedger {
 public:
  // Makes the file (mode 0600) when it is not there. Errors name the file and say what to do; a file that is damaged or
  // of a newer version is left alone.
  [[nodiscard]] static Result<std::unique_ptr<SqliteLedger>> open(const std::string& path);
  ~SqliteLedger() override;
  SqliteLedger(const SqliteLedger&) = delete;
  SqliteLedger& operator=(const SqliteLedger&) = delete;

  [[nodiscard]] Result<std::vector<model::PostureRecord>> load() override;
  [[nodiscard]] Status save(const std::vector<model::PostureRecord>& records) override;

 private:
  struct Impl;
  explicit SqliteLedger(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace qanat::io
