#include "control/openapi.hpp"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "control/api.hpp"
#include "control/control_testing.hpp"
#include "control/endpoints.hpp"
#include "control/object_api.hpp"

namespace qanat::control {
namespace {

using Json = nlohmann::json;

const Json& document() {
  static const Json kDocument = Json::parse(openapi_document("1.2.3"));
  return kDocument;
}

// "/v1/status/{name}" with something that is there.
std::string filled(std::string path) {
  const std::size_t at = path.find("{name}");
  if (at != std::string::npos) path.replace(at, 6, path.starts_with("/v1/routes") ? "10.0.0.1" : "berlin");
  return path;
}

int status_of(const std::string& method, const std::string& target) {
  const auto answer = handle({method, target, ""}, testing::full_snapshot());
  const Reply* reply = std::get_if<Reply>(&answer);
  return reply == nullptr ? 200 : reply->status;
}

TEST(OpenApi, SaysWhatItIs) {
  EXPECT_EQ(document()["openapi"], "3.1.0");
  EXPECT_EQ(document()["info"]["version"], "1.2.3");
  EXPECT_EQ(document()["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}

TEST(OpenApi, WhatIsDescribedIsServedAndNothingElse) {
  int described = 0;
  for (const auto& [path, methods] : document()["paths"].items()) {
    if (is_object_target(path)) continue;  // tests/api/openapi_test.cpp
    for (const char* method : {"get", "post", "put", "delete", "patch"}) {
      std::string upper = method;
      for (char& c : upper) c = static_cast<char>(c - 'a' + 'A');
      const int status = status_of(upper, filled(path) + (path.ends_with("/forget") ? "?confirm=berlin" : ""));
      if (methods.contains(method)) {
        ++described;
        EXPECT_EQ(status, 200) << upper << " " << path;
      } else {
        EXPECT_EQ(status, 405) << upper << " " << path;
      }
    }
  }
  EXPECT_EQ(described, std::ranges::count_if(endpoints(), [](const Endpoint& e) { return !e.is_object(); }));
}

TEST(OpenApi, ParametersAreTheOnesThatAreTaken) {
  for (const auto& [path, methods] : document()["paths"].items()) {
    if (is_object_target(path)) continue;  // tests/api/openapi_test.cpp
    for (const auto& [method, operation] : methods.items()) {
      std::set<std::string> said;
      for (const auto& parameter : operation.value("parameters", Json::array())) {
        if (parameter["in"] == "query") said.insert(parameter["name"].get<std::string>());
      }
      const std::string upper = method == "get" ? "GET" : "POST";
      for (const auto& [name, value] : {std::pair{"since", "1"}, std::pair{"tunnel", "x"}, std::pair{"wait", "0"},
                                        std::pair{"from", "10.0.0.9"}, std::pair{"other", "1"}}) {
        if (path.ends_with("/forget")) continue;  // api_test.cpp: what it takes is not a matter of choice
        const int status = status_of(upper, filled(path) + "?" + name + "=" + value);
        EXPECT_EQ(status, said.contains(name) ? 200 : 400) << upper << " " << path << " " << name;
      }
    }
  }
}

TEST(OpenApi, EveryReferenceLeadsSomewhereAndEveryNameIsOnce) {
  std::set<std::string> ids;
  const std::string text = document().dump();
  for (std::size_t at = 0; (at = text.find("\"#/components/schemas/", at)) != std::string::npos; ++at) {
    const std::string name = text.substr(at + 22, text.find('"', at + 1) - at - 22);
    EXPECT_TRUE(document()["components"]["schemas"].contains(name)) << name;
  }
  for (const auto& [path, methods] : document()["paths"].items()) {
    std::set<std::string> in_path;
    for (std::size_t at = 0; (at = path.find('{', at)) != std::string::npos; ++at)
      in_path.insert(path.substr(at + 1, path.find('}', at) - at - 1));
    for (const auto& [method, operation] : methods.items()) {
      EXPECT_TRUE(ids.insert(operation["operationId"].get<std::string>()).second) << path << " " << method;
      std::set<std::string> said;
      for (const auto& parameter : operation.value("parameters", Json::array())) {
        if (parameter["in"] == "path") said.insert(parameter["name"].get<std::string>());
      }
      EXPECT_EQ(said, in_path) << path;
      EXPECT_TRUE(operation["responses"].contains("200") && operation["responses"].contains("default"));
      EXPECT_THAT((std::set<std::string>{"none", "read", "write", "capture", "local"}),
                  ::testing::Contains(operation["x-scope"].get<std::string>()));
    }
  }
}

}  // namespace
}  // namespace qanat::control
