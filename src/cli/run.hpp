// The commands: a CommandLine and a Shell in, an exit code out. The Shell is everything outside: tests give a false
// one.
#pragma once

#include <chrono>
#include <functional>

#include "base/rng.hpp"
#include "base/time.hpp"
#include "cli/client.hpp"
#include "cli/command_line.hpp"
#include "cli/style.hpp"
#include "config/config.hpp"

namespace qanat::cli {

struct Shell {
  std::string version;  // of this command
  Colour colour = Colour::Never;
  std::function<std::expected<control::Reply, ClientError>(const std::string& socket, const control::Request&,
                                                           std::chrono::seconds timeout)>
      exchange;
  std::function<std::expected<control::Reply, ClientError>(const std::string& socket, const control::Request&,
                                                           const TakeBody& take, std::chrono::seconds timeout)>
      follow;
  std::function<Result<std::string>(const std::string& path)> read_file;
  std::function<config::FileReader(const std::string& config_path)> key_reader;
  // Makes a file that is not there yet, mode 0600.
  std::function<Status(const std::string& path, ByteView content)> write_new_file;
  // The same for what comes bit by bit: each call of what it gives appends.
  std::function<Result<std::function<Status(ByteView)>>(const std::string& path)> open_new_file;
  // The same for what everybody may read, mode 0644; the second takes the place of a file that is there.
  std::function<Status(const std::string& path, ByteView content)> write_public_file;
  std::function<Status(const std::string& path, ByteView content)> replace_public_file;
  std::function<Status(const std::string& path)> make_folder;  // fine when it is there already
  std::function<WallTime()> now;
  bool terminal = false;                            // `watch` redraws in place
  std::function<bool(std::chrono::seconds)> pause;  // false: stop
  // What a program prints, standard error too; its arguments are given as they are, without a shell.
  std::function<Result<std::string>(const std::vector<std::string>& command)> run_program;
  // "user root, group netops": who may use a socket; empty when that cannot be found out.
  std::function<std::string(const std::string& path)> owner_of;
  Rng* rng = nullptr;
  std::function<void(std::string_view)> out;  // standard output
  std::function<void(std::string_view)> err;  // standard error
};

[[nodiscard]] int run(const CommandLine& line, Shell& shell);
// Help or a usage error.
[[nodiscard]] int stop(const Stop& stop, Shell& shell);

}  // namespace qanat::cli
