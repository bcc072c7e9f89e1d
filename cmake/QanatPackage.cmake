# `./run package`: a Debian package by CPack, of the programs, their units, manual pages and completion.
set(doc ${PROJECT_BINARY_DIR}/package)

# Manual pages and completion come from the programs and from docs/config.md, by the programs just built.
set(pages ${doc}/qanat.1.gz ${doc}/qanatd.8.gz ${doc}/qanat.toml.5.gz)
set(shells ${doc}/qanat.bash ${doc}/_qanat)
add_custom_command(
  OUTPUT ${pages} ${shells} ${doc}/changelog.gz
  COMMAND ${CMAKE_COMMAND} -E env PYTHONDONTWRITEBYTECODE=1 python3 ${PROJECT_SOURCE_DIR}/tools/package_files.py
          --bin ${PROJECT_BINARY_DIR}/bin --version ${PROJECT_VERSION} --out ${doc}
  DEPENDS qanat qanatd ${PROJECT_SOURCE_DIR}/tools/package_files.py ${PROJECT_SOURCE_DIR}/docs/config.md ${PROJECT_SOURCE_DIR}/CHANGELOG.md
  COMMENT "Manual pages, completion, changelog" VERBATIM)
add_custom_target(package_files DEPENDS ${pages} ${shells} ${doc}/changelog.gz)

install(TARGETS qanatd RUNTIME DESTINATION /usr/sbin)
install(TARGETS qanat RUNTIME DESTINATION /usr/bin)
install(FILES packaging/qanatd.service packaging/qanat-blackhole.service DESTINATION /lib/systemd/system)
install(FILES packaging/qanat.sysusers DESTINATION /usr/lib/sysusers.d RENAME qanat.conf)
install(FILES packaging/qanat.tmpfiles DESTINATION /usr/lib/tmpfiles.d RENAME qanat.conf)
install(FILES docs/qanat.example.toml DESTINATION /etc/qanat RENAME qanat.toml.example)
install(FILES ${doc}/qanat.1.gz DESTINATION /usr/share/man/man1)
install(FILES ${doc}/qanat.toml.5.gz DESTINATION /usr/share/man/man5)
install(FILES ${doc}/qanatd.8.gz DESTINATION /usr/share/man/man8)
install(FILES ${doc}/qanat.bash DESTINATION /usr/share/bash-completion/completions RENAME qanat)
install(FILES ${doc}/_qanat DESTINATION /usr/share/zsh/vendor-completions)
install(FILES packaging/grafana/qanat.json DESTINATION /usr/share/qanat/grafana)
install(FILES packaging/debian/copyright DESTINATION /usr/share/doc/qanat)
install(FILES ${doc}/changelog.gz DESTINATION /usr/share/doc/qanat)
install(DIRECTORY docs/ DESTINATION /usr/share/doc/qanat FILES_MATCHING PATTERN "*.md")
install(FILES packaging/debian/lintian-overrides DESTINATION /usr/share/lintian/overrides RENAME qanat)

set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON) # tests and benchmarks are not packed, and need not be there
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME qanat)
set(CPACK_PACKAGE_VENDOR Qanat)
set(CPACK_PACKAGE_CONTACT "Qanat authors <qanat@localhost.invalid>")
set(CPACK_STRIP_FILES ON)
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)  # all places are absolute; the default would put an empty /usr/local into the package
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# nft and the sysusers program are run; the kernel's TUN needs nothing.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "nftables, init-system-helpers (>= 1.52), systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS prometheus)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "quantum-safe IPsec gateway")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "Qanat joins the sites of an organisation with IPsec tunnels (IKEv2, ESP in user
space) whose keys are hybrid: ML-KEM beside an elliptic curve, so that what is
recorded today cannot be read with tomorrow's quantum computer. Peers that
cannot do that still connect, and are named as classical, with the reason.

It steers traffic between sites by health and priority, applies a packet
policy, and never lets protected traffic leave in the clear when the daemon is
down.")
foreach(script postinst prerm postrm conffiles)
  list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/packaging/debian/${script})
endforeach()
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
