// Words of nft's JSON (libnftables-json(5)), for the .cpp files that make our rules and for no others.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/address.hpp"

namespace qanat::daemon::nft {

using Json = nlohmann::json;

// Our tables: `inet qanat` against plaintext, `inet qanat_nat`.
inline constexpr const char* kFilterTable = "qanat";
inline constexpr const char* kNatTable = "qanat_nat";

inline Json add(Json object) {
  return {{"add", std::move(object)}};
}
inline Json table(const char* name) {
  return {{"table", {{"family", "inet"}, {"name", name}}}};
}
inline Json in_table(const char* name, Json object) {
  object["family"] = "inet";
  object["table"] = name;
  return object;
}

// Expressions.
inline Json payload(const char* protocol, const char* field) {
  return {{"payload", {{"protocol", protocol}, {"field", field}}}};
}
inline Json meta(const char* key) {
  return {{"meta", {{"key", key}}}};
}
inline Json fib(const char* result, const char* of) {
  return {{"fib", {{"result", result}, {"flags", Json::array({of})}}}};
}
inline Json match(const char* op, Json left, Json right) {
  return {{"match", {{"op", op}, {"left", std::move(left)}, {"right", std::move(right)}}}};
}
inline Json any_of(Json values) {
  return {{"set", std::move(values)}};
}
inline Json prefix(const char* address, unsigned length) {
  return {{"prefix", {{"addr", address}, {"len", length}}}};
}
inline Json to_us() {
  return match("==", fib("type", "daddr"), "local");
}
inline Json counted() {
  return {{"counter", nullptr}};
}
inline Json mark(std::uint32_t value) {
  return {{"mangle", {{"key", meta("mark")}, {"value", value}}}};
}
inline Json accept() {
  return {{"accept", nullptr}};
}
inline Json drop() {
  return {{"drop", nullptr}};
}
inline Json names(const std::vector<std::string>& list) {
  return any_of(Json(list));
}
inline Json ct(const char* key) {
  return {{"ct", {{"key", key}}}};
}
inline Json ct_original(const char* key) {
  return {{"ct", {{"key", key}, {"dir", "original"}}}};
}
inline Json set_ct(Json key, std::uint32_t value) {
  return {{"mangle", {{"key", std::move(key)}, {"value", value}}}};
}
inline Json go_to(const std::string& chain) {
  return {{"goto", {{"target", chain}}}};
}
// `cases`: [[value, verdict], ...]
inline Json verdict_of(Json key, Json cases) {
  return {{"vmap", {{"key", std::move(key)}, {"data", any_of(std::move(cases))}}}};
}

inline Json rule_in(const char* table, const std::string& chain, const char* comment, Json expressions) {
  return add({{"rule", in_table(table, {{"chain", chain}, {"comment", comment}, {"expr", std::move(expressions)}})}});
}

// An interval set takes no prefix inside another one.
inline std::vector<Prefix> without_nested(std::vector<Prefix> prefixes, bool v6) {
  std::erase_if(prefixes, [&](const Prefix& p) { return p.is_v4() == v6 || p.length() == 0; });
  std::ranges::sort(prefixes, [](const Prefix& a, const Prefix& b) {
    return a.address() != b.address() ? a.address() < b.address() : a.length() < b.length();
  });
  std::vector<Prefix> out;
  for (const Prefix& p : prefixes) {
    if (out.empty() || !out.back().contains(p)) out.push_back(p);
  }
  return out;
}

inline Json prefix_list(const std::vector<Prefix>& prefixes) {
  Json out = Json::array();
  for (const Prefix& p : prefixes)
    out.push_back({{"prefix", {{"addr", p.address().to_string()}, {"len", p.length()}}}});
  return out;
}

}  // namespace qanat::daemon::nft
