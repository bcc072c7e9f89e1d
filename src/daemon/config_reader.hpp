// Who reads the configuration again for a reload: qanatd itself may not any more, since it has become another user and
// the keys are root's.
//
// A process of its own, forked before anything is parsed: it becomes the unprivileged user, keeps the one right to read
// any file (CAP_DAC_READ_SEARCH), may write none, and takes one command without a word to it: read the configuration
// that was named at the start, and the files that *it* names. So whoever takes over qanatd learns no file by it that
// qanatd does not know anyway.
//
//   ask:    one octet
//   answer: size:u64 | item...   item: kind:u8 (text, secret, other) | ok:u8 | path: u32 length + text | octets, or the
//                                error's detail: u32 length + them
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include <sys/types.h>

#include "daemon/config_file.hpp"
#include "io/fd.hpp"
#include "io/log.hpp"

namespace qanat::daemon {

// qanatd's end. One question at a time; nothing here waits.
class ConfigReader {
 public:
  ConfigReader(io::UniqueFd socket, std::string file) : socket_(std::move(socket)), file_(std::move(file)) {}

  [[nodiscard]] int fd() const { return socket_.get(); }  // readable: call poll()
  [[nodiscard]] const std::string& file() const { return file_; }
  [[nodiscard]] Status ask();
  // nullopt: more is to come. An error: the reader has gone, and every later question will fail.
  [[nodiscard]] std::optional<Result<ConfigFiles>> poll();

 private:
  io::UniqueFd socket_;
  std::string file_;
  std::size_t size_octets_ = 0;  // of the 8 in front
  std::array<std::uint8_t, 8> size_{};
  std::optional<SecretBytes> body_;
  std::size_t received_ = 0;
};

struct ReaderProcess {
  io::UniqueFd socket;
  pid_t pid = -1;  // ends by itself when `socket` is closed
};
// As root, with one thread, before the configuration is read.
[[nodiscard]] Result<ReaderProcess> start_config_reader(const std::string& file, io::LogOptions log);

// The reader's loop, until the other end is closed.
void serve_config(int socket, const std::string& file);

}  // namespace qanat::daemon
