// A datagram as a stranger sends it: parse_message() must refuse it, or read something that can be written and read
// again. The seeds in corpus/wire_message are made by fuzz_wire_seeds.
#include <cstddef>
#include <cstdint>

#include "wire/testing.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace qanat;
  const auto message = wire::parse_message(ByteView{data, size});
  if (!message) {
    ensure(message.error().kind == ErrorKind::Malformed && message.error().notify == 7, "a refusal is Malformed");
    return 0;
  }
  const std::string fault = wire::testing::round_trip_fault(*message);
  ensure(fault.empty(), fault.c_str());
  return 0;
}
