#include "control/access.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "control/endpoints.hpp"
#include "control/envelope.hpp"
#include "control/target.hpp"

namespace qanat::control {

namespace {

constexpr std::string_view kClient = "/client/v4";
std::string_view path_of(std::string_view target) {
  return target.substr(0, target.find('?'));
}

bool is_below(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

std::string take_header(Request& request, std::string_view name) {
  const auto at =
      std::find_if(request.headers.begin(), request.headers.end(), [&](const auto& h) { return h.first == name; });
  if (at == request.headers.end()) return {};
  std::string value = std::move(at->second);
  std::erase_if(request.headers, [&](const auto& h) { return h.first == name; });
  return value;
}

// "Bearer x": the scheme's case does not count (RFC 9110 11.1).
std::string_view bearer(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return {};
  for (std::size_t i = 0; i < kScheme.size(); ++i) {
    const char c = authorization[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != kScheme[i]) return {};
  }
  authorization.remove_prefix(kScheme.size());
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
  return authorization;
}

std::string key_of(const IpAddress& from) {
  return (from.is_v4() ? from : Prefix::masked(from, 64).address()).to_string();
}

struct Needs {
  Scope scope = Scope::Write;
  View view = View::Same;  // of what is no path: it is told so
};
Needs needs_of(const Request& request) {
  const auto target = parse_target(request.target);
  const FoundEndpoint found = find_endpoint(request.method, target ? target->path : std::vector<std::string>{});
  if (found.endpoint) return {found.endpoint->scope, found.endpoint->view};
  if (path_of(request.target).find("/pcaps") != std::string_view::npos) return {Scope::Capture};
  const bool reads = request.method == "GET" || request.method == "HEAD" || request.method == "OPTIONS";
  return {reads ? Scope::Read : Scope::Write};
}

bool has(const Principal& who, Scope scope) {
  return scope == Scope::Read ? who.read : scope == Scope::Write ? who.write : scope != Scope::Capture || who.capture;
}

Reply refuse(const Request& request, int status, std::string message) {
  Reply reply = is_below(path_of(request.target), kClient)
                    ? failure_reply(status, status == 401 ? ApiCode::Unauthorized : ApiCode::Forbidden, message)
                    : error_reply(status, status == 401 ? "unauthorized" : "forbidden", std::move(message));
  if (status == 401) reply.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"qanat\"");
  return reply;
}

Reply too_fast(const Request& request, Duration wait, const char* who) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(wait).count();
  const std::string message =
      fmt::format("too many requests of this {}: wait {} s and consider asking less often", who, seconds);
  Reply reply = is_below(path_of(request.target), kClient) ? failure_reply(429, ApiCode::TooFast, message)
                                                           : error_reply(429, "too_many_requests", message);
  reply.headers.emplace_back("Retry-After", fmt::format("{}", seconds));
  return reply;
}

}  // namespace

Access::Access(AccessLimits limits) : by_address_(limits.address), by_token_(limits.token), wrong_(limits.wrong) {}

std::optional<Reply> Access::admit(Request& request, const IpAddress& from, Instant now, const FindToken& find_token) {
  request.principal = {"nobody", std::nullopt, false, false, false, false};
  const std::string address = key_of(from);
  if (const auto wait = by_address_.take(address, now)) return too_fast(request, *wait, "address");
  const std::string authorization = take_header(request, "authorization");
  if (is_public_target(request.target)) return std::nullopt;

  if (const auto wait = wrong_.look(address, now)) return too_fast(request, *wait, "address, with wrong tokens");
  const std::string_view token = bearer(authorization);
  if (token.empty()) {
    return refuse(request, 401,
                  "Authentication error: a token is needed, in the header \"Authorization: Bearer TOKEN\"; qanat token "
                  "create NAME makes one");
  }
  auto principal = find_token(token);
  if (!principal) {
    (void)wrong_.take(address, now);
    return refuse(request, 401, "Authentication error: the token is not known here, or no longer valid");
  }
  principal->local = false;
  if (const auto wait = by_token_.take(principal->name, now)) return too_fast(request, *wait, "token");

  const std::string_view path = path_of(request.target);
  const Needs needs = needs_of(request);
  if (!has(*principal, needs.scope))
    return refuse(request, 403,
                  fmt::format("the token {} has not the scope {}, which {} {} needs", principal->name,
                              to_string(needs.scope), request.method, path));
  if (needs.scope == Scope::Local)
    return refuse(request, 403,
                  fmt::format("{} {} is for the Unix socket alone, which is asked on the gateway's host by: qanat {}",
                              request.method, path, path.substr(std::string_view{"/v1/"}.size())));
  if (principal->account && needs.view == View::Refused) {
    return refuse(request, 403,
                  fmt::format("the token {} is for the account {} alone, and {} tells of the whole gateway: it takes a "
                              "token of all accounts (qanat token create NAME --scope {}, without --account)",
                              principal->name, *principal->account, path, to_string(needs.scope)));
  }
  request.principal = std::move(*principal);
  return std::nullopt;
}

bool is_page_target(std::string_view target) {
  const std::string_view path = path_of(target);
  return !is_below(path, "/v1") && !is_below(path, kClient);
}

bool is_public_target(std::string_view target) {
  return path_of(target) == "/v1/health" || is_page_target(target);
}

Reply no_store_reply() {
  return failure_reply(503, ApiCode::Store, "objects are not kept here: the log of qanatd says why (objects-not-kept)");
}

}  // namespace qanat::control
