// What the pages say is what the code has, and what the code says is in the tables.
#include "control/reference_pages.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/event_codes.hpp"
#include "control/metrics.hpp"

namespace qanat::control {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file{path};
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void expect_page(const char* name, const std::string& page) {
  const std::filesystem::path path = std::filesystem::path{QANAT_SOURCE_DIR} / "docs" / name;
  if (std::getenv("QANAT_UPDATE_DOCS") != nullptr) std::ofstream{path} << page;
  EXPECT_EQ(read(path), page) << "run this test with QANAT_UPDATE_DOCS=1";
}

TEST(ReferencePages, Events) {
  expect_page("events.md", events_page());
}
TEST(ReferencePages, Metrics) {
  expect_page("metrics.md", metrics_page());
}

// The names in calls of loggers: log(EventLevel::X, "name", ...), log_.info("name", ...), and both of a ?: there. What
// stands in braces are fields.
std::set<std::string> names_in(const std::string& source) {
  static const std::regex kCall{
      R"(\blog\(((?:[^;{]*EventLevel::|level,)[^;{]*)|\b(?:log|log_)\.(?:debug|info|warning|error)\(([^;{]*))"};
  static const std::regex kName{R"re("([a-z0-9]+(?:-[a-z0-9]+)*)")re"};
  std::set<std::string> out;
  for (std::sregex_iterator call{source.begin(), source.end(), kCall}, end; call != end; ++call) {
    const std::string arguments = (*call)[1].matched ? (*call)[1] : (*call)[2];
    for (std::sregex_iterator name{arguments.begin(), arguments.end(), kName}; name != end; ++name)
      out.insert((*name)[1]);
  }
  return out;
}

TEST(Events, TheScannerSeesThem) {
  EXPECT_THAT(
      names_in("log(first ? EventLevel::Info : EventLevel::Debug, first ? \"a-b\" : \"c\",\n {{\"x\", name}});"),
      ::testing::UnorderedElementsAre("a-b", "c"));
  EXPECT_THAT(names_in("log(level, \"as-it-is\",\n {{\"tunnel\", name}});"),
              ::testing::UnorderedElementsAre("as-it-is"));
  EXPECT_THAT(
      names_in("log_.error(\"gone\", {{\"detail\", \"x\"}}); other(\"no\");\n log(\n EventLevel::Error, \"d\");"),
      ::testing::UnorderedElementsAre("gone", "d"));
}

TEST(Events, EveryNameInTheSourceIsInTheTableAndTheOtherWayRound) {
  std::set<std::string> known;
  for (const EventInfo& e : kEvents) {
    EXPECT_TRUE(known.insert(std::string{e.name}).second) << e.name << " is there twice";
    EXPECT_FALSE(e.help.empty());
  }
  std::set<std::string> used;
  for (const char* room : {"gateway", "daemon", "io"}) {
    const auto folder = std::filesystem::path{QANAT_SOURCE_DIR} / "src" / room;
    for (const auto& entry : std::filesystem::recursive_directory_iterator{folder}) {
      const std::string name = entry.path().filename();
      if (!name.ends_with(".cpp") || name.ends_with("_test.cpp")) continue;
      used.merge(names_in(read(entry.path())));
    }
  }
  for (const std::string& name : used) EXPECT_TRUE(known.contains(name)) << name << " is not in event_codes.hpp";
  for (const std::string& name : known) EXPECT_TRUE(used.contains(name)) << name << " is logged nowhere";
}

// A dashboard that asks for a metric that does not exist shows an empty panel for ever.
TEST(Dashboard, UsesMetricsThatExist) {
  const std::string dashboard = read(std::filesystem::path{QANAT_SOURCE_DIR} / "packaging/grafana/qanat.json");
  ASSERT_FALSE(dashboard.empty());
  std::set<std::string> known;
  for (const MetricInfo& m : kMetrics) {
    known.emplace(m.name);
    if (m.type == "histogram")
      for (const char* suffix : {"_bucket", "_sum", "_count"}) known.insert(std::string{m.name} + suffix);
  }
  static const std::regex kMetric{R"(\bqanat_[a-z0-9_]+)"};
  std::size_t found = 0;
  for (std::sregex_iterator m{dashboard.begin(), dashboard.end(), kMetric}, end; m != end; ++m, ++found)
    EXPECT_TRUE(known.contains(m->str())) << m->str();
  EXPECT_GT(found, 10U);
}

}  // namespace
}  // namespace qanat::control
