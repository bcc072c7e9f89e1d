#include "wan/route_trie.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace qanat::wan {

namespace {

constexpr unsigned kStride = 6;
constexpr unsigned kMaxDepth = 128 / kStride + 1;
constexpr std::uint64_t kAll = ~std::uint64_t{0};

constexpr std::uint64_t one(unsigned bit) {
  return std::uint64_t{1} << bit;
}
// Where the bit's element stands in an array that has one for each bit set.
std::size_t rank(std::uint64_t set, unsigned bit) {
  return static_cast<std::size_t>(std::popcount(set & (one(bit) - 1)));
}
// Of the heap of prefixes in a node.
unsigned heap_bit(unsigned six, unsigned bits) {
  return (1U << bits) + (six >> (kStride - bits));
}
// For every value of six bits the heap bits of all prefixes that hold it.
constexpr std::array<std::uint64_t, 64> kHolders = [] {
  std::array<std::uint64_t, 64> masks{};
  for (unsigned six = 0; six < 64; ++six) {
    for (unsigned bits = 0; bits < kStride; ++bits) masks[six] |= one((1U << bits) + (six >> (kStride - bits)));
  }
  return masks;
}();

// The array with an element more (less) at `at`.
template <typename T>
void insert_at(std::unique_ptr<T[]>& array, std::size_t size, std::size_t at, T value) {
  auto larger = std::make_unique<T[]>(size + 1);
  std::move(array.get(), array.get() + at, larger.get());
  larger[at] = std::move(value);
  std::move(array.get() + at, array.get() + size, larger.get() + at + 1);
  array = std::move(larger);
}
template <typename T>
void erase_at(std::unique_ptr<T[]>& array, std::size_t size, std::size_t at) {
  auto smaller = size > 1 ? std::make_unique<T[]>(size - 1) : nullptr;
  std::move(array.get(), array.get() + at, smaller.get());
  std::move(array.get() + at + 1, array.get() + size, smaller.get() + at);
  array = std::move(smaller);
}

}  // namespace

RouteKey RouteKey::of(const IpAddress& address) {
  if (address.is_v4()) return {.high = std::uint64_t{address.v4_host_order()} << 32, .low = 0};
  const ByteView octets = address.bytes();
  return {.high = load_be64(octets.data()), .low = load_be64(&octets[8])};
}

RouteKey RouteKey::masked(unsigned bits) const {
  if (bits == 0) return {};
  if (bits <= 64) return {.high = high & (kAll << (64 - bits)), .low = 0};
  return {.high = high, .low = low & (kAll << (128 - bits))};
}

unsigned RouteKey::six(unsigned at) const {
  if (at <= 58) return static_cast<unsigned>(high >> (58 - at)) & 63U;
  if (at < 64) return static_cast<unsigned>((high << (at - 58)) | (low >> (122 - at))) & 63U;
  return static_cast<unsigned>(low << (at - 64) >> 58);
}

unsigned RouteKey::common(const RouteKey& other) const {
  if (high != other.high) return static_cast<unsigned>(std::countl_zero(high ^ other.high));
  return 64 + static_cast<unsigned>(std::countl_zero(low ^ other.low));
}

void RouteTrie::Route::set(std::vector<Hop> hops) {
  best = hops.front();
  all = hops.size() > 1 || best.pq_require ? std::make_unique<std::vector<Hop>>(std::move(hops)) : nullptr;
}

RouteTrie::Added RouteTrie::Route::add(const Hop& hop) {
  std::vector<Hop> now = hops();
  const auto same = std::find_if(now.begin(), now.end(), [&](const Hop& h) { return h.same_way(hop); });
  const Added added = same == now.end() ? Added::New : *same == hop ? Added::Same : Added::Changed;
  if (added == Added::Same) return added;
  if (added == Added::Changed) now.erase(same);
  now.insert(std::lower_bound(now.begin(), now.end(), hop), hop);
  set(std::move(now));
  return added;
}

bool RouteTrie::Route::leads_into(TunnelId tunnel) const {
  if (all == nullptr) return best.leads_into(tunnel);
  return std::any_of(all->begin(), all->end(), [&](const Hop& hop) { return hop.leads_into(tunnel); });
}

RouteTrie::Route& RouteTrie::route(const Node& node, unsigned bit) {
  return node.routes[rank(node.inside, bit)];
}

RouteTrie::Added RouteTrie::add(const RouteKey& prefix, unsigned length, const Hop& hop) {
  const unsigned end = length / kStride * kStride;  // where its node stands
  const auto leaf = [&] {
    Node node;
    node.key = prefix.masked(end);
    node.at = static_cast<std::uint8_t>(end);
    return node;
  };
  if (root_ == nullptr) root_ = std::make_unique<Node>(leaf());
  Node* node = root_.get();
  for (;;) {
    const unsigned same = std::min({prefix.common(node->key), end, unsigned{node->at}}) / kStride * kStride;
    if (same < node->at) {
      // It leaves the path to this node: a new one, where it does, takes this one as its child.
      Node fork;
      fork.key = prefix.masked(same);
      fork.at = static_cast<std::uint8_t>(same);
      fork.outside = one(node->key.six(same));
      fork.children = std::make_unique<Node[]>(1);
      fork.children[0] = std::move(*node);
      *node = std::move(fork);
    }
    if (node->at == end) break;
    const unsigned six = prefix.six(node->at);
    if ((node->outside & one(six)) == 0) {
      insert_at(node->children, static_cast<std::size_t>(std::popcount(node->outside)), rank(node->outside, six),
                leaf());
      node->outside |= one(six);
    }
    node = &node->children[rank(node->outside, six)];
  }
  const unsigned bit = heap_bit(prefix.six(end), length - end);
  if ((node->inside & one(bit)) != 0) return route(*node, bit).add(hop);
  Route first;
  first.set({hop});
  insert_at(node->routes, static_cast<std::size_t>(std::popcount(node->inside)), rank(node->inside, bit),
            std::move(first));
  node->inside |= one(bit);
  return Added::New;
}

bool RouteTrie::remove(const RouteKey& prefix, unsigned length, const Hop& hop) {
  const unsigned end = length / kStride * kStride;
  std::array<Node*, kMaxDepth> path{};
  std::size_t depth = 0;
  for (Node* node = root_.get();;) {
    if (node == nullptr || node->at > end || prefix.masked(node->at) != node->key) return false;
    path[depth++] = node;
    if (node->at == end) break;
    const unsigned six = prefix.six(node->at);
    node = (node->outside & one(six)) != 0 ? &node->children[rank(node->outside, six)] : nullptr;
  }

  Node* node = path[depth - 1];
  const unsigned bit = heap_bit(prefix.six(end), length - end);
  if ((node->inside & one(bit)) == 0) return false;
  Route& there = route(*node, bit);
  std::vector<Hop> hops = there.hops();
  if (std::erase_if(hops, [&](const Hop& h) { return h.same_way(hop); }) == 0) return false;
  if (!hops.empty()) {
    there.set(std::move(hops));
    return true;
  }
  erase_at(node->routes, static_cast<std::size_t>(std::popcount(node->inside)), rank(node->inside, bit));
  node->inside &= ~one(bit);

  // A node without prefixes goes when it has no child, and lets its child take its place when it has one.
  for (;; node = path[--depth - 1]) {
    if (node->inside != 0 || std::popcount(node->outside) > 1) return true;
    if (node->outside != 0) {
      Node child = std::move(node->children[0]);
      *node = std::move(child);
      return true;
    }
    if (depth == 1) {
      root_.reset();
      return true;
    }
    Node& parent = *path[depth - 2];
    const unsigned six = prefix.six(parent.at);
    erase_at(parent.children, static_cast<std::size_t>(std::popcount(parent.outside)), rank(parent.outside, six));
    parent.outside &= ~one(six);
  }
}

template <typename Use>
void RouteTrie::walk(const RouteKey& key, const Use& use) const {
  for (const Node* node = root_.get(); node != nullptr;) {
    if (key.masked(node->at) != node->key) return;
    const unsigned six = key.six(node->at);
    if (const std::uint64_t holders = node->inside & kHolders[six]; holders != 0 && use(*node, holders)) return;
    if ((node->outside & one(six)) == 0) return;
    node = &node->children[rank(node->outside, six)];
  }
}

RouteTrie::Found RouteTrie::longest(const RouteKey& key) const {
  const Node* best = nullptr;
  std::uint64_t bits = 0;
  walk(key, [&](const Node& node, std::uint64_t holders) {
    best = &node;
    bits = holders;
    return false;
  });
  if (best == nullptr) return {};
  const auto bit = static_cast<unsigned>(std::bit_width(bits)) - 1;
  const Route& found = route(*best, bit);
  return {
      .hop = &found.best, .length = best->at + static_cast<unsigned>(std::bit_width(bit)) - 1, .hops = found.all.get()};
}

bool RouteTrie::any(const RouteKey& key, TunnelId tunnel) const {
  bool found = false;
  walk(key, [&](const Node& node, std::uint64_t holders) {
    for (; holders != 0 && !found; holders &= holders - 1) {
      found = route(node, static_cast<unsigned>(std::countr_zero(holders))).leads_into(tunnel);
    }
    return found;
  });
  return found;
}

}  // namespace qanat::wan
