#include "control/static_files.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.hpp"

namespace qanat::control {

namespace {

constexpr auto kTypes = std::to_array<std::pair<std::string_view, std::string_view>>({
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".json", "application/json"},
    {".txt", "text/plain; charset=utf-8"},
    {".woff2", "font/woff2"},
});

std::string_view type_of(std::string_view path) {
  const auto found =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& type) { return path.ends_with(type.first); });
  return found == kTypes.end() ? "text/plain; charset=utf-8" : found->second;
}

void add_common(Headers& headers) {
  headers.emplace_back("Content-Security-Policy", kContentPolicy);
  headers.emplace_back("X-Content-Type-Options", "nosniff");
  headers.emplace_back("Referrer-Policy", "no-referrer");
  headers.emplace_back("Cross-Origin-Opener-Policy", "same-origin");
  headers.emplace_back("Cross-Origin-Resource-Policy", "same-origin");
}

// If-None-Match (RFC 9110 13.1.2): a list of tags, compared weakly.
bool has_it(const Request& request, std::string_view tag) {
  return std::any_of(request.headers.begin(), request.headers.end(), [&](const auto& header) {
    return header.first == "if-none-match" && (header.second == "*" || header.second.find(tag) != std::string::npos);
  });
}

Reply plain(int status, std::string text) {
  Reply reply{status, {{"Content-Type", "text/plain; charset=utf-8"}}, std::move(text)};
  add_common(reply.headers);
  return reply;
}

}  // namespace

Reply static_reply(std::span<const StaticFile> files, const Request& request) {
  if (request.method != "GET") {
    Reply reply = request.method == "OPTIONS" ? Reply{204, {}, ""} : plain(405, "only GET is allowed here\n");
    reply.headers.emplace_back("Allow", "GET, HEAD, OPTIONS");
    return reply;
  }
  std::string_view path = std::string_view{request.target}.substr(0, request.target.find('?'));
  if (path == "/") path = "/index.html";
  const auto file = std::find_if(files.begin(), files.end(), [&](const StaticFile& f) { return f.path == path; });
  if (file == files.end()) return plain(404, fmt::format("there is no page {}\n", printable(std::string{path}, 128)));
  const std::string tag = fmt::format("\"{}\"", file->hash);
  Reply reply;
  reply.headers = {{"ETag", tag}, {"Cache-Control", "no-cache"}};
  if (has_it(request, tag)) {
    reply.status = 304;
    return reply;
  }
  reply.headers.emplace_back("Content-Type", type_of(path));
  add_common(reply.headers);
  reply.body = file->content;
  return reply;
}

}  // namespace qanat::control
