// A token of one account: nothing of another account's is in any answer.
#include "control/account_view.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "control/api.hpp"
#include "control/control_testing.hpp"
#include "control/endpoints.hpp"

namespace qanat::control {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

// Two accounts with the same prefixes; what is red's has marks that nothing else has.
Snapshot two_accounts() {
  Snapshot out = testing::full_snapshot();
  out.tunnels.clear();
  for (const char* account : {"blue", "red"}) {
    TunnelStatus t = testing::berlin();
    t.account = account;
    t.name = std::string{account} + "-tunnel";
    t.peer = account == std::string{"red"} ? "198.51.100.66" : "198.51.100.7";
    t.ike->remote = t.peer + ":4500";
    t.ike->remote_id = std::string{"fqdn:"} + account + ".example.com";
    t.reason = std::string{"said of "} + account;
    out.tunnels.push_back(t);
  }
  out.tunnels.back().posture.classical_bytes = 717'717'717;
  out.tunnels.back().classical_penalty = 717;
  out.routes.clear();
  out.policy.clear();
  EventRing ring;
  for (const auto& [account, vrf] : {std::pair{"blue", 1U}, std::pair{"red", 2U}}) {
    const std::string tunnel = std::string{account} + "-tunnel";
    RouteStatus same{vrf, "10.1.0.0/16", tunnel, 100, 1, "any", 0, false};
    same.account = account;
    out.routes.push_back(same);
    RouteStatus own = same;
    own.prefix = vrf == 1 ? "10.20.0.0/16" : "10.66.0.0/16";
    out.routes.push_back(own);
    out.policy.push_back({vrf, std::string{account} + "-rule", "drop", vrf == 1 ? 1U : 717'717U, 0, account});
    ring.add({1'790'000'000}, EventLevel::Info, "tunnel-up", {{"tunnel", tunnel}, {"detail", account}}, account);
  }
  ring.add({1'790'000'001}, EventLevel::Warning, "peer-refused", {{"reason", "198.51.100.66 offers nothing"}});
  out.events = ring.recent();
  out.drops = {{"no_route", 717}};
  out.ike_counters = {{"malformed", 717}};
  out.handshakes = {{"hybrid", "mlkem768", 717}};
  out.handshake_times = {{"IKE_SA_INIT", 717, 717, {717}}};
  return out;
}

Principal blue() {
  Principal out{"customer", "blue", true, true, true, false, false};
  return out;
}

std::string filled(std::string path, const std::string& name) {
  if (const std::size_t at = path.find("{name}"); at != std::string::npos) path.replace(at, 6, name);
  return path;
}

Answer ask(std::string_view method, std::string target) {
  return handle({std::string{method}, std::move(target), "", {}, blue()}, two_accounts());
}

TEST(AccountView, NoAnswerTellsOfAnotherAccount) {
  int answered = 0;
  for (const Endpoint& row : endpoints()) {
    if (row.is_object() || row.method != "GET") continue;
    for (const char* name : {"blue-tunnel", "red-tunnel", "10.1.2.3", "10.66.0.1", "x"}) {
      const Answer answer = ask("GET", filled(std::string{row.path}, name));
      if (const auto* wish = std::get_if<EventStreamWish>(&answer)) {
        EXPECT_EQ(wish->account, "blue") << "whose events the stream has";
        continue;
      }
      const Reply& reply = std::get<Reply>(answer);
      EXPECT_EQ(reply.status == 403, row.view == View::Refused) << row.path;
      answered += reply.status == 200;
      std::string body = reply.body;  // an error repeats what was asked
      if (const std::size_t at = body.find("'" + std::string{name} + "'");
          at != std::string::npos && reply.status != 200)
        body.erase(at, std::string_view{name}.size() + 2);
      for (const char* mark : {"red", "198.51.100.66", "717", "10.66.", "\"vrf\":2", "\"vrf\":1"}) {
        if (std::string_view{name} == "10.66.0.1" && std::string_view{mark} == "10.66.") continue;
        if (std::string_view{row.path} == "/v1/openapi.json" && std::string_view{mark} == "red") continue;  // "shared"
        // "required", "measured": the mark alone counts.
        for (std::size_t at = 0; (at = body.find(mark, at)) != std::string::npos; ++at) {
          const bool inside =
              std::string_view{mark} == "red" && at > 0 && std::isalpha(static_cast<unsigned char>(body[at - 1])) != 0;
          EXPECT_TRUE(inside) << row.path << " " << name << ": " << mark << " in " << body;
        }
      }
    }
  }
  EXPECT_GE(answered, 20);
}

TEST(AccountView, ItsOwnIsThere) {
  const auto json = [](const char* target) {
    const Answer answer = ask("GET", target);
    const Reply& reply = std::get<Reply>(answer);
    EXPECT_EQ(reply.status, 200) << target << reply.body;
    return Json::parse(reply.body);
  };
  EXPECT_EQ(json("/v1/status")["tunnels"].size(), 1U);
  EXPECT_EQ(json("/v1/status")["api"], nullptr);
  EXPECT_EQ(json("/v1/status/blue-tunnel")["name"], "blue-tunnel");
  EXPECT_EQ(json("/v1/posture")["up"], 1);
  EXPECT_EQ(json("/v1/events")["events"].size(), 1U);
  EXPECT_EQ(json("/v1/routes")["routes"].size(), 2U);
  EXPECT_EQ(json("/v1/rules")["rules"].size(), 1U);
  EXPECT_EQ(json("/v1/routes/10.1.2.3")["tunnel"], "blue-tunnel") << "in its own routing world";
  EXPECT_EQ(json("/v1/routes/10.66.0.1")["tunnel"], "");
}

TEST(AccountView, ItCommandsItsOwnTunnelsOnly) {
  for (const Endpoint& row : endpoints()) {
    if (row.is_object() || row.method != "POST") continue;
    const std::string confirm = row.action == Action::ForgetPin ? "?confirm=" : "";
    const auto target = [&](const std::string& name) {
      return filled(std::string{row.path}, name) + (confirm.empty() ? "" : confirm + name);
    };
    const Answer other = ask("POST", target("red-tunnel"));
    ASSERT_TRUE(std::holds_alternative<Reply>(other)) << row.path;
    EXPECT_EQ(std::get<Reply>(other).status, row.view == View::Refused ? 403 : 404) << row.path;
    EXPECT_THAT(std::get<Reply>(other).body, Not(HasSubstr("did you mean 'red")));
    EXPECT_EQ(std::holds_alternative<GatewayCommand>(ask("POST", target("blue-tunnel"))), row.view == View::Account);
  }
}

TEST(AccountView, AnAccountThatHasNothingSeesNothing) {
  const Snapshot empty = account_view(two_accounts(), "green");
  EXPECT_TRUE(empty.tunnels.empty() && empty.routes.empty() && empty.policy.empty() && empty.events.empty());
  EXPECT_TRUE(empty.drops.empty() && empty.ike_counters.empty() && empty.handshakes.empty() && !empty.api);
}

}  // namespace
}  // namespace qanat::control
