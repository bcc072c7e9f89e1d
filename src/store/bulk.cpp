#include "store/bulk.hpp"

#include <algorithm>

namespace qanat::store {

namespace {

// The generation's value while staged operations are the truth and wait to be moved.
constexpr std::string_view kMoving = "moving";
constexpr std::string_view kSettled = "settled";
// Where staged operations stand; the real key follows.
constexpr std::string_view kPuts = "staged/put/";
constexpr std::string_view kDeletes = "staged/delete/";

// Error{Internal} when a comparison fails where nobody else can have written.
[[nodiscard]] Status must_apply(const Result<Outcome>& outcome) {
  if (!outcome) return std::unexpected(outcome.error());
  if (outcome->applied) return {};
  return fail(ErrorKind::Internal, "object store", "two writers move the same bulk change");
}

Status clear_staged(ObjectStore& store) {
  while (true) {
    QANAT_ASSIGN(const Listing staged, store.list(kStagedPrefix, {.after = {}, .most = kMaxOperations}));
    if (staged.entries.empty()) return {};
    std::vector<Operation> gone;
    for (const Entry& entry : staged.entries) gone.push_back(Operation::erase(entry.key));
    QANAT_TRY(must_apply(store.txn({}, gone)));
  }
}

// Moves all that is staged to its place. The generation says "moving" until the last transaction.
Status move_staged(ObjectStore& store) {
  while (true) {
    QANAT_ASSIGN(const Listing staged, store.list(kStagedPrefix, {.after = {}, .most = kMaxOperations / 2}));
    if (staged.entries.empty()) break;
    std::vector<Operation> moves;
    for (const Entry& entry : staged.entries) {
      if (entry.key.starts_with(kPuts)) {
        moves.push_back({Operation::Kind::Put, entry.key.substr(kPuts.size()), entry.value, entry.secret, {}});
      } else {
        moves.push_back(Operation::erase(entry.key.substr(kDeletes.size())));
      }
      moves.push_back(Operation::erase(entry.key));
    }
    QANAT_TRY(must_apply(store.txn({}, moves)));
  }
  return must_apply(store.txn({}, std::vector{Operation::put(std::string{kGenerationKey}, std::string{kSettled})}));
}

Status stage(ObjectStore& store, std::span<const Operation> operations) {
  while (!operations.empty()) {
    std::vector<Operation> part;
    for (const Operation& operation : operations.first(std::min(operations.size(), kMaxOperations))) {
      const bool put = operation.kind == Operation::Kind::Put;
      part.push_back({Operation::Kind::Put,
                      std::string{put ? kPuts : kDeletes} + operation.key,
                      operation.value,
                      operation.secret,
                      {}});
    }
    QANAT_TRY(must_apply(store.txn({}, part)));
    operations = operations.subspan(part.size());
  }
  return {};
}

}  // namespace

Result<std::uint64_t> generation(ObjectStore& store) {
  QANAT_ASSIGN(const std::optional<Entry> entry, store.get(kGenerationKey));
  return entry ? entry->revision : 0;
}

Result<std::optional<std::uint64_t>> commit(ObjectStore& store, std::uint64_t generation,
                                            std::span<const Operation> operations) {
  const std::vector<Compare> same{{std::string{kGenerationKey}, generation}};
  if (operations.size() < kMaxOperations) {
    std::vector<Operation> all{operations.begin(), operations.end()};
    all.push_back(Operation::put(std::string{kGenerationKey}, std::string{kSettled}));
    QANAT_ASSIGN(const Outcome outcome, store.txn(same, all));
    return outcome.applied ? std::optional{outcome.revision} : std::nullopt;
  }
  QANAT_TRY(clear_staged(store));
  QANAT_TRY(stage(store, operations));
  QANAT_ASSIGN(const Outcome outcome,
               store.txn(same, std::vector{Operation::put(std::string{kGenerationKey}, std::string{kMoving})}));
  if (!outcome.applied) {
    QANAT_TRY(clear_staged(store));
    return std::optional<std::uint64_t>{};
  }
  QANAT_TRY(move_staged(store));
  QANAT_ASSIGN(const std::uint64_t now, qanat::store::generation(store));
  return std::optional{now};
}

Status recover(ObjectStore& store) {
  QANAT_ASSIGN(const std::optional<Entry> entry, store.get(kGenerationKey));
  return entry && entry->value == kMoving ? move_staged(store) : clear_staged(store);
}

}  // namespace qanat::store
