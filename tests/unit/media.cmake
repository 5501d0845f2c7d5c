gb_test(test_handover SOURCES ${TEST_DIR}/test_handover.c ${TEST_DIR}/sfu_world.c LINK media)
