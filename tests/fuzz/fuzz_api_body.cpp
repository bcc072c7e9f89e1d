// Any bytes as the body of a request to the object API: it answers with JSON, a refusal changes nothing, what it takes
// is a whole configuration, and the next process reads what was stored.
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
constexpr std::array<Ask, 8> kAsks{{{"POST", "/client/v4/accounts/default/magic/ipsec_tunnels"},
                                    {"PUT", "/client/v4/accounts/default/magic/ipsec_tunnels"},
                                    {"PUT", "/client/v4/accounts/default/magic/ipsec_tunnels/ID"},
                                    {"POST", "/client/v4/accounts/default/magic/routes"},
                                    {"PUT", "/client/v4/accounts/default/magic/routes"},
                                    {"DELETE", "/client/v4/accounts/default/magic/routes"},
                                    {"POST", "/v1/tokens"},
                                    {"POST", "/v1/policy"}}};

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
  const std::string id = nlohmann::json::parse(made->body)["result"]["id"];
  (void)api.poll_wanted();

  const Ask& ask = kAsks[data[0] % kAsks.size()];
  std::string target{ask.target};
  if (const std::size_t at = target.find("ID"); at != std::string::npos) target.replace(at, 2, id);
  const std::uint64_t before = store.list("")->revision;
  const auto reply = api.handle(
      {std::string{ask.method}, target, {reinterpret_cast<const char*>(data) + 1, size - 1}, {}, {}}, situation);
  ensure(reply.has_value(), "the target is the API's");
  const auto answer = nlohmann::json::parse(reply->body, nullptr, false);
  ensure(answer.is_object(), "an answer is a JSON object");
  ensure(reply->body.find("the key that must not be seen") == std::string::npos, "a PSK is never read back");
  const bool good = reply->status == 200 || reply->status == 201;
  ensure(good || reply->status == 400 || reply->status == 404 || reply->status == 409, "a refusal is the client's");
  const auto wanted = api.poll_wanted();
  if (!good) ensure(store.list("")->revision == before && !wanted, "a refusal changes nothing");

  control::ObjectApi next{store, gateway::object_rooms()};
  ensure(next.load().has_value(), "what was stored is read");
  const auto again = next.wanted_with(*kFile);
  ensure(again.has_value(), "what was stored is good");
  if (wanted) ensure(*wanted == *again, "what was stored is what was wanted");
  return 0;
}
