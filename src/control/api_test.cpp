#include "control/api.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/rng.hpp"
#include "control/control_testing.hpp"
#include "control/metrics.hpp"
#include "control/status_json.hpp"

namespace qanat::control {
namespace {

using ::testing::Contains;
using testing::full_snapshot;
using ::testing::HasSubstr;
using ::testing::Pair;
using Verb = GatewayCommand::Verb;

Reply reply(const std::string& method, const std::string& target, const std::string& body = "") {
  const auto answer = handle({method, target, body}, full_snapshot());
  const Reply* out = std::get_if<Reply>(&answer);
  EXPECT_NE(out, nullptr) << method << " " << target << " is a command";
  return out ? *out : Reply{};
}

GatewayCommand command(const std::string& target, const std::string& body = "") {
  const auto answer = handle({"POST", target, body}, full_snapshot());
  const GatewayCommand* out = std::get_if<GatewayCommand>(&answer);
  EXPECT_NE(out, nullptr) << target << " is no command";
  return out ? *out : GatewayCommand{};
}

void expect_error(const Reply& reply, int status, std::string_view code, const std::string& part) {
  EXPECT_EQ(reply.status, status);
  EXPECT_THAT(reply.headers, Contains(Pair("Content-Type", "application/json")));
  const auto error = error_from_json(reply.body);
  ASSERT_TRUE(error.has_value()) << reply.body;
  EXPECT_EQ(error->code, code);
  EXPECT_THAT(error->message, HasSubstr(part));
}

TEST(Api, Status) {
  for (const char* path : {"/v1/status", "/v1/status/"}) {
    const Reply all = reply("GET", path);
    EXPECT_EQ(all.status, 200);
    EXPECT_THAT(all.headers, Contains(Pair("Content-Type", "application/json")));
    EXPECT_EQ(all.body, to_json(full_snapshot()));
  }
  EXPECT_EQ(reply("GET", "/v1/status/berlin").body, to_json(testing::berlin()));
  EXPECT_EQ(reply("GET", "/v1/status/%62erlin").body, to_json(testing::berlin()));
}

TEST(Api, APinIsForgottenOnlyByWhoSaysTheNameTwice) {
  expect_error(reply("POST", "/v1/posture/berlin/forget"), 400, "confirm", "?confirm=berlin");
  expect_error(reply("POST", "/v1/posture/berlin/forget?confirm=oslo"), 400, "confirm", "twice");
  expect_error(reply("POST", "/v1/posture/nobody/forget?confirm=nobody"), 404, "not_found", "no tunnel");
  const GatewayCommand forget = command("/v1/posture/berlin/forget?confirm=berlin");
  EXPECT_EQ(forget.verb, Verb::ForgetPin);
  EXPECT_EQ(forget.tunnel, "berlin");
  expect_error(reply_for(forget, {false, "nothing to forget"}), 409, "forget_failed", "nothing");
}

TEST(Api, Ping) {
  const GatewayCommand ping = command("/v1/tunnels/berlin/ping");
  EXPECT_EQ(ping.verb, Verb::Ping);
  const PingStatus status{"berlin", "10.255.0.0", "10.255.0.1", true, 1.5};
  const Reply answered = reply_for(ping, {true, "", status});
  EXPECT_EQ(answered.status, 200);
  const auto read = ping_from_json(answered.body);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->milliseconds, 1.5);
  EXPECT_EQ(read->to, "10.255.0.1");
  EXPECT_TRUE(read->answered);
  expect_error(reply_for(ping, {false, "it is not up"}), 409, "ping_failed", "not up");
}

TEST(Api, Policy) {
  const auto rules = policy_from_json(reply("GET", "/v1/rules").body);
  ASSERT_TRUE(rules);
  ASSERT_EQ(rules->size(), 2U);
  EXPECT_EQ(rules->at(0).rule, "no-telnet");
  EXPECT_EQ(rules->at(0).packets, 12U);
}

TEST(Api, Events) {
  const auto all = events_from_json(reply("GET", "/v1/events").body);
  ASSERT_TRUE(all.has_value());
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ(all->at(0).name, "tunnel-up");
  EXPECT_EQ(all->at(0).time, "2026-09-21T14:13:20Z");
  EXPECT_THAT(all->at(0).fields, Contains(Pair("detail", "hybrid")));
  EXPECT_EQ(all->at(1).level, "warning");
  EXPECT_EQ(events_from_json(reply("GET", "/v1/events?since=1").body)->size(), 1U);
  EXPECT_EQ(events_from_json(reply("GET", "/v1/events?tunnel=berlin").body)->size(), 1U);
  EXPECT_EQ(events_from_json(reply("GET", "/v1/events?since=1&tunnel=berlin").body)->size(), 0U);
  EXPECT_THAT(reply("GET", "/v1/events?since=1").body, HasSubstr("\"last\": 2"));
  EXPECT_THAT(reply("GET", "/v1/events?since=7").body, HasSubstr("\"last\": 7"));
  expect_error(reply("GET", "/v1/events?since=x"), 400, "bad_request", "must be a number");
  expect_error(reply("GET", "/v1/events?until=1"), 400, "bad_request", "known is since, tunnel");
}

TEST(Api, TheRingKeepsTheLastThousand) {
  EventRing ring;
  for (int i = 0; i < 1500; ++i) ring.add({i}, EventLevel::Info, "ready", {});
  const Events events = ring.recent();
  ASSERT_EQ(events.size(), 1000U);
  EXPECT_EQ(events.front()->number, 501U);
  EXPECT_EQ(events.back()->number, 1500U);
}

TEST(Api, Routes) {
  EXPECT_TRUE(wants_routes({"GET", "/v1/routes/10.1.2.3", ""}));
  EXPECT_TRUE(wants_routes({"GET", "/v1/%72outes", ""}));
  EXPECT_FALSE(wants_routes({"GET", "/v1/status", ""}));
  EXPECT_TRUE(wants_events({"GET", "/v1/events?since=2", ""}));
  EXPECT_EQ(routes_from_json(reply("GET", "/v1/routes").body)->size(), 3U);
  const auto answer = route_answer_from_json(reply("GET", "/v1/routes/10.1.2.3").body);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->prefix, "10.1.0.0/16");
  EXPECT_EQ(answer->tunnel, "berlin") << "oslo has a penalty for its classical keys";
  EXPECT_EQ(answer->hops.size(), 2U);
  const auto refused = route_answer_from_json(reply("GET", "/v1/routes/10.2.0.1?from=10.9.0.1").body);
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->tunnel, "") << "its prefix wants hybrid keys";
  EXPECT_THAT(refused->summary, HasSubstr("requires hybrid keys"));
  expect_error(reply("GET", "/v1/routes/nowhere"), 400, "bad_request", "must be an IP address");
  expect_error(reply("GET", "/v1/routes/10.1.2.3?from=fd00::1"), 400, "bad_request", "same family");
}

TEST(Api, RoutesOfAVrfAndOfTheHost) {
  Snapshot s = full_snapshot();
  s.vrfs = {{0, "default"}, {7, "blue"}};
  s.routes.push_back({.vrf = 7, .prefix = "10.1.0.0/16", .tunnel = "oslo", .pq = "any", .account = "blue"});
  s.routes.push_back({.prefix = "10.1.9.0/24", .tunnel = "@host", .pq = "any", .source = "host"});
  const auto ask = [&](const char* target) {
    const auto answer = handle({"GET", target, ""}, s);
    return std::get<Reply>(answer);
  };
  EXPECT_EQ(route_answer_from_json(ask("/v1/routes/10.1.9.1?vrf=blue").body)->tunnel, "oslo");
  EXPECT_EQ(route_answer_from_json(ask("/v1/routes/10.1.8.1?vrf=default").body)->tunnel, "berlin");
  const auto own = route_answer_from_json(ask("/v1/routes/10.1.9.1").body);
  EXPECT_EQ(own->tunnel, "@host");
  EXPECT_EQ(own->prefix, "10.1.9.0/24");
  EXPECT_THAT(own->summary, HasSubstr("to the host itself"));
  expect_error(ask("/v1/routes/10.1.9.1?vrf=green"), 400, "bad_request", "one of default, blue");
  EXPECT_EQ(routes_from_json(ask("/v1/routes").body)->at(3).account, "blue");
}

TEST(Api, PostureAndMetrics) {
  const auto posture = posture_from_json(reply("GET", "/v1/posture").body);
  ASSERT_TRUE(posture.has_value());
  ASSERT_EQ(posture->tunnels.size(), 3U);
  EXPECT_EQ(posture->up, 2U);
  EXPECT_EQ(posture->hybrid, 1U);
  EXPECT_EQ(posture->classical, 1U);
  EXPECT_EQ(posture->tunnels[0].keys, "inherited");
  EXPECT_TRUE(posture->tunnels[0].fragments_used);
  EXPECT_EQ(posture->tunnels[1].keys, "none");
  EXPECT_EQ(posture->tunnels[1].code, "fragments_lost");
  EXPECT_EQ(posture->tunnels[2].code, "no_intermediate");
  EXPECT_EQ(posture->tunnels[2].ledger.classical_bytes, 5'000'000'000U);
  EXPECT_EQ(posture->classical_bytes, 5'000'000'000U);
  const Reply metrics = reply("GET", "/v1/metrics");
  EXPECT_THAT(metrics.headers, Contains(Pair("Content-Type", "text/plain; version=0.0.4; charset=utf-8")));
  EXPECT_TRUE(is_metrics_request({"GET", "/metrics", ""}));
  EXPECT_TRUE(is_metrics_request({"HEAD", "/metrics?x=1", ""}));
  for (const char* other : {"/", "/v1/status", "/v1/purge", "/metricsx"})
    EXPECT_FALSE(is_metrics_request({"GET", other, ""})) << other;
  EXPECT_FALSE(is_metrics_request({"POST", "/metrics", ""}));
}

TEST(Api, VersionAndPaths) {
  EXPECT_THAT(reply("GET", "/v1/version").body, HasSubstr("ipsec-mb"));
  const Reply paths = reply("GET", "/");
  EXPECT_EQ(paths.status, 200);
  for (const char* path : {"/v1/status", "/v1/status/{name}", "/v1/version", "/v1/tunnels/{name}/up",
                           "/v1/tunnels/{name}/down", "/v1/tunnels/{name}/rekey/child", "/v1/tunnels/{name}/rekey/ike",
                           "/v1/tunnels/{name}/rekey/reauth", "/v1/purge"})
    EXPECT_THAT(paths.body, HasSubstr(path));
}

TEST(Api, Commands) {
  const GatewayCommand up = command("/v1/tunnels/berlin/up");
  EXPECT_EQ(up.verb, Verb::Up);
  EXPECT_EQ(up.tunnel, "berlin");
  EXPECT_TRUE(up.wait);
  EXPECT_FALSE(command("/v1/tunnels/berlin/up?wait=0").wait);
  EXPECT_TRUE(command("/v1/tunnels/berlin/up?wait=1", "{}").wait);
  EXPECT_EQ(command("/v1/tunnels/oslo/down").verb, Verb::Down);
  EXPECT_EQ(command("/v1/tunnels/oslo/rekey/child").verb, Verb::RekeyChild);
  EXPECT_EQ(command("/v1/tunnels/oslo/rekey/ike").verb, Verb::RekeyIke);
  EXPECT_EQ(command("/v1/tunnels/oslo/rekey/reauth").verb, Verb::Reauthenticate);
  EXPECT_EQ(command("/v1/purge").verb, Verb::Purge);
}

TEST(Api, RepliesToCommands) {
  const Reply done = reply_for({Verb::Up, "berlin", true}, {true, "berlin is up, hybrid"});
  EXPECT_EQ(done.status, 200);
  EXPECT_EQ(outcome_from_json(done.body)->message, "berlin is up, hybrid");
  EXPECT_EQ(outcome_from_json(done.body)->command, "up");
  EXPECT_EQ(reply_for({Verb::Down, "berlin", false}, {true, "begun"}).status, 202);
  expect_error(reply_for({Verb::Up, "berlin", true}, {false, "the peer does not answer"}), 409, "up_failed",
               "does not answer");
  expect_error(reply_for({Verb::Purge, "", true}, {false, "no right"}), 409, "purge_failed", "no right");
}

TEST(Api, WhatIsNotThere) {
  expect_error(reply("GET", "/v2"), 404, "not_found", "GET / lists them");
  expect_error(reply("GET", "/v1/status/berlin/more"), 404, "not_found", "there is no path");
  expect_error(reply("GET", "/v1/status/berlim"), 404, "not_found", "did you mean 'berlin'?");
  expect_error(reply("POST", "/v1/tunnels/nowhere-near/up"), 404, "not_found", "there is no tunnel 'nowhere-near'");
  expect_error(reply("POST", "/v1/tunnels//up"), 404, "not_found", "there is no path");
  expect_error(reply("GET", "/v1/status/a%2Fb"), 404, "not_found", "there is no tunnel 'a/b'");
  expect_error(reply("GET", "/v1/status/%1b%00"), 404, "not_found", "\\x1b\\x00");
}

TEST(Api, WrongMethod) {
  const Reply post = reply("POST", "/v1/status");
  expect_error(post, 405, "method_not_allowed", "use GET");
  EXPECT_THAT(post.headers, Contains(Pair("Allow", "GET, HEAD, OPTIONS")));
  const Reply get = reply("GET", "/v1/tunnels/berlin/up");
  expect_error(get, 405, "method_not_allowed", "use POST");
  EXPECT_THAT(get.headers, Contains(Pair("Allow", "POST, OPTIONS")));
  expect_error(reply("", "/"), 405, "method_not_allowed", "use GET");
}

TEST(Api, BadRequests) {
  expect_error(reply("GET", ""), 400, "bad_request", "no path");
  expect_error(reply("GET", "v1/status"), 400, "bad_request", "no path");
  expect_error(reply("GET", "http://x/v1/status"), 400, "bad_request", "no path");
  expect_error(reply("GET", "/v1/status/%zz"), 400, "bad_request", "no path");
  expect_error(reply("GET", "/v1/status/%4"), 400, "bad_request", "no path");
  expect_error(reply("GET", "/v1/status?x=1"), 400, "bad_request", "unknown parameter 'x'");
  expect_error(reply("POST", "/v1/tunnels/berlin/up?wait=soon"), 400, "bad_request", "wait = 'soon'");
  expect_error(reply("POST", "/v1/tunnels/berlin/up?wait"), 400, "bad_request", "wait = ''");
  expect_error(reply("POST", "/v1/purge", "yes"), 400, "bad_request", "no body");
  expect_error(reply("POST", "/v1/purge", std::string(kMaxBody + 1, 'x')), 413, "body_too_large", "octets");
  expect_error(reply("GET", "/" + std::string(kMaxTarget, 'x')), 414, "target_too_long", "characters");
}

TEST(Api, PercentCoding) {
  EXPECT_EQ(percent_decoded("a%2Fb%2f%41"), "a/b/A");
  EXPECT_EQ(percent_decoded("%"), std::nullopt);
  EXPECT_EQ(percent_decoded("%g0"), std::nullopt);
  EXPECT_EQ(percent_encoded("a/b c~\xff"), "a%2Fb%20c~%FF");
  EXPECT_EQ(percent_decoded(percent_encoded("\x01%?&=#")), "\x01%?&=#");
}

TEST(Api, AnyTargetIsAnswered) {
  SeededRng rng{9};
  const Snapshot snapshot = full_snapshot();
  const std::string_view alphabet = "/v1statuberlinp?=&%0aF.\x01\xff ";
  for (int i = 0; i < 20000; ++i) {
    std::string target = rng.below(2) == 0 ? "/v1/tunnels/berlin/up" : "";
    for (std::uint64_t n = rng.below(12); n > 0; --n)
      target.insert(rng.below(target.size() + 1), 1, alphabet[rng.below(alphabet.size())]);
    const auto answer = handle({rng.below(2) == 0 ? "GET" : "POST", target, ""}, snapshot);
    if (const Reply* r = std::get_if<Reply>(&answer)) {
      EXPECT_GE(r->status, 200);
    }
  }
}

}  // namespace
}  // namespace qanat::control
