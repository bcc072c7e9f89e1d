// What the user typed, as a value. CLI11 is seen only by command_line.cpp.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace qanat::cli {

enum class Command : std::uint8_t {
  Status,
  Watch,
  Explain,
  Posture,
  PostureForget,
  Events,
  Routes,
  RouteGet,
  Policy,
  Ping,
  Capture,
  Metrics,
  Bundle,
  Completion,
  Up,
  Down,
  Rekey,
  Check,
  Reload,
  GenPsk,
  Export,
  Import,
  Purge,
  Version,
  Pki,
  Token
};

inline constexpr const char* kDefaultSocket = "/run/qanat/qanat.sock";
inline constexpr const char* kDefaultConfig = "/etc/qanat/qanat.toml";

enum class PkiVerb : std::uint8_t { Ca, Issue, Show, Crl };
struct PkiLine {
  PkiVerb verb = PkiVerb::Show;
  std::string name;                // ca: its name
  std::string key = "mldsa65";     // ca, issue
  int days = 0;                    // 0: the default of what is made
  std::string ca;                  // issue, crl: the CA's folder
  bool tls = false;                // issue: for [gateway] api instead of IKE
  std::string out = ".";           // ca, issue: where files are written
  std::vector<std::string> ids;    // issue
  std::vector<std::string> files;  // show; crl: certificates to revoke
};

enum class TokenVerb : std::uint8_t { Create, List, Delete };
struct TokenLine {
  TokenVerb verb = TokenVerb::List;
  std::string name;  // create: who will use it; delete: its id
  std::vector<std::string> scopes = {"read"};
  std::string account;  // empty: all
  int days = 0;         // 0: until it is deleted
};

// What goes in and comes out of a tunnel, as pcapng.
struct CaptureLine {
  std::string account = "default";
  std::string source;       // address or prefix; empty: any
  std::string destination;  //
  std::string protocol;     // "tcp", "udp", "icmp", "icmp6", a number; empty: any
  unsigned source_port = 0;
  unsigned destination_port = 0;
  unsigned seconds = 60;
  unsigned packets = 10'000;
  unsigned snap = 0;  // octets of a packet; 0: all of it
};

struct CommandLine {
  Command command = Command::Status;
  std::string name;     // status, watch, events (may be empty), explain, up, down: the tunnel
  std::string file;     // check: the configuration; genpsk: the new file, empty for standard output; bundle: the folder
  bool diff = false;    // check: what it would change
  std::string old;      // check: against this file instead of the running daemon
  std::string address;  // route get
  std::string from;     // route get: the source, empty for any
  std::string vrf;      // route get: empty for the default one
  std::string config = kDefaultConfig;  // debug bundle
  bool csv = false;                     // posture
  std::string key_file;                 // export, import: the key of an encrypted bundle
  std::string confirm;                  // posture forget: the name again
  unsigned interval = 1;                // watch: seconds
  unsigned count = 0;                   // watch, ping: how often; 0: watch until it is stopped, ping 4 times
  enum class Rekey : std::uint8_t { Child, Ike, Reauth } rekey = Rekey::Child;
  std::string socket = kDefaultSocket;
  bool json = false;
  PkiLine pki;
  TokenLine token;
  CaptureLine capture;
};

// Exit codes, the same for every command.
inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;       // it was tried, and did not work
inline constexpr int kUsage = 2;        // the command line is wrong
inline constexpr int kUnreachable = 3;  // the daemon cannot be reached

// Nothing to run: help was asked for, or the command line is wrong.
struct Stop {
  int exit_code = kOk;
  std::string out;
  std::string error;  // one message without an end of line; empty with help
  bool json = false;
};

// `args` without the program's name. --socket falls back to the environment's QANAT_SOCKET.
[[nodiscard]] std::variant<CommandLine, Stop> parse_command_line(std::vector<std::string> args);

}  // namespace qanat::cli
