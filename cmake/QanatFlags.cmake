# Warnings are errors, and the binaries are hardened as a distribution does it.
include(CheckPIESupported)
check_pie_supported()

add_library(qanat_flags INTERFACE)
target_compile_options(qanat_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Wold-style-cast
  -Wcast-align -Woverloaded-virtual -Wnull-dereference -Wdouble-promotion -Wformat=2 -Werror
  -fstack-protector-strong -fstack-clash-protection)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
  target_compile_options(qanat_flags INTERFACE -fcf-protection=full)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  target_compile_options(qanat_flags INTERFACE -mbranch-protection=standard)
endif()
target_link_options(qanat_flags INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports false positives here for inlined std::vector and std::expected (GCC bugs 105329, 105562, 107852).
  target_compile_options(qanat_flags INTERFACE -Wno-null-dereference -Wno-maybe-uninitialized
    -Wno-stringop-overflow -Wno-array-bounds -Wno-restrict -Wno-stringop-overread -Wno-free-nonheap-object)
endif()
if(QANAT_SANITIZE)
  target_compile_options(qanat_flags INTERFACE -fsanitize=${QANAT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(qanat_flags INTERFACE -fsanitize=${QANAT_SANITIZE})
  if(QANAT_SANITIZE MATCHES thread AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Boost.Asio has fences, which ThreadSanitizer does not model; its queues hand over under a mutex as well.
    target_compile_options(qanat_flags INTERFACE -Wno-tsan)
  endif()
else()
  target_compile_definitions(qanat_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
endif()
# For the sources of test programs. These four checks of UBSan nearly double the time that a test takes to compile; the rooms
# keep them.
add_library(qanat_test_flags INTERFACE)
if(QANAT_SANITIZE MATCHES undefined)
  target_compile_options(qanat_test_flags INTERFACE -fno-sanitize=null,alignment,object-size,vptr)
endif()
if(QANAT_FUZZ)
  # Every room is instrumented; only the fuzz targets themselves link libFuzzer's main (-fsanitize=fuzzer).
  target_compile_options(qanat_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

option(QANAT_COVERAGE "Count executed lines (./run test --coverage)" OFF)
if(QANAT_COVERAGE)
  target_compile_options(qanat_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(qanat_flags INTERFACE --coverage)
endif()
