#include "crypto/ml_kem.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace qanat::crypto {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

Bytes hex_of(const json& test, const char* field) {
  return from_hex(test.at(field).get<std::string>()).value();
}

KeId id_of(const json& group) {
  const auto name = group.at("parameterSet").get<std::string>();
  return name == "ML-KEM-512" ? KeId::ML_KEM_512 : name == "ML-KEM-768" ? KeId::ML_KEM_768 : KeId::ML_KEM_1024;
}

std::string context_of(const json& group, const json& test) {
  return group.at("parameterSet").get<std::string>() + " tcId " + std::to_string(test.at("tcId").get<int>());
}

void check_key_gen(KeId id, const json& test) {
  Bytes seed = hex_of(test, "d");
  append(seed, hex_of(test, "z"));
  const auto key = ml_kem::generate_from_seed(id, seed);
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(to_hex(ml_kem::encapsulation_key(id, *key).value()), to_hex(hex_of(test, "ek")));
  EXPECT_EQ(to_hex(ml_kem::export_decapsulation_key(id, *key).value().expose()), to_hex(hex_of(test, "dk")));
}

void check_encapsulation(KeId id, const json& test) {
  const auto key = ml_kem::import_encapsulation_key(id, hex_of(test, "ek"));
  ASSERT_TRUE(key.has_value());
  const auto reply = ml_kem::encapsulate(id, *key, hex_of(test, "m"));
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(to_hex(reply->public_value), to_hex(hex_of(test, "c")));
  EXPECT_EQ(to_hex(reply->secret.expose()), to_hex(hex_of(test, "k")));
}

// The group holds valid ciphertexts and modified ones, whose expected k is the implicit rejection.
void check_decapsulation(KeId id, const json& test) {
  const auto key = ml_kem::import_decapsulation_key(id, hex_of(test, "dk"));
  ASSERT_TRUE(key.has_value());
  const auto secret = ml_kem::decapsulate(id, *key, hex_of(test, "c"));
  ASSERT_TRUE(secret.has_value());
  EXPECT_EQ(to_hex(secret->expose()), to_hex(hex_of(test, "k")));
}

template <typename T>
void check_verdict(const Result<T>& result, const json& test) {
  EXPECT_EQ(result.has_value(), test.at("testPassed").get<bool>()) << test.at("reason");
  if (!result) {
    EXPECT_EQ(result.error().kind, ErrorKind::PeerMisbehaved);
    EXPECT_EQ(result.error().notify, 7);
  }
}

void check(const json& group, const json& test) {
  SCOPED_TRACE(context_of(group, test));
  const KeId id = id_of(group);
  const std::string function = group.value("function", "keyGen");
  if (function == "keyGen") {
    check_key_gen(id, test);
  } else if (function == "encapsulation") {
    check_encapsulation(id, test);
  } else if (function == "decapsulation") {
    check_decapsulation(id, test);
  } else if (function == "encapsulationKeyCheck") {
    check_verdict(ml_kem::import_encapsulation_key(id, hex_of(test, "ek")), test);
  } else if (function == "decapsulationKeyCheck") {
    check_verdict(ml_kem::import_decapsulation_key(id, hex_of(test, "dk")), test);
  } else {
    ADD_FAILURE() << "unknown function " << function;
  }
}

int check_all(const json& groups) {
  int count = 0;
  for (const json& group : groups) {
    for (const json& test : group.at("tests")) {
      check(group, test);
      ++count;
    }
  }
  return count;
}

json load(const fs::path& path) {
  return json::parse(std::ifstream{path});
}

TEST(MlKem, meets_the_acvp_vectors_kept_in_the_project) {
  const json vectors = load(fs::path{QANAT_SOURCE_DIR} / "tests/vectors/mlkem.json");
  EXPECT_EQ(check_all(vectors.at("keyGen")), 3);
  EXPECT_EQ(check_all(vectors.at("encapDecap")), 21);
}

// The full set lies beside the project where it is developed; where there is such a folder, nothing may be missing.
void check_acvp_file(const char* name, int expected) {
  const fs::path vectors = fs::path{QANAT_SOURCE_DIR} / "../shared/vectors";
  if (!fs::exists(vectors)) GTEST_SKIP() << "needs the full ACVP set, ../shared/vectors/acvp/" << name;
  ASSERT_TRUE(fs::exists(vectors / "acvp" / name));
  EXPECT_EQ(check_all(load(vectors / "acvp" / name).at("testGroups")), expected);
}

TEST(MlKem, meets_all_acvp_key_generation_vectors) {
  check_acvp_file("ML-KEM-keyGen-FIPS203.internalProjection.json", 75);
}

TEST(MlKem, meets_all_acvp_encapsulation_decapsulation_and_key_check_vectors) {
  check_acvp_file("ML-KEM-encapDecap-FIPS203.internalProjection.json", 165);
}

class MlKemEach : public testing::TestWithParam<KeId> {};
INSTANTIATE_TEST_SUITE_P(Sets, MlKemEach, testing::Values(KeId::ML_KEM_512, KeId::ML_KEM_768, KeId::ML_KEM_1024),
                         [](const auto& tested) { return to_string(tested.param); });

TEST_P(MlKemEach, another_ciphertext_yields_another_secret_and_no_error) {
  const auto key = ml_kem::generate(GetParam()).value();
  const auto ek =
      ml_kem::import_encapsulation_key(GetParam(), ml_kem::encapsulation_key(GetParam(), key).value()).value();
  auto reply = ml_kem::encapsulate(GetParam(), ek, {}).value();
  EXPECT_EQ(ml_kem::decapsulate(GetParam(), key, reply.public_value).value(), reply.secret);
  for (const std::size_t at : {std::size_t{0}, reply.public_value.size() / 2, reply.public_value.size() - 1}) {
    Bytes changed = reply.public_value;
    changed[at] ^= 1;
    const auto rejected = ml_kem::decapsulate(GetParam(), key, changed);
    ASSERT_TRUE(rejected.has_value());
    EXPECT_FALSE(*rejected == reply.secret);
    EXPECT_EQ(ml_kem::decapsulate(GetParam(), key, changed).value(), *rejected)
        << "implicit rejection is a function of key and ciphertext";
  }
}

// FIPS 203 7.2: each of the 12-bit coefficients must be below q = 3329.
TEST_P(MlKemEach, a_coefficient_of_q_or_more_is_refused_wherever_it_stands) {
  const auto key = ml_kem::generate(GetParam()).value();
  const Bytes ek = ml_kem::encapsulation_key(GetParam(), key).value();
  const std::size_t coefficients = (ek.size() - 32) * 8 / 12;
  for (std::size_t i = 0; i < coefficients; i += 2) {
    for (const unsigned value : {3329U, 4095U}) {
      Bytes bad = ek;  // a pair of coefficients is three octets: low 8, high 4 | low 4, high 8
      std::uint8_t* triple = &bad[i * 12 / 8];
      triple[0] = static_cast<std::uint8_t>(value);
      triple[1] = static_cast<std::uint8_t>((triple[1] & 0xf0) | (value >> 8));
      EXPECT_FALSE(ml_kem::import_encapsulation_key(GetParam(), bad).has_value()) << i;
      bad = ek;
      triple = &bad[i * 12 / 8];
      triple[1] = static_cast<std::uint8_t>((triple[1] & 0x0f) | ((value & 0xf) << 4));
      triple[2] = static_cast<std::uint8_t>(value >> 4);
      EXPECT_FALSE(ml_kem::import_encapsulation_key(GetParam(), bad).has_value()) << i + 1;
    }
  }
}

}  // namespace
}  // namespace qanat::crypto
