// /client/v4/accounts/{account}/pcaps: packet captures, in Cloudflare's shapes (wan.md 1.6). The packets stand in
// CaptureRoom; the store keeps that there was a capture, so that a restart shows what it has ended.
#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "base/text.hpp"
#include "control/captures.hpp"
#include "control/object_api_impl.hpp"
#include "control/posture.hpp"
#include "model/wan.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;

constexpr std::int64_t kSimpleSeconds = 300;
constexpr std::int64_t kSimplePackets = 10'000;
constexpr std::int64_t kFullSeconds = 86'400;
constexpr std::int64_t kFullPackets = 500'000;
constexpr std::int64_t kFullPacketsUnsaid = 100'000;
constexpr std::int64_t kMaxBytes = std::int64_t{64} << 20;
constexpr std::int64_t kBytesUnsaid = std::int64_t{16} << 20;
constexpr std::int64_t kLeastSnap = 64;
constexpr std::int64_t kWholePacket = 65'535;
constexpr std::size_t kMaxName = 128;
constexpr std::int64_t kRemembered = 86'400;  // seconds that a capture is listed after its packets have gone

std::string key_of(std::string_view account, std::string_view id) {
  return fmt::format("capture/{}/{}", account, id);
}

std::optional<Prefix> read_address(Fields& fields, std::string_view name) {
  const auto text = fields.text(name, 64, "an IP address or a prefix, like 10.1.2.3 or 10.1.0.0/16");
  if (!text) return std::nullopt;
  if (text->find('/') != std::string::npos) {
    if (auto prefix = Prefix::parse(*text)) return *prefix;
    fields.refuse(name, "is no prefix without host bits, like 10.1.0.0/16");
  } else {
    if (auto address = IpAddress::parse(*text)) return Prefix::masked(*address, address->bits());
    fields.refuse(name, "is no IP address and no prefix, like 10.1.2.3 or 10.1.0.0/16");
  }
  return std::nullopt;
}

template <typename T>
std::optional<T> read_number(Fields& fields, std::string_view name, std::int64_t min) {
  const auto value = fields.integer(name, min, std::numeric_limits<T>::max());
  return value ? std::optional{static_cast<T>(*value)} : std::nullopt;
}

ipsec::CaptureFilter read_filter(Fields fields) {
  ipsec::CaptureFilter out;
  out.source = read_address(fields, "source_address");
  out.destination = read_address(fields, "destination_address");
  out.source_port = read_number<std::uint16_t>(fields, "source_port", 1);
  out.destination_port = read_number<std::uint16_t>(fields, "destination_port", 1);
  out.protocol = read_number<std::uint8_t>(fields, "protocol", 0);
  if (out.source && out.destination && out.source->is_v4() != out.destination->is_v4())
    fields.refuse("destination_address", "is of another address family than source_address: no packet has both");
  for (const char* port : {"source_port", "destination_port"}) {
    if (out.protocol && !model::has_port_numbers(*out.protocol) && fields.has(port))
      fields.refuse(port, fmt::format("protocol {} has no ports: name 6 (TCP), 17 (UDP), or none", *out.protocol));
  }
  fields.finish();
  return out;
}

CaptureWish read_wish(const json& body, ApiFaults& faults, std::vector<std::string>& messages) {
  enum class Type : std::uint8_t { Simple, Full };
  constexpr auto kTypes =
      std::to_array<std::pair<std::string_view, Type>>({{"simple", Type::Simple}, {"full", Type::Full}});
  constexpr auto kSystems = std::to_array<std::pair<std::string_view, int>>({{"magic-transit", 0}});
  CaptureWish out;
  Fields fields{body, "", "", faults};
  if (!fields.has("type")) fields.missing("type", "simple or full");
  out.full = fields.choice("type", kTypes) == Type::Full;
  if (!fields.has("system")) fields.missing("system", "magic-transit");
  (void)fields.choice("system", kSystems);
  const std::int64_t seconds = out.full ? kFullSeconds : kSimpleSeconds;
  const std::int64_t packets = out.full ? kFullPackets : kSimplePackets;
  if (!fields.has("time_limit")) fields.missing("time_limit", fmt::format("seconds, 1 to {}", seconds));
  out.time = std::chrono::seconds{fields.integer("time_limit", 1, seconds).value_or(1)};
  if (!fields.has("packet_limit") && !out.full) fields.missing("packet_limit", fmt::format("1 to {}", packets));
  out.packets = static_cast<std::uint32_t>(fields.integer("packet_limit", 1, packets).value_or(kFullPacketsUnsaid));
  out.bytes = static_cast<std::uint64_t>(fields.integer("byte_limit", 1, kMaxBytes).value_or(kBytesUnsaid));
  out.snap = static_cast<std::uint32_t>(fields.integer("snap_length", kLeastSnap, kWholePacket).value_or(kWholePacket));
  out.tunnel = fields.text("tunnel", kMaxName, "a tunnel's name or id").value_or("");
  if (fields.has("filter_v1")) {
    if (auto filter = fields.object("filter_v1")) out.filter = read_filter(std::move(*filter));
  }
  if (fields.text("colo_name", kMaxName, "text"))
    messages.emplace_back("colo_name has no effect: there is one gateway");
  if (fields.has("destination_conf"))
    fields.refuse("destination_conf", "buckets are not offered: leave it out, and GET /pcaps/{id}/download",
                  ApiCode::NotOffered);
  if (fields.has("offset_time"))
    fields.refuse("offset_time", "packets of the past are not kept: leave it out", ApiCode::NotOffered);
  fields.finish();
  // What is shown again: as it was sent, with what was meant by silence.
  json document = json::object();
  for (const char* name : {"type", "system", "tunnel", "filter_v1", "colo_name"}) {
    if (const auto it = body.find(name); it != body.end() && !it->is_null()) document[name] = *it;
  }
  document["time_limit"] = std::chrono::duration_cast<std::chrono::seconds>(out.time).count();
  document["packet_limit"] = out.packets;
  document["byte_limit"] = out.bytes;
  document["snap_length"] = out.snap;
  out.document = document.dump(-1, ' ', false, json::error_handler_t::replace);
  return out;
}

json shown_capture(const CaptureStatus& status) {
  json out = json::parse(status.wish.document, nullptr, false);
  out["id"] = status.wish.id;
  out["status"] = to_string(status.state);
  out["submitted"] = date_text(status.submitted);
  out["packets_captured"] = status.packets;
  out["bytes_captured"] = status.bytes;
  if (status.stop_requested) out["stop_requested"] = date_text(*status.stop_requested);
  if (status.ended) out["finished_on"] = date_text(*status.ended);
  if (!status.error.empty()) out["error_message"] = status.error;
  return out;
}

std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// One that is remembered, and no more than that.
struct Remembered {
  std::string id;
  std::int64_t submitted = 0;
  json document;
};
std::optional<Remembered> remembered(const store::Entry& entry) {
  json in = json::parse(entry.value, nullptr, false);
  if (!in.is_object() || !in.contains("submitted") || !in["submitted"].is_number_integer() ||
      !in.contains("document") || !in["document"].is_object())
    return std::nullopt;
  return Remembered{entry.key.substr(entry.key.rfind('/') + 1), in["submitted"].get<std::int64_t>(),
                    std::move(in["document"])};
}
json shown_capture(const Remembered& one) {
  json out = one.document;
  out["id"] = one.id;
  out["status"] = "unknown";
  out["submitted"] = date_text(WallTime{one.submitted});
  out["packets_captured"] = 0;
  out["bytes_captured"] = 0;
  out["error_message"] =
      "its packets are not kept any more: they stand in memory, for an hour or until newer captures need the room, "
      "and a restart of the gateway ends them";
  return out;
}

Reply no_capture(std::string_view id) {
  return failure_reply(404, ApiCode::NotFound, fmt::format("there is no capture {}", printable(id, 64)));
}

}  // namespace

void ObjectApi::use_captures(CaptureRoom* room) {
  impl_->captures = room;
}

Reply ObjectApi::Impl::pcaps(Call& call, Action action, std::string id) {
  if (!captures) return failure_reply(503, ApiCode::Store, "captures are not made here");
  for (char& c : id) c = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  switch (action) {
    case Action::ListCaptures:
      return list_captures(call);
    case Action::StartCapture:
      return start_capture(call);
    case Action::DeleteCapture:
      return delete_capture(call, id);
    case Action::DownloadCapture:
      return download_capture(call, id);
    case Action::StopCapture:
      return stop_capture(call, id);
    default:
      const auto found = find_capture(call, id);
      return found ? success_reply(*found) : no_capture(id);
  }
}

namespace {

std::optional<CaptureStatus> in_room(CaptureRoom& room, const Call& call, const std::string& id) {
  for (CaptureStatus& one : room.list(call.account)) {
    if (one.wish.id == id) return std::move(one);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> ObjectApi::Impl::find_capture(const Call& call, const std::string& id) const {
  if (const auto status = in_room(*captures, call, id)) return text_of(shown_capture(*status));
  const auto entry = store.get(key_of(call.account, id));
  if (!entry || !*entry) return std::nullopt;
  const auto known = remembered(**entry);
  return known ? std::optional{text_of(shown_capture(*known))} : std::nullopt;
}

Reply ObjectApi::Impl::list_captures(const Call& call) const {
  const auto entries = store.list(key_of(call.account, ""));
  if (!entries) return failure_reply(500, ApiCode::Store, entries.error().detail);
  std::vector<std::pair<std::int64_t, json>> all;
  const std::vector<CaptureStatus> here = captures->list(call.account);
  for (const store::Entry& entry : entries->entries) {
    const auto known = remembered(entry);
    const bool is_here =
        known && std::any_of(here.begin(), here.end(), [&](const auto& c) { return c.wish.id == known->id; });
    if (known && !is_here && known->submitted + kRemembered > call.situation.now.seconds)
      all.emplace_back(known->submitted, shown_capture(*known));
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  json out = json::array();
  for (auto& [submitted, one] : all) out.push_back(std::move(one));
  for (const CaptureStatus& status : here) out.push_back(shown_capture(status));
  return success_reply(text_of(out));
}

Reply ObjectApi::Impl::start_capture(Call& call) {
  ParsedBody body = parse_body(call.request.body);
  if (!body.faults.empty()) return failure_reply(400, body.faults);
  CaptureWish wish = read_wish(body.value, body.faults, call.messages);
  const auto vrf = vrf_of(*file->config, call.account);
  if (!wish.tunnel.empty()) {
    const auto named = [&](const auto& set) -> const std::string* {
      for (const auto& one : set.items()) {
        if (one->account == call.account && (one->id == wish.tunnel || one->model.name == wish.tunnel))
          return &one->model.name;
      }
      return nullptr;
    };
    const std::string* name = named(stored.tunnels);
    if (!name) name = named(from_file.tunnels);
    if (!name) {
      body.faults.push_back({ApiCode::BadField,
                             fmt::format("tunnel = \"{}\": there is no tunnel of this name or id in account {}",
                                         printable(wish.tunnel, 64), call.account),
                             "/tunnel"});
    } else {
      wish.tunnel = *name;
      json document = json::parse(wish.document);
      document["tunnel"] = *name;
      wish.document = text_of(document);
    }
  }
  if (!vrf) body.faults.push_back({ApiCode::NotFound, "the account is not in the configuration file any more"});
  if (!body.faults.empty()) return failure_reply(status_of(body.faults), body.faults);
  wish.account = call.account;
  wish.vrf = *vrf;
  if (const auto why = captures->refusal(wish)) return failure_reply(409, ApiCode::Conflict, *why);
  wish.id = new_id(*call.situation.rng);
  if (!call.validate_only) {
    std::vector<store::Operation> operations{store::Operation::put(
        key_of(wish.account, wish.id),
        text_of({{"submitted", call.situation.now.seconds}, {"document", json::parse(wish.document)}}))};
    if (const auto entries = store.list(key_of(call.account, ""))) {
      for (const store::Entry& entry : entries->entries) {
        const auto known = remembered(entry);
        if (!known || known->submitted + kRemembered <= call.situation.now.seconds)
          operations.push_back(store::Operation::erase(entry.key));
      }
    }
    // First what the audit log says of it: nobody looks into a tunnel without that.
    if (auto refusal = write(call, std::move(operations),
                             {{"start capture", wish.account, wish.id, wish.tunnel, "", wish.document}}))
      return *refusal;
    const std::string id = wish.id;
    captures->start(std::move(wish));
    if (const auto status = in_room(*captures, call, id))
      return success_reply(text_of(shown_capture(*status)), call.messages);
    return no_capture(id);
  }
  CaptureStatus judged{
      .wish = std::move(wish), .submitted = call.situation.now, .stop_requested = {}, .ended = {}, .error = {}};
  return success_reply(text_of(shown_capture(judged)), call.messages);
}

Reply ObjectApi::Impl::stop_capture(Call& call, const std::string& id) {
  const auto status = in_room(*captures, call, id);
  if (!status) {
    const auto known = find_capture(call, id);
    return known ? success_reply(*known) : no_capture(id);  // it has ended: nothing is left to stop
  }
  if (status->is_running() && !status->stop_requested) {
    if (auto refusal = write(call, {}, {{"stop capture", call.account, id, status->wish.tunnel, "", ""}}))
      return *refusal;
    captures->stop(id);
  }
  return success_reply(find_capture(call, id).value_or(text_of(shown_capture(*status))));
}

Reply ObjectApi::Impl::delete_capture(Call& call, const std::string& id) {
  const auto shown = find_capture(call, id);
  if (!shown) return no_capture(id);
  if (auto refusal = write(call, {store::Operation::erase(key_of(call.account, id))},
                           {{"delete capture", call.account, id, "", *shown, ""}}))
    return *refusal;
  captures->remove(id);
  return success_reply(fmt::format(R"({{"id":"{}"}})", id));
}

Reply ObjectApi::Impl::download_capture(Call& call, const std::string& id) {
  auto follow = CaptureRoom::Follow::No;
  for (const auto& [name, value] : call.target.query) {
    if (value != "true" && value != "false")
      return failure_reply(400, ApiCode::BadParameter,
                           fmt::format("follow = '{}': must be true or false", printable(value, 64)));
    follow = value == "true" ? CaptureRoom::Follow::Yes : CaptureRoom::Follow::No;
  }
  const auto status = in_room(*captures, call, id);
  if (!status) {
    if (!find_capture(call, id)) return no_capture(id);
    return failure_reply(
        404, ApiCode::NotFound,
        fmt::format("the packets of capture {} are not kept any more: they stand in memory, for an hour "
                    "or until newer captures need the room, and a restart ends them",
                    id));
  }
  if (status->state == CaptureState::Failed)
    return failure_reply(404, ApiCode::NotFound,
                         fmt::format("capture {} has no packets: it failed: {}", id, status->error));
  if (status->is_running() && follow == CaptureRoom::Follow::No)
    return failure_reply(409, ApiCode::Conflict,
                         fmt::format("capture {} still runs: stop it, wait for its end, or ask with ?follow=true", id));
  if (auto refusal = write(call, {}, {{"download capture", call.account, id, status->wish.tunnel, "", ""}}))
    return *refusal;
  auto stream = captures->open(id, follow);
  if (!stream) return no_capture(id);
  return {200,
          {{"Content-Type", "application/x-pcapng"},
           {"Cache-Control", "no-store"},
           {"Content-Disposition", fmt::format("attachment; filename=\"qanat-{}.pcapng\"", id.substr(0, 8))}},
          "",
          std::move(stream)};
}

}  // namespace qanat::control
