#include "store/object_store.hpp"

#include <algorithm>
#include <set>

namespace qanat::store {

namespace {

[[nodiscard]] std::unexpected<Error> refuse(std::string detail) {
  return fail(ErrorKind::LocalPolicy, "object store", std::move(detail));
}

bool is_key(std::string_view key) {
  return !key.empty() && key.size() <= kMaxKey &&
         std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace

Status check(std::span<const Compare> compares, std::span<const Operation> operations) {
  if (compares.size() + operations.size() > 2 * kMaxOperations || operations.size() > kMaxOperations) {
    return refuse("a transaction has " + std::to_string(operations.size()) + " operations and " +
                  std::to_string(compares.size()) + " comparisons: at most " + std::to_string(kMaxOperations) +
                  " operations fit; make a bulk change (store/bulk.hpp)");
  }
  for (const Compare& compare : compares) {
    if (!is_key(compare.key)) return refuse("a key must be 1 to 512 printable ASCII characters without blanks");
  }
  std::set<std::string_view> seen;
  for (const Operation& operation : operations) {
    if (!is_key(operation.key)) return refuse("a key must be 1 to 512 printable ASCII characters without blanks");
    if (!seen.insert(operation.key).second) return refuse("the key " + operation.key + " is written twice");
    const std::size_t size = operation.secret ? operation.secret->size() : operation.value.size();
    if (size > kMaxValue)
      return refuse(operation.key + " has " + std::to_string(size) + " octets, and at most " +
                    std::to_string(kMaxValue) + " are allowed");
    if (operation.secret && !operation.value.empty()) return refuse(operation.key + " is a text and a secret at once");
  }
  return {};
}

std::string prefix_end(std::string_view prefix) {
  std::string end{prefix};
  while (!end.empty() && end.back() == '\x7f') end.pop_back();
  if (!end.empty()) ++end.back();
  return end;
}

LeaseId Leases::add(std::chrono::seconds time, Instant now) {
  const LeaseId id{next_++};
  leases_[id.value()] = {time, now + time};
  return id;
}

Status Leases::renew(LeaseId lease, Instant now) {
  const auto it = leases_.find(lease.value());
  if (it == leases_.end()) return refuse("lease " + std::to_string(lease.value()) + " is over: ask for another");
  it->second.until = now + it->second.time;
  return {};
}

Status Leases::check(std::span<const Operation> operations) const {
  for (const Operation& operation : operations) {
    if (operation.lease != LeaseId{} && !leases_.contains(operation.lease.value()))
      return refuse(operation.key + " hangs on lease " + std::to_string(operation.lease.value()) + ", which is over");
  }
  return {};
}

std::vector<LeaseId> Leases::expired(Instant now) const {
  std::vector<LeaseId> out;
  for (const auto& [id, lease] : leases_) {
    if (lease.until <= now) out.emplace_back(id);
  }
  return out;
}

void Leases::remove(std::span<const LeaseId> leases) {
  for (const LeaseId lease : leases) leases_.erase(lease.value());
}

void Notes::add(std::uint64_t revision, std::string key) {
  notes_.push_back({revision, std::move(key)});
  while (notes_.size() > kMaxChangesKept) {
    known_from_ = notes_.front().revision;
    notes_.pop_front();
  }
}

Result<Watched> Notes::changes(ObjectStore& store, std::string_view prefix, std::uint64_t since,
                               std::uint64_t now) const {
  Watched out;
  out.revision = now;
  out.too_old = since < known_from_ || since > now;
  if (out.too_old) return out;
  std::map<std::string_view, std::uint64_t> last;
  for (const Note& note : notes_) {
    if (note.revision > since && note.key.starts_with(prefix)) last[note.key] = note.revision;
  }
  for (const auto& [key, at] : last) {
    QANAT_ASSIGN(std::optional<Entry> entry, store.get(key));
    if (entry) {
      out.changes.push_back({Operation::Kind::Put, *std::move(entry)});
    } else {
      out.changes.push_back({Operation::Kind::Delete, Entry{std::string{key}, {}, {}, at, {}}});
    }
  }
  std::stable_sort(out.changes.begin(), out.changes.end(),
                   [](const Change& a, const Change& b) { return a.entry.revision < b.entry.revision; });
  return out;
}

Result<std::optional<Entry>> MemoryObjectStore::get(std::string_view key) {
  const auto it = entries_.find(key);
  return it == entries_.end() ? std::optional<Entry>{} : std::optional{it->second};
}

Result<Listing> MemoryObjectStore::list(std::string_view prefix, const Range& range) {
  Listing out;
  out.revision = revision_;
  auto it = range.after >= prefix ? entries_.upper_bound(range.after) : entries_.lower_bound(prefix);
  for (; it != entries_.end() && out.entries.size() < range.most && it->first.starts_with(prefix); ++it)
    out.entries.push_back(it->second);
  return out;
}

Result<Outcome> MemoryObjectStore::txn(std::span<const Compare> compares, std::span<const Operation> operations) {
  QANAT_TRY(check(compares, operations));
  QANAT_TRY(leases_.check(operations));
  for (const Compare& compare : compares) {
    const auto it = entries_.find(compare.key);
    if ((it == entries_.end() ? 0 : it->second.revision) != compare.revision) return Outcome{false, revision_};
  }
  const std::uint64_t next = revision_ + 1;
  bool changed = false;
  for (const Operation& operation : operations) {
    if (operation.kind == Operation::Kind::Put) {
      entries_[operation.key] = {operation.key, operation.value, operation.secret, next, operation.lease};
    } else if (entries_.erase(operation.key) == 0) {
      continue;
    }
    changed = true;
    notes_.add(next, operation.key);
  }
  if (changed) revision_ = next;
  return Outcome{true, revision_};
}

Result<Watched> MemoryObjectStore::watch(std::string_view prefix, std::uint64_t revision) {
  return notes_.changes(*this, prefix, revision, revision_);
}

Result<LeaseId> MemoryObjectStore::lease(std::chrono::seconds time, Instant now) {
  return leases_.add(time, now);
}
Status MemoryObjectStore::renew(LeaseId lease, Instant now) {
  return leases_.renew(lease, now);
}

Status MemoryObjectStore::expire(Instant now) {
  const std::vector<LeaseId> over = leases_.expired(now);
  leases_.remove(over);
  const std::uint64_t next = revision_ + 1;
  bool changed = false;
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (std::find(over.begin(), over.end(), it->second.lease) == over.end()) {
      ++it;
      continue;
    }
    notes_.add(next, it->first);
    it = entries_.erase(it);
    changed = true;
  }
  if (changed) revision_ = next;
  return {};
}

}  // namespace qanat::store
