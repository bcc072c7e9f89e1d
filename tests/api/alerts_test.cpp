// /client/v4/accounts/{account}/alerting/v3: what is made, shown, refused; no secret ever comes back.
#include "api/world.hpp"
#include "control/alert_objects.hpp"

namespace qanat::api_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kAlerting = "/client/v4/accounts/0123456789abcdef0123456789abcdef/alerting/v3";
const std::string kHooks = kAlerting + "/destinations/webhooks";
const std::string kPolicies = kAlerting + "/policies";
const std::string kSilences = kAlerting + "/silences";

constexpr std::string_view kOn = R"([gateway]
address = "203.0.113.1"
webhooks = true
webhook_allow = ["10.20.0.0/16"]

[[vrf]]
name = "blue"
tun = "qanat1"
route_table = 5210
)";

class Alerting : public World {
 protected:
  void SetUp() override {
    World::SetUp();
    file_ = file_of(one_account());
    tested_.emplace(true, "200");
  }
  static std::string one_account() { return std::string{kOn.substr(0, kOn.find("[[vrf]]"))}; }
  std::string make_hook(const json& more = json::object()) {
    json body = {{"name", "ops"}, {"url", "https://hooks.example.com/q"}, {"secret", "s3cret-token"}};
    body.update(more);
    return result("POST", kHooks, body)["id"];
  }
  static json policy_body(const std::string& hook) {
    return {{"name", "tunnels"},
            {"alert_type", "magic_tunnel_health_check_event"},
            {"enabled", true},
            {"mechanisms", {{"webhooks", {{{"id", hook}}}}}}};
  }
  std::string secret_of(const std::string& id) {
    const auto rules = control::alert_rules(store_);
    EXPECT_TRUE(rules);
    const auto& secret = rules->webhooks.at(id).secret;
    return secret ? std::string(secret->expose().begin(), secret->expose().end()) : "(none)";
  }
};

TEST_F(Alerting, WebhooksAreMadeShownChangedAndRemoved) {
  const std::string id = make_hook();
  EXPECT_EQ(id.size(), 32U);
  const json shown = result("GET", kHooks + "/" + id);
  EXPECT_EQ(shown["name"], "ops");
  EXPECT_EQ(shown["type"], "generic");
  EXPECT_FALSE(shown.contains("secret"));
  EXPECT_EQ(result("GET", kHooks).size(), 1U);
  EXPECT_EQ(secret_of(id), "s3cret-token");
  EXPECT_EQ(result("PUT", kHooks + "/" + id, {{"name", "ops2"}, {"url", "https://10.20.0.1:8443/x"}})["id"], id);
  EXPECT_EQ(secret_of(id), "s3cret-token") << "what is left out stays";
  EXPECT_EQ(result("GET", kHooks + "/" + id)["name"], "ops2");
  (void)result("PUT", kHooks + "/" + id, {{"secret", nullptr}});
  EXPECT_EQ(secret_of(id), "(none)");
  restart();
  EXPECT_EQ(result("GET", kHooks + "/" + id)["url"], "https://10.20.0.1:8443/x");
  (void)envelope("DELETE", kHooks + "/" + id);
  EXPECT_EQ(ask("GET", kHooks + "/" + id).status, 404);
  EXPECT_TRUE(store_.list("webhook")->entries.empty());
}

TEST_F(Alerting, ASecretIsInNoAnswerNoLogAndNoListing) {
  const std::string id = make_hook();
  for (const std::string& path : {kHooks, kHooks + "/" + id, std::string{"/v1/audit"}, std::string{"/v1/export"}})
    EXPECT_THAT(ask("GET", path).body, Not(HasSubstr("s3cret-token"))) << path;
  const auto all = store_.list("");
  for (const auto& entry : all->entries) EXPECT_THAT(entry.value, Not(HasSubstr("s3cret-token"))) << entry.key;
}

TEST_F(Alerting, AWebhookIsStoredOnlyWhenItHasAcceptedATestMessage) {
  const json body = {{"name", "ops"}, {"url", "https://hooks.example.com/q"}, {"secret", "s"}};
  tested_.reset();
  (void)ask("POST", kHooks, body.dump());
  const auto test = api_->poll_test();
  ASSERT_TRUE(test);
  EXPECT_EQ(test->url, "https://hooks.example.com/q");
  EXPECT_EQ(test->name, "ops");
  ASSERT_TRUE(test->secret);
  EXPECT_FALSE(api_->poll_test());
  EXPECT_TRUE(result("GET", kHooks).empty());
  EXPECT_FALSE(api_->poll_test()) << "looking tests nothing";
  tested_.emplace(false, "it answered 500");
  EXPECT_THAT(refused(400, "POST", kHooks, body),
              HasSubstr("url = \"https://hooks.example.com/q\": the test message was "
                        "not accepted, and nothing was changed: it answered 500"));
  tested_.reset();
  (void)result("POST", kHooks + "?validate_only=true", body);
  EXPECT_FALSE(api_->poll_test());
  EXPECT_TRUE(result("GET", kHooks).empty());
  EXPECT_THAT(refused(400, "POST", kHooks, json{{"name", "x"}, {"url", "nonsense"}}), HasSubstr("url = \"nonsense\""));
  EXPECT_FALSE(api_->poll_test()) << "what is wrong is not tested";
}

TEST_F(Alerting, IsOffUntilTheConfigurationSaysSo) {
  file_ = file_of(kFile);
  EXPECT_THAT(refused(409, "POST", kHooks, json{{"name", "x"}, {"url", "https://a.example"}}),
              HasSubstr("write webhooks = true below [gateway] in /etc/qanat/qanat.toml"));
}

TEST_F(Alerting, PoliciesAreMadeShownChangedAndRemoved) {
  const std::string hook = make_hook();
  json body = policy_body(hook);
  body["filters"] = {{"tunnel_name", {"berlin"}}, {"new_health", {"down"}}};
  body["alert_interval"] = "30m";
  const std::string id = result("POST", kPolicies, body)["id"];
  const json shown = result("GET", kPolicies + "/" + id);
  EXPECT_EQ(shown["filters"], body["filters"]) << "as it was sent";
  EXPECT_EQ(shown["mechanisms"], body["mechanisms"]);
  EXPECT_TRUE(shown["created"].is_string());
  EXPECT_EQ(result("GET", kPolicies)[0]["id"], id);
  (void)result("PUT", kPolicies + "/" + id, {{"enabled", false}});
  EXPECT_EQ(result("GET", kPolicies + "/" + id)["enabled"], false);
  EXPECT_EQ(result("GET", kPolicies + "/" + id)["name"], "tunnels");
  (void)result("PUT", kPolicies + "/" + id, shown);  // as clients send back what they got
  const auto rules = control::alert_rules(store_);
  ASSERT_TRUE(rules);
  ASSERT_EQ(rules->policies.size(), 1U);
  EXPECT_TRUE(rules->policies[0].enabled);
  EXPECT_EQ(rules->policies[0].new_health, (std::set<std::string>{"down"}));
  EXPECT_EQ(rules->policies[0].interval, std::chrono::seconds{1800});
  EXPECT_THAT(refused(409, "DELETE", kHooks + "/" + hook), HasSubstr("is used by the policy \"tunnels\""));
  (void)envelope("DELETE", kPolicies + "/" + id);
  EXPECT_EQ(ask("GET", kPolicies + "/" + id).status, 404);
  (void)envelope("DELETE", kHooks + "/" + hook);
  EXPECT_FALSE(api_->poll_wanted()) << "none of it is part of the configuration";
}

TEST_F(Alerting, SilencesAreMadeShownChangedAndRemoved) {
  const std::string policy = result("POST", kPolicies, policy_body(make_hook()))["id"];
  const json one = {
      {"policy_id", policy}, {"start_time", "2027-01-01T00:00:00Z"}, {"end_time", "2027-01-01T02:00:00+01:00"}};
  const std::string id = result("POST", kSilences, json::array({one}))[0]["id"];
  const auto rules = control::alert_rules(store_);
  ASSERT_EQ(rules->policies[0].silences.size(), 1U);
  EXPECT_EQ(rules->policies[0].silences[0].second.seconds - rules->policies[0].silences[0].first.seconds, 3600);
  (void)result("PUT", kSilences, json::array({{{"id", id}, {"end_time", "2027-01-05T00:00:00Z"}}}));
  EXPECT_EQ(result("GET", kSilences + "/" + id)["end_time"], "2027-01-05T00:00:00Z");
  EXPECT_EQ(result("GET", kSilences)[0]["start_time"], "2027-01-01T00:00:00Z");
  const auto bad = [&](const char* field, const json& value, const char* message, int status = 400) {
    json body = one;
    body[field] = value;
    EXPECT_THAT(refused(status, "POST", kSilences, json::array({body})), HasSubstr(message));
  };
  bad("policy_id", "nobody", "[0].policy_id = \"nobody\": there is no such policy");
  bad("policy_id", 5, "[0].policy_id = 5: must be the id of a policy");
  bad("start_time", "yesterday", "[0].start_time = \"yesterday\": must be a time like");
  bad("start_time", "2027-02-30T00:00:00Z", "must be a time like");
  bad("end_time", "2026-01-01T00:00:00Z", "must be after start_time");
  bad("end_time", nullptr, "[0].end_time is missing");
  bad("forever", true, "forever");
  EXPECT_THAT(refused(400, "POST", kSilences, json::array()), HasSubstr("has 0 objects"));
  EXPECT_THAT(refused(400, "POST", kSilences, json::object()), HasSubstr("must be an array"));
  EXPECT_THAT(refused(400, "POST", kSilences, std::string{"[1]"}), HasSubstr("must be an array of objects"));
  EXPECT_THAT(refused(400, "POST", kSilences, std::string{"["}), HasSubstr("no JSON"));
  EXPECT_THAT(refused(404, "PUT", kSilences, json::array({{{"id", "x"}}})), HasSubstr("there is no silence x"));
  EXPECT_THAT(refused(409, "PUT", kSilences, json::array({{{"id", id}}, {{"id", id}}})), HasSubstr("listed twice"));
  (void)envelope("DELETE", kPolicies + "/" + policy);
  EXPECT_TRUE(result("GET", kSilences).empty()) << "they go with their policy";
}

TEST_F(Alerting, HistoryIsPagedAndOfOneAccount) {
  file_ = file_of(kOn);
  for (int i = 1; i <= 5; ++i) {
    const json entry = {{"id", "n" + std::to_string(i)}, {"account", i == 3 ? "blue" : "default"}, {"sent", 1000 * i}};
    char key[40];
    std::snprintf(key, sizeof key, "alert_history/%020d", i);
    const std::vector<store::Operation> operations = {store::Operation::put(key, entry.dump())};
    ASSERT_TRUE(store_.txn({}, operations));
  }
  const std::string path = "/client/v4/accounts/default/alerting/v3/history";
  const auto ids = [&](const std::string& query) {
    std::string out;
    for (const json& one : result("GET", path + query)) out += one["id"].get<std::string>();
    return out;
  };
  EXPECT_EQ(ids(""), "n5n4n2n1");
  EXPECT_EQ(ids("?per_page=3&page=2"), "n1");
  EXPECT_EQ(ids("?since=1970-01-01T00:33:20Z&before=1970-01-01T01:20:00Z"), "n4n2");
  EXPECT_EQ(envelope("GET", path + "?per_page=3")["result_info"],
            (json{{"page", 1}, {"per_page", 3}, {"count", 3}, {"total_count", 4}}));
  for (const char* query : {"?page=0", "?per_page=1001", "?page=x", "?since=now", "?odd=1"})
    EXPECT_EQ(ask("GET", path + query).status, 400) << query;
  EXPECT_EQ(result("GET", "/client/v4/accounts/blue/alerting/v3/history").size(), 1U);
}

TEST_F(Alerting, AccountsDoNotSeeEachOther) {
  file_ = file_of(kOn);
  const std::string blue = "/client/v4/accounts/blue/alerting/v3";
  const std::string plain = "/client/v4/accounts/default/alerting/v3";
  const std::string hook =
      result("POST", blue + "/destinations/webhooks", {{"name", "b"}, {"url", "https://b.example"}})["id"];
  EXPECT_TRUE(result("GET", plain + "/destinations/webhooks").empty());
  EXPECT_EQ(ask("GET", plain + "/destinations/webhooks/" + hook).status, 404);
  EXPECT_THAT(refused(400, "POST", plain + "/policies", policy_body(hook)), HasSubstr("there is no webhook"));
  who_.account = "blue";
  EXPECT_EQ(ask("GET", plain + "/policies").status, 403);
  who_.write = false;
  EXPECT_EQ(ask("DELETE", blue + "/destinations/webhooks/" + hook).status, 403);
  EXPECT_EQ(ask("GET", blue + "/destinations/webhooks/" + hook).status, 200);
}

TEST_F(Alerting, WhatIsOfferedAndWhatIsNotIsSaid) {
  const json alerts = result("GET", kAlerting + "/available_alerts");
  EXPECT_EQ(alerts["Magic WAN"][0]["type"], "magic_tunnel_health_check_event");
  EXPECT_EQ(alerts["Qanat"].size(), 2U);
  EXPECT_EQ(result("GET", kAlerting + "/destinations/eligible")["email"][0]["eligible"], false);
  EXPECT_THAT(refused(404, "GET", kAlerting + "/destinations/pagerduty"), HasSubstr("pagerduty: not offered"));
  EXPECT_THAT(refused(404, "POST", kAlerting + "/destinations/pagerduty/connect"), HasSubstr("not offered"));
  EXPECT_EQ(ask("GET", kAlerting + "/nothing").status, 404);
  EXPECT_EQ(ask("GET", kAlerting).status, 404);
}

struct Row {
  const char* field;
  const char* value;  // JSON text; "" takes the field away
  const char* message;
};
json changed(json body, const Row& row) {
  const json::json_pointer at{row.field};
  if (std::string_view{row.value}.empty()) {
    body.erase(std::string{row.field}.substr(1));
  } else {
    body[at] = json::parse(row.value);
  }
  return body;
}

class HookFields : public Alerting, public ::testing::WithParamInterface<Row> {};
TEST_P(HookFields, AreRefusedByName) {
  const json good = {{"name", "ops"}, {"url", "https://hooks.example.com/q"}};
  EXPECT_THAT(refused(400, "POST", kHooks, changed(good, GetParam())), HasSubstr(GetParam().message));
  if (std::string_view{GetParam().value}.empty()) return;
  const std::string id = make_hook();
  EXPECT_THAT(refused(400, "PUT", kHooks + "/" + id, changed(json::object(), GetParam())),
              HasSubstr(GetParam().message));
}
INSTANTIATE_TEST_SUITE_P(
    All, HookFields,
    ::testing::Values(Row{"/name", "", "name is missing"}, Row{"/name", "5", "name = 5: must be text"},
                      Row{"/name", "\"\"", "name = \"\": must not be empty"},
                      Row{"/name", "\"a\\nb\"", "has control characters"}, Row{"/url", "", "url is missing"},
                      Row{"/url", "7", "url = 7: must be a URL"},
                      Row{"/url", "\"http://a.example\"", "must begin with https://"},
                      Row{"/url", "\"https://a.example/\\r\\nX: y\"", "has control characters"},
                      Row{"/url", "\"https://u:p@a.example\"", "no user and password"},
                      Row{"/url", "\"https://127.0.0.1/\"", "leads to 127.0.0.1, which is no public address"},
                      Row{"/url", "\"https://169.254.169.254/latest\"", "webhook_allow"},
                      Row{"/url", "\"https://[::1]/\"", "no public address"},
                      Row{"/url", "\"https://10.21.0.1/\"", "no public address"},
                      Row{"/secret", "5", "secret must be text"}, Row{"/secret", "\"\"", "secret must be 1 to 512"},
                      Row{"/secret", "\"a b\"", "without blanks"}, Row{"/secret", "\"a\\r\\nX: y\"", "printable ASCII"},
                      Row{"/sercet", "\"x\"", "sercet"}));

class PolicyFields : public Alerting, public ::testing::WithParamInterface<Row> {};
TEST_P(PolicyFields, AreRefusedByName) {
  const std::string hook = make_hook();
  EXPECT_THAT(refused(400, "POST", kPolicies, changed(policy_body(hook), GetParam())), HasSubstr(GetParam().message));
  if (std::string_view{GetParam().value}.empty()) return;
  const std::string id = result("POST", kPolicies, policy_body(hook))["id"];
  EXPECT_THAT(refused(400, "PUT", kPolicies + "/" + id, changed(json::object(), GetParam())),
              HasSubstr(GetParam().message));
}
INSTANTIATE_TEST_SUITE_P(
    All, PolicyFields,
    ::testing::Values(
        Row{"/name", "", "name is missing"}, Row{"/name", "[]", "name = an array: must be text"},
        Row{"/name", "\"\"", "must not be empty"}, Row{"/description", "5", "description = 5: must be text"},
        Row{"/enabled", "\"yes\"", "must be true or false"}, Row{"/alert_type", "", "alert_type is missing"},
        Row{"/alert_type", "\"dos_attack_l4\"", "is not offered; it must be one of magic_tunnel_health_check_event"},
        Row{"/alert_type", "5", "alert_type = 5: must be one of"},
        Row{"/alert_interval", "\"1s\"", "must be a time like"},
        Row{"/alert_interval", "\"1m\"", "from 5 minutes to 7 days"},
        Row{"/alert_interval", "\"999999999999999d\"", "from 5 minutes"},
        Row{"/alert_interval", "30", "alert_interval = 30"}, Row{"/mechanisms", "", "mechanisms is missing"},
        Row{"/mechanisms", "{}", "with the id of at least one webhook"},
        Row{"/mechanisms", "[]", "mechanisms = an array"},
        Row{"/mechanisms/webhooks", "[]", "must name 1 to 10 webhooks"},
        Row{"/mechanisms", "{\"webhooks\":[]}", "must name 1 to 10 webhooks"},
        Row{"/mechanisms", "{\"webhooks\":[5]}", "an array of objects with an id each"},
        Row{"/mechanisms", "{\"webhooks\":[{\"id\":\"x\"}]}", "there is no webhook x"},
        Row{"/mechanisms", "{\"webhooks\":[{\"id\":\"x\"}],\"email\":[{\"id\":\"a@b\"}]}", "the gateway sends no mail"},
        Row{"/mechanisms", "{\"webhooks\":[{\"id\":\"x\"}],\"pagerduty\":[{\"id\":\"a\"}]}", "PagerDuty's own URL"},
        Row{"/mechanisms", "{\"webhooks\":[{\"id\":\"x\"}],\"sms\":[]}", "sms"}, Row{"/filters", "5", "filters = 5"},
        Row{"/filters", "{\"tunnel_name\":\"a\"}", "tunnel_name"},
        Row{"/filters", "{\"tunnel_name\":[]}", "must not be empty"},
        Row{"/filters", "{\"tunnel_id\":[5]}", "tunnel_id"},
        Row{"/filters", "{\"new_health\":[\"sick\"]}", "healthy, degraded and down"},
        Row{"/filters", "{\"new_health\":[]}", "must not be empty"},
        Row{"/filters", "{\"slo\":[\"101\"]}", "from \"0\" to \"99.99\""},
        Row{"/filters", "{\"slo\":[\"nan\"]}", "from \"0\" to \"99.99\""},
        Row{"/filters", "{\"slo\":[\"\"]}", "from \"0\" to \"99.99\""},
        Row{"/filters", "{\"slo\":[\"99\"],\"new_health\":[\"down\"]}", "cannot stand beside new_health"},
        Row{"/filters", "{\"days_before\":[\"7\"]}", "days_before"},
        Row{"/filters", "{\"pop_names\":[\"x\"]}", "pop_names"}, Row{"/odd", "1", "odd"}));

TEST_F(Alerting, DaysBeforeAreForCertificatesAlone) {
  json body = policy_body(make_hook());
  body["alert_type"] = "qanat_certificate_expiration";
  body["filters"] = {{"days_before", {"7", "30", "7"}}};
  (void)result("POST", kPolicies, body);
  EXPECT_EQ(control::alert_rules(store_)->policies[0].days, (std::vector<std::int64_t>{30, 7}));
  for (const char* bad : {R"(["0"])", R"(["3651"])", R"([7])", R"([])", R"(["x"])"}) {
    body["filters"]["days_before"] = json::parse(bad);
    EXPECT_THAT(refused(400, "POST", kPolicies, body), HasSubstr("days_before")) << bad;
  }
}

TEST_F(Alerting, AnAccountHasOnlySoMany) {
  for (std::size_t i = 0; i < control::kMaxAlertObjects; ++i) (void)make_hook();
  EXPECT_THAT(refused(400, "POST", kHooks, json{{"name", "x"}, {"url", "https://a.example"}}),
              HasSubstr("at most 100 webhooks"));
}

// A gateway that took another's bundle notifies as that one did.
TEST_F(Alerting, ABundleCarriesThemToAnotherGateway) {
  who_.root = true;
  const std::string hook = make_hook();
  const std::string policy = result("POST", kPolicies, policy_body(hook))["id"];
  (void)result("POST", kSilences,
               json::array({{{"policy_id", policy},
                             {"start_time", "2027-01-01T00:00:00Z"},
                             {"end_time", "2027-01-01T02:00:00Z"}}}));
  const std::string text = ask("GET", "/v1/export").body;
  EXPECT_THAT(text, HasSubstr("# 3 more are in this gateway's store"));
  EXPECT_THAT(text, Not(HasSubstr("s3cret-token")));
  const std::string key = model::generated_psk_text(Bytes(32, 7));
  const control::Reply reply = ask("POST", "/v1/export", json{{"key", key}}.dump());
  ASSERT_EQ(reply.status, 200);
  EXPECT_THAT(reply.body, Not(HasSubstr("s3cret-token")));
  const auto transfer = control::open_bundle(to_bytes(reply.body), to_bytes(key));
  ASSERT_TRUE(transfer);
  EXPECT_EQ(transfer->alerts.size(), 3U);
  const SecretBytes octets = control::transfer_json(*transfer);
  const json body = json::parse(std::string{octets.expose().begin(), octets.expose().end()});

  store::MemoryObjectStore store;
  control::ObjectApi other{store, gateway::object_rooms()};
  ASSERT_TRUE(other.load());
  control::Principal root;
  root.root = true;
  const auto import = [&](const json& what, const std::shared_ptr<const control::LoadedFile>& file) {
    return *other.handle({"POST", "/v1/import", what.dump(), {}, root}, {now_, &rng_, nullptr, file});
  };
  for (int i = 0; i < 2; ++i) {  // once more is the same
    const control::Reply done = import(body, file_);
    ASSERT_EQ(done.status, 200) << done.body;
    const auto rules = control::alert_rules(store);
    ASSERT_TRUE(rules);
    ASSERT_EQ(rules->policies.size(), 1U);
    EXPECT_EQ(rules->policies[0].id, policy);
    EXPECT_EQ(rules->policies[0].silences.size(), 1U);
    const auto& secret = rules->webhooks.at(hook).secret;
    ASSERT_TRUE(secret);
    EXPECT_EQ(std::string(secret->expose().begin(), secret->expose().end()), "s3cret-token");
  }

  // Bad ones are named, and nothing is taken of the whole.
  const auto bad = [&](const std::string& pointer, const json& value, const std::string& message,
                       std::string_view file = {}) {
    SCOPED_TRACE(pointer);
    json changed = body;
    changed[json::json_pointer{pointer}] = value;
    const auto before = store.list("")->revision;
    const control::Reply done = import(changed, file.empty() ? file_ : file_of(std::string{file}));
    EXPECT_TRUE(done.status == 400 || done.status == 409) << done.status;
    EXPECT_THAT(done.body, HasSubstr(message));
    EXPECT_EQ(store.list("")->revision, before);
  };
  bad("/alerts", 1, "alerts must be an array");
  bad("/alerts/0/document", 1, "alerts must be an array");
  bad("/alerts/0/secret", "x", "hexadecimal digits");
  bad("/alerts/1/secret", "00", "a webhook alone has a secret");
  bad("/alerts/0/kind", "token", "there is no kind token");
  bad("/alerts/0/id", "../x", "32 hexadecimal digits");
  bad("/alerts/0/account", "red", "has no account red");
  bad("/alerts/0/document/url", "ftp://a", "url");
  bad("/alerts/1/document/mechanisms/webhooks/0/id", std::string(32, 'e'), "there is no webhook eeeeeeee");
  bad("/alerts/1/document/alert_type", "x", "is not offered");
  bad("/alerts/2/document/policy_id", 7, "no policy with its policy_id");
  bad("/alerts/2/document/end_time", 7, "must be two dates");
  bad("/alerts/2/document/start_time", "2028-01-01T00:00:00Z", "one after the other");
  bad("/config", body["config"], "webhooks are off", "[gateway]\naddress = \"203.0.113.1\"\n");
}

}  // namespace
}  // namespace qanat::api_test
