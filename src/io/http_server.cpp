#include "io/http_server.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <tuple>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>

#include "io/http_session.hpp"

namespace qanat::io {

namespace asio = boost::asio;

namespace {

HttpServer::Peer peer_of(int fd) {
  HttpServer::Peer out;
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) == 0 && storage.ss_family == AF_INET) {
    out.address = IpAddress::v4(ntohl(reinterpret_cast<const sockaddr_in&>(storage).sin_addr.s_addr));
  } else if (storage.ss_family == AF_INET6) {
    out.address = IpAddress::from_bytes(ByteView{reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr.s6_addr, 16});
  } else {
    ucred credentials{};
    size = sizeof credentials;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return out;
    out.uid = credentials.uid;
    out.gid = credentials.gid;
    out.pid = credentials.pid;
  }
  return out;
}

}  // namespace

void HttpServer::Impl::accept() {
  if (accepting || !acceptor.is_open()) return;
  const bool full = sessions.size() >= options.limits.connections;
  if (full && !(options.limits.make_room &&
                std::any_of(sessions.begin(), sessions.end(), [](const HttpSession* s) { return s->is_idle(); })))
    return;
  accepting = true;
  acceptor.async_accept([this](error_code error, HttpProtocol::socket socket) {
    accepting = false;
    if (error == asio::error::operation_aborted) return;
    if (!error) {
      welcome(std::move(socket));
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

void HttpServer::Impl::welcome(HttpProtocol::socket socket) {
  ++counters.accepted;
  Peer peer = peer_of(socket.native_handle());
  if (is_tcp && !peer.address) return;  // gone already, and nobody must count as no address at all
  const auto session = std::make_shared<HttpSession>(*this, std::move(socket), std::move(peer));
  const auto& key = session->key();
  const bool many = key && per_address[*key] > options.limits.per_address;
  if (many || sessions.size() > options.limits.connections) {
    // The newcomer has been heard last: it goes only when everybody else is at work.
    ++counters.made_room;
    if (!make_room(many ? key : std::nullopt, *session)) return session->close();
  }
  session->start();
}

bool HttpServer::Impl::make_room(const std::optional<IpAddress>& key, const HttpSession& newcomer) {
  if (!options.limits.make_room) return false;
  HttpSession* least = nullptr;
  const auto rank = [&](const HttpSession& s) {
    const std::size_t held = s.key() ? per_address[*s.key()] : 0;
    return std::make_tuple(options.limits.connections - std::min(held, options.limits.connections), s.worth());
  };
  for (HttpSession* s : sessions) {
    if (s == &newcomer || !s->is_idle() || (key && s->key() != key)) continue;
    if (least == nullptr || rank(*s) < rank(*least)) least = s;
  }
  if (least == nullptr) return false;
  least->close();
  return true;
}

void HttpServer::Impl::session_ended(HttpSession& session) {
  if (sessions.erase(&session) == 0) return;
  --counters.open;
  if (const auto& key = session.key()) {
    const auto at = per_address.find(*key);
    if (at != per_address.end() && --at->second == 0) per_address.erase(at);
  }
  if (!io.stopped()) accept();
}

HttpServer::HttpServer() : impl_(std::make_shared<Impl>()) {}

Result<std::unique_ptr<HttpServer>> HttpServer::start(UniqueFd listener, Handler handler, Options options) {
  std::unique_ptr<HttpServer> server(new HttpServer);
  Impl& impl = *server->impl_;
  impl.handler = std::move(handler);
  impl.options = std::move(options);
  error_code error;
  int family = AF_UNIX;
  socklen_t size = sizeof family;
  if (::getsockopt(listener.get(), SOL_SOCKET, SO_DOMAIN, &family, &size) != 0)
    return system_failure("HTTP listener", "SO_DOMAIN");
  impl.is_tcp = family != AF_UNIX;
  impl.acceptor.assign(HttpProtocol(family, 0), listener.get(), error);
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

void HttpServer::use_tls(std::shared_ptr<const TlsContext> tls) {
  asio::post(impl_->io, [impl = impl_.get(), tls = std::move(tls)]() mutable { impl->options.tls = std::move(tls); });
}

HttpServer::Counters HttpServer::counters() const {
  const auto& c = impl_->counters;
  return {c.open, c.accepted, c.made_room, c.timed_out, c.requests, c.hybrid, c.classical, c.failed_tls};
}

}  // namespace qanat::io
