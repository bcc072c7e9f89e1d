#include "control/endpoints.hpp"

#include <fstream>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/object_api.hpp"
#include "control/target.hpp"

namespace qanat::control {
namespace {

FoundEndpoint found(std::string_view method, std::string_view target) {
  const auto parsed = parse_target(target);
  EXPECT_TRUE(parsed) << target;
  return find_endpoint(method, parsed->path);
}

TEST(Endpoints, EveryRowIsFoundByItsOwnPathAndIsThereOnce) {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const Endpoint& row : endpoints()) {
    EXPECT_TRUE(seen.emplace(row.method, row.path).second) << row.method << " " << row.path;
    EXPECT_EQ(found(row.method, row.path).endpoint, &row) << row.method << " " << row.path;
    EXPECT_EQ(is_object_target(row.path), row.is_object()) << row.path;
    EXPECT_FALSE(row.does.empty()) << row.path;
  }
}

TEST(Endpoints, WhatIsNoPathIsNotFound) {
  for (const char* target : {"/v2", "/v1/status/a/b", "/v1/tunnels/a", "/v1/tunnels//up", "/client/v4",
                             "/client/v4/accounts/a/magic", "/client/v4/accounts/a/magic/routes/x/y"})
    EXPECT_TRUE(found("GET", target).allowed.empty()) << target;
  EXPECT_EQ(found("DELETE", "/v1/status").allowed, "GET");
  EXPECT_EQ(found("DELETE", "/v1/status").endpoint, nullptr);
  EXPECT_EQ(found("DELETE", "/v1/policy").allowed, "GET, POST");
}

TEST(Endpoints, CloudflaresOlderFormsAreUnderstood) {
  EXPECT_EQ(found("PATCH", "/client/v4/accounts/a/ipsec_tunnels/b").endpoint->action, Action::UpdateTunnel);
  EXPECT_EQ(found("GET", "/client/v4/accounts/a/routes").endpoint->action, Action::ListRoutes);
  EXPECT_EQ(found("PATCH", "/v1/policy/x").endpoint, nullptr);
}

TEST(Endpoints, WhatGivesSecretsAwayOrOpensTheHostIsLocal) {
  for (const Endpoint& row : endpoints()) {
    const bool local =
        row.action == Action::Purge || row.action == Action::ExportSecrets || row.action == Action::Import;
    EXPECT_EQ(row.scope == Scope::Local, local) << row.method << " " << row.path;
    if (row.scope != Scope::None && row.scope != Scope::Local && row.scope != Scope::Capture &&
        row.action != Action::ListTokens) {  // who only reads must not learn whose tokens there are to steal
      EXPECT_EQ(row.scope, row.method == "GET" ? Scope::Read : Scope::Write) << row.method << " " << row.path;
    }
  }
}

// docs/api.md lists every path.
TEST(Endpoints, TheManualNamesThemAll) {
  std::ostringstream text;
  text << std::ifstream{std::string{QANAT_SOURCE_DIR} + "/docs/api.md"}.rdbuf();
  for (const Endpoint& row : endpoints()) {
    const char* view = row.view == View::Refused ? "no" : row.view == View::Account ? "its own" : "yes";
    EXPECT_THAT(text.str(), ::testing::HasSubstr("| `" + std::string{row.method} + " " + std::string{row.path} +
                                                 "` | " + std::string{to_string(row.scope)} + " | " + view + " | "))
        << row.does;
  }
}

}  // namespace
}  // namespace qanat::control
