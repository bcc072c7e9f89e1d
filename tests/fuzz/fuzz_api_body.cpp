// Any bytes as the body of a request to the object API: it answers with JSON, a refusal changes nothing, what it takes
// is a whole configuration, and the next process reads what was stored.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "control/captures.hpp"
#include "gateway/object_rooms.hpp"

namespace {

using namespace qanat;

struct Ask {
  std::string_view method;
  std::string_view target;
};
constexpr std::string_view kTunnel = "/client/v4/accounts/default/magic/ipsec_tunnels";
constexpr std::string_view kRoutes = "/client/v4/accounts/default/magic/routes";
constexpr std::string_view kHooks = "/client/v4/accounts/default/alerting/v3/destinations/webhooks";
constexpr std::string_view kAlerts = "/client/v4/accounts/default/alerting/v3/policies";
// TUNNEL, ROUTE, HOOK and ALERT are ids of what there is; seeds begin with a place in this list, so more are added at
// its end.
constexpr std::array<Ask, 25> kAsks{{{"POST", "/client/v4/accounts/default/magic/ipsec_tunnels"},
                                     {"PUT", "/client/v4/accounts/default/magic/ipsec_tunnels"},
                                     {"PUT", "/client/v4/accounts/default/magic/ipsec_tunnels/TUNNEL"},
                                     {"POST", "/client/v4/accounts/default/magic/routes"},
                                     {"PUT", "/client/v4/accounts/default/magic/routes"},
                                     {"DELETE", "/client/v4/accounts/default/magic/routes"},
                                     {"POST", "/v1/tokens"},
                                     {"POST", "/v1/policy"},
                                     {"PUT", "/client/v4/accounts/default/magic/routes/ROUTE"},
                                     {"PUT", "/v1/policy/rule"},
                                     {"POST", "/client/v4/accounts/default/magic/ipsec_tunnels/TUNNEL/psk_generate"},
                                     {"POST", "/v1/import"},
                                     {"POST", "/v1/export"},
                                     {"POST", "/client/v4/accounts/default/magic/ipsec_tunnels?validate_only=true"},
                                     {"DELETE", "/client/v4/accounts/default/magic/ipsec_tunnels/TUNNEL"},
                                     {"PATCH", "/client/v4/accounts/default/magic/ipsec_tunnels/TUNNEL"},
                                     {"POST", "/client/v4/accounts/default/pcaps"},
                                     {"POST", "/client/v4/accounts/default/pcaps?validate_only=true"},
                                     {"POST", "/client/v4/accounts/default/alerting/v3/destinations/webhooks"},
                                     {"PUT", "/client/v4/accounts/default/alerting/v3/destinations/webhooks/HOOK"},
                                     {"POST", "/client/v4/accounts/default/alerting/v3/policies"},
                                     {"PUT", "/client/v4/accounts/default/alerting/v3/policies/ALERT"},
                                     {"POST", "/client/v4/accounts/default/alerting/v3/silences"},
                                     {"PUT", "/client/v4/accounts/default/alerting/v3/silences"},
                                     {"DELETE", "/client/v4/accounts/default/alerting/v3/destinations/webhooks/HOOK"}}};

// As daemon/capture_desk has it, without packets.
class Room final : public control::CaptureRoom {
 public:
  std::optional<std::string> refusal(const control::CaptureWish& wish) override { return book_.refusal(wish); }
  void start(control::CaptureWish wish) override {
    book_.start({}, std::chrono::seconds{1'800'000'000}, std::move(wish));
  }
  void stop(const std::string& id) override { book_.stop({}, id); }
  void remove(const std::string& id) override { book_.remove(id); }
  std::vector<control::CaptureStatus> list(std::string_view account) override { return book_.list(account); }
  std::shared_ptr<control::BodyStream> open(const std::string&, Follow) override { return nullptr; }

 private:
  control::CaptureBook book_{"fuzz"};
};

void put_id(std::string& target, std::string_view word, const std::string& id) {
  if (const std::size_t at = target.find(word); at != std::string::npos) target.replace(at, word.size(), id);
}

std::shared_ptr<const control::LoadedFile> file() {
  model::Config config;
  config.gateway.address4 = IpAddress::parse("203.0.113.1").value();
  config.gateway.webhooks = true;
  auto out = std::make_shared<control::LoadedFile>();
  out->config = std::make_shared<const model::Config>(config);
  out->name = "fuzz.toml";
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static const auto kFile = file();
  store::MemoryObjectStore store;
  SeededRng rng{1};
  Room room;
  control::ObjectApi api{store, gateway::object_rooms()};
  api.use_captures(&room);
  ensure(api.load().has_value(), "an empty store is read");
  const control::Situation situation{WallTime{1'800'000'000}, &rng, nullptr, kFile,
                                     control::WebhookTested{true, "200"}};
  const std::string body = R"({"name":"a","cloudflare_endpoint":"203.0.113.1","customer_endpoint":"198.51.100.7",)"
                           R"("interface_address":"10.0.0.0/31","psk":"the key that must not be seen"})";
  const auto made = api.handle({"POST", std::string{kTunnel}, body, {}, {}}, situation);
  const std::string tunnel = nlohmann::json::parse(made->body)["result"]["id"];
  const auto way = api.handle(
      {"POST", std::string{kRoutes}, R"({"prefix":"10.9.0.0/16","nexthop":"10.0.0.1","priority":100})", {}, {}},
      situation);
  const std::string route = nlohmann::json::parse(way->body)["result"]["id"];
  (void)api.handle({"POST", "/v1/policy", R"({"name":"rule","action":"allow"})", {}, {}}, situation);
  const auto id_of = [](const std::optional<control::Reply>& reply) -> std::string {
    return nlohmann::json::parse(reply->body)["result"]["id"];
  };
  const std::string hook =
      id_of(api.handle({"POST",
                        std::string{kHooks},
                        R"({"name":"h","url":"https://example.com/","secret":"the-secret-of-the-hook"})",
                        {},
                        {}},
                       situation));
  const std::string alert = id_of(api.handle(
      {"POST",
       std::string{kAlerts},
       R"({"name":"p","alert_type":"magic_tunnel_health_check_event","enabled":true,"mechanisms":{"webhooks":[{"id":")" +
           hook + "\"}]}}",
       {},
       {}},
      situation));
  (void)api.poll_wanted();

  const Ask& ask = kAsks[data[0] % kAsks.size()];
  std::string target{ask.target};
  put_id(target, "TUNNEL", tunnel);
  put_id(target, "ROUTE", route);
  put_id(target, "HOOK", hook);
  put_id(target, "ALERT", alert);
  const std::uint64_t before = store.list("")->revision;
  const auto reply = api.handle(
      {std::string{ask.method}, target, {reinterpret_cast<const char*>(data) + 1, size - 1}, {}, {}}, situation);
  ensure(reply.has_value(), "the target is the API's");
  const auto answer = nlohmann::json::parse(reply->body, nullptr, false);
  ensure(answer.is_object(), "an answer is a JSON object");
  ensure(reply->body.find("the key that must not be seen") == std::string::npos, "a PSK is never read back");
  ensure(reply->body.find("the-secret-of-the-hook") == std::string::npos, "nor is a webhook's secret");
  const bool good = reply->status == 200 || reply->status == 201;
  constexpr std::array kRefusals{400, 403, 404, 405, 409, 413};
  ensure(good || std::find(kRefusals.begin(), kRefusals.end(), reply->status) != kRefusals.end(),
         "a refusal is the client's");
  const auto wanted = api.poll_wanted();
  if (!good) ensure(store.list("")->revision == before && !wanted, "a refusal changes nothing");

  control::ObjectApi next{store, gateway::object_rooms()};
  ensure(next.load().has_value(), "what was stored is read");
  const auto again = next.wanted_with(*kFile);
  ensure(again.has_value(), "what was stored is good");
  if (wanted) ensure(*wanted == *again, "what was stored is what was wanted");
  return 0;
}
