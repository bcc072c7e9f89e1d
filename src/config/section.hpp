// Section reads the keys of one table. Every key that is asked for is known; finish() then reports each key that
// nobody asked for. A value of the wrong kind is reported and treated as absent. Internal to config/.
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/toml_tree.hpp"

namespace qanat::config {

// A value with its place, for the checks that come later.
template <typename T>
struct Placed {
  T value;
  Position at;
};

class Section {
 public:
  // `section` is how the file writes it, "[[tunnel]]"; `title` names this one, "[[tunnel]] berlin".
  Section(const Table& table, Position at, std::string section, std::string title, Problems& problems)
      : table_(table), at_(at), section_(std::move(section)), title_(std::move(title)), problems_(problems) {}

  [[nodiscard]] Position at() const { return at_; }
  [[nodiscard]] const std::string& title() const { return title_; }
  [[nodiscard]] Problems& problems() { return problems_; }

  // The entry as it is; nullptr when the key is absent.
  [[nodiscard]] const Entry* find(std::string_view key);
  // Where to point when something is wrong with `key`: at the key, or at the section's head when it is absent.
  [[nodiscard]] Position place(std::string_view key) const;

  [[nodiscard]] std::optional<Placed<std::string>> text(std::string_view key, std::string_view allowed);
  [[nodiscard]] std::optional<Placed<bool>> boolean(std::string_view key);
  // `also_zero`: 0 is allowed beside min..max.
  enum class Zero : std::uint8_t { No, Also };
  [[nodiscard]] std::optional<Placed<std::int64_t>> integer(std::string_view key, std::int64_t min, std::int64_t max,
                                                            Zero zero = Zero::No);
  // "4h", "30m", "90s", "1d", or a number of seconds.
  [[nodiscard]] std::optional<Placed<std::chrono::seconds>> duration(std::string_view key, std::chrono::seconds min,
                                                                     std::chrono::seconds max);
  // An array of strings.
  [[nodiscard]] std::optional<std::vector<Placed<std::string>>> texts(std::string_view key, std::string_view allowed);
  // One text, or an array of them; empty when the key is absent.
  [[nodiscard]] std::vector<Placed<std::string>> text_or_texts(std::string_view key, std::string_view allowed);

  template <typename E, std::size_t N>
  [[nodiscard]] std::optional<Placed<E>> choice(std::string_view key,
                                                const std::array<std::pair<std::string_view, E>, N>& words) {
    std::array<std::string_view, N> names;
    for (std::size_t i = 0; i < N; ++i) names[i] = words[i].first;
    const auto index = word(key, names);
    if (!index) return std::nullopt;
    return Placed<E>{words[index->value].second, index->at};
  }

  // "[[tunnel]] berlin: mtu = 99: must be ..."
  void refuse(std::string_view key, const Value& value, std::string_view must, const std::string& hint = {});
  void refuse_text(std::string_view key, const Placed<std::string>& text, std::string_view why,
                   const std::string& hint = {});
  // Reports what the file has and nobody asked for.
  void finish();

 private:
  [[nodiscard]] std::optional<Placed<std::size_t>> word(std::string_view key, std::span<const std::string_view> names);

  const Table& table_;
  Position at_;
  std::string section_;
  std::string title_;
  Problems& problems_;
  std::vector<std::string_view> known_;
};

}  // namespace qanat::config
