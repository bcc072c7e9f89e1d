#include "gateway/posture_book.hpp"

#include <algorithm>
#include <utility>

namespace qanat::gateway {

void PostureBook::restore(std::vector<model::PostureRecord> records) {
  for (model::PostureRecord& record : records) {
    std::string name = record.tunnel;
    Page& p = pages_[name];
    p.was_hybrid = record.first_hybrid_at.has_value();
    p.record = std::move(record);
  }
}

PostureBook::Page& PostureBook::page(const std::string& tunnel) {
  Page& out = pages_[tunnel];
  out.record.tunnel = tunnel;
  return out;
}

void PostureBook::mark_changed(Page& page) {
  if (!std::exchange(page.changed, true)) changed_.push_back(&page);
}

std::optional<WallTime> PostureBook::wall_at(Instant now) const {
  if (!wall_) return std::nullopt;
  return WallTime{wall_->second.seconds + std::chrono::floor<std::chrono::seconds>(now - wall_->first).count()};
}

// Time since the last booking: under the keys that were live until now. One classical Child SA makes it classical.
void PostureBook::book_time(Instant now, Page& p) {
  const double seconds = now > p.since ? std::chrono::duration<double>(now - p.since).count() : 0;
  p.since = now;
  if (p.classical == 0 && p.safe == 0) return;
  mark_changed(p);
  if (p.classical == 0) {
    p.record.safe_seconds += seconds;
    return;
  }
  p.record.classical_seconds += seconds;
  if (const auto wall = wall_at(now)) p.record.last_classical_at = wall;
}

bool PostureBook::child_up(Instant now, const std::string& tunnel, ChildSaId child, Keys keys) {
  Page& p = page(tunnel);
  book_time(now, p);
  if (!children_.emplace(child, Child{tunnel, keys, 0}).second) return false;
  mark_changed(p);
  const auto wall = wall_at(now);
  if (keys == Keys::Classical) {
    ++p.classical;
    p.was_classical = true;
    if (wall) p.record.last_classical_at = wall;
    return p.was_hybrid && !std::exchange(p.fallen, true);
  }
  ++p.safe;
  p.fallen = false;
  if (keys == Keys::Hybrid) {
    p.was_hybrid = true;
    if (!p.record.first_hybrid_at && wall) {
      p.record.first_hybrid_at = wall;
      urgent_ = true;
    }
  }
  return false;
}

void PostureBook::child_gone(Instant now, ChildSaId child) {
  const auto found = children_.find(child);
  if (found == children_.end()) return;
  Page& p = page(found->second.tunnel);
  book_time(now, p);
  --(found->second.keys == Keys::Classical ? p.classical : p.safe);
  children_.erase(found);
}

void PostureBook::count_child(const ipsec::SaCounters& c) {
  const auto found = children_.find(c.child);
  if (found == children_.end()) return;
  const std::uint64_t bytes = c.bytes_in + c.bytes_out;
  const std::uint64_t more = bytes - std::min(bytes, std::exchange(found->second.bytes_seen, bytes));
  if (found->second.keys != Keys::Classical) page(found->second.tunnel).safe_this_time += more;
}

void PostureBook::count_tunnel(Instant now, const std::string& name, std::uint64_t bytes) {
  Page& p = page(name);
  book_time(now, p);
  // A smaller sum than before: the tunnel was made anew in the packet path.
  const std::uint64_t before = std::exchange(p.bytes_seen, bytes);
  const std::uint64_t more = bytes >= before ? bytes - before : bytes;
  const std::uint64_t known_safe = std::min(more, std::exchange(p.safe_this_time, 0));
  const std::uint64_t rest = more - known_safe;
  p.record.safe_bytes += known_safe + (p.was_classical ? 0 : rest);
  if (p.was_classical) p.record.classical_bytes += rest;
  if (more != 0) mark_changed(p);
  p.was_classical = p.classical != 0;
}

const model::PostureRecord* PostureBook::find(const std::string& tunnel) const {
  const auto found = pages_.find(tunnel);
  return found == pages_.end() ? nullptr : &found->second.record;
}

bool PostureBook::has_fallen(const std::string& tunnel) const {
  const auto found = pages_.find(tunnel);
  return found != pages_.end() && found->second.fallen;
}

bool PostureBook::was_hybrid(const std::string& tunnel) const {
  const auto found = pages_.find(tunnel);
  if (found == pages_.end()) return !readable_;
  return found->second.was_hybrid || (!readable_ && !found->second.forgotten);
}

bool PostureBook::forget(const std::string& tunnel) {
  if (!was_hybrid(tunnel)) return false;
  Page& p = page(tunnel);
  p.was_hybrid = p.fallen = false;
  p.forgotten = true;
  p.record.first_hybrid_at.reset();
  mark_changed(p);
  urgent_ = true;
  return true;
}

std::vector<model::PostureRecord> PostureBook::take_changed(Instant now, Write when) {
  std::vector<model::PostureRecord> out;
  if (when == Write::WhenDue && !urgent_ && written_ && now - *written_ < kWriteEvery) return out;
  urgent_ = false;
  out.reserve(changed_.size());
  for (Page* p : changed_) {
    p->changed = false;
    out.push_back(p->record);
  }
  changed_.clear();
  if (!out.empty()) written_ = now;
  return out;
}

}  // namespace qanat::gateway
