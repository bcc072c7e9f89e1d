// post_webhook() against receivers of every kind, over loopback.
#include "io/webhook_post.hpp"

#include <atomic>
#include <thread>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "io/http_server.hpp"
#include "io/mailbox.hpp"
#include "io/tls_testing.hpp"

namespace qanat::io {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Kind = control::SendResult::Kind;

Bytes der_of(const TlsContext& context) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(SSL_CTX_get0_certificate(context.native()), &der);
  EXPECT_GT(size, 0);
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

// Takes one connection after the other and says `answer`, whatever it is asked; then it closes, unless it holds on.
class Receiver {
 public:
  explicit Receiver(std::string answer, bool close = true) : answer_(std::move(answer)), close_(close) {
    auto listener = open_tcp_listener({*IpAddress::parse("127.0.0.1"), 0}, "test");
    EXPECT_TRUE(listener);
    listener_ = std::move(*listener);
    sockaddr_in address{};
    socklen_t size = sizeof address;
    EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      while (!stop_) {
        pollfd one{listener_.get(), POLLIN, 0};
        if (::poll(&one, 1, 20) > 0) serve(UniqueFd(::accept(listener_.get(), nullptr, nullptr)));
      }
    });
  }
  ~Receiver() {
    stop_ = true;
    thread_.join();
  }
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;
  [[nodiscard]] std::string url(const std::string& host = "localhost") const {
    return "https://" + host + ":" + std::to_string(port_) + "/hook?a=b";
  }
  [[nodiscard]] Bytes certificate() const { return der_of(*context_); }
  std::string asked;  // read it when post_webhook() has returned

 private:
  void serve(const UniqueFd& fd) {
    TlsChannel tls(context_);
    std::uint8_t buffer[4096];
    bool answered = false;
    while (!stop_) {
      pollfd one{fd.get(), POLLIN, 0};
      if (::poll(&one, 1, 20) <= 0) continue;
      const ssize_t got = ::recv(fd.get(), buffer, sizeof buffer, 0);
      if (got <= 0) return;
      const bool fed = tls.feed(ByteView{buffer, static_cast<std::size_t>(got)}, asked).has_value();
      if (fed && !answered && asked.find("\r\n\r\n{") != std::string::npos && !answer_.empty()) {
        answered = true;
        (void)tls.write(answer_);
      }
      const std::string out = tls.take_output();
      (void)::send(fd.get(), out.data(), out.size(), MSG_NOSIGNAL);
      if (!fed || (close_ && asked.find("\r\n\r\n{") != std::string::npos)) return;
    }
  }
  std::string answer_;
  bool close_;
  std::shared_ptr<const TlsContext> context_ = testing::make_context();
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

WebhookWay way_to(const Receiver& receiver) {
  const std::vector<Bytes> anchors = {receiver.certificate()};
  WebhookWay out;
  out.tls = TlsContext::create_client(anchors).value();
  out.allowed = {*Prefix::parse("127.0.0.0/8"), *Prefix::parse("::1/128")};
  out.limits.all = 3s;
  return out;
}
control::AlertSend message(const std::string& url) {
  const Bytes secret = to_bytes(std::string_view{"s3cret"});
  return {"id-1", "hook", url, std::make_shared<const SecretBytes>(SecretBytes::copy_of(secret)), R"({"text":"x"})"};
}
control::SendResult answered(const std::string& answer, bool close = true) {
  const Receiver receiver(answer, close);
  return post_webhook(way_to(receiver), message(receiver.url()));
}

TEST(WebhookPost, SendsWhatCloudflareSends) {
  Receiver receiver("HTTP/1.1 204 No Content\r\n\r\n");
  const auto result = post_webhook(way_to(receiver), message(receiver.url()));
  EXPECT_EQ(result.kind, Kind::Delivered) << result.detail;
  EXPECT_EQ(result.detail, "204");
  EXPECT_THAT(receiver.asked, StartsWith("POST /hook?a=b HTTP/1.1\r\nHost: localhost:"));
  EXPECT_THAT(receiver.asked, HasSubstr("\r\ncf-webhook-auth: s3cret\r\n"));
  EXPECT_THAT(receiver.asked, HasSubstr("\r\nx-qanat-notification-id: id-1\r\n"));
  EXPECT_THAT(receiver.asked, HasSubstr("\r\nContent-Length: 12\r\n"));
  EXPECT_THAT(receiver.asked, EndsWith("\r\n\r\n{\"text\":\"x\"}"));
}

TEST(WebhookPost, JudgesByTheStatus) {
  const auto kind = [](const std::string& status) { return answered("HTTP/1.1 " + status + "\r\n\r\n").kind; };
  for (const char* status : {"200 OK", "201 Created", "299 x"}) EXPECT_EQ(kind(status), Kind::Delivered) << status;
  for (const char* status : {"500 x", "503 x", "408 x", "429 x"}) EXPECT_EQ(kind(status), Kind::Again) << status;
  for (const char* status : {"400 x", "403 x", "404 x", "410 x"}) EXPECT_EQ(kind(status), Kind::Refused) << status;
  const auto moved = answered("HTTP/1.1 302 Found\r\nLocation: https://localhost/\r\n\r\n");
  EXPECT_EQ(moved.kind, Kind::Refused);
  EXPECT_THAT(moved.detail, HasSubstr("redirects are not followed"));
  EXPECT_EQ(answered("HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n").kind, Kind::Delivered);
}

TEST(WebhookPost, SurvivesWhatIsNoAnswer) {
  EXPECT_THAT(answered("SSH-2.0-x\r\n\r\n").detail, HasSubstr("does not answer in HTTP"));
  EXPECT_THAT(answered("HTTP/1.1 2x0 OK\r\n\r\n").detail, HasSubstr("does not answer in HTTP"));
  EXPECT_THAT(answered("HTTP/1.1 200").detail, HasSubstr("closed the connection without an answer"));
  EXPECT_THAT(answered("").detail, HasSubstr("closed the connection without an answer"));
  const auto endless = answered("HTTP/1.1 200 OK\r\nx: " + std::string(20'000, 'y'), false);
  EXPECT_EQ(endless.kind, Kind::Refused);
  EXPECT_THAT(endless.detail, HasSubstr("too large"));
}

TEST(WebhookPost, BelievesNobodyWithoutACertificateForTheName) {
  const Receiver receiver("HTTP/1.1 200 OK\r\n\r\n");
  const auto other = post_webhook(way_to(receiver), message(receiver.url("127.0.0.1")));
  EXPECT_EQ(other.kind, Kind::Again);
  EXPECT_THAT(other.detail, HasSubstr("its certificate is not believed"));
  const Receiver stranger("HTTP/1.1 200 OK\r\n\r\n");
  const auto unknown = post_webhook(way_to(stranger), message(receiver.url()));
  EXPECT_EQ(unknown.kind, Kind::Again);
  EXPECT_THAT(unknown.detail, HasSubstr("its certificate is not believed: self-signed"));
}

TEST(WebhookPost, ReachesNoAddressThatIsNotAllowed) {
  Receiver receiver("HTTP/1.1 200 OK\r\n\r\n");
  WebhookWay way = way_to(receiver);
  way.allowed.clear();
  for (const char* host : {"localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"}) {
    const auto result = post_webhook(way, message(receiver.url(host)));
    EXPECT_EQ(result.kind, Kind::Refused) << host << ": " << result.detail;
    EXPECT_THAT(result.detail, HasSubstr("no public address")) << host;
  }
  EXPECT_EQ(receiver.asked, "");
}

TEST(WebhookPost, GivesUpInTime) {
  const Receiver mute("", false);
  WebhookWay way = way_to(mute);
  way.limits.all = 300ms;
  const auto late = post_webhook(way, message(mute.url()));
  EXPECT_EQ(late.kind, Kind::Again);
  EXPECT_EQ(late.detail, "it took too long");
  WakeUp stop;
  stop.notify();
  way.limits.all = 60s;
  way.stop_fd = stop.fd();
  EXPECT_EQ(post_webhook(way, message(mute.url())).detail, "the daemon stops");
}

TEST(WebhookPost, SaysWhenNobodyListensOrTheNameIsUnknown) {
  std::string url;
  WebhookWay way;
  {
    const Receiver gone("");
    url = gone.url();
    way = way_to(gone);
  }
  const auto refused = post_webhook(way, message(url));
  EXPECT_EQ(refused.kind, Kind::Again);
  EXPECT_THAT(refused.detail, HasSubstr("cannot be reached"));
  EXPECT_THAT(post_webhook(way, message("https://no-such-name.invalid/")).detail, HasSubstr("could not be looked up"));
  EXPECT_EQ(post_webhook(way, message("http://localhost/")).kind, Kind::Refused);
}

}  // namespace
}  // namespace qanat::io
