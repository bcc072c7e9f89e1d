#include "io/http_session.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>

#include "io/clock.hpp"

namespace qanat::io {

namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {

constexpr std::size_t kMaxDrain = 1024 * 1024;
constexpr std::size_t kMaxAhead = 64 * 1024;   // of requests that come before their turn
constexpr std::size_t kPiece = 16 * 1024;      // of a stream
constexpr std::size_t kMaxAtOnce = 64 * 1024;  // turned into TLS records at once
constexpr std::size_t kSlowest = 16 * 1024;    // octets a second that a reader of a long reply must take
constexpr Duration kDrain = 2s;
constexpr Duration kSilence = 15s;

std::string lower(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  return out;
}

std::optional<IpAddress> address_key(const std::optional<IpAddress>& address) {
  if (!address || address->is_v4()) return address;
  return Prefix::masked(*address, 64).address();
}

}  // namespace

HttpSession::HttpSession(HttpServer::Impl& server, HttpProtocol::socket socket, HttpServer::Peer peer)
    : server_(server),
      socket_(std::move(socket)),
      timer_(server.io),
      peer_(std::move(peer)),
      key_(address_key(peer_.address)),
      heard_(boot_now()) {
  if (server_.options.tls) tls_.emplace(server_.options.tls);
  server_.sessions.insert(this);
  if (key_) ++server_.per_address[*key_];
  ++server_.counters.open;
}

HttpSession::~HttpSession() {
  close();
}

void HttpSession::start() {
  error_code ignored;
  socket_.non_blocking(true, ignored);
  if (key_) {
    const int on = 1;
    (void)::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  if (tls_) {
    state_ = State::Handshake;
    expire_after(server_.options.limits.handshake);
    wait_readable();
  } else {
    begin_request();
  }
}

void HttpSession::close() {
  if (state_ == State::Dead) return;
  state_ = State::Dead;
  if (stream_) --server_.streams;
  stream_.reset();
  timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
  server_.session_ended(*this);
}

// --- what comes

void HttpSession::wait_readable() {
  if (waiting_readable_ || input_ended_ || state_ == State::Dead || in_.size() >= kMaxAhead) return;
  waiting_readable_ = true;
  socket_.async_wait(HttpProtocol::socket::wait_read, [self = shared_from_this()](error_code error) {
    self->waiting_readable_ = false;
    if (!error && self->state_ != State::Dead) self->on_readable();
  });
}

void HttpSession::on_readable() {
  error_code error;
  const std::size_t size = socket_.read_some(asio::buffer(server_.scratch), error);
  if (error == asio::error::would_block || error == asio::error::try_again) return wait_readable();
  if (error == asio::error::eof) return on_end_of_input();
  if (error) return close();
  heard_ = boot_now();
  on_octets({server_.scratch.data(), size});
  wait_readable();
}

void HttpSession::on_octets(std::string_view octets) {
  if (state_ == State::Draining) {
    drained_ += octets.size();
    if (drained_ >= kMaxDrain) close();
    return;
  }
  if (!tls_) {
    in_.append(octets);
    return advance();
  }
  const bool was_open = tls_->is_open();
  const Status fed = tls_->feed({reinterpret_cast<const std::uint8_t*>(octets.data()), octets.size()}, in_);
  if (!fed) {
    if (!was_open) ++server_.counters.failed_tls;
    state_ = State::Draining;  // the alert goes out
    expire_after(kDrain);
    flush();
    return;
  }
  flush();
  if (state_ == State::Dead) return;
  if (!was_open && tls_->is_open()) {
    peer_.tls_group = tls_->group();
    ++(peer_.tls_group == kHybridGroup ? server_.counters.hybrid : server_.counters.classical);
    begin_request();
  } else {
    advance();
  }
  if (tls_->is_peer_done()) on_end_of_input();
}

void HttpSession::on_end_of_input() {
  input_ended_ = true;
  keep_alive_ = false;
  // Whoever waits for an answer may have closed its half of the connection. A stream has no end that it could wait for.
  if (state_ != State::Asked && state_ != State::Sending) close();
}

void HttpSession::advance() {
  if (state_ == State::Head || state_ == State::Body) parse();
}

// --- a request

void HttpSession::begin_request() {
  const HttpLimits& limits = server_.options.limits;
  state_ = State::Head;
  begun_ = false;
  request_ = {};
  parser_.emplace();
  parser_->header_limit(limits.header);
  parser_->body_limit(boost::none);  // set with the header, by who asks for what
  if (input_ended_) return close();
  expire_after(limits.idle);
  if (!in_.empty()) parse();
  wait_readable();
}

void HttpSession::parse() {
  while (state_ == State::Head || state_ == State::Body) {
    if (in_.empty()) return;
    if (!begun_) {
      begun_ = true;
      expire_after(server_.options.limits.receive);
    }
    error_code error;
    const std::size_t used = parser_->put(asio::buffer(in_), error);
    in_.erase(0, used);
    if (error == http::error::need_more) return;
    if (error) return refuse_octets(error);
    if (state_ == State::Head && parser_->is_header_done()) {
      state_ = State::Body;
      parser_->eager(true);
      if (!on_head()) return;
    }
    if (parser_->is_done()) return ask();
    if (used == 0) return;
  }
}

bool HttpSession::on_head() {
  const auto& message = parser_->get();
  version_ = message.version();
  keep_alive_ = message.keep_alive();
  head_only_ = message.method() == http::verb::head;
  request_.method = head_only_ ? "GET" : std::string(message.method_string());
  request_.target = std::string(message.target());
  for (const auto& field : message) {
    const auto name = field.name_string();
    const auto value = field.value();
    request_.headers.emplace_back(lower({name.data(), name.size()}), std::string(value.data(), value.size()));
  }
  ++server_.counters.requests;
  if (server_.options.gate) {
    if (auto refused = server_.options.gate(request_, peer_)) {
      keep_alive_ = keep_alive_ && parser_->is_done();
      send_reply(std::move(*refused));
      return false;
    }
  }
  const std::uint64_t limit = body_limit();
  parser_->body_limit(limit);
  if (const auto length = parser_->content_length(); length && *length > limit) {
    refuse_octets(http::error::body_limit);
    return false;
  }
  const auto expects = message[http::field::expect];
  if (!parser_->is_done() && in_.empty() && lower({expects.data(), expects.size()}) == "100-continue") {
    out_ += "HTTP/1.1 100 Continue\r\n\r\n";
    flush();
  }
  return state_ == State::Body;
}

std::uint64_t HttpSession::body_limit() const {
  return server_.options.body_limit ? server_.options.body_limit(request_) : server_.options.limits.body;
}

void HttpSession::refuse_octets(error_code error) {
  const HttpLimits& limits = server_.options.limits;
  if (error == http::error::body_limit) {
    refuse(413, "body_too_large", fmt::format("the body is longer than {} KiB", body_limit() / 1024));
  } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    refuse(431, "header_too_large", fmt::format("the header is longer than {} KiB", limits.header / 1024));
  } else {
    refuse(400, "bad_request", "this is no HTTP/1.1 request: " + error.message());
  }
}

void HttpSession::ask() {
  state_ = State::Asked;
  request_.body = std::move(parser_->get().body());
  parser_.reset();
  const std::uint64_t turn = ++turn_;
  expire_after(server_.options.limits.handler);
  const auto reply = [server = server_.weak_from_this(), session = weak_from_this(), turn](control::Reply r) {
    const auto alive = server.lock();
    if (!alive) return;
    asio::post(alive->io, [session, turn, r = std::move(r)]() mutable {
      if (const auto self = session.lock()) self->answer(turn, std::move(r));
    });
  };
  try {
    server_.handler(std::move(request_), peer_, reply);
  } catch (const std::exception& e) {
    answer(turn, control::error_reply(500, "internal", e.what()));
  }
}

void HttpSession::answer(std::uint64_t turn, control::Reply reply) {
  if (turn != turn_ || state_ != State::Asked) return;  // late, or the second one
  ++turn_;
  served_ = true;
  send_reply(std::move(reply));
}

// --- what goes

void HttpSession::refuse(int status, std::string code, std::string why) {
  keep_alive_ = false;
  head_only_ = false;
  send_reply(control::error_reply(status, std::move(code), std::move(why)));
}

void HttpSession::send_reply(control::Reply reply) {
  const HttpLimits& limits = server_.options.limits;
  if (reply.stream && !head_only_ && server_.streams >= limits.streams)
    reply = control::error_reply(503, "too_many_streams",
                                 fmt::format("{} streams are being read already; close one", limits.streams));
  const bool stream = reply.stream && !head_only_;
  if (stream && version_ < 11) keep_alive_ = false;
  if (input_ended_) keep_alive_ = false;
  const auto reason = http::obsolete_reason(static_cast<http::status>(reply.status));
  out_ += fmt::format("HTTP/1.{} {} {}\r\n", version_ < 11 ? 0 : 1, reply.status,
                      std::string_view{reason.data(), reason.size()});
  for (const auto& [name, value] : reply.headers) {
    if (value.find_first_of("\r\n") == std::string::npos) out_ += fmt::format("{}: {}\r\n", name, value);
  }
  if (!keep_alive_) {
    out_ += "Connection: close\r\n";
  } else if (version_ < 11) {
    out_ += "Connection: keep-alive\r\n";
  }
  const bool has_body = reply.status >= 200 && reply.status != 204 && reply.status != 304;
  if (stream && version_ >= 11) {
    out_ += "Transfer-Encoding: chunked\r\n";
  } else if (has_body && !reply.stream) {
    out_ += fmt::format("Content-Length: {}\r\n", reply.body.size());
  }
  out_ += "\r\n";
  if (stream) return begin_stream(std::move(reply.stream));
  if (has_body && !head_only_) out_ += reply.body;
  state_ = State::Sending;
  expire_after(limits.send + std::chrono::seconds(out_.size() / kSlowest));
  flush();
}

void HttpSession::begin_stream(std::shared_ptr<control::BodyStream> stream) {
  state_ = State::Streaming;
  stream_ = std::move(stream);
  stream_ended_ = false;
  ++server_.streams;
  auto rung = std::make_shared<std::atomic<bool>>(false);
  stream_->on_more([server = server_.weak_from_this(), session = weak_from_this(), rung] {
    if (rung->exchange(true)) return;
    if (const auto alive = server.lock()) {
      asio::post(alive->io, [session, rung] {
        rung->store(false);
        if (const auto self = session.lock()) self->pump();
      });
    }
  });
  expire_after(server_.options.limits.send);
  flush();  // the header: a reader wants to know that it is being heard
}

void HttpSession::pump() {
  if (state_ != State::Streaming || sending_ || stream_ended_) return;
  control::BodyStream::Piece piece = stream_->pull(kPiece);
  if (!piece.octets.empty()) {
    if (version_ >= 11) {
      out_ += fmt::format("{:x}\r\n{}\r\n", piece.octets.size(), piece.octets);
    } else {
      out_ += piece.octets;
    }
  }
  stream_ended_ = piece.end;
  if (piece.end && version_ >= 11) out_ += "0\r\n\r\n";
  if (!out_.empty()) {
    expire_after(server_.options.limits.send);
    flush();
  } else if (piece.end) {
    end_stream();
  } else {
    expire_after(kSilence);
  }
}

void HttpSession::end_stream() {
  stream_.reset();
  --server_.streams;
  if (keep_alive_) {
    begin_request();
  } else {
    finish();
  }
}

void HttpSession::flush() {
  if (sending_ || state_ == State::Dead) return;
  if (tls_) {
    if (tls_->is_open() && out_at_ < out_.size()) {
      const std::string_view next = std::string_view{out_}.substr(out_at_, kMaxAtOnce);
      if (!tls_->write(next)) return close();
      out_at_ += next.size();
    }
    wire_ = tls_->take_output();
    if (out_at_ == out_.size()) {
      out_.clear();
      out_at_ = 0;
    }
  } else {
    wire_ = std::exchange(out_, {});
  }
  wire_at_ = 0;
  if (!wire_.empty()) {
    sending_ = true;
    send_wire();
  }
}

void HttpSession::send_wire() {
  socket_.async_send(asio::buffer(wire_.data() + wire_at_, wire_.size() - wire_at_),
                     [self = shared_from_this()](error_code error, std::size_t size) {
                       if (self->state_ == State::Dead) return;
                       if (error) return self->close();
                       self->wire_at_ += size;
                       if (self->state_ == State::Streaming) self->expire_after(self->server_.options.limits.send);
                       if (self->wire_at_ < self->wire_.size()) return self->send_wire();
                       self->sending_ = false;
                       self->wire_ = {};
                       self->flush();
                       if (!self->sending_ && self->state_ != State::Dead) self->on_sent();
                     });
}

// Everything that there was to send is on its way.
void HttpSession::on_sent() {
  if (state_ == State::Sending) {
    if (keep_alive_) {
      begin_request();
    } else {
      finish();
    }
  } else if (state_ == State::Streaming) {
    if (stream_ended_) {
      end_stream();
    } else {
      pump();
    }
  } else if (state_ == State::Draining) {
    error_code ignored;
    socket_.shutdown(HttpProtocol::socket::shutdown_send, ignored);
    if (input_ended_) close();
  }
}

// A client that is still sending would see a broken pipe instead of the answer.
void HttpSession::finish() {
  state_ = State::Draining;
  expire_after(kDrain);
  in_.clear();
  if (tls_) tls_->close();
  flush();
  if (!sending_) on_sent();
  wait_readable();
}

// --- time

void HttpSession::expire_after(Duration time) {
  timer_.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(time));
  timer_.async_wait([self = shared_from_this()](error_code error) {
    if (!error && self->timer_.expiry() <= asio::steady_timer::clock_type::now()) self->on_expired();
  });
}

void HttpSession::on_expired() {
  if (state_ == State::Asked)
    return answer(turn_, control::error_reply(504, "timeout", "the gateway did not answer in time"));
  if (state_ == State::Streaming && !sending_) {
    if (const std::string_view octets = stream_->when_silent(); !octets.empty()) {
      out_ += version_ >= 11 ? fmt::format("{:x}\r\n{}\r\n", octets.size(), octets) : std::string{octets};
      expire_after(server_.options.limits.send);
      flush();
    }
    return;
  }
  if (state_ == State::Handshake || begun_) ++server_.counters.timed_out;
  close();
}

}  // namespace qanat::io
