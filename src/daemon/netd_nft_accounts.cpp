// Accounts in the filter: their packets get a mark and a conntrack zone, answers find back by them, and nothing passes
// from one account to another. The routing rules hold accounts apart by interface (netd_protection.cpp); what only the
// kernel's connection tracking knows stands here: whose connection an answer belongs to that comes by an interface that
// all share.
//
// With one original zone an account's connections may have the tuples of another's. An answer from outside is looked up
// in zone 0, where NAT has made it unique; a connection between the account's own interfaces, which nothing translates,
// lies in the account's zone both ways.
//
// Who a packet belongs to is looked up in verdict maps, once for all accounts.

#include "daemon/nft_filter.hpp"

namespace qanat::daemon::nft {

namespace {

using gateway::AccountProtection;
using gateway::SetProtection;

constexpr const char* kBetween = "between_accounts";
constexpr const char* kAnswersIn = "answers_in";    // forwarded, or to us
constexpr const char* kAnswersOut = "answers_out";  // ours

std::string chain_of(const char* what, const AccountProtection& account) {
  return what + std::to_string(account.vrf.value());
}
std::string sources_of(const AccountProtection& account) {
  return chain_of("protected_", account) + "_";
}

std::vector<std::string> with_tun(const AccountProtection& account) {
  std::vector<std::string> out = account.interfaces;
  out.push_back(account.tun);
  return out;
}

Json base_chain(const char* name, const char* type, const char* hook, int priority) {
  return add({{"chain",
               in_table(kFilterTable,
                        {{"name", name}, {"type", type}, {"hook", hook}, {"prio", priority}, {"policy", "accept"}})}});
}
Json plain_chain(const std::string& name) {
  return add({{"chain", in_table(kFilterTable, {{"name", name}})}});
}

// [[interface, goto PREFIXn], ...]
enum class Whose : std::uint8_t { Tuns, Interfaces, Both };
Json cases(const SetProtection& protection, const char* prefix, Whose whose) {
  Json out = Json::array();
  for (const AccountProtection& a : protection.accounts) {
    const auto add_case = [&](const std::string& name) {
      out.push_back(Json::array({name, go_to(chain_of(prefix, a))}));
    };
    if (whose != Whose::Tuns) std::ranges::for_each(a.interfaces, add_case);
    if (whose != Whose::Interfaces) add_case(a.tun);
  }
  return out;
}

void dispatch(Json& commands, const char* chain, const char* comment, Json key, Json to) {
  if (!to.empty()) commands.push_back(rule(chain, comment, Json::array({verdict_of(std::move(key), std::move(to))})));
}

// Every packet of the account that comes by an interface of its own.
void add_inside_chain(Json& commands, const SetProtection& protection, const AccountProtection& account) {
  const std::string chain = chain_of("inside_", account);
  const std::uint32_t zone = kFirstZone + account.vrf.value();
  Json way = fib("oifname", "daddr");
  way["fib"]["flags"].push_back("mark");
  commands.push_back(rule(chain, "whose it is", Json::array({mark(protection.fwmark + account.vrf.value())})));
  commands.push_back(
      rule(chain, "stays inside", {match("==", way, names(with_tun(account))), set_ct(ct("zone"), zone), accept()}));
  commands.push_back(rule(chain, "may go outside", {set_ct(ct_original("zone"), zone), accept()}));
}

// From an interface of the account's that is not its TUN: the filter against plaintext, for its own prefixes.
void add_interface_chain(Json& commands, const SetProtection& protection, const AccountProtection& account,
                         const Exceptions& exceptions) {
  const std::string chain = chain_of("interface_", account);
  commands.push_back(rule(chain, "whose it is", Json::array({mark(protection.fwmark + account.vrf.value())})));
  add_exceptions(commands, chain, exceptions, account.vrf, "saddr", "iifname", go_to(chain_of("inside_", account)));
  add_prefix_drops(commands, chain, "protected source", sources_of(account), "saddr");
  add_learnt_drops(commands, chain, account.vrf, account.tun, Marked::Yes);
  add_default_drops(commands, chain, account.prefixes, account.tun, Marked::Yes);
  commands.push_back(rule(chain, "the account's", Json::array({go_to(chain_of("inside_", account))})));
}

void add_exit_chain(Json& commands, const AccountProtection& account) {
  const std::string chain = chain_of("exit_", account);
  if (!account.interfaces.empty())
    commands.push_back(
        rule(chain, "the account's", {match("==", meta("oifname"), names(account.interfaces)), accept()}));
  add_prefix_drops(commands, chain, "protected destination", sources_of(account), "daddr");
  commands.push_back(rule(chain, "outside", Json::array({accept()})));
}

// Forwarded packets.
void add_between_rules(Json& commands, const SetProtection& protection) {
  Json all = Json::array({protection.tun});
  for (const AccountProtection& a : protection.accounts) {
    for (const std::string& name : with_tun(a)) all.push_back(name);
  }
  const auto keep_inside = [&](const std::string& chain, const std::vector<std::string>& own) {
    commands.push_back(rule(chain, "the account's", {match("==", meta("oifname"), names(own)), accept()}));
    commands.push_back(
        rule(chain, "another account's", {match("==", meta("oifname"), any_of(all)), counted(), drop()}));
    commands.push_back(rule(chain, "outside", Json::array({accept()})));
  };
  commands.push_back(plain_chain("from_default"));
  keep_inside("from_default", {protection.tun});
  for (const AccountProtection& a : protection.accounts) {
    commands.push_back(plain_chain(chain_of("from_", a)));
    keep_inside(chain_of("from_", a), with_tun(a));
    commands.push_back(plain_chain(chain_of("to_", a)));
    add_prefix_drops(commands, chain_of("to_", a), "protected source", sources_of(a), "saddr");
  }
  Json from = cases(protection, "from_", Whose::Both);
  from.push_back(Json::array({protection.tun, go_to("from_default")}));
  dispatch(commands, kBetween, "from an account", meta("iifname"), std::move(from));
  dispatch(commands, kBetween, "to an account, from outside", meta("oifname"),
           cases(protection, "to_", Whose::Interfaces));
}

// An answer belongs to the account that began.
void add_answer_rules(Json& commands, const SetProtection& protection) {
  for (const char* chain : {kAnswersIn, kAnswersOut}) {
    for (const AccountProtection& a : protection.accounts) {
      commands.push_back(
          rule(chain, "an answer to the account",
               {match("==", ct("direction"), "reply"), match("==", ct_original("zone"), kFirstZone + a.vrf.value()),
                mark(protection.fwmark + a.vrf.value())}));
    }
  }
}

}  // namespace

void add_account_chains(Json& commands, const SetProtection& protection, const Exceptions& exceptions) {
  if (protection.accounts.empty()) return;
  constexpr int kBeforeTracking = -300;
  constexpr int kMangle = -150;  // after connection tracking, before the destination is what it was before NAT
  commands.push_back(base_chain(kBetween, "filter", "forward", kBeforeTracking));
  commands.push_back(base_chain(kAnswersIn, "filter", "prerouting", kMangle));
  commands.push_back(base_chain(kAnswersOut, "route", "output", kMangle));
  for (const AccountProtection& a : protection.accounts) {
    add_prefix_sets(commands, sources_of(a), a.prefixes);
    for (const char* what : {"inside_", "interface_", "exit_"}) commands.push_back(plain_chain(chain_of(what, a)));
    add_inside_chain(commands, protection, a);
    add_interface_chain(commands, protection, a, exceptions);
    add_exit_chain(commands, a);
  }
  add_between_rules(commands, protection);
  add_answer_rules(commands, protection);
}

void add_account_tun_rules(Json& commands, const SetProtection& protection) {
  dispatch(commands, kIn, "from an account's tunnels", meta("iifname"), cases(protection, "inside_", Whose::Tuns));
}

void add_account_interface_rules(Json& commands, const SetProtection& protection) {
  dispatch(commands, kIn, "from an account's interface", meta("iifname"),
           cases(protection, "interface_", Whose::Interfaces));
}

void add_account_exit_rules(Json& commands, const SetProtection& protection) {
  dispatch(commands, kOut, "of an account", meta("iifname"), cases(protection, "exit_", Whose::Both));
  Json marks = Json::array();
  for (const AccountProtection& a : protection.accounts)
    marks.push_back(Json::array({protection.fwmark + a.vrf.value(), go_to(chain_of("exit_", a))}));
  dispatch(commands, kOut, "of an account", meta("mark"), std::move(marks));
}

}  // namespace qanat::daemon::nft
