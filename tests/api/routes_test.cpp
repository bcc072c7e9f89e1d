// Routes in Cloudflare's shapes (wan.md 4.2, 4.3), and packet rules in ours.
#include "api/world.hpp"

namespace qanat::api_test {
namespace {

using ::testing::HasSubstr;

class Routes : public World {
 protected:
  void SetUp() override {
    World::SetUp();
    tunnel_ = result("POST", kTunnels, tunnel_body("berlin"))["id"];
    (void)wanted();
  }
  static json body(const std::string& prefix = "10.100.0.0/24", const std::string& hop = "10.200.0.1") {
    return {{"prefix", prefix}, {"nexthop", hop}, {"priority", 100}};
  }
  std::string path(const std::string& id) { return std::string{kRoutes} + "/" + id; }
  std::string tunnel_;
};

TEST_F(Routes, AllVerbs) {
  json wish = body();
  wish["weight"] = 4;
  wish["description"] = "New York";
  const json made = result("POST", kRoutes, wish);
  EXPECT_EQ(made["prefix"], "10.100.0.0/24");
  EXPECT_EQ(made["routes"][0]["id"], made["id"]);
  const std::string id = made["id"];
  const model::Config config = wanted();
  ASSERT_EQ(config.routes.size(), 2U);
  EXPECT_EQ(config.routes[1].tunnel, "berlin");
  EXPECT_EQ(config.routes[1].weight, 4U);
  EXPECT_EQ(in(config, "berlin")->routes.size(), 1U);

  EXPECT_EQ(result("GET", path(id))["route"]["description"], "New York");
  EXPECT_EQ(result("GET", kRoutes)["routes"].size(), 2U);
  EXPECT_EQ(result("PUT", path(id), {{"weight", 200}})["modified_route"]["weight"], 200);
  EXPECT_EQ(wanted().routes[1].weight, 200U);
  const json gone = result("DELETE", path(id));
  EXPECT_EQ(gone["deleted"], true);
  EXPECT_EQ(gone["deleted_route"]["id"], id);
  EXPECT_EQ(wanted().routes.size(), 1U);
  EXPECT_THAT(refused(404, "GET", path(id)), HasSubstr(id));
}

TEST_F(Routes, MayPointAtTunnelsOfTheFile) {
  result("POST", kRoutes, body("10.101.0.0/16", "10.255.9.1"));
  const model::Config config = wanted();
  EXPECT_EQ(config.routes[1].tunnel, "paris");
  EXPECT_EQ(in(config, "paris")->routes.size(), 2U);
  // And a reload that takes the tunnel away is refused, by the route's name.
  const auto without = api_->wanted_with(*file_of("[gateway]\naddress = [\"203.0.113.1\", \"2001:db8::1\"]\n"));
  ASSERT_FALSE(without);
  EXPECT_THAT(without.error()[0].message, HasSubstr("route 10.101.0.0/16 via 10.255.9.1"));
}

TEST_F(Routes, AreNotLeftHanging) {
  const std::string id = result("POST", kRoutes, body())["id"];
  (void)wanted();
  const std::string tunnel = std::string{kTunnels} + "/" + tunnel_;
  EXPECT_THAT(refused(409, "DELETE", tunnel), HasSubstr("still has routes: 10.100.0.0/24: delete them first"));
  EXPECT_THAT(refused(409, "PUT", tunnel, json{{"interface_address", "10.200.7.0/31"}}),
              HasSubstr("nexthop = \"10.200.0.1\": is no peer's interface address"));
  result("DELETE", path(id));
  result("DELETE", tunnel);
}

TEST_F(Routes, SayWhatIsWrongWithANextHop) {
  EXPECT_THAT(refused(409, "POST", kRoutes, body("10.1.0.0/16", "10.200.0.0")),
              HasSubstr("our own side of tunnel berlin: the peer's is the other host"));
  EXPECT_THAT(refused(409, "POST", kRoutes, body("10.1.0.0/16", "192.0.2.1")), HasSubstr("is no peer's interface"));
  result("POST", kRoutes, body());
  (void)wanted();
  EXPECT_THAT(refused(409, "POST", kRoutes, body()), HasSubstr("10.100.0.0/24"));
}

TEST_F(Routes, BulkAndEmpty) {
  json many = {{"routes", json::array()}};
  for (int i = 0; i < 250; ++i) many["routes"].push_back(body("10.150." + std::to_string(i) + ".0/24"));
  const json made = result("POST", kRoutes, many)["routes"];
  ASSERT_EQ(made.size(), 250U);
  EXPECT_EQ(wanted().routes.size(), 251U);
  json changes = {{"routes", json::array()}};
  for (const json& one : made) changes["routes"].push_back({{"id", one["id"]}, {"priority", 7}});
  const json changed = result("PUT", kRoutes, changes);
  EXPECT_EQ(changed["modified"], true);
  EXPECT_EQ(changed["modified_routes"][249]["priority"], 7);
  EXPECT_EQ(result("DELETE", kRoutes, {{"routes", {{{"id", made[0]["id"]}}}}})["deleted_routes"].size(), 1U);
  (void)wanted();
  changes["routes"][0]["priority"] = -1;
  EXPECT_THAT(refused(400, "PUT", kRoutes, json{{"routes", {{{"id", made[1]["id"]}, {"priority", -1}}}}}),
              HasSubstr("priority = -1: must be a whole number from 0"));
  const json all = envelope("DELETE", kRoutes);
  EXPECT_EQ(all["result"]["deleted"], true);
  EXPECT_EQ(all["result"]["deleted_routes"].size(), 249U);
  EXPECT_THAT(all["messages"].dump(), HasSubstr("routes of the configuration file stay"));
  EXPECT_EQ(wanted().routes.size(), 1U);
}

TEST_F(Routes, OfTheFileAreShownAndLeftAlone) {
  const json route = result("GET", kRoutes)["routes"][0];
  EXPECT_EQ(route["id"], control::file_object_id("default", "route", "10.9.0.0/16 via paris"));
  EXPECT_EQ(route["nexthop"], "10.255.9.1");
  EXPECT_EQ(route["managed_by"]["line"], 9);
  EXPECT_THAT(refused(409, "DELETE", path(route["id"])), HasSubstr("/etc/qanat/qanat.toml line 9"));
  EXPECT_THAT(refused(409, "PUT", path(route["id"]), json{{"weight", 3}}), HasSubstr("line 9"));
}

class Policy : public Routes {};

// The first rule that fits decides: a restart must not shuffle those that were made in one second.
TEST_F(Policy, RulesKeepTheirOrder) {
  for (int i = 0; i < 20; ++i) own("POST", "/v1/policy", {{"name", "r" + std::to_string(i)}, {"action", "drop"}}, 201);
  own("PUT", "/v1/policy/r3", {{"action", "allow"}});
  const model::Config before = wanted();
  EXPECT_EQ(before.policy[4].name, "r3");
  restart();
  const auto after = api_->wanted_with(*file_);
  ASSERT_TRUE(after);
  EXPECT_EQ(*after, before);
}

TEST_F(Policy, RulesStandBehindThoseOfTheFile) {
  const json made = own(
      "POST", "/v1/policy",
      {{"name", "no-smtp"}, {"protocol", 6}, {"to_ports", "25"}, {"from_tunnel", "berlin"}, {"action", "drop"}}, 201);
  EXPECT_EQ(made["name"], "no-smtp");
  const model::Config config = wanted();
  ASSERT_EQ(config.policy.size(), 2U);
  EXPECT_EQ(config.policy[1].to_ports->first, 25);
  EXPECT_EQ(own("GET", "/v1/policy")["policy"].size(), 2U);
  EXPECT_EQ(own("PUT", "/v1/policy/no-smtp", {{"to_ports", "25-26"}})["to_ports"], "25-26");
  EXPECT_EQ(wanted().policy[1].to_ports->last, 26);
  EXPECT_THAT(refused(409, "DELETE", std::string{kTunnels} + "/" + tunnel_), HasSubstr("no-smtp"));
  EXPECT_THAT(refused(409, "DELETE", "/v1/policy/no-telnet"), HasSubstr("/etc/qanat/qanat.toml line 12"));
  EXPECT_THAT(refused(409, "POST", "/v1/policy", json{{"name", "no-telnet"}, {"action", "drop"}}),
              HasSubstr("has this name already"));
  EXPECT_THAT(refused(400, "POST", "/v1/policy", json{{"name", "x"}, {"to_ports", "25"}, {"action", "drp"}}),
              HasSubstr("did you mean drop?"));
  EXPECT_EQ(own("DELETE", "/v1/policy/no-smtp")["deleted"]["name"], "no-smtp");
  EXPECT_EQ(wanted().policy.size(), 1U);
}

}  // namespace
}  // namespace qanat::api_test
