// Every field with wrong type, range, encoding, size and conflict: one clear message that names field, value and what
// is allowed; nothing half-applied.
#include "api/world.hpp"

namespace qanat::api_test {
namespace {

using ::testing::HasSubstr;

struct Row {
  const char* field;    // a JSON pointer
  const char* value;    // JSON text; "" takes the field away
  const char* message;  // part of it
  int status = 400;
};

std::string name_of(const ::testing::TestParamInfo<Row>& row) {
  std::string out = std::to_string(row.index) + "_";
  for (const char c : std::string{row.param.field}) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) out += c;
  }
  return out;
}

json changed(json body, const Row& row) {
  if (std::string_view{row.value}.empty()) {
    body.erase(std::string{row.field}.substr(1));
  } else {
    body[json::json_pointer{row.field}] = json::parse(row.value);
  }
  return body;
}

class TunnelFields : public World, public ::testing::WithParamInterface<Row> {};

TEST_P(TunnelFields, AreRefusedByName) {
  const Row row = GetParam();
  const json bad = changed(tunnel_body("berlin"), row);
  const std::string made = refused(row.status, "POST", kTunnels, bad);
  EXPECT_THAT(made, HasSubstr(row.message));
  EXPECT_EQ(std::count(made.begin(), made.end(), '\n'), 1) << made;
  // The same when it comes as a change of a good one.
  const std::string id = result("POST", kTunnels, tunnel_body("berlin"))["id"];
  (void)wanted();
  if (std::string_view{row.value}.empty()) return;
  const json change = changed(json::object(), row);
  EXPECT_THAT(refused(row.status, "PUT", std::string{kTunnels} + "/" + id, change), HasSubstr(row.message));
}

INSTANTIATE_TEST_SUITE_P(
    All, TunnelFields,
    ::testing::Values(
        Row{"/name", "", "name is missing"}, Row{"/name", "5", "name = 5: must be text"},
        Row{"/name", "\"\"", "name = \"\": must be 1 to 63"},
        Row{"/name", "\"a b\"", "name = \"a b\": must be 1 to 63"},
        Row{"/name", "\"caf\\u00e9\"", "must be 1 to 63 letters"},
        Row{"/name", "\"a\\u0000b\"", "name = \"a\\x00b\": has control characters"},
        Row{"/name", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
            "has 69 octets, and at most 63"},
        Row{"/description", "[]", "description = an array: must be text"},
        Row{"/description", "\"a\\nb\"", "has control characters"},
        Row{"/cloudflare_endpoint", "", "cloudflare_endpoint is missing: this gateway's address, 203.0.113.1"},
        Row{"/cloudflare_endpoint", "\"192.0.2.1\"",
            "cloudflare_endpoint = \"192.0.2.1\": must be this gateway's address, 203.0.113.1 or 2001:db8::1"},
        Row{"/cloudflare_endpoint", "\"one\"", "cloudflare_endpoint = \"one\": is no IP address"},
        Row{"/customer_endpoint", "\"198.51.100\"", "is no IP address"},
        Row{"/customer_endpoint", "\"224.0.0.1\"", "is no address that a host can have"},
        Row{"/customer_endpoint", "\"2001:db8::2\"", "is of another address family than cloudflare_endpoint", 409},
        Row{"/customer_endpoint", "\"203.0.113.1\"", "is this gateway's own address", 409},
        Row{"/customer_endpoint", "{}", "customer_endpoint = an object: must be an IP address"},
        Row{"/interface_address", "", "interface_address is missing: our IPv4 address inside the tunnel"},
        Row{"/interface_address", "\"\"", "interface_address is missing"},
        Row{"/interface_address", "\"10.0.0.0/24\"", "must be our IPv4 address and /31 or /30, like 10.255.0.0/31"},
        Row{"/interface_address", "\"10.0.0.0\"", "must be our IPv4 address and /31 or /30"},
        Row{"/interface_address", "\"10.0.0.0/30\"", "is the network address of 10.0.0.0/30"},
        Row{"/interface_address", "\"fd00::/127\"", "must be our IPv4 address"},
        Row{"/interface_address", "3", "must be an address and a prefix length in one text"},
        Row{"/interface_address6", "\"10.0.0.0/31\"", "must be our IPv6 address and /127 or /126"},
        Row{"/psk", "7", "psk: must be text"}, Row{"/psk", "\"\"", "psk: has 0 octets, and 1 to 4096 are allowed"},
        Row{"/replay_protection", "\"true\"", "replay_protection = \"true\": must be true or false, without quotes"},
        Row{"/automatic_return_routing", "true", "automatic_return_routing = true: is not offered"},
        Row{"/allow_null_cipher", "true", "allow_null_cipher = true: is not offered: nothing leaves unencrypted"},
        Row{"/allow_null_cipher", "0", "allow_null_cipher = 0: must be true or false"},
        Row{"/health_check", "true", "health_check = true: must be an object"},
        Row{"/health_check/enabled", "\"no\"", "health_check.enabled = \"no\": must be true or false"},
        Row{"/health_check/rate", "\"fast\"", "health_check.rate = \"fast\": must be one of low, mid, high"},
        Row{"/health_check/type", "\"requst\"", "must be one of reply, request; did you mean request?"},
        Row{"/health_check/direction", "1", "health_check.direction = 1: must be one of unidirectional, bidirectional"},
        Row{"/health_check/target", "\"nowhere\"", "health_check.target = \"nowhere\": is no IP address"},
        Row{"/health_check/target", "{\"saved\":\"0.0.0.0\"}",
            "health_check.target.saved = \"0.0.0.0\": is no address"},
        Row{"/health_check/target", "{\"save\":\"1.1.1.1\"}",
            "health_check.target.save: there is no such field; did "
            "you mean saved?"},
        Row{"/health_check/interval", "5", "health_check.interval: there is no such field"},
        Row{"/bgp", "[]", "bgp = an array: must be an object"}, Row{"/bgp", "{}", "bgp.customer_asn is missing"},
        Row{"/bgp/customer_asn", "-1", "bgp.customer_asn = -1: must be a whole number from 0 to 4294967295"},
        Row{"/bgp/customer_asn", "4294967296", "bgp.customer_asn = 4294967296: must be"},
        Row{"/bgp/customer_asn", "18446744073709551615", "bgp.customer_asn = 18446744073709551615: must be"},
        Row{"/bgp/customer_asn", "1.5", "bgp.customer_asn = 1.5: must be a whole number"},
        Row{"/bgp", "{\"customer_asn\":1,\"extra_prefixes\":[\"10.0.0.1/24\"]}",
            "bgp.extra_prefixes = an array: \"10.0.0.1/24\" is no prefix"},
        Row{"/bgp", "{\"customer_asn\":1,\"extra_prefixes\":[1]}",
            "bgp.extra_prefixes = an array: must be an array of"},
        Row{"/custom_remote_identities/fqdn_id", "\"a b\"", "custom_remote_identities.fqdn_id = \"a b\""},
        Row{"/custom_remote_identities/hex_id", "\"00\"", "custom_remote_identities.hex_id: there is no such field"},
        Row{"/pq/policy", "\"always\"", "pq.policy = \"always\": must be one of require, prefer, off, pin"},
        Row{"/pq/kems", "[\"kyber768\"]", "pq.kems = an array: \"kyber768\" is none of mlkem512, mlkem768, mlkem1024"},
        Row{"/pq/kems", "[]", "pq.kems = an array: must name at least one"},
        Row{"/pq/kems", "[\"mlkem768\",\"mlkem768\"]", "\"mlkem768\" is listed twice"},
        Row{"/pq", "{\"policy\":\"off\",\"kems\":[\"mlkem768\"]}", "pq.kems = an array: cannot be had with", 409},
        Row{"/pq/auth", "\"mldsa65\"", "pq.auth = \"mldsa65\": must be \"psk\": tunnels with certificates"},
        Row{"/pq/downgrade_protection", "true", "must be one of require, auto, off"},
        Row{"/nam", "\"x\"", "nam: there is no such field; did you mean name?"},
        Row{"/customer_gre_endpoint", "\"1.1.1.1\"", "customer_gre_endpoint: there is no such field"}),
    name_of);

class RouteFields : public World, public ::testing::WithParamInterface<Row> {};

TEST_P(RouteFields, AreRefusedByName) {
  const Row row = GetParam();
  const json good{{"prefix", "10.1.0.0/16"}, {"nexthop", "10.255.9.1"}, {"priority", 100}};
  const std::string message = refused(row.status, "POST", kRoutes, changed(good, row));
  EXPECT_THAT(message, HasSubstr(row.message));
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 1) << message;
}

INSTANTIATE_TEST_SUITE_P(
    All, RouteFields,
    ::testing::Values(
        Row{"/prefix", "", "prefix is missing"},
        Row{"/prefix", "\"10.1.0.0/33\"", "prefix = \"10.1.0.0/33\": is no prefix"},
        Row{"/prefix", "\"10.1.0.1/16\"", "prefix = \"10.1.0.1/16\": is no prefix"},
        Row{"/prefix", "\"224.0.0.0/8\"", "is a multicast prefix"}, Row{"/prefix", "[]", "must be a prefix like"},
        Row{"/nexthop", "", "nexthop is missing: the peer's interface address"},
        Row{"/nexthop", "\"berlin\"", "nexthop = \"berlin\": is no IP address"},
        Row{"/nexthop", "\"10.255.9.0\"", "our own side of tunnel paris", 409},
        Row{"/priority", "", "priority is missing"}, Row{"/priority", "\"100\"", "priority = \"100\": must be a whole"},
        Row{"/priority", "-1", "priority = -1: must be a whole number from 0 to 2147483647"},
        Row{"/priority", "2147483648", "priority = 2147483648: must be"},
        Row{"/weight", "0", "weight = 0: must be a whole number from 1 to 256"},
        Row{"/weight", "257", "weight = 257: must be"}, Row{"/description", "5", "description = 5: must be text"},
        Row{"/pq", "\"off\"", "pq = \"off\": must be one of any, require"},
        Row{"/scope", "{\"colo_regions\":[\"APAC\"]}", "scope.colo_regions = an array: regions are not offered"},
        Row{"/scope", "{\"colos\":[]}", "scope.colos: there is no such field"},
        Row{"/mtu", "1400", "mtu: there is no such field"}),
    name_of);

class Bodies : public World {};

TEST_F(Bodies, ThatAreNoObjectsAreRefused) {
  const std::vector<std::pair<std::string, const char*>> rows{
      {"", "the body is empty"},
      {"{", "is no JSON, or no UTF-8: look at octet 2"},
      {"{}}", "look at octet 3"},
      {"[]", "the body is an array: must be a JSON object"},
      {"\"x\"", "the body is \"x\": must be a JSON object"},
      {"{\"name\":\"\xff\"}", "no UTF-8"},
      {"{\"name\":\"a\",\"name\":\"b\"}", "name is given twice in one object"},
      {"{\"bgp\":{\"a\":1,\"a\":2}}", "a is given twice in one object"},
      {"{\"n\":1e999}", "a number that is too large"},
      {"{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}", "nested deeper than 16"},
      {"{\"ipsec_tunnels\":{}}", "ipsec_tunnels must be an array of objects"},
      {"{\"ipsec_tunnels\":[1]}", "ipsec_tunnels must be an array of objects"},
      {"{\"ipsec_tunnels\":[]}", "ipsec_tunnels has 0 objects"},
      {"{\"ipsec_tunnels\":[{}],\"name\":\"x\"}", "name: cannot stand beside ipsec_tunnels"},
  };
  for (const auto& [body, message] : rows) EXPECT_THAT(refused(400, "POST", kTunnels, body), HasSubstr(message));
  EXPECT_THAT(refused(400, "PUT", kTunnels, std::string{"{}"}), HasSubstr("ipsec_tunnels is missing"));
  EXPECT_THAT(refused(400, "PUT", kRoutes, std::string{"{}"}), HasSubstr("routes is missing"));
  EXPECT_THAT(refused(400, "DELETE", kRoutes, std::string{"{\"all\":true}"}), HasSubstr("all: there is no such field"));
  EXPECT_THAT(refused(413, "POST", kTunnels, std::string(control::kMaxObjectBody + 1, ' ')), HasSubstr("at most"));
}

TEST_F(Bodies, EveryWrongFieldIsNamedAtOnceWithItsPlace) {
  const control::Reply reply =
      ask("POST", kTunnels, R"({"name":"!","interface_address":"x","health_check":{"rate":"?"},"zzz":1})");
  EXPECT_EQ(reply.status, 400);
  const json errors = json::parse(reply.body)["errors"];
  std::vector<std::string> pointers;
  for (const json& one : errors) pointers.push_back(one["source"]["pointer"]);
  EXPECT_THAT(pointers, ::testing::UnorderedElementsAre("/name", "/interface_address", "/health_check/rate", "/zzz",
                                                        "/cloudflare_endpoint"));
}

TEST_F(Bodies, APskIsInNoMessage) {
  json body = tunnel_body("!");
  for (const json& psk : {json(std::string(5000, 's')), json("sesame\n"), json{{"key", "sesame"}}}) {
    body["psk"] = psk;
    const std::string said = ask("POST", kTunnels, body.dump()).body;
    EXPECT_THAT(said, ::testing::Not(HasSubstr("sesame")));
    EXPECT_THAT(said, ::testing::Not(HasSubstr("ssss")));
  }
}

TEST_F(Bodies, OfTokens) {
  const std::vector<std::pair<json, const char*>> rows{
      {json::object(), "name is missing"},
      {{{"name", ""}, {"scopes", {"read"}}}, "must not be empty"},
      {{{"name", "x"}}, "scopes is missing"},
      {{{"name", "x"}, {"scopes", "read"}}, "must be an array of read, write and capture"},
      {{{"name", "x"}, {"scopes", json::array()}}, "must name at least one"},
      {{{"name", "x"}, {"scopes", {"admin"}}}, "\"admin\" is none of read, write, capture"},
      {{{"name", "x"}, {"scopes", {"read"}}, {"days", 0}}, "days = 0: must be a whole number from 1 to 3650"},
      {{{"name", "x"}, {"scopes", {"read"}}, {"account", "nobody"}}, "there is no such account"},
      {{{"name", "x"}, {"scopes", {"read"}}, {"secret", "mine"}}, "secret: there is no such field"},
  };
  for (const auto& [body, message] : rows) EXPECT_THAT(refused(400, "POST", "/v1/tokens", body), HasSubstr(message));
}

}  // namespace
}  // namespace qanat::api_test
