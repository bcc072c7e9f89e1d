// Every configuration that the documentation shows is one that the daemon takes.
#include <fstream>
#include <sstream>

#include "config/config_testing.hpp"

namespace qanat::config {
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

INSTANTIATE_TEST_SUITE_P(Pages, Documentation, ::testing::Values("README.md", "docs/config.md", "docs/peers.md"),
                         [](const auto& page) {
                           std::string name{page.param};
                           std::erase_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
                           return name;
                         });

}  // namespace
}  // namespace qanat::config
