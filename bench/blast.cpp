// Small packets at a paced rate, counted one by one, and echoes: the same load for every subject.
//
//   blast stream --from NS/ADDRESS --to NS/ADDRESS --rate PACKETS --seconds S [--size OCTETS] [--both]
//   blast ping   --from NS/ADDRESS --to NS/ADDRESS --count N [--gap-us N]
//
// stream: UDP datagrams, each a packet of its own (sendmmsg without UDP_SEGMENT), at most kBurst in one call. What is
// late is made up for by at most kBacklog of them: then the schedule moves, and `offered` tells. A datagram that the
// sender's kernel refuses is offered and lost. The result is one line of JSON. ping: ICMP echoes, one after the other;
// the round trips in microseconds.
#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "namespaces.hpp"

namespace {

using namespace qanat::bench;

constexpr std::size_t kBurst = 64;
constexpr std::uint64_t kBacklog = 256;
constexpr std::int64_t kTick = 100'000;          // ns between looks at the schedule and at the receiving socket
constexpr std::int64_t kPatience = 500'000'000;  // what is under way has so long to arrive
constexpr std::size_t kMaxSize = 1500;
constexpr int kReceiveBuffer = 32 << 20;

struct Head {
  std::uint64_t mark;
  std::uint64_t number;
  std::int64_t sent_at;
};

struct Order {
  double rate = 1000;
  double seconds = 1;
  std::size_t size = 64;
};

// One direction: a thread that sends and one that receives.
class Flow {
 public:
  Flow(const Place& from, const Place& to, std::uint16_t port, Order order)
      : from_(from), to_(to), order_(order), mark_(static_cast<std::uint64_t>(now_ns()) * 2 + port) {
    to_.address.sin_port = htons(port);
    seen_.resize(static_cast<std::size_t>(order.rate * order.seconds) + 4 * kBacklog);
  }
  void open() {
    std::thread{[this] {
      enter(to_.ns);
      in_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      ::setsockopt(in_, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer);
      if (in_ < 0 || ::bind(in_, reinterpret_cast<const sockaddr*>(&to_.address), sizeof to_.address) != 0) {
        die("a receiving socket in " + to_.ns);
      }
    }}.join();
    std::thread{[this] {
      enter(from_.ns);
      out_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      if (out_ < 0 || ::bind(out_, reinterpret_cast<const sockaddr*>(&from_.address), sizeof from_.address) != 0 ||
          ::connect(out_, reinterpret_cast<const sockaddr*>(&to_.address), sizeof to_.address) != 0) {
        die("a sending socket in " + from_.ns);
      }
    }}.join();
  }
  void start() {
    receiver_ = std::thread{[this] { receive(); }};
    sender_ = std::thread{[this] { send(); }};
  }
  void join() {
    sender_.join();
    receiver_.join();
  }
  void print() const {
    std::printf(
        "{\"offered\": %llu, \"refused\": %llu, \"received\": %llu, \"lost\": %llu, \"duplicated\": %llu, "
        "\"reordered\": %llu, \"worst_us\": %.1f, \"silence_us\": %.1f, \"seconds\": %.4f}",
        ull(offered_), ull(refused_), ull(received_), ull(offered_ - received_), ull(duplicated_), ull(reordered_),
        static_cast<double>(worst_) / 1e3, static_cast<double>(silence_) / 1e3, static_cast<double>(taken_) / 1e9);
  }

 private:
  static unsigned long long ull(std::uint64_t v) { return v; }

  void send() {
    ::prctl(PR_SET_TIMERSLACK, 1000UL);
    std::array<std::array<std::uint8_t, kMaxSize>, kBurst> payloads{};
    std::array<iovec, kBurst> parts{};
    std::array<mmsghdr, kBurst> messages{};
    for (std::size_t i = 0; i < kBurst; ++i) {
      parts[i] = {payloads[i].data(), order_.size};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const std::int64_t begin = now_ns();
    const std::int64_t end = begin + static_cast<std::int64_t>(order_.seconds * 1e9);
    double moved = 0;  // packets that the schedule has given up
    for (std::int64_t now = begin; now < end; now = now_ns()) {
      const double due = static_cast<double>(now - begin) * order_.rate / 1e9 - moved - static_cast<double>(offered_);
      if (due > static_cast<double>(kBacklog)) moved += due - static_cast<double>(kBacklog);
      const auto burst = static_cast<std::size_t>(std::clamp(due, 0.0, static_cast<double>(kBurst)));
      if (burst == 0) {
        sleep_until_ns(std::min(end, now + kTick));
        continue;
      }
      for (std::size_t i = 0; i < burst; ++i) {
        const Head head{mark_, offered_ + i, now};
        std::memcpy(payloads[i].data(), &head, sizeof head);
      }
      for (std::size_t done = 0; done < burst;) {
        const int sent = ::sendmmsg(out_, &messages[done], static_cast<unsigned>(burst - done), 0);
        if (sent <= 0) ++refused_;  // this one; those behind it go on
        done += sent > 0 ? static_cast<std::size_t>(sent) : 1;
      }
      offered_ += burst;
    }
    taken_ = now_ns() - begin;
    all_offered_.store(offered_, std::memory_order_release);
  }

  void receive() {
    ::prctl(PR_SET_TIMERSLACK, 1000UL);
    std::array<std::array<std::uint8_t, kMaxSize>, kBurst> payloads{};
    std::array<iovec, kBurst> parts{};
    std::array<mmsghdr, kBurst> messages{};
    for (std::size_t i = 0; i < kBurst; ++i) {
      parts[i] = {payloads[i].data(), kMaxSize};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    std::int64_t give_up = 0;
    while (true) {
      const int got = ::recvmmsg(in_, messages.data(), kBurst, MSG_DONTWAIT, nullptr);
      const std::int64_t now = now_ns();
      for (int i = 0; i < got; ++i) {
        const auto at = static_cast<std::size_t>(i);
        if (messages[at].msg_len >= sizeof(Head)) take(payloads[at].data(), now);
      }
      if (const std::uint64_t all = all_offered_.load(std::memory_order_acquire); all != kStillSending) {
        if (give_up == 0) give_up = now + kPatience;
        if (now > give_up || (received_ == all && now > give_up - kPatience * 4 / 5)) return;  // duplicates come later
      }
      if (got < static_cast<int>(kBurst)) sleep_until_ns(now + kTick);
    }
  }

  void take(const std::uint8_t* payload, std::int64_t now) {
    Head head{};
    std::memcpy(&head, payload, sizeof head);
    if (head.mark != mark_ || head.number >= seen_.size()) return;
    if (seen_[head.number]) {
      ++duplicated_;
      return;
    }
    seen_[head.number] = true;
    if (head.number < next_) ++reordered_;
    next_ = std::max(next_, head.number + 1);
    ++received_;
    worst_ = std::max(worst_, now - head.sent_at);
    if (last_arrival_ != 0) silence_ = std::max(silence_, now - last_arrival_);
    last_arrival_ = now;
  }

  static constexpr std::uint64_t kStillSending = ~std::uint64_t{0};

  Place from_;
  Place to_;
  Order order_;
  std::uint64_t mark_;
  int in_ = -1;
  int out_ = -1;
  std::thread sender_;
  std::thread receiver_;
  std::atomic<std::uint64_t> all_offered_{kStillSending};
  // The sender's.
  std::uint64_t offered_ = 0;
  std::uint64_t refused_ = 0;
  std::int64_t taken_ = 0;
  // The receiver's.
  std::vector<bool> seen_;
  std::uint64_t next_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t duplicated_ = 0;
  std::uint64_t reordered_ = 0;
  std::int64_t worst_ = 0;
  std::int64_t silence_ = 0;
  std::int64_t last_arrival_ = 0;
};

std::uint16_t icmp_checksum(const std::uint8_t* data, std::size_t size) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < size; i += 2) sum += static_cast<std::uint32_t>(data[i]) << 8 | data[i + 1];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons(static_cast<std::uint16_t>(~sum));
}

int ping(const Place& from, const Place& to, unsigned count, std::int64_t gap_ns) {
  enter(from.ns);
  const int fd = ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
  if (fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&from.address), sizeof from.address) != 0) {
    die("an ICMP socket in " + from.ns);
  }
  ::prctl(PR_SET_TIMERSLACK, 1000UL);
  const auto ident = static_cast<std::uint16_t>(::getpid());
  std::vector<double> trips;
  for (unsigned number = 0; number < count; ++number) {
    std::array<std::uint8_t, 64> out{};
    icmphdr head{};
    head.type = ICMP_ECHO;
    head.un.echo.id = ident;
    head.un.echo.sequence = static_cast<std::uint16_t>(number);
    std::memcpy(out.data(), &head, sizeof head);
    head.checksum = icmp_checksum(out.data(), out.size());
    std::memcpy(out.data(), &head, sizeof head);
    const std::int64_t begin = now_ns();
    if (::sendto(fd, out.data(), out.size(), 0, reinterpret_cast<const sockaddr*>(&to.address), sizeof to.address) <
        0) {
      die("sending an echo request");
    }
    for (pollfd ready{fd, POLLIN, 0}; ::poll(&ready, 1, 1000) > 0;) {
      std::array<std::uint8_t, 2048> in{};
      const ssize_t size = ::recv(fd, in.data(), in.size(), MSG_DONTWAIT);
      const std::int64_t end = now_ns();
      const std::size_t skip = static_cast<std::size_t>(in[0] & 15) * 4;
      if (size < static_cast<ssize_t>(skip + sizeof head)) continue;
      std::memcpy(&head, in.data() + skip, sizeof head);
      if (head.type != ICMP_ECHOREPLY || head.un.echo.id != ident ||
          head.un.echo.sequence != static_cast<std::uint16_t>(number)) {
        continue;
      }
      trips.push_back(static_cast<double>(end - begin) / 1e3);
      break;
    }
    sleep_until_ns(begin + gap_ns);
  }
  errno = 0;
  if (trips.empty()) die("no echo came back");
  std::sort(trips.begin(), trips.end());
  const auto at = [&](double part) {
    return trips[static_cast<std::size_t>(part * static_cast<double>(trips.size() - 1))];
  };
  std::printf(
      "{\"sent\": %u, \"received\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"min_us\": %.1f, \"max_us\": %.1f}\n",
      count, trips.size(), at(0.5), at(0.99), trips.front(), trips.back());
  return 0;
}

int stream(const Place& a, const Place& b, const Order& order, bool both) {
  constexpr std::uint16_t kPort = 7007;
  errno = 0;
  if (order.size < sizeof(Head) || order.size > kMaxSize) die("--size is from 24 to 1500");
  std::vector<std::unique_ptr<Flow>> flows;
  flows.push_back(std::make_unique<Flow>(a, b, kPort, order));
  if (both) flows.push_back(std::make_unique<Flow>(b, a, kPort, order));
  for (auto& flow : flows) flow->open();
  for (auto& flow : flows) flow->start();
  for (auto& flow : flows) flow->join();
  std::printf("{\"flows\": [");
  for (std::size_t i = 0; i < flows.size(); ++i) {
    if (i != 0) std::printf(", ");
    flows[i]->print();
  }
  std::printf("]}\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  std::optional<Place> from;
  std::optional<Place> to;
  Order order;
  bool both = false;
  unsigned count = 100;
  std::int64_t gap_us = 10'000;
  for (int i = 2; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--both") {
      both = true;
      continue;
    }
    errno = 0;
    if (i + 1 == argc) die(name + " needs a value");
    const std::string value = argv[++i];
    if (name == "--from")
      from = parse_place(value);
    else if (name == "--to")
      to = parse_place(value);
    else if (name == "--rate")
      order.rate = std::stod(value);
    else if (name == "--seconds")
      order.seconds = std::stod(value);
    else if (name == "--size")
      order.size = std::stoul(value);
    else if (name == "--count")
      count = static_cast<unsigned>(std::stoul(value));
    else if (name == "--gap-us")
      gap_us = std::stol(value);
    else
      die("unknown option " + name);
  }
  errno = 0;
  if (!from || !to || (what != "stream" && what != "ping"))
    die("usage: blast stream|ping --from NS/ADDRESS --to NS/ADDRESS ...");
  return what == "ping" ? ping(*from, *to, count, gap_us * 1000) : stream(*from, *to, order, both);
}
