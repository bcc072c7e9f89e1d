# qanat_library(NAME <room> LAYER <n> [DEPS <rooms>] [LIBS <targets>])
#
# One room of the house is one static library made of every src/<room>/*.cpp, and one test program made of every
# src/<room>/*_test.cpp. A room may depend only on rooms of a smaller layer: an upward or sideways edge ends the
# configure step, so a layer cannot be broken by accident. tools/check_layers.py holds the #include lines to the
# same edges.
function(qanat_library)
  cmake_parse_arguments(ROOM "" "NAME;LAYER" "DEPS;LIBS;TEST_LIBS" ${ARGN})
  set(target qanat_${ROOM_NAME})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")

  if(sources)
    add_library(${target} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  set_property(GLOBAL PROPERTY QANAT_LAYER_${ROOM_NAME} ${ROOM_LAYER})
  foreach(dep IN LISTS ROOM_DEPS)
    get_property(dep_layer GLOBAL PROPERTY QANAT_LAYER_${dep})
    if(NOT DEFINED dep_layer OR dep_layer STREQUAL "")
      message(FATAL_ERROR "room ${ROOM_NAME}: depends on '${dep}', which is no room below it")
    endif()
    if(NOT dep_layer LESS ROOM_LAYER)
      message(FATAL_ERROR "room ${ROOM_NAME} (layer ${ROOM_LAYER}) may not depend on ${dep} (layer ${dep_layer}): "
                          "dependencies point down only, see ARCHITECTURE.md")
    endif()
    target_link_libraries(${target} ${scope} qanat_${dep})
  endforeach()
  target_include_directories(${target} ${scope} ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${target} ${scope} qanat_flags ${ROOM_LIBS})

  if(tests AND QANAT_TESTS)
    add_executable(${target}_test ${tests})
    target_link_libraries(${target}_test PRIVATE ${target} ${ROOM_TEST_LIBS} qanat_test_flags GTest::gtest_main GTest::gmock)
    gtest_discover_tests(${target}_test TEST_PREFIX "${ROOM_NAME}/" NO_PRETTY_VALUES DISCOVERY_TIMEOUT 60
                         PROPERTIES LABELS unit)
  endif()
endfunction()
