// Log: one line an event on stderr, for people or as JSON. Keys and values are text from us or from a peer: control
// characters never reach the terminal raw, and JSON stays JSON whatever octets a value holds. Never hand it a key.
//
//   log.info("tunnel-up", {{"tunnel", name}, {"keys", "hybrid"}});
//   2026-07-20T12:00:00.123Z info  tunnel-up tunnel=berlin keys=hybrid
//   {"time":"2026-07-20T12:00:00.123Z","level":"info","event":"tunnel-up","tunnel":"berlin","keys":"hybrid"}
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace qanat::io {

enum class LogLevel : std::uint8_t { Debug, Info, Warning, Error };
enum class LogFormat : std::uint8_t { Human, Json };

[[nodiscard]] Result<LogLevel> parse_log_level(std::string_view text);  // "debug" "info" "warning" "error"

struct LogField {
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  LogField(std::string_view k, std::integral auto v) : key(k), value(std::to_string(v)) {}
  std::string key;
  std::string value;
};

struct LogOptions {
  LogFormat format = LogFormat::Human;
  LogLevel level = LogLevel::Info;
};

// Safe from every thread.
class Log {
 public:
  explicit Log(LogOptions options);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void log(LogLevel level, std::string_view event, std::span<const LogField> fields) const;
  void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {}) const {
    log(level, event, std::span<const LogField>(fields.begin(), fields.size()));
  }
  void debug(std::string_view event, std::initializer_list<LogField> f = {}) const { log(LogLevel::Debug, event, f); }
  void info(std::string_view event, std::initializer_list<LogField> f = {}) const { log(LogLevel::Info, event, f); }
  void warning(std::string_view event, std::initializer_list<LogField> f = {}) const {
    log(LogLevel::Warning, event, f);
  }
  void error(std::string_view event, std::initializer_list<LogField> f = {}) const { log(LogLevel::Error, event, f); }
  // The error's kind, place and detail as fields.
  void error(std::string_view event, const Error& why) const;

  [[nodiscard]] const LogOptions& options() const { return options_; }

 private:
  struct Sink;
  LogOptions options_;
  std::unique_ptr<Sink> sink_;
};

// The line without its end, as log() writes it. `time`: RFC 3339.
[[nodiscard]] std::string log_line(LogFormat format, std::string_view time, LogLevel level, std::string_view event,
                                   std::span<const LogField> fields);

}  // namespace qanat::io
