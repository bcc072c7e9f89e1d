#include "daemon/posture_writer.hpp"

#include <csignal>

namespace qanat::daemon {

PostureWriter::PostureWriter(std::unique_ptr<store::PostureLedger> ledger, const io::Log& log)
    : ledger_(std::move(ledger)), log_(log) {}

Status PostureWriter::start() {
  QANAT_ASSIGN(loop_, io::EventLoop::create());
  QANAT_TRY(loop_->add(inbox_.fd(), [this] { write(); }));
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  (void)::pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the control thread
  thread_ = std::thread([this] { (void)loop_->run(); });
  (void)::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {};
}

PostureWriter::~PostureWriter() {
  if (!thread_.joinable()) return;
  inbox_.post({{}, true});
  thread_.join();
}

void PostureWriter::post(std::vector<model::PostureRecord> records) {
  if (thread_.joinable() && !records.empty()) inbox_.post({std::move(records), false});
}

void PostureWriter::write() {
  std::vector<model::PostureRecord> records;
  bool last = false;
  for (Message& message : inbox_.take_all()) {
    last = last || message.last;
    records.insert(records.end(), std::make_move_iterator(message.records.begin()),
                   std::make_move_iterator(message.records.end()));
  }
  if (!records.empty()) {
    const Status saved = ledger_->save(records);
    if (!saved && !failing_) {
      log_.warning("posture-not-kept", {{"where", saved.error().where}, {"reason", saved.error().detail}});
    }
    failing_ = !saved;
  }
  if (last) loop_->stop();
}

}  // namespace qanat::daemon
