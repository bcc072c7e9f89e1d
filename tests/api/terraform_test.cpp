// The requests that the Terraform provider 5.x makes, and what it makes of the answers (wan.md 4.4): the facts of its
// source, played against the API. Its rules: after create and update the state is the answer laid over the plan, an
// attribute that was planned must come back equal; read strips the wrapper; 404 on GET drops the resource.
#include "api/world.hpp"

namespace qanat::api_test {
namespace {

class Terraform : public World {
 protected:
  void SetUp() override {
    World::SetUp();
    headers_ = {{"x-magic-new-hc-target", "true"}, {"user-agent", "Terraform/1.9 terraform-provider-cloudflare/5.22"}};
  }
  // What the provider would call "Provider produced inconsistent result after apply".
  static void expect_consistent(const json& planned, const json& answer, const std::string& where = "") {
    for (const auto& [name, value] : planned.items()) {
      if (name == "psk") continue;  // no_refresh
      ASSERT_TRUE(answer.contains(name)) << where << name;
      if (value.is_object()) {
        expect_consistent(value, answer[name], where + name + ".");
      } else {
        EXPECT_EQ(answer[name], value) << where << name;
      }
    }
  }
  json create_tunnel(const json& plan) {
    const json state = result("POST", kTunnels, plan);  // flat
    expect_consistent(plan, state);
    return state;
  }
  json read_tunnel(const std::string& id) {
    const json answer = result("GET", std::string{kTunnels} + "/" + id);
    EXPECT_TRUE(answer.contains("ipsec_tunnel"));  // its absence is an error of the provider
    return answer["ipsec_tunnel"];
  }
  json update_tunnel(const std::string& id, const json& plan) {
    const json answer = result("PUT", std::string{kTunnels} + "/" + id, plan);
    expect_consistent(plan, answer["modified_ipsec_tunnel"]);
    return answer["modified_ipsec_tunnel"];
  }
};

json acceptance_plan() {
  return {{"name", "tftest"},
          {"customer_endpoint", "198.51.100.7"},
          {"cloudflare_endpoint", "203.0.113.1"},
          {"interface_address", "10.212.0.10/31"},
          {"description", "acceptance"},
          {"psk", "asdf1234asdf1234asdf1234"},
          {"replay_protection", true},
          {"automatic_return_routing", false},
          {"health_check", {{"enabled", true}, {"direction", "unidirectional"}, {"rate", "mid"}, {"type", "request"}}}};
}

TEST_F(Terraform, ALifeOfATunnel) {
  const json made = create_tunnel(acceptance_plan());
  const std::string id = made["id"];
  // The acceptance test's expectation of a unidirectional request check without a target.
  EXPECT_EQ(made["health_check"]["target"]["effective"], made["customer_endpoint"]);
  EXPECT_FALSE(made["health_check"]["target"].contains("saved"));
  EXPECT_FALSE(made.contains("psk"));

  // Read after create and refresh: no difference, twice.
  json flat = made;
  flat.erase("ipsec_tunnels");
  EXPECT_EQ(read_tunnel(id), flat);
  EXPECT_EQ(read_tunnel(id), flat);

  // Update of two attributes; the provider sends the whole plan, without the computed ones.
  json plan = acceptance_plan();
  plan["description"] = "changed";
  plan["health_check"]["rate"] = "low";
  plan["health_check"]["target"] = {{"saved", "198.51.100.8"}};
  now_.seconds += 5;
  const json updated = update_tunnel(id, plan);
  EXPECT_EQ(updated["health_check"]["target"], (json{{"saved", "198.51.100.8"}, {"effective", "198.51.100.8"}}));
  EXPECT_EQ(updated["created_on"], made["created_on"]);
  EXPECT_EQ(read_tunnel(id), updated);

  // Import: GET by "<account_id>/<id>" is the same read.
  EXPECT_EQ(read_tunnel(id)["name"], "tftest");

  // Delete (without the header), and the read that drops it from the state.
  headers_.clear();
  EXPECT_EQ(result("DELETE", std::string{kTunnels} + "/" + id)["deleted"], true);
  EXPECT_EQ(ask("GET", std::string{kTunnels} + "/" + id).status, 404);
}

TEST_F(Terraform, AbsentFlagsAreFalse) {
  json plan = acceptance_plan();
  plan.erase("replay_protection");
  plan.erase("automatic_return_routing");
  const json made = create_tunnel(plan);
  EXPECT_EQ(made["replay_protection"], false);
  EXPECT_EQ(made["automatic_return_routing"], false);
  // null is what the provider sends for an attribute that was taken away.
  json without = acceptance_plan();
  without["description"] = nullptr;
  without["replay_protection"] = nullptr;
  const json answer = result("PUT", std::string{kTunnels} + "/" + made["id"].get<std::string>(), without);
  EXPECT_FALSE(answer["modified_ipsec_tunnel"].contains("description"));
  EXPECT_EQ(answer["modified_ipsec_tunnel"]["replay_protection"], false);
}

TEST_F(Terraform, BgpMakesNoPerpetualDifference) {  // its issue 6733
  json plan = acceptance_plan();
  plan["bgp"] = {{"customer_asn", 65001}, {"extra_prefixes", json::array()}, {"md5_key", "1234"}};
  const json made = create_tunnel(plan);
  EXPECT_EQ(made["bgp"], plan["bgp"]);
  EXPECT_EQ(read_tunnel(made["id"])["bgp"], plan["bgp"]);
}

TEST_F(Terraform, ALifeOfARoute) {
  create_tunnel(acceptance_plan());
  headers_.clear();
  json plan = {{"prefix", "10.100.0.0/24"},
               {"nexthop", "10.212.0.11"},
               {"priority", 100},
               {"description", "tf"},
               {"weight", 100}};
  const json made = result("POST", kRoutes, plan);
  expect_consistent(plan, made);
  const std::string at = std::string{kRoutes} + "/" + made["id"].get<std::string>();
  json flat = made;
  flat.erase("routes");
  EXPECT_EQ(result("GET", at)["route"], flat);
  plan["weight"] = 200;
  expect_consistent(plan, result("PUT", at, plan)["modified_route"]);
  EXPECT_EQ(result("GET", at)["route"]["weight"], 200);
  EXPECT_EQ(result("DELETE", at)["deleted"], true);
  EXPECT_EQ(ask("GET", at).status, 404);
}

// The v4 provider and old Go clients: no header, a plain target, the array of a POST, `allow_null_cipher`.
TEST_F(Terraform, YesterdaysProvider) {
  headers_.clear();
  json plan = acceptance_plan();
  plan["allow_null_cipher"] = false;
  plan["health_check"]["target"] = "198.51.100.9";
  const json made = result("POST", kTunnels, json{{"ipsec_tunnels", {plan}}})["ipsec_tunnels"][0];
  EXPECT_EQ(made["health_check"]["target"], "198.51.100.9");
  EXPECT_EQ(made["allow_null_cipher"], false);
  EXPECT_EQ(result("GET", kTunnels)["ipsec_tunnels"].size(), 2U);
}

}  // namespace
}  // namespace qanat::api_test
