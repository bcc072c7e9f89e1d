// PostureLedger: where the records of the harvest ledger live (model/posture.hpp). The interface, and one in memory.
// io/sqlite_ledger.hpp keeps them in a file.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "model/posture.hpp"

namespace qanat::store {

class PostureLedger {
 public:
  virtual ~PostureLedger() = default;
  // All records, by tunnel.
  [[nodiscard]] virtual Result<std::vector<model::PostureRecord>> load() = 0;
  // Adds or replaces them, by tunnel: all or none.
  [[nodiscard]] virtual Status save(const std::vector<model::PostureRecord>& records) = 0;
};

class MemoryPostureLedger final : public PostureLedger {
 public:
  [[nodiscard]] Result<std::vector<model::PostureRecord>> load() override {
    std::vector<model::PostureRecord> out;
    for (const auto& [name, record] : records_) out.push_back(record);
    return out;
  }
  [[nodiscard]] Status save(const std::vector<model::PostureRecord>& records) override {
    for (const model::PostureRecord& record : records) records_[record.tunnel] = record;
    return {};
  }

 private:
  std::map<std::string, model::PostureRecord> records_;
};

}  // namespace qanat::store
