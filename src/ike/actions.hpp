// What goes into the IKE core besides datagrams, and what comes out.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/address.hpp"
#include "base/iana.hpp"
#include "base/secret.hpp"
#include "base/strong_id.hpp"
#include "ike/auth_task.hpp"
#include "ike/crossing.hpp"
#include "ike/key_schedule.hpp"
#include "ipsec/data_plane.hpp"

namespace qanat::ike {

// The addresses that an IKE message uses. The local port tells whether the non-ESP marker stands before it.
struct Path {
  Endpoint local;
  Endpoint remote;
  friend bool operator==(const Path&, const Path&) = default;
};

// UDP payload to send, the non-ESP marker included where it belongs.
struct Transmit {
  Path path;
  Bytes datagram;
};
struct PlaneCommand {
  ipsec::Command command;
};

// What the key operations of one exchange cost us, in microseconds; 0: not measured, or there was none.
struct KeyTimes {
  std::uint32_t own = 0;   // our key pair, or the proof of who we are
  std::uint32_t peer = 0;  // the secret out of the peer's value (ECDH, en- or decapsulation), or its proof judged
  std::uint32_t prf = 0;   // the keys out of that
};

// One exchange of a handshake, for `qanat status NAME` and `qanat explain NAME`. It is kept for every tunnel.
struct ExchangeRecord {
  wire::ExchangeType exchange{};
  std::uint16_t request_datagrams = 0;
  std::uint16_t response_datagrams = 0;
  std::uint16_t retransmissions = 0;
  std::string note;  // "x25519", "mlkem768", "PSK"
  std::uint32_t request_octets = 0;
  std::uint32_t response_octets = 0;
  KeyTimes times;
  Duration took{};
};
// IKE_SA_INIT, seven additional key exchanges (RFC 9370) and IKE_AUTH; with the text of the proposals that is all that
// an established IKE SA keeps for `qanat explain`.
inline constexpr std::size_t kMaxSteps = 9;
inline constexpr std::size_t kKeptForExplain = 768;  // octets
static_assert(kMaxSteps * sizeof(ExchangeRecord) + 100 <= kKeptForExplain);

// Something an operator or the Director wants to know. `what` is a stable word; docs/events.md lists them.
struct Report {
  enum class What : std::uint8_t {
    ChildUp,        // traffic can flow; `detail` is the summary of keys and algorithms
    ChildGone,      // that Child SA carries no more: follows every ChildUp once
    IkeUp,          // the peer is authenticated
    AttemptFailed,  // an attempt that we began ended without a tunnel; `detail` says why and what to do
    PeerRefused,    // as responder we turned a peer away
    Hint,           // an unauthenticated answer that may explain why an attempt does not progress
    Down,           // an established IKE SA is gone; `detail` says why
    RenewWanted,    // a lifetime or a limit asks for new keys soon
    PeerMoved,
    IkeRekeyed,        // the IKE SA has new keys; its Child SAs carry on
    Weakened,          // the peer rekeyed with less than before; `detail` says what holds now
    PeerRestarted,     // it has shown that it lost the IKE SA (RFC 6290), which is gone; follows Down
    PinRefused,        // classical keys from a peer that has come up hybrid before, and pq = "pin" refuses them
    SelectorsRefused,  // the peer drops packets of ours, which are outside the traffic selectors of their Child SA
  } what{};
  TunnelId tunnel;  // 0 with PeerRefused when no tunnel was found
  IkeSaId sa;
  std::string detail;
  ChildSaId child{};                           // of ChildUp and ChildGone
  std::vector<ExchangeRecord> handshake = {};  // of AttemptFailed: how far it came
};
[[nodiscard]] std::string to_string(Report::What what);

// For --keylog: one record per key generation (Wireshark's tables hold one key set per SPI pair).
struct KeyLog {
  std::uint64_t spi_i = 0;
  std::uint64_t spi_r = 0;
  unsigned generation = 0;  // 0 after IKE_SA_INIT, 1 after the first IKE_INTERMEDIATE, ...
  CipherSuite suite;
  SecretBytes sk_ei, sk_er, sk_ai, sk_ar;
};
struct EspKeyLog {
  IpAddress source;
  IpAddress destination;
  ipsec::EspSpi spi = 0;
  CipherSuite suite;
  bool esn = false;
  SecretBytes keymat;
};

using Action = std::variant<Transmit, PlaneCommand, Report, SignQuestion, VerifyQuestion, KeyLog, EspKeyLog, Crossing>;

}  // namespace qanat::ike
