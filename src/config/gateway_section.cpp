#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "config/readers.hpp"

namespace qanat::config {

namespace {

constexpr std::size_t kInterfaceNameSize = 15;  // the kernel's IFNAMSIZ without its zero
constexpr std::size_t kSocketPathSize = 107;    // sun_path without its zero
constexpr std::int64_t kMaxU32 = 4294967295;

constexpr auto kLevels = std::to_array<std::pair<std::string_view, std::string_view>>(
    {{"debug", "debug"}, {"info", "info"}, {"warning", "warning"}, {"error", "error"}});

bool is_lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// useradd's rule.
bool is_account_name(std::string_view name) {
  if (name.empty() || name.size() > 32 || !(is_lower_or_digit(name[0]) || name[0] == '_')) return false;
  return std::all_of(name.begin(), name.end(), [](char c) { return is_lower_or_digit(c) || c == '_' || c == '-'; });
}

void add_address(Section& section, const Placed<std::string>& text, model::Gateway& gateway) {
  const auto address = host_address(section, "address", text);
  if (!address) return;
  auto& slot = address->is_v4() ? gateway.address4 : gateway.address6;
  if (slot) {
    section.refuse_text(
        "address", text,
        fmt::format("there is an {} address already, {}", address->is_v4() ? "IPv4" : "IPv6", slot->to_string()),
        "one IPv4 and one IPv6 address at most; a tunnel can use another one with its key 'local'");
    return;
  }
  slot = *address;
}

void read_address(Section& section, model::Gateway& gateway) {
  const Entry* entry = section.find("address");
  if (!entry) {
    section.problems().error(
        section.at(), "[gateway]: address is missing",
        "give the address that peers reach this gateway by, for example address = \"203.0.113.1\"");
    return;
  }
  if (std::holds_alternative<Array>(entry->value.data)) {
    const auto list = section.texts("address", "");
    if (list && list->empty()) {
      section.problems().error(entry->value.at,
                               "[gateway]: address = []: must hold an address, or one IPv4 and one IPv6 address");
    }
    for (const auto& text : *list) add_address(section, text, gateway);
  } else if (const auto text =
                 section.text("address", "an address in double quotes, or an array of one IPv4 and one IPv6 address")) {
    add_address(section, *text, gateway);
  }
}

void read_path(Section& section, std::string_view key, std::size_t max_size, std::string& path) {
  const auto text = section.text(key, "an absolute path in double quotes");
  if (!text) return;
  if (!text->value.starts_with('/') || text->value.find('\0') != std::string::npos) {
    section.refuse_text(key, *text, "must be an absolute path, beginning with '/'");
  } else if (text->value.size() > max_size) {
    section.refuse_text(key, *text, fmt::format("must not be longer than {} characters", max_size));
  } else {
    path = text->value;
  }
}

void read_routing(Section& section, model::Gateway& gateway) {
  if (const auto name = section.text("tun", "the name of a network interface in double quotes")) {
    if (is_interface_name(name->value)) {
      gateway.tun_name = name->value;
    } else {
      section.refuse_text("tun", *name, "must be an interface name: 1 to 15 letters, digits, '-', '_' and '.'",
                          "the default is tun = \"qanat0\"");
    }
  }
  if (const auto mtu = section.integer("outer_mtu", 576, 65535)) {
    gateway.outer_mtu = static_cast<std::uint16_t>(mtu->value);
    if (gateway.address6 && mtu->value < 1280) {
      section.problems().error(
          mtu->at, fmt::format("[gateway]: outer_mtu = {}: must be at least 1280, since address has an IPv6 address",
                               mtu->value));
    }
  }
  // The one after it is ours as well (a default route's); below 256 the numbers belong to the host.
  if (const auto table = section.integer("route_table", 256, kMaxU32 - 1))
    gateway.route_table = static_cast<std::uint32_t>(table->value);
  if (const auto mark = section.integer("fwmark", 1, kMaxU32)) gateway.fwmark = static_cast<std::uint32_t>(mark->value);
}

void read_rights(Section& section, model::Gateway& gateway) {
  if (const auto user = section.text("user", "a user name in double quotes")) {
    if (!is_account_name(user->value)) {
      section.refuse_text("user", *user, "is not a user name: lower-case letters, digits, '-' and '_', at most 32");
    } else {
      gateway.user = user->value;
      if (user->value == "root") {
        section.problems().warn(user->at,
                                "[gateway]: user = \"root\": the daemon will keep root's rights over files while it "
                                "parses what the network sends",
                                "make a user for it (useradd --system qanat) and leave this key out");
      }
    }
  }
  if (const auto group = section.text("control_group", "a group name in double quotes")) {
    if (group->value.empty() || is_account_name(group->value)) {
      gateway.control_group = group->value;
    } else {
      section.refuse_text("control_group", *group,
                          "is not a group name: lower-case letters, digits, '-' and '_', at most 32");
    }
  }
}

bool is_loopback(const IpAddress& address) {
  return address.is_v4() ? address.bytes()[0] == 127 : address == *IpAddress::parse("::1");
}

void read_metrics(Section& section, model::Gateway& gateway) {
  const auto text = section.text("metrics", "an address and a port in double quotes, like \"127.0.0.1:9469\"");
  if (!text) return;
  gateway.metrics = parse_listener(text->value);
  if (!gateway.metrics) {
    section.refuse_text("metrics", *text, "must be an address and a port, like 127.0.0.1:9469 or [::1]:9469",
                        "leave it out for no metrics");
  } else if (!is_loopback(gateway.metrics->address)) {
    section.problems().warn(text->at,
                            fmt::format("[gateway]: metrics = {}: whoever reaches this address sees the names, states "
                                        "and counters of all tunnels",
                                        quoted(text->value)),
                            "let a proxy with TLS and a password stand before 127.0.0.1:9469");
  }
}

// What a peer may have us work for: 26 bits are a few minutes of one processor.
void read_puzzle_limit(Section& section, model::Gateway& gateway) {
  const auto bits = section.integer("puzzle_limit", 0, 26);
  if (!bits) return;
  if (bits->value > 0 && bits->value < 8) {
    section.problems().error(
        bits->at,
        fmt::format("[gateway]: puzzle_limit = {}: must be 0, for no puzzles solved, or from 8 to 26", bits->value),
        "peers set none of fewer than 8 zero bits (RFC 8019 4.4); 22 is a good value");
    return;
  }
  gateway.puzzle_limit = static_cast<std::uint8_t>(bits->value);
}

// Above 22 even a willing peer gives up, since the load adds up to four bits; 18 is what RFC 8019 holds for reasonable.
void read_puzzles(Section& section, model::Gateway& gateway) {
  const auto bits = section.integer("puzzle_difficulty", 0, 22);
  if (!bits) return;
  if (bits->value > 0 && bits->value < 8) {
    section.problems().error(
        bits->at,
        fmt::format("[gateway]: puzzle_difficulty = {}: must be 0, for no puzzles, or from 8 to 22", bits->value),
        "fewer than 8 zero bits are no work for anybody (RFC 8019 4.4); 18 is a good value");
    return;
  }
  gateway.puzzle_difficulty = static_cast<std::uint8_t>(bits->value);
}

}  // namespace

std::optional<Endpoint> parse_listener(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  const std::string_view digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (!address || address->is_v6() != bracketed || address->is_multicast() || error != std::errc{} ||
      end != digits.data() + digits.size() || port == 0)
    return std::nullopt;
  return Endpoint{*address, port};
}

bool is_interface_name(std::string_view name) {
  if (name.empty() || name.size() > kInterfaceNameSize || name == "." || name == ".." || name == "all" ||
      name == "default")
    return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' || c == '.';
  });
}

void read_gateway(Section& section, model::Gateway& gateway, const FileReader& read_file) {
  read_address(section, gateway);
  read_routing(section, gateway);
  read_path(section, "control_socket", kSocketPathSize, gateway.control_socket);
  read_path(section, "state_dir", 4000, gateway.state_dir);
  read_rights(section, gateway);
  if (const auto limit = section.integer("half_open_limit", 1, 1'000'000))
    gateway.half_open_limit = static_cast<std::uint32_t>(limit->value);
  if (const auto limit = section.integer("cookie_threshold", 0, 1'000'000))
    gateway.cookie_threshold = static_cast<std::uint32_t>(limit->value);
  if (const auto limit = section.integer("prefix_limit", 1, 1'000'000))
    gateway.prefix_limit = static_cast<std::uint32_t>(limit->value);
  if (const auto threads = section.integer("ike_threads", 0, 64))
    gateway.ike_threads = static_cast<std::uint32_t>(threads->value);
  if (const auto workers = section.integer("data_workers", 1, 16))
    gateway.data_workers = static_cast<std::uint32_t>(workers->value);
  read_puzzles(section, gateway);
  read_puzzle_limit(section, gateway);
  read_metrics(section, gateway);
  read_api(section, gateway, read_file);
  read_store_keys(section, gateway, read_file);
  read_webhooks(section, gateway, read_file);
  if (gateway.cookie_threshold > gateway.half_open_limit) {
    section.problems().warn(
        section.place("cookie_threshold"),
        fmt::format("[gateway]: cookie_threshold = {} is above half_open_limit = {}: cookies will never be demanded",
                    gateway.cookie_threshold, gateway.half_open_limit),
        "set cookie_threshold to a tenth of half_open_limit");
  }
  section.finish();
}

void read_log(Section& section, model::Gateway& gateway) {
  if (const auto level = section.choice("level", kLevels)) gateway.log_level = level->value;
  if (const auto json = section.boolean("json")) gateway.log_json = json->value;
  section.finish();
}

std::optional<IpAddress> host_address(Section& section, std::string_view key, const Placed<std::string>& text) {
  const auto address = IpAddress::parse(text.value);
  if (!address) {
    section.refuse_text(key, text, "is neither an IPv4 address like 192.0.2.1 nor an IPv6 address like 2001:db8::1",
                        text.value.find('/') != std::string::npos
                            ? "write the address alone, without '/' and a length"
                            : "names are not looked up: write the address itself");
    return std::nullopt;
  }
  if (address->is_unspecified() || address->is_multicast()) {
    section.refuse_text(key, text,
                        address->is_multicast() ? "is a multicast address, not one of a host" : "stands for no address",
                        key == "peer" ? "for a peer that calls in from anywhere write peer = \"any\"" : "");
    return std::nullopt;
  }
  return *address;
}

}  // namespace qanat::config
