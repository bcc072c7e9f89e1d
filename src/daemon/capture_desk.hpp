// CaptureDesk: the captures of the gateway, for several threads: those of HTTP start, list and read them, the control
// thread carries out what follows and brings what the packet path has seen.
#pragma once

#include <memory>

#include "control/api.hpp"
#include "control/captures.hpp"
#include "io/mailbox.hpp"

namespace qanat::daemon {

class CaptureDesk final : public control::CaptureRoom {
 public:
  explicit CaptureDesk(std::string application);
  ~CaptureDesk() override;
  CaptureDesk(const CaptureDesk&) = delete;
  CaptureDesk& operator=(const CaptureDesk&) = delete;

  // --- threads of HTTP
  [[nodiscard]] std::optional<std::string> refusal(const control::CaptureWish& wish) override;
  void start(control::CaptureWish wish) override;
  void stop(const std::string& id) override;
  void remove(const std::string& id) override;
  [[nodiscard]] std::vector<control::CaptureStatus> list(std::string_view account) override;
  [[nodiscard]] std::shared_ptr<control::BodyStream> open(const std::string& id, Follow follow) override;

  // --- the control thread
  [[nodiscard]] int orders_fd() const;
  [[nodiscard]] std::vector<control::CaptureOrder> take_orders();
  void take(Instant now, const ipsec::CaptureChunk& chunk);
  void fail(Instant now, CaptureId capture, std::string why);
  void handle_timeout(Instant now);
  [[nodiscard]] std::optional<Instant> next_timeout() const;

 private:
  struct State;
  class Stream;
  std::shared_ptr<State> state_;  // streams may outlive the desk
};

}  // namespace qanat::daemon
