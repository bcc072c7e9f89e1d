#include "cli/bundle.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "control/status_json.hpp"

namespace qanat::cli {

namespace {

constexpr auto kTimeout = std::chrono::seconds(10);
constexpr std::string_view kRemoved = "\"(removed)\"";

// Keys whose values are secret: by what they say, so that one that comes later is covered. Names of files and of keys
// are kept: they help, and open nothing.
bool is_secret(std::string_view key) {
  const auto has = [&](std::string_view part) { return key.find(part) != std::string_view::npos; };
  if (key.ends_with("_file") || key.ends_with("_files") || key == "ppk_id" || key == "ppk_policy") return false;
  return has("psk") || has("ppk") || has("secret") || has("password") || has("private") || has("token") ||
         key == "key" || key.ends_with("_key");
}

// Walks over TOML's words; what it does not understand it leaves out.
class Redactor {
 public:
  explicit Redactor(std::string_view in) : in_(in) {}

  std::string run() && {
    while (at_ < in_.size()) {
      const char c = in_[at_];
      if (c == '#') {
        at_ = std::min(in_.find('\n', at_), in_.size());
      } else if (c == '"' || c == '\'') {
        if (!string()) return out_ + "\n# (the rest is removed: a string has no end)\n";
      } else if (c == '=' && !removing_) {  // inside a secret it is a part of it
        key_ = word_;
        out_ += c;
        ++at_;
        secret_depth_ = depth_;
        removing_ = is_secret(key_);
        if (removing_) out_ += " " + std::string{kRemoved};
      } else if (c == '\n') {
        if (depth_ == 0) removing_ = false;
        out_ += c;
        word_ = {};
        ++at_;
      } else {
        other(c);
      }
    }
    return std::move(out_);
  }

 private:
  void put(std::string_view text) {
    if (!removing_) out_ += text;
  }
  // Inside a secret value a bracket of its own array may open; the table around it ends the value.
  void other(char c) {
    if (depth_ <= secret_depth_ && (c == ',' || c == '}')) removing_ = false;
    if (c == '[' || c == '{') ++depth_;
    if (c == ']' || c == '}') depth_ = std::max(0, depth_ - 1);
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-') {
      const std::size_t begin = at_;
      while (at_ < in_.size() &&
             (std::isalnum(static_cast<unsigned char>(in_[at_])) != 0 || in_[at_] == '_' || in_[at_] == '-'))
        ++at_;
      word_ = in_.substr(begin, at_ - begin);
      put(word_);
      return;
    }
    put(in_.substr(at_, 1));
    ++at_;
  }
  bool string() {
    const char quote = in_[at_];
    const std::string_view triple = quote == '"' ? "\"\"\"" : "\'\'\'";
    const bool multi = in_.substr(at_).starts_with(triple);
    const std::size_t begin = at_;
    at_ += multi ? 3 : 1;
    const std::size_t inside = at_;
    while (at_ < in_.size()) {
      if (quote == '"' && in_[at_] == '\\') {
        at_ += 2;
        continue;
      }
      if (!multi && in_[at_] == '\n') return false;
      if (multi ? in_.substr(at_).starts_with(triple) : in_[at_] == quote) {
        word_ = in_.substr(inside, at_ - inside);  // of a quoted key
        at_ += multi ? 3 : 1;
        put(in_.substr(begin, at_ - begin));
        return true;
      }
      ++at_;
    }
    return false;
  }

  std::string_view in_;
  std::size_t at_ = 0;
  std::string out_;
  std::string_view word_;
  std::string_view key_;
  bool removing_ = false;
  int depth_ = 0;
  int secret_depth_ = 0;  // of the table or array that the secret stands in
};

std::vector<std::string> secrets_of(const config::LoadedConfig& loaded) {
  std::vector<std::string> out;
  const auto add = [&](const model::PresharedKey& key) {
    const ByteView octets = key.expose();
    if (octets.size() >= 4) out.emplace_back(reinterpret_cast<const char*>(octets.data()), octets.size());
  };
  for (const model::Tunnel& t : loaded.config.tunnels) {
    add(t.psk);
    add(t.ppk);
  }
  return out;
}

}  // namespace

std::string without_secrets(std::string_view toml) {
  return Redactor{toml}.run();
}

int debug_bundle(const CommandLine& line, Shell& shell) {
  const auto refuse = [&](const std::string& why) {
    if (line.json) {
      shell.out(control::to_json(control::ApiError{"cannot_write", why}));
    } else {
      shell.err(fmt::format("qanat: {}\n", clean(why)));
    }
    return kFailed;
  };
  std::string time = control::date_text(shell.now());
  std::erase_if(time, [](char c) { return c == ':' || c == '-'; });
  const std::string folder = line.file.empty() ? "qanat-debug-" + time : line.file;
  std::vector<std::pair<std::string, std::string>> files;
  for (const auto& [name, target] :
       {std::pair{"status.json", "/v1/status"}, std::pair{"events.json", "/v1/events"},
        std::pair{"posture.json", "/v1/posture"}, std::pair{"routes.json", "/v1/routes"},
        std::pair{"metrics.txt", "/v1/metrics"}, std::pair{"version.json", "/v1/version"}}) {
    const auto reply = shell.exchange(line.socket, {"GET", target, ""}, kTimeout);
    files.emplace_back(name, reply ? reply->body : "not reached: " + reply.error().detail + "\n");
  }
  files.emplace_back("command-version.txt", shell.version + "\n");
  using Words = std::vector<std::string>;
  for (const auto& [name, command] :
       {std::pair{"ip-rule.txt", Words{"ip", "rule"}}, std::pair{"ip-rule6.txt", Words{"ip", "-6", "rule"}},
        std::pair{"ip-route.txt", Words{"ip", "route", "show", "table", "all"}},
        std::pair{"ip-route6.txt", Words{"ip", "-6", "route", "show", "table", "all"}},
        std::pair{"ip-link.txt", Words{"ip", "-d", "-s", "link"}},
        std::pair{"nft.txt", Words{"nft", "list", "table", "inet", "qanat"}}}) {
    const auto text = shell.run_program(command);
    files.emplace_back(name, text ? *text : text.error().detail + "\n");
  }
  // The configuration goes along without its secrets, and only when its secrets are known, so that it can be seen that
  // none of them is anywhere in the bundle.
  const auto text = shell.read_file(line.config);
  std::vector<std::string> secrets;
  if (!text) {
    files.emplace_back("config.toml", "# " + text.error().detail + "\n");
  } else if (const auto loaded = config::load(*text, line.config, shell.key_reader(line.config), shell.now());
             !loaded) {
    files.emplace_back("config.toml", "# left out: it does not load, so its secrets are not known; see: qanat check\n");
  } else {
    secrets = secrets_of(*loaded);
    files.emplace_back("config.toml", without_secrets(*text));
  }
  for (auto& [name, content] : files) {
    const bool leaks = std::any_of(secrets.begin(), secrets.end(),
                                   [&](const std::string& s) { return content.find(s) != std::string::npos; });
    if (leaks) content = "left out: a secret of the configuration stands in it\n";
  }
  for (std::string& secret : secrets) wipe(secret.data(), secret.size());
  if (const Status made = shell.make_folder(folder); !made) return refuse(made.error().detail);
  for (const auto& [name, content] : files) {
    const Status written = shell.write_new_file(folder + "/" + name, to_bytes(std::string_view{content}));
    if (!written) return refuse(written.error().detail);
  }
  shell.out(line.json ? control::to_json(control::Outcome{"debug bundle", "", folder})
                      : fmt::format("wrote {} files into {}: no secret is in them, but addresses and names are\n",
                                    files.size(), clean(folder)));
  return kOk;
}

}  // namespace qanat::cli
