// KeyPool: key pairs made ahead, while there is nothing else to do, so that a handshake need not wait for them. Each is
// good for one use, as a pair made on the spot is: whoever asks for one owns it, and its private part is wiped with it.
//
// Only what has been asked for is made ahead, more of it the more often it was missing, up to kMost of a kind. With a
// deterministic Rng there is no pool: every pair is made when it is asked for, and a seed replays.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "crypto/key_exchange.hpp"

namespace qanat::crypto {

class KeyPool {
 public:
  static constexpr std::size_t kMost = 32;  // an ML-KEM-768 pair takes 8 kB

  explicit KeyPool(Rng& rng) : rng_(rng) {}

  // As KeyExchange::create.
  [[nodiscard]] Result<std::unique_ptr<KeyExchange>> create(KeId id) {
    Kind* kind = kind_of(id);
    if (kind == nullptr) return KeyExchange::create(id, rng_);
    if (kind->ready.empty()) {
      kind->wanted = std::min(kMost, kind->wanted + kStep);
      return KeyExchange::create(id, rng_);
    }
    std::unique_ptr<KeyExchange> out = std::move(kind->ready.back());
    kind->ready.pop_back();
    return out;
  }
  // As crypto::respond.
  [[nodiscard]] Result<KeReply> respond(KeId id, ByteView initiator_value) {
    // The responder of ML-KEM has no pair of its own. A bad length must not cost a pair.
    if (id != KeId::CURVE25519 || kind_of(id) == nullptr || initiator_value.size() != ke_sizes(id).initiator)
      return crypto::respond(id, initiator_value, rng_);
    QANAT_ASSIGN(const std::unique_ptr<KeyExchange> ours, create(id));
    QANAT_ASSIGN(SecretBytes secret, ours->finish(initiator_value));
    return KeReply{.public_value = to_bytes(ours->public_value()), .secret = std::move(secret)};
  }

  [[nodiscard]] bool is_full() const {
    return std::all_of(kinds_.begin(), kinds_.end(), [](const Kind& k) { return k.ready.size() >= k.wanted; });
  }
  // Makes one pair, of the kind that lacks most; false: nothing is lacking, or it cannot be made.
  bool make_one() {
    const auto lacks = [](const Kind& k) { return k.wanted - std::min(k.wanted, k.ready.size()); };
    Kind& kind = *std::max_element(kinds_.begin(), kinds_.end(),
                                   [&](const Kind& a, const Kind& b) { return lacks(a) < lacks(b); });
    if (lacks(kind) == 0) return false;
    auto made = KeyExchange::create(kind.id, rng_);
    if (!made) {
      kind.wanted = 0;
      return false;
    }
    kind.ready.push_back(std::move(*made));
    return true;
  }
  [[nodiscard]] std::size_t ready(KeId id) const {
    const auto found = std::find_if(kinds_.begin(), kinds_.end(), [id](const Kind& k) { return k.id == id; });
    return found == kinds_.end() ? 0 : found->ready.size();
  }

 private:
  static constexpr std::size_t kStep = 4;
  struct Kind {
    KeId id{};
    std::size_t wanted = 0;
    std::vector<std::unique_ptr<KeyExchange>> ready;
  };
  [[nodiscard]] Kind* kind_of(KeId id) {
    const auto found = std::find_if(kinds_.begin(), kinds_.end(), [id](const Kind& k) { return k.id == id; });
    return found == kinds_.end() || rng_.deterministic() ? nullptr : &*found;
  }

  Rng& rng_;
  std::array<Kind, 2> kinds_{Kind{KeId::CURVE25519, 0, {}}, Kind{KeId::ML_KEM_768, 0, {}}};
};

}  // namespace qanat::crypto
