#include "control/captures.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/secret.hpp"
#include "control/pcapng.hpp"

namespace qanat::control {

namespace {

constexpr Duration kPatience = 10s;             // for the packet path's word, beyond the capture's own time
constexpr std::uint64_t kFileOverhead = 16384;  // section and interfaces

std::string filter_text(const ipsec::CaptureFilter& filter) {
  std::string out;
  const auto add = [&](std::string part) { out += (out.empty() ? "" : " and ") + std::move(part); };
  if (filter.protocol) add(fmt::format("ip proto {}", *filter.protocol));
  if (filter.source) add("src net " + filter.source->to_string());
  if (filter.destination) add("dst net " + filter.destination->to_string());
  if (filter.source_port) add(fmt::format("src port {}", *filter.source_port));
  if (filter.destination_port) add(fmt::format("dst port {}", *filter.destination_port));
  return out;
}

WallTime wall(Instant now, Duration boot) {
  return {std::chrono::floor<std::chrono::seconds>(Duration{now.ns()} + boot).count()};
}

}  // namespace

std::string_view to_string(CaptureState state) {
  switch (state) {
    case CaptureState::Pending:
      return "pending";
    case CaptureState::Running:
      return "running";
    case CaptureState::Success:
      return "success";
    case CaptureState::Complete:
      return "complete";
    case CaptureState::Failed:
      return "failed";
  }
  return "unknown";
}

CaptureData::~CaptureData() {
  for (Bytes& block : blocks_) wipe(block);
}

void CaptureData::add(Bytes block) {
  if (block.empty()) return;
  size_ += block.size();
  blocks_.push_back(std::move(block));
}

std::string CaptureReader::read(std::size_t at_most) {
  std::string out;
  while (block_ < data_->blocks() && out.size() < at_most) {
    const ByteView rest = data_->block(block_).subspan(at_);
    const ByteView part = rest.first(std::min(rest.size(), at_most - out.size()));
    out.append(part.begin(), part.end());
    at_ += part.size();
    if (part.size() == rest.size()) {
      ++block_;
      at_ = 0;
    }
  }
  return out;
}

std::uint64_t CaptureBook::reserved(const CaptureWish& wish) {
  return wish.bytes + std::uint64_t{wish.packets} * pcapng::kPacketOverhead + kFileOverhead;
}

std::uint64_t CaptureBook::held(const Capture& capture) {
  return capture.status.is_running() ? reserved(capture.status.wish) : capture.data->size();
}

std::uint64_t CaptureBook::held_by_readers(std::optional<std::string_view> account) const {
  std::uint64_t out = 0;
  for (const Gone& gone : gone_) {
    if (account && gone.account != *account) continue;
    if (const auto data = gone.data.lock()) out += data->size();
  }
  return out;
}

// Those of the account that have ended could go; what runs, what is being read, and what is others' could not.
std::optional<std::string> CaptureBook::refusal(const CaptureWish& wish) const {
  std::size_t running = 0;
  std::size_t running_here = 0;
  std::uint64_t fixed = held_by_readers(std::nullopt) + reserved(wish);
  std::uint64_t fixed_here = held_by_readers(wish.account) + reserved(wish);
  for (const auto& [id, capture] : captures_) {
    const bool here = capture.status.wish.account == wish.account;
    const bool runs = capture.status.is_running();
    running += runs ? 1U : 0U;
    running_here += here && runs ? 1U : 0U;
    if (runs || !here) fixed += held(capture);
    if (runs && here) fixed_here += held(capture);
  }
  if (running_here >= kCapturesRunning)
    return fmt::format("{} captures of this account run already, and no more may: stop one, or wait for its end",
                       running_here);
  if (running >= kGatewayCaptures)
    return fmt::format("{} captures run on this gateway already, and no more may: wait for the end of one", running);
  if (fixed_here > kCaptureOctets)
    return fmt::format("the captures of this account may hold {} octets together: stop one, or ask for fewer",
                       kCaptureOctets);
  if (fixed > kGatewayCaptureOctets)
    return fmt::format(
        "the captures of this gateway may hold {} octets together: delete what was downloaded, or ask for fewer",
        kGatewayCaptureOctets);
  return std::nullopt;
}

void CaptureBook::start(Instant now, Duration boot, CaptureWish wish) {
  std::erase_if(gone_, [](const Gone& gone) { return gone.data.expired(); });
  const auto holds = [&](std::optional<std::string_view> account) {
    std::uint64_t octets = held_by_readers(account) + reserved(wish);
    std::size_t count = 1;
    for (const auto& [id, capture] : captures_) {
      if (account && capture.status.wish.account != *account) continue;
      octets += held(capture);
      ++count;
    }
    return std::pair{octets, count};
  };
  while (true) {
    const auto [octets, count] = holds(wish.account);
    if (octets <= kCaptureOctets && count <= kCapturesKept && holds(std::nullopt).first <= kGatewayCaptureOctets) break;
    const auto oldest = std::find_if(captures_.begin(), captures_.end(), [&](const auto& one) {
      return one.second.status.wish.account == wish.account && !one.second.status.is_running();
    });
    if (oldest == captures_.end()) break;
    erase(oldest->first);
  }
  const CaptureId id{next_id_++};
  Capture& made = captures_[id];
  made.boot = boot;
  made.begun = now;
  made.status.submitted = wall(now, boot);
  by_name_[wish.id] = id;
  orders_.push_back({id, wish});
  Bytes head;
  pcapng::append_section(head, application_);
  made.data->add(std::move(head));
  made.status.wish = std::move(wish);
}

void CaptureBook::stop(Instant now, const std::string& id) {
  Capture* capture = by_id(id);
  if (capture == nullptr || !capture->status.is_running() || capture->status.stop_requested) return;
  capture->status.stop_requested = wall(now, capture->boot);
  orders_.push_back({by_name_.at(id), std::nullopt});
}

void CaptureBook::remove(const std::string& id) {
  const auto found = by_name_.find(id);
  if (found != by_name_.end()) erase(found->second);
}

void CaptureBook::erase(CaptureId id) {
  const auto found = captures_.find(id);
  Capture& capture = found->second;
  if (capture.status.is_running()) orders_.push_back({id, std::nullopt});
  capture.data->close();
  by_name_.erase(capture.status.wish.id);
  if (capture.data.use_count() > 1) gone_.push_back({capture.status.wish.account, capture.data});
  captures_.erase(found);
}

std::optional<std::string> CaptureBook::take(Instant now, const ipsec::CaptureChunk& chunk) {
  const auto found = captures_.find(chunk.capture);
  if (found == captures_.end() || !found->second.status.is_running()) return std::nullopt;
  Capture& capture = found->second;
  CaptureStatus& status = capture.status;
  status.state = CaptureState::Running;
  Bytes block;
  // Room for all of it at once: what grows leaves copies behind that nobody wipes.
  block.reserve(chunk.octets.size() + chunk.packets.size() * pcapng::kPacketOverhead + chunk.tunnels.size() * 2500);
  for (const auto& [tunnel, name] : chunk.tunnels) {
    const auto number = static_cast<std::uint32_t>(capture.interfaces.size());
    if (capture.interfaces.try_emplace(tunnel, number).second)
      pcapng::append_interface(block, name, status.wish.snap, filter_text(status.wish.filter));
  }
  bool is_full = false;
  for (const ipsec::CapturedPacket& packet : chunk.packets) {
    const auto interface = capture.interfaces.find(packet.tunnel);
    if (interface == capture.interfaces.end()) continue;
    // Several workers may each have taken as much as was asked for.
    is_full = status.packets >= status.wish.packets || status.bytes + packet.kept > status.wish.bytes;
    if (is_full) break;
    ++status.packets;
    status.bytes += packet.kept;
    pcapng::append_packet(
        block, interface->second, static_cast<std::uint64_t>((Duration{packet.at.ns()} + capture.boot).count()),
        packet.way == ipsec::CapturedPacket::Way::Out ? pcapng::Direction::Outbound : pcapng::Direction::Inbound,
        ByteView{chunk.octets}.subspan(packet.begin, packet.kept), packet.size);
  }
  capture.data->add(std::move(block));
  using End = ipsec::CaptureEnd;
  if (is_full && !chunk.end) orders_.push_back({chunk.capture, std::nullopt});
  if (is_full || chunk.end) {
    const bool refused = chunk.end == End::TooMany;
    const bool torn = chunk.end == End::TunnelGone && status.packets == 0;
    finish(now, capture, refused || torn ? CaptureState::Failed : CaptureState::Success,
           refused ? "the packet path has as many captures as it takes"
           : torn  ? "the tunnel was removed"
                   : "");
  }
  return status.wish.id;
}

std::optional<std::string> CaptureBook::fail(Instant now, CaptureId capture, std::string why) {
  const auto found = captures_.find(capture);
  if (found == captures_.end() || !found->second.status.is_running()) return std::nullopt;
  finish(now, found->second, CaptureState::Failed, std::move(why));
  return found->second.status.wish.id;
}

void CaptureBook::finish(Instant now, Capture& capture, CaptureState state, std::string error) {
  capture.status.state = state == CaptureState::Success && capture.status.wish.full ? CaptureState::Complete : state;
  capture.status.error = std::move(error);
  capture.status.ended = wall(now, capture.boot);
  capture.ended = now;
  capture.data->close();
}

Instant CaptureBook::due(const Capture& capture) {
  return capture.ended ? *capture.ended + kCaptureKept : capture.begun + capture.status.wish.time + kPatience;
}

std::vector<std::string> CaptureBook::handle_timeout(Instant now) {
  std::vector<std::string> ended;
  std::vector<CaptureId> old;
  for (auto& [id, capture] : captures_) {
    if (due(capture) > now) continue;
    if (capture.ended) {
      old.push_back(id);
    } else {
      finish(now, capture, CaptureState::Failed, "the packet path did not say its end");
      orders_.push_back({id, std::nullopt});
      ended.push_back(capture.status.wish.id);
    }
  }
  for (const CaptureId id : old) erase(id);
  return ended;
}

std::optional<Instant> CaptureBook::next_timeout() const {
  std::optional<Instant> next;
  for (const auto& [id, capture] : captures_) {
    const Instant at = due(capture);
    if (!next || at < *next) next = at;
  }
  return next;
}

std::optional<CaptureOrder> CaptureBook::poll_order() {
  if (orders_.empty()) return std::nullopt;
  CaptureOrder out = std::move(orders_.front());
  orders_.pop_front();
  return out;
}

CaptureBook::Capture* CaptureBook::by_id(const std::string& id) {
  const auto found = by_name_.find(id);
  return found == by_name_.end() ? nullptr : &captures_.at(found->second);
}

const CaptureStatus* CaptureBook::find(const std::string& id) const {
  const auto found = by_name_.find(id);
  return found == by_name_.end() ? nullptr : &captures_.at(found->second).status;
}

std::vector<CaptureStatus> CaptureBook::list(std::string_view account) const {
  std::vector<CaptureStatus> out;
  for (const auto& [id, capture] : captures_) {
    if (capture.status.wish.account == account) out.push_back(capture.status);
  }
  return out;
}

std::shared_ptr<const CaptureData> CaptureBook::data(const std::string& id) const {
  const auto found = by_name_.find(id);
  return found == by_name_.end() ? nullptr : captures_.at(found->second).data;
}

}  // namespace qanat::control
