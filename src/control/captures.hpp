// Captures: which there are, in which state, and what they have taken, as pcapng. Pure.
//
//   commands  start(), stop(), remove()
//   inputs    take(), fail(), handle_timeout()
//   outputs   poll_order(): what the packet path is to do
//   getters   find(), list(), refusal(), next_timeout(), data()
//
// The packets stand in memory and nowhere else: they are what the tunnels keep secret, and a file would outlive the
// process, its crash and the token that asked for it. They are bounded for an account and for the gateway, and wiped
// when the capture is removed, makes room for another of its account, or is older than kCaptureKept.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/time.hpp"
#include "ipsec/data_plane.hpp"

namespace qanat::control {

inline constexpr std::size_t kCapturesRunning = 4;                                // of one account
inline constexpr std::size_t kGatewayCaptures = 16;                               // that run
inline constexpr std::size_t kCapturesKept = 32;                                  // of one account
inline constexpr std::uint64_t kCaptureOctets = std::uint64_t{128} << 20;         // of one account
inline constexpr std::uint64_t kGatewayCaptureOctets = std::uint64_t{256} << 20;  // of all
inline constexpr Duration kCaptureKept = std::chrono::hours{1};                   // after its end

struct CaptureWish {
  std::string id;       // 32 hexadecimal digits
  std::string account;  // the VRF's name
  VrfId vrf;
  std::string tunnel;  // empty: every tunnel of the account
  Duration time{};
  std::uint32_t packets = 0;
  std::uint64_t bytes = 0;
  std::uint32_t snap = 0;
  ipsec::CaptureFilter filter;
  bool full = false;          // of Cloudflare's two types
  std::string document = {};  // JSON text: what the client has set
};

// Cloudflare's words.
enum class CaptureState : std::uint8_t { Pending, Running, Success, Complete, Failed };
[[nodiscard]] std::string_view to_string(CaptureState state);

struct CaptureStatus {
  CaptureWish wish;
  CaptureState state = CaptureState::Pending;
  WallTime submitted;
  std::optional<WallTime> stop_requested;
  std::optional<WallTime> ended;
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;  // octets of packets that are kept
  std::string error;        // of Failed
  [[nodiscard]] bool is_running() const { return state == CaptureState::Pending || state == CaptureState::Running; }
};

// The file of a capture as it grows. Wipes itself when the last reader has gone.
class CaptureData {
 public:
  CaptureData() = default;
  ~CaptureData();
  CaptureData(const CaptureData&) = delete;
  CaptureData& operator=(const CaptureData&) = delete;

  void add(Bytes block);
  void close() { closed_ = true; }
  [[nodiscard]] bool is_closed() const { return closed_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] std::size_t blocks() const { return blocks_.size(); }
  [[nodiscard]] ByteView block(std::size_t index) const { return blocks_[index]; }

 private:
  std::vector<Bytes> blocks_;
  std::uint64_t size_ = 0;
  bool closed_ = false;
};

// One who reads it from its beginning.
class CaptureReader {
 public:
  explicit CaptureReader(std::shared_ptr<const CaptureData> data) : data_(std::move(data)) {}
  [[nodiscard]] std::string read(std::size_t at_most);  // empty: nothing now
  [[nodiscard]] bool at_end() const { return data_->is_closed() && block_ == data_->blocks(); }
  void release() { data_.reset(); }  // the last call

 private:
  std::shared_ptr<const CaptureData> data_;
  std::size_t block_ = 0;
  std::size_t at_ = 0;
};

// For the packet path: by names, which the Director knows.
struct CaptureOrder {
  CaptureId capture;
  std::optional<CaptureWish> start;  // nullopt: stop
};

// Who starts and reads captures for the objects' API; several threads may be behind it.
class CaptureRoom {
 public:
  enum class Follow : std::uint8_t { No, Yes };  // Yes: to its end; it ends when the reader goes
  virtual ~CaptureRoom() = default;
  // Why there is no room for it now; nullopt: there is.
  [[nodiscard]] virtual std::optional<std::string> refusal(const CaptureWish& wish) = 0;
  virtual void start(CaptureWish wish) = 0;
  virtual void stop(const std::string& id) = 0;
  virtual void remove(const std::string& id) = 0;
  [[nodiscard]] virtual std::vector<CaptureStatus> list(std::string_view account) = 0;  // the oldest first
  [[nodiscard]] virtual std::shared_ptr<class BodyStream> open(const std::string& id, Follow follow) = 0;  // or null
};

class CaptureBook {
 public:
  // `application`: for the file, "qanat 1.2.3".
  explicit CaptureBook(std::string application) : application_(std::move(application)) {}

  [[nodiscard]] std::optional<std::string> refusal(const CaptureWish& wish) const;
  // `boot`: the wall's nanoseconds since 1970 when `now` counted 0. Captures that have ended go to make room.
  void start(Instant now, Duration boot, CaptureWish wish);
  void stop(Instant now, const std::string& id);
  void remove(const std::string& id);

  // The id of the capture that it was for, if there is one.
  std::optional<std::string> take(Instant now, const ipsec::CaptureChunk& chunk);
  std::optional<std::string> fail(Instant now, CaptureId capture, std::string why);
  // Ids of those that have ended by it.
  std::vector<std::string> handle_timeout(Instant now);
  [[nodiscard]] std::optional<Instant> next_timeout() const;
  [[nodiscard]] std::optional<CaptureOrder> poll_order();

  [[nodiscard]] const CaptureStatus* find(const std::string& id) const;
  [[nodiscard]] std::vector<CaptureStatus> list(std::string_view account) const;
  [[nodiscard]] std::shared_ptr<const CaptureData> data(const std::string& id) const;

 private:
  struct Capture {
    CaptureStatus status;
    Duration boot{};
    Instant begun;
    std::optional<Instant> ended;
    std::shared_ptr<CaptureData> data = std::make_shared<CaptureData>();
    std::map<TunnelId, std::uint32_t> interfaces;
  };
  struct Gone {  // removed, and perhaps still read
    std::string account;
    std::weak_ptr<const CaptureData> data;
  };
  [[nodiscard]] static std::uint64_t reserved(const CaptureWish& wish);
  [[nodiscard]] static std::uint64_t held(const Capture& capture);
  [[nodiscard]] std::uint64_t held_by_readers(std::optional<std::string_view> account) const;
  void finish(Instant now, Capture& capture, CaptureState state, std::string error);
  void erase(CaptureId id);
  [[nodiscard]] Capture* by_id(const std::string& id);
  [[nodiscard]] static Instant due(const Capture& capture);

  std::string application_;
  std::map<CaptureId, Capture> captures_;  // the oldest first
  std::unordered_map<std::string, CaptureId> by_name_;
  std::vector<Gone> gone_;
  std::deque<CaptureOrder> orders_;
  std::uint64_t next_id_ = 1;
};

}  // namespace qanat::control
