// Captures through the API: what is asked for reaches the packet path, states as Cloudflare names them, bad input
// named, one account sees nothing of another's.
#include "control/captures.hpp"

#include "api/world.hpp"

namespace qanat::api_test {
namespace {

using control::CaptureState;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Pair;

class Reading final : public control::BodyStream {
 public:
  explicit Reading(std::shared_ptr<const control::CaptureData> data) : reader_(std::move(data)) {}
  Piece pull(std::size_t at_most) override {
    Piece out;
    out.octets = reader_.read(at_most);
    out.end = reader_.at_end();
    return out;
  }
  void on_more(std::function<void()>) override {}

 private:
  control::CaptureReader reader_;
};

// As daemon/capture_desk has it, on one thread.
class Room final : public control::CaptureRoom {
 public:
  std::optional<std::string> refusal(const control::CaptureWish& wish) override { return book.refusal(wish); }
  void start(control::CaptureWish wish) override {
    book.start(now, std::chrono::seconds{1'800'000'000}, std::move(wish));
  }
  void stop(const std::string& id) override { book.stop(now, id); }
  void remove(const std::string& id) override { book.remove(id); }
  std::vector<control::CaptureStatus> list(std::string_view account) override { return book.list(account); }
  std::shared_ptr<control::BodyStream> open(const std::string& id, Follow how) override {
    follow = how;
    auto data = book.data(id);
    return data ? std::make_shared<Reading>(std::move(data)) : nullptr;
  }
  control::CaptureBook book{"qanat test"};
  Instant now;
  Follow follow = Follow::No;
};

json wish() {
  return {
      {"type", "simple"}, {"system", "magic-transit"}, {"tunnel", "paris"}, {"time_limit", 30}, {"packet_limit", 100}};
}

class Captures : public World {
 protected:
  static constexpr const char* kCaptures = "/client/v4/accounts/0123456789abcdef0123456789abcdef/pcaps";
  void SetUp() override {
    World::SetUp();
    api_->use_captures(&room_);
  }
  std::string one(const std::string& id, const std::string& what = "") {
    return std::string{kCaptures} + "/" + id + what;
  }
  control::CaptureOrder order() {
    auto order = room_.book.poll_order();
    EXPECT_TRUE(order);
    return order.value_or(control::CaptureOrder{});
  }
  // The packet path takes one packet of "abcd", and may be at its end.
  void packet(CaptureId id, std::optional<ipsec::CaptureEnd> end) {
    ipsec::CaptureChunk chunk{
        .capture = id, .tunnels = {{TunnelId{1}, "paris"}}, .packets = {}, .octets = {}, .end = end};
    chunk.octets = to_bytes(std::string_view{"abcd"});
    chunk.packets.push_back({.at = {}, .tunnel = TunnelId{1}, .size = 4, .begin = 0, .kept = 4});
    room_.book.take(room_.now, chunk);
  }
  Room room_;
};

TEST_F(Captures, FromStartToDownload) {
  EXPECT_EQ(result("GET", kCaptures), json::array());
  json body = wish();
  body["filter_v1"] = {{"source_address", "10.1.0.0/16"},
                       {"destination_address", "10.9.0.5"},
                       {"source_port", 1000},
                       {"destination_port", 443},
                       {"protocol", 6}};
  body["byte_limit"] = 5000;
  body["snap_length"] = 96;
  const json made = result("POST", kCaptures, body);
  const std::string id = made["id"];
  EXPECT_EQ(id.size(), 32U);
  EXPECT_EQ(made["status"], "pending");
  EXPECT_EQ(made["filter_v1"], body["filter_v1"]);
  EXPECT_EQ(made["tunnel"], "paris");
  EXPECT_EQ(made["submitted"], "2027-01-15T08:00:00Z");
  const control::CaptureOrder asked = order();
  ASSERT_TRUE(asked.start);
  EXPECT_EQ(asked.start->tunnel, "paris");
  EXPECT_EQ(asked.start->time, std::chrono::seconds{30});
  EXPECT_EQ(asked.start->packets, 100U);
  EXPECT_EQ(asked.start->bytes, 5000U);
  EXPECT_EQ(asked.start->snap, 96U);
  EXPECT_EQ(asked.start->filter,
            (ipsec::CaptureFilter{*Prefix::parse("10.1.0.0/16"), *Prefix::parse("10.9.0.5/32"), 1000, 443, 6}));

  packet(asked.capture, std::nullopt);
  EXPECT_EQ(result("GET", one(id))["status"], "running");
  EXPECT_THAT(refused(409, "GET", one(id, "/download")), HasSubstr("still runs"));
  EXPECT_EQ(result("PUT", one(id, "/stop"))["stop_requested"], "2027-01-15T08:00:00Z");
  EXPECT_FALSE(order().start);
  packet(asked.capture, ipsec::CaptureEnd::Stopped);
  const json listed = result("GET", kCaptures);
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed[0]["status"], "success");
  EXPECT_EQ(listed[0]["packets_captured"], 2);
  EXPECT_EQ(listed[0]["bytes_captured"], 8);
  result("PUT", one(id, "/stop"));  // once more is no fault

  const control::Reply file = ask("GET", one(id, "/download"));
  EXPECT_EQ(file.status, 200);
  EXPECT_THAT(file.headers, Contains(Pair("Content-Type", "application/x-pcapng")));
  ASSERT_TRUE(file.stream);
  const auto piece = file.stream->pull(1 << 20);
  EXPECT_TRUE(piece.end);
  EXPECT_EQ(piece.octets.substr(0, 4), "\x0a\x0d\x0d\x0a");
  EXPECT_THAT(piece.octets, HasSubstr("abcd"));

  EXPECT_EQ(result("DELETE", one(id))["id"], id);
  EXPECT_EQ(ask("GET", one(id)).status, 404);
  EXPECT_EQ(ask("GET", one(id, "/download")).status, 404);
  EXPECT_EQ(result("GET", kCaptures), json::array());
  // Who looked into the tunnel, and when.
  std::vector<std::string> log;
  const json audit = own("GET", "/v1/audit");
  for (const json& line : audit["audit"]) log.push_back(line["what"]);
  for (const char* what : {"start capture", "stop capture", "download capture", "delete capture"})
    EXPECT_THAT(log, Contains(what));
}

TEST_F(Captures, OneIsFollowedWhileItRuns) {
  const std::string id = result("POST", kCaptures, wish())["id"];
  const auto asked = order();
  const control::Reply file = ask("GET", one(id, "/download?follow=true"));
  ASSERT_TRUE(file.stream);
  EXPECT_EQ(room_.follow, control::CaptureRoom::Follow::Yes);
  EXPECT_FALSE(file.stream->pull(1 << 20).end);
  packet(asked.capture, ipsec::CaptureEnd::Time);
  const auto piece = file.stream->pull(1 << 20);
  EXPECT_TRUE(piece.end);
  EXPECT_THAT(piece.octets, HasSubstr("abcd"));
}

TEST_F(Captures, TunnelsOfTheApiByNameOrIdAndTheWholeAccount) {
  const std::string tunnel = result("POST", kTunnels, tunnel_body("berlin"))["id"];
  (void)wanted();
  json body = wish();
  body["tunnel"] = tunnel;
  EXPECT_EQ(result("POST", kCaptures, body)["tunnel"], "berlin");
  EXPECT_EQ(order().start->tunnel, "berlin");
  body.erase("tunnel");
  body["type"] = "full";
  body.erase("packet_limit");
  body["time_limit"] = 86400;
  const json all = result("POST", kCaptures, body);
  EXPECT_EQ(all["packet_limit"], 100000);
  EXPECT_FALSE(all.contains("tunnel"));
  EXPECT_EQ(order().start->tunnel, "");
  body = wish();
  body["colo_name"] = "ord02";
  const json said = envelope("POST", kCaptures, body);
  EXPECT_THAT(said["messages"].dump(), HasSubstr("colo_name has no effect"));
}

TEST_F(Captures, ValidateOnlyStartsNothing) {
  const std::uint64_t before = store_.list("")->revision;
  EXPECT_EQ(result("POST", std::string{kCaptures} + "?validate_only=true", wish())["status"], "pending");
  EXPECT_FALSE(room_.book.poll_order());
  EXPECT_EQ(store_.list("")->revision, before);
  EXPECT_EQ(result("GET", kCaptures), json::array());
}

TEST_F(Captures, NoMoreThanTheBound) {
  for (int i = 0; i < 4; ++i) result("POST", kCaptures, wish());
  EXPECT_THAT(refused(409, "POST", kCaptures, wish()), HasSubstr("4 captures of this account run already"));
}

TEST_F(Captures, ARestartShowsWhatItHasEnded) {
  const std::string id = result("POST", kCaptures, wish())["id"];
  Room fresh;
  restart();
  api_->use_captures(&fresh);
  const json listed = result("GET", kCaptures);
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed[0]["id"], id);
  EXPECT_EQ(listed[0]["status"], "unknown");
  EXPECT_EQ(listed[0]["tunnel"], "paris");
  EXPECT_THAT(listed[0]["error_message"].get<std::string>(), HasSubstr("restart"));
  EXPECT_EQ(result("GET", one(id))["status"], "unknown");
  EXPECT_THAT(refused(404, "GET", one(id, "/download")), HasSubstr("not kept any more"));
  result("PUT", one(id, "/stop"));
  // For a day; then it is forgotten.
  now_.seconds += 86'400;
  EXPECT_EQ(result("GET", kCaptures), json::array());
  result("POST", kCaptures, wish());
  EXPECT_EQ(ask("GET", one(id)).status, 404);
}

TEST_F(Captures, AFailureIsShownAndHasNoFile) {
  const std::string id = result("POST", kCaptures, wish())["id"];
  room_.book.fail(room_.now, order().capture, "the tunnel is not in force");
  EXPECT_EQ(result("GET", one(id))["status"], "failed");
  EXPECT_EQ(result("GET", one(id))["error_message"], "the tunnel is not in force");
  EXPECT_THAT(refused(404, "GET", one(id, "/download")), HasSubstr("not in force"));
}

TEST_F(Captures, TakeTheScopeCaptureHoweverThePathIsWritten) {
  const std::string id = result("POST", kCaptures, wish())["id"];
  who_.local = false;
  who_.capture = false;
  const std::string disguised = "/client/v4/accounts/default/pc%61ps";
  for (const std::string& path : {std::string{kCaptures}, disguised, one(id), one(id, "/download")})
    EXPECT_THAT(refused(403, "GET", path), HasSubstr("scope capture"));
  EXPECT_THAT(refused(403, "POST", kCaptures, wish()), HasSubstr("scope capture"));
  who_.capture = true;
  who_.read = who_.write = false;
  EXPECT_EQ(ask("GET", kCaptures).status, 200);
  EXPECT_EQ(ask("POST", kCaptures, wish().dump()).status, 200);
  EXPECT_EQ(ask("GET", kTunnels).status, 403);
}

TEST_F(Captures, WhatIsNotOfferedSaysSo) {
  for (const char* path : {"/ownership", "/ownership/validate", "/ownership/5"}) {
    for (const char* method : {"GET", "POST", "DELETE"})
      EXPECT_THAT(refused(404, method, kCaptures + std::string{path}), HasSubstr("no bucket here"));
  }
  EXPECT_EQ(ask("GET", std::string{kCaptures} + "/0/else").status, 404);
  EXPECT_EQ(ask("GET", std::string{kCaptures} + "/" + std::string(32, '0')).status, 404);
  EXPECT_EQ(ask("PUT", std::string{kCaptures} + "/" + std::string(32, '0') + "/stop").status, 404);
  EXPECT_EQ(ask("DELETE", std::string{kCaptures} + "/" + std::string(32, '0')).status, 404);
  EXPECT_EQ(ask("PATCH", kCaptures).status, 405);
  EXPECT_EQ(ask("POST", one("0", "/stop")).status, 405);
  EXPECT_EQ(ask("GET", std::string{kCaptures} + "?page=2").status, 400);
  api_->use_captures(nullptr);
  EXPECT_EQ(ask("GET", kCaptures).status, 503);
}

TEST_F(Captures, AnAccountSeesItsOwnAlone) {
  file_ = file_of(std::string{kFile} + R"(
[[vrf]]
name = "red"
tun = "red0"
route_table = 5300

[[tunnel]]
name = "rome"
vrf = "red"
peer = "198.51.100.98"
psk = "another key of the file"
interface = "10.255.9.0/31"
routes = ["10.9.0.0/16"]
)");
  const std::string red = "/client/v4/accounts/red/pcaps";
  const std::string other = "/client/v4/accounts/default/pcaps";
  const std::string theirs = result("POST", other, wish())["id"];
  EXPECT_EQ(order().start->vrf, VrfId{});
  // Their tunnel is no tunnel here.
  EXPECT_THAT(refused(400, "POST", red, wish()), HasSubstr("tunnel = \"paris\": there is no tunnel"));
  json body = wish();
  body["tunnel"] = "rome";
  const std::string mine = result("POST", red, body)["id"];
  const auto asked = order();
  EXPECT_EQ(asked.start->vrf, file_->config->vrfs.at(0).id);
  EXPECT_NE(asked.start->vrf, VrfId{});
  who_ = {.name = "tenant", .account = "red", .local = false};
  EXPECT_EQ(result("GET", red).size(), 1U);
  EXPECT_EQ(result("GET", red)[0]["id"], mine);
  for (const std::string& path : {red + "/" + theirs, red + "/" + theirs + "/download"})
    EXPECT_EQ(ask("GET", path).status, 404);
  EXPECT_EQ(ask("PUT", red + "/" + theirs + "/stop").status, 404);
  EXPECT_EQ(ask("DELETE", red + "/" + theirs).status, 404);
  EXPECT_EQ(ask("GET", other).status, 403);
  EXPECT_EQ(ask("GET", other + "/" + theirs + "/download").status, 403);
  EXPECT_FALSE(room_.book.poll_order());
}

struct Row {
  const char* field;    // a JSON pointer
  const char* value;    // JSON text; "" takes the field away
  const char* message;  // part of it
};

class CaptureFields : public Captures, public ::testing::WithParamInterface<Row> {};

TEST_P(CaptureFields, AreRefusedByName) {
  json body = wish();
  if (std::string_view{GetParam().value}.empty()) {
    body.erase(std::string{GetParam().field}.substr(1));
  } else {
    body[json::json_pointer{GetParam().field}] = json::parse(GetParam().value);
  }
  const std::string said = refused(400, "POST", kCaptures, body);
  EXPECT_THAT(said, HasSubstr(GetParam().message));
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  EXPECT_FALSE(room_.book.poll_order());
}

INSTANTIATE_TEST_SUITE_P(
    All, CaptureFields,
    ::testing::Values(
        Row{"/type", "", "type is missing: simple or full"},
        Row{"/type", "\"sample\"", "type = \"sample\": must be one of"},
        Row{"/type", "5", "type = 5: must be one of simple, full"},
        Row{"/system", "", "system is missing: magic-transit"},
        Row{"/system", "\"magic\"", "system = \"magic\": must be one of magic-transit"},
        Row{"/tunnel", "\"rome\"", "tunnel = \"rome\": there is no tunnel of this name"},
        Row{"/tunnel", "[]", "tunnel = an array: must be a tunnel's name or id"},
        Row{"/tunnel", "\"a\\u0007\"", "has control characters"},
        Row{"/time_limit", "", "time_limit is missing: seconds, 1 to 300"},
        Row{"/time_limit", "0", "time_limit = 0: must be a whole number from 1 to 300"},
        Row{"/time_limit", "301", "must be a whole number from 1 to 300"},
        Row{"/time_limit", "1.5", "must be a whole number"}, Row{"/time_limit", "\"30\"", "must be a whole number"},
        Row{"/time_limit", "99999999999999999999", "time_limit"}, Row{"/packet_limit", "", "packet_limit is missing"},
        Row{"/packet_limit", "10001", "from 1 to 10000"}, Row{"/packet_limit", "-1", "packet_limit = -1: must be"},
        Row{"/byte_limit", "0", "byte_limit = 0: must be"}, Row{"/byte_limit", "67108865", "from 1 to 67108864"},
        Row{"/snap_length", "63", "from 64 to 65535"}, Row{"/snap_length", "65536", "from 64 to 65535"},
        Row{"/filter_v1", "[]", "filter_v1 = an array: must be an object"},
        Row{"/filter_v1/source_address", "\"10.1.2\"", "filter_v1.source_address = \"10.1.2\": is no IP address"},
        Row{"/filter_v1/source_address", "\"10.1.2.3/16\"", "is no prefix without host bits"},
        Row{"/filter_v1/source_address", "7", "must be an IP address or a prefix"},
        Row{"/filter_v1/destination_address", "\"one\"", "filter_v1.destination_address = \"one\": is no IP address"},
        Row{"/filter_v1", R"({"source_address":"10.1.0.1","destination_address":"2001:db8::1"})",
            "another address family"},
        Row{"/filter_v1/source_port", "0", "filter_v1.source_port = 0: must be a whole number from 1 to 65535"},
        Row{"/filter_v1/source_port", "65536", "from 1 to 65535"},
        Row{"/filter_v1/destination_port", "\"http\"", "filter_v1.destination_port = \"http\": must be"},
        Row{"/filter_v1", R"({"protocol":1,"destination_port":53})", "protocol 1 has no ports"},
        Row{"/filter_v1/protocol", "256", "filter_v1.protocol = 256: must be a whole number from 0 to 255"},
        Row{"/filter_v1/protocol", "\"tcp\"", "filter_v1.protocol = \"tcp\": must be"},
        Row{"/filter_v1/colour", "1", "colour"}, Row{"/colour", "1", "colour"},
        Row{"/colo_name", "1", "colo_name = 1: must be text"},
        Row{"/destination_conf", "\"s3://b\"", "buckets are not offered"},
        Row{"/offset_time", "\"2027-01-01T00:00:00Z\"", "packets of the past are not kept"}));

TEST_F(Captures, ABodyThatIsNone) {
  for (const std::string body : {"", "[]", "{", "{\"type\":\"\xff\"}", "5"})
    EXPECT_FALSE(refused(400, "POST", kCaptures, body).empty());
}

}  // namespace
}  // namespace qanat::api_test
