// Completion of `qanat` for shells, made from what the command line takes, so that it cannot drift.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace qanat::cli {

enum class Completes : std::uint8_t { Nothing, File, Tunnel };

struct OptionNode {
  std::string name;  // with its dashes
  std::string does;
  bool takes_value = false;
  Completes value = Completes::Nothing;
};

struct CommandNode {
  std::string name;
  std::string does;
  std::vector<OptionNode> options;
  Completes positional = Completes::Nothing;
  std::vector<CommandNode> children;
};

// Every command with its options; hidden ones are left out. In command_line.cpp, beside the parser.
[[nodiscard]] CommandNode command_tree();

[[nodiscard]] std::string bash_completion(const CommandNode& root);
[[nodiscard]] std::string zsh_completion(const CommandNode& root);

}  // namespace qanat::cli
