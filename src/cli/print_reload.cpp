#include "cli/print_reload.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/style.hpp"

namespace qanat::cli {

std::string reload_table(const control::ReloadReport& report) {
  struct Row {
    std::string what;
    std::string keys;
    std::string meaning;
  };
  std::vector<Row> rows;
  std::size_t what = 0;
  std::size_t keys = 0;
  for (const control::ReloadChange& c : report.changes) {
    Row row{clean(c.name.empty() ? c.kind : c.kind + " " + c.name), clean(fmt::format("{}", fmt::join(c.keys, " "))),
            clean(c.meaning)};
    what = std::max(what, row.what.size());
    keys = std::max(keys, row.keys.size());
    rows.push_back(std::move(row));
  }
  std::string out;
  for (const Row& row : rows) out += fmt::format("{:<{}}  {:<{}}  {}\n", row.what, what, row.keys, keys, row.meaning);
  return out + clean(report.message) + "\n";
}

std::string clean_lines(const std::string& text) {
  std::string out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    out += clean(text.substr(begin, end - begin)) + "\n";
    begin = end + 1;
  }
  return out;
}

}  // namespace qanat::cli
