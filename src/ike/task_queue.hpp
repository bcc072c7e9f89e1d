// What an IKE SA wants to ask its peer, one thing at a time (window 1).
//
// To add a kind of exchange: a struct here, a case in IkeSa::start_task (it sends, or postpones) and one in
// IkeSa::on_task_response. While a task runs it stands in IkeSa::task_.
#pragma once

#include <algorithm>
#include <optional>
#include <variant>
#include <vector>

#include "base/bytes.hpp"
#include "base/strong_id.hpp"
#include "base/time.hpp"
#include "ike/mobike.hpp"
#include "wire/ts_payload.hpp"

namespace qanat::ike {

namespace task {

struct Liveness {
  friend bool operator==(const Liveness&, const Liveness&) = default;
};
struct DeleteChild {
  ChildSaId child;
  friend bool operator==(const DeleteChild&, const DeleteChild&) = default;
};
struct CreateChild {  // another Child SA; the packet that wants it comes first in its selectors
  std::optional<wire::TrafficSelector> local;
  std::optional<wire::TrafficSelector> remote;
  friend bool operator==(const CreateChild&, const CreateChild&) = default;
};
struct RekeyChild {
  ChildSaId child;
  friend bool operator==(const RekeyChild&, const RekeyChild&) = default;
};
struct RekeyIke {
  friend bool operator==(const RekeyIke&, const RekeyIke&) = default;
};
struct InvalidSelectors {  // the peer sends on it what its selectors do not take; one notice at a time
  ChildSaId child;
  Bytes packet;  // the start of one such
  friend bool operator==(const InvalidSelectors& a, const InvalidSelectors& b) { return a.child == b.child; }
};
struct CrashToken {  // the peer hears ours for this IKE SA, which a rekey has made
  friend bool operator==(const CrashToken&, const CrashToken&) = default;
};
struct AddressTask {  // MOBIKE
  AddressExchange::What what{};
  friend bool operator==(const AddressTask&, const AddressTask&) = default;
};

}  // namespace task

using Task = std::variant<task::Liveness, task::DeleteChild, task::CreateChild, task::RekeyChild, task::RekeyIke,
                          task::InvalidSelectors, task::CrashToken, task::AddressTask>;

struct QueuedTask {
  Task task;
  Instant not_before;
  unsigned attempts = 0;  // how often it has been put off
};

class TaskQueue {
 public:
  // The same task is not queued twice; the earlier time counts.
  void enqueue(Task task, Instant not_before, unsigned attempts = 0) {
    const auto same = std::find_if(tasks_.begin(), tasks_.end(), [&](const QueuedTask& q) { return q.task == task; });
    if (same == tasks_.end()) {
      tasks_.push_back({std::move(task), not_before, attempts});
    } else {
      same->not_before = std::min(same->not_before, not_before);
    }
  }
  // The first that is due. Where we are comes before all else, so that the rest arrives; then Deletes: what they end
  // must not be built upon.
  [[nodiscard]] std::optional<QueuedTask> take(Instant now) {
    auto best = tasks_.end();
    for (auto t = tasks_.begin(); t != tasks_.end(); ++t) {
      if (t->not_before > now) continue;
      if (best == tasks_.end() || rank(*t) < rank(*best)) best = t;
    }
    if (best == tasks_.end()) return std::nullopt;
    QueuedTask out = std::move(*best);
    tasks_.erase(best);
    return out;
  }
  [[nodiscard]] std::optional<Instant> next_due() const {
    std::optional<Instant> next;
    for (const QueuedTask& t : tasks_) {
      if (!next || t.not_before < *next) next = t.not_before;
    }
    return next;
  }
  [[nodiscard]] bool contains(const Task& task) const {
    return std::any_of(tasks_.begin(), tasks_.end(), [&](const QueuedTask& q) { return q.task == task; });
  }
  // True when it was there.
  bool remove(const Task& task) {
    return std::erase_if(tasks_, [&](const QueuedTask& q) { return q.task == task; }) != 0;
  }
  template <typename Predicate>
  void remove_if(Predicate predicate) {
    std::erase_if(tasks_, [&](const QueuedTask& q) { return predicate(q.task); });
  }
  void clear() { tasks_.clear(); }
  [[nodiscard]] bool empty() const { return tasks_.empty(); }
  // Gives back what an empty queue does not need.
  void settle() {
    if (tasks_.empty()) tasks_.shrink_to_fit();
  }

 private:
  [[nodiscard]] static int rank(const QueuedTask& t) {
    if (std::holds_alternative<task::AddressTask>(t.task)) return 0;
    return std::holds_alternative<task::DeleteChild>(t.task) ? 1 : 2;
  }
  std::vector<QueuedTask> tasks_;
};

}  // namespace qanat::ike
