// Any bytes as a configuration file: load() answers with a configuration or with problems, and nothing else happens.
#include <cstdint>
#include <string_view>

#include "config/config.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace qanat;
  const auto read_file = [](const std::string& path) -> Result<SecretBytes> {
    if (path.size() % 2 == 1) return fail(ErrorKind::Resource, path, "cannot be read");
    return SecretBytes::copy_of(to_bytes(std::string_view{path}));
  };
  const auto loaded = config::load({reinterpret_cast<const char*>(data), size}, "fuzz.toml", read_file);
  const std::string shown = config::render_problems(loaded ? loaded->warnings : loaded.error());
  ensure(loaded || !shown.empty(), "a refused configuration says why");
  return 0;
}
