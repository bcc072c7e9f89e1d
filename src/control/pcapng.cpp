#include "control/pcapng.hpp"

#include <array>

namespace qanat::control::pcapng {

namespace {

constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr std::uint32_t kInterface = 1;
constexpr std::uint32_t kEnhancedPacket = 6;
constexpr std::uint32_t kByteOrder = 0x1a2b3c4d;
constexpr std::uint16_t kLinkTypeRaw = 101;
constexpr std::size_t kMaxText = 1024;

enum Option : std::uint16_t {
  kEnd = 0,
  kName = 2,             // if_name
  kFlags = 2,            // epb_flags
  kUserApplication = 4,  // shb_userappl
  kTimeResolution = 9,   // if_tsresol
  kFilter = 11,          // if_filter
};

void u16(Bytes& to, std::uint32_t v) {
  to.push_back(static_cast<std::uint8_t>(v));
  to.push_back(static_cast<std::uint8_t>(v >> 8));
}
void u32(Bytes& to, std::uint32_t v) {
  u16(to, v & 0xffff);
  u16(to, v >> 16);
}
void padded(Bytes& to, ByteView octets) {
  append(to, octets);
  to.resize(to.size() + (4 - octets.size() % 4) % 4);
}
void option(Bytes& to, Option code, ByteView value) {
  u16(to, code);
  u16(to, static_cast<std::uint32_t>(value.size()));
  padded(to, value);
}
void option(Bytes& to, Option code, std::string_view text) {
  const Bytes octets = to_bytes(text.substr(0, kMaxText));
  option(to, code, octets);
}

// Its length stands at both ends.
std::size_t begin(Bytes& to, std::uint32_t type) {
  const std::size_t at = to.size();
  u32(to, type);
  u32(to, 0);
  return at;
}
void end(Bytes& to, std::size_t at) {
  const auto length = static_cast<std::uint32_t>(to.size() - at + 4);
  u32(to, length);
  for (std::size_t i = 0; i < 4; ++i) to[at + 4 + i] = static_cast<std::uint8_t>(length >> (8 * i));
}

}  // namespace

void append_section(Bytes& to, std::string_view application) {
  const std::size_t at = begin(to, kSectionHeader);
  u32(to, kByteOrder);
  u16(to, 1);  // version 1.0
  u16(to, 0);
  u32(to, 0xffffffff);  // the section's length is not given
  u32(to, 0xffffffff);
  option(to, kUserApplication, application);
  option(to, kEnd, ByteView{});
  end(to, at);
}

void append_interface(Bytes& to, std::string_view name, std::uint32_t snap, std::string_view filter) {
  constexpr std::uint8_t kNanoseconds = 9;
  const std::size_t at = begin(to, kInterface);
  u16(to, kLinkTypeRaw);
  u16(to, 0);
  u32(to, snap);
  option(to, kName, name);
  if (!filter.empty()) option(to, kFilter, std::string{'\0'}.append(filter));  // 0: a libpcap filter string
  option(to, kTimeResolution, ByteView{&kNanoseconds, 1});
  option(to, kEnd, ByteView{});
  end(to, at);
}

void append_packet(Bytes& to, std::uint32_t interface, std::uint64_t nanoseconds, Direction direction, ByteView kept,
                   std::uint32_t size) {
  const std::size_t at = begin(to, kEnhancedPacket);
  u32(to, interface);
  u32(to, static_cast<std::uint32_t>(nanoseconds >> 32));
  u32(to, static_cast<std::uint32_t>(nanoseconds));
  u32(to, static_cast<std::uint32_t>(kept.size()));
  u32(to, size);
  padded(to, kept);
  const std::array<std::uint8_t, 4> flags{static_cast<std::uint8_t>(direction), 0, 0, 0};
  option(to, kFlags, flags);
  option(to, kEnd, ByteView{});
  end(to, at);
}

}  // namespace qanat::control::pcapng
