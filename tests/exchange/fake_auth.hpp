// FakeAuth: a worker that answers SignQuestion and VerifyQuestion with toy certificates, as it is told, and remembers
// what it was asked. A toy certificate names its CA, its owner and its key, and whoever knows the key can sign.
#pragma once

#include <deque>
#include <string>
#include <variant>
#include <vector>

#include "ike/auth_task.hpp"

namespace qanat::exchange {

class FakeAuth {
 public:
  // Fooled: whatever is asked verifies, as when an attacker holds the peer's key.
  enum class Answer { AtOnce, Later, Never, Refuse, Fooled };
  Answer sign = Answer::AtOnce;
  Answer verify = Answer::AtOnce;
  std::string ca = "Example CA";  // that issued our certificate, and that we trust
  std::string trusted_ca = "Example CA";
  std::string owner;  // the name in our certificate
  std::string key = "toy key";
  std::size_t certificate_size = 0;  // padded to this many octets, as ML-DSA's are
  std::size_t signature_size = 0;
  std::size_t intermediates = 0;  // further certificates of that size
  bool quantum_safe = true;

  using Reply = std::variant<ike::SignAnswer, ike::VerifyAnswer>;
  void ask(ike::SignQuestion question);
  void ask(ike::VerifyQuestion question);
  [[nodiscard]] std::optional<Reply> poll();
  void give_late_answers();

  [[nodiscard]] wire::CertPayload certificate() const;
  // What AtOnce answers to a question.
  [[nodiscard]] ike::SignAnswer signed_answer(const ike::SignQuestion& question) const;
  [[nodiscard]] Status judge(const ike::VerifyQuestion& question) const;

  std::vector<ike::SignQuestion> sign_questions;
  std::vector<ike::VerifyQuestion> verify_questions;

 private:
  void reply(Answer how, Reply reply);
  std::deque<Reply> ready_;
  std::deque<Reply> late_;
};

}  // namespace qanat::exchange
