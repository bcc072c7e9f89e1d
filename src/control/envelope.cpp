#include "control/envelope.hpp"

#include <algorithm>
#include <span>

#include <fmt/format.h>

namespace qanat::control {

namespace {

using nlohmann::json;

constexpr int kMessageCode = 1000;

Reply reply_of(int status, std::string body) {
  return {status, {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}}, std::move(body)};
}

}  // namespace

std::string json_text(std::string_view text) {
  // Nearly every text is, and a list of ten thousand objects has thirty thousand of them.
  const auto stays = [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; };
  if (std::all_of(text.begin(), text.end(), stays)) return fmt::format("\"{}\"", text);
  return json(std::string{text}).dump(-1, ' ', false, json::error_handler_t::replace);
}

Reply success_reply(std::string_view result, const std::vector<std::string>& messages) {
  std::string body;
  body.reserve(result.size() + 100);
  body.append(R"({"result":)").append(result).append(R"(,"success":true,"errors":[],"messages":[)");
  for (std::size_t i = 0; i < messages.size(); ++i)
    body += fmt::format(R"({}{{"code":{},"message":{}}})", i == 0 ? "" : ",", kMessageCode, json_text(messages[i]));
  body.append("]}");
  return reply_of(200, std::move(body));
}

Reply failure_reply(int status, const ApiFaults& faults) {
  json errors = json::array();
  for (const ApiFault& fault : std::span{faults}.first(std::min(faults.size(), kMaxFaults))) {
    json one{{"code", static_cast<int>(fault.code)}, {"message", fault.message}};
    if (!fault.pointer.empty()) one["source"] = {{"pointer", fault.pointer}};
    errors.push_back(std::move(one));
  }
  const json body{{"result", nullptr}, {"success", false}, {"errors", std::move(errors)}, {"messages", json::array()}};
  return reply_of(status, body.dump(-1, ' ', false, json::error_handler_t::replace));
}

Reply failure_reply(int status, ApiCode code, std::string message) {
  return failure_reply(status, ApiFaults{{code, std::move(message)}});
}

}  // namespace qanat::control
