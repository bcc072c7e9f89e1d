#include "cli/capture.hpp"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace qanat::cli {
namespace {

using control::Reply;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kId = "0123456789abcdef0123456789abcdef";

// A daemon that captures, and a disk.
class Capture : public ::testing::Test {
 protected:
  Capture() {
    shell_.out = [this](std::string_view text) { out_ += text; };
    shell_.err = [this](std::string_view text) { err_ += text; };
    shell_.exchange = [this](const std::string&, const control::Request& request,
                             std::chrono::seconds) -> std::expected<Reply, ClientError> {
      asked_.push_back(request.method + " " + request.target);
      if (request.method == "POST") body_ = request.body;
      if (refusal_ && request.method == "POST") return Reply{400, {}, *refusal_};
      const json result{{"id", kId}, {"packets_captured", 3}, {"bytes_captured", 300}};
      return Reply{200, {}, json{{"result", result}, {"success", true}}.dump()};
    };
    shell_.follow = [this](const std::string&, const control::Request& request, const TakeBody& take,
                           std::chrono::seconds timeout) -> std::expected<Reply, ClientError> {
      asked_.push_back(request.method + " " + request.target);
      patience_ = timeout;
      if (broken_) return std::unexpected(ClientError{ClientFault::NoHttp, "it has gone"});
      for (const char* part : {"first ", "second"}) {
        if (!take(part)) break;
      }
      return Reply{200, {}, ""};
    };
    shell_.open_new_file = [this](const std::string& path) -> Result<std::function<Status(ByteView)>> {
      if (files_.contains(path)) return fail(ErrorKind::Resource, path, path + " is there already");
      files_[path] = "";
      return [this, path](ByteView octets) -> Status {
        if (full_) return fail(ErrorKind::Resource, path, "the disk is full");
        files_[path].append(octets.begin(), octets.end());
        return {};
      };
    };
    shell_.owner_of = [](const std::string&) { return std::string{}; };
  }
  int go(std::vector<std::string> args) {
    args.insert(args.begin(), "capture");
    const auto parsed = parse_command_line(std::move(args));
    if (const auto* end = std::get_if<Stop>(&parsed)) return stop(*end, shell_);
    return run(std::get<CommandLine>(parsed), shell_);
  }

  Shell shell_;
  std::map<std::string, std::string> files_;
  std::vector<std::string> asked_;
  std::string body_;
  std::optional<std::string> refusal_;
  bool broken_ = false;
  bool full_ = false;
  std::chrono::seconds patience_{};
  std::string out_;
  std::string err_;
};

TEST_F(Capture, WritesWhatComesAndLeavesNothingBehind) {
  EXPECT_EQ(go({"berlin",     "-w",        "a.pcapng",  "--from", "10.1.0.0/16", "--to",      "10.2.0.9",
                "--protocol", "tcp",       "--to-port", "443",    "--from-port", "5",         "--seconds",
                "7",          "--packets", "9",         "--snap", "96",          "--account", "red"}),
            kOk);
  EXPECT_EQ(json::parse(body_), (json{{"type", "full"},
                                      {"system", "magic-transit"},
                                      {"tunnel", "berlin"},
                                      {"time_limit", 7},
                                      {"packet_limit", 9},
                                      {"snap_length", 96},
                                      {"filter_v1",
                                       {{"source_address", "10.1.0.0/16"},
                                        {"destination_address", "10.2.0.9"},
                                        {"source_port", 5},
                                        {"destination_port", 443},
                                        {"protocol", 6}}}}));
  const std::string path = "/client/v4/accounts/red/pcaps";
  const std::string one = path + "/" + kId;
  EXPECT_THAT(asked_,
              ElementsAre("POST " + path, "GET " + one + "/download?follow=true", "GET " + one, "DELETE " + one));
  EXPECT_GT(patience_, std::chrono::seconds{7});
  EXPECT_EQ(files_["a.pcapng"], "first second");
  EXPECT_EQ(err_, "3 packets, 300 octets: wrote a.pcapng\n");
  EXPECT_EQ(out_, "");
}

TEST_F(Capture, GoesToAPipeAlone) {
  EXPECT_EQ(go({"berlin", "-w", "-"}), kOk);
  EXPECT_EQ(out_, "first second");
  EXPECT_EQ(err_, "3 packets, 300 octets\n");
  EXPECT_TRUE(files_.empty());
  EXPECT_FALSE(json::parse(body_).contains("filter_v1"));
}

TEST_F(Capture, WhatIsWrongIsSaid) {
  EXPECT_EQ(go({"berlin"}), kUsage);  // no file
  EXPECT_EQ(go({"berlin", "-w", "a", "--to-port", "0"}), kUsage);
  EXPECT_EQ(go({"berlin", "-w", "a", "--protocol", "tpc"}), kUsage);
  EXPECT_THAT(err_, HasSubstr("--protocol: tcp, udp"));
  EXPECT_TRUE(files_.empty()) << "nothing is made for a line that is wrong";
  files_["a"] = "precious";
  EXPECT_EQ(go({"berlin", "-w", "a"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("is there already"));
  EXPECT_EQ(files_["a"], "precious");
  EXPECT_TRUE(asked_.empty()) << "and nothing is captured";
  refusal_ = R"({"result":null,"success":false,"errors":[{"code":1002,"message":"tunnel = \"oslo\": there is none"}]})";
  EXPECT_EQ(go({"oslo", "-w", "b"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("tunnel = \"oslo\": there is none"));
  refusal_.reset();
  full_ = true;
  EXPECT_EQ(go({"berlin", "-w", "c"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("the disk is full"));
  full_ = false;
  broken_ = true;
  EXPECT_EQ(go({"berlin", "-w", "d"}), kUnreachable);
}

TEST(CaptureAnswers, ThatCannotBeReadAreNone) {
  for (const char* body : {"", "{", "[]", "{}", R"({"result":null})", R"({"result":{"id":5}})", R"({"errors":[5]})"}) {
    EXPECT_FALSE(capture_id(body)) << body;
    EXPECT_EQ(capture_text(body), "") << body;
    EXPECT_FALSE(envelope_error(body)) << body;
  }
}

}  // namespace
}  // namespace qanat::cli
