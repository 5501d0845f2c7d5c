gb_test(test_hostile_rooms LABEL integration SOURCES ${TEST_DIR}/test_hostile_rooms.c LINK base LIBS PkgConfig::jansson)
target_compile_definitions(test_hostile_rooms PRIVATE BIN="${CMAKE_BINARY_DIR}/bin" CONFIG_DIR="${CMAKE_SOURCE_DIR}/config")
add_dependencies(test_hostile_rooms giaoban giaoband giaoban-media giaoban-recorder giaobanctl giaoban-sim)
