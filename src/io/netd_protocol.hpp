// What qanatd and its privileged helper say to each other over a SOCK_SEQPACKET pair: fixed layouts, every length
// checked, every value validated by the side that has the rights. A command longer than a frame comes in pieces.
//
// frame:   request:u64 | verb:u8 | more:u8 (0 or 1) | zero:u16 | piece
// answer:  request:u64 | ok:u8 | kind:u8 | zero:u16 | where: u16 length + text | detail: u16 length + text [+
// SCM_RIGHTS]
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "base/strong_id.hpp"
#include "gateway/host_command.hpp"
#include "io/esp_socket.hpp"
#include "io/tun_device.hpp"
#include "io/udp_socket.hpp"

namespace qanat::io {

inline constexpr std::size_t kMaxPrefixes = 100'000;
inline constexpr std::size_t kMaxFrame = 32 * 1024;
inline constexpr std::size_t kMaxAccounts = 255;
inline constexpr std::size_t kMaxInterfaces = 64;  // of an account
inline constexpr std::size_t kMaxNatRules = 1024;
inline constexpr std::size_t kMaxRequest = 64 + kMaxPrefixes * 18 + kMaxNatRules * 2048;
inline constexpr std::uint32_t kMinRouteTable = 256;  // 0..255 belong to the host; the table after it is used as well
inline constexpr std::uint16_t kMinTunMtu = 576;

struct OpenUdp {
  Endpoint local;  // port 500 or 4500, nothing else
  std::uint32_t mark = 0;
  ReusePort reuse_port = ReusePort::No;
  friend bool operator==(const OpenUdp&, const OpenUdp&) = default;
};
struct OpenEsp {
  Family family = Family::V4;
  std::uint32_t mark = 0;
  friend bool operator==(const OpenEsp&, const OpenEsp&) = default;
};
struct OpenTun {
  std::string name;
  std::uint16_t mtu = 1400;
  TunQueue queue = TunQueue::Only;
  friend bool operator==(const OpenTun&, const OpenTun&) = default;
};
using NetdCommand = std::variant<OpenUdp, OpenEsp, OpenTun, gateway::SetProtection, gateway::PurgeProtection,
                                 gateway::SetNat, gateway::ChangeBarriers>;

struct NetdRequest {
  RequestId request;
  NetdCommand command;
};
struct NetdAnswer {
  RequestId request;
  Status status;
};

// 1 to 15 of A-Z a-z 0-9 . _ -, not "lo", "all", "default", "." or "..": no pattern, no path, no word of sysctl.
[[nodiscard]] Status check_interface_name(std::string_view name);
// Every range of the command: names, ports, tables, marks, MTU, number and kind of prefixes; and that accounts share
// nothing.
[[nodiscard]] Status check_command(const NetdCommand& command);

// The frames of a request, each at most kMaxFrame octets.
[[nodiscard]] std::vector<Bytes> encode_request(const NetdRequest& request);
// Puts frames together. Garbage is Error{Malformed}, and the assembler starts anew; `failed_request()` then says whom
// to answer. nullopt: more frames are to come.
class RequestAssembler {
 public:
  [[nodiscard]] Result<std::optional<NetdRequest>> add_frame(ByteView frame);
  [[nodiscard]] RequestId failed_request() const { return failed_; }

 private:
  struct Partial {
    RequestId request;
    std::uint8_t verb = 0;
    Bytes body;
  };
  std::optional<Partial> partial_;
  RequestId failed_;
};

[[nodiscard]] Bytes encode_answer(const NetdAnswer& answer);
[[nodiscard]] Result<NetdAnswer> decode_answer(ByteView frame);

}  // namespace qanat::io
