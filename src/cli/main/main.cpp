// qanat: the command. Wires the real files, the real socket and the real randomness to run().
#include "cli/files.hpp"
#include "cli/run.hpp"
#include "crypto/rng.hpp"

int main(int argc, char** argv) {
  using namespace qanat;
  crypto::SystemRng rng;
  cli::Shell shell;
  shell.version = QANAT_VERSION;
  shell.colour = cli::terminal_colour();
  shell.exchange = cli::exchange;
  shell.follow = cli::follow;
  shell.open_new_file = cli::open_new_file;
  shell.read_file = cli::read_text_file;
  shell.key_reader = cli::key_reader;
  shell.write_new_file = cli::write_new_file;
  shell.write_public_file = cli::write_public_file;
  shell.replace_public_file = cli::replace_public_file;
  shell.make_folder = cli::make_folder;
  shell.now = cli::wall_now;
  shell.owner_of = cli::owner_of;
  shell.terminal = cli::is_terminal();
  shell.pause = cli::pause;
  shell.run_program = cli::run_program;
  shell.rng = &rng;
  shell.out = cli::write_out;
  shell.err = cli::write_err;

  const auto parsed = cli::parse_command_line({argv + 1, argv + argc});
  if (const auto* stop = std::get_if<cli::Stop>(&parsed)) return cli::stop(*stop, shell);
  return cli::run(std::get<cli::CommandLine>(parsed), shell);
}
