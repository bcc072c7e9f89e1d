// IPsec tunnels in Cloudflare's shapes (wan.md 4.2 to 4.5).
#include "api/world.hpp"

namespace qanat::api_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class Tunnels : public World {
 protected:
  std::string create(const json& body) { return result("POST", kTunnels, body)["id"]; }
  std::string path(const std::string& id) { return std::string{kTunnels} + "/" + id; }
};

TEST_F(Tunnels, WhatIsMadeIsAnsweredFlatAndAsAnArray) {
  const json made = result("POST", kTunnels, tunnel_body("IPsec_1"));
  EXPECT_THAT(made["id"].get<std::string>(), ::testing::MatchesRegex("[0-9a-f]{32}"));
  EXPECT_EQ(made["name"], "IPsec_1");
  EXPECT_EQ(made["interface_address"], "10.200.0.0/31");
  EXPECT_EQ(made["replay_protection"], false);
  EXPECT_EQ(made["automatic_return_routing"], false);
  EXPECT_EQ(made["allow_null_cipher"], false);
  EXPECT_EQ(made["created_on"], "2027-01-15T08:00:00Z");
  EXPECT_EQ(made["modified_on"], made["created_on"]);
  EXPECT_EQ(made["health_check"], (json{{"enabled", true},
                                        {"direction", "unidirectional"},
                                        {"rate", "mid"},
                                        {"type", "reply"},
                                        {"target", "198.51.0.1"}}));
  EXPECT_EQ(made["psk_metadata"]["last_generated_on"], made["created_on"]);
  EXPECT_FALSE(made.contains("psk"));
  ASSERT_EQ(made["ipsec_tunnels"].size(), 1U);
  EXPECT_EQ(made["ipsec_tunnels"][0]["id"], made["id"]);
}

TEST_F(Tunnels, WhatIsMadeIsWantedByTheGateway) {
  json body = tunnel_body("berlin");
  body["interface_address6"] = "fd00:255::/127";
  body["health_check"] = {{"direction", "bidirectional"}, {"type", "request"}, {"rate", "low"}};
  body["custom_remote_identities"] = {{"fqdn_id", "berlin.example.com"}};
  body["pq"] = {{"policy", "require"}, {"downgrade_protection", "require"}, {"kems", {"mlkem1024", "mlkem768"}}};
  create(body);
  const model::Config config = wanted();
  ASSERT_EQ(config.tunnels.size(), 2U);
  const model::Tunnel& t = config.tunnels[1];
  EXPECT_EQ(t.name, "berlin");
  EXPECT_EQ(t.peer->to_string(), "198.51.0.1");
  EXPECT_FALSE(t.local);  // the gateway's own
  EXPECT_EQ(t.remote_id->to_string(), "fqdn:berlin.example.com");
  EXPECT_EQ(t.interface4->to_string(), "10.200.0.0");
  EXPECT_EQ(t.peer_interface4->to_string(), "10.200.0.1");
  EXPECT_EQ(t.interface6->to_string(), "fd00:255::");
  EXPECT_EQ(t.peer_interface6->to_string(), "fd00:255::1");
  EXPECT_EQ(t.health.rate, model::ProbeRate::Low);
  EXPECT_EQ(t.health.direction, model::ProbeDirection::Bidirectional);
  EXPECT_EQ(t.pq, model::PqPolicy::Require);
  EXPECT_EQ(t.downgrade, model::DowngradePolicy::Require);
  ASSERT_EQ(t.ike_proposals.size(), 1U);
  EXPECT_THAT(t.ike_proposals[0], HasSubstr("ke1_mlkem1024-ke1_mlkem768"));
  EXPECT_EQ(std::string(t.psk.expose().begin(), t.psk.expose().end()), "a pre-shared key of a client");
  EXPECT_EQ(t.start, model::StartMode::Initiate);
  EXPECT_EQ(*in(config, "paris"), file_->config->tunnels[0]);
  EXPECT_FALSE(api_->poll_wanted());  // told once
}

TEST_F(Tunnels, WithoutAKeyNobodyGetsIn) {
  json body = tunnel_body("berlin");
  body.erase("psk");
  const json made = result("POST", kTunnels, body);
  EXPECT_FALSE(made.contains("psk_metadata"));
  const model::Tunnel t = *in(wanted(), "berlin");
  EXPECT_EQ(t.psk.expose().size(), 32U);
  EXPECT_EQ(t.start, model::StartMode::Respond);
  // The same after a restart: nothing about it is new.
  restart();
  const auto again = api_->wanted_with(*file_);
  ASSERT_TRUE(again);
  EXPECT_EQ(*in(*again, "berlin"), t);
}

TEST_F(Tunnels, GetAndListHaveTheirWrappers) {
  const std::string id = create(tunnel_body("berlin"));
  const json one = result("GET", path(id));
  EXPECT_EQ(one.size(), 1U);
  EXPECT_EQ(one["ipsec_tunnel"]["id"], id);
  const json list = result("GET", kTunnels);
  ASSERT_EQ(list["ipsec_tunnels"].size(), 2U);
  EXPECT_EQ(list["ipsec_tunnels"][0]["name"], "paris");
  EXPECT_EQ(list["ipsec_tunnels"][1], one["ipsec_tunnel"]);
  // Without "magic" in the path, too (wan.md 4.2).
  EXPECT_EQ(result("GET", "/client/v4/accounts/default/ipsec_tunnels/" + id), one);
}

TEST_F(Tunnels, APartOfABodyChangesAPart) {
  json body = tunnel_body("berlin");
  body["description"] = "Berlin";
  body["health_check"] = {{"type", "request"}, {"rate", "high"}};
  const std::string id = create(body);
  (void)wanted();
  now_.seconds += 60;
  const json changed = result("PUT", path(id), {{"health_check", {{"rate", "low"}}}});
  EXPECT_EQ(changed["modified"], true);
  const json& tunnel = changed["modified_ipsec_tunnel"];
  EXPECT_EQ(tunnel["health_check"]["rate"], "low");
  EXPECT_EQ(tunnel["health_check"]["type"], "request");
  EXPECT_EQ(tunnel["description"], "Berlin");
  EXPECT_EQ(tunnel["created_on"], "2027-01-15T08:00:00Z");
  EXPECT_EQ(tunnel["modified_on"], "2027-01-15T08:01:00Z");
  EXPECT_EQ(result("GET", path(id))["ipsec_tunnel"], tunnel);
  const model::Config config = wanted();
  EXPECT_EQ(in(config, "berlin")->health.rate, model::ProbeRate::Low);
  EXPECT_EQ(in(config, "berlin")->health.type, model::ProbeType::Request);
  // null takes away.
  EXPECT_FALSE(result("PUT", path(id), {{"description", nullptr}})["modified_ipsec_tunnel"].contains("description"));
  // What a client has got it may send back.
  EXPECT_EQ(result("PUT", path(id), tunnel)["modified_ipsec_tunnel"]["description"], "Berlin");
}

TEST_F(Tunnels, ManyAreMadeAndChangedInOneRequestOrNone) {
  json many = {{"ipsec_tunnels", json::array()}};
  for (int i = 0; i < 300; ++i) many["ipsec_tunnels"].push_back(tunnel_body("t" + std::to_string(i), i));
  const json made = result("POST", kTunnels, many);
  ASSERT_EQ(made["ipsec_tunnels"].size(), 300U);
  EXPECT_EQ(wanted().tunnels.size(), 301U);

  json changes = {{"ipsec_tunnels", json::array()}};
  for (const json& one : made["ipsec_tunnels"])
    changes["ipsec_tunnels"].push_back({{"id", one["id"]}, {"description", "changed"}});
  const json changed = result("PUT", kTunnels, changes);
  EXPECT_EQ(changed["modified"], true);
  EXPECT_EQ(changed["modified_ipsec_tunnels"].size(), 300U);
  EXPECT_EQ(changed["modified_ipsec_tunnels"][299]["description"], "changed");
  (void)wanted();

  changes["ipsec_tunnels"][200]["interface_address"] = "10.200.0.0/24";
  changes["ipsec_tunnels"][201].erase("id");
  const std::string messages = refused(400, "PUT", kTunnels, changes);
  EXPECT_THAT(messages, HasSubstr("interface_address = \"10.200.0.0/24\": must be"));
  EXPECT_THAT(messages, HasSubstr("ipsec_tunnels[201].id is missing"));
  EXPECT_EQ(result("GET", kTunnels)["ipsec_tunnels"].size(), 301U);
  many["ipsec_tunnels"][0] = tunnel_body("t7", 7);
  EXPECT_THAT(refused(409, "POST", kTunnels, many), HasSubstr("has this name already"));
}

TEST_F(Tunnels, AKeyIsGeneratedAndNeverShownAgain) {
  const std::string id = create(tunnel_body("berlin"));
  (void)wanted();
  now_.seconds += 3600;
  const json made = result("POST", path(id) + "/psk_generate", json::object());
  EXPECT_EQ(made["ipsec_tunnel_id"], id);
  EXPECT_EQ(made["psk_metadata"]["last_generated_on"], "2027-01-15T09:00:00Z");
  const std::string key = made["psk"];
  EXPECT_THAT(key, ::testing::StartsWith("qpsk1-"));
  const model::Config config = wanted();
  EXPECT_EQ(std::string(in(config, "berlin")->psk.expose().begin(), in(config, "berlin")->psk.expose().end()), key);
  EXPECT_TRUE(in(config, "berlin")->psk.is_generated());
  EXPECT_EQ(result("GET", path(id))["ipsec_tunnel"]["psk_metadata"]["last_generated_on"], "2027-01-15T09:00:00Z");
  for (const auto& answer : {ask("GET", path(id)), ask("GET", kTunnels), ask("GET", "/v1/audit")})
    EXPECT_THAT(answer.body, Not(HasSubstr(key)));
  // An update without a key keeps it.
  result("PUT", path(id), {{"description", "x"}});
  EXPECT_TRUE(in(wanted(), "berlin")->psk.is_generated());
}

TEST_F(Tunnels, DeletingOneTakesItAway) {
  const std::string id = create(tunnel_body("berlin"));
  (void)wanted();
  const json gone = result("DELETE", path(id));
  EXPECT_EQ(gone["deleted"], true);
  EXPECT_EQ(gone["deleted_ipsec_tunnel"]["name"], "berlin");
  EXPECT_EQ(wanted().tunnels.size(), 1U);
  EXPECT_THAT(refused(404, "GET", path(id)), HasSubstr("no IPsec tunnel " + id));
  EXPECT_THAT(refused(404, "DELETE", path(id)), HasSubstr(id));
  EXPECT_TRUE(store_.list("tunnel/")->entries.empty());
  EXPECT_TRUE(store_.list("psk/")->entries.empty());
}

TEST_F(Tunnels, AreThereAgainAfterARestart) {
  json body = tunnel_body("berlin");
  body["bgp"] = {{"customer_asn", 65001}, {"extra_prefixes", json::array()}, {"md5_key", "md5"}};
  const std::string id = create(body);
  const model::Config before = wanted();
  const std::string text = ask("GET", kTunnels).body;
  restart();
  EXPECT_EQ(ask("GET", kTunnels).body, text);
  const auto after = api_->wanted_with(*file_);
  ASSERT_TRUE(after);
  EXPECT_EQ(*after, before);
}

TEST_F(Tunnels, OfTheFileAreShownAndLeftAlone) {
  const json paris = result("GET", kTunnels)["ipsec_tunnels"][0];
  EXPECT_EQ(paris["id"], control::file_object_id("default", "tunnel", "paris"));
  EXPECT_EQ(paris["customer_endpoint"], "198.51.100.99");
  EXPECT_EQ(paris["interface_address"], "10.255.9.0/31");
  EXPECT_EQ(paris["managed_by"], (json{{"file", "/etc/qanat/qanat.toml"}, {"line", 4}}));
  const std::string at = path(paris["id"]);
  EXPECT_EQ(result("GET", at)["ipsec_tunnel"], paris);
  for (const std::string& message :
       {refused(409, "PUT", at, json{{"description", "x"}}), refused(409, "DELETE", at),
        refused(409, "POST", at + "/psk_generate", json::object()),
        refused(409, "PUT", kTunnels, json{{"ipsec_tunnels", {{{"id", paris["id"]}, {"description", "x"}}}}})})
    EXPECT_THAT(message, HasSubstr("tunnel paris belongs to the configuration file: change it in "
                                   "/etc/qanat/qanat.toml line 4 and reload"));
}

TEST_F(Tunnels, ConflictsNameBothSides) {
  create(tunnel_body("berlin", 0));
  (void)wanted();
  EXPECT_THAT(refused(409, "POST", kTunnels, tunnel_body("paris", 1)), HasSubstr("paris"));
  json same_place = tunnel_body("oslo", 1);
  same_place["interface_address"] = "10.255.9.0/31";
  EXPECT_THAT(refused(409, "POST", kTunnels, same_place), HasSubstr("[[tunnel]] paris at line 4"));
  json same_peer = tunnel_body("oslo", 1);
  same_peer["customer_endpoint"] = "198.51.0.1";
  EXPECT_THAT(refused(409, "POST", kTunnels, same_peer), HasSubstr("berlin at the API"));
}

TEST_F(Tunnels, ValidateOnlyChangesNothing) {
  const std::uint64_t before = store_.list("")->revision;
  EXPECT_EQ(result("POST", std::string{kTunnels} + "?validate_only=true", tunnel_body("berlin"))["name"], "berlin");
  EXPECT_EQ(store_.list("")->revision, before);
  EXPECT_FALSE(api_->poll_wanted());
  EXPECT_THAT(refused(409, "POST", std::string{kTunnels} + "?validate_only=true", tunnel_body("paris")),
              HasSubstr("paris"));
  EXPECT_THAT(refused(400, "POST", std::string{kTunnels} + "?validate_only=yes", tunnel_body("berlin")),
              HasSubstr("validate_only = 'yes': must be true or false"));
  const std::string id = create(tunnel_body("berlin"));
  EXPECT_EQ(result("DELETE", path(id) + "?validate_only=true")["deleted"], true);
  EXPECT_EQ(result("GET", path(id))["ipsec_tunnel"]["name"], "berlin");
}

TEST_F(Tunnels, SayHowTheirKeysAre) {
  create(tunnel_body("berlin"));
  auto snapshot = std::make_shared<control::Snapshot>();
  control::TunnelStatus status;
  status.name = "berlin";
  status.ike.emplace();
  status.ike->key_exchanges = {"ecp384", "mlkem768"};
  status.ike->downgrade_excluded = true;
  status.ike->verdict = {"hybrid", "mlkem768 in IKE_INTERMEDIATE", ""};
  control::ChildStatus child;
  child.verdict = status.ike->verdict;
  status.children.push_back(child);
  status.posture.classical_bytes = 77;
  status.posture.first_hybrid_at = "2026-07-20T12:00:00Z";
  snapshot->tunnels.push_back(status);
  snapshot_ = snapshot;
  const json list = result("GET", kTunnels)["ipsec_tunnels"];
  EXPECT_EQ(list[1]["pq_status"], (json{{"state", "hybrid"},
                                        {"ke", {"ecp384", "mlkem768"}},
                                        {"full_transcript", true},
                                        {"first_hybrid_at", "2026-07-20T12:00:00Z"},
                                        {"last_classical_at", nullptr},
                                        {"reason", "mlkem768 in IKE_INTERMEDIATE"},
                                        {"harvestable_bytes", 77}}));
  EXPECT_EQ(list[0]["pq_status"]["state"], "none");
  EXPECT_EQ(list[1]["pq"], (json{{"policy", "prefer"}, {"downgrade_protection", "auto"}, {"auth", "psk"}}));
}

TEST_F(Tunnels, APeerThatCallsInIsKnownByAName) {
  json body = tunnel_body("berlin");
  body["customer_endpoint"] = "";
  const json made = result("POST", kTunnels, body);
  EXPECT_EQ(made["customer_endpoint"], "");
  const std::string name = made["remote_identities"]["fqdn_id"];
  EXPECT_THAT(name, HasSubstr(made["id"].get<std::string>()));
  const model::Config config = wanted();
  EXPECT_FALSE(in(config, "berlin")->peer);
  EXPECT_EQ(in(config, "berlin")->remote_id->to_string(), "fqdn:" + name);
  EXPECT_EQ(in(config, "berlin")->start, model::StartMode::Respond);
  // Two of them are told apart.
  json second = tunnel_body("oslo", 1);
  second.erase("customer_endpoint");
  EXPECT_EQ(result("POST", kTunnels, second)["name"], "oslo");
}

TEST_F(Tunnels, WhatHasNoEffectIsSaid) {
  json body = tunnel_body("berlin");
  body["bgp"] = {{"customer_asn", 65001}};
  body["psk"] = "short";
  const json messages = envelope("POST", kTunnels, body)["messages"];
  EXPECT_THAT(messages.dump(), HasSubstr("no BGP session is made"));
  EXPECT_THAT(messages.dump(), HasSubstr("only 5 octets"));
  EXPECT_THAT(messages.dump(), HasSubstr("is not measured"));
}

// Terraform shows a difference for ever when one octet is not as it was sent (wan.md 4.4).
TEST_F(Tunnels, BgpIsEchoedExactly) {
  for (const json& bgp :
       {json{{"customer_asn", 0}, {"extra_prefixes", json::array()}, {"md5_key", "k"}},
        json{{"customer_asn", 4294967295U}, {"extra_prefixes", {"10.0.0.0/24"}}}, json{{"customer_asn", 1}}}) {
    json body = tunnel_body("berlin");
    body["bgp"] = bgp;
    const json made = result("POST", kTunnels, body);
    EXPECT_EQ(made["bgp"], bgp);
    EXPECT_EQ(result("GET", path(made["id"]))["ipsec_tunnel"]["bgp"], bgp);
    EXPECT_EQ(result("PUT", path(made["id"]), {{"bgp", {{"customer_asn", 9}}}})["modified_ipsec_tunnel"]["bgp"],
              (json{{"customer_asn", 9}}));
    result("DELETE", path(made["id"]));
  }
}

TEST_F(Tunnels, AreSafeFromAReloadThatTheyDoNotFit) {
  create(tunnel_body("berlin"));
  EXPECT_TRUE(api_->wanted_with(*file_));
  const std::string text{kFile};
  const auto twin = api_->wanted_with(*file_of(text + "[[tunnel]]\nname = \"berlin\"\npeer = \"192.0.2.9\"\n"
                                                      "psk = \"a key of the file that nobody sees\"\n"));
  ASSERT_FALSE(twin);
  EXPECT_THAT(twin.error()[0].message, HasSubstr("has this name already"));
  // The API goes on with the file that is in force.
  EXPECT_EQ(result("GET", kTunnels)["ipsec_tunnels"].size(), 2U);
}

}  // namespace
}  // namespace qanat::api_test
