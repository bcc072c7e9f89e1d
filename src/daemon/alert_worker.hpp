// AlertWorker: notifications on threads of their own. One decides (control::AlertEngine): it looks at a snapshot soon
// after something has happened, and every kAlertLook in any case, writes, and hands out what is to be sent; some others
// send, each one POST at a time (io/webhook_post.hpp), so that a slow receiver holds up none but its own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "control/alerts.hpp"
#include "crypto/rng.hpp"
#include "daemon/objects.hpp"
#include "io/event_loop.hpp"
#include "io/webhook_post.hpp"

namespace qanat::daemon {

inline constexpr Duration kAlertLook = 30s;
inline constexpr Duration kAlertSoon = 1s;  // after something has happened; at most so often

class AlertWorker {
 public:
  using Snapshots = std::function<std::shared_ptr<const control::Snapshot>()>;  // null: there is none now
  // Both must outlive it. Error: nobody could be believed (no CAs).
  [[nodiscard]] static Result<std::unique_ptr<AlertWorker>> start(const model::Gateway& gateway, Objects& objects,
                                                                  Snapshots snapshots, const io::Log& log);
  ~AlertWorker();  // ends what is being sent, and joins
  AlertWorker(const AlertWorker&) = delete;
  AlertWorker& operator=(const AlertWorker&) = delete;

  // Whether an event of the log is a reason to look.
  [[nodiscard]] static bool concerns(std::string_view event);
  // Before the end: it asks for no snapshot any more.
  void stop_looking() { stopping_ = true; }
  // Any thread: something has happened, or the rules have changed.
  void look() { inbox_.post({}); }
  // Any thread: sends a test message, then calls `done` on a thread of the worker. False: too many wait already.
  using Tested = std::function<void(control::WebhookTested)>;
  [[nodiscard]] bool test(control::WebhookTest test, Tested done);
  [[nodiscard]] control::AlertStatus status() const;

 private:
  struct Done {  // empty id: look()
    std::string id;
    std::string webhook;
    control::SendResult result;
  };
  // A queue with threads that empty it.
  class Pool {
   public:
    using Task = std::function<void()>;
    Pool(std::size_t threads, std::size_t limit);
    ~Pool();
    [[nodiscard]] bool post(Task task);

   private:
    void run();
    std::size_t limit_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Task> tasks_;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
  };

  AlertWorker(const model::Gateway& gateway, std::shared_ptr<const io::TlsContext> tls, Objects& objects,
              Snapshots snapshots, const io::Log& log);
  void on_inbox();
  void turn(bool look);
  [[nodiscard]] bool write();
  void complain(const Done& done);

  Objects& objects_;
  Snapshots snapshots_;
  const io::Log& log_;
  crypto::SystemRng rng_;
  control::AlertEngine engine_;
  io::WakeUp stop_;
  io::WebhookWay way_;
  io::Mailbox<Done> inbox_;
  std::unique_ptr<io::EventLoop> loop_;
  std::vector<std::vector<store::Operation>> unwritten_;
  std::map<std::string, bool> failing_;  // webhooks, said once
  bool write_failing_ = false;
  bool look_wanted_ = true;
  Instant last_look_;
  Instant next_look_;
  mutable std::mutex status_mutex_;
  control::AlertStatus status_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
  std::unique_ptr<Pool> senders_;
  std::unique_ptr<Pool> testers_;
};

}  // namespace qanat::daemon
