// Every configuration that the documentation shows is one that the daemon takes, and docs/config.md has every setting,
// with its true default.
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "config/config_testing.hpp"
#include "config/diff.hpp"

namespace qanat::config::testing {
namespace {

// The TOML blocks of a Markdown file that are whole configurations.
std::vector<std::string> configurations(const std::string& document) {
  std::ifstream file{QANAT_SOURCE_DIR "/" + document};
  std::vector<std::string> out;
  std::string line;
  std::string block;
  bool inside = false;
  while (std::getline(file, line)) {
    if (inside && line.starts_with("```")) {
      inside = false;
      if (block.find("[gateway]") != std::string::npos) out.push_back(block);
    } else if (inside) {
      block += line + "\n";
    } else if (line == "```toml") {
      inside = true;
      block.clear();
    }
  }
  return out;
}

Result<SecretBytes> any_key(const std::string&) {
  return SecretBytes::copy_of(to_bytes(std::string_view{"qpsk1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"}));
}

class Documentation : public ::testing::TestWithParam<const char*> {};

TEST_P(Documentation, ShowsConfigurationsThatLoad) {
  const auto shown = configurations(GetParam());
  EXPECT_FALSE(shown.empty());
  for (const std::string& text : shown) {
    const auto loaded = load(text, GetParam(), any_key);
    EXPECT_TRUE(loaded.has_value()) << text << render_problems(loaded.error());
  }
}

INSTANTIATE_TEST_SUITE_P(Pages, Documentation,
                         ::testing::Values("README.md", "docs/config.md", "docs/peers.md", "docs/operator.md"),
                         [](const auto& page) {
                           std::string name{page.param};
                           std::erase_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
                           return name;
                         });

// --- the reference of settings ------------------------------------------------------------------------------------

struct Row {
  std::string key;
  std::string default_value;  // as the page has it
};
using Sections = std::map<std::string, std::vector<Row>>;  // by "[gateway]", "[[tunnel]]", ...

// The tables of docs/config.md whose first column is "key". Within [[tunnel]], Routes are keys of [[route]], and Health
// those of its own section.
Sections settings_of_the_page() {
  std::ifstream file{QANAT_SOURCE_DIR "/docs/config.md"};
  Sections out;
  std::string section;
  std::string part;
  bool table = false;
  static const std::regex kKey{"`([a-z0-9_]+)`"};
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) section = part = line.substr(3);
    if (line == "### Routes") part = "[[route]]";
    if (line == "### Health") part = "health";
    if (line.starts_with("### ") && line != "### Routes" && line != "### Health") part = section;
    if (line.starts_with("| key |")) {
      table = true;
    } else if (!line.starts_with("|")) {
      table = false;
    } else if (table && line.starts_with("| `")) {
      const std::size_t first = line.find(" | ");
      const std::size_t second = line.find(" | ", first + 3);
      const std::string keys = line.substr(0, first);
      for (std::sregex_iterator key{keys.begin(), keys.end(), kKey}, end; key != end; ++key)
        out[part].push_back({(*key)[1], line.substr(first + 3, second - first - 3)});
    }
  }
  return out;
}

// What the reader of a section says it knows, when it meets what it does not.
std::set<std::string> known_to_the_reader(const std::string& text) {
  const auto loaded = load_text(text);
  std::set<std::string> out;
  if (loaded) return out;
  for (const Problem& problem : loaded.error()) {
    const std::size_t colon = problem.hint.find(": ");
    if (!problem.hint.starts_with("keys of ") || colon == std::string::npos) continue;
    std::stringstream words{problem.hint.substr(colon + 2)};
    for (std::string word; words >> word;) out.insert(word.substr(0, word.find(',')));
  }
  return out;
}

TEST(ConfigPage, HasEveryKeyThatTheReaderKnowsAndNoOther) {
  const std::string odd = "zzzz_qqqq_0000 = 1\n";
  const std::map<std::string, std::string> sections = {
      {"[gateway]", kGateway + odd},
      {"[log]", kGateway + "[log]\n" + odd},
      {"[[tunnel]]", with_tunnel(odd)},
      {"health", with_tunnel("interface = \"10.255.0.0/31\"\n[tunnel.health]\n" + odd)},
      {"[[route]]", with_tunnel("[[route]]\nprefix = \"10.1.0.0/16\"\ntunnel = \"berlin\"\n" + odd)},
      {"[[vrf]]", kGateway + "[[vrf]]\nname = \"blue\"\ntun = \"qanat1\"\nroute_table = 5210\n" + odd},
      {"[[policy]]", kGateway + "[[policy]]\nname = \"p\"\naction = \"drop\"\n" + odd},
      {"[[nat]]", kGateway + "[[nat]]\n" + odd},
  };
  Sections page = settings_of_the_page();
  for (const auto& [section, text] : sections) {
    std::set<std::string> written;
    for (const Row& row : page[section]) written.insert(row.key);
    std::set<std::string> known = known_to_the_reader(text);
    EXPECT_FALSE(known.empty()) << section << ": " << said(text);
    if (section == "[[tunnel]]") known.erase("health");  // a section of its own on the page
    EXPECT_EQ(written, known) << "docs/config.md and the reader of " << section;
  }
}

// A default that is written as TOML is what the setting has when it is left out.
TEST(ConfigPage, DefaultsAreTheDefaults) {
  const auto value_of = [](std::string text) {
    static const std::regex kNumber{"-?[0-9]+|0x[0-9a-f]+"};
    if (std::regex_match(text, kNumber)) return text;
    if (text.size() < 3 || text.front() != '`' || text.back() != '`' || text.find('`', 1) != text.size() - 1)
      return std::string{};
    return text.substr(1, text.size() - 2);
  };
  // Where a tunnel needs more for the setting to be of use.
  const std::map<std::string, std::string> with = {{"ppk", "ppk_file = \"good.psk\"\nppk_id = \"x\"\n"}};
  std::size_t compared = 0;
  for (const auto& [section, rows] : settings_of_the_page()) {
    const bool tunnel = section == "[[tunnel]]";
    if (!tunnel && section != "[gateway]" && section != "[log]" && section != "health") continue;
    for (const Row& row : rows) {
      const std::string value = value_of(row.default_value);
      if (value.empty()) continue;
      const auto more = with.find(row.key);
      const std::string base = section == "health"  ? "interface = \"10.255.0.0/31\"\n[tunnel.health]\n"
                               : more == with.end() ? std::string{}
                                                    : more->second;
      const std::string setting = row.key + " = " + value + "\n";
      const auto whole = [&](const std::string& text) {
        return tunnel || section == "health" ? with_tunnel(base + text)
               : section == "[log]"          ? kGateway + "[log]\n" + text
                                             : kGateway + text;
      };
      const auto without = load_text(whole(""));
      const auto explicitly = load_text(whole(setting));
      ASSERT_TRUE(without.has_value()) << said(whole(""));
      ASSERT_TRUE(explicitly.has_value()) << setting << said(whole(setting));
      const auto changes = diff(without->config, explicitly->config);
      EXPECT_TRUE(changes.empty()) << section << ' ' << setting << "is not what it has when it is left out";
      ++compared;
    }
  }
  EXPECT_GT(compared, 30U);
}

}  // namespace
}  // namespace qanat::config::testing
