#include "control/static_files.hpp"

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qanat::control {
namespace {

using ::testing::Contains;
using ::testing::Pair;

constexpr std::array<StaticFile, 3> kFiles = {
    {{"/index.html", "<!doctype html>", "aa11"}, {"/views/app.js", "export {};", "bb22"}, {"/licence", "MIT", "cc33"}}};

Reply get(const std::string& target, Headers headers = {}) {
  return static_reply(kFiles, {"GET", target, "", std::move(headers), {}});
}

TEST(StaticFiles, ThePageHasItsTypeItsTagAndItsPolicy) {
  const Reply page = get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.body, "<!doctype html>");
  EXPECT_THAT(page.headers, Contains(Pair("Content-Type", "text/html; charset=utf-8")));
  EXPECT_THAT(page.headers, Contains(Pair("ETag", "\"aa11\"")));
  EXPECT_THAT(page.headers, Contains(Pair("Content-Security-Policy", kContentPolicy)));
  EXPECT_THAT(page.headers, Contains(Pair("X-Content-Type-Options", "nosniff")));
  EXPECT_EQ(get("/index.html?x=1").body, page.body);
  EXPECT_THAT(get("/views/app.js").headers, Contains(Pair("Content-Type", "text/javascript; charset=utf-8")));
  EXPECT_THAT(get("/licence").headers, Contains(Pair("Content-Type", "text/plain; charset=utf-8")));
}

TEST(StaticFiles, WhoeverHasAFileIsToldSo) {
  const Reply same = get("/", {{"if-none-match", "W/\"zz\", \"aa11\""}});
  EXPECT_EQ(same.status, 304);
  EXPECT_EQ(same.body, "");
  EXPECT_EQ(get("/", {{"if-none-match", "\"aa1\""}}).status, 200);
}

TEST(StaticFiles, NothingElseIsThere) {
  for (const char* target : {"/index.htm", "//index.html", "/../index.html", "/views", "/%2e%2e/x", ""}) {
    const Reply reply = get(target);
    EXPECT_EQ(reply.status, 404) << target;
    EXPECT_THAT(reply.headers, Contains(Pair("Content-Security-Policy", kContentPolicy))) << target;
  }
  const Reply post = static_reply(kFiles, {"POST", "/", "", {}, {}});
  EXPECT_EQ(post.status, 405);
  EXPECT_THAT(post.headers, Contains(Pair("Allow", "GET, HEAD, OPTIONS")));
  EXPECT_EQ(static_reply(kFiles, {"OPTIONS", "/", "", {}, {}}).status, 204);
  EXPECT_EQ(static_reply({}, {"GET", "/", "", {}, {}}).status, 404);
}

}  // namespace
}  // namespace qanat::control
