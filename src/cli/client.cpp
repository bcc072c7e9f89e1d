#include "cli/client.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

namespace qanat::cli {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr std::size_t kMaxReply = std::size_t{512} << 20;  // a status of 100,000 tunnels fits

ClientError connect_error(const error_code& error) {
  namespace errc = boost::system::errc;
  if (error == errc::no_such_file_or_directory) return {ClientFault::NoSocket, error.message()};
  if (error == errc::connection_refused || error == errc::not_a_socket)
    return {ClientFault::NobodyListens, error.message()};
  if (error == errc::permission_denied || error == errc::operation_not_permitted)
    return {ClientFault::NotAllowed, error.message()};
  return {ClientFault::Other, error.message()};
}

// Connect, write, read; each step starts the next one.
class Exchange {
 public:
  Exchange(asio::io_context& io, const std::string& path, const control::Request& request, TakeBody take = {})
      : socket_(io), path_(path), take_(std::move(take)) {
    message_.version(11);
    message_.method_string(request.method);
    message_.target(request.target);
    message_.set(http::field::host, "qanat");
    message_.set(http::field::connection, "close");
    message_.body() = request.body;
    message_.prepare_payload();
    parser_.body_limit(kMaxReply);
  }

  void start() {
    socket_.async_connect(asio::local::stream_protocol::endpoint{path_}, [this](const error_code& error) {
      if (error) return fail(connect_error(error));
      http::async_write(socket_, message_, [this](const error_code& write_error, std::size_t) {
        if (write_error) return fail({ClientFault::NoHttp, write_error.message()});
        read();
      });
    });
  }

  // nullopt while it is not done.
  std::optional<std::expected<control::Reply, ClientError>> result;

 private:
  void read() {
    if (take_) return read_some();
    http::async_read(socket_, buffer_, parser_, [this](const error_code& error, std::size_t) {
      if (error) return fail({ClientFault::NoHttp, error.message()});
      finish();
    });
  }
  void read_some() {
    http::async_read_some(socket_, buffer_, parser_, [this](const error_code& error, std::size_t) {
      if (error) return fail({ClientFault::NoHttp, error.message()});
      std::string& body = parser_.get().body();
      const bool good = parser_.is_header_done() && parser_.get().result_int() < 300;
      if (good && !body.empty()) {
        if (!take_(body)) return finish();
        body.clear();
      }
      parser_.is_done() ? finish() : read_some();
    });
  }
  void finish() {
    control::Reply reply;
    reply.status = static_cast<int>(parser_.get().result_int());
    for (const auto& field : parser_.get())
      reply.headers.emplace_back(std::string{field.name_string()}, std::string{field.value()});
    reply.body = std::move(parser_.get().body());
    result.emplace(std::move(reply));
  }
  void fail(ClientError error) { result.emplace(std::unexpected(std::move(error))); }

  asio::local::stream_protocol::socket socket_;
  std::string path_;
  TakeBody take_;
  http::request<http::string_body> message_;
  beast::flat_buffer buffer_;
  http::response_parser<http::string_body> parser_;
};

}  // namespace

namespace {

std::expected<control::Reply, ClientError> run(const std::string& socket_path, const control::Request& request,
                                               TakeBody take, std::chrono::seconds timeout) {
  asio::io_context io{1};
  Exchange run{io, socket_path, request, std::move(take)};
  run.start();
  io.run_for(timeout);
  if (!run.result)
    return std::unexpected(
        ClientError{ClientFault::NoAnswer, "no answer within " + std::to_string(timeout.count()) + " s"});
  return std::move(*run.result);
}

}  // namespace

std::expected<control::Reply, ClientError> exchange(const std::string& socket_path, const control::Request& request,
                                                    std::chrono::seconds timeout) {
  return run(socket_path, request, {}, timeout);
}

std::expected<control::Reply, ClientError> follow(const std::string& socket_path, const control::Request& request,
                                                  const TakeBody& take, std::chrono::seconds timeout) {
  return run(socket_path, request, take, timeout);
}

}  // namespace qanat::cli
