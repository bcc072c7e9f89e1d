#include "cli/completion.hpp"

#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace qanat::cli {

namespace {

// A command by its path, "/route/get"; the root's is empty.
using Commands = std::map<std::string, const CommandNode*>;

void collect(const CommandNode& node, const std::string& path, Commands& out) {
  out[path] = &node;
  for (const CommandNode& child : node.children) collect(child, path + "/" + child.name, out);
}

std::string pattern(const std::set<std::string>& words) {
  return fmt::format("{}", fmt::join(words, "|"));
}

struct ValueOptions {
  std::set<std::string> all;    // the next word is their value
  std::set<std::string> files;  // and that is a file
};

ValueOptions value_options(const Commands& commands) {
  ValueOptions out;
  for (const auto& [path, node] : commands) {
    for (const OptionNode& option : node->options) {
      if (!option.takes_value) continue;
      out.all.insert(option.name);
      if (option.value == Completes::File) out.files.insert(option.name);
    }
  }
  return out;
}

// The lines that both shells share: which command stands before the cursor.
std::string find_path(const Commands& commands, const ValueOptions& values, std::string_view words,
                      std::string_view first, std::string_view current) {
  std::set<std::string> paths;
  for (const auto& [path, node] : commands)
    if (!path.empty()) paths.insert(path);
  return fmt::format(
      "  for ((i = {}; i < {}; i++)); do\n"
      "    word=${{{}[i]}}\n"
      "    case $word in\n"
      "      {}) ((i += 1)) ;;\n"
      "      -*) ;;\n"
      "      *) case $at/$word in {}) at=$at/$word ;; esac ;;\n"
      "    esac\n"
      "  done\n",
      first, current, words, pattern(values.all), pattern(paths));
}

// In single quotes of a shell.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

// Of a zsh description "word:text", where a colon in the word would end it.
std::string described(std::string_view word, std::string_view does) {
  return quoted(fmt::format("{}:{}", word, does));
}

}  // namespace

std::string bash_completion(const CommandNode& root) {
  Commands commands;
  collect(root, "", commands);
  const ValueOptions values = value_options(commands);
  std::string out =
      "# bash completion of qanat; made by: qanat completion bash\n"
      "_qanat() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at= word i words= tunnels= files=\n"
      "  COMPREPLY=()\n";
  out += find_path(commands, values, "COMP_WORDS", "1", "COMP_CWORD");
  out += fmt::format(
      "  case $prev in\n"
      "    {}) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n"
      "    {}) return ;;\n"
      "  esac\n"
      "  case $at in\n",
      pattern(values.files), pattern(values.all));
  for (const auto& [path, node] : commands) {
    std::vector<std::string> words;
    for (const CommandNode& child : node->children) words.push_back(child.name);
    for (const OptionNode& option : node->options) words.push_back(option.name);
    if (node != &root)
      for (const OptionNode& option : root.options)
        if (option.name != "--help" && option.name != "-h") words.push_back(option.name);
    out += fmt::format("    {}) words={}{} ;;\n", path.empty() ? "''" : path,
                       quoted(fmt::format("{}", fmt::join(words, " "))),
                       node->positional == Completes::Tunnel ? "; tunnels=yes"
                       : node->positional == Completes::File ? "; files=yes"
                                                             : "");
  }
  out +=
      "  esac\n"
      "  if [[ $cur == -* ]]; then tunnels= files=; fi\n"
      "  [[ -z $tunnels ]] || words+=\" $(qanat completion tunnels 2>/dev/null)\"\n"
      "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
      "  if [[ -n $files ]]; then\n"
      "    compopt -o filenames\n"
      "    mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$cur\")\n"
      "  fi\n"
      "}\n"
      "complete -F _qanat qanat\n";
  return out;
}

std::string zsh_completion(const CommandNode& root) {
  Commands commands;
  collect(root, "", commands);
  const ValueOptions values = value_options(commands);
  std::string out =
      "#compdef qanat\n"
      "# zsh completion of qanat; made by: qanat completion zsh\n"
      "_qanat() {\n"
      "  local at= word i tunnels= files=\n"
      "  local -a commands options names\n";
  out += find_path(commands, values, "words", "2", "CURRENT");
  out += fmt::format(
      "  case ${{words[CURRENT-1]}} in\n"
      "    {}) _files; return ;;\n"
      "    {}) return ;;\n"
      "  esac\n"
      "  case $at in\n",
      pattern(values.files), pattern(values.all));
  for (const auto& [path, node] : commands) {
    std::vector<std::string> children;
    std::vector<std::string> options;
    for (const CommandNode& child : node->children) children.push_back(described(child.name, child.does));
    for (const OptionNode& option : node->options) options.push_back(described(option.name, option.does));
    if (node != &root)
      for (const OptionNode& option : root.options)
        if (option.name != "--help" && option.name != "-h") options.push_back(described(option.name, option.does));
    out += fmt::format("    {})\n      commands=({})\n      options=({})\n{}      ;;\n", path.empty() ? "''" : path,
                       fmt::join(children, " "), fmt::join(options, " "),
                       node->positional == Completes::Tunnel ? "      tunnels=yes\n"
                       : node->positional == Completes::File ? "      files=yes\n"
                                                             : "");
  }
  out +=
      "  esac\n"
      "  ((! $#commands)) || _describe -t commands command commands\n"
      "  if [[ -n $tunnels ]]; then\n"
      "    names=(${(f)\"$(qanat completion tunnels 2>/dev/null)\"})\n"
      "    ((! $#names)) || _describe -t tunnels tunnel names\n"
      "  fi\n"
      "  [[ -z $files ]] || _files\n"
      "  [[ ${words[CURRENT]} != -* ]] || _describe -o -t options option options\n"
      "}\n"
      "_qanat \"$@\"\n";
  return out;
}

}  // namespace qanat::cli
