// One connection of HttpServer, and what the server shows its connections. Internal to io/: Asio's headers are here.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "io/http_server.hpp"

namespace qanat::io {

using HttpProtocol = boost::asio::generic::stream_protocol;  // Unix or TCP: whatever the listener is
using boost::system::error_code;

class HttpSession;

struct HttpServer::Impl : std::enable_shared_from_this<HttpServer::Impl> {
  HttpServer::Options options;
  Handler handler;
  std::set<HttpSession*> sessions;  // before `io`, which destroys them
  std::map<IpAddress, std::size_t> per_address;
  std::size_t streams = 0;
  struct Atomics {
    std::atomic<std::uint64_t> open{0}, accepted{0}, made_room{0}, timed_out{0}, requests{0}, hybrid{0}, classical{0},
        failed_tls{0};
  } counters;
  std::array<char, 16 * 1024> scratch{};  // what one read brings: connections that wait hold no memory for it
  boost::asio::io_context io{1};
  boost::asio::basic_socket_acceptor<HttpProtocol> acceptor{io};
  boost::asio::steady_timer pause{io};
  bool accepting = false;
  bool is_tcp = false;
  std::thread thread;

  void accept();
  void welcome(HttpProtocol::socket socket);
  // Ends the connection that can best be spared, of `key` alone where that is given. False: all are at work.
  bool make_room(const std::optional<IpAddress>& key, const HttpSession& newcomer);
  void session_ended(HttpSession& session);
};

// Reads, asks, answers, again. Kept alive by whatever operation it waits for. One read of the socket waits at all
// times, so that a reader's going is seen while it is being answered.
class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  HttpSession(HttpServer::Impl& server, HttpProtocol::socket socket, HttpServer::Peer peer);
  ~HttpSession();
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  void start();
  void close();
  // Nothing is being done for it: it waits for a handshake or a request.
  [[nodiscard]] bool is_idle() const {
    return state_ == State::Handshake || state_ == State::Head || state_ == State::Body || state_ == State::Draining;
  }
  // The smaller, the easier to spare: never asked anything, and silent for longest.
  [[nodiscard]] std::pair<bool, Instant> worth() const { return {served_, heard_}; }
  [[nodiscard]] const std::optional<IpAddress>& key() const { return key_; }

 private:
  enum class State : std::uint8_t { Handshake, Head, Body, Asked, Sending, Streaming, Draining, Dead };
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void wait_readable();
  void on_readable();
  void on_octets(std::string_view octets);
  void on_end_of_input();
  void advance();
  void begin_request();
  void parse();
  [[nodiscard]] bool on_head();  // false: answered already
  [[nodiscard]] std::uint64_t body_limit() const;
  void refuse_octets(error_code error);
  void ask();
  void answer(std::uint64_t turn, control::Reply reply);
  void refuse(int status, std::string code, std::string why);
  void send_reply(control::Reply reply);
  void begin_stream(std::shared_ptr<control::BodyStream> stream);
  void pump();
  void end_stream();
  void flush();
  void send_wire();
  void on_sent();
  void finish();
  void expire_after(Duration time);
  void on_expired();

  HttpServer::Impl& server_;
  HttpProtocol::socket socket_;
  boost::asio::steady_timer timer_;
  HttpServer::Peer peer_;
  std::optional<IpAddress> key_;  // what counts as one address
  std::optional<TlsChannel> tls_;
  State state_ = State::Head;
  Instant heard_;
  bool served_ = false;
  bool waiting_readable_ = false;
  bool input_ended_ = false;

  std::string in_;  // plaintext that is not parsed yet
  std::optional<Parser> parser_;
  control::Request request_;
  unsigned version_ = 11;
  bool keep_alive_ = false;
  bool head_only_ = false;
  bool begun_ = false;  // the request under way has come in part
  std::size_t drained_ = 0;
  std::uint64_t turn_ = 0;

  std::string out_;  // plaintext to be sent
  std::size_t out_at_ = 0;
  std::string wire_;  // what is being sent
  std::size_t wire_at_ = 0;
  bool sending_ = false;

  std::shared_ptr<control::BodyStream> stream_;
  bool stream_ended_ = false;
};

}  // namespace qanat::io
