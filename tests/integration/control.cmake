gb_test(test_giaoban LABEL integration SOURCES ${TEST_DIR}/test_giaoban.c LINK base LIBS PkgConfig::jansson)
target_compile_definitions(test_giaoban PRIVATE BIN="${CMAKE_BINARY_DIR}/bin" CONFIG_DIR="${CMAKE_SOURCE_DIR}/config")
add_dependencies(test_giaoban giaoban giaoband giaobanctl)
