set(signaling_world ${TEST_DIR}/signaling_world.c)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
foreach(name http ws)
    gb_test(test_signaling_${name} SOURCES ${TEST_DIR}/test_signaling_${name}.c ${signaling_world} LINK signaling
            LIBS PkgConfig::CURL ssl crypto LABEL integration)
endforeach()
