#include "cli/capture.hpp"

#include <charconv>

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/ask.hpp"
#include "control/api.hpp"

namespace qanat::cli {

namespace {

using nlohmann::json;

std::optional<unsigned> protocol_of(std::string_view text) {
  if (text == "icmp") return 1;
  if (text == "tcp") return 6;
  if (text == "udp") return 17;
  if (text == "icmp6") return 58;
  unsigned number = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  return fault == std::errc{} && end == text.data() + text.size() && number < 256 ? std::optional{number}
                                                                                  : std::nullopt;
}

// The envelope's result; null when there is none.
json result_of(std::string_view body) {
  const json reply = json::parse(body, nullptr, false);
  return reply.is_object() && reply.contains("result") ? reply["result"] : json();
}

}  // namespace

Result<std::string> capture_request(const CommandLine& line) {
  const CaptureLine& c = line.capture;
  json filter = json::object();
  if (!c.source.empty()) filter["source_address"] = c.source;
  if (!c.destination.empty()) filter["destination_address"] = c.destination;
  if (c.source_port != 0) filter["source_port"] = c.source_port;
  if (c.destination_port != 0) filter["destination_port"] = c.destination_port;
  if (!c.protocol.empty()) {
    const auto protocol = protocol_of(c.protocol);
    if (!protocol) return fail(ErrorKind::LocalPolicy, "--protocol", "--protocol: tcp, udp, icmp, icmp6, or 0 to 255");
    filter["protocol"] = *protocol;
  }
  json out{{"type", "full"},
           {"system", "magic-transit"},
           {"tunnel", line.name},
           {"time_limit", c.seconds},
           {"packet_limit", c.packets}};
  if (c.snap != 0) out["snap_length"] = c.snap;
  if (!filter.empty()) out["filter_v1"] = std::move(filter);
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<std::string> capture_id(std::string_view body) {
  const json result = result_of(body);
  if (!result.is_object() || !result.contains("id") || !result["id"].is_string()) return std::nullopt;
  return result["id"].get<std::string>();
}

std::string capture_text(std::string_view body) {
  const json result = result_of(body);
  const auto number = [&](const char* name) -> std::optional<std::uint64_t> {
    if (!result.is_object() || !result.contains(name) || !result[name].is_number_unsigned()) return std::nullopt;
    return result[name].get<std::uint64_t>();
  };
  const auto packets = number("packets_captured");
  const auto octets = number("bytes_captured");
  if (!packets || !octets) return {};
  return fmt::format("{} packet{}, {} octets", *packets, *packets == 1 ? "" : "s", *octets);
}

std::optional<control::ApiError> envelope_error(std::string_view body) {
  const json reply = json::parse(body, nullptr, false);
  if (!reply.is_object() || !reply.contains("errors") || !reply["errors"].is_array()) return std::nullopt;
  control::ApiError out{"refused", ""};
  for (const json& one : reply["errors"]) {
    if (one.is_object() && one.contains("message") && one["message"].is_string())
      out.message += (out.message.empty() ? "" : "; ") + one["message"].get<std::string>();
  }
  return out.message.empty() ? std::nullopt : std::optional{std::move(out)};
}

// Followed while it runs: whoever interrupts it has what came until then, and the daemon ends it.
int capture(const CommandLine& line, Shell& shell) {
  const auto request = capture_request(line);
  if (!request) return report(shell, line.json, kUsage, "usage", request.error().detail);
  const bool to_screen = line.file == "-";
  std::function<Status(ByteView)> file;
  if (!to_screen) {
    auto opened = shell.open_new_file(line.file);
    if (!opened) return report(shell, line.json, kFailed, "cannot_write", opened.error().detail);
    file = std::move(*opened);
  }
  const std::string path = fmt::format("/client/v4/accounts/{}/pcaps", control::percent_encoded(line.capture.account));
  const auto made = ask(line, shell, "POST", path, kReadTimeout, *request);
  if (!made) return made.error();
  const auto id = capture_id(made->body);
  if (!id) return bad_reply(line, shell, "it names no capture");
  Status written;
  const auto take = [&](std::string_view octets) {
    if (to_screen) {
      shell.out(octets);
    } else {
      written = file(to_bytes(octets));
    }
    return written.has_value();
  };
  const auto patience = std::chrono::seconds{line.capture.seconds} + kReadTimeout;
  const auto reply =
      shell.follow(line.socket, {"GET", fmt::format("{}/{}/download?follow=true", path, *id), ""}, take, patience);
  if (!written) return report(shell, line.json, kFailed, "cannot_write", written.error().detail);
  if (!reply) {
    const Unreachable why = explain(reply.error(), line.socket, shell);
    return report(shell, line.json, kUnreachable, "unreachable", why.message, why.hint);
  }
  if (reply->status >= 300) {
    const auto error = envelope_error(reply->body);
    return report(shell, line.json, kFailed, "failed",
                  error ? error->message : "the daemon refuses to send the packets");
  }
  const auto state = ask(line, shell, "GET", fmt::format("{}/{}", path, *id), kReadTimeout);
  if (!state) return state.error();
  if (line.json && !to_screen) shell.out(state->body + "\n");
  if (!line.json)
    shell.err(fmt::format("{}{}\n", capture_text(state->body), to_screen ? "" : ": wrote " + clean(line.file)));
  // It has been read; nobody else is to.
  const auto gone = ask(line, shell, "DELETE", fmt::format("{}/{}", path, *id), kReadTimeout);
  return gone ? kOk : gone.error();
}

}  // namespace qanat::cli
