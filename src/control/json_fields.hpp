// Reading what a client sent: JSON with limits, and one message for every field that is wrong: its name, its value,
// what is allowed. Internal to the object API; nlohmann's header comes along.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace qanat::control {

// One entry of "errors" of Cloudflare's envelope. The codes are public: docs/api.md lists them.
enum class ApiCode : int {
  NotJson = 1001,
  BadField = 1002,  // wrong type, range, encoding, size
  UnknownField = 1003,
  MissingField = 1004,
  Conflict = 1005,  // with another object, or with the rest of the configuration
  FileOwned = 1006,
  NotOffered = 1007,
  BadParameter = 1008,
  TooLarge = 1009,
  Changed = 1010,  // somebody else wrote at the same time
  NotFound = 1404,
  Store = 1500,
  TooFast = 971,         // Cloudflare's own: too many requests
  NoRoute = 7003,        // Cloudflare's own: no such path
  Forbidden = 9109,      // Cloudflare's own: the token may not do this
  Unauthorized = 10000,  // Cloudflare's own: no token
  Method = 10405,        // Cloudflare's own: not on this path
};
struct ApiFault {
  ApiCode code{};
  std::string message;
  std::string pointer = {};  // RFC 6901: which part of the body; empty: all of it
};
using ApiFaults = std::vector<ApiFault>;

inline constexpr std::size_t kMaxDepth = 16;
inline constexpr std::size_t kMaxFaults = 50;  // of one request; nobody reads more

// The body as an object. Faults: no JSON, not UTF-8, too deep, a name given twice, no object.
struct ParsedBody {
  nlohmann::json value;
  ApiFaults faults;
};
[[nodiscard]] ParsedBody parse_body(std::string_view text);

// A value for a message: "\"text\"", "12", "true", "an array"; text is escaped and cut.
[[nodiscard]] std::string shown(const nlohmann::json& value);

// The fields of one JSON object. null counts as absent. What is asked for is known; finish() reports the rest.
class Fields {
 public:
  // `where` stands before names in messages ("health_check."); `pointer` likewise ("/health_check").
  Fields(const nlohmann::json& object, std::string where, std::string pointer, ApiFaults& faults)
      : object_(object), where_(std::move(where)), pointer_(std::move(pointer)), faults_(faults) {}

  [[nodiscard]] const nlohmann::json* find(std::string_view name);
  [[nodiscard]] bool has(std::string_view name) { return find(name) != nullptr; }

  // At most `most` octets, no control characters.
  [[nodiscard]] std::optional<std::string> text(std::string_view name, std::size_t most, std::string_view must);
  [[nodiscard]] std::optional<bool> boolean(std::string_view name);
  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view name, std::int64_t min, std::int64_t max);
  // One of the words; what it is worth.
  template <typename E, std::size_t N>
  [[nodiscard]] std::optional<E> choice(std::string_view name,
                                        const std::array<std::pair<std::string_view, E>, N>& words) {
    std::array<std::string_view, N> names;
    for (std::size_t i = 0; i < N; ++i) names[i] = words[i].first;
    const auto index = word(name, names);
    return index ? std::optional{words[*index].second} : std::nullopt;
  }
  [[nodiscard]] std::optional<std::vector<std::string>> texts(std::string_view name, std::size_t most,
                                                              std::string_view must);
  // Its fields; nullopt: absent, or reported.
  [[nodiscard]] std::optional<Fields> object(std::string_view name);

  // "interface_address = \"10.0.0.0/24\": must be ..."
  void refuse(std::string_view name, std::string_view must, ApiCode code = ApiCode::BadField);
  void missing(std::string_view name, std::string_view must);
  void report(ApiCode code, std::string message, std::string_view name);
  // Fields that clients send back as they got them, and that nobody can set.
  void read_only(std::span<const std::string_view> names);
  void finish();

 private:
  [[nodiscard]] std::optional<std::size_t> word(std::string_view name, std::span<const std::string_view> words);

  const nlohmann::json& object_;
  std::string where_;
  std::string pointer_;
  ApiFaults& faults_;
  std::vector<std::string_view> known_;
};

// The number of octets and the absence of control characters: "" or what is wrong.
[[nodiscard]] std::string text_fault(std::string_view text, std::size_t most);

}  // namespace qanat::control
