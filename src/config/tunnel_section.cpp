#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "config/readers.hpp"

namespace qanat::config {

namespace {

using model::DfMode;
using model::EncapMode;
using model::EsnMode;
using model::SourceCheck;
using model::StartMode;
using namespace std::chrono_literals;

constexpr std::chrono::seconds kSecondQuestion{2};  // after the first, in which time a lost one has been repeated

constexpr auto kSourceChecks = std::to_array<std::pair<std::string_view, SourceCheck>>(
    {{"strict", SourceCheck::Strict}, {"off", SourceCheck::Off}});
constexpr auto kEncapModes =
    std::to_array<std::pair<std::string_view, EncapMode>>({{"auto", EncapMode::Auto}, {"force", EncapMode::Force}});
constexpr auto kEsnModes =
    std::to_array<std::pair<std::string_view, EsnMode>>({{"auto", EsnMode::Auto}, {"off", EsnMode::Off}});
constexpr auto kDfModes = std::to_array<std::pair<std::string_view, DfMode>>(
    {{"copy", DfMode::Copy}, {"set", DfMode::Set}, {"clear", DfMode::Clear}});
constexpr auto kMssModes = std::to_array<std::pair<std::string_view, bool>>({{"clamp", true}, {"off", false}});
constexpr auto kStartModes = std::to_array<std::pair<std::string_view, StartMode>>(
    {{"initiate", StartMode::Initiate}, {"respond", StartMode::Respond}});

void read_name(Section& section, ParsedTunnel& parsed) {
  parsed.name_at = section.place("name");
  const auto name = section.text("name", "text in double quotes");
  if (name && is_object_name(name->value)) {
    parsed.tunnel.name = name->value;
  } else if (name) {
    section.refuse_text("name", *name, kObjectNameRule);
  } else if (!section.find("name")) {
    section.problems().error(section.at(), fmt::format("{}: name is missing", section.title()),
                             "for example name = \"berlin\"");
  }
}

void read_peer(Section& section, ParsedTunnel& parsed) {
  model::Tunnel& tunnel = parsed.tunnel;
  parsed.peer_at = section.place("peer");
  const auto peer = section.text("peer", "an address in double quotes, or \"any\"");
  if (!section.find("peer")) {
    section.problems().error(
        section.at(), fmt::format("{}: peer is missing", section.title()),
        "give the peer's address, peer = \"198.51.100.7\", or peer = \"any\" for one that calls in");
  } else if (peer && peer->value == "any") {
    parsed.peer_known = true;
  } else if (peer) {
    // "198.51.100.7:4500": one colon, and an address before it.
    const std::string_view whole = peer->value;
    const std::size_t colon = whole.find(':');
    if (colon != std::string_view::npos && IpAddress::parse(whole.substr(0, colon))) {
      section.refuse_text(
          "peer", *peer, "must be the address alone",
          fmt::format("the port has a key of its own: peer_port = {}", printable(whole.substr(colon + 1), 8)));
    } else {
      tunnel.peer = host_address(section, "peer", *peer);
      parsed.peer_known = tunnel.peer.has_value();
    }
  }
  if (const auto port = section.integer("peer_port", 1, 65535))
    tunnel.peer_port = static_cast<std::uint16_t>(port->value);
  parsed.local_at = section.place("local");
  if (const auto local = section.text("local", "an address in double quotes"))
    tunnel.local = host_address(section, "local", *local);
}

void read_start(Section& section, ParsedTunnel& parsed) {
  const bool calls_in = parsed.peer_known && !parsed.tunnel.peer;
  const auto start = section.choice("start", kStartModes);
  parsed.tunnel.start = start ? start->value : calls_in ? StartMode::Respond : StartMode::Initiate;
  if (start && calls_in && start->value == StartMode::Initiate) {
    section.problems().error(
        start->at,
        fmt::format("{}: start = \"initiate\": cannot call a peer whose address is \"any\"", section.title()),
        "leave start out, or give the peer's address");
  }
}

void read_packets(Section& section, ParsedTunnel& parsed) {
  model::Tunnel& tunnel = parsed.tunnel;
  if (const auto mode = section.choice("source_check", kSourceChecks)) tunnel.source_check = mode->value;
  if (const auto mode = section.choice("encap", kEncapModes)) tunnel.encap = mode->value;
  if (const auto mode = section.choice("esn", kEsnModes)) tunnel.esn = mode->value;
  if (const auto window = section.integer("replay_window", 32, 8192, Section::Zero::Also)) {
    tunnel.replay_window = static_cast<std::uint32_t>(window->value);
    if (tunnel.replay_window == 0) {
      tunnel.esn = EsnMode::Off;
      section.problems().warn(
          window->at,
          fmt::format(
              "{}: replay_window = 0: recorded packets can be played back, extended sequence numbers are off, and the "
              "peer's address is never learnt from its packets",
              section.title()),
          "leave it out (1024), unless the peer cannot number its packets in order");
    }
  }
  const Entry* dscp = section.find("dscp");
  const auto* word = dscp ? std::get_if<std::string>(&dscp->value.data) : nullptr;
  if (dscp && !(word && *word == "copy")) {
    const auto* number = std::get_if<std::int64_t>(&dscp->value.data);
    if (number && *number >= 0 && *number <= 63) {
      tunnel.dscp = static_cast<std::uint8_t>(*number);
    } else {
      section.refuse("dscp", dscp->value, "\"copy\", or a whole number from 0 to 63");
    }
  }
  if (const auto mode = section.choice("df", kDfModes)) tunnel.df = mode->value;
  if (const auto mode = section.choice("mss", kMssModes)) tunnel.clamp_mss = mode->value;
  parsed.mtu_at = section.place("mtu");
  if (const auto mtu = section.integer("mtu", 576, 9000, Section::Zero::Also)) {
    tunnel.mtu = static_cast<std::uint16_t>(mtu->value);
    parsed.mtu_at = mtu->at;
  }
}

void read_times(Section& section, ParsedTunnel& parsed) {
  model::Tunnel& tunnel = parsed.tunnel;
  if (const Entry* entry = section.find("dpd")) {
    if (const auto* table = std::get_if<Table>(&entry->value.data)) {
      Section dpd{*table, entry->value.at, "dpd of [[tunnel]]", section.title() + ": dpd", section.problems()};
      const auto idle = dpd.duration("idle", 1s, 24h);
      const auto timeout = dpd.duration("timeout", 1s, 24h);
      if (idle) {
        tunnel.dpd_idle = idle->value;
        tunnel.dpd_timeout = std::max(tunnel.dpd_timeout, 3 * idle->value);
      }
      if (timeout) tunnel.dpd_timeout = timeout->value;
      if (timeout && tunnel.dpd_timeout < tunnel.dpd_idle + kSecondQuestion)
        section.problems().error(
            timeout->at,
            fmt::format(
                "{}: dpd: timeout = {}: must be {} s or more with idle = {}, or one lost packet ends the tunnel",
                section.title(), tunnel.dpd_timeout.count(), (tunnel.dpd_idle + kSecondQuestion).count(),
                tunnel.dpd_idle.count()),
            "both count from the last packet of the peer; for a quick verdict: dpd = { idle = 2, timeout = 6 }");
      dpd.finish();
    } else {
      section.refuse("dpd", entry->value, "a table of seconds: dpd = { idle = 10, timeout = 30 }");
    }
  }
  parsed.fragment_at = section.place("ike_fragment_size");
  if (const auto size = section.integer("ike_fragment_size", 576, 65000, Section::Zero::Also))
    tunnel.ike_fragment_size = static_cast<std::uint16_t>(size->value);
}

}  // namespace

ParsedTunnel read_tunnel(Section& section, const FileReader& read_file, const std::vector<ParsedVrf>& vrfs) {
  ParsedTunnel parsed;
  parsed.header = section.at();
  read_name(section, parsed);
  if (const auto vrf = read_vrf_name(section, vrfs)) parsed.tunnel.vrf = vrf->value;
  read_peer(section, parsed);
  read_identities(section, parsed);
  read_psk(section, parsed.tunnel, read_file);
  parsed.cert_at = section.place("cert_file");
  read_credentials(section, parsed.tunnel, read_file);
  read_ppk(section, parsed.tunnel, read_file);
  read_proposals(section, parsed.tunnel);
  read_renewal(section, parsed.tunnel);
  read_negotiation(section, parsed.tunnel);
  read_inside(section, parsed);
  read_start(section, parsed);
  read_packets(section, parsed);
  read_times(section, parsed);
  read_steering(section, parsed);
  section.finish();
  return parsed;
}

}  // namespace qanat::config
