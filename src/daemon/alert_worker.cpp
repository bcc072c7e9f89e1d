#include "daemon/alert_worker.hpp"

#include <csignal>

#include "io/clock.hpp"

namespace qanat::daemon {

namespace {

constexpr std::size_t kTestThreads = 2;
constexpr std::size_t kMaxTests = 8;         // that wait
constexpr Duration kWriteAgain = 5s;         // after the store could not be written
constexpr std::int64_t kSnapshotShare = 20;  // a snapshot is asked for at most so many times more rarely than it takes

control::Moment moment() {
  return {io::boot_now(), io::wall_now()};
}

// Signals are for the control thread.
template <typename Run>
std::thread quiet_thread(Run run) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  (void)::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread out(std::move(run));
  (void)::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return out;
}

}  // namespace

AlertWorker::Pool::Pool(std::size_t threads, std::size_t limit) : limit_(limit) {
  for (std::size_t i = 0; i < threads; ++i) threads_.push_back(quiet_thread([this] { run(); }));
}

AlertWorker::Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool AlertWorker::Pool::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || tasks_.size() >= limit_) return false;
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
  return true;
}

void AlertWorker::Pool::run() {
  while (true) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

AlertWorker::AlertWorker(const model::Gateway& gateway, std::shared_ptr<const io::TlsContext> tls, Objects& objects,
                         Snapshots snapshots, const io::Log& log)
    : objects_(objects),
      snapshots_(std::move(snapshots)),
      log_(log),
      engine_(rng_, moment()),
      way_{.tls = std::move(tls), .allowed = gateway.webhook_allow, .stop_fd = stop_.fd()} {}

Result<std::unique_ptr<AlertWorker>> AlertWorker::start(const model::Gateway& gateway, Objects& objects,
                                                        Snapshots snapshots, const io::Log& log) {
  QANAT_ASSIGN(auto tls, io::TlsContext::create_client(gateway.webhook_ca));
  std::unique_ptr<AlertWorker> out(new AlertWorker(gateway, std::move(tls), objects, std::move(snapshots), log));
  QANAT_ASSIGN(const auto kept, objects.alert_entries());
  out->engine_.restore(kept);
  QANAT_ASSIGN(out->loop_, io::EventLoop::create());
  AlertWorker* const self = out.get();
  QANAT_TRY(out->loop_->add(out->inbox_.fd(), [self] { self->on_inbox(); }));
  out->loop_->on_timer([self] { self->turn(false); });
  out->senders_ = std::make_unique<Pool>(control::kMaxInFlight, control::kMaxInFlight);
  out->testers_ = std::make_unique<Pool>(kTestThreads, kMaxTests);
  out->thread_ = quiet_thread([self] {
    self->turn(true);
    (void)self->loop_->run();
  });
  return out;
}

AlertWorker::~AlertWorker() {
  stopping_ = true;
  stop_.notify();
  senders_.reset();  // their last words are posted to the inbox
  testers_.reset();
  if (!thread_.joinable()) return;
  inbox_.post({});
  thread_.join();
  // What was sent and acknowledged meanwhile is not sent again.
  for (Done& done : inbox_.take_all()) {
    if (!done.id.empty() && done.result.kind != control::SendResult::Kind::Again)
      engine_.handle_done(moment(), done.id, done.result);
  }
  (void)write();
}

bool AlertWorker::concerns(std::string_view event) {
  return event == "health-changed" || event == "tunnel-up" || event == "tunnel-down" || event == "fell-to-classical" ||
         event == "new-keys" || event == "sa-replaced" || event == "reloaded";
}

bool AlertWorker::test(control::WebhookTest test, Tested done) {
  return testers_->post([this, test = std::move(test), done = std::move(done)] {
    const control::AlertSend send{.id = "test",
                                  .webhook = {},
                                  .url = test.url,
                                  .secret = test.secret,
                                  .body = control::webhook_test_body(test.name, io::wall_now())};
    const control::SendResult result = io::post_webhook(way_, send);
    done({result.kind == control::SendResult::Kind::Delivered, result.detail});
    look();
  });
}

control::AlertStatus AlertWorker::status() const {
  const std::lock_guard lock(status_mutex_);
  return status_;
}

void AlertWorker::on_inbox() {
  bool look = false;
  for (const Done& done : inbox_.take_all()) {
    if (done.id.empty()) {
      look = true;
    } else {
      // What the end of the daemon has cut short was no failure of the receiver.
      if (stopping_ && done.result.kind == control::SendResult::Kind::Again) continue;
      complain(done);
      engine_.handle_done(moment(), done.id, done.result);
    }
  }
  if (stopping_) {
    (void)write();
    loop_->stop();
    return;
  }
  turn(look);
}

void AlertWorker::complain(const Done& done) {
  using Kind = control::SendResult::Kind;
  bool& failing = failing_[done.webhook];
  if (done.result.kind == Kind::Again && !failing)
    log_.warning("webhook-failing", {{"webhook", done.webhook}, {"reason", done.result.detail}});
  failing = done.result.kind == Kind::Again;
}

// False: not all could be written, and nothing may be sent.
bool AlertWorker::write() {
  for (auto& group : engine_.take_writes()) unwritten_.push_back(std::move(group));
  if (unwritten_.empty()) return true;
  const Status written = objects_.write_alerts(unwritten_);
  if (!written && !write_failing_)
    log_.error("alerts-not-kept", {{"where", written.error().where}, {"reason", written.error().detail}});
  write_failing_ = !written;
  if (written) unwritten_.clear();
  return written.has_value();
}

void AlertWorker::turn(bool look) {
  const std::uint64_t undelivered = engine_.status().undelivered;
  look_wanted_ = look_wanted_ || look;
  Instant now = io::boot_now();
  if (now >= next_look_ || (look_wanted_ && now - last_look_ >= kAlertSoon)) {
    look_wanted_ = false;
    if (auto rules = objects_.alert_rules()) {
      engine_.set_rules(moment(), std::move(rules->rules));
      if (!engine_.is_idle() && !stopping_) {
        const auto snapshot = snapshots_();
        if (snapshot) engine_.observe(moment(), control::observations_of(*snapshot, rules->places));
      }
    } else {
      log_.error("alerts-not-kept", {{"where", rules.error().where}, {"reason", rules.error().detail}});
    }
    const Duration took = io::boot_now() - now;
    last_look_ = io::boot_now() + took * kSnapshotShare;
    next_look_ = last_look_ + kAlertLook;
  } else {
    engine_.handle_timeout(moment());
  }
  std::optional<Instant> next = next_look_;
  const auto no_later = [&](Instant at) { next = std::min(*next, at); };
  if (write()) {
    while (auto send = engine_.poll_send(moment())) {
      (void)senders_->post(
          [this, send = *std::move(send)] { inbox_.post({send.id, send.webhook, io::post_webhook(way_, send)}); });
    }
  } else {
    no_later(io::boot_now() + kWriteAgain);
  }
  if (const auto due = engine_.next_timeout()) no_later(std::max(*due, io::boot_now() + 10ms));
  if (look_wanted_) no_later(last_look_ + kAlertSoon);
  if (engine_.status().undelivered != undelivered)
    log_.warning("webhook-gave-up", {{"undelivered", std::to_string(engine_.status().undelivered)}});
  {
    const std::lock_guard lock(status_mutex_);
    status_ = engine_.status();
  }
  loop_->set_timer(next);
}

}  // namespace qanat::daemon
