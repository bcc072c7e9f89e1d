// The limits of IKE SAs in the making hold for the gateway, however many shards it has.
#include <deque>
#include <memory>
#include <optional>

#include <gtest/gtest.h>

#include "gateway/gateway.hpp"
#include "wire/message.hpp"

namespace qanat::gateway {
namespace {

constexpr std::size_t kShards = 4;
const IpAddress kHub = IpAddress::v4(0xc0000201);

IpAddress host(std::uint32_t network, std::uint32_t number = 1) {
  return IpAddress::v4(0x0a000000 + (network << 8) + number);
}

// A shard behind queues, as one with a thread of its own: nothing goes in or out before it is let.
class LateShard final : public ShardPort {
 public:
  LateShard(const ike::EndpointConfig& config, Rng& rng) : shard_(config, rng) {}
  void handle_datagram(Instant now, const ike::Path& arrived, ByteView payload,
                       const std::optional<ike::HalfOpenElsewhere>& elsewhere) override {
    inbox_.emplace_back([this, now, arrived, bytes = to_bytes(payload), elsewhere] {
      shard_.handle_datagram(now, arrived, bytes, elsewhere);
    });
  }
  void handle_plane(Instant now, const ipsec::Event& event) override { shard_.handle_plane(now, event); }
  void handle_addresses(Instant now, const ike::HostAddresses& hosts) override { shard_.handle_addresses(now, hosts); }
  void handle_path_error(Instant now, const IpAddress& local, const IpAddress& remote) override {
    shard_.handle_path_error(now, local, remote);
  }
  void handle(Instant now, ToIkeShard message) override { shard_.handle(now, std::move(message)); }
  void handle_timeout(Instant now) override { shard_.handle_timeout(now); }
  [[nodiscard]] std::optional<FromIkeShard> poll() override { return is_heard ? shard_.poll() : std::nullopt; }
  [[nodiscard]] std::optional<Instant> next_timeout() const override { return shard_.next_timeout(); }
  void inspect(const std::function<void(const IkeShard&)>& look) const override { look(shard_); }
  void work() {
    for (const auto& message : inbox_) message();
    inbox_.clear();
  }
  bool is_heard = true;

 private:
  IkeShard shard_;
  std::deque<std::function<void()>> inbox_;
};

class Limits : public ::testing::Test {
 protected:
  void SetUp() override {
    limits.half_open_limit = 60;
    limits.cookie_threshold = 20;
    limits.prefix_limit = 8;
    Gateway site{{}, rng_};
    ASSERT_TRUE(site.apply(now, config(model::StartMode::Initiate)).has_value());
    while (auto out = site.poll()) {
      if (const auto* h = std::get_if<HostOut>(&*out)) site.handle_host(now, {h->request, {}});
      if (auto* t = std::get_if<ike::Transmit>(&*out)) template_ = std::move(t->datagram);
    }
    ASSERT_FALSE(template_.empty());
  }
  void make(std::size_t shards, bool late = false) {
    ports.clear();
    gateway = std::make_unique<Gateway>(limits, rng_, shards, [&](const ike::EndpointConfig& c) {
      std::unique_ptr<ShardPort> out;
      if (late) {
        auto port = std::make_unique<LateShard>(c, rng_);
        ports.push_back(port.get());
        out = std::move(port);
      } else {
        out = std::make_unique<IkeShard>(c, rng_);
      }
      return out;
    });
    ASSERT_TRUE(gateway->apply(now, config(model::StartMode::Respond)).has_value());
    drain();
  }
  static model::Config config(model::StartMode start) {
    model::Config out;
    model::Tunnel t;
    t.name = "hub";
    t.start = start;
    t.local = start == model::StartMode::Initiate ? host(0) : kHub;
    if (start == model::StartMode::Initiate) t.peer = kHub;
    t.psk = model::PresharedKey{SecretBytes::copy_of(Bytes(32, 1))};
    if (start == model::StartMode::Respond) t.remote_id = wire::Identity::of_address(host(0));
    t.routes = {Prefix::masked(IpAddress::v4(0xac100000), 16)};
    out.gateway.address4 = *t.local;
    out.tunnels.push_back(std::move(t));
    return out;
  }

  enum class Said : std::uint8_t { Nothing, Cookie, Answer };
  void post(const IpAddress& from, std::uint64_t spi_i, const Bytes& cookie = {}) {
    const auto request = wire::parse_message(template_);
    wire::IkeHeader header = request->header;
    header.spi_i = spi_i;
    wire::Payloads payloads;
    if (!cookie.empty())
      payloads.emplace_back(wire::NotifyPayload{wire::ProtocolId::None, {}, wire::NotifyType::COOKIE, cookie});
    for (const wire::Payload& p : request->payloads) payloads.push_back(p);
    gateway->handle_datagram(now, {{kHub, 500}, {from, 500}}, wire::write_clear_message(header, payloads));
  }
  Said ask(const IpAddress& from, std::uint64_t spi_i, const Bytes& cookie = {}) {
    post(from, spi_i, cookie);
    return drain();
  }
  // As an honest peer does.
  Said ask_honestly(const IpAddress& from, std::uint64_t spi_i) {
    const Said said = ask(from, spi_i);
    return said == Said::Cookie ? ask(from, spi_i, cookie_) : said;
  }
  Said drain() {
    Said said = Said::Nothing;
    while (auto out = gateway->poll()) {
      if (const auto* h = std::get_if<HostOut>(&*out)) gateway->handle_host(now, {h->request, {}});
      const auto* t = std::get_if<ike::Transmit>(&*out);
      if (t == nullptr) continue;
      const auto answer = wire::parse_message(t->datagram);
      EXPECT_TRUE(answer.has_value());
      const auto* cookie = wire::find_notify(answer->payloads, wire::NotifyType::COOKIE);
      if (cookie != nullptr) cookie_ = cookie->data;
      said = cookie != nullptr ? Said::Cookie : Said::Answer;
      answers += said == Said::Answer;
    }
    return said;
  }
  [[nodiscard]] std::size_t half_open() const { return gateway->ike_sas().size(); }
  [[nodiscard]] std::size_t shards_in_use() const {
    std::set<std::uint64_t> out;
    for (const ike::SaInfo& sa : gateway->ike_sas()) out.insert(sa.spi_r % ike::kMaxShards);
    return out.size();
  }
  void work() {
    for (LateShard* port : ports) port->work();
    gateway->handle_shards(now);
    drain();
  }

  Instant now = Instant::from_ns(1'000'000'000);
  ike::EndpointConfig limits;
  std::vector<LateShard*> ports;
  std::unique_ptr<Gateway> gateway;
  std::size_t answers = 0;

 private:
  SeededRng rng_{7};
  Bytes template_;
  Bytes cookie_;
};

TEST_F(Limits, CookiesAreDemandedWhenTheGatewayIsLoaded) {
  make(kShards);
  for (std::uint32_t i = 1; i <= 200; ++i)
    EXPECT_EQ(ask(host(i), i), i <= limits.cookie_threshold ? Said::Answer : Said::Cookie) << i;
  EXPECT_EQ(half_open(), limits.cookie_threshold);
  EXPECT_EQ(shards_in_use(), kShards) << "or nothing was counted together";
  // Whoever returns one comes in, at whatever shard, as long as there is room.
  for (std::uint32_t i = 1; i <= 100; ++i) {
    EXPECT_EQ(ask_honestly(host(1000 + i), 1000 + i), i <= 40 ? Said::Answer : Said::Nothing) << i;
  }
  EXPECT_EQ(half_open(), limits.half_open_limit);
  // What has ended in one shard is room in all.
  for (int i = 0; i < 40; ++i) {
    now = now + 1s;
    gateway->handle_timeout(now);
    drain();
  }
  EXPECT_EQ(gateway->holdings(), 0U);
  for (std::uint32_t i = 1; i <= limits.cookie_threshold; ++i) EXPECT_EQ(ask(host(i), 5000 + i), Said::Answer) << i;
}

TEST_F(Limits, OnePrefixIsCountedOverAllShards) {
  make(kShards);
  for (std::uint32_t i = 1; i <= 60; ++i)
    EXPECT_EQ(ask(host(9, i), i), i <= limits.prefix_limit ? Said::Answer : Said::Cookie) << i;
  EXPECT_EQ(half_open(), limits.prefix_limit);
  EXPECT_GT(shards_in_use(), 1U);
  EXPECT_EQ(ask(host(10), 100), Said::Answer);
}

TEST_F(Limits, AVerifiedPrefixHasItsShareOfTheGateway) {
  limits.half_open_limit = 1000;
  limits.prefix_limit = 3;
  make(kShards);
  std::size_t in = 0;
  for (std::uint32_t i = 1; i <= 200; ++i) in += ask_honestly(host(9, i), i) == Said::Answer;
  EXPECT_EQ(in, 3U + 8U * 3U);
  EXPECT_EQ(ask_honestly(host(10), 900), Said::Answer);
}

TEST_F(Limits, SeveralShardsDecideAsOneDoes) {
  std::vector<std::vector<Said>> all;
  for (const std::size_t shards : {std::size_t{1}, std::size_t{2}, kShards, std::size_t{64}}) {
    make(shards);
    std::vector<Said> said;
    for (std::uint32_t i = 0; i < 150; ++i) said.push_back(ask_honestly(host(i % 13, i), 1 + i));
    all.push_back(said);
  }
  for (const auto& said : all) EXPECT_EQ(said, all.front());
}

// What a shard with a thread hears is a moment old. A burst that all of them take in that moment passes a limit by no
// more than a share for each.
TEST_F(Limits, ABurstThatNobodyHasHeardOfIsBounded) {
  make(kShards, true);
  for (int burst = 0; burst < 3; ++burst) {
    for (std::uint32_t i = 0; i < 2000; ++i) post(host(1 + i), 1 + 2000 * static_cast<std::uint32_t>(burst) + i);
    work();
    EXPECT_LE(half_open(), 2 * limits.cookie_threshold);
    EXPECT_GE(half_open(), limits.cookie_threshold);
  }
  EXPECT_EQ(half_open(), limits.cookie_threshold) << "each has taken its share, and was not heard before";
}

TEST_F(Limits, AShardThatIsNotHeardTakesItsShareAndNoMore) {
  make(kShards, true);
  for (LateShard* port : ports) port->is_heard = false;
  for (std::uint32_t i = 0; i < 2000; ++i) {
    post(host(1 + i), 1 + i);
    work();
  }
  EXPECT_EQ(half_open(), limits.cookie_threshold);
  for (LateShard* port : ports) port->is_heard = true;
  work();
  EXPECT_EQ(answers, limits.cookie_threshold);
  post(host(3000), 3000);
  work();
  EXPECT_EQ(answers, limits.cookie_threshold) << "the gateway has heard of all: now it wants cookies";
}

TEST_F(Limits, ALoneShardHasNobodyToHear) {
  limits.cookie_threshold = 3;
  make(1, true);
  ports.front()->is_heard = false;
  for (std::uint32_t i = 0; i < 10; ++i) {
    post(host(1 + i), 1 + i);
    work();
  }
  EXPECT_EQ(half_open(), 3U);
}

}  // namespace
}  // namespace qanat::gateway
