// AuthWorkers: threads that sign and judge certificates, so that the control thread never waits for either.
//
// The control thread owns the object: it sets each tunnel's credentials and asks; answers come back through a mailbox
// that its loop watches, in any order. Private keys were read with the configuration, before the sandbox; the threads
// touch no file and no socket.
#pragma once

#include <memory>
#include <thread>
#include <unordered_map>
#include <variant>
#include <vector>

#include "gateway/auth_service.hpp"
#include "io/event_loop.hpp"
#include "io/log.hpp"
#include "io/mailbox.hpp"

namespace qanat::daemon {

using AuthQuestion = std::variant<ike::SignQuestion, ike::VerifyQuestion>;
using AuthAnswer = std::variant<ike::SignAnswer, ike::VerifyAnswer>;

class AuthWorkers {
 public:
  static constexpr std::size_t kThreads = 2;
  static constexpr std::size_t kMaxWaiting = 2048;  // questions a thread; about a second of ML-DSA

  // `answers` outlives the workers.
  AuthWorkers(io::Mailbox<AuthAnswer>& answers, const io::Log& log, std::size_t max_waiting = kMaxWaiting);
  ~AuthWorkers();  // stops and joins; what was not answered stays so
  AuthWorkers(const AuthWorkers&) = delete;
  AuthWorkers& operator=(const AuthWorkers&) = delete;

  [[nodiscard]] Status start();
  // Questions asked before keep the credentials that they were asked with.
  void set_tunnel(TunnelId id, std::shared_ptr<const gateway::AuthCredentials> credentials);
  // Every question gets one answer: Error{Resource} when too many wait.
  void ask(AuthQuestion question);

 private:
  struct Task {
    std::shared_ptr<const gateway::AuthCredentials> credentials;  // nullptr: the tunnel has none
    AuthQuestion question;
  };
  struct Worker {
    explicit Worker(std::size_t limit) : inbox(limit) {}
    io::Mailbox<Task> inbox;
    std::unique_ptr<io::EventLoop> loop;
    std::thread thread;
    gateway::ChainCache chains;  // the thread's
  };
  [[nodiscard]] static AuthAnswer answer(const Task& task, gateway::ChainCache& chains);

  io::Mailbox<AuthAnswer>& answers_;
  const io::Log& log_;
  std::unordered_map<TunnelId, std::shared_ptr<const gateway::AuthCredentials>> credentials_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::size_t next_ = 0;
};

}  // namespace qanat::daemon
