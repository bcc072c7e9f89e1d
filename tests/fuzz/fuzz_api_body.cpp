// Any bytes as the body of a request to the object API: it answers with JSON, a refusal changes nothing, what it takes
// is a whole configuration, and the next process reads what was stored.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "gateway/object_rooms.hpp"

namespace {

using namespace qanat;

struct Ask {
  std::string_view method;
  std::string_view target;
};
constexpr std::string_view kTunnel = "/client/v4/accounts/default/magic/ipsec_tunnels";
constexpr std::string_view kRoutes = "/client/v4/accounts/default/magic/routes";
// TUNNEL and ROUTE are ids of what there is; seeds begin with a place in this list, so more are added at its end.
constexpr std::array<Ask, 16> kAsks{{{"POST", "/client/v4/accounts/default/magic/ipsec_tunnels"},
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
                                     {"PATCH", "/client/v4/accounts/default/magic/ipsec_tunnels/TUNNEL"}}};

void put_id(std::string& target, std::string_view word, const std::string& id) {
  if (const std::size_t at = target.find(word); at != std::string::npos) target.replace(at, word.size(), id);
}

std::shared_ptr<const control::LoadedFile> file() {
  model::Config config;
  config.gateway.address4 = IpAddress::parse("203.0.113.1").value();
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
  control::ObjectApi api{store, gateway::object_rooms()};
  ensure(api.load().has_value(), "an empty store is read");
  const control::Situation situation{WallTime{1'800'000'000}, &rng, nullptr, kFile};
  const std::string body = R"({"name":"a","cloudflare_endpoint":"203.0.113.1","customer_endpoint":"198.51.100.7",)"
                           R"("interface_address":"10.0.0.0/31","psk":"the key that must not be seen"})";
  const auto made = api.handle({"POST", std::string{kTunnel}, body, {}, {}}, situation);
  const std::string tunnel = nlohmann::json::parse(made->body)["result"]["id"];
  const auto way = api.handle(
      {"POST", std::string{kRoutes}, R"({"prefix":"10.9.0.0/16","nexthop":"10.0.0.1","priority":100})", {}, {}},
      situation);
  const std::string route = nlohmann::json::parse(way->body)["result"]["id"];
  (void)api.handle({"POST", "/v1/policy", R"({"name":"rule","action":"allow"})", {}, {}}, situation);
  (void)api.poll_wanted();

  const Ask& ask = kAsks[data[0] % kAsks.size()];
  std::string target{ask.target};
  put_id(target, "TUNNEL", tunnel);
  put_id(target, "ROUTE", route);
  const std::uint64_t before = store.list("")->revision;
  const auto reply = api.handle(
      {std::string{ask.method}, target, {reinterpret_cast<const char*>(data) + 1, size - 1}, {}, {}}, situation);
  ensure(reply.has_value(), "the target is the API's");
  const auto answer = nlohmann::json::parse(reply->body, nullptr, false);
  ensure(answer.is_object(), "an answer is a JSON object");
  ensure(reply->body.find("the key that must not be seen") == std::string::npos, "a PSK is never read back");
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
