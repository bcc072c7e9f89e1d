// What is told, how often, and what becomes of it: virtual time, receivers that fail, restarts.
#include "control/alerts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/rng.hpp"
#include "control/webhook_url.hpp"

namespace qanat::control {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = SendResult::Kind;

class Alerts : public ::testing::Test {
 protected:
  void SetUp() override {
    hook("h1");
    policy(AlertType::TunnelHealth, "magic_tunnel_health_check_event");
    restart();
    pass(kAlertGrace);
  }

  void hook(const std::string& id) { rules_.webhooks[id] = {id, "default", id, "https://" + id + ".example/x", {}}; }
  AlertPolicy& policy(AlertType type, std::string word) {
    AlertPolicy& out = rules_.policies.emplace_back();
    out.id = std::string(32, static_cast<char>('a' + rules_.policies.size()));
    out.account = "default";
    out.name = "p" + std::to_string(rules_.policies.size());
    out.type = type;
    out.type_word = std::move(word);
    out.webhooks = {"h1"};
    out.new_health = {"healthy", "degraded", "down"};
    out.days = {30, 7, 1};
    return out;
  }
  static Observation health(std::string state, std::string tunnel = "berlin") {
    Observation out;
    out.subject = "health-" + tunnel;
    out.account = "default";
    out.tunnel = tunnel;
    out.tunnel_id = "id-" + tunnel;
    out.state = std::move(state);
    return out;
  }
  static Observation certificate(std::int64_t until) {
    Observation out = health("own");
    out.type = AlertType::CertificateExpiry;
    out.subject = "own-berlin";
    out.until = WallTime{until};
    return out;
  }

  // What was written comes back; what was sent and not acknowledged is unknown.
  void restart() {
    engine_ = std::make_unique<AlertEngine>(rng_, now_);
    const auto kept = store_.list("alert_");
    engine_->restore(kept->entries);
    engine_->set_rules(now_, rules_);
  }
  void see(Observation one) {
    seen_ = {std::move(one)};
    engine_->observe(now_, seen_);
    turn();
  }
  void rules_changed() {
    engine_->set_rules(now_, rules_);
    turn();
  }
  // Time passes, from one timeout to the next.
  void pass(Duration time) {
    const Instant end = now_.at + time;
    for (int turns = 0; turns < 100'000; ++turns) {
      const auto next = engine_->next_timeout();
      if (!next || *next > end) break;
      move_to(std::max(*next, now_.at));
      engine_->handle_timeout(now_);
      turn();
      const auto after = engine_->next_timeout();
      if (after && *after <= now_.at) break;
    }
    move_to(end);
    engine_->handle_timeout(now_);
    turn();
  }
  void move_to(Instant at) {
    now_.wall.seconds += std::chrono::duration_cast<std::chrono::seconds>(at - zero_).count() -
                         std::chrono::duration_cast<std::chrono::seconds>(now_.at - zero_).count();
    now_.at = at;
  }
  void turn() {
    for (const auto& group : engine_->take_writes()) {
      ASSERT_LE(group.size(), store::kMaxOperations);
      ASSERT_TRUE(store_.txn({}, group));
    }
    while (auto send = engine_->poll_send(now_)) {
      const json body = json::parse(send->body);
      attempts_.push_back(send->id);
      if (!answers_) {
        open_.push_back(*send);
        continue;
      }
      if (answer_.kind == Kind::Delivered) got_.push_back(word_of(body));
      engine_->handle_done(now_, send->id, answer_);
      for (const auto& group : engine_->take_writes()) ASSERT_TRUE(store_.txn({}, group));
    }
  }
  static std::string word_of(const json& body) {
    const json& data = body["data"];
    std::string out = data.value("tunnel_name", "listener") + " " +
                      (data.contains("new_status") ? data["new_status"].get<std::string>()
                       : data.contains("keys")     ? data["keys"].get<std::string>()
                                                   : std::to_string(data["days_left"].get<int>()));
    return out + (body["alert_event"] == "ALERT_STATE_EVENT_END" ? " END" : "");
  }
  std::size_t stored(std::string_view prefix) { return store_.list(prefix)->entries.size(); }
  std::vector<std::string> outcomes() {
    std::vector<std::string> out;
    const auto history = store_.list(kAlertHistoryPrefix);
    for (const auto& entry : history->entries) out.push_back(json::parse(entry.value)["outcome"].get<std::string>());
    return out;
  }

  SeededRng rng_{7};
  store::MemoryObjectStore store_;
  AlertRules rules_;
  std::unique_ptr<AlertEngine> engine_;
  const Instant zero_ = Instant::from_ns(0);
  Moment now_{Instant::from_ns(1'000'000'000'000), WallTime{1'800'000'000}};
  std::vector<Observation> seen_;
  bool answers_ = true;  // false: sends stay open
  SendResult answer_{Kind::Delivered, "200"};
  std::vector<std::string> got_;       // "berlin down"
  std::vector<std::string> attempts_;  // ids
  std::vector<AlertSend> open_;
};

TEST_F(Alerts, TellAFallAfterItHasHeldAndTheEndOfIt) {
  see(health("healthy"));
  see(health("down"));
  pass(kHoldWorse - 1s);
  EXPECT_THAT(got_, IsEmpty());
  pass(1s);
  EXPECT_THAT(got_, ElementsAre("berlin down"));
  pass(1h);
  EXPECT_EQ(got_.size(), 1U) << "what lasts is told once";
  see(health("healthy"));
  pass(kHoldBetter - 1s);
  EXPECT_EQ(got_.size(), 1U);
  pass(1s);
  EXPECT_THAT(got_, ElementsAre("berlin down", "berlin healthy END"));
  EXPECT_EQ(stored(kAlertQueuePrefix), 0U);
  EXPECT_EQ(stored(kAlertHistoryPrefix), 2U);
}

TEST_F(Alerts, AreWrittenBeforeTheyAreSentAndHaveCloudflaresFrame) {
  answers_ = false;
  see(health("down"));
  pass(kHoldWorse);
  ASSERT_EQ(open_.size(), 1U);
  EXPECT_EQ(stored(kAlertQueuePrefix), 1U);
  EXPECT_EQ(stored(kAlertStatePrefix), 1U);
  const json body = json::parse(open_[0].body);
  EXPECT_EQ(body["name"], "p1");
  EXPECT_EQ(body["policy_name"], "p1");
  EXPECT_EQ(body["alert_type"], "magic_tunnel_health_check_event");
  EXPECT_EQ(body["alert_event"], "ALERT_STATE_EVENT_START");
  EXPECT_EQ(body["ts"], now_.wall.seconds);
  EXPECT_EQ(body["data"]["previous_status"], "healthy");
  EXPECT_EQ(body["data"]["tunnel_id"], "id-berlin");
  EXPECT_EQ(body["alert_correlation_id"].get<std::string>().size(), 32U);
  EXPECT_THAT(body["text"].get<std::string>(), HasSubstr("The tunnel berlin is down"));
}

TEST_F(Alerts, DoNotFloodWhenATunnelFlaps) {
  // Down for 20 s, up for 70 s, for six hours: 240 falls.
  for (int i = 0; i < 240; ++i) {
    see(health("down"));
    pass(20s);
    see(health("healthy"));
    pass(70s);
  }
  EXPECT_GE(got_.size(), 2U);
  EXPECT_LE(got_.size(), 30U) << "six hours, 240 falls";
  EXPECT_EQ(got_.front(), "berlin down");
  pass(2h);
  EXPECT_EQ(got_.back(), "berlin healthy END") << "in the end the truth is told";
  const std::size_t before = got_.size();
  // Shorter than what must hold: nothing at all.
  for (int i = 0; i < 100; ++i) {
    see(health("down"));
    pass(kHoldWorse - 1s);
    see(health("healthy"));
    pass(1s);
  }
  EXPECT_EQ(got_.size(), before);
}

TEST_F(Alerts, ObeyFilters) {
  AlertPolicy& only = rules_.policies[0];
  only.new_health = {"down"};
  only.tunnel_names = {"paris"};
  rules_changed();
  see(health("down"));
  pass(1h);
  EXPECT_THAT(got_, IsEmpty()) << "another tunnel";
  see(health("degraded", "paris"));
  pass(1h);
  EXPECT_THAT(got_, IsEmpty());
  see(health("down", "paris"));
  pass(1h);
  see(health("healthy", "paris"));
  pass(1h);
  see(health("down", "paris"));
  pass(1h);
  EXPECT_THAT(got_, ElementsAre("paris down", "paris down"));
  rules_.policies[0].account = "blue";
  rules_.policies[0].id = std::string(32, 'x');
  rules_changed();
  pass(1h);
  EXPECT_EQ(got_.size(), 2U) << "a policy of another account sees nothing of it";
}

TEST_F(Alerts, KnowAnSlo) {
  rules_.policies[0].slo = 99.5;
  rules_changed();
  Observation seen = health("degraded");
  seen.success = 99.6;
  see(seen);
  pass(1h);
  EXPECT_THAT(got_, IsEmpty());
  seen.success = 99.4;
  see(seen);
  pass(1h);
  EXPECT_THAT(got_, ElementsAre("berlin degraded"));
}

TEST_F(Alerts, WaitForTunnelsThatHaveNotComeUpSinceTheStart) {
  restart();
  Observation seen = health("down");
  seen.awaited = true;
  see(seen);
  pass(kAlertGrace - 1s);
  EXPECT_THAT(got_, IsEmpty());
  pass(kHoldWorse + 2s);
  EXPECT_THAT(got_, ElementsAre("berlin down"));
}

TEST_F(Alerts, TellOfClassicalKeysAndOfTheirEnd) {
  policy(AlertType::ClassicalKeys, "qanat_classical_keys");
  rules_changed();
  Observation seen = health("classical");
  seen.type = AlertType::ClassicalKeys;
  seen.subject = "keys-berlin";
  see(seen);
  EXPECT_THAT(got_, ElementsAre("berlin classical")) << "at once";
  seen.state = "";  // down: nobody knows
  see(seen);
  pass(1h);
  seen.state = "safe";
  see(seen);
  pass(kHoldBetter);
  EXPECT_THAT(got_, ElementsAre("berlin classical", "berlin safe END"));
}

TEST_F(Alerts, TellOnceForEachOfTheDaysBeforeACertificateEnds) {
  policy(AlertType::CertificateExpiry, "qanat_certificate_expiration");
  rules_changed();
  constexpr std::int64_t kDay = 86'400;
  see(certificate(now_.wall.seconds + 40 * kDay));
  pass(41 * 24h);
  EXPECT_THAT(got_, ElementsAre("berlin 30", "berlin 7", "berlin 1", "berlin 0"));
  see(certificate(now_.wall.seconds + 365 * kDay));
  EXPECT_EQ(got_.back(), "berlin 365 END");
  see(certificate(now_.wall.seconds + 5 * kDay));
  EXPECT_EQ(got_.back(), "berlin 5");
  EXPECT_EQ(got_.size(), 6U) << "of two days that have passed at once it is told once";
}

TEST_F(Alerts, AreTriedAgainWithGrowingPausesInOrder) {
  answer_ = {Kind::Again, "503"};
  see(health("down"));
  pass(kHoldWorse);
  see(health("healthy"));
  pass(kHoldBetter);
  EXPECT_GE(attempts_.size(), 3U);
  EXPECT_LE(attempts_.size(), 5U);
  pass(2h);
  EXPECT_LE(attempts_.size(), 25U);
  EXPECT_EQ(std::set<std::string>(attempts_.begin(), attempts_.end()).size(), 1U) << "the first is the first";
  answer_ = {Kind::Delivered, "200"};
  pass(13min);
  EXPECT_THAT(got_, ElementsAre("berlin down", "berlin healthy END"));
  EXPECT_EQ(engine_->status().queued, 0U);
  EXPECT_NE(store_.get("webhook_result/h1/failure")->value().value, "");
  EXPECT_NE(store_.get("webhook_result/h1/success")->value().value, "");
}

TEST_F(Alerts, EndWhenAReceiverRefusesOrADayIsOver) {
  answer_ = {Kind::Refused, "it answered 410"};
  see(health("down"));
  pass(kHoldWorse);
  EXPECT_EQ(attempts_.size(), 1U);
  EXPECT_THAT(outcomes(), ElementsAre("refused: it answered 410"));
  answer_ = {Kind::Again, "it took too long"};
  see(health("healthy"));
  pass(26h);
  EXPECT_THAT(outcomes(), ElementsAre("refused: it answered 410", "given up after a day: it took too long"));
  EXPECT_EQ(engine_->status().undelivered, 2U);
  EXPECT_EQ(stored(kAlertQueuePrefix), 0U);
}

TEST_F(Alerts, AreNeitherLostNorDoubledByARestart) {
  answers_ = false;
  see(health("down"));
  pass(kHoldWorse);
  ASSERT_EQ(open_.size(), 1U);
  restart();  // kill -9 while it is being sent
  answers_ = true;
  turn();
  EXPECT_THAT(got_, ElementsAre("berlin down"));
  EXPECT_THAT(attempts_, ElementsAre(open_[0].id, open_[0].id)) << "the same notification";
  restart();
  see(health("down"));
  pass(1h);
  EXPECT_EQ(got_.size(), 1U) << "what was told is known";
  see(health("healthy"));
  pass(kHoldMost);
  EXPECT_THAT(got_, ElementsAre("berlin down", "berlin healthy END"));
}

TEST_F(Alerts, LoseTheOldestOfAFullQueueAndSaySo) {
  answer_ = {Kind::Again, "503"};
  for (int i = 0; i < 200; ++i) {
    seen_.push_back(health("down", "t" + std::to_string(i)));
  }
  engine_->observe(now_, seen_);
  turn();
  pass(kHoldWorse);
  EXPECT_LE(engine_->status().queued, kMaxQueued + 1);
  EXPECT_EQ(stored(kAlertQueuePrefix), engine_->status().queued);
  EXPECT_EQ(engine_->status().lost + engine_->status().queued, 200U);
  EXPECT_THAT(outcomes().front(), HasSubstr("lost"));
}

TEST_F(Alerts, ASlowWebhookHoldsUpNoOther) {
  hook("h2");
  rules_.policies[0].webhooks = {"h1", "h2"};
  rules_changed();
  answers_ = false;
  see(health("down"));
  pass(kHoldWorse);
  ASSERT_EQ(open_.size(), 2U);
  engine_->handle_done(now_, open_[1].id, {Kind::Delivered, "200"});
  see(health("healthy"));
  pass(kHoldBetter);
  ASSERT_EQ(open_.size(), 3U);
  EXPECT_EQ(open_[2].webhook, "h2") << "h1 has one under way still";
}

TEST_F(Alerts, ASilenceDelaysWhatIsStillTrueAfterIt) {
  rules_.policies[0].silences = {{now_.wall, WallTime{now_.wall.seconds + 3600}}};
  rules_changed();
  see(health("down"));
  pass(59min);
  EXPECT_THAT(got_, IsEmpty());
  pass(3min);
  EXPECT_THAT(got_, ElementsAre("berlin down"));
}

TEST_F(Alerts, AreRepeatedOnlyWhereThePolicySaysSo) {
  rules_.policies[0].interval = std::chrono::minutes{30};
  rules_changed();
  see(health("down"));
  pass(kHoldWorse + 61min);
  EXPECT_THAT(got_, ElementsAre("berlin down", "berlin down", "berlin down"));
}

TEST_F(Alerts, OfWhatIsGoneNothingStays) {
  see(health("down"));
  pass(kHoldWorse);
  EXPECT_EQ(stored(kAlertStatePrefix), 1U);
  engine_->observe(now_, {});
  turn();
  EXPECT_EQ(stored(kAlertStatePrefix), 0U);
  see(health("down"));
  pass(kHoldWorse);
  EXPECT_EQ(stored(kAlertStatePrefix), 1U);
  rules_.policies.clear();
  rules_changed();
  EXPECT_EQ(stored(kAlertStatePrefix), 0U);
}

TEST_F(Alerts, DamagedEntriesAreLeftOut) {
  const std::vector<store::Entry> bad = {{std::string{kAlertStatePrefix} + "a/b", "{"},
                                         {std::string{kAlertQueuePrefix} + "00000000000000000009", "[]"},
                                         {std::string{kAlertQueuePrefix} + "x", R"({"id":5})"}};
  AlertEngine engine(rng_, now_);
  engine.restore(bad);
  EXPECT_EQ(engine.status().queued, 0U);
}

TEST(Observations, SayWhatASnapshotSays) {
  Snapshot snapshot;
  TunnelStatus t;
  t.name = "berlin";
  t.wanted = "up";
  t.actual = "up";
  t.times_up = 1;
  t.health.state = "degraded";
  t.health.reason = "probes are lost";
  t.health.samples = 200;
  t.health.loss = 0.02;
  t.posture.fell_to_classical = true;
  t.certificate_until = WallTime{5};
  snapshot.tunnels = {t};
  const std::vector<TunnelPlace> places = {{"berlin", "0123", "blue"}};
  const auto find = [&](const std::string& subject) {
    for (Observation& one : observations_of(snapshot, places)) {
      if (one.subject == subject) return one;
    }
    ADD_FAILURE() << subject;
    return Observation{};
  };
  EXPECT_EQ(find("health-0123").state, "degraded");
  EXPECT_EQ(find("health-0123").account, "blue");
  EXPECT_NEAR(*find("health-0123").success, 98, 0.001);
  EXPECT_EQ(find("keys-0123").state, "classical");
  EXPECT_EQ(find("own-0123").until.seconds, 5);
  EXPECT_EQ(find("peer-0123").state, "") << "it has not come yet";
  snapshot.tunnels[0].actual = "connecting";
  EXPECT_EQ(find("health-0123").state, "down");
  EXPECT_EQ(find("keys-0123").state, "");
  snapshot.tunnels[0].wanted = "down";
  EXPECT_EQ(find("health-0123").state, "") << "an operator wants it so";
  snapshot.tunnels[0].wanted = "on call";
  snapshot.tunnels[0].times_up = 0;
  EXPECT_EQ(find("health-0123").state, "") << "nobody has ever called";
  snapshot.tunnels[0].posture.safe_seconds = 1;
  EXPECT_EQ(find("health-0123").state, "down") << "it was up in an earlier life";
  EXPECT_THAT(observations_of(snapshot, {}), IsEmpty());
}

TEST(WebhookUrls, AreTakenApart) {
  const auto url = parse_webhook_url("https://hooks.example.com:8443/a/b?c=d");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->host, "hooks.example.com");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->target, "/a/b?c=d");
  EXPECT_EQ(url->authority, "hooks.example.com:8443");
  EXPECT_EQ(parse_webhook_url("https://[2001:db8::1]")->host, "2001:db8::1");
  EXPECT_EQ(parse_webhook_url("https://a?b")->target, "/?b");
  for (const char* bad :
       {"", "http://a", "https://", "https://a:0", "https://a:65536", "https://a:x", "https://a:", "https://u:p@a/",
        "https://a/#b", "https://a/ b", "https://a/\r\nX: y", "https://[::1", "https://[1.2.3.4]/", "https://a b/",
        "https://\xc3\xa9/", "ftp://a", "HTTPS://a", "https://[::1]x/", "https://-a/"})
    EXPECT_FALSE(parse_webhook_url(bad)) << bad;
  EXPECT_FALSE(parse_webhook_url("https://a/" + std::string(kMaxWebhookUrl, 'x')));
}

TEST(WebhookAddresses, ArePublicOrNamedByTheConfiguration) {
  const std::vector<Prefix> allowed = {*Prefix::parse("10.20.0.0/16"), *Prefix::parse("fd00:1::/64")};
  for (const char* good : {"8.8.8.8", "172.32.0.1", "2606:4700::1111", "10.20.3.4", "fd00:1::5", "100.128.0.1"})
    EXPECT_TRUE(is_webhook_address(*IpAddress::parse(good), allowed)) << good;
  for (const char* bad : {"127.0.0.1",
                          "127.9.9.9",
                          "::1",
                          "::",
                          "0.0.0.0",
                          "10.21.0.1",
                          "172.16.0.1",
                          "172.31.255.255",
                          "192.168.1.1",
                          "169.254.169.254",
                          "100.64.0.1",
                          "fe80::1",
                          "fd00:2::1",
                          "fc00::1",
                          "::ffff:127.0.0.1",
                          "::127.0.0.1",
                          "64:ff9b::7f00:1",
                          "2002:7f00:1::",
                          "224.0.0.1",
                          "255.255.255.255",
                          "ff02::1",
                          "198.18.0.1"})
    EXPECT_FALSE(is_webhook_address(*IpAddress::parse(bad), allowed)) << bad;
}

}  // namespace
}  // namespace qanat::control
