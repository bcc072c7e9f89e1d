// An API with a file and a store in memory, asked as clients do.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/rng.hpp"
#include "config/config.hpp"
#include "control/object_api.hpp"
#include "gateway/object_rooms.hpp"
#include "store/object_store.hpp"

namespace qanat::api_test {

using nlohmann::json;

inline constexpr std::string_view kFile = R"([gateway]
address = ["203.0.113.1", "2001:db8::1"]

[[tunnel]]
name = "paris"
peer = "198.51.100.99"
psk = "a key of the file that nobody sees"
interface = "10.255.9.0/31"
routes = ["10.9.0.0/16"]

[[policy]]
name = "no-telnet"
protocol = "tcp"
to_ports = "23"
action = "drop"
)";

inline std::shared_ptr<const control::LoadedFile> file_of(std::string_view text) {
  const auto read = [](const std::string& path) -> Result<SecretBytes> {
    return fail(ErrorKind::Resource, path, "cannot be read");
  };
  auto loaded = config::load(text, "/etc/qanat/qanat.toml", read);
  EXPECT_TRUE(loaded) << (loaded ? "" : config::render_problems(loaded.error()));
  auto out = std::make_shared<control::LoadedFile>();
  out->config = std::make_shared<const model::Config>(loaded ? loaded->config : model::Config{});
  out->name = "/etc/qanat/qanat.toml";
  out->loaded = WallTime{1'790'000'000};
  if (loaded) out->lines = loaded->lines;
  return out;
}

// What the acceptance test of the Terraform provider makes, with this gateway's address.
inline json tunnel_body(const std::string& name, int number = 0) {
  return {
      {"name", name},
      {"cloudflare_endpoint", "203.0.113.1"},
      {"customer_endpoint", "198.51." + std::to_string(number / 250) + "." + std::to_string(number % 250 + 1)},
      {"interface_address", "10." + std::to_string(200 + number / 25'000) + "." + std::to_string(number / 100 % 250) +
                                "." + std::to_string(number % 100 * 2) + "/31"},
      {"psk", "a pre-shared key of a client"}};
}

class World : public ::testing::Test {
 protected:
  static constexpr const char* kTunnels = "/client/v4/accounts/0123456789abcdef0123456789abcdef/magic/ipsec_tunnels";
  static constexpr const char* kRoutes = "/client/v4/accounts/0123456789abcdef0123456789abcdef/magic/routes";

  void SetUp() override { ASSERT_TRUE(api_->load()); }

  control::Reply ask(const std::string& method, const std::string& target, const std::string& body = "") {
    control::Request request{method, target, body, headers_, who_};
    auto reply = api_->handle(request, {now_, &rng_, snapshot_, file_, tested_});
    EXPECT_TRUE(reply) << target;
    return reply.value_or(control::Reply{});
  }
  // The reply of Cloudflare's envelope, which must be good.
  json envelope(const std::string& method, const std::string& target, const json& body = {}) {
    const control::Reply reply = ask(method, target, body.is_null() ? "" : body.dump());
    EXPECT_EQ(reply.status, 200) << method << " " << target << " " << reply.body;
    json out = json::parse(reply.body, nullptr, false);
    EXPECT_TRUE(out.is_object() && out.value("success", false) && out["errors"].empty()) << reply.body;
    return out;
  }
  json result(const std::string& method, const std::string& target, const json& body = {}) {
    return envelope(method, target, body)["result"];
  }
  json own(const std::string& method, const std::string& target, const json& body = {}, int status = 200) {
    const control::Reply reply = ask(method, target, body.is_null() ? "" : body.dump());
    EXPECT_EQ(reply.status, status) << reply.body;
    return json::parse(reply.body, nullptr, false);
  }
  // A refusal: its messages, one a line, and nothing changed.
  std::string refused(int status, const std::string& method, const std::string& target, const std::string& body) {
    const std::uint64_t before = store_.list("")->revision;
    const control::Reply reply = ask(method, target, body);
    EXPECT_EQ(reply.status, status) << reply.body;
    EXPECT_EQ(store_.list("")->revision, before) << "half-applied";
    EXPECT_FALSE(api_->poll_wanted());
    const json out = json::parse(reply.body, nullptr, false);
    EXPECT_TRUE(out.is_object()) << reply.body;
    if (out.contains("error")) return out["error"]["message"];
    EXPECT_FALSE(out.value("success", true));
    EXPECT_TRUE(out["result"].is_null());
    std::string messages;
    for (const json& one : out["errors"]) {
      EXPECT_TRUE(one["code"].is_number_integer());
      messages += one["message"].get<std::string>() + "\n";
    }
    return messages;
  }
  std::string refused(int status, const std::string& method, const std::string& target, const json& body = {}) {
    return refused(status, method, target, body.is_null() ? std::string{} : body.dump());
  }
  // The configuration that the last write wants.
  model::Config wanted() {
    auto config = api_->poll_wanted();
    EXPECT_TRUE(config);
    return config.value_or(model::Config{});
  }
  const model::Tunnel* in(const model::Config& config, std::string_view name) {
    for (const model::Tunnel& tunnel : config.tunnels) {
      if (tunnel.name == name) return &tunnel;
    }
    return nullptr;
  }
  void restart() {
    api_ = std::make_unique<control::ObjectApi>(store_, gateway::object_rooms());
    ASSERT_TRUE(api_->load());
  }

  store::MemoryObjectStore store_;
  SeededRng rng_{1};
  WallTime now_{1'800'000'000};
  std::shared_ptr<const control::Snapshot> snapshot_;
  std::shared_ptr<const control::LoadedFile> file_ = file_of(kFile);
  std::optional<control::WebhookTested> tested_;  // what came of the test message of a webhook
  control::Headers headers_;
  control::Principal who_;
  std::unique_ptr<control::ObjectApi> api_ = std::make_unique<control::ObjectApi>(store_, gateway::object_rooms());
};

}  // namespace qanat::api_test
