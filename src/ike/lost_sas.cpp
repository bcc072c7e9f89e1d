// A peer sends packets on SAs that we do not have: it is told in the clear (RFC 7296 1.5), asks at once whether its IKE
// SA still stands, and then hears of the crash (crash_token.hpp). Nobody vouches for the word: it is a hint.
#include <algorithm>

#include "ike/endpoint.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyPayload;
using wire::NotifyType;

void IkeEndpoint::judge_unknown_spi(Instant now, const ipsec::UnknownSpi& packet) {
  if (!tunnels_.knows_peer(packet.arrived.peer.address) || half_open_.is_under_load() || !spi_answers_.take(now)) {
    counters_.add(Counter::not_answered);
    return;
  }
  tell_invalid_spi(packet);
}

void IkeEndpoint::tell_invalid_spi(const ipsec::UnknownSpi& packet) {
  const IpAddress& remote = packet.arrived.peer.address;
  // With an IKE SA there, it hears of its Child SAs by that.
  const bool knows_us = std::any_of(sas_.begin(), sas_.end(), [&](const auto& entry) {
    return entry.second.sa->is_established() && entry.second.sa->path().remote.address == remote;
  });
  if (knows_us) return;
  if (config_.shard + 1 < config_.shards.count) return cross(NotKnown{packet});
  wire::IkeHeader header;  // no IKE SA is meant: SPIs of 0
  header.exchange = ExchangeType::INFORMATIONAL;
  header.flags = wire::kFlagInitiator;
  Bytes spi(4);
  store_be32(spi.data(), packet.spi);
  const Bytes message = wire::write_clear_message(
      header, {NotifyPayload{wire::ProtocolId::None, {}, NotifyType::INVALID_SPI, std::move(spi)}});
  Path path{packet.arrived.local, packet.arrived.peer};
  Bytes datagram;
  if (packet.arrived.encapsulation == ipsec::Encapsulation::Udp) {
    datagram.resize(4);
  } else {
    path.local.port = path.remote.port = config_.ike_port;
  }
  append(datagram, message);
  counters_.add(Counter::invalid_spi_sent);
  actions_.emplace_back(Transmit{path, std::move(datagram)});
}

// The same, received; it is not answered, whatever it says.
bool IkeEndpoint::take_invalid_spi(Instant now, const Path& arrived, const wire::IkeHeader& header, ByteView payload) {
  if (header.exchange != ExchangeType::INFORMATIONAL || header.is_response()) return false;
  const auto message = wire::parse_message(payload);
  if (!message || message->encrypted) return false;
  const NotifyPayload* notice = wire::find_notify(message->payloads, NotifyType::INVALID_SPI);
  if (notice == nullptr || notice->data.size() != 4) return false;
  counters_.add(Counter::error_hint);
  if (!path_errors_.take(now)) return true;  // the search below is not for everybody to cause
  const ipsec::EspSpi spi = load_be32(notice->data.data());
  doubt_senders(now, arrived.remote.address, spi);
  cross(NotKnownThere{arrived.remote.address, spi});
  return true;
}

void IkeEndpoint::doubt_senders(Instant now, const IpAddress& remote, ipsec::EspSpi spi) {
  std::vector<std::uint64_t> there;
  for (const auto& [ours, entry] : sas_) {
    if (entry.sa->path().remote.address == remote && entry.sa->sends_on(spi)) there.push_back(ours);
  }
  for (const std::uint64_t ours : there) {
    sas_.at(ours).sa->hint_of_trouble(now);
    touch(now, ours);
  }
}

bool IkeSa::sends_on(ipsec::EspSpi peers) const {
  return is_established() && std::any_of(children_.begin(), children_.end(), [&](const auto& entry) {
           return entry.second.carries() && entry.second.info.spi_out == peers;
         });
}

}  // namespace qanat::ike
