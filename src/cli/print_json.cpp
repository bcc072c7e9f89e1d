#include <nlohmann/json.hpp>

#include "cli/print.hpp"

namespace qanat::cli {

namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string check_json(const std::string& file, bool ok, std::size_t tunnels,
                       std::span<const config::Problem> problems) {
  Json list = Json::array();
  for (const config::Problem& problem : problems) {
    list.push_back({{"line", problem.line},
                    {"column", problem.column},
                    {"severity", problem.severity == config::Severity::Error ? "error" : "warning"},
                    {"message", problem.message},
                    {"hint", problem.hint}});
  }
  return text_of({{"file", file}, {"ok", ok}, {"tunnels", tunnels}, {"problems", std::move(list)}});
}

std::string ping_json(const std::string& tunnel, const std::vector<control::PingStatus>& pings) {
  Json list = Json::array();
  std::size_t answered = 0;
  for (const control::PingStatus& p : pings) {
    answered += p.answered ? 1 : 0;
    list.push_back(
        {{"from", p.from}, {"to", p.to}, {"milliseconds", p.milliseconds ? Json(*p.milliseconds) : Json(nullptr)}});
  }
  return text_of({{"tunnel", tunnel}, {"sent", pings.size()}, {"answered", answered}, {"pings", std::move(list)}});
}

std::string psk_json(const std::string& psk) {
  return text_of({{"psk", psk}});
}
std::string psk_file_json(const std::string& file) {
  return text_of({{"file", file}});
}

std::string version_json(const std::string& version, const std::string& daemon_version,
                         const std::string& daemon_crypto) {
  Json json = {{"version", version}, {"daemon", nullptr}};
  if (!daemon_version.empty()) json["daemon"] = {{"version", daemon_version}, {"crypto", daemon_crypto}};
  return text_of(json);
}

}  // namespace qanat::cli
