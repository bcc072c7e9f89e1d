// Workers: in the place of daemon/auth_workers.hpp. They sign and judge certificates in virtual time, each question in
// a time of its own: answers come late, in any order, and when nobody waits for them any more.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <variant>

#include "base/rng.hpp"
#include "base/time.hpp"
#include "gateway/auth_service.hpp"

namespace qanat::sim {

// What a certificate and a signature cost on the wire; inside they are toys (exchange/fake_auth.hpp).
struct Paper {
  const char* name = nullptr;
  std::size_t certificate = 0;  // octets of each
  std::size_t intermediates = 0;
  std::size_t signature = 0;
  bool quantum_safe = false;
};
inline constexpr Paper kEcdsa{"ECDSA P-256", 550, 0, 85, false};
inline constexpr Paper kRsaChain{"RSA-4096 chain", 1400, 1, 580, false};
inline constexpr Paper kMlDsaChain{"ML-DSA-65 chain", 5650, 1, 3323, true};

// Makes `tunnel` one that signs and wants the peer to.
void use_certificates(model::Tunnel& tunnel);

class Workers {
 public:
  explicit Workers(std::uint64_t seed) : dice_(seed) {}

  std::optional<Paper> paper;  // unset: as the daemon's, with what the tunnel was configured with
  Duration slowest = 20ms;     // one answer of sixteen takes up to a hundred times as long

  using Question = std::variant<ike::SignQuestion, ike::VerifyQuestion>;
  using Answer = std::variant<ike::SignAnswer, ike::VerifyAnswer>;
  void set_tunnel(TunnelId id, std::shared_ptr<const gateway::AuthCredentials> credentials);
  void ask(Instant now, Question question, const wire::Identity& own);
  [[nodiscard]] std::optional<Instant> next_answer() const;
  [[nodiscard]] std::optional<Answer> poll(Instant now);
  // Threads of a process that is no more.
  void die();

  struct Counts {
    std::size_t asked = 0;
    std::size_t too_late = 0;  // the IKE SA waits for 10 s
    std::size_t overtaken = 0;
    std::size_t died = 0;
  };
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  struct Task {
    std::uint64_t number = 0;
    Question question;
    wire::Identity own;
    std::shared_ptr<const gateway::AuthCredentials> credentials;  // those it was asked with
  };
  [[nodiscard]] Answer answer(const Task& task) const;

  SeededRng dice_;
  std::map<TunnelId, std::shared_ptr<const gateway::AuthCredentials>> credentials_;
  std::multimap<Instant, Task> tasks_;
  Counts counts_;
};

}  // namespace qanat::sim
