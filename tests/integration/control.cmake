pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
gb_test(test_control SOURCES ${TEST_DIR}/test_control.c ${TEST_DIR}/control_world.c ${TEST_DIR}/signaling_world.c
        LINK signaling wish base LIBS PkgConfig::CURL PkgConfig::jansson ssl crypto sqlite3 LABEL integration)
target_compile_definitions(test_control PRIVATE BIN="${CMAKE_BINARY_DIR}/bin" CONFIG_DIR="${CMAKE_SOURCE_DIR}/config")
add_dependencies(test_control giaoband giaobanctl)
