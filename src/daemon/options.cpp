#include "daemon/options.hpp"

#include <CLI/CLI.hpp>

namespace qanat::daemon {

ParsedOptions parse_options(int argc, char** argv) {
  ParsedOptions out;
  CLI::App app{
      "qanatd: quantum-safe IPsec gateway. Runs in the foreground and logs to standard error; ends on SIGTERM."};
  bool protect = false;
  bool purge = false;
  app.set_version_flag("--version", std::string{"qanatd "} + QANAT_VERSION);
  app.add_option("-c,--config", out.options.config_file, "Configuration file")->capture_default_str();
  app.add_option("--keylog", out.options.key_log_dir,
                 "For debugging only: write every key into this folder, for Wireshark")
      ->type_name("DIR");
  app.add_option("--log-level", out.options.log_level,
                 "debug, info, warning or error (default: as the configuration says)");
  auto* protect_flag = app.add_flag(
      "--protect", protect,
      "Install the routes, rules and filter that keep protected traffic from leaving in the clear, then exit");
  app.add_flag("--purge", purge, "Remove what --protect or a stopped daemon has left, then exit")
      ->excludes(protect_flag);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    out.exit_code = code == 0 ? 0 : 2;
    return out;
  }
  out.options.mode = protect ? Options::Mode::Protect : purge ? Options::Mode::Purge : Options::Mode::Run;
  return out;
}

}  // namespace qanat::daemon
