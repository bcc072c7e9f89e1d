#include "cli/command_line.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/text.hpp"
#include "cli/completion.hpp"

namespace qanat::cli {

namespace {

constexpr std::array<std::string_view, 24> kCommands = {"status", "watch",   "explain", "posture", "events",  "routes",
                                                        "route",  "policy",  "ping",    "capture", "metrics", "debug",
                                                        "up",     "down",    "rekey",   "check",   "reload",  "genpsk",
                                                        "purge",  "version", "pki",     "token",   "export",  "import"};
constexpr std::size_t kSocketPathSize = 107;  // sun_path without its zero

constexpr const char* kSummary = "qanat: what the tunnels of qanatd do, and how safe they are";
constexpr const char* kExitCodes =
    "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 the daemon cannot be reached.\n"
    "A tunnel's page with its handshake: qanat status NAME. For scripts: --json, also with errors.";

// The first word that is no option: what was meant as the command.
std::string_view command_word(const std::vector<std::string>& args) {
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (args[i] == "--socket") {
      ++i;
    } else if (!args[i].starts_with('-')) {
      return args[i];
    }
  }
  return {};
}

std::string usage_error(const std::vector<std::string>& args, const CLI::ParseError& error) {
  const std::string_view word = command_word(args);
  if (word.empty()) return "no command given; qanat --help lists them, qanat status is a good first one";
  if (std::find(kCommands.begin(), kCommands.end(), word) == kCommands.end()) {
    const std::string_view guess = word.size() > 32 ? std::string_view{} : nearest(word, kCommands);
    return guess.empty() ? fmt::format("unknown command '{}'; qanat --help lists them", printable(word, 64))
                         : fmt::format("unknown command '{}'; did you mean '{}'?", printable(word, 64), guess);
  }
  return fmt::format("{}; see: qanat {} --help", printable(std::string_view{error.what()}, 300), word);
}

void add_pki(CLI::App& app, CommandLine& line) {
  CLI::App* pki = app.add_subcommand("pki", "Make and inspect certificates: ca, issue, show, crl");
  pki->require_subcommand(1);
  PkiLine& p = line.pki;
  const auto verb = [&](const char* name, const char* does, PkiVerb which) {
    CLI::App* sub = pki->add_subcommand(name, does);
    sub->callback([&line, which] {
      line.command = Command::Pki;
      line.pki.verb = which;
    });
    return sub;
  };
  const auto key_and_days = [&p](CLI::App* sub, const std::string& days) {
    sub->add_option("--key", p.key,
                    "mldsa65, mldsa44, mldsa87 (quantum-safe); ecdsa-p256, -p384, -p521, ed25519, ed448, rsa-2048, "
                    "-3072, -4096")
        ->capture_default_str();
    sub->add_option("--days", p.days, "How long it is valid (default " + days + ")")->check(CLI::Range(1, 36500));
  };
  CLI::App* ca = verb("ca", "Make a certificate authority: DIR/ca.crt and DIR/ca.key", PkiVerb::Ca);
  ca->add_option("--name", p.name, "Its name, like \"Example CA\"")->required();
  ca->add_option("--out", p.out, "The folder for its files")->required()->type_name("DIR");
  key_and_days(ca, "3650");
  CLI::App* issue =
      verb("issue", "Make a gateway's key and certificate: DIR/NAME.crt and DIR/NAME.key", PkiVerb::Issue);
  issue->add_option("--ca", p.ca, "The CA's folder")->required()->type_name("DIR");
  issue
      ->add_option("--id", p.ids,
                   "Who it is for: fqdn:berlin.example.com, an address, rfc822:..., dn:...; may be repeated")
      ->required();
  issue->add_flag("--tls", p.tls, "For the API's listener, [gateway] api_certificate, instead of IKE");
  issue->add_option("--out", p.out, "The folder for its files")->capture_default_str()->type_name("DIR");
  key_and_days(issue, "365");
  verb("show", "What certificates, revocation lists and keys say, and whether they are quantum-safe", PkiVerb::Show)
      ->add_option("FILE", p.files, "PEM or DER")
      ->required();
  CLI::App* crl = verb("crl", "Make or renew the revocation list DIR/ca.crl", PkiVerb::Crl);
  crl->add_option("--ca", p.ca, "The CA's folder")->required()->type_name("DIR");
  crl->add_option("--revoke", p.files, "A certificate to revoke; may be repeated")->type_name("CERT");
  crl->add_option("--days", p.days, "How long the list is good (default 90)")->check(CLI::Range(1, 36500));
}

void add_token(CLI::App& app, CommandLine& line) {
  CLI::App* token = app.add_subcommand("token", "Who may use the API over HTTPS: create, list, delete");
  token->require_subcommand(1);
  TokenLine& t = line.token;
  const auto verb = [&](const char* name, const char* does, TokenVerb which) {
    CLI::App* sub = token->add_subcommand(name, does);
    sub->callback([&line, which] {
      line.command = Command::Token;
      line.token.verb = which;
    });
    return sub;
  };
  CLI::App* create = verb("create", "Make a token, and show it this once", TokenVerb::Create);
  create->add_option("NAME", t.name, "Who will use it, like terraform: the audit log names it")->required();
  create->add_option("--scope", t.scopes, "What it may: read, write, capture; several with commas")
      ->delimiter(',')
      ->check(CLI::IsMember({"read", "write", "capture"}))
      ->capture_default_str();
  create->add_option("--account", t.account, "The only account, a [[vrf]], that it may speak of (default: all)");
  create->add_option("--days", t.days, "How long it is good (default: until it is deleted)")
      ->check(CLI::Range(1, 3650));
  verb("list", "Every token, without its secret", TokenVerb::List);
  verb("delete", "Take a token back: it is refused from the next request on", TokenVerb::Delete)
      ->add_option("ID", t.name, "As qanat token list shows it")
      ->required();
}

void add_capture(CLI::App& app, CommandLine& line) {
  CLI::App* capture =
      app.add_subcommand("capture", "The packets inside a tunnel as pcapng, as they go in and come out");
  capture->callback([&line] { line.command = Command::Capture; });
  CaptureLine& c = line.capture;
  capture->add_option("NAME", line.name, "The tunnel")->required();
  capture->add_option("-w,--write", line.file, "A new file (mode 0600), or - for standard output: | tshark -r -")
      ->required()
      ->type_name("FILE");
  capture->add_option("--from", c.source, "Only packets from this address or prefix")->type_name("ADDRESS");
  capture->add_option("--to", c.destination, "Only packets to this address or prefix")->type_name("ADDRESS");
  capture->add_option("--protocol", c.protocol, "Only tcp, udp, icmp, icmp6, or a number")->type_name("PROTOCOL");
  capture->add_option("--from-port", c.source_port, "Only packets from this port")->check(CLI::Range(1U, 65535U));
  capture->add_option("--to-port", c.destination_port, "Only packets to this port")->check(CLI::Range(1U, 65535U));
  capture->add_option("--seconds", c.seconds, "How long at most; Ctrl-C ends it before")
      ->check(CLI::Range(1U, 86'400U))
      ->capture_default_str();
  capture->add_option("--packets", c.packets, "How many at most")
      ->check(CLI::Range(1U, 500'000U))
      ->capture_default_str();
  capture->add_option("--snap", c.snap, "Octets of each packet that are kept (default: all)")
      ->check(CLI::Range(64U, 65'535U));
  capture->add_option("--account", c.account, "The tunnel's account, a [[vrf]]")->capture_default_str();
}

// Everything that can be typed; `line` must outlive `app`.
void describe(CLI::App& app, CommandLine& line) {
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--socket", line.socket, "The daemon's control socket")
      ->envname("QANAT_SOCKET")
      ->capture_default_str()
      ->type_name("PATH");
  app.add_flag("--json", line.json, "Print JSON, errors too");

  const auto command = [&](const char* name, const char* does, Command which) {
    CLI::App* sub = app.add_subcommand(name, does);
    sub->callback([&line, which] { line.command = which; });
    return sub;
  };
  command("status", "Every configured tunnel; with NAME, everything about one", Command::Status)
      ->add_option("NAME", line.name, "A tunnel");
  CLI::App* watch = command("watch", "Every tunnel, live: state, rates, loss, round trip, keys", Command::Watch);
  watch->add_option("NAME", line.name, "One tunnel only");
  watch->add_option("--interval", line.interval, "Seconds between two looks")
      ->check(CLI::Range(1U, 3600U))
      ->capture_default_str();
  watch->add_option("--count", line.count, "How many looks; without it, until Ctrl-C");
  command("explain", "The last handshake step by step, and why it came out so", Command::Explain)
      ->add_option("NAME", line.name, "The tunnel")
      ->required();
  CLI::App* posture = command("posture", "How safe the keys are, why not where they are not, and what can be harvested",
                              Command::Posture);
  posture->add_flag("--csv", line.csv, "Print comma-separated values");
  CLI::App* forget = posture->add_subcommand("forget", "A pinned peer may come back with classical keys (pq = pin)");
  forget->add_option("NAME", line.name, "The tunnel")->required();
  forget->add_option("--confirm", line.confirm, "The tunnel's name again")->type_name("NAME");
  posture->callback([&line, forget] { line.command = *forget ? Command::PostureForget : Command::Posture; });
  command("events", "The last events of the gateway; with NAME, those of one tunnel", Command::Events)
      ->add_option("NAME", line.name, "A tunnel");
  command("routes", "Every route, and what the state of its tunnel adds to its priority", Command::Routes);
  CLI::App* route = app.add_subcommand("route", "Ask the routing table: route get ADDRESS");
  route->require_subcommand(1);
  CLI::App* get = route->add_subcommand("get", "Which tunnel takes a packet there, and why");
  get->callback([&line] { line.command = Command::RouteGet; });
  get->add_option("ADDRESS", line.address, "The destination")->required();
  get->add_option("--from", line.from, "The source: it decides where tunnels share the load")->type_name("ADDRESS");
  get->add_option("--vrf", line.vrf, "In the routes of this [[vrf]] (default: default)")->type_name("NAME");
  command("policy", "The rules of the packet policy, and what fitted them", Command::Policy);
  CLI::App* ping = command("ping", "Echo requests to the peer, inside the tunnel: loss and round trip", Command::Ping);
  ping->add_option("NAME", line.name, "The tunnel")->required();
  ping->add_option("-c,--count", line.count, "How many, one a second (default 4)")->check(CLI::Range(1U, 1000U));
  add_capture(app, line);
  command("metrics", "Everything that is counted, in Prometheus' text format", Command::Metrics);
  CLI::App* debug = app.add_subcommand("debug", "For a report of trouble: debug bundle");
  debug->require_subcommand(1);
  CLI::App* bundle = debug->add_subcommand("bundle",
                                           "Write status, events, routes and the configuration without its "
                                           "secrets into a new folder");
  bundle->callback([&line] { line.command = Command::Bundle; });
  bundle->add_option("-o,--output", line.file, "The folder (default: qanat-debug-TIME here)")->type_name("DIR");
  bundle->add_option("-c,--config", line.config, "The daemon's configuration")
      ->capture_default_str()
      ->type_name("FILE");
  command("up", "Bring a tunnel up, and wait for it", Command::Up)
      ->add_option("NAME", line.name, "The tunnel")
      ->required();
  command("down", "Take a tunnel down and keep it down", Command::Down)
      ->add_option("NAME", line.name, "The tunnel")
      ->required();
  CLI::App* rekey = command("rekey", "Make new keys now; packets keep flowing", Command::Rekey);
  rekey->add_option("NAME", line.name, "The tunnel")->required();
  auto* ike = rekey->add_flag_callback(
      "--ike", [&line] { line.rekey = CommandLine::Rekey::Ike; }, "The keys of IKE instead of those of packets");
  rekey
      ->add_flag_callback(
          "--reauth", [&line] { line.rekey = CommandLine::Rekey::Reauth; },
          "Both sides prove again who they are: a new IKE SA, made before the old one goes")
      ->excludes(ike);
  CLI::App* check = command("check", "Check a configuration file, without a daemon", Command::Check);
  check->add_option("FILE", line.file, "The configuration")->required();
  auto* diff = check->add_flag("--diff", line.diff, "What it would change, and what that does to live tunnels");
  check->add_option("--old", line.old, "Compare with this file instead of what the daemon runs by")
      ->needs(diff)
      ->type_name("OLD");
  command("reload", "The daemon reads its configuration again; untouched tunnels lose nothing", Command::Reload);
  command("genpsk", "Make a pre-shared key of 256 random bits", Command::GenPsk)
      ->add_option("-o,--output", line.file, "Write it to this new file (mode 0600) instead of the screen")
      ->type_name("FILE");
  CLI::App* exported = command("export", "Everything, file and API together, as a configuration file", Command::Export);
  exported->add_option("-o,--output", line.file, "Write it to this new file (mode 0600) instead of the screen")
      ->type_name("FILE");
  exported
      ->add_option("--with-secrets", line.key_file,
                   "With all keys, as a bundle encrypted with the key in this file, made by qanat genpsk; root only")
      ->type_name("KEYFILE")
      ->needs("--output");
  CLI::App* imported =
      command("import", "Tunnels, routes and rules of a file become objects of the API", Command::Import);
  imported->add_option("FILE", line.file, "A configuration file, or a bundle of qanat export")->required();
  imported->add_option("--key", line.key_file, "The key of the bundle")->type_name("KEYFILE");
  command("purge", "Remove the routes and rules that keep plaintext in when the daemon is down", Command::Purge);
  add_pki(app, line);
  add_token(app, line);
  command("version", "Versions of this command and of the daemon", Command::Version);
  CLI::App* completion =
      command("completion", "For the shells: bash, zsh, or the names of tunnels", Command::Completion);
  completion->add_option("WHAT", line.name, "bash, zsh or tunnels")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "tunnels"}));
  completion->group("");  // hidden: the package calls it

  for (CLI::App* sub : app.get_subcommands({})) sub->footer("Also: --json, --socket PATH (see: qanat --help).");
  app.footer(kExitCodes);
}

// What stands for a value decides how a shell completes it.
Completes completes(const std::string& word, bool positional) {
  if (word.ends_with("FILE") || word == "DIR" || word == "CERT" || word == "PATH" || word == "OLD")
    return Completes::File;
  return positional && word == "NAME" ? Completes::Tunnel : Completes::Nothing;
}

CommandNode node_of(const CLI::App& app) {
  CommandNode node{app.get_name(), app.get_description(), {}, Completes::Nothing, {}};
  for (const CLI::Option* option : app.get_options({})) {
    if (option->get_positional()) {
      node.positional = completes(option->get_name(true), true);
      continue;
    }
    const bool value = option->get_items_expected_max() > 0;
    for (const std::string& name : option->get_lnames())
      node.options.push_back(
          {"--" + name, option->get_description(), value, completes(option->get_type_name(), false)});
    for (const std::string& name : option->get_snames())
      node.options.push_back({"-" + name, option->get_description(), value, completes(option->get_type_name(), false)});
  }
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App* a) { return !a->get_group().empty(); }))
    node.children.push_back(node_of(*sub));
  return node;
}

}  // namespace

CommandNode command_tree() {
  CommandLine line;
  CLI::App app{kSummary, "qanat"};
  describe(app, line);
  return node_of(app);
}

std::variant<CommandLine, Stop> parse_command_line(std::vector<std::string> args) {
  CommandLine line;
  CLI::App app{kSummary, "qanat"};
  describe(app, line);

  const std::vector<std::string> given = args;
  const bool json = std::find(given.begin(), given.end(), "--json") != given.end();
  try {
    std::reverse(args.begin(), args.end());  // CLI11 takes them from the back
    app.parse(std::move(args));
  } catch (const CLI::CallForHelp&) {
    return Stop{kOk, app.help(), "", json};
  } catch (const CLI::ParseError& error) {
    return Stop{kUsage, "", usage_error(given, error), json};
  }
  if (line.socket.empty() || line.socket.size() > kSocketPathSize) {
    return Stop{kUsage, "", fmt::format("--socket: the path must have 1 to {} characters", kSocketPathSize), json};
  }
  return line;
}

}  // namespace qanat::cli
