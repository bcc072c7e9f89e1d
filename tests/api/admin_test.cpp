// Tokens, what they may do, accounts, the audit log, and what is not offered.
#include "api/world.hpp"
#include "control/tokens.hpp"

namespace qanat::api_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Admin : public World {
 protected:
  json make_token(const json& body) { return own("POST", "/v1/tokens", body, 201); }
  void become(const std::string& bearer) {
    const auto who = control::find_token(store_, bearer, now_);
    ASSERT_TRUE(who) << bearer;
    who_ = *who;
  }
};

TEST_F(Admin, ATokenIsShownOnceAndKeptAsAHash) {
  const json made = make_token({{"name", "terraform"}, {"scopes", {"read", "write"}}});
  const std::string secret = made["secret"];
  EXPECT_THAT(secret, ::testing::MatchesRegex("qanat_[0-9a-f]{16}_[A-Za-z0-9_-]{43}"));
  EXPECT_EQ(made["token"]["scopes"], (json{"read", "write"}));
  const store::Listing everything = *store_.list("");
  for (const store::Entry& entry : everything.entries)
    EXPECT_THAT(entry.value, Not(HasSubstr(secret.substr(23)))) << entry.key;
  EXPECT_THAT(ask("GET", "/v1/tokens").body, Not(HasSubstr(secret.substr(23))));

  const auto who = control::find_token(store_, secret, now_);
  ASSERT_TRUE(who);
  EXPECT_EQ(who->name, "token terraform");
  EXPECT_TRUE(who->read && who->write && !who->capture && !who->local && !who->account);
  const std::string id = made["token"]["id"];
  EXPECT_EQ(own("GET", "/v1/tokens")["tokens"].size(), 1U);
  EXPECT_EQ(own("DELETE", "/v1/tokens/" + id)["deleted"]["name"], "terraform");
  EXPECT_FALSE(control::find_token(store_, secret, now_));
  EXPECT_THAT(refused(404, "DELETE", "/v1/tokens/" + id), HasSubstr(id));
}

TEST_F(Admin, NobodyIsFoundByAWrongToken) {
  const std::string secret = make_token({{"name", "a"}, {"scopes", {"read"}}, {"days", 1}})["secret"];
  EXPECT_TRUE(control::find_token(store_, secret, now_));
  for (std::size_t i = 0; i < secret.size(); ++i) {
    std::string bad = secret;
    bad[i] = bad[i] == 'x' ? 'y' : 'x';
    EXPECT_FALSE(control::find_token(store_, bad, now_)) << i;
  }
  EXPECT_FALSE(control::find_token(store_, "", now_));
  EXPECT_FALSE(control::find_token(store_, secret + "x", now_));
  EXPECT_FALSE(control::find_token(store_, secret.substr(1), now_));
  EXPECT_TRUE(control::find_token(store_, secret, WallTime{now_.seconds + 86'399}));
  EXPECT_FALSE(control::find_token(store_, secret, WallTime{now_.seconds + 86'400}));
}

TEST_F(Admin, ABearerIsReadFromItsHeader) {
  EXPECT_EQ(control::bearer_of("Bearer abc"), "abc");
  EXPECT_EQ(control::bearer_of("bearer  abc"), "abc");
  for (const char* odd : {"", "Bearer", "Bearer ", "Basic abc", "Bearerabc"}) EXPECT_FALSE(control::bearer_of(odd));
}

TEST_F(Admin, AReaderChangesNothing) {
  const std::string secret = make_token({{"name", "reader"}, {"scopes", {"read"}}})["secret"];
  const std::string id = result("POST", kTunnels, tunnel_body("berlin"))["id"];
  (void)wanted();
  become(secret);
  EXPECT_EQ(result("GET", kTunnels)["ipsec_tunnels"].size(), 2U);
  const std::string at = std::string{kTunnels} + "/" + id;
  for (const std::string& message :
       {refused(403, "POST", kTunnels, tunnel_body("oslo", 1)), refused(403, "DELETE", at),
        refused(403, "PUT", at, json{{"description", "x"}}), refused(403, "POST", at + "/psk_generate", json::object()),
        refused(403, "DELETE", kRoutes)})
    EXPECT_THAT(message, HasSubstr("token reader may not change anything: it takes a token with the scope write"));
  refused(403, "POST", "/v1/tokens", json{{"name", "x"}, {"scopes", {"read", "write"}}});
  refused(403, "GET", "/v1/tokens");
  EXPECT_EQ(own("GET", "/v1/whoami"), (json{{"name", "token reader"},
                                            {"account", nullptr},
                                            {"read", true},
                                            {"write", false},
                                            {"capture", false},
                                            {"local", false}}));
}

TEST_F(Admin, NobodyGivesMoreThanTheyHave) {
  become(make_token({{"name", "writer"}, {"scopes", {"read", "write"}}})["secret"]);
  EXPECT_THAT(refused(400, "POST", "/v1/tokens", json{{"name", "x"}, {"scopes", {"capture"}}}),
              HasSubstr("nobody can give more than they have"));
  make_token({{"name", "x"}, {"scopes", {"read"}}});
}

class Accounts : public Admin {
 protected:
  void SetUp() override {
    file_ = file_of(std::string{kFile} + "[[vrf]]\nname = \"blue\"\ntun = \"qanat1\"\nroute_table = 5210\n");
    Admin::SetUp();
  }
  static std::string in_account(const std::string& account, const std::string& what) {
    return "/client/v4/accounts/" + account + "/magic/" + what;
  }
};

TEST_F(Accounts, AreVrfsAndNeverMeet) {
  EXPECT_EQ(result("GET", "/client/v4/accounts").size(), 2U);
  const std::string blue = control::account_id("blue");
  const std::string id = result("POST", in_account("blue", "ipsec_tunnels"), tunnel_body("berlin", 1))["id"];
  result("POST", in_account(blue, "routes"), {{"prefix", "10.9.0.0/16"}, {"nexthop", "10.200.0.3"}, {"priority", 1}});
  // The same inner addresses and prefix as in the other account.
  json twin = tunnel_body("oslo", 2);
  twin["interface_address"] = "10.255.9.0/31";
  result("POST", in_account(blue, "ipsec_tunnels"), twin);
  const model::Config config = wanted();
  EXPECT_EQ(in(config, "berlin")->vrf, VrfId{1});
  EXPECT_EQ(config.routes[1].vrf, VrfId{1});
  EXPECT_EQ(result("GET", in_account("blue", "ipsec_tunnels"))["ipsec_tunnels"].size(), 2U);
  EXPECT_EQ(result("GET", in_account("default", "ipsec_tunnels"))["ipsec_tunnels"].size(), 1U);
  EXPECT_THAT(refused(404, "GET", in_account("default", "ipsec_tunnels/" + id)), HasSubstr(id));
  EXPECT_THAT(refused(404, "DELETE", in_account("default", "ipsec_tunnels/" + id)), HasSubstr(id));
  // A next hop of the other account is none.
  EXPECT_THAT(refused(409, "POST", in_account("default", "routes"),
                      json{{"prefix", "10.8.0.0/16"}, {"nexthop", "10.200.0.3"}, {"priority", 1}}),
              HasSubstr("is no peer's interface address"));
  // With accounts of their own, an unknown id is nobody's.
  EXPECT_THAT(refused(404, "GET", kTunnels), HasSubstr("there is no account"));
}

TEST_F(Accounts, ATokenOfOneSeesNoOther) {
  const std::string secret =
      make_token({{"name", "tenant"}, {"scopes", {"read", "write"}}, {"account", "blue"}})["secret"];
  become(secret);
  EXPECT_EQ(result("GET", "/client/v4/accounts").size(), 1U);
  EXPECT_EQ(result("GET", in_account("blue", "ipsec_tunnels"))["ipsec_tunnels"].size(), 0U);
  for (const std::string& target :
       {in_account("default", "ipsec_tunnels"), in_account("nobody", "routes"), in_account("red", "gre_tunnels")})
    EXPECT_THAT(refused(403, "GET", target), HasSubstr("of another account"));
  refused(403, "GET", "/v1/tokens");
  refused(403, "GET", "/v1/audit");
  refused(403, "GET", "/v1/policy?account=default");
  EXPECT_EQ(own("GET", "/v1/policy")["policy"].size(), 0U);
}

TEST_F(Accounts, ARuleSpeaksOfTunnelsOfItsAccountAlone) {
  const json rule{{"name", "r"}, {"from_tunnel", "paris"}, {"action", "drop"}};
  EXPECT_THAT(refused(409, "POST", "/v1/policy?account=blue", rule), HasSubstr("there is no tunnel paris"));
  own("POST", "/v1/policy", rule, 201);
}

TEST_F(Accounts, AVrfThatGoesIsMissed) {
  result("POST", in_account("blue", "ipsec_tunnels"), tunnel_body("berlin", 1));
  const auto without = api_->wanted_with(*file_of(kFile));
  ASSERT_FALSE(without);
  EXPECT_THAT(without.error()[0].message, HasSubstr("of the account blue, and there is no [[vrf]] of that name"));
}

TEST_F(Admin, TheAuditLogSaysWhoDidWhat) {
  json body = tunnel_body("berlin");
  body["bgp"] = {{"customer_asn", 1}, {"md5_key", "hidden-md5"}};
  const std::string id = result("POST", kTunnels, body)["id"];
  become(make_token({{"name", "ops"}, {"scopes", {"read", "write"}}})["secret"]);
  result("PUT", std::string{kTunnels} + "/" + id, {{"description", "new"}, {"psk", "another secret of a client"}});
  result("DELETE", std::string{kTunnels} + "/" + id);
  const control::Reply reply = ask("GET", "/v1/audit");
  for (const char* secret : {"a pre-shared key", "another secret", "hidden-md5"})
    EXPECT_THAT(reply.body, Not(HasSubstr(secret)));
  const json log = json::parse(reply.body)["audit"];
  ASSERT_EQ(log.size(), 5U);
  EXPECT_EQ(log[0]["what"], "create tunnel");
  EXPECT_EQ(log[0]["who"], "local");
  EXPECT_EQ(log[0]["old"], nullptr);
  EXPECT_EQ(log[0]["new"]["name"], "berlin");
  EXPECT_EQ(log[1]["what"], "create token");
  EXPECT_EQ(log[2]["what"], "update tunnel");
  EXPECT_EQ(log[2]["who"], "token ops");
  EXPECT_EQ(log[2]["new"]["description"], "new");
  EXPECT_FALSE(log[2]["old"].contains("description"));
  EXPECT_EQ(log[3]["what"], "change psk of tunnel");
  EXPECT_EQ(log[4]["what"], "delete tunnel");
  EXPECT_EQ(log[4]["time"], "2027-01-15T08:00:00Z");
  EXPECT_EQ(own("GET", "/v1/audit?since=3")["audit"].size(), 2U);
  EXPECT_EQ(own("GET", "/v1/audit?since=3")["last"], 5);
  restart();
  make_token({{"name", "later"}, {"scopes", {"read"}}});
  EXPECT_EQ(own("GET", "/v1/audit?since=5")["audit"][0]["number"], 6);
}

TEST_F(Admin, WhatIsNotOfferedIsNamed) {
  const std::string account = "/client/v4/accounts/default/";
  for (const char* what :
       {"magic/gre_tunnels", "magic/gre_tunnels/1", "magic/sites", "magic/sites/1/lans", "magic/connectors",
        "magic/cf_interconnects", "magic/apps", "magic/cloud/onramps", "magic/bgp/filter_profiles", "zerotrust/subnets",
        "rulesets", "rulesets/phases/magic_transit/entrypoint", "pcaps/ownership",
        "alerting/v3/destinations/pagerduty"}) {
    const std::string name{what};
    EXPECT_THAT(refused(404, "GET", account + name), HasSubstr(": not offered: ")) << name;
    EXPECT_THAT(refused(404, "POST", account + name, json::object()), HasSubstr(": not offered: ")) << name;
  }
  EXPECT_THAT(refused(404, "POST", "/client/v4/graphql", json::object()), HasSubstr("not offered"));
  EXPECT_THAT(refused(404, "GET", account + "magic/ipsec_tunels"), HasSubstr("there is no path"));
  EXPECT_THAT(refused(404, "GET", "/client/v4/zones"), HasSubstr("there is no path"));
  EXPECT_EQ(ask("PATCH", account + "magic/routes/x/y").status, 404);
  EXPECT_EQ(ask("POST", std::string{kTunnels} + "/x").status, 405);
  EXPECT_FALSE(api_->handle({"GET", "/v1/status", "", {}, {}}, {now_, &rng_, nullptr, file_}));
  EXPECT_FALSE(api_->handle({"GET", "/v1/tokensX", "", {}, {}}, {now_, &rng_, nullptr, file_}));
}

// A store that fails after `good` transactions.
class Failing final : public store::ObjectStore {
 public:
  explicit Failing(store::MemoryObjectStore& inner) : inner_(inner) {}
  Result<std::optional<store::Entry>> get(std::string_view key) override { return inner_.get(key); }
  Result<store::Listing> list(std::string_view prefix, const store::Range& range) override {
    return inner_.list(prefix, range);
  }
  Result<store::Outcome> txn(std::span<const store::Compare> c, std::span<const store::Operation> o) override {
    if (full) return fail(ErrorKind::Resource, "objects.db", "the disk is full");
    return inner_.txn(c, o);
  }
  Result<store::Watched> watch(std::string_view prefix, std::uint64_t revision) override {
    return inner_.watch(prefix, revision);
  }
  Result<store::LeaseId> lease(std::chrono::seconds time, Instant now) override { return inner_.lease(time, now); }
  Status renew(store::LeaseId lease, Instant now) override { return inner_.renew(lease, now); }
  Status expire(Instant now) override { return inner_.expire(now); }
  bool full = false;

 private:
  store::MemoryObjectStore& inner_;
};

TEST_F(Admin, WhatCannotBeKeptIsNotAcknowledged) {
  Failing failing{store_};
  api_ = std::make_unique<control::ObjectApi>(failing, gateway::object_rooms());
  ASSERT_TRUE(api_->load());
  result("POST", kTunnels, tunnel_body("berlin"));
  (void)wanted();
  failing.full = true;
  EXPECT_THAT(refused(500, "POST", kTunnels, tunnel_body("oslo", 1)), HasSubstr("the disk is full"));
  failing.full = false;
  EXPECT_EQ(result("GET", kTunnels)["ipsec_tunnels"].size(), 2U);
  result("POST", kTunnels, tunnel_body("oslo", 1));
}

TEST_F(Admin, TwoWritersDoNotOverwriteEachOther) {
  control::ObjectApi other{store_, gateway::object_rooms()};
  ASSERT_TRUE(other.load());
  ASSERT_TRUE(other.handle({"GET", kTunnels, "", {}, {}}, {now_, &rng_, nullptr, file_}));
  result("POST", kTunnels, tunnel_body("berlin"));
  (void)wanted();
  const control::Request late{"POST", kTunnels, tunnel_body("oslo", 1).dump(), {}, {}};
  EXPECT_EQ(other.handle(late, {now_, &rng_, nullptr, file_})->status, 409);
  EXPECT_EQ(other.handle(late, {now_, &rng_, nullptr, file_})->status, 200);  // it has read what is there
  EXPECT_EQ(other.poll_wanted()->tunnels.size(), 3U);
}

}  // namespace
}  // namespace qanat::api_test
