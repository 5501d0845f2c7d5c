# The estimator and what is made of it, on modelled lines (tests/link/access.h).
gb_test(test_allocate LINK sfu)
gb_test(test_bwe SOURCES ${TEST_DIR}/test_bwe.c ${TEST_DIR}/../link/access.c LINK bwe)
target_include_directories(test_bwe PRIVATE ${TEST_DIR}/..)
gb_test(test_red LINK rtp)
