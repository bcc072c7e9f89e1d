#include "io/log.hpp"

#include <array>

#include <gtest/gtest.h>

namespace qanat::io {
namespace {

std::string line(LogFormat format, std::initializer_list<LogField> fields) {
  return log_line(format, "T", LogLevel::Info, "tunnel-up", std::span(fields.begin(), fields.size()));
}

TEST(Log, WritesForPeople) {
  EXPECT_EQ(line(LogFormat::Human, {{"tunnel", "berlin"}, {"count", 3}, {"why", "two words"}, {"empty", ""}}),
            "T info    tunnel-up tunnel=berlin count=3 why=\"two words\" empty=\"\"");
  EXPECT_EQ(line(LogFormat::Human, {{"id", "a\x1b[31m\n\"b\""}}),
            "T info    tunnel-up id=\"a\\x1b[31m\\x0a\\\"b\\\"\"");
}

TEST(Log, WritesJsonWhateverTheOctetsAre) {
  EXPECT_EQ(line(LogFormat::Json, {{"a\"b", "c\\d\n\x7f"}}),
            "{\"time\":\"T\",\"level\":\"info\",\"event\":\"tunnel-up\",\"a\\\"b\":\"c\\\\d\\u000a\\u007f\"}");
  EXPECT_EQ(line(LogFormat::Json, {{"k", "Z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x94\x91"}}),
            "{\"time\":\"T\",\"level\":\"info\",\"event\":\"tunnel-up\",\"k\":\"Z\xc3\xbcrich \xe2\x82\xac "
            "\xf0\x9f\x94\x91\"}");
  // Overlong, surrogate, lonely and cut sequences are no UTF-8.
  EXPECT_EQ(line(LogFormat::Json, {{"k", "\xc0\xaf|\xed\xa0\x80|\xff|\xe2\x82"}}),
            "{\"time\":\"T\",\"level\":\"info\",\"event\":\"tunnel-up\",\"k\":\"\\ufffd\\ufffd|\\ufffd\\ufffd\\ufffd|"
            "\\ufffd|\\ufffd\\ufffd\"}");
  EXPECT_EQ(line(LogFormat::Json, {{"k", std::string("a\0b", 3)}}),
            "{\"time\":\"T\",\"level\":\"info\",\"event\":\"tunnel-up\",\"k\":\"a\\u0000b\"}");
}

TEST(Log, KnowsItsLevels) {
  EXPECT_EQ(parse_log_level("warning"), LogLevel::Warning);
  ASSERT_FALSE(parse_log_level("loud"));
  EXPECT_NE(parse_log_level("loud").error().detail.find("'loud'"), std::string::npos);

  ::testing::internal::CaptureStderr();
  {
    const Log log({LogFormat::Human, LogLevel::Warning});
    log.info("quiet");
    log.warning("seen", {{"k", "v"}});
    log.error("bad", Error{ErrorKind::Resource, 0, "here", "full"});
  }
  const std::string out = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(out.find("quiet"), std::string::npos);
  EXPECT_NE(out.find("warning seen k=v\n"), std::string::npos);
  EXPECT_NE(out.find("error   bad kind=\"resource limit\" where=here detail=full\n"), std::string::npos) << out;
}

}  // namespace
}  // namespace qanat::io
