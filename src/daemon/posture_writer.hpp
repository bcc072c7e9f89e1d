// PostureWriter: a thread that writes the harvest ledger, so that a slow disk holds up nobody. What the control thread
// hands over while it writes is written together.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "io/event_loop.hpp"
#include "io/log.hpp"
#include "io/mailbox.hpp"
#include "store/posture_ledger.hpp"

namespace qanat::daemon {

class PostureWriter {
 public:
  PostureWriter(std::unique_ptr<store::PostureLedger> ledger, const io::Log& log);
  ~PostureWriter();  // writes what it was given, and ends
  PostureWriter(const PostureWriter&) = delete;
  PostureWriter& operator=(const PostureWriter&) = delete;

  // Before start().
  [[nodiscard]] Result<std::vector<model::PostureRecord>> load() { return ledger_->load(); }
  [[nodiscard]] Status start();
  void post(std::vector<model::PostureRecord> records);

 private:
  struct Message {
    std::vector<model::PostureRecord> records;
    bool last = false;
  };
  void write();
  std::unique_ptr<store::PostureLedger> ledger_;
  const io::Log& log_;
  io::Mailbox<Message> inbox_;
  std::unique_ptr<io::EventLoop> loop_;
  std::thread thread_;
  bool failing_ = false;  // it is said once, not with every write
};

}  // namespace qanat::daemon
