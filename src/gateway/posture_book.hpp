// PostureBook: the harvest ledger as it is written: how many octets and how many seconds each tunnel spends under keys
// that a quantum computer recovers from a recording. Fed by the counters of the packet path and by what IKE says of
// each Child SA's keys.
//
//   commands   restore(), trust_nothing(), forget(), set_wall()
//   inputs     child_up(), child_gone(), count()
//   output     take_changed(): records to be stored, at most once in kWriteEvery, or all that is new with Now, or when
//              is_urgent(): what a pin rests upon must not be lost with the process
//   getters    find(), has_fallen(), was_hybrid(), is_urgent()
//
// Octets that cannot be given to a Child SA (it ended between two readings of the counters) are booked as classical
// when any Child SA of the tunnel was classical in that interval: the ledger may say too much, never too little.
// Records outlive their tunnels: what was recorded stays recorded.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/strong_id.hpp"
#include "ipsec/data_plane.hpp"
#include "model/posture.hpp"

namespace qanat::gateway {

class PostureBook {
 public:
  static constexpr Duration kWriteEvery = 5s;

  enum class Keys : std::uint8_t { Safe, Hybrid, Classical };  // Safe: by a PPK alone
  enum class Write : std::uint8_t { WhenDue, Now };

  void restore(std::vector<model::PostureRecord> records);
  // The records could not be read: every peer may have been hybrid before.
  void trust_nothing() { readable_ = false; }
  // That its peer has ever been hybrid; the rest of the record stays. False: nothing is known of that tunnel.
  [[nodiscard]] bool forget(const std::string& tunnel);
  // What the wall clock shows at `now`; until then no date is written.
  void set_wall(Instant now, WallTime wall) { wall_ = {now, wall}; }

  // True when the tunnel once had hybrid keys and falls to classical ones with this Child SA: once for each fall.
  [[nodiscard]] bool child_up(Instant now, const std::string& tunnel, ChildSaId child, Keys keys);
  void child_gone(Instant now, ChildSaId child);
  // One reading of all counters. `name_of`: TunnelId -> name, nullptr when there is none.
  template <typename NameOf>
  void count(Instant now, const ipsec::Counters& counters, NameOf name_of) {
    for (const ipsec::SaCounters& c : counters.sas) count_child(c);
    for (const ipsec::TunnelCounters& c : counters.tunnels) {
      if (const std::string* name = name_of(c.tunnel)) count_tunnel(now, *name, c.bytes_in + c.bytes_out);
    }
  }

  [[nodiscard]] const model::PostureRecord* find(const std::string& tunnel) const;
  [[nodiscard]] bool has_fallen(const std::string& tunnel) const;
  // Its peer has come up with hybrid keys, now or in an earlier life of this gateway, or nobody can tell.
  [[nodiscard]] bool was_hybrid(const std::string& tunnel) const;
  [[nodiscard]] bool is_urgent() const { return urgent_; }
  [[nodiscard]] std::vector<model::PostureRecord> take_changed(Instant now, Write when = Write::WhenDue);

 private:
  struct Page {
    model::PostureRecord record;
    std::uint64_t bytes_seen = 0;      // of the tunnel's counters
    std::uint64_t safe_this_time = 0;  // octets of this reading that are known to be of safe Child SAs
    unsigned classical = 0;            // live Child SAs
    unsigned safe = 0;
    bool was_classical = false;  // some Child SA was since the last reading
    bool was_hybrid = false;     // ever
    Instant since;               // seconds are booked up to here
    bool fallen = false;
    bool changed = false;  // it is in changed_
    bool forgotten = false;  // asked for, so that it holds for records that could not be read, too
  };
  struct Child {
    std::string tunnel;
    Keys keys{};
    std::uint64_t bytes_seen = 0;
  };
  Page& page(const std::string& tunnel);
  void mark_changed(Page& page);
  void book_time(Instant now, Page& page);
  void count_child(const ipsec::SaCounters& counters);
  void count_tunnel(Instant now, const std::string& name, std::uint64_t bytes);
  [[nodiscard]] std::optional<WallTime> wall_at(Instant now) const;

  std::map<std::string, Page> pages_;
  std::vector<Page*> changed_;  // since they were last taken
  std::unordered_map<ChildSaId, Child> children_;
  std::optional<std::pair<Instant, WallTime>> wall_;
  std::optional<Instant> written_;
  bool readable_ = true;
  bool urgent_ = false;
};

}  // namespace qanat::gateway
