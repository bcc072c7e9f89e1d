#include "io/log.hpp"

#include <array>
#include <cstddef>

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <time.h>

#include "base/text.hpp"

namespace qanat::io {

namespace {

constexpr std::size_t kMaxValue = 4096;

const char* level_name(LogLevel level) {
  switch (level) {
    case LogLevel::Debug:
      return "debug";
    case LogLevel::Info:
      return "info";
    case LogLevel::Warning:
      return "warning";
    case LogLevel::Error:
      return "error";
  }
  return "error";
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::Debug:
      return spdlog::level::debug;
    case LogLevel::Info:
      return spdlog::level::info;
    case LogLevel::Warning:
      return spdlog::level::warn;
    case LogLevel::Error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

// The length of the well-formed UTF-8 sequence that `text` begins with (Unicode table 3-7), 0 if there is none.
std::size_t utf8_length(std::string_view text) {
  const auto octet = [&](std::size_t i) {
    return i < text.size() ? static_cast<std::uint8_t>(text[i]) : std::uint8_t{0};
  };
  const auto between = [&](std::size_t i, unsigned low, unsigned high) { return octet(i) >= low && octet(i) <= high; };
  const unsigned first = octet(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return between(1, 0x80, 0xbf) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const unsigned low = first == 0xe0 ? 0xa0 : 0x80;
    const unsigned high = first == 0xed ? 0x9f : 0xbf;
    return between(1, low, high) && between(2, 0x80, 0xbf) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const unsigned low = first == 0xf0 ? 0x90 : 0x80;
    const unsigned high = first == 0xf4 ? 0x8f : 0xbf;
    return between(1, low, high) && between(2, 0x80, 0xbf) && between(3, 0x80, 0xbf) ? 4 : 0;
  }
  return 0;
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const auto c = static_cast<std::uint8_t>(text[0]);
    std::size_t length = 1;
    if (c == '"' || c == '\\') {
      out += '\\';
      out += text[0];
    } else if (c < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", c);
    } else if (length = utf8_length(text); length > 0) {
      out += text.substr(0, length);
    } else {
      length = 1;
      out += "\\ufffd";
    }
    text.remove_prefix(length);
  }
  out += '"';
}

bool needs_quotes(std::string_view value) {
  return value.empty() || value.find_first_of(" \"=\\") != std::string_view::npos;
}

void append_human_value(std::string& out, std::string_view value) {
  const std::string safe = printable(value, kMaxValue);
  if (!needs_quotes(value)) {
    out += safe;
    return;
  }
  out += '"';
  for (const char c : safe) {
    if (c == '"') out += '\\';
    out += c;
  }
  out += '"';
}

std::string timestamp() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  ::gmtime_r(&now.tv_sec, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec / 1'000'000);
}

}  // namespace

Result<LogLevel> parse_log_level(std::string_view text) {
  for (const LogLevel level : {LogLevel::Debug, LogLevel::Info, LogLevel::Warning, LogLevel::Error}) {
    if (text == level_name(level)) return level;
  }
  return fail(ErrorKind::LocalPolicy, "log level", "'" + printable(text) + "' is none of debug, info, warning, error");
}

std::string log_line(LogFormat format, std::string_view time, LogLevel level, std::string_view event,
                     std::span<const LogField> fields) {
  std::string out;
  if (format == LogFormat::Json) {
    out += "{\"time\":";
    append_json_string(out, time);
    out += fmt::format(",\"level\":\"{}\",\"event\":", level_name(level));
    append_json_string(out, event);
    for (const LogField& field : fields) {
      out += ',';
      append_json_string(out, field.key);
      out += ':';
      append_json_string(out, std::string_view(field.value).substr(0, kMaxValue));
    }
    out += '}';
    return out;
  }
  out += fmt::format("{} {:<7} {}", time, level_name(level), printable(event));
  for (const LogField& field : fields) {
    out += ' ';
    out += printable(field.key);
    out += '=';
    append_human_value(out, field.value);
  }
  return out;
}

struct Log::Sink {
  explicit Sink(LogLevel level) : logger("qanat", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger.set_pattern("%v");
    logger.set_level(to_spdlog(level));
    logger.flush_on(spdlog::level::debug);
  }
  mutable spdlog::logger logger;
};

Log::Log(LogOptions options) : options_(options), sink_(std::make_unique<Sink>(options.level)) {}
Log::~Log() = default;

void Log::log(LogLevel level, std::string_view event, std::span<const LogField> fields) const {
  if (level < options_.level) return;
  sink_->logger.log(to_spdlog(level),
                    spdlog::string_view_t(log_line(options_.format, timestamp(), level, event, fields)));
}

void Log::error(std::string_view event, const Error& why) const {
  error(event, {{"kind", to_string(why.kind)}, {"where", why.where}, {"detail", why.detail}});
}

}  // namespace qanat::io
