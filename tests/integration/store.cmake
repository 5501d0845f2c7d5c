gb_test(test_store_disk SOURCES ${TEST_DIR}/test_store_disk.c LINK store LABEL integration)
