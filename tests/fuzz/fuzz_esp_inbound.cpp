// ESP inbound: datagrams as the network brings them, and inner packets sealed with the right key, which only an
// authenticated peer could send (the parser after decryption). Input: records of one mode octet, two octets of length,
// content.
#include <algorithm>
#include <cstdlib>

#include "esp/seal.hpp"
#include "wan/path_test_support.hpp"

namespace {

using namespace qanat;
using namespace qanat::wan::testing;

constexpr TunnelId kTunnel = TwoSites::kTunnel;
constexpr std::size_t kMaxRecords = 64;

// Two gateways with one SA; only the b side is fed.
struct World {
  explicit World(const CipherSuite& suite) : net(wan::testing::Link{.suite = suite, .esn = true, .window = 64}) {
    net.link.b_ts.push_back(
        {.first = ip("10.2.0.0"), .last = ip("10.2.0.255"), .protocol = 17, .port_first = 0, .port_last = 6000});
    net.up();
    sealer.emplace(*esp::OutboundSa::create(a_out(net.link, net.keyed, ChildSaId{1}, kTunnel), keys));
    reserved = net.b.reserve(kTunnel);
  }
  TwoSites net;
  esp::KeyCache keys{1};
  std::optional<esp::OutboundSa> sealer;
  ipsec::EspSpi reserved = 0;
  SeededRng rng{1};
};

void feed(World& world, std::uint8_t mode, ByteView content) {
  wan::testing::Gateway& b = world.net.b;
  Bytes datagram;
  if ((mode & 1U) != 0) {
    const Bytes inner = to_bytes(content.first(std::min<std::size_t>(content.size(), 9000)));
    datagram.resize(world.sealer->layout().sealed_size(inner.size()));
    const std::uint8_t next = (mode & 2U) != 0 ? 59 : (mode & 4U) != 0 ? 4 : 41;
    if (!world.sealer->seal(inner, next, datagram, world.rng)) return;
  } else {
    datagram = to_bytes(content);
    // Mostly an SPI that leads somewhere.
    if ((mode & 2U) != 0 && datagram.size() >= 4) {
      store_be32(datagram.data(), (mode & 4U) != 0 ? world.reserved : world.net.keyed.spi_b);
    }
  }
  const std::uint64_t before = b.path.drops().total() + b.sink.delivered.size() + b.sink.sent.size();
  const bool held = datagram.size() >= 8 && load_be32(datagram.data()) == world.reserved;
  b.wire(world.net.link.path_of_b(), mode >> 6, std::move(datagram));
  const std::uint64_t after = b.path.drops().total() + b.sink.delivered.size() + b.sink.sent.size();
  if (!held && after == before) std::abort();  // a packet vanished without a name
  b.now = b.now + std::chrono::milliseconds(mode);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // Kept over inputs: making a world takes 20 times as long as an input. Only sequence numbers and, for 30 s of the
  // world's time, fragments carry over; a finding that does not replay alone is replayed with those before it.
  static World worlds[] = {World(kGcm256), World(kCbc256)};
  World& world = worlds[data[0] & 1U];
  ByteView rest{data + 1, size - 1};
  for (std::size_t i = 0; i < kMaxRecords && rest.size() >= 3; ++i) {
    const std::size_t length = std::min<std::size_t>(load_be16(&rest[1]), rest.size() - 3);
    feed(world, rest[0], rest.subspan(3, length));
    rest = rest.subspan(3 + length);
  }
  wan::testing::Gateway& b = world.net.b;
  b.now = b.now + std::chrono::seconds(31);
  b.timeout();
  if (b.path.next_timeout()) std::abort();  // everything that was held has gone
  while (b.path.poll_event()) {
  }
  b.sink.sent.clear();
  b.sink.delivered.clear();
  return 0;
}
