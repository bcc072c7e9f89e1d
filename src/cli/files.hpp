// The command's own dealings with files, the terminal and the names of users.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "cli/style.hpp"
#include "config/config.hpp"

namespace qanat::cli {

// At most config::kMaxConfigSize octets. Errors say which file, why, and what to do.
[[nodiscard]] Result<std::string> read_text_file(const std::string& path);
// A reader for the psk_file of a configuration: a relative path is relative to the folder of the configuration. A key
// that everybody may read, or that its group may write, is refused.
[[nodiscard]] config::FileReader key_reader(const std::string& config_path);
// Mode 0600 from the first moment; a file that is there already is never touched.
[[nodiscard]] Status write_new_file(const std::string& path, ByteView content);
// The same for what comes bit by bit; the file is closed when the function goes.
[[nodiscard]] Result<std::function<Status(ByteView)>> open_new_file(const std::string& path);
// Mode 0644: for certificates. replace_public_file puts the new content in the old one's place at once.
[[nodiscard]] Status write_public_file(const std::string& path, ByteView content);
[[nodiscard]] Status replace_public_file(const std::string& path, ByteView content);
[[nodiscard]] Status make_folder(const std::string& path);
[[nodiscard]] WallTime wall_now();
[[nodiscard]] std::string owner_of(const std::string& path);
[[nodiscard]] bool is_terminal();  // standard output
[[nodiscard]] bool pause(std::chrono::seconds time);
// Runs a program of PATH without a shell, for at most 10 s and 8 MB of what it prints.
[[nodiscard]] Result<std::string> run_program(const std::vector<std::string>& command);
// Standard output is a terminal and NO_COLOR is not set.
[[nodiscard]] Colour terminal_colour();
void write_out(std::string_view text);
void write_err(std::string_view text);

}  // namespace qanat::cli
