# What publishers are told, rough lines, rooms that share one: viewers behind modelled lines (tests/link/access.h).
foreach(t test_uplink test_rough test_site)
    gb_test(${t} SOURCES ${TEST_DIR}/${t}.c ${TEST_DIR}/sfu_world.c ${TEST_DIR}/sfu_viewer.c ${TEST_DIR}/../link/access.c
            LINK sfu)
    target_include_directories(${t} PRIVATE ${TEST_DIR}/..)
endforeach()
