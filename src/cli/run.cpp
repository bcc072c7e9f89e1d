#include "cli/run.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "cli/ask.hpp"
#include "cli/bundle.hpp"
#include "cli/capture.hpp"
#include "cli/completion.hpp"
#include "cli/pki.hpp"
#include "cli/print.hpp"
#include "cli/print_reload.hpp"
#include "cli/token.hpp"
#include "cli/transfer.hpp"
#include "config/diff.hpp"
#include "control/reload_json.hpp"
#include "control/status_json.hpp"

namespace qanat::cli {

namespace {

using namespace std::chrono_literals;
using control::Reply;

constexpr auto kReloadTimeout = 60s;  // thousands of key files
// The daemon ends its own wait at 120 s and says so.
constexpr auto kCommandTimeout = 130s;

int status(const CommandLine& line, Shell& shell) {
  const std::string target = line.name.empty() ? "/v1/status" : "/v1/status/" + control::percent_encoded(line.name);
  const auto reply = ask(line, shell, "GET", target, kReadTimeout);
  if (!reply) return reply.error();
  if (line.name.empty()) {
    const auto snapshot = control::snapshot_from_json(reply->body);
    if (!snapshot) return bad_reply(line, shell, snapshot.error().detail);
    shell.out(line.json ? reply->body : status_table(*snapshot, shell.colour));
  } else {
    const auto tunnel = control::tunnel_from_json(reply->body);
    if (!tunnel) return bad_reply(line, shell, tunnel.error().detail);
    shell.out(line.json ? reply->body : tunnel_page(*tunnel, shell.colour));
  }
  return kOk;
}

// ---- looking ----------------------------------------------------------------------------------------------------

int watch(const CommandLine& line, Shell& shell) {
  std::optional<control::Snapshot> before;
  for (unsigned looks = 0; line.count == 0 || looks < line.count; ++looks) {
    if (looks != 0 && !shell.pause(std::chrono::seconds{line.interval})) break;
    const auto reply = ask(line, shell, "GET", "/v1/status", kReadTimeout);
    if (!reply) return reply.error();
    auto snapshot = control::snapshot_from_json(reply->body);
    if (!snapshot) return bad_reply(line, shell, snapshot.error().detail);
    if (!line.name.empty()) {
      std::erase_if(snapshot->tunnels, [&](const control::TunnelStatus& t) { return t.name != line.name; });
      if (snapshot->tunnels.empty()) {
        return report(shell, line.json, kFailed, "not_found",
                      fmt::format("there is no tunnel '{}'; `qanat status` lists the tunnels", line.name));
      }
    }
    if (line.json) {
      shell.out(reply->body);
    } else {
      const std::string text = watch_table(*snapshot, before ? &*before : nullptr, shell.colour);
      shell.out(shell.terminal ? in_place(text) : looks == 0 ? text : "\n" + text);
    }
    before = std::move(*snapshot);
  }
  return kOk;
}

// One GET, printed as it is or by `show`, which gives nullopt when it cannot be read.
template <typename Show>
int look(const CommandLine& line, Shell& shell, const std::string& target, Show show) {
  const auto reply = ask(line, shell, "GET", target, kReadTimeout);
  if (!reply) return reply.error();
  const Result<std::string> text = show(reply->body);
  if (!text) return bad_reply(line, shell, text.error().detail);
  shell.out(line.json ? reply->body : *text);
  return kOk;
}

int explain_tunnel(const CommandLine& line, Shell& shell) {
  return look(line, shell, "/v1/status/" + control::percent_encoded(line.name),
              [&](const std::string& body) -> Result<std::string> {
                QANAT_ASSIGN(const control::TunnelStatus tunnel, control::tunnel_from_json(body));
                return explain_page(tunnel, shell.colour);
              });
}

int posture(const CommandLine& line, Shell& shell) {
  return look(line, shell, "/v1/posture", [&](const std::string& body) -> Result<std::string> {
    QANAT_ASSIGN(const control::Posture p, control::posture_from_json(body));
    return line.csv ? posture_csv(p) : posture_table(p, shell.colour);
  });
}

int send_command(const CommandLine& line, Shell& shell, const std::string& target);

int posture_forget(const CommandLine& line, Shell& shell) {
  if (line.confirm != line.name) {
    return report(
        shell, line.json, kUsage, "confirm",
        fmt::format("this lets the peer of {} come back with keys that a quantum computer will recover", line.name),
        fmt::format("when that is meant: qanat posture forget {} --confirm {}", line.name, line.name));
  }
  const std::string name = control::percent_encoded(line.name);
  return send_command(line, shell, fmt::format("/v1/posture/{}/forget?confirm={}", name, name));
}

int events(const CommandLine& line, Shell& shell) {
  const std::string filter = line.name.empty() ? "" : "?tunnel=" + control::percent_encoded(line.name);
  return look(line, shell, "/v1/events" + filter, [&](const std::string& body) -> Result<std::string> {
    QANAT_ASSIGN(const auto lines, control::events_from_json(body));
    return events_text(lines, shell.colour);
  });
}

int routes(const CommandLine& line, Shell& shell) {
  return look(line, shell, "/v1/routes", [&](const std::string& body) -> Result<std::string> {
    QANAT_ASSIGN(const auto list, control::routes_from_json(body));
    return routes_table(list, shell.colour);
  });
}

int route_get(const CommandLine& line, Shell& shell) {
  std::string query;
  const auto ask = [&](const char* name, const std::string& value) {
    if (!value.empty())
      query += (query.empty() ? "?" : "&") + std::string{name} + "=" + control::percent_encoded(value);
  };
  ask("from", line.from);
  ask("vrf", line.vrf);
  return look(line, shell, "/v1/routes/" + control::percent_encoded(line.address) + query,
              [&](const std::string& body) -> Result<std::string> {
                QANAT_ASSIGN(const control::RouteAnswer answer, control::route_answer_from_json(body));
                return route_text(answer, shell.colour);
              });
}

int policy(const CommandLine& line, Shell& shell) {
  return look(line, shell, "/v1/rules", [&](const std::string& body) -> Result<std::string> {
    QANAT_ASSIGN(const auto rules, control::policy_from_json(body));
    return policy_table(rules, shell.colour);
  });
}

// One request for each, so that each is shown when it comes, and none holds the daemon.
int ping(const CommandLine& line, Shell& shell) {
  constexpr unsigned kDefault = 4;
  const unsigned count = line.count == 0 ? kDefault : line.count;
  const std::string target = fmt::format("/v1/tunnels/{}/ping", control::percent_encoded(line.name));
  std::vector<control::PingStatus> pings;
  while (pings.size() < count) {
    if (!pings.empty() && !shell.pause(1s)) break;
    const auto reply = ask(line, shell, "POST", target, kReadTimeout);
    if (!reply) return reply.error();
    auto one = control::ping_from_json(reply->body);
    if (!one) return bad_reply(line, shell, one.error().detail);
    pings.push_back(std::move(*one));
    if (!line.json) shell.out(ping_line(pings.back(), pings.size()));
  }
  shell.out(line.json ? ping_json(line.name, pings) : ping_summary(line.name, pings));
  const bool any = std::any_of(pings.begin(), pings.end(), [](const control::PingStatus& p) { return p.answered; });
  return any ? kOk : kFailed;
}

int metrics(const CommandLine& line, Shell& shell) {
  const auto reply = ask(line, shell, "GET", "/v1/metrics", kReadTimeout);
  if (!reply) return reply.error();
  shell.out(reply->body);
  return kOk;
}

int send_command(const CommandLine& line, Shell& shell, const std::string& target) {
  const auto reply = ask(line, shell, "POST", target, kCommandTimeout);
  if (!reply) return reply.error();
  const auto outcome = control::outcome_from_json(reply->body);
  if (!outcome) return bad_reply(line, shell, "it has no message");
  shell.out(line.json ? reply->body : clean(outcome->message) + "\n");
  return kOk;
}

int tunnel_command(const CommandLine& line, Shell& shell, const char* verb) {
  return send_command(line, shell, fmt::format("/v1/tunnels/{}/{}", control::percent_encoded(line.name), verb));
}

int token(const CommandLine& line, Shell& shell) {
  const TokenLine& t = line.token;
  const auto reply = t.verb == TokenVerb::Create
                         ? ask(line, shell, "POST", "/v1/tokens", kReadTimeout, token_request(t))
                     : t.verb == TokenVerb::Delete
                         ? ask(line, shell, "DELETE", "/v1/tokens/" + control::percent_encoded(t.name), kReadTimeout)
                         : ask(line, shell, "GET", "/v1/tokens", kReadTimeout);
  if (!reply) return reply.error();
  const auto text = token_text(t.verb, reply->body);
  if (!text) return bad_reply(line, shell, text.error().detail);
  shell.out(line.json ? reply->body + (reply->body.ends_with('\n') ? "" : "\n") : text->text);
  if (!line.json && !text->note.empty()) shell.err(text->note);
  return kOk;
}

int purge(const CommandLine& line, Shell& shell) {
  // Routes are the helper's to remove, and the helper is the daemon's child.
  const int code = send_command(line, shell, "/v1/purge");
  if (code == kUnreachable && !line.json) {
    shell.err("  Nothing was removed. Without a daemon: sudo qanatd --purge -c /etc/qanat/qanat.toml\n");
  }
  return code;
}

int export_all(const CommandLine& line, Shell& shell) {
  std::string request;
  if (!line.key_file.empty()) {
    const auto key = read_bundle_key(line.key_file, shell);
    if (!key) return report(shell, line.json, kFailed, "cannot_read", key.error().detail);
    request = export_request(*key);
  }
  const auto reply = ask(line, shell, request.empty() ? "GET" : "POST", "/v1/export", kReloadTimeout, request);
  wipe(request.data(), request.size());
  if (!reply) return reply.error();
  if (line.file.empty()) {
    shell.out(reply->body);
    return kOk;
  }
  if (const Status written = shell.write_new_file(line.file, to_bytes(reply->body)); !written)
    return report(shell, line.json, kFailed, "cannot_write", written.error().detail);
  if (!line.json) shell.out(fmt::format("wrote {}\n", clean(line.file)));
  return kOk;
}

int import_all(const CommandLine& line, Shell& shell) {
  const auto transfer = read_transfer(line, shell);
  if (!transfer && !line.json && transfer.error().detail.ends_with('\n')) {  // a file's problems, one a line
    shell.err(clean_lines(transfer.error().detail));
    return kFailed;
  }
  if (!transfer) return report(shell, line.json, kFailed, "cannot_read", transfer.error().detail);
  const SecretBytes json = control::transfer_json(*transfer);
  std::string body{json.expose().begin(), json.expose().end()};
  const auto reply = ask(line, shell, "POST", "/v1/import", kReloadTimeout, body);
  wipe(body.data(), body.size());
  if (!reply) return reply.error();
  shell.out(line.json ? reply->body + "\n" : import_text(reply->body));
  return kOk;
}

// What the daemon says of a reload; anything else has been reported and gives the exit code.
std::expected<control::ReloadReport, int> ask_reload(const CommandLine& line, Shell& shell, const char* target) {
  auto reply = shell.exchange(line.socket, {"POST", target, ""}, kReloadTimeout);
  if (!reply) {
    const Unreachable why = explain(reply.error(), line.socket, shell);
    return std::unexpected(report(shell, line.json, kUnreachable, "unreachable", why.message, why.hint));
  }
  if (auto said = control::reload_from_json(reply->body)) return std::move(*said);
  if (const auto error = control::error_from_json(reply->body))
    return std::unexpected(report(shell, line.json, kFailed, error->code, error->message));
  return std::unexpected(bad_reply(line, shell, "it is no report of a reload"));
}

int show_reload(const CommandLine& line, Shell& shell, const control::ReloadReport& said) {
  if (line.json) {
    shell.out(control::to_json(said));
  } else {
    shell.err(clean_lines(said.problems));
    (said.ok ? shell.out : shell.err)(reload_table(said));
  }
  return said.ok ? kOk : kFailed;
}

int reload(const CommandLine& line, Shell& shell) {
  const auto said = ask_reload(line, shell, "/v1/reload");
  return said ? show_reload(line, shell, *said) : said.error();
}

int check_against_daemon(const CommandLine& line, Shell& shell) {
  const auto said = ask_reload(line, shell, "/v1/reload/check");
  if (!said) return said.error();
  if (said->file != line.file) {
    return report(shell, line.json, kFailed, "another_file",
                  fmt::format("qanatd runs by {}, and can compare that file only", said->file),
                  fmt::format("name it, or compare two files: qanat check --diff {} --old {}", line.file, said->file));
  }
  return show_reload(line, shell, *said);
}

int check_against_file(const CommandLine& line, Shell& shell) {
  control::ReloadReport said;
  said.file = line.file;
  std::array<std::optional<model::Config>, 2> configs;
  for (const std::size_t i : {0U, 1U}) {
    const std::string& file = i == 0 ? line.old : line.file;
    const auto text = shell.read_file(file);
    if (!text) return report(shell, line.json, kFailed, "cannot_read", text.error().detail);
    auto loaded = config::load(*text, file, shell.key_reader(file), shell.now());
    const auto& problems = loaded ? loaded->warnings : loaded.error();
    if (i == 1 || !loaded) said.problems += config::render_problems(problems);
    if (loaded) configs[i] = std::move(loaded->config);
  }
  said.ok = configs[0] && configs[1];
  if (said.ok) {
    for (const config::Change& c : config::diff(*configs[0], *configs[1])) {
      said.changes.push_back({std::string{config::to_string(c.kind)}, c.name, c.keys,
                              std::string{config::to_string(c.effect)}, std::string{config::meaning(c.effect)}});
    }
  }
  said.message = said.ok ? control::count_of(said) : "a file that cannot be used cannot be compared";
  return show_reload(line, shell, said);
}

int check(const CommandLine& line, Shell& shell) {
  if (line.diff) return line.old.empty() ? check_against_daemon(line, shell) : check_against_file(line, shell);
  const auto text = shell.read_file(line.file);
  if (!text) return report(shell, line.json, kFailed, "cannot_read", text.error().detail);
  const auto loaded = config::load(*text, line.file, shell.key_reader(line.file), shell.now());
  const std::vector<config::Problem>& problems = loaded ? loaded->warnings : loaded.error();
  if (line.json) {
    shell.out(check_json(line.file, loaded.has_value(), loaded ? loaded->config.tunnels.size() : 0, problems));
    return loaded ? kOk : kFailed;
  }
  shell.err(config::render_problems(problems));
  if (loaded) {
    shell.out(check_summary(line.file, loaded->config));
    return kOk;
  }
  std::size_t errors = 0;
  for (const config::Problem& problem : problems) errors += problem.severity == config::Severity::Error ? 1 : 0;
  shell.err(fmt::format("{}: {}; the daemon would not start\n", clean(line.file), plural(errors, "error")));
  return kFailed;
}

int generate_psk(const CommandLine& line, Shell& shell) {
  const SecretBytes random = SecretBytes::adopt(shell.rng->bytes(32));
  std::string psk = model::generated_psk_text(random.expose());
  int code = kOk;
  if (line.file.empty()) {
    shell.out(line.json ? psk_json(psk) : psk + "\n");
  } else {
    const SecretBytes content = SecretBytes::adopt(to_bytes(psk + "\n"));
    if (const Status written = shell.write_new_file(line.file, content.expose()); !written) {
      code = report(shell, line.json, kFailed, "cannot_write", written.error().detail);
    } else {
      shell.out(line.json ? psk_file_json(line.file)
                          : fmt::format("wrote {}; name it with psk_file in [[tunnel]], and copy it to the other side "
                                        "by a safe way (scp)\n",
                                        clean(line.file)));
    }
  }
  wipe(psk.data(), psk.size());
  return code;
}

int version(const CommandLine& line, Shell& shell) {
  const auto reply = shell.exchange(line.socket, {"GET", "/v1/version", ""}, 2s);
  const auto daemon = reply ? control::version_from_json(reply->body) : std::nullopt;
  if (line.json) {
    shell.out(version_json(shell.version, daemon ? daemon->version : "", daemon ? daemon->crypto : ""));
  } else if (daemon) {
    shell.out(fmt::format("qanat {}\nqanatd {} ({})\n", shell.version, clean(daemon->version), clean(daemon->crypto)));
  } else {
    shell.out(fmt::format("qanat {}\nqanatd was not reached at {}\n", shell.version, clean(line.socket)));
  }
  return kOk;  // the question was answered, with or without a daemon
}

// Silent when there is no daemon: a shell asks while somebody types.
int completion(const CommandLine& line, Shell& shell) {
  if (line.name == "bash") {
    shell.out(bash_completion(command_tree()));
  } else if (line.name == "zsh") {
    shell.out(zsh_completion(command_tree()));
  } else {
    const auto reply = shell.exchange(line.socket, {"GET", "/v1/status", ""}, 2s);
    if (!reply) return kUnreachable;
    const auto snapshot = control::snapshot_from_json(reply->body);
    if (!snapshot) return kFailed;
    for (const control::TunnelStatus& tunnel : snapshot->tunnels) shell.out(clean(tunnel.name) + "\n");
  }
  return kOk;
}

}  // namespace

int run(const CommandLine& line, Shell& shell) {
  switch (line.command) {
    case Command::Status:
      return status(line, shell);
    case Command::Watch:
      return watch(line, shell);
    case Command::Explain:
      return explain_tunnel(line, shell);
    case Command::Posture:
      return posture(line, shell);
    case Command::PostureForget:
      return posture_forget(line, shell);
    case Command::Events:
      return events(line, shell);
    case Command::Routes:
      return routes(line, shell);
    case Command::RouteGet:
      return route_get(line, shell);
    case Command::Policy:
      return policy(line, shell);
    case Command::Ping:
      return ping(line, shell);
    case Command::Capture:
      return capture(line, shell);
    case Command::Metrics:
      return metrics(line, shell);
    case Command::Bundle:
      return debug_bundle(line, shell);
    case Command::Up:
      return tunnel_command(line, shell, "up");
    case Command::Down:
      return tunnel_command(line, shell, "down");
    case Command::Rekey:
      return tunnel_command(line, shell,
                            line.rekey == CommandLine::Rekey::Child ? "rekey/child"
                            : line.rekey == CommandLine::Rekey::Ike ? "rekey/ike"
                                                                    : "rekey/reauth");
    case Command::Check:
      return check(line, shell);
    case Command::Reload:
      return reload(line, shell);
    case Command::Export:
      return export_all(line, shell);
    case Command::Import:
      return import_all(line, shell);
    case Command::GenPsk:
      return generate_psk(line, shell);
    case Command::Purge:
      return purge(line, shell);
    case Command::Pki:
      return pki_command(line, shell);
    case Command::Token:
      return token(line, shell);
    case Command::Version:
      return version(line, shell);
    case Command::Completion:
      return completion(line, shell);
  }
  return kUsage;
}

int stop(const Stop& stop, Shell& shell) {
  shell.out(stop.out);
  return stop.error.empty() ? stop.exit_code : report(shell, stop.json, stop.exit_code, "usage", stop.error);
}

}  // namespace qanat::cli
