// Which socket of the SO_REUSEPORT group of port 4500 a datagram goes to. Socket 0 is the control thread's, 1.. are the
// data workers'; the order is the order of bind().
//
//   payload shorter than 4 octets (a keepalive, rubbish)   -> 0
//   first word 0 (the non-ESP marker: IKE)                 -> 0
//   else, an ESP SPI                                       -> 1 + (bucket % workers), bucket = SPI & 31
#pragma once

#include "base/result.hpp"
#include "io/esp_socket.hpp"

namespace qanat::io {

// Attaches the program to the whole group through any one of its sockets. Needs no right; call it when all are bound.
// Until then, or if it fails, the kernel spreads by hash: every reader must cope with the other's datagrams.
[[nodiscard]] Status attach_steering(int fd, unsigned workers);

// Raw ESP sockets receive every packet. From then on this one is given what is worker `worker`'s, by the same rule; a
// packet that is too short for an SPI is the first's. Needs no right.
[[nodiscard]] Status attach_esp_filter(const EspSocket& socket, unsigned worker, unsigned workers);

}  // namespace qanat::io
