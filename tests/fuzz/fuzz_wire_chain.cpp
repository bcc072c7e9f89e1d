// What an authenticated peer puts into an SK payload: the first octet is the type of the first payload, the rest the
// chain. parse_chain() must refuse it, or read something that can be written and read again.
#include <cstddef>
#include <cstdint>

#include "wire/testing.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace qanat;
  if (size == 0) return 0;
  const ByteView chain{data + 1, size - 1};
  const auto payloads = wire::parse_chain(static_cast<wire::PayloadType>(data[0]), chain);
  if (!payloads) {
    ensure(payloads.error().kind == ErrorKind::Malformed && payloads.error().notify == 7, "a refusal is Malformed");
    return 0;
  }
  ByteWriter out;
  const wire::PayloadType first = wire::write_chain(out, *payloads);
  ensure(first == static_cast<wire::PayloadType>(data[0]) && out.size() <= chain.size(),
         "a chain is written as it was read");
  const auto again = wire::parse_chain(first, out.view());
  ensure(again.has_value() && *again == *payloads, "a written chain reads as the same");
  for (const wire::Payload& payload : *payloads) {
    if (const auto* id = std::get_if<wire::IdPayload>(&payload)) {
      if (const auto read_back = wire::Identity::parse(id->identity.to_string())) {
        ensure(read_back->type != id->identity.type || read_back->matches(id->identity),
               "an identity that reads back is the same");
      }
    }
  }
  return 0;
}
