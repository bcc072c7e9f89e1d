#include "io/http_server.hpp"

#include <chrono>
#include <csignal>
#include <optional>
#include <thread>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

namespace qanat::io {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Protocol = asio::generic::stream_protocol;  // Unix or TCP: whatever the listener is
using Stream = beast::basic_stream<Protocol>;
using boost::system::error_code;

namespace {

constexpr std::uint64_t kBodyLimit = control::kMaxBody;
constexpr std::uint32_t kHeaderLimit = 8 * 1024;
constexpr std::size_t kMaxConnections = 64;
constexpr std::size_t kMaxDrain = 1024 * 1024;
constexpr auto kIdle = std::chrono::seconds(30);
constexpr auto kHandlerDeadline = std::chrono::seconds(120);

HttpServer::Peer peer_of(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return {};
  return {credentials.uid, credentials.gid, credentials.pid};
}

}  // namespace

class Session;

struct HttpServer::Impl : std::enable_shared_from_this<HttpServer::Impl> {
  std::size_t connections = 0;  // before `io`, which destroys sessions
  Handler handler;
  asio::io_context io{1};
  asio::basic_socket_acceptor<Protocol> acceptor{io};
  asio::steady_timer pause{io};
  bool accepting = false;
  std::thread thread;

  void accept();
  void session_ended();
};

// One connection: read, ask, answer, again. Kept alive by whatever operation it waits for.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(HttpServer::Impl& server, Protocol::socket socket)
      : server_(server),
        stream_(std::move(socket)),
        deadline_(server.io),
        peer_(peer_of(stream_.socket().native_handle())) {
    ++server_.connections;
  }
  ~Session() { server_.session_ended(); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void read() {
    parser_.emplace();
    parser_->header_limit(kHeaderLimit);
    parser_->body_limit(kBodyLimit);
    stream_.expires_after(kIdle);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](error_code error, std::size_t) { self->on_read(error); });
  }

 private:
  void on_read(error_code error) {
    if (!error) {
      ask();
    } else if (error == http::error::body_limit) {
      refuse(413, "body_too_large", "the body is longer than 64 KiB");
    } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      refuse(431, "header_too_large", "the header is longer than 8 KiB");
    } else if (error != http::error::end_of_stream && error != http::error::partial_message &&
               error.category() == http::make_error_code(http::error::bad_method).category()) {
      refuse(400, "bad_request", "this is no HTTP/1.1 request: " + error.message());
    }
    // Everything else: the client has gone, or slept too long.
  }

  void ask() {
    const auto& message = parser_->get();
    control::Request request;
    request.method = std::string(message.method_string());
    request.target = std::string(message.target());
    request.body = message.body();
    version_ = message.version();
    keep_alive_ = message.keep_alive();
    head_ = message.method() == http::verb::head;

    const std::uint64_t turn = ++turn_;
    stream_.expires_never();
    deadline_.expires_after(kHandlerDeadline);
    deadline_.async_wait([self = shared_from_this(), turn](error_code error) {
      if (!error) self->answer(turn, control::error_reply(504, "timeout", "the gateway did not answer in time"));
    });
    const auto reply = [server = server_.weak_from_this(), session = weak_from_this(), turn](control::Reply r) {
      const auto alive = server.lock();
      if (!alive) return;
      asio::post(alive->io, [session, turn, r = std::move(r)]() mutable {
        if (const auto self = session.lock()) self->answer(turn, std::move(r));
      });
    };
    try {
      server_.handler(std::move(request), peer_, reply);
    } catch (const std::exception& e) {
      answer(turn, control::error_reply(500, "internal", e.what()));
    }
  }

  void answer(std::uint64_t turn, control::Reply reply) {
    if (turn != turn_) return;  // late, or the second one
    ++turn_;
    deadline_.cancel();
    write(std::move(reply));
  }

  void refuse(int status, std::string code, std::string why) {
    keep_alive_ = false;
    drain_ = true;
    write(control::error_reply(status, std::move(code), std::move(why)));
  }

  void write(control::Reply reply) {
    response_ = {};
    response_.version(version_);
    response_.result(static_cast<unsigned>(reply.status));
    for (const auto& [name, value] : reply.headers) {
      if (value.find_first_of("\r\n") == std::string::npos) response_.set(name, value);
    }
    response_.keep_alive(keep_alive_);
    const std::size_t size = reply.body.size();
    if (!head_) response_.body() = std::move(reply.body);
    response_.prepare_payload();
    if (head_) response_.content_length(size);
    stream_.expires_after(kIdle);
    http::async_write(stream_, response_, [self = shared_from_this()](error_code error, std::size_t) {
      if (error) return;
      if (self->keep_alive_) {
        self->read();
      } else {
        self->finish();
      }
    });
  }

  void finish() {
    error_code ignored;
    stream_.socket().shutdown(Protocol::socket::shutdown_send, ignored);
    // A client that is still sending what we refused would see a broken pipe instead of the answer.
    if (drain_) {
      stream_.expires_after(std::chrono::seconds(2));
      drain();
    }
  }

  void drain() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(16 * 1024),
                            [self = shared_from_this()](error_code error, std::size_t size) {
                              self->drained_ += size;
                              if (!error && self->drained_ < kMaxDrain) self->drain();
                            });
  }

  HttpServer::Impl& server_;
  Stream stream_;
  asio::steady_timer deadline_;
  HttpServer::Peer peer_;
  beast::flat_buffer buffer_{kHeaderLimit + kBodyLimit};
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
  unsigned version_ = 11;
  bool keep_alive_ = false;
  bool head_ = false;
  bool drain_ = false;
  std::size_t drained_ = 0;
  std::uint64_t turn_ = 0;
};

void HttpServer::Impl::accept() {
  if (accepting || connections >= kMaxConnections || !acceptor.is_open()) return;
  accepting = true;
  acceptor.async_accept([this](error_code error, Protocol::socket socket) {
    accepting = false;
    if (error == asio::error::operation_aborted) return;
    if (!error) {
      std::make_shared<Session>(*this, std::move(socket))->read();
      accept();
      return;
    }
    // Out of descriptors or memory: not for ever.
    pause.expires_after(std::chrono::milliseconds(100));
    pause.async_wait([this](error_code stopped) {
      if (!stopped) accept();
    });
  });
}

void HttpServer::Impl::session_ended() {
  --connections;
  if (io.stopped()) return;
  accept();
}

HttpServer::HttpServer() : impl_(std::make_shared<Impl>()) {}

Result<std::unique_ptr<HttpServer>> HttpServer::start(UniqueFd listener, Handler handler) {
  std::unique_ptr<HttpServer> server(new HttpServer);
  Impl& impl = *server->impl_;
  impl.handler = std::move(handler);
  error_code error;
  int family = AF_UNIX;
  socklen_t size = sizeof family;
  if (::getsockopt(listener.get(), SOL_SOCKET, SO_DOMAIN, &family, &size) != 0)
    return system_failure("HTTP listener", "SO_DOMAIN");
  impl.acceptor.assign(Protocol(family, 0), listener.get(), error);
  if (error) return fail(ErrorKind::Internal, "HTTP listener", error.message());
  (void)listener.release();  // the acceptor's now
  impl.accept();

  // Signals are for the control thread's signalfd.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  if (const int failed = ::pthread_sigmask(SIG_SETMASK, &all, &before); failed != 0) {
    return system_failure("HTTP listener", "pthread_sigmask", failed);
  }
  impl.thread = std::thread([&impl] {
    while (!impl.io.stopped()) {
      try {
        impl.io.run();
      } catch (const std::exception&) {
        // One connection's trouble (out of memory): its session has gone, the others go on.
      }
    }
  });
  (void)::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return server;
}

HttpServer::~HttpServer() {
  impl_->io.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

}  // namespace qanat::io
