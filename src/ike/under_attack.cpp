// What an IKE SA does about things that strangers can make it do: puzzles that it is given, and news that nobody
// vouches for.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ike/ike_sa.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyPayload;

namespace {

// One slice keeps the thread for a millisecond or two, and then everybody else has a turn.
constexpr std::size_t kTriesPerSlice = 1024;
constexpr Duration kSlicePause = 1ms;
constexpr std::uint8_t kOwnChoice = 14;  // zero bits when the peer leaves it to us: a fraction of a second
constexpr Duration kTroublePeriod = 10s;
constexpr std::size_t kMaxCookie = 64;

}  // namespace

// The peer demands a cookie, perhaps with a puzzle (RFC 7296 2.6, RFC 8019 7.1.2). Nobody vouches for it, so while the
// puzzle is being solved the request as it was goes on being sent, and a true answer to it ends the matter.
void IkeSa::on_cookie(Instant now, const NotifyPayload& cookie, const NotifyPayload* puzzle) {
  auto& state = std::get<AwaitInit>(state_);
  if (state.solver && state.solver->text() == cookie.data) return;  // asked again, and at work
  const auto asked = puzzle != nullptr ? parse_puzzle(puzzle->data) : std::nullopt;
  const std::uint8_t limit = std::min(env_.config.puzzle_limit, kMaxPuzzleDifficulty);
  if (cookie.data.empty() || cookie.data.size() > kMaxCookie || cookie.data == state.cookie) {
    env_.counters.add(Counter::bad_answer);
    take_hint(now, asked && asked->difficulty > limit
                       ? fmt::format("{} is under load and wants a puzzle of {} zero bits solved, more than our {}",
                                     path_.remote.to_string(), asked->difficulty, limit)
                       : "the peer demands cookies without end");
    return;
  }
  ++state.restarts;
  if (asked && asked->difficulty <= limit && limit > 0) {
    const std::uint8_t difficulty = asked->difficulty != 0 ? asked->difficulty : std::min(kOwnChoice, limit);
    state.solver.emplace(asked->prf, difficulty, cookie.data);
    timers_.set(Timer::Puzzle, now);
    return;
  }
  // Too much work, or no puzzle: the cookie alone goes back, and is served when there is room.
  state.solver.reset();
  state.solution.clear();
  state.cookie = cookie.data;
  resend_init(now, state);
}

// In a true answer to IKE_SA_INIT: a puzzle for IKE_AUTH, whose difficulty is never 0 (RFC 8019 7.2.1.1).
void IkeSa::note_auth_puzzle(const NotifyPayload* puzzle) {
  auth_puzzle_ = puzzle != nullptr ? parse_puzzle(puzzle->data) : std::nullopt;
  if (auth_puzzle_ && auth_puzzle_->difficulty == 0) auth_puzzle_.reset();
}

// True when IKE_AUTH has to wait for it. A puzzle beyond our limit is left alone, and the peer will drop our IKE_AUTH.
bool IkeSa::begin_auth_puzzle(Instant now, std::size_t rounds_done) {
  if (!auth_puzzle_) return false;
  const Puzzle puzzle = *std::exchange(auth_puzzle_, std::nullopt);
  if (puzzle.difficulty > std::min(env_.config.puzzle_limit, kMaxPuzzleDifficulty)) {
    making().hint = fmt::format("{} wants a puzzle of {} zero bits solved before IKE_AUTH, more than our {}",
                                peer_text(), puzzle.difficulty, env_.config.puzzle_limit);
    return false;
  }
  Bytes text = context_.nonce_r;
  text.resize(text.size() + 8);
  store_be64(&text[text.size() - 8], context_.spi_r);
  state_ = SolvingPuzzle{rounds_done, PuzzleSolver{puzzle.prf, puzzle.difficulty, std::move(text)}};
  timers_.set(Timer::Puzzle, now);
  return true;
}

void IkeSa::solve_puzzle(Instant now) {
  auto* init = std::get_if<AwaitInit>(&state_);
  auto* before_auth = std::get_if<SolvingPuzzle>(&state_);
  PuzzleSolver* solver = init != nullptr && init->solver ? &*init->solver : nullptr;
  if (before_auth != nullptr) solver = &before_auth->solver;
  if (solver == nullptr) return;
  if (!solver->advance(kTriesPerSlice)) {
    timers_.set(Timer::Puzzle, now + kSlicePause);
  } else if (before_auth != nullptr) {
    making().auth_solution = solver->solution();
    next_initiator_step(now, before_auth->rounds_done);
  } else {
    init->cookie = solver->text();
    init->solution = solver->solution();
    init->solver.reset();
    resend_init(now, *init);
  }
}

void IkeSa::hint_of_trouble(Instant now) {
  // An open request is a question already.
  if (!is_established() || outstanding_ || now < next_trouble_) return;
  next_trouble_ = now + kTroublePeriod;
  send_request(now, ExchangeType::INFORMATIONAL, {});
  timers_.set(Timer::LivenessDeadline, std::min(liveness_deadline(), now + tunnel_->dpd_timeout));
}

}  // namespace qanat::ike
