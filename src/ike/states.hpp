// The states of an IKE SA, each consumed when the next one is made.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <variant>

#include "base/boxed.hpp"
#include "crypto/key_exchange.hpp"
#include "ike/actions.hpp"
#include "ike/config.hpp"
#include "ike/create_child.hpp"
#include "ike/puzzle.hpp"
#include "ipsec/proposal.hpp"
#include "wire/message.hpp"

namespace qanat::ike {

struct Attempt {                // one key exchange that we tried in IKE_SA_INIT
  std::vector<Bytes> requests;  // as sent: they differ in their cookies
  std::unique_ptr<crypto::KeyExchange> ke;
};
struct AwaitInit {  // initiator: the IKE_SA_INIT response
  std::vector<Attempt> attempts;
  wire::SaPayload offer;
  Bytes cookie;
  Bytes solution;                      // of the puzzle that came with it
  std::optional<PuzzleSolver> solver;  // at work; the request goes on as it is meanwhile
  unsigned restarts = 0;
};
struct AwaitIntermediate {  // initiator: the response of round `round`
  std::size_t round = 0;
  std::unique_ptr<crypto::KeyExchange> ke;
};
struct SolvingPuzzle {  // initiator: before IKE_AUTH (RFC 8019 7.2)
  std::size_t rounds_done = 0;
  PuzzleSolver solver;
};
struct AwaitSpi {  // initiator: an inbound SPI before IKE_AUTH
  RequestId request;
};
struct AwaitAuth {  // initiator: the IKE_AUTH response
  wire::SaPayload offer;
  wire::TsPayload tsi;
  wire::TsPayload tsr;
  ipsec::EspSpi spi = 0;  // 0: childless (RFC 6023)
};
struct AwaitSignature {  // both: a worker makes our AUTH; a second one without the PPK may follow (RFC 8784 3)
  RequestId request;
  AwaitAuth sent;           // initiator: what the IKE_AUTH request will offer
  wire::Payloads message;   // responder: the IKE_AUTH request
  Boxed<SignAnswer> first;  // initiator: while the second is made
};
struct AwaitVerdict {  // both: a worker judges the peer's AUTH and certificates
  RequestId request;
  AwaitAuth sent;          // initiator
  TunnelRef tunnel;        // as responder, the one that the identities chose
  wire::Payloads message;  // the peer's IKE_AUTH message
};
struct AwaitRequest {  // responder: IKE_INTERMEDIATE, then IKE_AUTH
  std::size_t rounds_done = 0;
  IpAddress local;  // of IKE_SA_INIT: it means a tunnel that has them
  IpAddress remote;
};
struct ReservingSpi {  // responder: IKE_AUTH is verified, an inbound SPI is being reserved
  RequestId request;
  ipsec::ChosenEsp chosen;
  ipsec::Selectors tsi;
  ipsec::Selectors tsr;
  wire::Payloads answer;  // IDr, AUTH
};
struct Installing {  // both: the first Child SA's two directions are being installed
  ChildSaId child;
  wire::Payloads answer;  // responder: the complete IKE_AUTH response
};
struct Established {};
struct Deleting {  // our Delete is on its way, or waits: for the answer to our last request (window 1), for packets
                   // (Leave)
  bool sent = false;
  Boxed<OwnIke> rekey{};  // our last request: what the peer makes of it is deleted as well
};
struct Superseded {};  // rekeyed by the peer, which deletes it; or made by a rekey that may lose (heir.cpp)
struct Lingering {};   // failed or deleted as responder: the last response may have to be repeated
struct Closed {};
using State =
    std::variant<AwaitInit, AwaitIntermediate, SolvingPuzzle, AwaitSpi, AwaitSignature, AwaitAuth, AwaitVerdict,
                 AwaitRequest, ReservingSpi, Installing, Established, Deleting, Superseded, Lingering, Closed>;

}  // namespace qanat::ike
