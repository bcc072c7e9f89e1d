#include "daemon/capture_desk.hpp"

#include <algorithm>
#include <mutex>

#include "io/clock.hpp"

namespace qanat::daemon {

namespace {

using Wake = std::shared_ptr<const std::function<void()>>;

}  // namespace

struct CaptureDesk::State {
  explicit State(std::string application) : book(std::move(application)) {}
  // With the mutex: what the book wants of the packet path goes on its way.
  void pass_orders() {
    while (auto order = book.poll_order()) orders.post(std::move(*order));
  }
  std::mutex mutex;
  control::CaptureBook book;
  io::Mailbox<control::CaptureOrder> orders;
  std::vector<std::weak_ptr<Stream>> streams;

  // Readers of a capture hear of more, or of its end, once the mutex is free.
  template <typename Change>
  void change(const Change& what);
};

class CaptureDesk::Stream final : public control::BodyStream {
 public:
  Stream(std::shared_ptr<State> state, std::string id, std::shared_ptr<const control::CaptureData> data, Follow follow)
      : state_(std::move(state)), id_(std::move(id)), reader_(std::move(data)), follow_(follow) {}
  ~Stream() override {
    const std::lock_guard lock(state_->mutex);
    if (follow_ == Follow::Yes && !reader_.at_end()) {
      state_->book.stop(io::boot_now(), id_);
      state_->pass_orders();
    }
    reader_.release();  // with the mutex: the book looks at who reads
  }

  Piece pull(std::size_t at_most) override {
    const std::lock_guard lock(state_->mutex);
    Piece out;
    out.octets = reader_.read(at_most);
    out.end = reader_.at_end();
    return out;
  }
  void on_more(std::function<void()> wake) override {
    const std::lock_guard lock(state_->mutex);
    wake_ = std::make_shared<const std::function<void()>>(std::move(wake));
  }
  // With the mutex.
  [[nodiscard]] const Wake& wake() const { return wake_; }
  [[nodiscard]] const std::string& id() const { return id_; }

 private:
  std::shared_ptr<State> state_;
  std::string id_;
  control::CaptureReader reader_;
  Follow follow_;
  Wake wake_;
};

template <typename Change>
void CaptureDesk::State::change(const Change& what) {
  std::vector<std::shared_ptr<Stream>> readers;  // until after the lock: the last to hold one may be this thread
  std::vector<Wake> wakes;
  {
    const std::lock_guard lock(mutex);
    const std::vector<std::string> ids = what(book);
    pass_orders();
    if (ids.empty()) return;
    std::erase_if(streams, [&](const std::weak_ptr<Stream>& one) {
      auto stream = one.lock();
      if (!stream) return true;
      if (stream->wake() && std::find(ids.begin(), ids.end(), stream->id()) != ids.end())
        wakes.push_back(stream->wake());
      readers.push_back(std::move(stream));
      return false;
    });
  }
  for (const Wake& wake : wakes) (*wake)();
}

CaptureDesk::CaptureDesk(std::string application) : state_(std::make_shared<State>(std::move(application))) {}
CaptureDesk::~CaptureDesk() = default;

std::optional<std::string> CaptureDesk::refusal(const control::CaptureWish& wish) {
  const std::lock_guard lock(state_->mutex);
  return state_->book.refusal(wish);
}

void CaptureDesk::start(control::CaptureWish wish) {
  const std::lock_guard lock(state_->mutex);
  state_->book.start(io::boot_now(), io::wall_at_boot(), std::move(wish));
  state_->pass_orders();
}

void CaptureDesk::stop(const std::string& id) {
  const std::lock_guard lock(state_->mutex);
  state_->book.stop(io::boot_now(), id);
  state_->pass_orders();
}

void CaptureDesk::remove(const std::string& id) {
  state_->change([&](control::CaptureBook& book) {
    book.remove(id);
    return std::vector{id};
  });
}

std::vector<control::CaptureStatus> CaptureDesk::list(std::string_view account) {
  const std::lock_guard lock(state_->mutex);
  return state_->book.list(account);
}

std::shared_ptr<control::BodyStream> CaptureDesk::open(const std::string& id, Follow follow) {
  const std::lock_guard lock(state_->mutex);
  auto data = state_->book.data(id);
  if (!data) return nullptr;
  auto stream = std::make_shared<Stream>(state_, id, std::move(data), follow);
  std::erase_if(state_->streams, [](const auto& one) { return one.expired(); });
  state_->streams.push_back(stream);
  return stream;
}

int CaptureDesk::orders_fd() const {
  return state_->orders.fd();
}

std::vector<control::CaptureOrder> CaptureDesk::take_orders() {
  return state_->orders.take_all();
}

void CaptureDesk::take(Instant now, const ipsec::CaptureChunk& chunk) {
  state_->change([&](control::CaptureBook& book) {
    const auto id = book.take(now, chunk);
    return id ? std::vector{*id} : std::vector<std::string>{};
  });
}

void CaptureDesk::fail(Instant now, CaptureId capture, std::string why) {
  state_->change([&](control::CaptureBook& book) {
    const auto id = book.fail(now, capture, std::move(why));
    return id ? std::vector{*id} : std::vector<std::string>{};
  });
}

void CaptureDesk::handle_timeout(Instant now) {
  state_->change([&](control::CaptureBook& book) { return book.handle_timeout(now); });
}

std::optional<Instant> CaptureDesk::next_timeout() const {
  const std::lock_guard lock(state_->mutex);
  return state_->book.next_timeout();
}

}  // namespace qanat::daemon
