// What /v1/openapi.json says of the objects' paths is what they do: every method that it names is served, and no other.
#include <map>
#include <set>

#include "api/world.hpp"
#include "control/captures.hpp"
#include "control/endpoints.hpp"

namespace qanat::api_test {
namespace {

// Captures that nobody makes.
class IdleCaptures final : public control::CaptureRoom {
 public:
  std::optional<std::string> refusal(const control::CaptureWish&) override { return std::nullopt; }
  void start(control::CaptureWish wish) override { book.start({}, {}, std::move(wish)); }
  void stop(const std::string& id) override { book.stop({}, id); }
  void remove(const std::string& id) override { book.remove(id); }
  std::vector<control::CaptureStatus> list(std::string_view account) override { return book.list(account); }
  std::shared_ptr<control::BodyStream> open(const std::string&, Follow) override { return nullptr; }
  control::CaptureBook book{"qanat test"};
};

class Described : public World {
 protected:
  // The path with what is there in the place of its names.
  std::string filled(std::string path) {
    const auto put = [&](const std::string& what, const std::string& with) {
      if (const std::size_t at = path.find(what); at != std::string::npos) path.replace(at, what.size(), with);
    };
    put("{account_id}", "default");
    if (path.starts_with("/v1/tokens")) put("{id}", token_);
    if (path.find("/pcaps/") != std::string::npos) put("{id}", capture_);
    if (path.find("/policies/") != std::string::npos) put("{id}", policy_);
    if (path.find("/webhooks/") != std::string::npos) put("{id}", webhook_);
    if (path.find("/silences/") != std::string::npos) put("{id}", silence_);
    put("{id}", path.find("ipsec_tunnels") != std::string::npos ? tunnel_ : route_);
    put("{name}", "rule");
    return path;
  }
  std::string tunnel_;
  std::string route_;
  std::string token_;
  std::string capture_;
  IdleCaptures captures_;
  std::string webhook_;
  std::string policy_;
  std::string silence_;
};

TEST_F(Described, IsServedAndNothingElse) {
  std::string text{kFile};
  text.insert(text.find("\n\n"), "\nwebhooks = true");
  file_ = file_of(text);
  tunnel_ = result("POST", kTunnels, tunnel_body("berlin"))["id"];
  route_ = result("POST", kRoutes, {{"prefix", "10.1.0.0/16"}, {"nexthop", "10.255.9.1"}, {"priority", 1}})["id"];
  token_ = own("POST", "/v1/tokens", {{"name", "t"}, {"scopes", {"read"}}}, 201)["token"]["id"];
  own("POST", "/v1/policy", {{"name", "rule"}, {"action", "drop"}}, 201);
  api_->use_captures(&captures_);
  capture_ = result("POST", "/client/v4/accounts/default/pcaps",
                    {{"type", "simple"}, {"system", "magic-transit"}, {"time_limit", 1}, {"packet_limit", 1}})["id"];
  const std::string alerting = "/client/v4/accounts/default/alerting/v3";
  tested_.emplace(true, "200");
  webhook_ = result("POST", alerting + "/destinations/webhooks", {{"name", "w"}, {"url", "https://a.example"}})["id"];
  policy_ = result("POST", alerting + "/policies",
                   {{"name", "p"},
                    {"alert_type", "qanat_classical_keys"},
                    {"mechanisms", {{"webhooks", {{{"id", webhook_}}}}}}})["id"];
  silence_ = json::parse(
      ask("POST", alerting + "/silences",
          json::array(
              {{{"policy_id", policy_}, {"start_time", "2027-01-01T00:00:00Z"}, {"end_time", "2027-01-02T00:00:00Z"}}})
              .dump())
          .body)["result"][0]["id"];
  std::map<std::string, std::set<std::string>> methods;
  for (const auto& endpoint : control::endpoints()) {
    if (endpoint.is_object()) methods[std::string{endpoint.path}].insert(std::string{endpoint.method});
  }
  EXPECT_GE(methods.size(), 14U);
  for (const auto& [path, known] : methods) {
    for (const char* method : {"GET", "POST", "PUT", "DELETE"}) {
      if (std::string_view{method} == "DELETE" && known.contains(method)) continue;  // last: below
      const int status = ask(method, filled(path), "{\"no\":1}").status;
      if (known.contains(method)) {
        // 409: the download of a capture that still runs
        EXPECT_TRUE(status == 200 || status == 400 || status == 403 || status == 409)
            << method << " " << path << " " << status;
      } else {
        EXPECT_EQ(status, 405) << method << " " << path;
      }
    }
  }
  for (const std::string& path :
       {"/silences/" + silence_, "/policies/" + policy_, "/destinations/webhooks/" + webhook_})
    EXPECT_EQ(ask("DELETE", alerting + path).status, 200);
  for (const char* path : {"/v1/tokens/{id}", "/v1/policy/{name}"}) EXPECT_EQ(ask("DELETE", filled(path)).status, 200);
  EXPECT_EQ(ask("DELETE", "/client/v4/accounts/default/pcaps/" + capture_).status, 200);
  for (const std::string& path : {std::string{kRoutes} + "/" + route_, std::string{kTunnels} + "/" + tunnel_})
    EXPECT_EQ(ask("DELETE", path).status, 200);
}

}  // namespace
}  // namespace qanat::api_test
