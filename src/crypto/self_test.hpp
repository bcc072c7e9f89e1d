// Known-answer tests of every algorithm, run once per process before the first use. An algorithm that fails is not
// available: it is neither offered nor accepted.
#pragma once

#include <string>
#include <vector>

namespace qanat::crypto {

struct SelfTestResult {
  std::string algorithm;  // in the words of base/iana.hpp
  bool passed = false;
};
// Runs on the first call; later calls return the same results.
[[nodiscard]] const std::vector<SelfTestResult>& self_test_results();
[[nodiscard]] std::string library_version();  // "OpenSSL 3.5.4"

}  // namespace qanat::crypto
