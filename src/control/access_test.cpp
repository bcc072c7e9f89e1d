#include "control/access.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "control/endpoints.hpp"

namespace qanat::control {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

const Instant kNow = Instant::from_ns(1'000'000'000'000);
const IpAddress kFrom = *IpAddress::parse("192.0.2.9");

std::optional<Principal> known(std::string_view bearer) {
  if (bearer == "reader") return Principal{"reader", std::nullopt, true, false, false, true};
  if (bearer == "writer") return Principal{"writer", std::nullopt, true, true, false, true};
  if (bearer == "tenant") return Principal{"tenant", "blue", true, true, true, true};
  return std::nullopt;
}

Request ask(std::string method, std::string target, const std::string& authorization = {}) {
  Request request{std::move(method), std::move(target), "", {{"host", "h"}}, {}};
  if (!authorization.empty()) request.headers.emplace_back("authorization", authorization);
  return request;
}

int status(Access& access, Request request) {
  const auto refused = access.admit(request, kFrom, kNow, known);
  return refused ? refused->status : 200;
}

TEST(Access, TheTokenSaysWhoAsks) {
  Access access;
  Request request = ask("GET", "/v1/status", "bEARER   writer");
  EXPECT_FALSE(access.admit(request, kFrom, kNow, known));
  EXPECT_EQ(request.principal.name, "writer");
  EXPECT_TRUE(request.principal.write);
  EXPECT_FALSE(request.principal.local) << "whatever the token says: this is no Unix socket";
  EXPECT_EQ(request.headers, (Headers{{"host", "h"}})) << "nobody behind this sees the token";
}

TEST(Access, WithoutATokenThereIsThePageAndTheHealth) {
  Access access;
  for (const char* target : {"/", "/index.html", "/app.js?x=1", "/v1/health", "/v12", "/client/v45"}) {
    Request request = ask("GET", target);
    EXPECT_FALSE(access.admit(request, kFrom, kNow, known)) << target;
    EXPECT_FALSE(request.principal.read || request.principal.write || request.principal.local) << target;
  }
  for (const char* target :
       {"/v1", "/v1/", "/v1/status", "/v1/health/x", "/client/v4", "/client/v4/accounts/a/pcaps", "/v1?x=/v1/health"})
    EXPECT_EQ(status(access, ask("GET", target)), 401) << target;
}

TEST(Access, ScopesAreHeldTo) {
  Access access;
  EXPECT_EQ(status(access, ask("GET", "/v1/status", "Bearer reader")), 200);
  EXPECT_EQ(status(access, ask("POST", "/v1/tunnels/x/up", "Bearer reader")), 403);
  EXPECT_EQ(status(access, ask("DELETE", "/client/v4/accounts/a/magic/routes", "Bearer reader")), 403);
  EXPECT_EQ(status(access, ask("OPTIONS", "/v1/status", "Bearer reader")), 200);
  EXPECT_EQ(status(access, ask("BREW", "/v1/status", "Bearer reader")), 403) << "what is not known to read, writes";
  EXPECT_EQ(status(access, ask("POST", "/v1/tunnels/x/up", "Bearer writer")), 200);
  EXPECT_EQ(status(access, ask("GET", "/client/v4/accounts/a/pcaps", "Bearer writer")), 403) << "packets are no status";
  EXPECT_EQ(status(access, ask("GET", "/client/v4/accounts/a/pcaps", "Bearer tenant")), 200);
  EXPECT_EQ(status(access, ask("POST", "/v1/purge", "Bearer writer")), 403);
  EXPECT_EQ(status(access, ask("POST", "/v1/purge?x", "Bearer writer")), 403);
}

TEST(Access, ATokenOfOneAccountIsRefusedWhatIsAboutTheWholeGateway) {
  Access access{
      {.address = {.per_second = 1000, .burst = 1000}, .token = {.per_second = 1000, .burst = 1000}, .wrong = {}}};
  for (const Endpoint& row : endpoints()) {
    std::string path{row.path};
    for (const char* what : {"{name}", "{id}", "{account_id}"}) {
      if (const std::size_t at = path.find(what); at != std::string::npos)
        path.replace(at, std::string_view{what}.size(), "blue");
    }
    Request request = ask(std::string{row.method}, path, "Bearer tenant");
    const auto refused = access.admit(request, kFrom, kNow, known);
    EXPECT_EQ(refused.has_value(), row.view == View::Refused) << row.method << " " << path;
    if (refused) {
      EXPECT_EQ(refused->status, 403);
      EXPECT_THAT(refused->body,
                  row.scope == Scope::Local ? HasSubstr("Unix socket") : HasSubstr("token of all accounts"));
    } else if (row.scope != Scope::None) {
      EXPECT_EQ(request.principal.account, "blue") << "whose objects these are, the handlers check";
    }
  }
}

TEST(Access, RefusalsHaveTheFormThatTheClientReads) {
  Access access;
  Request request = ask("GET", "/client/v4/accounts/a/magic/ipsec_tunnels", "Bearer wrong");
  const auto refused = access.admit(request, kFrom, kNow, known);
  ASSERT_TRUE(refused);
  const Json body = Json::parse(refused->body);
  EXPECT_EQ(body["success"], false);
  EXPECT_EQ(body["errors"][0]["code"], 10000);
  EXPECT_TRUE(body["result"].is_null());
  EXPECT_EQ(body["messages"], Json::array());
  EXPECT_THAT(refused->headers,
              ::testing::Contains(std::pair<std::string, std::string>{"WWW-Authenticate", "Bearer realm=\"qanat\""}));
  Request ours = ask("GET", "/v1/status");
  EXPECT_EQ(Json::parse(access.admit(ours, kFrom, kNow, known)->body)["error"]["code"], "unauthorized");
}

TEST(Access, GuessersWaitAndOthersDoNot) {
  Access access{{.address = {.per_second = 1000, .burst = 1000},
                 .token = {.per_second = 1, .burst = 3},
                 .wrong = {.per_second = 1, .burst = 5}}};
  int told = 0;
  for (int i = 0; i < 100; ++i) told += status(access, ask("GET", "/v1/status", "Bearer guess")) == 401 ? 1 : 0;
  EXPECT_EQ(told, 5);
  Request request = ask("GET", "/client/v4/x", "Bearer writer");
  const auto refused = access.admit(request, kFrom, kNow, known);
  ASSERT_TRUE(refused) << "a right guess is not told either";
  EXPECT_EQ(refused->status, 429);
  EXPECT_THAT(refused->headers, ::testing::Contains(std::pair<std::string, std::string>{"Retry-After", "1"}));
  EXPECT_THAT(refused->body, HasSubstr("\"code\":971"));
  const IpAddress other = *IpAddress::parse("192.0.2.10");
  EXPECT_FALSE(access.admit(request = ask("GET", "/v1/status", "Bearer writer"), other, kNow, known));
  EXPECT_EQ(status(access, ask("GET", "/")), 200);
  // One token, whatever the address.
  for (int i = 0; i < 2; ++i)
    EXPECT_FALSE(access.admit(request = ask("GET", "/v1", "Bearer writer"), other, kNow, known));
  EXPECT_EQ(access.admit(request = ask("GET", "/v1", "Bearer writer"), other, kNow, known)->status, 429);
  EXPECT_FALSE(access.admit(request = ask("GET", "/v1", "Bearer writer"), other, kNow + 1s, known));
}

TEST(Access, AddressesOfOneSiteCountAsOne) {
  Access access{{.address = {.per_second = 1, .burst = 10}, .token = {}, .wrong = {}}};
  int answered = 0;
  for (int i = 0; i < 100; ++i) {
    Request request = ask("GET", "/");
    const auto from = *IpAddress::parse("2001:db8:0:1::" + std::to_string(i + 1));
    answered += access.admit(request, from, kNow, known) ? 0 : 1;
  }
  EXPECT_EQ(answered, 10);
}

}  // namespace
}  // namespace qanat::control
