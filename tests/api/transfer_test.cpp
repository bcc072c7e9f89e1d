// /v1/export and /v1/import: everything as a file, and back into another gateway.
#include "api/world.hpp"

namespace qanat::api_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Transfers : public World {
 protected:
  Transfers() { who_.root = true; }
  static std::string key() { return model::generated_psk_text(Bytes(32, 7)); }
  void fill() {
    json berlin = tunnel_body("berlin");
    berlin["health_check"] = {{"type", "request"}, {"direction", "bidirectional"}, {"rate", "high"}};
    berlin["pq"] = {{"policy", "require"}, {"downgrade_protection", "require"}};
    result("POST", kTunnels, berlin);
    json oslo = tunnel_body("oslo", 1);
    oslo["customer_endpoint"] = "";
    oslo["custom_remote_identities"] = {{"fqdn_id", "oslo.example.com"}};
    result("POST", kTunnels, oslo);
    result("POST", kRoutes, {{"prefix", "10.1.0.0/16"}, {"nexthop", "10.200.0.1"}, {"priority", 7}, {"pq", "require"}});
    result("POST", kRoutes, {{"prefix", "10.2.0.0/16"}, {"nexthop", "10.200.0.3"}, {"priority", 100}});
    own("POST", "/v1/policy", {{"name", "no-smtp"}, {"protocol", 6}, {"to_ports", "25"}, {"action", "drop"}}, 201);
    before_ = wanted();
  }
  model::Config before_;
};

TEST_F(Transfers, TheFileHasEverythingButSecrets) {
  fill();
  const std::string text = ask("GET", "/v1/export").body;
  EXPECT_THAT(text, HasSubstr("name = \"berlin\"\npeer = \"198.51.0.1\"\npsk_file = \"berlin.psk\"\npq = \"require\""));
  EXPECT_THAT(text, HasSubstr("name = \"paris\""));
  EXPECT_THAT(text, HasSubstr("name = \"no-smtp\""));
  EXPECT_THAT(text, Not(HasSubstr("a pre-shared key of a client")));
  EXPECT_THAT(text, Not(HasSubstr("a key of the file")));
  // It is a file that a gateway reads, given its keys.
  const auto loaded = config::load(text, "x", [](const std::string&) -> Result<SecretBytes> {
    return SecretBytes::copy_of(to_bytes("any key that is long enough\n"));
  });
  ASSERT_TRUE(loaded) << config::render_problems(loaded.error());
  EXPECT_EQ(loaded->config.tunnels.size(), 3U);
  EXPECT_EQ(loaded->config.routes.size(), 3U);
}

TEST_F(Transfers, ABundleMakesAnotherGatewayTheSame) {
  fill();
  const control::Reply reply = ask("POST", "/v1/export", json{{"key", key()}}.dump());
  ASSERT_EQ(reply.status, 200);
  EXPECT_THAT(reply.body, Not(HasSubstr("a pre-shared key")));
  EXPECT_THAT(ask("GET", "/v1/audit").body, HasSubstr("export with secrets"));
  auto transfer = control::open_bundle(to_bytes(reply.body), to_bytes(key()));
  ASSERT_TRUE(transfer);
  const SecretBytes text = control::transfer_json(*transfer);
  const std::string body{text.expose().begin(), text.expose().end()};

  store::MemoryObjectStore store;
  control::ObjectApi other{store, gateway::object_rooms()};
  ASSERT_TRUE(other.load());
  const control::Situation situation{now_, &rng_, nullptr, file_};
  const auto done = other.handle({"POST", "/v1/import", body, {}, {}}, situation);
  EXPECT_EQ(done->status, 200) << done->body;
  const auto after = other.poll_wanted();
  ASSERT_TRUE(after);
  EXPECT_EQ(after->tunnels, before_.tunnels);
  EXPECT_EQ(after->policy, before_.policy);
  EXPECT_THAT(after->routes, ::testing::UnorderedElementsAreArray(before_.routes));
  // Once more changes nothing of what is wanted.
  EXPECT_EQ(other.handle({"POST", "/v1/import", body, {}, {}}, situation)->status, 200);
  EXPECT_EQ(other.poll_wanted()->tunnels, before_.tunnels);
}

TEST_F(Transfers, WhatTheApiCannotSayIsNamedAndNothingIsTaken) {
  const auto import = [](const std::string& more) {
    return json{{"config",
                 "[gateway]\naddress = [\"203.0.113.1\", \"2001:db8::1\"]\n[[tunnel]]\nname = \"oslo\"\n"
                 "peer = \"198.51.100.1\"\npsk_file = \"a.psk\"\ninterface = \"10.5.0.0/31\"\n" +
                     more},
                {"files", {{{"name", "a.psk"}, {"octets", to_hex(to_bytes("a key that is long enough"))}}}}};
  };
  EXPECT_THAT(refused(409, "POST", "/v1/import", import("child_lifetime = 600\nlocal_id = \"fqdn:a.b\"\n")),
              HasSubstr("tunnel oslo: child_lifetime, local_id cannot be said by the API"));
  EXPECT_THAT(refused(400, "POST", "/v1/import", import("mtu = 1\n")), HasSubstr("line 8: [[tunnel]] oslo: mtu = 1"));
  EXPECT_THAT(refused(400, "POST", "/v1/import", import("ppk_file = \"b.psk\"\nppk_id = \"x\"\n")),
              HasSubstr("is not among the files that came along"));
  EXPECT_THAT(refused(409, "POST", "/v1/import", import("[[nat]]\n")), HasSubstr("[[nat]] has no counterpart"));
  EXPECT_THAT(refused(400, "POST", "/v1/import", json::array()), HasSubstr("must be a JSON object"));
  EXPECT_EQ(own("POST", "/v1/import", import("routes = [\"10.6.0.0/16\"]\n"))["imported"], 2);
  EXPECT_EQ(wanted().tunnels.size(), 2U);
}

TEST_F(Transfers, SecretsLeaveAndComeByTheUnixSocketOnly) {
  fill();
  who_.local = false;
  EXPECT_THAT(refused(403, "POST", "/v1/export", json{{"key", key()}}), HasSubstr("Unix socket only"));
  EXPECT_THAT(refused(403, "POST", "/v1/import", json{{"config", ""}}), HasSubstr("Unix socket only"));
  who_.account = "default";
  refused(403, "GET", "/v1/export");
  who_ = {};
  EXPECT_THAT(refused(403, "POST", "/v1/export", json{{"key", key()}}), HasSubstr("for root"));
  who_.root = true;
  EXPECT_THAT(refused(400, "POST", "/v1/export", json{{"key", "password"}}), HasSubstr("qanat genpsk"));
  EXPECT_THAT(refused(400, "POST", "/v1/export", json::object()), HasSubstr("key is missing"));
}

}  // namespace
}  // namespace qanat::api_test
