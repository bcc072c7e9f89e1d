#include "testcrypto/ledger.hpp"

namespace qanat::testcrypto {

Ledger& Ledger::instance() {
  static Ledger ledger;
  return ledger;
}

void Ledger::note_seal(const Digest& key, ByteView iv, const std::string& what) {
  const Digest pair = Mixer{1}.number(key[0]).number(key[1]).update(iv).digest();
  if (!pairs_.insert(pair).second) repetitions_.push_back(what + ": one key sealed twice under IV " + to_hex(iv));
}

void Ledger::note_public_value(ByteView value) {
  if (!public_values_.insert(Mixer{2}.update(value).digest()).second)
    repetitions_.push_back("a key exchange's public value was made twice: " + to_hex(value.first(8)));
}

void Ledger::clear() {
  pairs_.clear();
  public_values_.clear();
  repetitions_.clear();
}

}  // namespace qanat::testcrypto
