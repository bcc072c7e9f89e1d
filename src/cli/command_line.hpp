// What the user typed, as a value. CLI11 is seen only by command_line.cpp.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace qanat::cli {

enum class Command : std::uint8_t { Status, Up, Down, Rekey, Check, Reload, GenPsk, Purge, Version, Pki };

inline constexpr const char* kDefaultSocket = "/run/qanat/qanat.sock";

enum class PkiVerb : std::uint8_t { Ca, Issue, Show, Crl };
struct PkiLine {
  PkiVerb verb = PkiVerb::Show;
  std::string name;                // ca: its name
  std::string key = "mldsa65";     // ca, issue
  int days = 0;                    // 0: the default of what is made
  std::string ca;                  // issue, crl: the CA's folder
  std::string out = ".";           // ca, issue: where files are written
  std::vector<std::string> ids;    // issue
  std::vector<std::string> files;  // show; crl: certificates to revoke
};

struct CommandLine {
  Command command = Command::Status;
  std::string name;   // status (may be empty), up, down: the tunnel
  std::string file;   // check: the configuration; genpsk: the new file, empty for standard output
  bool diff = false;  // check: what it would change
  std::string old;    // check: against this file instead of the running daemon
  enum class Rekey : std::uint8_t { Child, Ike, Reauth } rekey = Rekey::Child;
  std::string socket = kDefaultSocket;
  bool json = false;
  PkiLine pki;
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
