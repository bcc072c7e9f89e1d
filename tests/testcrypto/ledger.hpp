// Ledger: what the crypto double has seen: every (key, IV) that something was sealed under, and every public value that
// was handed out. Either twice is a bug that real ciphers would carry out without a word.
#pragma once

#include <string>
#include <unordered_set>
#include <vector>

#include "testcrypto/mixer.hpp"

namespace qanat::testcrypto {

class Ledger {
 public:
  // The process's only one: tests run on one thread.
  [[nodiscard]] static Ledger& instance();

  void note_seal(const Digest& key, ByteView iv, const std::string& what);
  void note_public_value(ByteView value);
  void clear();

  [[nodiscard]] std::size_t seals() const { return pairs_.size(); }
  // One line for each (key, IV) or public value that came twice; empty is good.
  [[nodiscard]] const std::vector<std::string>& repetitions() const { return repetitions_; }

 private:
  struct Hash {
    std::size_t operator()(const Digest& d) const { return d[0] ^ d[1]; }
  };
  std::unordered_set<Digest, Hash> pairs_;
  std::unordered_set<Digest, Hash> public_values_;
  std::vector<std::string> repetitions_;
};

}  // namespace qanat::testcrypto
