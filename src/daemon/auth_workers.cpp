#include "daemon/auth_workers.hpp"

#include "io/clock.hpp"

namespace qanat::daemon {

namespace {

Error too_many() {
  return {ErrorKind::Resource, static_cast<std::uint16_t>(wire::NotifyType::AUTHENTICATION_FAILED), "authentication",
          "too many signatures and certificates wait to be worked on: the peer will try again"};
}

}  // namespace

AuthWorkers::AuthWorkers(io::Mailbox<AuthAnswer>& answers, const io::Log& log, std::size_t max_waiting)
    : answers_(answers), log_(log) {
  for (std::size_t i = 0; i < kThreads; ++i) workers_.push_back(std::make_unique<Worker>(max_waiting));
}

AuthWorkers::~AuthWorkers() {
  for (const auto& w : workers_) {
    if (w->thread.joinable()) w->loop->stop();
  }
  for (const auto& w : workers_) {
    if (w->thread.joinable()) w->thread.join();
  }
}

Status AuthWorkers::start() {
  for (const auto& owner : workers_) {
    Worker* w = owner.get();
    QANAT_ASSIGN(w->loop, io::EventLoop::create());
    QANAT_TRY(w->loop->add(w->inbox.fd(), [this, w] {
      for (const Task& task : w->inbox.take_all()) answers_.post(answer(task, w->chains));
    }));
    w->thread = std::thread([this, w] {
      if (const Status ended = w->loop->run(); !ended) log_.error("auth-worker-failed", ended.error());
    });
  }
  return {};
}

void AuthWorkers::set_tunnel(TunnelId id, std::shared_ptr<const gateway::AuthCredentials> credentials) {
  if (credentials) {
    credentials_.insert_or_assign(id, std::move(credentials));
  } else {
    credentials_.erase(id);
  }
}

void AuthWorkers::ask(AuthQuestion question) {
  const TunnelId tunnel = std::visit([](const auto& q) { return q.tunnel; }, question);
  const RequestId request = std::visit([](const auto& q) { return q.request; }, question);
  const bool signing = std::holds_alternative<ike::SignQuestion>(question);
  const auto found = credentials_.find(tunnel);
  next_ = (next_ + 1) % workers_.size();
  if (workers_[next_]->inbox.post({found == credentials_.end() ? nullptr : found->second, std::move(question)})) return;
  if (signing) {
    ike::SignAnswer out{};
    out.request = request;
    out.status = std::unexpected(too_many());
    answers_.post(std::move(out));
  } else {
    ike::VerifyAnswer out{};
    out.request = request;
    out.status = std::unexpected(too_many());
    answers_.post(std::move(out));
  }
}

AuthAnswer AuthWorkers::answer(const Task& task, gateway::ChainCache& chains) {
  auto [answer, microseconds] = measured(&io::stopwatch(), [&]() -> AuthAnswer {
    if (const auto* sign = std::get_if<ike::SignQuestion>(&task.question))
      return task.credentials ? task.credentials->answer(*sign) : gateway::no_credentials(*sign);
    const auto& verify = std::get<ike::VerifyQuestion>(task.question);
    return task.credentials ? task.credentials->answer(verify, io::wall_now(), chains)
                            : gateway::no_credentials(verify);
  });
  std::visit([took = microseconds](auto& a) { a.microseconds = took; }, answer);
  return std::move(answer);
}

}  // namespace qanat::daemon
