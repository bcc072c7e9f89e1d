// Not a fuzzer: writes the seed corpora of fuzz_wire_message and fuzz_wire_chain.
//   fuzz_wire_seeds DIRECTORY     makes DIRECTORY/wire_message and DIRECTORY/wire_chain
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "wire/testing.hpp"

namespace {

bool write_file(const std::filesystem::path& path, qanat::ByteView octets) {
  std::ofstream out(path, std::ios::binary);
  for (const std::uint8_t b : octets) out.put(static_cast<char>(b));
  return static_cast<bool>(out.flush());
}

}  // namespace

int main(int argc, char** argv) {
  using namespace qanat;
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_wire_seeds DIRECTORY\n");
    return 2;
  }
  const std::filesystem::path root(argv[1]);
  std::filesystem::create_directories(root / "wire_message");
  std::filesystem::create_directories(root / "wire_chain");
  bool ok = true;
  for (const auto& sample : wire::testing::sample_messages()) {
    ok = write_file(root / "wire_message" / sample.name, sample.octets) && ok;
    const auto message = wire::parse_message(sample.octets);
    if (!message || message->payloads.empty() || message->encrypted) continue;
    Bytes chain{static_cast<std::uint8_t>(message->header.next_payload)};
    append(chain, ByteView{sample.octets}.subspan(wire::kIkeHeaderSize));
    ok = write_file(root / "wire_chain" / sample.name, chain) && ok;
  }
  return ok ? 0 : 1;
}
