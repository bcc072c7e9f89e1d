// IkeThread: an IKE shard on a thread of its own. The control thread, which has the sockets, brings it datagrams and
// takes what it says; both go through mailboxes. Without one (ike_threads = 1) IKE runs in the control thread.
#pragma once

#include <atomic>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <variant>
#include <vector>

#include "crypto/rng.hpp"
#include "gateway/ike_shard.hpp"
#include "io/event_loop.hpp"
#include "io/mailbox.hpp"

namespace qanat::daemon {

// How many there are to be: `configured`, or for 0 one less than the processors that this process may use, 1 to 8.
[[nodiscard]] std::size_t ike_thread_count(std::uint32_t configured);

class IkeThread final : public gateway::ShardPort {
 public:
  static constexpr std::size_t kMaxWaiting = 4096;  // datagrams; about a second of handshakes

  // `said` rings when poll() has something after it had nothing; it outlives the thread.
  IkeThread(const ike::EndpointConfig& config, io::WakeUp& said, std::size_t max_waiting = kMaxWaiting);
  ~IkeThread() override;  // stops and joins
  IkeThread(const IkeThread&) = delete;
  IkeThread& operator=(const IkeThread&) = delete;

  // What was posted before waits until then.
  [[nodiscard]] Status start();

  void handle_datagram(Instant now, const ike::Path& arrived, ByteView payload,
                       const std::optional<ike::HalfOpenElsewhere>& elsewhere) override;
  void handle_plane(Instant now, const ipsec::Event& event) override;
  void handle_addresses(Instant now, const ike::HostAddresses& host) override;
  void handle_path_error(Instant now, const IpAddress& local, const IpAddress& remote) override;
  void handle(Instant now, gateway::ToIkeShard message) override;
  void handle_timeout(Instant) override {}  // it has a timer of its own
  [[nodiscard]] std::optional<gateway::FromIkeShard> poll() override;
  [[nodiscard]] std::optional<Instant> next_timeout() const override { return std::nullopt; }
  // Waits for the thread to come to it.
  void inspect(const std::function<void(const gateway::IkeShard&)>& look) const override;

 private:
  struct Datagram {
    ike::Path arrived;
    Bytes payload;
    std::optional<ike::HalfOpenElsewhere> elsewhere;
    std::size_t lost_before = 0;  // dropped since the last one: too many waited
  };
  struct PathError {
    IpAddress local;
    IpAddress remote;
  };
  struct Look {
    const std::function<void(const gateway::IkeShard&)>* at;
    std::promise<void>* done;
  };
  using Message = std::variant<Datagram, ipsec::Event, ike::HostAddresses, PathError, gateway::ToIkeShard, Look>;

  void on_messages();
  void carry_out(Instant now, Message& message);
  void say();

  crypto::SystemRng rng_;
  gateway::IkeShard shard_;  // the thread's, once it runs
  io::WakeUp& said_;
  std::size_t max_waiting_;
  std::atomic<std::size_t> waiting_ = 0;  // datagrams in the inbox
  std::size_t lost_ = 0;
  mutable io::Mailbox<Message> inbox_;
  std::mutex mutex_;
  std::vector<gateway::FromIkeShard> outbox_;  // under the mutex
  std::deque<gateway::FromIkeShard> taken_;    // the control thread's
  std::unique_ptr<io::EventLoop> loop_;
  std::thread thread_;
};

}  // namespace qanat::daemon
