# The estimator and what follows from it, on modelled lines (tests/link/access.h).
gb_test(test_allocate LINK sfu)
gb_test(test_bwe SOURCES ${TEST_DIR}/test_bwe.c ${TEST_DIR}/../link/access.c LINK bwe)
gb_test(test_downlink SOURCES ${TEST_DIR}/test_downlink.c ${TEST_DIR}/sfu_world.c ${TEST_DIR}/../link/access.c LINK sfu)
foreach(t test_bwe test_downlink)
    target_include_directories(${t} PRIVATE ${TEST_DIR}/..)
endforeach()
gb_test(test_red LINK rtp)
