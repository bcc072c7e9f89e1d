#include "daemon/event_feed.hpp"

#include <map>
#include <mutex>

namespace qanat::daemon {

namespace {
constexpr std::size_t kOfAccount = 200;  // events that are kept for each account
}

struct EventFeed::State {
  std::mutex mutex;
  control::EventRing ring;
  std::map<std::string, control::EventRing> of_account;
  WallTime started;
  control::EventRing& ring_of(const std::optional<std::string>& account) {
    return account ? of_account.try_emplace(*account, kOfAccount).first->second : ring;
  }
  std::vector<std::weak_ptr<Stream>> streams;
};

class EventFeed::Stream final : public control::BodyStream {
 public:
  Stream(std::shared_ptr<State> state, const control::EventStreamWish& wish)
      : state_(std::move(state)),
        ring_(state_->ring_of(wish.account)),
        tunnel_(wish.tunnel),
        at_(begin_of(wish, state_->started, ring_.last())) {}

  Piece pull(std::size_t at_most) override {
    Piece out;
    if (!begun_) out.octets = control::kEventStreamBegin;
    begun_ = true;
    const std::lock_guard lock(state_->mutex);
    if (at_ + 1 < ring_.first()) {
      out.octets += control::gap_text(at_ + 1, ring_.first() - 1);
      at_ = ring_.first() - 1;
    }
    for (; at_ < ring_.last() && out.octets.size() < at_most; ++at_) {
      const auto event = ring_.at(at_ + 1);
      if (tunnel_.empty() || control::tunnel_of(*event) == tunnel_)
        out.octets += control::event_text(*event, state_->started);
    }
    return out;
  }

  void on_more(std::function<void()> wake) override {
    const std::lock_guard lock(state_->mutex);
    wake_ = std::make_shared<const std::function<void()>>(std::move(wake));
  }

  [[nodiscard]] std::string_view when_silent() const override { return control::kEventStreamSilence; }

  // With the state's mutex.
  [[nodiscard]] std::shared_ptr<const std::function<void()>> wake() const { return wake_; }

 private:
  std::shared_ptr<State> state_;
  const control::EventRing& ring_;  // of the state; an account's stays once it is there
  std::string tunnel_;
  std::uint64_t at_;  // the last one that was looked at
  bool begun_ = false;
  std::shared_ptr<const std::function<void()>> wake_;
};

EventFeed::EventFeed(WallTime started) : state_(std::make_shared<State>()) {
  state_->started = started;
}

void EventFeed::add(WallTime at, control::EventLevel level, std::string name,
                    std::vector<std::pair<std::string, std::string>> fields, const std::string& account) {
  std::vector<std::shared_ptr<Stream>> readers;  // until after the lock: the last to hold one may be this thread
  std::vector<std::shared_ptr<const std::function<void()>>> wakes;
  {
    const std::lock_guard lock(state_->mutex);
    if (!account.empty()) state_->ring_of(account).add(at, level, name, fields, account);
    state_->ring.add(at, level, std::move(name), std::move(fields), account);
    std::erase_if(state_->streams, [&](const std::weak_ptr<Stream>& one) {
      auto stream = one.lock();
      if (!stream) return true;
      if (auto wake = stream->wake()) wakes.push_back(std::move(wake));
      readers.push_back(std::move(stream));
      return false;
    });
  }
  for (const auto& wake : wakes) (*wake)();
}

control::Events EventFeed::recent() const {
  const std::lock_guard lock(state_->mutex);
  return state_->ring.recent();
}

control::Events EventFeed::recent(const std::string& account) const {
  const std::lock_guard lock(state_->mutex);
  return state_->ring_of(account).recent();
}

control::Reply EventFeed::open(const control::EventStreamWish& wish) {
  const std::lock_guard lock(state_->mutex);
  auto stream = std::make_shared<Stream>(state_, wish);
  state_->streams.push_back(stream);
  return {200, {{"Content-Type", "text/event-stream"}, {"Cache-Control", "no-store"}}, "", std::move(stream)};
}

}  // namespace qanat::daemon
