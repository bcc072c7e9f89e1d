// ChildSaParams: everything the packet path must know of one Child SA; where ike/ and esp/ meet.
#pragma once

#include <cstdint>
#include <vector>

#include "base/address.hpp"
#include "base/iana.hpp"
#include "base/secret.hpp"
#include "base/strong_id.hpp"
#include "base/time.hpp"
#include "ipsec/spi.hpp"
#include "wire/ts_payload.hpp"

namespace qanat::ipsec {

enum class Encapsulation : std::uint8_t { Native, Udp };  // IP protocol 50, or UDP (RFC 3948)

// Where the outer packets go. Ports are 0 with native ESP.
struct OuterPath {
  Endpoint local;
  Endpoint peer;
  Encapsulation encapsulation = Encapsulation::Udp;
  friend bool operator==(const OuterPath&, const OuterPath&) = default;
};

// Soft limits ask for a rekey, hard limits stop the SA. 0: none beyond those of the sequence number and the cipher,
// which are the packet path's own (esp/sa_limits.hpp).
struct SaLimits {
  std::uint64_t soft_packets = 0;
  std::uint64_t hard_packets = 0;
  std::uint64_t soft_bytes = 0;
  std::uint64_t hard_bytes = 0;
};

// How safe keys are (rules.md "How safe an SA is"), the weakest first.
enum class KeySafety : std::uint8_t {
  None,  // there is no SA
  Classical,
  Ppk,
  Hybrid,  // or inherited from a hybrid IKE SA
};

// One direction of a Child SA, as installed.
struct SaDirection {
  ChildSaId child;
  TunnelId tunnel;
  VrfId vrf;
  std::uint32_t resource_id = 0;  // RFC 9611; the default is 0
  EspSpi spi = 0;                 // inbound: ours; outbound: the peer's
  CipherSuite suite;
  KeySafety keys = KeySafety::Classical;
  bool esn = false;
  std::uint32_t replay_window = 1024;  // inbound; 0: none
  // Sequence numbers up to this one are used up, of an SA that goes on here after another place; 0: a new one.
  std::uint64_t last_sequence = 0;
  SecretBytes keymat;  // encryption key (with salt) | integrity key
  std::vector<wire::TrafficSelector> local_ts;
  std::vector<wire::TrafficSelector> remote_ts;
  OuterPath path;
  SaLimits limits;
};

// The wiped pair that a handshake ends with.
struct ChildSaParams {
  SaDirection inbound;
  SaDirection outbound;
};

}  // namespace qanat::ipsec
