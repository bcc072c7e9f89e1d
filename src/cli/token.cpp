#include "cli/token.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/style.hpp"

namespace qanat::cli {

namespace {

using nlohmann::json;

std::string words(const json& list) {
  std::string out;
  for (const json& word : list) out += (out.empty() ? "" : ",") + word.get<std::string>();
  return out;
}

std::string described(const json& token) {
  const std::string account = token.at("account").is_string() ? token["account"].get<std::string>() : "all";
  const std::string until = token.at("expires_on").is_string() ? token["expires_on"].get<std::string>() : "deleted";
  return fmt::format("{}  {}  scopes {}, account {}, until {}", token.at("id").get<std::string>(),
                     clean(token.at("name").get<std::string>()), words(token.at("scopes")), clean(account),
                     clean(until));
}

}  // namespace

std::string token_request(const TokenLine& line) {
  json out{{"name", line.name}, {"scopes", line.scopes}};
  if (!line.account.empty()) out["account"] = line.account;
  if (line.days != 0) out["days"] = line.days;
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<TokenText> token_text(TokenVerb verb, std::string_view body) {
  try {
    const json reply = json::parse(body);
    TokenText out;
    if (verb == TokenVerb::Create) {
      out.text = reply.at("secret").get<std::string>() + "\n";
      out.note = fmt::format("made {}\n  the line above is its secret, shown this once: Authorization: Bearer ...\n",
                             described(reply.at("token")));
    } else if (verb == TokenVerb::Delete) {
      out.text = fmt::format("deleted {}\n", described(reply.at("deleted")));
    } else {
      for (const json& token : reply.at("tokens")) out.text += described(token) + "\n";
      if (out.text.empty()) out.text = "There is no token: qanat token create NAME --scope read,write\n";
    }
    return out;
  } catch (const json::exception& error) {
    return fail(ErrorKind::Malformed, "token", error.what());
  }
}

}  // namespace qanat::cli
